//! The tasks of a worker, of connections and of the streams on them: each gets its share, and is
//! seen to make progress.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::WorkerContext;
use crate::process::proxy::io::budget::Hunger;
use crate::process::proxy::io::deadline::Deadline;

/// Runs a task: each poll of it is a step, and gets its share of the budget.
/// It is made here: what is moved into a task takes its room twice.
pub(in crate::process::proxy) async fn in_steps<F: Future<Output = ()>>(
    context: Rc<WorkerContext>,
    listener: usize,
    deadline: Rc<Deadline>,
    serve: impl FnOnce() -> F,
) {
    let mut serve = pin!(serve());
    let hunger = Rc::<Hunger>::default();
    poll_fn(|cx| {
        if hunger.waits() {
            // Its sockets have woken it; but it has had its share, and its turn comes.
            return Poll::Pending;
        }
        context.progress.begin(listener, deadline.phase() as u8);
        context.budget.begin();
        let poll = serve.as_mut().poll(cx);
        if poll.is_pending() {
            context.budget.end(&hunger, cx);
        }
        if context.budget.is_used_up() {
            // Where beats are late for all that is moved, the clock still is not: what it misses,
            // timeouts are late.
            context.renew_clock();
        }
        context.progress.end();
        poll
    })
    .await;
}
