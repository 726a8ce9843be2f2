//! A worker: its runtime, listening sockets, connections, upstream connections and beat.
//!
//! Everything here lives and dies on one thread; only `Shared` and `Progress` are shared. Every
//! poll of a connection is a step of the thread's progress; a thread none of whose steps ends is
//! hung. What it serves is what is desired (`follower`); read `door` next, then `downstream`.

mod door;
mod follower;

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use self::door::Worker;
use self::follower::Follower;
use super::allocator::Giver;
use super::context::{WorkerContext, answering};
use super::deployment::Desired;
use super::downstream::connection::Futures;
use super::io::deadline::BEAT_MS;
use super::progress::Progress;
use super::shared::{Shared, Stage};
use super::tls::signing::{self, SigningLines};

/// What a worker is made of.
pub(super) struct Plan {
    pub(super) number: usize,
    pub(super) shared: Arc<Shared>,
    /// What it is to serve and to prepare.
    pub(super) desired: Receiver<Arc<Desired>>,
    pub(super) stage: Receiver<Stage>,
    pub(super) progress: Arc<Progress>,
    /// Gives back what memory it does not use any more.
    pub(super) giver: Giver,
    /// What it asks for signatures over, by its number.
    pub(super) lines: Receiver<SigningLines>,
}

/// Runs a worker until it is drained; `started` is told when it serves what is desired, or why it
/// cannot.
///
/// A thread that ends before, because one of its own tasks has, makes no progress any more, which
/// its observer sees.
pub(super) fn run(plan: Plan, started: impl FnOnce(io::Result<()>)) {
    let progress = Arc::clone(&plan.progress);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    match runtime {
        Ok(runtime) => match runtime.block_on(serve(plan, started)) {
            Ended::Drained => progress.finish(),
            Ended::Failed => {
                let worker = progress.name();
                tracing::error!(thread = worker, "worker has lost a task of its own");
            }
        },
        Err(error) => started(Err(error)),
    }
}

/// How a worker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Nothing is left.
    Drained,
    /// It could not begin, or does not do any more what it is there for.
    Failed,
}

async fn serve(plan: Plan, started: impl FnOnce(io::Result<()>)) -> Ended {
    let Plan {
        number,
        shared,
        mut desired,
        stage,
        progress,
        giver,
        lines,
    } = plan;
    let context = WorkerContext::new(shared, stage, progress, number, giver);
    let worker = Worker {
        context: Rc::new(context),
        futures: Rc::new(Futures::new()),
    };
    let context = Rc::clone(&worker.context);
    let mut own = JoinSet::new();
    own.spawn_local(beat(Rc::clone(&context), Rc::clone(&worker.futures)));
    own.spawn_local(follow_lines(lines, number));
    let fed = Rc::clone(&context);
    own.spawn_local(async move { fed.budget.feed().await });
    let mut follower = Follower::new(worker);
    // What is not desired any more must not be held.
    let first = Arc::clone(&desired.borrow_and_update());
    let followed = follower.follow(&first, &mut own);
    drop(first);
    if let Err(error) = followed {
        started(Err(error));
        return Ended::Failed;
    }
    started(Ok(()));
    let mut drained = pin!(context.until_drained());
    let mut is_led = true;
    loop {
        tokio::select! {
            () = &mut drained => return Ended::Drained,
            changed = desired.changed(), if is_led => {
                // An error means that the handle is gone, and with it everybody who could desire
                // more.
                is_led = changed.is_ok();
                let now = Arc::clone(&desired.borrow_and_update());
                if let Err(error) = follower.follow(&now, &mut own) {
                    let worker = context.progress.name();
                    tracing::error!(thread = worker, %error, "worker cannot follow");
                    return Ended::Failed;
                }
            }
            ended = own.join_next() => match ended {
                // Accepting ends with the drain, or with its socket.
                Some(Ok(())) => {}
                Some(Err(_)) | None => return Ended::Failed,
            },
        }
    }
}

/// Asks for signatures over the lines that there are; ends with whoever could give another.
async fn follow_lines(mut lines: Receiver<SigningLines>, number: usize) {
    loop {
        let mine = lines.borrow_and_update().get(number).cloned();
        signing::line().connect(mine);
        if lines.changed().await.is_err() {
            // It may be that connections are finished for some time yet.
            std::future::pending::<()>().await;
        }
    }
}

/// Renews what is coarse: clocks, dates and deadlines. A tick is a step too, where nothing else
/// happens.
async fn beat(context: Rc<WorkerContext>, futures: Rc<Futures>) {
    let mut ticks = tokio::time::interval(BEAT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept_ms = 0;
    let shared = Arc::clone(&context.shared);
    let mut seat = shared.roll.join();
    loop {
        ticks.tick().await;
        let now_ms = context.renew_clock();
        context.shared.renew_clock();
        context.help_out();
        signing::line().handle_beat();
        context.progress.set_connections(context.connections());
        context.progress.end();
        if let Some(lines) = &mut *context.lines.borrow_mut() {
            lines.handle_beat();
        }
        for call in seat.take_calls() {
            tokio::task::spawn_local(answering::answer(Rc::clone(&context), call));
        }
        // Beats of a busy thread are late, sweeps should not be five times as late.
        if now_ms - swept_ms >= SWEEP_MS - BEAT_MS / 2 {
            swept_ms = now_ms;
            context.sweep(futures.sweep());
        }
    }
}

const BEAT_INTERVAL: Duration = Duration::from_millis(BEAT_MS);
/// A sweep every 250 ms: the coarseness of all timeouts of client connections.
const SWEEP_MS: u64 = 5 * BEAT_MS;
