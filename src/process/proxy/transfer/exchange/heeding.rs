//! A final head that is not relayed: it says where the answer is, or is not the one that is hoped
//! for from one of several places.

use crate::logic::http1::head::{Framing, Persistence, Upgrade};
use crate::logic::http1::refusal::ResponseRefusal;
use crate::logic::http1::request::Expectation;
use crate::logic::http1::response::{BodyCoding, ResponseHead};
use crate::logic::http1::rewrite::elsewhere::{self, Inherited};
use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::transfer::exchange::{
    Exchange, Heed, Heeded, RESPONSE_LIMITS, Uploading,
};

impl Exchange {
    /// Says what of a final head keeps it from the client.
    pub(in crate::process::proxy) fn set_heed(&mut self, heed: Heed) {
        self.heed = heed;
    }

    /// Has the final head be edited by what was said of the answer.
    pub(in crate::process::proxy) fn inherit(&mut self, inherited: Inherited) {
        self.inherited = Some(Box::new(inherited));
    }

    /// Returns what comes of a final head that is not relayed, of which so many bytes are there,
    /// with what came behind it.
    pub(super) fn heed(
        &mut self,
        head: &ResponseHead<'_, '_>,
        bytes: usize,
    ) -> Result<Option<Heeded>, ResponseRefusal> {
        self.check_size(head)?;
        let to = match self.heed {
            Heed::Nothing => return Ok(None),
            Heed::Status if matches!(head.status, 200..=299 | 304 | 416) => return Ok(None),
            Heed::Status => None,
            // What follows is no answer that could be elsewhere.
            Heed::Place if head.status == 101 => return Ok(None),
            Heed::Place => match elsewhere::read(&head.fields) {
                None => return Ok(None),
                Some(_) if !self.has_request() => return Err(ResponseRefusal::EarlyElsewhere),
                Some(said) => Some(Box::new(said?)),
            },
        };
        Ok(Some(Heeded {
            status: head.status,
            upstream: self.left_behind(head, bytes),
            to,
        }))
    }

    /// Bounds a head together with what it inherits.
    fn check_size(&self, head: &ResponseHead<'_, '_>) -> Result<(), ResponseRefusal> {
        let Some(inherited) = &self.inherited else {
            return Ok(());
        };
        let (fields, bytes) = inherited.size();
        if head.fields.all().len() + fields > RESPONSE_LIMITS.fields {
            return Err(ResponseRefusal::TooManyFields);
        }
        if head.len + bytes > RESPONSE_LIMITS.head_bytes {
            return Err(ResponseRefusal::HeadTooLarge);
        }
        Ok(())
    }

    /// Returns whether the connection can be kept behind an answer that nobody reads: where it is
    /// there to its end, and nothing else.
    fn left_behind(&self, head: &ResponseHead<'_, '_>, bytes: usize) -> Persistence {
        let rest = (bytes - head.len) as u64;
        let is_whole = match head.framing {
            Framing::None => rest == 0,
            Framing::Length(len) => rest == len,
            Framing::Chunked | Framing::UntilClose => false,
        };
        match is_whole && self.uploading == Uploading::Done {
            true => head.persistence,
            false => Persistence::Close,
        }
    }

    /// Forgets the request and its body, so that another without one can be sent in its place.
    pub(in crate::process::proxy) fn begin_another(&mut self, context: &WorkerContext) {
        self.end_replay(context);
        self.buffered = None;
        let ahead = self.upload.end(&context.buffers, &context.pipes);
        self.upload.begin_anew(0, &context.buffers);
        self.upload.frame(Framing::None, BodyCoding::AsIs);
        self.upload.input = ahead;
        self.expectation = Expectation::None;
        self.asked.upgrade = Upgrade::None;
        self.uploading = Uploading::Going;
        self.download.input.clear(&context.buffers);
        self.searched = None;
        self.interim_count = 0;
    }
}
