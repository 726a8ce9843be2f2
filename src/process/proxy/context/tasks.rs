//! Tasks that are used again: to make one costs about as much as a short request does otherwise.
//!
//! A task does one job after the other, and waits on a shelf in between. Knows nothing of what the
//! jobs are.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::process::proxy::io::recycle::Shelf;
use crate::process::proxy::memory::FUTURES_KEPT;

/// The tasks of one worker that do a kind of job.
pub(in crate::process::proxy) struct Tasks<J> {
    free: Rc<Free<J>>,
}

type Free<J> = RefCell<Shelf<Idle<J>>>;

/// Where a task gets its jobs from.
struct Desk<J> {
    next: RefCell<Next<J>>,
}

enum Next<J> {
    /// Nothing yet; whom to wake then.
    Nothing(Option<Waker>),
    Job(J),
    /// Nothing any more.
    End,
}

/// A task that waits; it ends where nobody has it any more.
struct Idle<J>(Rc<Desk<J>>);

impl<J> Drop for Idle<J> {
    fn drop(&mut self) {
        self.0.put(Next::End);
    }
}

impl<J> Desk<J> {
    /// Says what comes next, where nothing was said since the last time.
    fn put(&self, next: Next<J>) {
        let mut place = self.next.borrow_mut();
        if let Next::Nothing(waker) = &mut *place {
            let waker = waker.take();
            *place = next;
            drop(place);
            waker.iter().for_each(Waker::wake_by_ref);
        }
    }

    /// Ready with a job, or with `None` at the end.
    fn poll_job(&self, cx: &Context<'_>) -> Poll<Option<J>> {
        let mut place = self.next.borrow_mut();
        match std::mem::replace(&mut *place, Next::Nothing(None)) {
            Next::Job(job) => Poll::Ready(Some(job)),
            Next::End => Poll::Ready(None),
            Next::Nothing(known) => {
                let known = known.filter(|known| known.will_wake(cx.waker()));
                let waker = known.unwrap_or_else(|| cx.waker().clone());
                *place = Next::Nothing(Some(waker));
                Poll::Pending
            }
        }
    }
}

impl<J: 'static> Tasks<J> {
    /// Returns none so far.
    pub(in crate::process::proxy) fn new() -> Self {
        Self {
            free: Rc::new(RefCell::new(Shelf::new(FUTURES_KEPT))),
        }
    }

    /// Has a job done as `work` says, in a task of its own for so long. All jobs are done so.
    pub(in crate::process::proxy) fn run<F>(&self, job: J, work: impl Fn(J) -> F + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let idle = self.free.borrow_mut().take();
        if let Some(idle) = idle {
            idle.0.put(Next::Job(job));
            return;
        }
        let desk = Rc::new(Desk {
            next: RefCell::new(Next::Job(job)),
        });
        tokio::task::spawn_local(serve(desk, Rc::clone(&self.free), work));
    }

    /// Ends tasks that have not been needed for a while.
    pub(in crate::process::proxy) fn sweep(&self) {
        self.free.borrow_mut().sweep();
    }
}

/// Does one job after the other, until nobody has any more.
async fn serve<J, F: Future<Output = ()>>(
    desk: Rc<Desk<J>>,
    free: Rc<Free<J>>,
    work: impl Fn(J) -> F,
) {
    while let Some(job) = poll_fn(|cx| desk.poll_job(cx)).await {
        work(job).await;
        let too_many = free.borrow_mut().give_back(Idle(Rc::clone(&desk)));
        drop(too_many);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::cell::Cell;

    use tokio::task::{LocalSet, yield_now};

    use super::*;

    #[test]
    fn jobs_are_done_by_tasks_that_are_there_and_those_end_that_are_not_needed() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        LocalSet::new().block_on(&runtime.unwrap(), async {
            let (tasks, done) = (Tasks::new(), Rc::new(Cell::new(0)));
            let work = |done: Rc<Cell<u32>>| async move {
                yield_now().await;
                done.set(done.get() + 1);
            };
            for round in 1..=3 {
                for _ in 0..100 {
                    tasks.run(Rc::clone(&done), work);
                }
                while done.get() < round * 100 {
                    yield_now().await;
                }
                assert_eq!(
                    tasks.free.borrow().len(),
                    100,
                    "all wait for the next round"
                );
            }
            // Each has its desk, and what it gives itself back to.
            assert_eq!(Rc::strong_count(&tasks.free), 101);
            (0..1000).for_each(|_| tasks.sweep());
            // A task that is to end does so in its turn.
            for _ in 0..100 {
                yield_now().await;
            }
            let left = tasks.free.borrow().len();
            assert!((1..50).contains(&left), "{left}");
            assert_eq!(Rc::strong_count(&tasks.free), 1 + left);
        });
    }
}
