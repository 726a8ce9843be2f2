//! What becomes of a request that no backend has answered.

use super::{Attempts, is_bodyless};
use crate::config::Fallback;
use crate::logic::balance::retry::{self, AttemptError, Cause, Connection, Reached, Side};
use crate::logic::http1::head::Persistence;
use crate::logic::http1::local_reply::LocalReply;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::io::tls::HandshakeError;
use crate::process::proxy::request::answer::{self, Detail, Unserved, send_local_reply};
use crate::process::proxy::request::context::After;
use crate::process::proxy::request::record::Termination;
use crate::process::proxy::transfer::exchange::Waited;
use crate::process::proxy::upstream::backend::BackendRuntime;
use crate::process::proxy::upstream::connect::OpenError;
use crate::process::proxy::upstream::local::WorkerBackend;

impl Attempts<'_> {
    /// Returns what ends the request if an attempt that has failed was its last.
    pub(super) fn unserved(
        &self,
        backend: &WorkerBackend,
        error: AttemptError,
        detail: Detail,
    ) -> Unserved {
        if retry::ends_unanswered(error, self.pool.keep_alive.reuse, self.order) {
            return Unserved::NoReply(Termination::ConnectionLost);
        }
        let BackendRuntime { name, address, .. } = &*backend.runtime;
        let named = format!("backend {name} ({address}) of pool {}", self.pool.name);
        answer::unserved(error, &named, detail)
    }

    /// Returns why an attempt has no connection.
    pub(super) fn no_connection(&self, error: OpenError) -> (AttemptError, Detail) {
        let (side, cause, detail) = match error {
            OpenError::Cut => (Side::Proxy, Cause::Drained, Detail::None),
            OpenError::TimedOut => (Side::Upstream, Cause::TimedOut, Detail::None),
            OpenError::Refused(error) => (Side::Upstream, Cause::Refused, Detail::System(error)),
            OpenError::Shortage(error) => (Side::Proxy, Cause::Shortage, Detail::System(error)),
            OpenError::Unsigned => {
                let error = std::io::Error::other(HandshakeError::Unsigned);
                (Side::Proxy, Cause::Shortage, Detail::System(error))
            }
        };
        let reached = Reached::Nothing;
        let error = AttemptError {
            side,
            reached,
            cause,
        };
        (error, detail)
    }

    /// Returns why an attempt on a connection has no response; another attempt cannot help where
    /// the body is lost that was kept.
    pub(super) fn failed(
        &self,
        on: Connection,
        waited: Waited,
        upstream: &Stream,
    ) -> Result<(AttemptError, Detail), Unserved> {
        // As good as not sent, but for a body whose beginning nobody has any more.
        let is_undone = upstream.is_unprocessed() && self.exchange.can_rewind();
        let reached = if self.exchange.has_sent() && !is_undone {
            Reached::Sent(on)
        } else {
            Reached::Connected(on)
        };
        self.error_of(waited, reached)
    }

    /// Returns what it means that what was waited for has not come.
    pub(super) fn error_of(
        &self,
        waited: Waited,
        reached: Reached,
    ) -> Result<(AttemptError, Detail), Unserved> {
        let (side, cause, detail) = match waited {
            Waited::Unkept(failure) => return Err(self.unkept(failure)),
            // A head has its way before this is asked.
            Waited::Answered(_) | Waited::Heeded(_) | Waited::ClientGone => {
                (Side::Client, Cause::Lost, Detail::None)
            }
            Waited::Cut => (Side::Proxy, Cause::Drained, Detail::None),
            Waited::BrokenBody(error) => (Side::Client, Cause::Malformed, Detail::Body(error)),
            Waited::ClientSilent => (Side::Client, Cause::TimedOut, Detail::None),
            Waited::BackendSilent => (Side::Upstream, Cause::TimedOut, Detail::None),
            Waited::Bad(refusal) => (Side::Upstream, Cause::Malformed, Detail::Response(refusal)),
            Waited::Lost => (Side::Upstream, Cause::Lost, Detail::None),
        };
        let error = AttemptError {
            side,
            reached,
            cause,
        };
        Ok((error, detail))
    }

    pub(super) fn nobody_up(&self) -> Unserved {
        let why = format!(
            "none of the {} backends of pool {} is up",
            self.pool.backends.all().len(),
            self.pool.name
        );
        let mut reply = LocalReply::line(503, "no_backend_up", why);
        if let Some(Fallback::Respond(respond)) = &self.pool.fallback {
            reply.status = respond.status;
            reply.page = Some(answer::page_of(respond));
        }
        Unserved::Reply(reply, Termination::NoBackendUp)
    }

    pub(super) fn all_full(&self) -> Unserved {
        self.pool.counters.queue_timeouts.count();
        let why = format!("no backend of pool {} had room in time", self.pool.name);
        answer::line(503, "queue_timeout", why, Termination::QueueTimeout)
    }

    /// Sends the local reply; the connection is kept where the request is over. Who has asked for
    /// nothing is told nothing.
    pub(super) async fn end_unserved(&mut self, unserved: Unserved) -> After {
        let reply = match unserved {
            Unserved::Reply(reply, termination) => {
                self.record.termination = termination;
                self.disclosed(reply)
            }
            Unserved::NoReply(termination) => {
                self.record.termination = termination;
                // A client that still sends would not hear of an end in order, but go on.
                return if termination == Termination::DrainTimeout {
                    After::Reset
                } else {
                    After::Close
                };
            }
        };
        if self.carries_bytes() {
            return After::Reset;
        }
        let over = is_bodyless(self.framing) || self.exchange.has_request();
        let is_written = self.record.termination == Termination::NoBackendUp;
        let keep = over && (reply.status >= 500 || is_written);
        let persistence = match self.asked.persistence {
            Persistence::Keep if keep => Persistence::Keep,
            Persistence::Keep | Persistence::Close => Persistence::Close,
        };
        self.exchange.settle(self.context.worker);
        let (context, asked, record) = (self.context, self.asked, &mut self.record);
        let edits = self.edits.as_deref();
        send_local_reply(
            context,
            self.client,
            &reply,
            asked,
            persistence,
            edits,
            record,
        )
        .await
    }

    /// Returns the reply as this client may read it.
    fn disclosed(&mut self, reply: LocalReply) -> LocalReply {
        let head = match self.message.as_text() {
            [] => self.exchange.head(),
            text => text,
        };
        answer::disclosed(self.context, head, reply, &mut self.record)
    }
}
