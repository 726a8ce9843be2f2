//! How much one connection may do before the others of its worker have their turn.
//!
//! A socket of a fast peer is always ready: without a bound, one poll of one connection would last
//! as long as the peer goes on. Every loop that reads, writes or parses asks before each round and
//! pays after it, in bytes as `splice` moves them; what costs more a byte pays a multiple. Who has
//! used all up is hungry, and waits in a line of its own: a few of it are fed at a time, and
//! between two meals whoever needs little is served at once. So a request of some hundred bytes
//! does not wait for a round of a thousand downloads. What keeps the whole worker waiting for a
//! moment, a signature, has a line of its own, and comes one at a time. Many tasks that are one
//! peer's share what they get, however many they are. Nothing here is about clients or backends.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What is left for the poll that goes on now, and who waits for more, on one worker.
#[derive(Default)]
pub(in crate::process::proxy) struct Budget {
    left: Cell<usize>,
    /// Each at most once; so as many as the worker has connections.
    line: RefCell<Line>,
    /// Those that wait for their turn with what keeps everybody waiting; likewise.
    slow_line: RefCell<Line>,
    is_slow: Cell<bool>,
    feeder: RefCell<Option<Waker>>,
}

type Line = VecDeque<(Rc<Hunger>, Waker)>;

/// Whether a connection stands in a line, and what it has where it is many tasks.
#[derive(Debug, Default)]
pub(in crate::process::proxy) struct Hunger {
    waits: Cell<bool>,
    /// Of many tasks.
    joint: Option<Joint>,
}

/// What tasks have together.
#[derive(Debug)]
struct Joint {
    /// Until the next meal.
    left: Cell<usize>,
    /// Those that wait for it besides the one in line.
    others: RefCell<Vec<Waker>>,
}

impl Hunger {
    /// Returns that of many tasks, which get something together.
    pub(in crate::process::proxy) fn joint() -> Self {
        Self {
            waits: Cell::new(false),
            joint: Some(Joint {
                left: Cell::new(JOINT_CREDIT),
                others: RefCell::default(),
            }),
        }
    }

    /// Returns whether a task has to wait; it is polled again at the next meal.
    pub(in crate::process::proxy) fn must_wait(&self, cx: &Context<'_>) -> bool {
        if let (true, Some(joint)) = (self.waits.get(), &self.joint) {
            let mut others = joint.others.borrow_mut();
            if !others.iter().any(|other| other.will_wake(cx.waker())) {
                others.push(cx.waker().clone());
            }
        }
        self.waits.get()
    }

    /// It is its turn.
    fn feed(&self, first: Waker) {
        self.waits.set(false);
        first.wake();
        if let Some(joint) = &self.joint {
            joint.left.set(JOINT_CREDIT);
            joint.others.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Returns what a poll may use.
    fn credit(&self) -> usize {
        self.joint
            .as_ref()
            .map_or(CREDIT, |it| it.left.get().min(CREDIT))
    }

    /// Pays for a poll that had so much and has this left.
    fn pay(&self, left: usize) {
        if let Some(joint) = &self.joint {
            let used = (self.credit() - left).max(STEP_COST);
            joint.left.set(joint.left.get().saturating_sub(used));
        }
    }
}

impl Budget {
    /// Begins the poll of a connection, or of a task of one.
    pub(in crate::process::proxy) fn begin(&self, hunger: &Hunger) {
        self.left.set(hunger.credit());
        self.is_slow.set(false);
    }

    /// Has the poll end here, and go on when it is its turn with what keeps everybody waiting.
    pub(in crate::process::proxy) fn wait_for_slow_turn(&self) {
        self.left.set(0);
        self.is_slow.set(true);
    }

    /// Ends it; who has used all up and goes on gets in line.
    pub(in crate::process::proxy) fn end(
        &self,
        hunger: &Rc<Hunger>,
        poll: Poll<()>,
        cx: &Context<'_>,
    ) {
        hunger.pay(self.left.get());
        if poll.is_pending() && self.is_used_up() && !hunger.waits.replace(true) {
            let waiting = (Rc::clone(hunger), cx.waker().clone());
            let line = match self.is_slow.get() {
                true => &self.slow_line,
                false => &self.line,
            };
            line.borrow_mut().push_back(waiting);
            if let Some(feeder) = self.feeder.take() {
                feeder.wake();
            }
        }
    }

    /// Pays for a step.
    pub(in crate::process::proxy) fn charge(&self, cost: usize) {
        let left = self.left.get();
        self.left.set(left.saturating_sub(cost.max(STEP_COST)));
    }

    /// Returns whether nothing more is done in this poll.
    pub(in crate::process::proxy) fn is_used_up(&self) -> bool {
        self.left.get() == 0
    }

    /// Ready where there is something left; otherwise the task is polled again when its turn comes.
    pub(in crate::process::proxy) fn poll(&self) -> Poll<()> {
        if self.is_used_up() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Wakes the next in line, some at a time; never ends. Whoever needs little runs between two
    /// meals.
    pub(in crate::process::proxy) async fn feed(&self) {
        loop {
            std::future::poll_fn(|cx| self.poll_line(cx)).await;
            for (line, count) in [(&self.line, FED_AT_ONCE), (&self.slow_line, 1)] {
                for _ in 0..count {
                    let Some((hunger, waker)) = line.borrow_mut().pop_front() else {
                        break;
                    };
                    hunger.feed(waker);
                }
            }
            // Comes back when all others that can run have run, and the sockets were asked.
            tokio::task::yield_now().await;
        }
    }

    /// Ready when a connection waits.
    fn poll_line(&self, cx: &Context<'_>) -> Poll<()> {
        if self.line.borrow().is_empty() && self.slow_line.borrow().is_empty() {
            *self.feeder.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// A step costs this at least: about what a system call takes.
pub(in crate::process::proxy) const STEP_COST: usize = 8 * 1024;
/// A byte that is parsed, not only moved, costs as much as so many.
pub(in crate::process::proxy) const PARSED: usize = 16;
/// What a connection gets at a time: one large read and its write.
const CREDIT: usize = 512 * 1024;
/// What tasks that are one connection's get together until their next meal.
const JOINT_CREDIT: usize = 4 * CREDIT;
/// So many are fed at a time: about half a millisecond for the connections behind them.
const FED_AT_ONCE: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU64);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    struct Greedy {
        hunger: Rc<Hunger>,
        woken: Arc<Woken>,
    }

    impl Greedy {
        fn new() -> Self {
            Self {
                hunger: Rc::default(),
                woken: Arc::default(),
            }
        }

        /// Polls once, as a loop that costs so much a round; returns the rounds.
        fn poll(&self, budget: &Budget, cost: usize) -> usize {
            let waker = Waker::from(Arc::clone(&self.woken));
            let cx = Context::from_waker(&waker);
            budget.begin(&self.hunger);
            let mut rounds = 0;
            while budget.poll().is_ready() {
                budget.charge(cost);
                rounds += 1;
            }
            budget.end(&self.hunger, Poll::Pending, &cx);
            rounds
        }

        fn meals(&self) -> u64 {
            self.woken.0.load(Relaxed)
        }
    }

    /// Polls the feeder once, which feeds some.
    fn feed(budget: &Budget) {
        let mut feeder = std::pin::pin!(budget.feed());
        let fed = feeder
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(fed.is_pending(), "it never ends");
    }

    #[test]
    fn a_poll_is_bounded_in_bytes_and_in_steps() {
        let budget = Budget::default();
        let greedy = Greedy::new();
        assert_eq!(greedy.poll(&budget, 256 * 1024), 2);
        assert_eq!(greedy.poll(&budget, 1), 64, "a step is never free");
    }

    #[test]
    fn the_hungry_are_fed_in_order_and_some_at_a_time() {
        let budget = Budget::default();
        let all: Vec<Greedy> = (0..10).map(|_| Greedy::new()).collect();
        for greedy in &all {
            greedy.poll(&budget, 1);
            // Polled again for another reason it does not stand in line twice.
            greedy.poll(&budget, 1);
        }
        let meals = || all.iter().map(Greedy::meals).collect::<Vec<_>>();
        feed(&budget);
        assert_eq!(meals(), [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
        all[0].poll(&budget, 1);
        feed(&budget);
        feed(&budget);
        assert_eq!(meals(), [2, 1, 1, 1, 1, 1, 1, 1, 1, 1], "behind the others");
        feed(&budget);
        assert_eq!(meals().iter().sum::<u64>(), 11, "nobody is left");
    }

    #[test]
    fn what_keeps_everybody_waiting_comes_one_at_a_time_beside_the_others() {
        let budget = Budget::default();
        let (slow, greedy) = (
            (0..3).map(|_| Greedy::new()).collect::<Vec<_>>(),
            Greedy::new(),
        );
        for one in &slow {
            let waker = Waker::from(Arc::clone(&one.woken));
            budget.begin(&one.hunger);
            budget.wait_for_slow_turn();
            let cx = Context::from_waker(&waker);
            budget.end(&one.hunger, Poll::Pending, &cx);
        }
        greedy.poll(&budget, 1);
        let meals = || slow.iter().map(Greedy::meals).collect::<Vec<_>>();
        feed(&budget);
        assert_eq!(
            (meals(), greedy.meals()),
            (vec![1, 0, 0], 1),
            "not behind them"
        );
        feed(&budget);
        assert_eq!(meals(), [1, 1, 0]);
    }

    #[test]
    fn who_needs_little_never_stands_in_line() {
        let budget = Budget::default();
        let hunger = Rc::<Hunger>::default();
        for _ in 0..10_000 {
            budget.begin(&hunger);
            budget.charge(30_000);
            assert!(budget.poll().is_ready());
            let cx = Context::from_waker(Waker::noop());
            budget.end(&hunger, Poll::Pending, &cx);
        }
        assert!(budget.line.borrow().is_empty());
    }

    #[test]
    fn tasks_of_one_connection_get_no_more_for_being_many() {
        let budget = Budget::default();
        let hunger = Rc::new(Hunger::joint());
        let tasks: Vec<Greedy> = (0..100)
            .map(|_| Greedy {
                hunger: Rc::clone(&hunger),
                woken: Arc::default(),
            })
            .collect();
        // Each needs little, again and again.
        let round = || {
            let mut steps = 0;
            for task in &tasks {
                let waker = Waker::from(Arc::clone(&task.woken));
                let cx = Context::from_waker(&waker);
                if hunger.must_wait(&cx) {
                    continue;
                }
                budget.begin(&hunger);
                if budget.poll().is_ready() {
                    budget.charge(1);
                    steps += 1;
                }
                budget.end(&hunger, Poll::Pending, &cx);
            }
            steps
        };
        assert_eq!((0..10).map(|_| round()).sum::<usize>(), 256);
        assert_eq!(budget.line.borrow().len(), 1);
        feed(&budget);
        let meals: Vec<u64> = tasks.iter().map(Greedy::meals).collect();
        assert!(meals.iter().all(|meals| *meals >= 1), "all go on");
        // The one in line may have been woken for another reason before.
        assert!(meals.iter().sum::<u64>() <= 101, "each once");
        assert_eq!(round(), 100);
    }
}
