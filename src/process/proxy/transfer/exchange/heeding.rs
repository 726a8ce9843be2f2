//! A final head that is not relayed: it says where the answer is, or is not the one that is hoped
//! for from one of several places.

use crate::logic::http1::head::{Framing, Persistence};
use crate::logic::http1::refusal::ResponseRefusal;
use crate::logic::http1::request::Expectation;
use crate::logic::http1::response::{BodyCoding, ResponseHead};
use crate::logic::http1::rewrite::edit::Edits;
use crate::logic::http1::rewrite::elsewhere;
use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::transfer::exchange::{Exchange, Heed, Uploading, Waited};

impl Exchange {
    /// Says what of a final head keeps it from the client.
    pub(in crate::process::proxy) fn set_heed(&mut self, heed: Heed) {
        self.heed = heed;
    }

    /// Has the final head be edited by what was said of the answer.
    pub(in crate::process::proxy) fn inherit(&mut self, edits: Edits) {
        self.inherited = Some(Box::new(edits));
    }

    /// Returns what comes of a final head that is not relayed, of which so many bytes are there,
    /// with what came behind it.
    pub(super) fn heed(
        &mut self,
        head: &ResponseHead<'_, '_>,
        bytes: usize,
    ) -> Result<Option<Waited>, ResponseRefusal> {
        let waited = match self.heed {
            Heed::Nothing => None,
            Heed::Status if matches!(head.status, 200..=299 | 304 | 416) => None,
            Heed::Status => Some(Waited::Unhoped(head.status, self.leaves(head, bytes))),
            Heed::Place => match elsewhere::read(&head.fields) {
                None => None,
                Some(_) if !self.has_request() => return Err(ResponseRefusal::EarlyElsewhere),
                Some(said) => {
                    let leaves = self.leaves(head, bytes);
                    Some(Waited::Elsewhere(Box::new(said?), leaves))
                }
            },
        };
        Ok(waited)
    }

    /// Returns whether the connection can be kept behind this answer, which nobody reads: where it
    /// is there to its end, and nothing else.
    fn leaves(&self, head: &ResponseHead<'_, '_>, bytes: usize) -> Persistence {
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
        self.uploading = Uploading::Going;
        self.download.input.clear(&context.buffers);
        self.searched = None;
        self.interim_count = 0;
    }
}
