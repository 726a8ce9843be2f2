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
    hunger: Rc<Hunger>,
    serve: impl FnOnce() -> F,
) {
    let mut serve = pin!(serve());
    poll_fn(|cx| {
        if hunger.must_wait(cx) {
            // Its sockets have woken it; but it has had its share, and its turn comes.
            return Poll::Pending;
        }
        context.progress.begin(listener, deadline.phase() as u8);
        context.budget.begin(&hunger);
        let poll = serve.as_mut().poll(cx);
        context.budget.end(&hunger, poll, cx);
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
