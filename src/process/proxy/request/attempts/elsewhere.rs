//! A backend that says where the answer is, instead of answering: the pool that its own names
//! (`reproxy`) is asked for it, and nobody else.

use std::net::SocketAddr;

use super::{Attempts, is_bodyless};
use crate::logic::balance::ejection::is_failure;
use crate::logic::balance::health::Outcome;
use crate::logic::balance::retry::{Repeat, Reuse, Tried};
use crate::logic::http1::head::{Framing, Persistence};
use crate::logic::http1::request::message::Message;
use crate::logic::http1::rewrite::elsewhere::Elsewhere;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::request::answer::{self, Unserved};
use crate::process::proxy::request::detour::Detour;
use crate::process::proxy::request::moments::AskedAs;
use crate::process::proxy::request::record::Termination;
use crate::process::proxy::transfer::exchange::{Heed, Heeded};
use crate::process::proxy::upstream::local::{Wanted, WorkerPool};
use crate::process::proxy::upstream::picker::Claim;
use crate::process::proxy::upstream::slot::RequestSlot;

impl Attempts<'_> {
    /// Returns what keeps the head of an answer from the client.
    pub(super) fn heed(&self) -> Heed {
        match (&self.detour, &self.pool.reproxy) {
            (Some(detour), _) => detour.heed(),
            (None, Some(_)) => Heed::Place,
            (None, None) => Heed::Nothing,
        }
    }

    /// Goes on with the next backend, behind an answer that is not relayed; `None` is whoever is
    /// the first.
    #[inline(never)]
    pub(super) fn follow(
        &mut self,
        slot: RequestSlot,
        heeded: Heeded,
        upstream: Stream,
    ) -> Result<Option<RequestSlot>, Unserved> {
        self.leave(&slot, upstream, &heeded);
        match heeded.to {
            Some(to) => self.depart(&slot, *to)?,
            None => {
                self.record.retries += 1;
                self.pool.counters.retries.count();
            }
        }
        drop(slot);
        self.next_place()
    }

    /// Keeps a connection where it can be, behind an answer that nobody reads.
    fn leave(&mut self, slot: &RequestSlot, mut upstream: Stream, heeded: &Heeded) {
        let backend = slot.backend();
        let now_ms = self.pool.now_ms();
        backend.runtime.handle_answered(now_ms);
        if self.pool.ejection.is_some() {
            let outcome = match is_failure(heeded.status) {
                true => Outcome::Failure,
                false => Outcome::Success,
            };
            self.record.ejected |= self.pool.note_outcome(&backend.runtime, outcome, now_ms);
        }
        let is_kept = heeded.upstream == Persistence::Keep;
        if is_kept && self.pool.keep_alive.reuse != Reuse::Never {
            backend.kept.keep(upstream, self.announced());
        } else if is_bodyless(self.framing) {
            // Ended in order and first, it would occupy its port.
            upstream.reset_on_close();
        }
    }

    /// Has the pool be asked that has what backends of this one name.
    fn depart(&mut self, slot: &RequestSlot, to: Elsewhere) -> Result<(), Unserved> {
        let worker = self.context.worker;
        // After a reload the pool that is named now, as far as there is one.
        let successor = worker.successor_of(&self.pool);
        let named = |pool: &WorkerPool| worker.pool_of(pool.reproxy.as_deref()?);
        let pool = successor.as_deref().and_then(named);
        let pool = pool.or_else(|| named(&self.pool));
        let pool = pool.ok_or_else(|| self.no_pool())?;
        let by = format!("{}/{}", self.pool.name, slot.backend().runtime.name);
        self.record.reproxied_by = Some(by.into());
        let head = self.exchange.head().to_vec();
        let message = Message::new(head);
        if self.record.asked.is_none() {
            self.record.asked = Some(Box::new(AskedAs {
                target: message.target().into(),
                host: message.authority().into(),
            }));
        }
        self.exchange.inherit(to.inherited);
        self.detour = Some(Box::new(Detour {
            head: message.into_text(),
            places: to.places.into(),
            is_certain: false,
        }));
        pool.count_request();
        self.go_to(pool);
        self.passed.clear();
        self.framing = Framing::None;
        self.repeat = Repeat::Harmless;
        Ok(())
    }

    /// Returns whether another place may have the answer.
    pub(super) fn has_places(&self) -> bool {
        let detour = self.detour.as_ref();
        detour.is_some_and(|detour| !detour.places.is_empty())
    }

    /// Returns whether nobody but the backend that is asked may have the answer.
    pub(super) fn is_certain(&self) -> bool {
        let detour = self.detour.as_ref();
        detour.is_some_and(|detour| detour.is_certain)
    }

    /// Takes room where the answer may be: at the next place, or where one that is named is down or
    /// full, at the one behind it. `None` is whoever is the first.
    pub(super) fn next_place(&mut self) -> Result<Option<RequestSlot>, Unserved> {
        self.tried = Tried::default();
        loop {
            let Some(detour) = &mut self.detour else {
                return Err(self.nobody_up());
            };
            let Some(place) = detour.places.pop_front() else {
                return Err(self.nobody_up());
            };
            detour.is_certain = place.server.is_some();
            self.exchange.begin_another(self.context.worker);
            self.message = Message::elsewhere(&detour.head, &place.target, place.server);
            let Some(server) = place.server else {
                return Ok(None);
            };
            let wanted = match self.has_places() {
                true => Wanted::Well,
                false => Wanted::Any,
            };
            match self.pool.claim_server(server, wanted) {
                Some(Claim::Taken(backend)) => return Ok(Some(self.slot(backend))),
                Some(Claim::Full | Claim::NoBackend) | None if wanted == Wanted::Well => {}
                Some(Claim::Full) => return Err(self.is_full(server)),
                Some(Claim::NoBackend) => return Err(self.is_down(server)),
                None => return Err(self.not_there(server)),
            }
        }
    }

    fn no_pool(&self) -> Unserved {
        let pool = self.pool.reproxy.as_deref().unwrap_or_default();
        let why = format!("pool {pool}, which has the answer, has gone with a reload");
        answer::line(503, "no_backend_up", why, Termination::NoBackendUp)
    }

    fn is_down(&self, server: SocketAddr) -> Unserved {
        let why = format!(
            "{server} of pool {}, which has the answer, is down",
            self.pool.name
        );
        answer::line(503, "no_backend_up", why, Termination::NoBackendUp)
    }

    /// It is not waited for: those that wait in the queue of a pool do so for any of its backends.
    fn is_full(&self, server: SocketAddr) -> Unserved {
        let why = format!(
            "{server} of pool {}, which has the answer, is full",
            self.pool.name
        );
        answer::line(503, "queue_timeout", why, Termination::QueueTimeout)
    }

    /// What a backend says opens no way to where the configuration names none.
    fn not_there(&self, server: SocketAddr) -> Unserved {
        let by = self.record.reproxied_by.as_deref().unwrap_or_default();
        let pool = &self.pool.name;
        let why = format!("{by} named {server}, which is no backend of pool {pool}");
        let termination = Termination::InvalidResponse;
        answer::line(502, "invalid_response", why, termination)
    }
}
