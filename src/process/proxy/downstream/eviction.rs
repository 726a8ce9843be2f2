//! Whose place a new connection gets where all are taken: that of the connection which has been
//! idle longest.
//!
//! Idle connections are looked for only when a place is wanted, many at a time and the oldest
//! first; the next ones that come use up what was found. So a flood at a full house costs each
//! connection a bounded share of a look. The connection that is asked decides: one that has
//! something to read stays. Knows nothing of sockets; `worker` admits, `connection` leaves.

use std::cell::{Cell, RefCell};

use tokio::sync::Notify;

/// What one worker knows of those who wait for a place, and of those who have one.
#[derive(Default)]
pub(in crate::process::proxy) struct Evictions {
    /// Of all listeners; each has its own besides.
    pub(in crate::process::proxy) oldest: RefCell<Oldest>,
    /// New connections that wait.
    waiting: Cell<usize>,
    /// One of them does not wait any more.
    eased: Notify,
    /// A place has become free, or will not.
    pub(in crate::process::proxy) changed: Notify,
}

impl Evictions {
    /// Returns whether one more may wait.
    pub(in crate::process::proxy) fn has_room(&self) -> bool {
        self.waiting.get() < WAITING_MAX
    }

    /// One more waits.
    pub(in crate::process::proxy) fn begin_waiting(&self) {
        self.waiting.set(self.waiting.get() + 1);
    }

    /// One waits no more.
    pub(in crate::process::proxy) fn end_waiting(&self) {
        self.waiting.set(self.waiting.get() - 1);
        self.eased.notify_waiters();
    }

    /// Lets those who are asked for their place, and those who wait for one, have their turn before
    /// more are accepted: the kernel keeps the others meanwhile. None waits long.
    pub(in crate::process::proxy) async fn until_there_is_room(&self) {
        if self.waiting.get() > 0 {
            tokio::task::yield_now().await;
        }
        while !self.has_room() {
            self.eased.notified().await;
        }
    }

    /// Tells those who wait that a place may be free.
    pub(in crate::process::proxy) fn tell(&self) {
        if self.waiting.get() > 0 {
            self.changed.notify_one();
        }
    }
}

/// Idle connections that were found, the oldest last.
#[derive(Default)]
pub(in crate::process::proxy) struct Oldest {
    found: Vec<Idle>,
    /// When was looked last, by the coarse clock,
    looked_at_ms: Option<u64>,
    /// among how many,
    looked_at: usize,
    /// and how many were returned since.
    taken: usize,
}

/// A connection that was idle when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::process::proxy) struct Idle {
    pub(in crate::process::proxy) since_ms: u64,
    pub(in crate::process::proxy) slot: usize,
}

impl Oldest {
    /// Returns the one found that has been idle longest and still `is_idle`.
    pub(in crate::process::proxy) fn take(
        &mut self,
        is_idle: impl Fn(Idle) -> bool,
    ) -> Option<Idle> {
        while let Some(idle) = self.found.pop() {
            if is_idle(idle) {
                self.taken += 1;
                return Some(idle);
            }
        }
        None
    }

    /// Returns whether it is worth looking again: a beat after the last look, or where enough has
    /// come of it.
    pub(in crate::process::proxy) fn may_look(&self, now_ms: u64) -> bool {
        self.looked_at_ms != Some(now_ms) || self.taken * LOOKED_AT_FOR_ONE >= self.looked_at
    }

    /// Takes note of the idle connections among so many.
    pub(in crate::process::proxy) fn look(
        &mut self,
        now_ms: u64,
        among: usize,
        idle: impl Iterator<Item = Idle>,
    ) {
        self.found.clear();
        self.found.extend(idle);
        if self.found.len() > FOUND_MAX {
            self.found.select_nth_unstable(FOUND_MAX);
            self.found.truncate(FOUND_MAX);
            self.found.shrink_to_fit();
        }
        self.found.sort_unstable_by(|one, other| other.cmp(one));
        self.looked_at_ms = Some(now_ms);
        self.looked_at = among;
        self.taken = 0;
    }
}

/// Connections looked at for one that leaves, where they are looked at more than once a beat.
const LOOKED_AT_FOR_ONE: usize = 32;
/// Remembered of a look.
const FOUND_MAX: usize = 1024;

/// New connections of a worker that wait for a place at once; further ones wait in the kernel.
const WAITING_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(since_ms: u64, slot: usize) -> Idle {
        Idle { since_ms, slot }
    }

    #[test]
    fn oldest_leaves_first_and_who_is_busy_again_stays() {
        let mut oldest = Oldest::default();
        assert!(oldest.may_look(0));
        oldest.look(0, 3, [idle(20, 0), idle(10, 1), idle(30, 2)].into_iter());
        assert_eq!(oldest.take(|_| true), Some(idle(10, 1)));
        assert_eq!(oldest.take(|idle| idle.slot != 0), Some(idle(30, 2)));
        assert_eq!(oldest.take(|_| true), None);
    }

    #[test]
    fn a_full_house_is_looked_through_seldom() {
        let mut oldest = Oldest::default();
        let all = 20_000;
        let mut looked_at = 0;
        let mut taken = 0;
        for _ in 0..10_000 {
            if oldest.take(|_| true).is_some() {
                taken += 1;
            } else if oldest.may_look(0) {
                oldest.look(0, all, (0..all).map(|slot| idle(1000 + slot as u64, slot)));
                looked_at += all;
            }
        }
        assert!(taken > 1000, "{taken} were found");
        assert!(
            looked_at <= all + taken * LOOKED_AT_FOR_ONE,
            "{looked_at} for {taken}"
        );
        oldest.look(1, all, std::iter::empty());
        assert!(
            !oldest.may_look(1) && oldest.may_look(2),
            "in the next beat"
        );
    }
}
