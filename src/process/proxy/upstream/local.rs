//! What one worker has of a pool: its picker, its retry budget, its kept connections and its
//! counters. Nothing of it is shared with another worker; of generations that follow each other,
//! budget and connections are the same.

use std::cell::{Cell, Ref, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use crate::logic::balance::Balance;
use crate::logic::balance::affinity::{Arrival, Known};
use crate::logic::balance::hash::{HashOn, Key};
use crate::logic::balance::health::Outcome;
use crate::logic::balance::pick::Rank;
use crate::logic::balance::retry::{
    AttemptError, Cause, Own, Reached, RetryBudget, Side, Spending, Tried,
};
use crate::logic::http1::request::cookie;
use crate::logic::http1::request::message::Message;
use crate::process::proxy::shared::Shared;
use crate::process::proxy::upstream::backend::{Backend, BackendCounters, BackendRuntime};
use crate::process::proxy::upstream::connections::{Kept, KeptCount};
use crate::process::proxy::upstream::picker::{Claim, Picker, Wish};
use crate::process::proxy::upstream::pool::affinity::{Affinity, Made};
use crate::process::proxy::upstream::pool::{Pool, PoolCounters};

/// A pool, as one worker uses it.
pub(in crate::process::proxy) struct WorkerPool {
    pool: Arc<Pool>,
    shared: Arc<Shared>,
    picker: RefCell<Picker>,
    /// Who is known by which cookie, where the pool has affinity.
    made: RefCell<Made>,
    budget: Rc<Cell<RetryBudget>>,
    /// By index.
    backends: Vec<WorkerBackend>,
    pub(in crate::process::proxy) counters: Arc<PoolCounters>,
}

/// Which of the backends that are up are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Wanted {
    /// Those that answer well.
    Well,
    Any,
}

/// What one worker has of a backend.
pub(in crate::process::proxy) struct WorkerBackend {
    pub(in crate::process::proxy) runtime: Arc<BackendRuntime>,
    pub(in crate::process::proxy) counters: Arc<BackendCounters>,
    pub(in crate::process::proxy) kept: Rc<Kept>,
}

impl Deref for WorkerPool {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        &self.pool
    }
}

impl WorkerPool {
    /// Returns what the worker of this number has of a pool, of which it may have had `before`.
    pub(in crate::process::proxy) fn new(
        pool: &Arc<Pool>,
        shared: &Arc<Shared>,
        worker: usize,
        count: &Rc<KeptCount>,
        before: Option<&Self>,
    ) -> Self {
        let backends = pool.backends.all().iter().map(|backend| {
            let runtime = &backend.runtime;
            let olds = before.iter().flat_map(|before| &before.backends);
            let mut kept = olds.map(|old| &old.kept);
            let connector = pool.connector.as_ref();
            let fresh = || Rc::new(Kept::new(runtime, pool.keep_alive, connector, count));
            WorkerBackend {
                runtime: Arc::clone(runtime),
                counters: runtime.counters.of(worker),
                kept: kept
                    .find(|kept| kept.is_of(runtime, pool.keep_alive, connector))
                    .map_or_else(fresh, Rc::clone),
            }
        });
        let budget = before.map(|before| Rc::clone(&before.budget));
        Self {
            shared: Arc::clone(shared),
            picker: RefCell::new(Picker::new(pool.backends.all(), worker)),
            made: RefCell::default(),
            budget: budget.unwrap_or_else(|| Rc::new(Cell::new(RetryBudget::new(0)))),
            backends: backends.collect(),
            counters: pool.runtime.counters.of(worker),
            pool: Arc::clone(pool),
        }
    }

    /// Returns whether it is the worker's part of this pool.
    pub(in crate::process::proxy) fn is(&self, pool: &Arc<Pool>) -> bool {
        Arc::ptr_eq(&self.pool, pool)
    }

    /// Closes the connections that it keeps and `after` does not: the pool that takes its place, if
    /// one does.
    pub(in crate::process::proxy) fn retire(&self, after: Option<&Self>) {
        for WorkerBackend { kept, .. } in &self.backends {
            let mut news = after.iter().flat_map(|after| &after.backends);
            if !news.any(|new| Rc::ptr_eq(&new.kept, kept)) {
                kept.retire();
            }
        }
    }

    /// Returns what it has of its backends, by index.
    pub(in crate::process::proxy) fn worker_backends(&self) -> &[WorkerBackend] {
        &self.backends
    }

    /// Counts a request.
    pub(in crate::process::proxy) fn count_request(&self) {
        let mut budget = self.budget.get();
        budget.handle_request();
        self.budget.set(budget);
    }

    /// Takes a retry from the budget.
    pub(in crate::process::proxy) fn spend_retry(&self, now_ms: u64) -> Spending {
        let mut budget = self.budget.get();
        let spending = budget.spend(now_ms);
        self.budget.set(budget);
        spending
    }

    /// Returns where a request belongs, as far as the pool hashes or has affinity.
    pub(in crate::process::proxy) fn wish_of(&self, message: &Message, client: IpAddr) -> Wish {
        let affinity = self.pool.affinity.as_ref();
        Wish {
            key: self.key_of(message, client),
            session: affinity.and_then(|affinity| self.session_of(affinity, message)),
        }
    }

    #[inline(never)]
    fn session_of(&self, affinity: &Affinity, message: &Message) -> Option<Known> {
        let made = self.made(affinity);
        let values = message.cookies(&affinity.rules.name);
        made.tags.find(values.map(cookie::unquoted))
    }

    /// Returns the field that gives a client the cookie of a backend, with the end of its line;
    /// `None` where there is no key, or no affinity.
    pub(in crate::process::proxy) fn cookie_of(
        &self,
        backend: usize,
        arrival: Arrival,
    ) -> Option<Vec<u8>> {
        let affinity = self.pool.affinity.as_ref()?;
        let made = self.made(affinity);
        let tag = made.tags.of(backend)?;
        let mut field = Vec::new();
        affinity.rules.write(tag, arrival, &mut field);
        Some(field)
    }

    fn made(&self, affinity: &Affinity) -> Ref<'_, Made> {
        if !affinity.is_current(&self.made.borrow()) {
            *self.made.borrow_mut() = affinity.make();
        }
        self.made.borrow()
    }

    /// Returns what a request goes by, where the pool hashes and the request has it.
    fn key_of(&self, message: &Message, client: IpAddr) -> Option<Key> {
        let Balance::Hash(on) = &self.pool.balance else {
            return None;
        };
        let text = match on {
            HashOn::SourceAddress => return Some(Key::of_client(client)),
            HashOn::Path => message.path(),
            HashOn::Header(name) => message.field(name)?,
            HashOn::Cookie(name) => message.cookie(name)?,
        };
        (!text.is_empty()).then(|| Key::of(text))
    }

    /// Picks the backend of the next attempt of a request with this wish, and acquires a request
    /// slot on it.
    pub(in crate::process::proxy) fn claim(&self, tried: &Tried, wish: Wish) -> Claim {
        let mut picker = self.picker.borrow_mut();
        picker.claim(&self.pool.backends, self.now_ms(), tried, wish)
    }

    /// Takes room on the backend at this address, whatever the others are like; `None` where there
    /// is no such backend.
    pub(in crate::process::proxy) fn claim_server(
        &self,
        server: SocketAddr,
        wanted: Wanted,
    ) -> Option<Claim> {
        let mut backends = self.backends.iter();
        let index = backends.position(|backend| backend.runtime.address == server)?;
        let now_ms = self.now_ms();
        Some(match (self.backends[index].runtime.rank(now_ms), wanted) {
            (Some(Rank::Up | Rank::Unprobed), _) | (Some(_), Wanted::Any) => {
                self.pool.backends.take(index, now_ms)
            }
            (Some(Rank::UpEjected | Rank::UnprobedEjected), Wanted::Well) | (None, _) => {
                Claim::NoBackend
            }
        })
    }

    /// Returns whether a backend takes requests as one that is well does.
    pub(in crate::process::proxy) fn takes_request(&self, backend: usize) -> Own {
        match self.backends[backend].runtime.rank(self.now_ms()) {
            Some(Rank::Up | Rank::Unprobed) => Own::Ready,
            Some(Rank::UpEjected | Rank::UnprobedEjected) | None => Own::Doubtful,
        }
    }

    /// Returns whether sessions that are on a backend stay there.
    pub(in crate::process::proxy) fn takes_session(&self, backend: usize) -> Own {
        if self.backends[backend].runtime.takes_sessions(self.now_ms()) {
            Own::Ready
        } else {
            Own::Doubtful
        }
    }

    /// Returns whether those that have not been tried are used only where this one is not: they are
    /// of a higher rank, or backups of the same.
    pub(in crate::process::proxy) fn are_others_worse(
        &self,
        backend: usize,
        tried: &Tried,
    ) -> bool {
        let now_ms = self.now_ms();
        let place = |one: &Backend| Some((one.runtime.rank(now_ms)?, one.tier));
        let all = self.pool.backends.all();
        let others = all.iter().enumerate();
        let others = others.filter(|(index, _)| !tried.contains(*index));
        let first = others.filter_map(|(_, other)| place(other)).min();
        let own = all.get(backend).and_then(place);
        own.is_some_and(|own| first.is_none_or(|first| own < first))
    }

    /// Notes a failed attempt on a backend that was picked at `picked_ms`: where it could not be
    /// connected to, or is silent, others are asked first for a while, as its health check may not
    /// have noticed yet. Every request that met it would cost a retry otherwise, more than the
    /// budget has, or all the time that an answer may take. Returns whether it is ejected for how
    /// it answers.
    pub(in crate::process::proxy) fn note(
        &self,
        backend: usize,
        picked_ms: u64,
        error: AttemptError,
    ) -> bool {
        let runtime = &self.backends[backend].runtime;
        let is_ejected = match error.cause {
            Cause::Refused | Cause::TimedOut | Cause::Lost | Cause::Malformed
                if error.side == Side::Upstream =>
            {
                self.note_outcome(runtime, Outcome::Failure, self.now_ms())
            }
            Cause::Refused
            | Cause::TimedOut
            | Cause::Lost
            | Cause::Malformed
            | Cause::Shortage
            | Cause::Drained => false,
        };
        match (error.side, error.reached, error.cause) {
            (Side::Upstream, Reached::Nothing, _) => runtime.eject(self.now_ms()),
            (Side::Upstream, Reached::Connected(_) | Reached::Sent(_), Cause::TimedOut) => {
                runtime.eject_silent(picked_ms, self.now_ms());
            }
            (Side::Client | Side::Upstream | Side::Proxy, _, _) => {}
        }
        is_ejected
    }

    /// Returns the coarse clock of all threads.
    pub(in crate::process::proxy) fn now_ms(&self) -> u64 {
        self.shared.now_ms()
    }
}
