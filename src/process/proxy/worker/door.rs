//! Where connections come in: a listening socket that this worker accepts from, and whether a new
//! connection is served.
//!
//! The socket is that of a bind address; which listener it leads to is what the current generation
//! says. Read `downstream` next.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;

use crate::process::proxy::context::steps::in_steps;
use crate::process::proxy::context::{Asked, WorkerContext};
use crate::process::proxy::downstream::connection::turning_away::{turn_away, turn_away_for_now};
use crate::process::proxy::downstream::connection::{self, Futures};
use crate::process::proxy::downstream::listener::Counted;
use crate::process::proxy::downstream::local::{Admission, Full};
use crate::process::proxy::downstream::slot::ListenerSlot;
use crate::process::proxy::io::deadline::{BEAT_MS, Deadline};
use crate::process::proxy::io::listening::Listening;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::shared::Stage;
use crate::process::proxy::shortage::{Operation, is_shortage};

/// What every task of a worker may need.
#[derive(Clone)]
pub(in crate::process::proxy) struct Worker {
    pub(in crate::process::proxy) context: Rc<WorkerContext>,
    pub(in crate::process::proxy) futures: Rc<Futures>,
}

impl Worker {
    /// Notes that something was missing to accept.
    fn note_shortage(&self, error: &io::Error) {
        let shared = &self.context.shared;
        let now_ms = shared.now_ms();
        shared.shortages.note(Operation::Accept, error, now_ms);
    }
}

/// A socket, as the task that accepts from it and the worker see it.
pub(in crate::process::proxy) struct Door {
    /// Where it leads to.
    slot: RefCell<Rc<ListenerSlot>>,
    port: u16,
    closing: Cell<Closing>,
    closed: Notify,
}

/// Why nothing more is accepted from a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Closing {
    /// Its address is not configured any more, or the proxy stops: what waits in it is served, and
    /// it is let go.
    Removed,
    /// Another worker accepts from it.
    Moved,
}

impl Door {
    /// Returns the door of a socket, which leads to a listener.
    pub(in crate::process::proxy) fn new(slot: Rc<ListenerSlot>, bind: SocketAddr) -> Rc<Self> {
        Rc::new(Self {
            slot: RefCell::new(slot),
            port: bind.port(),
            closing: Cell::new(Closing::Removed),
            closed: Notify::new(),
        })
    }

    /// Has it lead to a listener.
    pub(in crate::process::proxy) fn lead_to(&self, slot: Rc<ListenerSlot>) {
        *self.slot.borrow_mut() = slot;
    }

    /// Ends the task that accepts.
    pub(in crate::process::proxy) fn close(&self, closing: Closing) {
        self.closing.set(closing);
        self.closed.notify_one();
    }
}

/// Accepts as `accept` does from a socket that the runtime does not know yet, when it listens and
/// the runtime takes it: what waits in it meanwhile is kept.
pub(in crate::process::proxy) async fn accept_in_time(
    worker: Worker,
    door: Rc<Door>,
    socket: Arc<TcpListener>,
) {
    let mut stage = worker.context.stage.clone();
    loop {
        match Listening::new(Arc::clone(&socket)) {
            Ok(listening) => {
                drop(socket);
                return accept(worker, door, listening).await;
            }
            Err(error) if is_shortage(&error) => worker.note_shortage(&error),
            Err(error) => tracing::debug!(%error, "socket not accepted from"),
        }
        tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage != Stage::Serving) => return,
            () = door.closed.notified() => return,
            () = tokio::time::sleep(REGISTER_PAUSE) => {}
        }
    }
}

/// Accepts from a socket until its door is closed or the proxy stops.
pub(in crate::process::proxy) async fn accept(worker: Worker, door: Rc<Door>, socket: Listening) {
    let context = &worker.context;
    let mut stage = context.stage.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage != Stage::Serving) => break,
            () = door.closed.notified() => break,
            accepted = accept_some(&worker, &door, &socket) => accepted,
        };
        if let Err(error) = accepted {
            tracing::debug!(%error, "connection not accepted");
            if is_shortage(&error) {
                worker.note_shortage(&error);
            }
            tokio::time::sleep(pause_after(&error)).await;
        }
        context.evictions.until_there_is_room().await;
    }
    match door.closing.get() {
        Closing::Moved => {}
        // What the kernel has already accepted for this socket is served, then the socket is let
        // go.
        Closing::Removed => {
            while let Ok((stream, client)) = socket.accept() {
                admit(&worker, &door, stream, client);
            }
        }
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

/// A connection that has been accepted.
struct Caller {
    slot: Rc<ListenerSlot>,
    stream: Stream,
    address: SocketAddr,
    /// The port it has connected to.
    port: u16,
}

fn admit(worker: &Worker, door: &Door, stream: Stream, address: SocketAddr) {
    let context = &worker.context;
    let mut caller = Caller {
        slot: Rc::clone(&door.slot.borrow()),
        stream,
        address,
        port: door.port,
    };
    let listener = caller.slot.current();
    // Before there is any question of a place: a flood has nobody evicted.
    let now_ns = || context.shared.now_ns();
    let client = (!listener.is_announced_by(address.ip())).then_some(address.ip());
    if let Some(client) = client
        && let Err(exceeded) = listener.check_connection_rate(client, now_ns)
    {
        turn_away_for_now(context, &listener, &mut caller.stream, exceeded);
        return;
    }
    match listener.admit(client) {
        Admission::Granted(counted) => begin(worker.clone(), caller, counted),
        Admission::Full(full) if context.evictions.has_room() => {
            let asked = context.request_eviction(caller.slot.among(full));
            context.evictions.begin_waiting();
            let worker = worker.clone();
            tokio::task::spawn_local(async move {
                let context = &worker.context;
                let admission = wait_for_eviction(context, &caller.slot, client, full, asked).await;
                context.evictions.end_waiting();
                match admission {
                    Admission::Granted(counted) => begin(worker, caller, counted),
                    Admission::Refused | Admission::Full(_) => {
                        turn_away(&caller.slot.current(), &mut caller.stream);
                    }
                }
            });
        }
        Admission::Refused | Admission::Full(_) => turn_away(&listener, &mut caller.stream),
    }
}

/// Waits for a place for a new connection, of which one was asked for or nobody was there to be
/// asked. It may be that another takes it; then one more is asked.
async fn wait_for_eviction(
    context: &WorkerContext,
    slot: &ListenerSlot,
    client: Option<IpAddr>,
    full: Full,
    mut asked: Asked,
) -> Admission {
    let listener = slot.current();
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
            Admission::Granted(_) | Admission::Refused => return admission,
            Admission::Full(full) if left > 0 => {
                asked = context.request_eviction(slot.among(full));
            }
            Admission::Full(_) => {}
        }
    }
    admission
}

/// Begins to serve a connection, in a task of its own.
fn begin(worker: Worker, caller: Caller, counted: Counted) {
    let Worker { context, futures } = worker;
    let Caller {
        slot,
        stream,
        address,
        port,
    } = caller;
    let deadline = Rc::new(Deadline::new(Rc::clone(&context.clock)));
    let (served, watched) = (Rc::clone(&context), Rc::clone(&deadline));
    let number = slot.number;
    let from = (stream, address, port);
    let serve = move || connection::serve(served, futures, slot, from, counted, watched);
    tokio::task::spawn_local(in_steps(context, number, deadline, Rc::default(), serve));
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
/// How long the runtime is left alone that did not take a socket: it may still have it.
const REGISTER_PAUSE: Duration = Duration::from_millis(2);
const BEAT_INTERVAL: Duration = Duration::from_millis(BEAT_MS);
