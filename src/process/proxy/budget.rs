//! How much one connection may do before the others of its worker have their turn.
//!
//! A socket of a fast peer is always ready: without a bound, one poll of one connection would last as
//! long as the peer goes on. Every loop that reads, writes or parses asks before each round and pays
//! after it, in bytes as `splice` moves them; what costs more a byte pays a multiple. The more
//! connections use all they get, the less each of them gets at a time, so that a round of all of them
//! stays short. Nothing here is about clients or backends.

use std::cell::Cell;
use std::task::{Context, Poll};

/// What is left for the poll that goes on now, and how often it was used up, on one worker.
#[derive(Default)]
pub(super) struct Budget {
    left: Cell<usize>,
    used_up: Cell<u64>,
}

/// What a connection remembers of the budget between its polls.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    /// How often connections of this worker had used theirs up when this one last did.
    used_up: u64,
    hungry: bool,
}

impl Share {
    /// Returns whether the last poll has used all it got.
    pub(super) fn is_used_up(self) -> bool {
        self.hungry
    }
}

impl Budget {
    /// Begins the poll of a connection.
    pub(super) fn begin(&self, share: Share) {
        let since = self.used_up.get().wrapping_sub(share.used_up);
        self.left.set(match share.hungry {
            true => credit(since),
            false => CREDIT_MAX,
        });
    }

    /// Ends it; returns what the connection remembers.
    pub(super) fn end(&self) -> Share {
        let hungry = self.left.get() == 0;
        if hungry {
            self.used_up.set(self.used_up.get().wrapping_add(1));
        }
        Share {
            used_up: self.used_up.get(),
            hungry,
        }
    }

    /// Pays for a step.
    pub(super) fn charge(&self, cost: usize) {
        self.left
            .set(self.left.get().saturating_sub(cost.max(STEP_COST)));
    }

    /// Returns whether nothing more is done in this poll.
    pub(super) fn is_used_up(&self) -> bool {
        self.left.get() == 0
    }

    /// Ready where there is something left; otherwise the task is polled again behind the others.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_used_up() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// Returns what a connection gets where so many have used theirs up since it last did.
fn credit(others: u64) -> usize {
    let all = usize::try_from(others)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    (ROUND / all).clamp(CREDIT_MIN, CREDIT_MAX)
}

/// A step costs this at least: about what a system call takes.
pub(super) const STEP_COST: usize = 8 * 1024;
/// A byte that is parsed, not only moved, costs as much as so many.
pub(super) const PARSED: usize = 16;
/// What a connection gets that has not used up what it got last: four large reads.
const CREDIT_MAX: usize = 1024 * 1024;
/// What it gets at least, however many others there are.
const CREDIT_MIN: usize = 64 * 1024;
/// What all that are hungry get together in one round; some milliseconds.
const ROUND: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU64);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// Polls once, as a loop that costs so much a round; returns the rounds.
    fn rounds(budget: &Budget, share: &mut Share, cost: usize) -> usize {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        budget.begin(*share);
        let mut rounds = 0;
        while budget.poll(&cx).is_ready() {
            budget.charge(cost);
            rounds += 1;
        }
        *share = budget.end();
        assert_eq!(woken.0.load(Relaxed), 1, "its task is polled again");
        rounds
    }

    #[test]
    fn a_connection_alone_gets_four_large_reads_or_as_many_small_steps() {
        let budget = Budget::default();
        let mut share = Share::default();
        for _ in 0..3 {
            assert_eq!(rounds(&budget, &mut share, 256 * 1024), 4);
            assert_eq!(rounds(&budget, &mut share, 1), 128, "a step is never free");
        }
    }

    #[test]
    fn the_more_are_hungry_the_less_each_gets() {
        for (count, hoped) in [(1, 128), (16, 128), (32, 64), (256, 8), (1000, 8)] {
            let budget = Budget::default();
            let mut shares = vec![Share::default(); count];
            for _ in 0..2 {
                for share in &mut shares {
                    rounds(&budget, share, STEP_COST);
                }
            }
            assert_eq!(
                rounds(&budget, &mut shares[0], STEP_COST),
                hoped,
                "of {count}"
            );
        }
    }

    #[test]
    fn who_needs_little_gets_all_of_it_at_once() {
        let budget = Budget::default();
        let waker = Waker::noop();
        let mut share = Share::default();
        for _ in 0..10_000 {
            budget.begin(share);
            budget.charge(30_000);
            assert!(budget.poll(&Context::from_waker(waker)).is_ready());
            share = budget.end();
        }
        assert_eq!(budget.used_up.get(), 0);
    }
}
