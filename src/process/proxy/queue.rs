//! Where requests wait whose backends are full: one order for each pool, over all data threads.
//!
//! The order is `logic::balance::queue`'s; here it gets its lock and its wakers. Whoever gives room back, and whoever
//! brings a backend up or down, calls; who is called already has its room. The lock is taken only where somebody waits
//! or has to: a count beside it says so.
//!
//! No call is lost between the two numbers, though neither is written under the lock of the other: who enters counts
//! itself, then looks for room; who gives room back does so, then looks at the count. A fence between the two steps on
//! either side lets at least one of them see the other.

use std::rc::Rc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU64, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::picker::{Claim, Picker};
use super::shared::{Backend, Pool};
use super::upstream::InFlight;
use super::worker::Thread;
use crate::logic::balance::Balance;
use crate::logic::balance::queue::{Lane, Offer, Queue, Ticket};
use crate::logic::balance::retry::Tried;

/// The queue of one pool.
///
/// It holds at most as many as there are client connections, which are bounded: a connection waits with one request.
pub(super) struct PoolQueue {
    /// Whether any backend has a limit; nobody ever waits where none has.
    limited: bool,
    /// How many wait uncalled; written under the lock.
    waiting: AtomicU64,
    inside: Mutex<Inside>,
    /// Requests that had to wait.
    pub(super) waited: AtomicU64,
    /// Those that waited in vain.
    pub(super) timeouts: AtomicU64,
}

struct Inside {
    queue: Queue<Waiter, Call>,
    picker: Picker,
}

struct Waiter {
    tried: Tried,
    /// `None` until it is polled.
    waker: Option<Waker>,
}

/// What one who waits is called with.
enum Call {
    /// Room on a backend, by index, that has been taken for it.
    Room(usize),
    /// There is nobody left to wait for.
    Nobody,
}

impl PoolQueue {
    pub(super) fn new(balance: Balance, backends: &[Backend]) -> PoolQueue {
        PoolQueue {
            limited: backends
                .iter()
                .any(|backend| backend.requests_max.is_some()),
            waiting: AtomicU64::new(0),
            inside: Mutex::new(Inside {
                queue: Queue::default(),
                picker: Picker::new(balance, backends, 0),
            }),
            waited: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
        }
    }

    /// Returns how many wait.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// Returns whether somebody waits whom nobody may overtake.
    pub(super) fn is_busy(&self) -> bool {
        self.limited && self.waiting() > 0
    }

    /// Calls everybody for whom there is room or nobody left, in order; to be asked after either may have come true.
    pub(super) fn call(&self, backends: &[Backend], now_ms: u64) {
        if !self.limited {
            return;
        }
        fence(SeqCst);
        while self.is_busy() {
            let mut inside = self.lock();
            let Inside { queue, picker } = &mut *inside;
            let called = queue.call_next(|waiter| offer(picker, backends, now_ms, &waiter.tried));
            self.count(queue);
            drop(inside);
            match called {
                Some(Waiter { waker, .. }) => drop(waker.map(Waker::wake)),
                None => return,
            }
        }
    }

    /// A thread that panicked here left the queue whole.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, queue: &Queue<Waiter, Call>) {
        self.waiting.store(queue.waiting() as u64, Relaxed);
    }
}

fn offer(picker: &mut Picker, backends: &[Backend], now_ms: u64, tried: &Tried) -> Offer<Call> {
    match picker.claim(backends, now_ms, tried) {
        Claim::Taken(backend) => Offer::Call(Call::Room(backend)),
        Claim::Nobody => Offer::Call(Call::Nobody),
        // All behind it are new too, and would be told the same.
        Claim::Full if tried.count() == 0 => Offer::Stop,
        Claim::Full => Offer::Pass,
    }
}

/// A place in the queue of a pool, until this is dropped.
pub(super) struct Place {
    thread: Rc<Thread>,
    pool: usize,
    ticket: Ticket,
}

impl Place {
    /// Takes a place: behind everybody, or before all new ones where the request was tried already.
    pub(super) fn take(thread: &Rc<Thread>, pool_index: usize, tried: Tried) -> Place {
        let lane = match tried.count() {
            0 => Lane::New,
            _ => Lane::Again,
        };
        let pool = &thread.table.pools[pool_index];
        let waker = None;
        let mut inside = pool.queue.lock();
        let ticket = inside.queue.enter(lane, Waiter { tried, waker });
        pool.queue.count(&inside.queue);
        drop(inside);
        pool.queue.waited.fetch_add(1, Relaxed);
        pool.queue.call(&pool.backends, thread.clock.get());
        Place {
            thread: Rc::clone(thread),
            pool: pool_index,
            ticket,
        }
    }

    /// Ready with room on a backend, or with `None` where there is nobody left to wait for.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<InFlight>> {
        let mut inside = self.pool().queue.lock();
        match inside.queue.answer(self.ticket) {
            Some(Call::Room(backend)) => {
                let room = InFlight::new(&self.thread, self.pool, backend);
                return Poll::Ready(Some(room));
            }
            Some(Call::Nobody) => return Poll::Ready(None),
            None => {}
        }
        if let Some(waiter) = inside.queue.waiter_mut(self.ticket) {
            match &waiter.waker {
                Some(known) if known.will_wake(cx.waker()) => {}
                Some(_) | None => waiter.waker = Some(cx.waker().clone()),
            }
        }
        Poll::Pending
    }

    fn pool(&self) -> &Pool {
        &self.thread.table.pools[self.pool]
    }
}

impl Drop for Place {
    /// Leaves; who was called and has not answered passes its room on.
    fn drop(&mut self) {
        let pool = self.pool();
        let mut inside = pool.queue.lock();
        let left = inside.queue.leave(self.ticket);
        pool.queue.count(&inside.queue);
        drop(inside);
        if let Some(Call::Room(backend)) = left {
            pool.give_back(backend, self.thread.clock.get());
        }
    }
}
