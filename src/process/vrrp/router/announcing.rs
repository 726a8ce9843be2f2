//! Rounds of announcements at a pace: which address is next, and when.

use std::time::{Duration, Instant};

/// Rounds of announcements under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcing {
    /// This one and those that follow it.
    pub(super) rounds: u8,
    /// The place of the next address.
    pub(super) next: usize,
    /// When that is announced.
    pub(super) due_at: Instant,
}

impl Announcing {
    pub(super) const fn begun(rounds: u8, due_at: Instant) -> Self {
        Self {
            rounds,
            next: 0,
            due_at,
        }
    }

    /// What remains after one of `count` addresses was announced.
    pub(super) fn after_one(mut self, count: usize, now: Instant, pace: Duration) -> Option<Self> {
        self.next += 1;
        if self.next >= count {
            self.next = 0;
            self.rounds = self.rounds.saturating_sub(1);
        }
        // What is late is caught up, but not more than one turn's worth.
        self.due_at = (self.due_at + pace).max(now.checked_sub(CAUGHT_UP_MAX).unwrap_or(now));
        (self.rounds > 0).then_some(self)
    }
}

/// What a turn that came late makes up for.
const CAUGHT_UP_MAX: Duration = Duration::from_millis(500);
