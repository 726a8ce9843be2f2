//! Who gets the next attempt: a backend of a pool, and room on it in the same step.
//!
//! One for each pool and data thread, nothing shared; and one behind the lock of the pool's queue, for those who have
//! waited. The choice among the usable is `logic::balance::pick`'s; who is usable is decided here.

use super::shared::{Backend, Room};
use crate::logic::balance::Balance;
use crate::logic::balance::health::Availability;
use crate::logic::balance::pick::{Candidate, RoundRobin, random_of_two};
use crate::logic::balance::retry::Tried;

/// What picking remembers of one pool.
pub(super) struct Picker {
    balance: Balance,
    wheel: RoundRobin,
    chance: fastrand::Rng,
    candidates: Vec<Candidate>,
}

/// What came of a pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// A backend by index; the request has room on it.
    Taken(usize),
    /// Those who would be asked have no room.
    Full,
    /// There is nobody to be asked.
    Nobody,
}

impl Picker {
    /// Returns a picker whose wheel is `offset` turns ahead.
    pub(super) fn new(balance: Balance, backends: &[Backend], offset: usize) -> Picker {
        let weights: Vec<u16> = backends.iter().map(|backend| backend.weight).collect();
        Picker {
            balance,
            wheel: RoundRobin::new(&weights, offset),
            chance: fastrand::Rng::new(),
            candidates: Vec::with_capacity(weights.len()),
        }
    }

    /// Picks among those that are up or, if there is none, among the unprobed; who could not be connected to a moment
    /// ago comes last. Full ones count: nobody is asked in their place who would not be asked otherwise.
    pub(super) fn claim(&mut self, backends: &[Backend], now_ms: u64, tried: &Tried) -> Claim {
        for rank in [
            (Availability::Up, false),
            (Availability::Up, true),
            (Availability::Unprobed, false),
            (Availability::Unprobed, true),
        ] {
            let is_asked = |(index, backend): (usize, &Backend)| {
                (backend.availability(), backend.is_avoided(now_ms)) == rank
                    && !tried.contains(index)
            };
            if !backends.iter().enumerate().any(is_asked) {
                continue;
            }
            while let Some(picked) = self.pick(backends, is_asked) {
                match backends[picked].take_room() {
                    Room::Taken => return Claim::Taken(picked),
                    // Another thread was faster.
                    Room::None => {}
                }
            }
            return Claim::Full;
        }
        Claim::Nobody
    }

    fn pick(
        &mut self,
        backends: &[Backend],
        is_asked: impl Fn((usize, &Backend)) -> bool,
    ) -> Option<usize> {
        self.candidates.clear();
        let candidates = backends
            .iter()
            .enumerate()
            .map(|(index, backend)| Candidate {
                weight: backend.weight,
                in_flight: backend.in_flight(),
                usable: is_asked((index, backend)) && backend.has_room(),
            });
        self.candidates.extend(candidates);
        match self.balance {
            Balance::RoundRobin => self.wheel.pick(&self.candidates),
            Balance::RandomOfTwo => {
                let chance = [self.chance.u64(..), self.chance.u64(..)];
                random_of_two(&self.candidates, chance)
            }
        }
    }
}
