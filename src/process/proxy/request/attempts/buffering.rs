//! A request whose body is read whole before a backend is asked.

use super::Attempts;
use crate::config::RequestBuffering;
use crate::logic::balance::retry::{Reached, Repeat};
use crate::logic::http1::head::Framing;
use crate::logic::http1::refusal::BodyError;
use crate::process::proxy::io::deadline::Phase;
use crate::process::proxy::io::frames::Frames;
use crate::process::proxy::request::answer::{self, Unserved};
use crate::process::proxy::spool::body::{Body, Failure};
use crate::process::proxy::transfer::exchange::Waited;

impl Attempts<'_> {
    /// Reads the body, where it has one that ends by itself.
    pub(super) async fn buffer(&mut self, bounds: RequestBuffering) -> Result<(), Unserved> {
        let is_stated = match self.framing {
            Framing::Length(1..) | Framing::Chunked => true,
            Framing::None | Framing::Length(0) | Framing::UntilClose => false,
        };
        if !is_stated || self.is_call() {
            return Ok(());
        }
        let most = (bounds.memory as u64).saturating_add(bounds.disk);
        if let Framing::Length(bytes) = self.framing
            && bytes > most
        {
            return Err(self.unread(Waited::BrokenBody(BodyError::TooLong)));
        }
        let context = self.context;
        let most = most.min(context.rules.body_bytes.map_or(u64::MAX, u64::from));
        self.exchange.limit_body(most);
        let load = self.client.frames().and_then(Frames::load);
        let account = &self.pool.runtime.spooled;
        let (spool, buffers) = (&context.worker.shared.spool, &context.worker.buffers);
        let body = Body::new(spool, bounds, account, buffers, load);
        let request_body = context.rules.timeouts.request_body;
        context.deadline.enter(Phase::Uploading, request_body);
        let read = self.exchange.buffer(
            self.framing,
            body,
            self.client,
            (context.worker, context.deadline),
        );
        let read = Box::pin(read).await;
        let bytes = read.map_err(|waited| self.unread(waited))?;
        if self.framing == Framing::Chunked {
            self.message.set_length(bytes);
        }
        self.framing = Framing::Length(bytes);
        if self.message.is_idempotent() {
            self.repeat = Repeat::Harmless;
        }
        Ok(())
    }

    /// Returns whether its client may wait for an answer before it goes on: what is called is asked
    /// as the body comes.
    fn is_call(&self) -> bool {
        let kind = self.message.field("content-type").unwrap_or_default();
        let begins = kind.get(..GRPC.len());
        begins.is_some_and(|begins| begins.eq_ignore_ascii_case(GRPC))
    }

    /// Returns what ends a request whose body is not read to its end.
    fn unread(&self, waited: Waited) -> Unserved {
        match self.error_of(waited, Reached::Nothing) {
            Ok((error, detail)) => answer::unserved(error, "no backend", detail),
            Err(unserved) => unserved,
        }
    }

    /// Returns what ends a request whose body is not kept, and counts it where that is for want of
    /// room.
    pub(super) fn unkept(&self, failure: Failure) -> Unserved {
        if let Failure::Full(_) = failure {
            self.pool.runtime.spooled.count_refused();
        }
        answer::unkept(failure)
    }
}

/// What the media types of gRPC begin with.
const GRPC: &[u8] = b"application/grpc";
