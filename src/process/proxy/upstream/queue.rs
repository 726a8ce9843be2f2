//! Where requests wait whose backends are full: one order for each pool, over all workers.
//!
//! The order is that of `logic::balance::queue`; here it has a lock and wakers. Waiting requests
//! are woken where a slot is released and where a backend comes up or goes down; a request that is
//! woken has its slot already. The lock is taken only where requests wait or have to: a count
//! beside it says so.
//!
//! No call is lost between the two numbers, though neither is written under the lock of the other:
//! who enters counts itself, then looks for room; who gives room back does so, then looks at the
//! count. A fence between the two steps on either side lets at least one of them see the other.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::logic::balance::queue::{Lane, Offer, Queue, Ticket, Urgency};
use crate::logic::balance::retry::Tried;
use crate::process::proxy::upstream::picker::{Backends, Claim, Wish};

/// The queue of one pool.
///
/// It holds at most as many as there are client connections, which are bounded: a connection waits
/// with one request.
#[derive(Default)]
pub(in crate::process::proxy) struct PoolQueue {
    /// Whether a backend has or had a limit; no request ever waits where none has.
    open: AtomicBool,
    /// How many wait uncalled; written under the lock.
    waiting: AtomicU64,
    inside: Mutex<Inside>,
    /// Requests that had to wait; written under the lock.
    waited: AtomicU64,
}

#[derive(Default)]
struct Inside {
    queue: Queue<Waiter, Call>,
    /// Where the backends are of the one that came last. Generations follow each other: where one
    /// waits for the same, so do all behind it that are new.
    newest: usize,
}

struct Waiter {
    /// Those it may get.
    backends: Arc<Backends>,
    tried: Tried,
    wish: Wish,
    /// `None` until it is polled.
    waker: Option<Waker>,
}

/// What a waiting request is woken with.
pub(in crate::process::proxy) enum Call {
    /// A slot on a backend, by index, that was acquired for it.
    Slot(usize),
    /// No backend is left to wait for.
    NoBackend,
    /// The pool is another one now, with other backends.
    Superseded,
}

impl PoolQueue {
    /// Lets requests wait: a backend has a limit.
    pub(in crate::process::proxy) fn open(&self) {
        self.open.store(true, Relaxed);
    }

    /// Returns how many wait.
    pub(in crate::process::proxy) fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// Returns how many have ever waited.
    pub(in crate::process::proxy) fn waited(&self) -> u64 {
        self.waited.load(Relaxed)
    }

    /// Returns whether requests wait, which no new one may overtake.
    pub(in crate::process::proxy) fn is_busy(&self) -> bool {
        self.open.load(Relaxed) && self.waiting() > 0
    }

    /// Wakes, in order, every request for which there is a slot, or no backend left. To be called
    /// after either may have come true.
    pub(in crate::process::proxy) fn call(&self, now_ms: u64) {
        if !self.open.load(Relaxed) {
            return;
        }
        fence(SeqCst);
        while self.is_busy() {
            let mut inside = self.lock();
            let Inside { queue, newest } = &mut *inside;
            let called = queue.call_next(|waiter| offer(waiter, *newest, now_ms));
            self.count(queue);
            drop(inside);
            match called {
                Some(Waiter { waker, .. }) => drop(waker.map(Waker::wake)),
                None => return,
            }
        }
    }

    /// Wakes all that wait for other backends than these, which have come in their place, unless
    /// they have been tried on some of those.
    pub(in crate::process::proxy) fn recall(&self, newest: &Arc<Backends>) {
        let offer = |waiter: &Waiter| {
            if waiter.tried.count() == 0 && !Arc::ptr_eq(&waiter.backends, newest) {
                Offer::Call(Call::Superseded)
            } else {
                Offer::Pass
            }
        };
        while self.is_busy() {
            let mut inside = self.lock();
            let called = inside.queue.call_next(offer);
            self.count(&inside.queue);
            drop(inside);
            match called {
                Some(Waiter { waker, .. }) => drop(waker.map(Waker::wake)),
                None => return,
            }
        }
    }

    /// Takes a place: behind all that are as urgent, or before all new ones where the request was
    /// tried already.
    pub(in crate::process::proxy) fn enter(
        &self,
        backends: &Arc<Backends>,
        now_ms: u64,
        tried: Tried,
        urgency: Urgency,
        wish: Wish,
    ) -> Ticket {
        let lane = match tried.count() {
            0 => Lane::New(urgency),
            _ => Lane::Again,
        };
        let waiter = Waiter {
            backends: Arc::clone(backends),
            tried,
            wish,
            waker: None,
        };
        let mut inside = self.lock();
        inside.newest = Arc::as_ptr(backends).addr();
        let session = wish.session.map(|known| known.backend);
        let line = session.filter(|own| !tried.contains(*own));
        let ticket = inside.queue.enter_line(lane, line, waiter);
        self.count(&inside.queue);
        self.waited.store(self.waited() + 1, Relaxed);
        drop(inside);
        self.call(now_ms);
        ticket
    }

    /// Ready with what a ticket was called with.
    pub(in crate::process::proxy) fn poll(
        &self,
        ticket: Ticket,
        cx: &mut Context<'_>,
    ) -> Poll<Call> {
        let mut inside = self.lock();
        if let Some(call) = inside.queue.answer(ticket) {
            return Poll::Ready(call);
        }
        if let Some(waiter) = inside.queue.waiter_mut(ticket) {
            match &waiter.waker {
                Some(known) if known.will_wake(cx.waker()) => {}
                Some(_) | None => waiter.waker = Some(cx.waker().clone()),
            }
        }
        Poll::Pending
    }

    /// Ends a ticket; returns what it was called with and has not heard of.
    pub(in crate::process::proxy) fn leave(&self, ticket: Ticket) -> Option<Call> {
        let mut inside = self.lock();
        let left = inside.queue.leave(ticket);
        self.count(&inside.queue);
        left
    }

    /// A thread that panicked here left the queue whole.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, queue: &Queue<Waiter, Call>) {
        self.waiting.store(queue.waiting() as u64, Relaxed);
    }
}

fn offer(waiter: &Waiter, newest: usize, now_ms: u64) -> Offer<Call> {
    let Waiter {
        backends,
        tried,
        wish,
        ..
    } = waiter;
    match backends.claim_waited(now_ms, tried, *wish) {
        Claim::Taken(backend) => Offer::Call(Call::Slot(backend)),
        Claim::NoBackend => Offer::Call(Call::NoBackend),
        // All behind it in its line are new too, with the same backends and the same wish, and
        // would be told the same.
        Claim::Full if tried.count() == 0 && Arc::as_ptr(backends).addr() == newest => Offer::Stop,
        Claim::Full => Offer::Pass,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::task::Wake;
    use std::thread::{self, Thread};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::logic::balance::health::Availability;
    use crate::process::proxy::generation::Generation;
    use crate::process::proxy::upstream::method::Method;
    use crate::process::proxy::upstream::picker::Picker;
    use crate::process::proxy::upstream::pool::Pool;

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Returns a pool of two backends, which take so many requests.
    fn pool(limits: [u32; 2]) -> Arc<Pool> {
        let [a, b] = limits;
        let yaml = format!(
            "listeners: {{http: {{bind: [\"127.0.0.1:80\"], pool: web}}}}\npools:\n  web:\n    \
             health_check: none\n    backends: {{a: {{address: \"127.0.0.2:80\", requests: {a}}}, \
             b: {{address: \"127.0.0.3:80\", requests: {b}}}}}\n"
        );
        Arc::clone(&Generation::of_text(&yaml, None).pools[0])
    }

    fn enter(pool: &Pool, tried: Tried) -> Ticket {
        let queue = &pool.runtime.queue;
        queue.enter(&pool.backends, 0, tried, Urgency::Normal, Wish::default())
    }

    /// Waits on this thread until it is called, in vain if no call comes in time.
    fn wait(pool: &Pool, ticket: Ticket) -> Call {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let deadline_at = Instant::now() + Duration::from_secs(20);
        loop {
            if let Poll::Ready(call) = pool
                .runtime
                .queue
                .poll(ticket, &mut Context::from_waker(&waker))
            {
                return call;
            }
            let left = deadline_at.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "a call was lost");
            thread::park_timeout(left);
        }
    }

    /// One request after another, from a thread that picks for itself: claims, waits or leaves,
    /// holds, gives back.
    fn visit(pool: &Pool, busy: &[AtomicU64; 2], seed: u64) {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut picker = Picker::new(pool.backends.all(), 0);
        for _ in 0..ROUNDS {
            let claim = match pool.runtime.queue.is_busy() {
                true => Claim::Full,
                false => picker.claim(&pool.backends, 0, &Tried::default(), Wish::default()),
            };
            let backend = match claim {
                Claim::Taken(backend) => backend,
                Claim::Full => {
                    let ticket = enter(pool, Tried::default());
                    let call = match chance.u8(..4) {
                        0 => pool.runtime.queue.leave(ticket),
                        _ => Some(wait(pool, ticket)),
                    };
                    match call {
                        Some(Call::Slot(backend)) => backend,
                        Some(Call::NoBackend | Call::Superseded) => panic!("all are up"),
                        None => continue,
                    }
                }
                Claim::NoBackend => panic!("all are up"),
            };
            let limit = pool
                .backend(backend)
                .requests_max
                .map_or(u64::MAX, u64::from);
            let before = busy[backend].fetch_add(1, SeqCst);
            assert!(before < limit, "{before} of {limit} on {backend}");
            if chance.u8(..4) == 0 {
                thread::yield_now();
            }
            busy[backend].fetch_sub(1, SeqCst);
            pool.release_slot(backend, 0);
        }
    }

    /// Threads that do nothing else come between any two steps of each other.
    #[test]
    fn limits_hold_and_no_call_is_lost_between_threads() {
        for limits in [[1, 1], [1, 2], [2, 2]] {
            let (pool, busy) = (&pool(limits), [AtomicU64::new(0), AtomicU64::new(0)]);
            thread::scope(|scope| {
                for seed in 0..6 {
                    let busy = &busy;
                    scope.spawn(move || visit(pool, busy, seed));
                }
            });
            assert_eq!(pool.runtime.queue.waiting(), 0);
            assert!(
                pool.backends
                    .all()
                    .iter()
                    .all(|backend| backend.runtime.in_flight() == 0)
            );
            assert!(pool.runtime.queue.waited() > 0, "somebody had to wait");
        }
    }

    fn claim(pool: &Pool) -> Claim {
        let mut picker = Picker::new(pool.backends.all(), 0);
        picker.claim(&pool.backends, 0, &Tried::default(), Wish::default())
    }

    /// Takes the only room of either backend; returns both in the order of taking.
    fn fill(pool: &Pool) -> [usize; 2] {
        match [claim(pool), claim(pool), claim(pool)] {
            [Claim::Taken(one), Claim::Taken(two), Claim::Full] => [one, two],
            other => panic!("there is room for two: {other:?}"),
        }
    }

    #[test]
    fn room_that_comes_between_the_look_and_the_place_is_not_missed() {
        let pool = &pool([1, 1]);
        let [one, _] = fill(pool);
        pool.release_slot(one, 0);
        let ticket = enter(pool, Tried::default());
        let mut cx = Context::from_waker(Waker::noop());
        let call = pool.runtime.queue.poll(ticket, &mut cx);
        assert!(matches!(call, Poll::Ready(Call::Slot(room)) if room == one));
    }

    #[test]
    fn who_leaves_after_the_call_passes_its_room_on() {
        let pool = &pool([1, 1]);
        let [one, _] = fill(pool);
        let [first, second] = [0, 1].map(|_| enter(pool, Tried::default()));
        pool.release_slot(one, 0);
        let Some(Call::Slot(room)) = pool.runtime.queue.leave(first) else {
            panic!("the first was called");
        };
        assert_eq!((room, claim(pool)), (one, Claim::Full), "it had the room");
        pool.release_slot(room, 0);
        assert!(matches!(wait(pool, second), Call::Slot(room) if room == one));
    }

    #[test]
    fn room_goes_to_the_urgent_first_and_to_all_in_the_end() {
        let pool = &pool([1, 1]);
        let [mut held, _] = fill(pool);
        let queue = &pool.runtime.queue;
        let enter = |urgency| {
            queue.enter(
                &pool.backends,
                0,
                Tried::default(),
                urgency,
                Wish::default(),
            )
        };
        let tickets = [Urgency::Low, Urgency::Normal, Urgency::High].map(enter);
        for ticket in tickets.into_iter().rev() {
            pool.release_slot(held, 0);
            let Call::Slot(room) = wait(pool, ticket) else {
                panic!("all are up");
            };
            held = room;
        }
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn who_waits_for_what_is_no_more_is_recalled_unless_it_was_tried() {
        let pool = &pool([1, 1]);
        fill(pool);
        let mut tried = Tried::default();
        tried.insert(0);
        let queue = &pool.runtime.queue;
        let [new, again] = [Tried::default(), tried]
            .map(|tried| queue.enter(&pool.backends, 0, tried, Urgency::Normal, Wish::default()));
        queue.recall(&pool.backends);
        assert_eq!(queue.waiting(), 2, "nothing has changed");
        queue.recall(&Arc::new(Backends::new(
            Method::RoundRobin,
            Vec::new(),
            None,
        )));
        assert!(matches!(wait(pool, new), Call::Superseded));
        assert_eq!(queue.waiting(), 1);
        assert!(queue.leave(again).is_none());
    }

    #[test]
    fn all_are_called_when_nobody_is_left_to_wait_for() {
        let pool = &pool([1, 1]);
        fill(pool);
        let mut tried = Tried::default();
        tried.insert(0);
        let new = enter(pool, Tried::default());
        let again = enter(pool, tried);
        pool.set_availability(&pool.backend(1).runtime, Availability::Down, 0);
        assert!(
            matches!(wait(pool, again), Call::NoBackend),
            "it had that one only"
        );
        assert_eq!(pool.runtime.queue.waiting(), 1);
        pool.set_availability(&pool.backend(0).runtime, Availability::Down, 0);
        assert!(matches!(wait(pool, new), Call::NoBackend));
    }

    const ROUNDS: u32 = 20_000;
}
