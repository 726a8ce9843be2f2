//! A worker: its runtime, listening sockets, connections, upstream connections and beat.
//!
//! Everything here lives and dies on one thread; only `Shared` and `Progress` are shared. Every
//! poll of a connection is a step of the thread's progress; a thread none of whose steps ends is
//! hung. Read `downstream` next.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::access::Lines;
use super::allocator::Giver;
use super::context::{Asked, WorkerContext};
use super::downstream::connection::{self, Futures};
use super::downstream::local::{Admission, Full, WorkerListener};
use super::io::budget::Hunger;
use super::io::deadline::{BEAT_MS, Deadline};
use super::io::stream::{Listening, Stream};
use super::progress::Progress;
use super::request::answer::TOO_MANY_CONNECTIONS;
use super::shared::{Shared, Stage};
use super::shortage::{Operation, is_shortage};

/// What a worker is made of.
pub(super) struct Plan {
    pub(super) number: u16,
    pub(super) shared: Arc<Shared>,
    /// By index of the listener.
    pub(super) sockets: Vec<(usize, TcpListener)>,
    pub(super) stage: Receiver<Stage>,
    pub(super) progress: Arc<Progress>,
    /// Where its part of the access log goes, where there is one.
    pub(super) lines: Option<Lines>,
    /// Gives back what memory it does not use any more.
    pub(super) giver: Giver,
}

/// What every task of a worker may need.
#[derive(Clone)]
struct Worker {
    context: Rc<WorkerContext>,
    futures: Rc<Futures>,
}

/// Runs a worker until it is drained; `started` is told when it accepts, or why it cannot.
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
        sockets,
        stage,
        progress,
        lines,
        giver,
    } = plan;
    let mut listening = Vec::with_capacity(sockets.len());
    for (listener, socket) in sockets {
        match Listening::new(socket) {
            Ok(socket) => listening.push((listener, socket)),
            Err(error) => {
                started(Err(error));
                return Ended::Failed;
            }
        }
    }
    let number = usize::from(number);
    let context = Rc::new(WorkerContext::new(
        shared, stage, progress, number, lines, giver,
    ));
    let mut own = JoinSet::new();
    let futures = Rc::new(connection::futures());
    own.spawn_local(beat(Rc::clone(&context), Rc::clone(&futures)));
    let fed = Rc::clone(&context);
    own.spawn_local(async move { fed.budget.feed().await });
    for (listener, socket) in listening {
        let worker = Worker {
            context: Rc::clone(&context),
            futures: Rc::clone(&futures),
        };
        let door = Door {
            listener: Rc::clone(&context.listeners[listener]),
            port: socket.port(),
        };
        own.spawn_local(accept(worker, door, socket));
    }
    started(Ok(()));
    let lost = async {
        loop {
            match own.join_next().await {
                // Accepting ends with the drain.
                Some(Ok(())) => {}
                Some(Err(_)) => break,
                None => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        () = context.until_drained() => Ended::Drained,
        () = lost => Ended::Failed,
    }
}

/// Renews what is coarse: clocks, dates and deadlines. A tick is a step too, where nothing else
/// happens.
async fn beat(context: Rc<WorkerContext>, futures: Rc<Futures>) {
    let mut ticks = tokio::time::interval(BEAT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept_ms = 0;
    loop {
        ticks.tick().await;
        let now_ms = context.renew_clock();
        context.shared.renew_clock();
        context.help_out();
        context.progress.set_connections(context.connections());
        context.progress.end();
        if let Some(lines) = &context.lines {
            lines.borrow_mut().handle_beat();
        }
        // Beats of a busy thread are late, sweeps should not be five times as late.
        if now_ms - swept_ms >= SWEEP_MS - BEAT_MS / 2 {
            swept_ms = now_ms;
            context.sweep(futures.sweep());
        }
    }
}

/// A listener, and the port of one of its sockets.
#[derive(Clone)]
struct Door {
    listener: Rc<WorkerListener>,
    port: u16,
}

async fn accept(worker: Worker, door: Door, socket: Listening) {
    let context = &worker.context;
    let mut stage = context.stage.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage != Stage::Serving) => break,
            accepted = accept_some(&worker, &door, &socket) => accepted,
        };
        if let Err(error) = accepted {
            tracing::debug!(%error, "connection not accepted");
            if is_shortage(&error) {
                let shared = &context.shared;
                let now_ms = shared.now_ms();
                shared.shortages.note(Operation::Accept, &error, now_ms);
            }
            tokio::time::sleep(pause_after(&error)).await;
        }
        context.evictions.until_there_is_room().await;
    }
    // What the kernel has already accepted for this socket is served, then the socket is let go.
    while let Ok((stream, client)) = socket.accept() {
        admit(&worker, &door, stream, client);
    }
}

/// Accepts what waits, but no more at a time than others can bear.
async fn accept_some(worker: &Worker, door: &Door, socket: &Listening) -> io::Result<()> {
    let mut accepted = 0;
    poll_fn(|cx| {
        while accepted < ACCEPTS_MAX {
            match socket.poll_accept(cx) {
                Poll::Ready(Ok((stream, client))) => {
                    admit(worker, door, stream, client);
                    accepted += 1;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if accepted == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

fn admit(worker: &Worker, door: &Door, stream: Stream, client: SocketAddr) {
    let context = &worker.context;
    match door.listener.admit(client.ip()) {
        Admission::Granted => begin(worker.clone(), door.clone(), stream, client),
        Admission::Full(full) if context.evictions.has_room() => {
            let asked = context.request_eviction(door.listener.among(full));
            context.evictions.begin_waiting();
            let (worker, door) = (worker.clone(), door.clone());
            tokio::task::spawn_local(async move {
                let (context, listener) = (&worker.context, &door.listener);
                let admission =
                    wait_for_eviction(context, listener, client.ip(), full, asked).await;
                context.evictions.end_waiting();
                match admission {
                    Admission::Granted => begin(worker, door, stream, client),
                    Admission::Refused | Admission::Full(_) => refuse(listener, &stream),
                }
            });
        }
        Admission::Refused | Admission::Full(_) => refuse(&door.listener, &stream),
    }
}

fn refuse(listener: &WorkerListener, stream: &Stream) {
    listener.counters.refused.count();
    // Where it does not fit, closing says enough.
    stream.try_write(TOO_MANY_CONNECTIONS);
}

/// Waits for a place for a new connection, of which one was asked for or nobody was there to be
/// asked. It may be that another takes it; then one more is asked.
async fn wait_for_eviction(
    context: &WorkerContext,
    listener: &WorkerListener,
    client: IpAddr,
    full: Full,
    mut asked: Asked,
) -> Admission {
    let wanted = listener.wanted(full);
    let mut admission = Admission::Full(full);
    for left in (0..EVICTION_WAITS_MAX).rev() {
        if asked == Asked::Nobody {
            wanted.fetch_add(1, Relaxed);
        }
        // In vain or not, it is tried.
        let _ = tokio::time::timeout(BEAT_INTERVAL, context.evictions.changed.notified()).await;
        if asked == Asked::Nobody {
            // Where another thread has helped out it was counted down already.
            let _ = wanted.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
        }
        admission = listener.admit(client);
        match admission {
            Admission::Granted | Admission::Refused => return admission,
            Admission::Full(full) if left > 0 => {
                asked = context.request_eviction(listener.among(full));
            }
            Admission::Full(_) => {}
        }
    }
    admission
}

/// Begins to serve a connection, in a task of its own.
fn begin(worker: Worker, door: Door, stream: Stream, client: SocketAddr) {
    let Worker { context, futures } = worker;
    let Door { listener, port } = door;
    let deadline = Rc::new(Deadline::new(Rc::clone(&context.clock)));
    let (served, watched) = (Rc::clone(&context), Rc::clone(&deadline));
    let index = listener.index;
    let serve = move || connection::serve(served, futures, listener, stream, client, port, watched);
    tokio::task::spawn_local(in_steps(context, index, deadline, serve));
}

/// Runs the task of a connection: each poll of it is a step, and gets its share of the budget.
/// It is made here: what is moved into a task takes its room twice.
async fn in_steps<F: Future<Output = ()>>(
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

/// Where descriptors or memory ran out, others must end first; anything else concerned one
/// connection.
fn pause_after(error: &io::Error) -> Duration {
    if is_shortage(error) {
        Duration::from_millis(100)
    } else {
        Duration::from_millis(1)
    }
}

/// How often one that waits looks for it, at least a beat apart where no place becomes free.
const EVICTION_WAITS_MAX: u32 = 4;
/// Connections accepted before others have their turn.
const ACCEPTS_MAX: usize = 32;
const BEAT_INTERVAL: Duration = Duration::from_millis(BEAT_MS);
/// A sweep every 250 ms: the coarseness of all timeouts of client connections.
const SWEEP_MS: u64 = 5 * BEAT_MS;
