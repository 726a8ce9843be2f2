//! Who gets the next attempt: a backend of a pool, and a request slot on it in the same step.
//!
//! One for each pool and worker, nothing shared; and one behind a lock, for those who have waited
//! in the queue of the pool. The decisions are `logic::balance::pick`'s; here it is told what the
//! backends are like, and room is taken.

use std::sync::{Mutex, PoisonError};

use crate::logic::balance::Balance;
use crate::logic::balance::pick::{Candidate, Rank, RoundRobin, least_connections, random_of_two};
use crate::logic::balance::retry::Tried;
use crate::process::proxy::upstream::backend::Backend;

/// The backends of a pool in one generation, by index, and the picker of those who have waited.
pub(in crate::process::proxy) struct Backends {
    all: Vec<Backend>,
    waited: Mutex<Picker>,
}

impl Backends {
    pub(in crate::process::proxy) fn new(balance: Balance, all: Vec<Backend>) -> Self {
        Self {
            waited: Mutex::new(Picker::new(balance, &all, 0)),
            all,
        }
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

    /// Claims for a request that has waited.
    pub(in crate::process::proxy) fn claim_waited(&self, now_ms: u64, tried: &Tried) -> Claim {
        // A thread that panicked here left the wheel whole.
        let mut picker = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        picker.claim(&self.all, now_ms, tried)
    }
}

/// What picking remembers of one pool.
pub(in crate::process::proxy) struct Picker {
    balance: Balance,
    wheel: RoundRobin,
    chance: fastrand::Rng,
    ranks: Vec<Option<Rank>>,
    candidates: Vec<Candidate>,
}

/// What came of a pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Claim {
    /// A backend by index; the request has a slot on it.
    Taken(usize),
    /// The backends of the lowest rank are full.
    Full,
    /// No backend is up that has not been tried.
    NoBackend,
}

impl Picker {
    /// Returns the picker of a worker.
    pub(in crate::process::proxy) fn new(
        balance: Balance,
        backends: &[Backend],
        worker: usize,
    ) -> Self {
        let weights: Vec<u16> = backends.iter().map(|backend| backend.weight).collect();
        Self {
            balance,
            wheel: RoundRobin::of_worker(&weights, worker),
            chance: fastrand::Rng::new(),
            ranks: Vec::with_capacity(weights.len()),
            candidates: Vec::with_capacity(weights.len()),
        }
    }

    /// Picks a backend of the lowest rank; where those are full, no other is asked in their place.
    pub(in crate::process::proxy) fn claim(
        &mut self,
        backends: &[Backend],
        now_ms: u64,
        tried: &Tried,
    ) -> Claim {
        // Once for all: they may change between two looks.
        let ranks = backends.iter().enumerate().map(|(index, backend)| {
            let rank = Rank::of(
                backend.runtime.availability(),
                backend.runtime.ejection(now_ms),
            );
            rank.filter(|_| backend.runtime.takes_requests() && !tried.contains(index))
        });
        self.ranks.clear();
        self.ranks.extend(ranks);
        let Some(lowest) = self.ranks.iter().flatten().min().copied() else {
            return Claim::NoBackend;
        };
        while let Some(picked) = self.pick(backends, lowest) {
            // If not, another thread was faster.
            if backends[picked].try_acquire() {
                backends[picked].runtime.handle_picked(now_ms);
                return Claim::Taken(picked);
            }
        }
        Claim::Full
    }

    fn pick(&mut self, backends: &[Backend], lowest: Rank) -> Option<usize> {
        let ranked = backends.iter().zip(&self.ranks);
        let candidates = ranked.map(|(backend, rank)| Candidate {
            weight: backend.weight,
            in_flight: backend.runtime.in_flight(),
            usable: *rank == Some(lowest) && backend.has_free_slot(),
        });
        self.candidates.clear();
        self.candidates.extend(candidates);
        match self.balance {
            Balance::RoundRobin => self.wheel.pick(&self.candidates),
            Balance::LeastConnections => least_connections(&mut self.candidates, &mut self.wheel),
            Balance::RandomOfTwo => {
                let chance = [self.chance.u64(..), self.chance.u64(..)];
                random_of_two(&self.candidates, chance)
            }
        }
    }
}
