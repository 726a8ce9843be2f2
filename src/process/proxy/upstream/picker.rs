//! Who gets the next attempt: a backend of a pool, and a request slot on it in the same step.
//!
//! One for each pool and worker, nothing shared; and one behind a lock, for those who have waited
//! in the queue of the pool. The decisions are `logic::balance::pick`'s; here it is told what the
//! backends are like, and room is taken.

use std::sync::{Mutex, PoisonError};

use crate::logic::balance::affinity::Known;
use crate::logic::balance::hash::Key;
use crate::logic::balance::pick::{
    Candidate, Rank, RoundRobin, Tier, least_connections, leave_backups_out, random_of_two,
};
use crate::logic::balance::retry::Tried;
use crate::logic::balance::slow_start::SlowStart;
use crate::process::proxy::upstream::backend::Backend;
use crate::process::proxy::upstream::method::Method;

/// The backends of a pool in one generation, by index, and the picker of those who have waited.
pub(in crate::process::proxy) struct Backends {
    all: Vec<Backend>,
    method: Method,
    /// Whether any is a backup.
    has_backups: bool,
    /// How long one that was away begins slowly.
    slow_start: Option<SlowStart>,
    waited: Mutex<Picker>,
}

impl Backends {
    pub(in crate::process::proxy) fn new(
        method: Method,
        all: Vec<Backend>,
        slow_start: Option<SlowStart>,
    ) -> Self {
        Self {
            waited: Mutex::new(Picker::new(&all, 0)),
            has_backups: all.iter().any(|backend| backend.tier == Tier::Backup),
            slow_start,
            method,
            all,
        }
    }

    /// Returns how one of them is picked.
    pub(in crate::process::proxy) fn method(&self) -> &Method {
        &self.method
    }

    pub(in crate::process::proxy) fn all(&self) -> &[Backend] {
        &self.all
    }

    /// Returns whether any of them has a limit; no request ever waits where none has.
    pub(in crate::process::proxy) fn are_limited(&self) -> bool {
        self.all
            .iter()
            .any(|backend| backend.requests_max.is_some())
    }

    /// Takes room on a backend, whichever others there are.
    pub(in crate::process::proxy) fn take(&self, index: usize, now_ms: u64) -> Claim {
        let backend = &self.all[index];
        if !backend.try_acquire() {
            return Claim::Full;
        }
        backend.runtime.handle_picked(now_ms);
        Claim::Taken(index)
    }

    /// Claims for a request that has waited.
    pub(in crate::process::proxy) fn claim_waited(
        &self,
        now_ms: u64,
        tried: &Tried,
        wish: Wish,
    ) -> Claim {
        // A thread that panicked here left the wheel whole.
        let mut picker = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        picker.claim(self, now_ms, tried, wish)
    }
}

/// What picking remembers of one pool.
pub(in crate::process::proxy) struct Picker {
    wheel: RoundRobin,
    chance: fastrand::Rng,
    ranks: Vec<Option<Rank>>,
    candidates: Vec<Candidate>,
}

/// Where a request belongs.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::process::proxy) struct Wish {
    /// By what it is hashed.
    pub(in crate::process::proxy) key: Option<Key>,
    /// Which backend its session is on.
    pub(in crate::process::proxy) session: Option<Known>,
}

/// What came of a pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Claim {
    /// A backend by index; the request has a slot on it.
    Taken(usize),
    /// The backends of the lowest rank are full, or that of the session is.
    Full,
    /// No backend is up that has not been tried.
    NoBackend,
}

impl Picker {
    /// Returns the picker of a worker.
    pub(in crate::process::proxy) fn new(backends: &[Backend], worker: usize) -> Self {
        let weights: Vec<u16> = backends.iter().map(|backend| backend.weight).collect();
        Self {
            wheel: RoundRobin::of_worker(&weights, worker),
            chance: fastrand::Rng::new(),
            ranks: Vec::with_capacity(weights.len()),
            candidates: Vec::with_capacity(weights.len()),
        }
    }

    /// Picks the backend of a session, where that can be asked; it is not left because it is full.
    /// Otherwise one of the lowest rank, a primary where there is one; where those are full, no
    /// other is asked in their place. The key of a request counts where the pool hashes.
    pub(in crate::process::proxy) fn claim(
        &mut self,
        backends: &Backends,
        now_ms: u64,
        tried: &Tried,
        wish: Wish,
    ) -> Claim {
        let all = &backends.all;
        let session = wish.session.map(|known| known.backend);
        if let Some(own) = session
            && let Some(backend) = all.get(own)
            && !tried.contains(own)
            && backend.runtime.takes_sessions(now_ms)
        {
            return backends.take(own, now_ms);
        }
        // Once for all: they may change between two looks.
        let ranks = all.iter().enumerate().map(|(index, backend)| {
            let rank = backend.runtime.rank(now_ms);
            rank.filter(|_| !tried.contains(index))
        });
        self.ranks.clear();
        self.ranks.extend(ranks);
        let Some(lowest) = self.ranks.iter().flatten().min().copied() else {
            return Claim::NoBackend;
        };
        // The others are no better.
        if let Some(own) = session
            && self.ranks.get(own) == Some(&Some(lowest))
        {
            return backends.take(own, now_ms);
        }
        let tier = if backends.has_backups {
            let tiers = all.iter().map(|backend| backend.tier);
            leave_backups_out(&mut self.ranks, tiers, lowest)
        } else {
            Tier::Primary
        };
        while let Some(picked) = self.pick(backends, (lowest, tier), now_ms, wish.key) {
            // If not, another thread was faster.
            if all[picked].try_acquire() {
                all[picked].runtime.handle_picked(now_ms);
                return Claim::Taken(picked);
            }
        }
        Claim::Full
    }

    /// Looks at what all of them are like now.
    fn look(&mut self, all: &[Backend], lowest: Rank, weight: impl Fn(&Backend) -> u16) {
        let ranked = all.iter().zip(&self.ranks);
        let candidates = ranked.map(|(backend, rank)| Candidate {
            weight: weight(backend),
            in_flight: backend.runtime.in_flight(),
            usable: *rank == Some(lowest) && backend.has_free_slot(),
        });
        self.candidates.clear();
        self.candidates.extend(candidates);
    }

    fn pick(
        &mut self,
        backends: &Backends,
        (lowest, tier): (Rank, Tier),
        now_ms: u64,
        key: Option<Key>,
    ) -> Option<usize> {
        match backends.slow_start {
            None => self.look(&backends.all, lowest, |backend| backend.weight),
            Some(slow_start) => self.look(&backends.all, lowest, |backend| {
                slow_start.weight(backend.weight, backend.runtime.up_ms(now_ms))
            }),
        }
        match (&backends.method, key) {
            (Method::RoundRobin, _) => self.wheel.pick(&self.candidates),
            (Method::LeastConnections, _) => {
                least_connections(&mut self.candidates, &mut self.wheel)
            }
            (Method::Hash(tables), Some(key)) => tables.of_tier(tier).pick(key, &self.candidates),
            (Method::RandomOfTwo, _) | (Method::Hash(_), None) => {
                let chance = [self.chance.u64(..), self.chance.u64(..)];
                random_of_two(&self.candidates, chance)
            }
        }
    }
}
