//! A data thread: its runtime, listening sockets, connections, upstream connections and beat.
//!
//! Everything here lives and dies on one thread; only `Table` is shared. The beat comes from inside
//! the runtime, so a thread that hangs stops beating. Read `downstream` next.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::sync::watch::Receiver;
use tokio::time::MissedTickBehavior;

use super::answer::TOO_MANY_CONNECTIONS;
use super::downstream::connection;
use super::downstream::watch::{CoarseClock, Cut, Watch};
use super::serving::Events;
use super::shared::Table;
use super::upstream::Upstreams;
use crate::ipc::message::FromProxy;
use crate::logic::balance::Balance;
use crate::logic::balance::health::Availability;
use crate::logic::balance::pick::{Candidate, RoundRobin, random_of_two};

/// How far the proxy's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Accepting.
    Serving,
    /// Finishing.
    Draining,
    /// Cutting what is left.
    Cutting,
}

/// What a data thread is made of.
pub(super) struct Plan {
    pub(super) number: u16,
    pub(super) table: Arc<Table>,
    /// By index of the listener.
    pub(super) sockets: Vec<(usize, std::net::TcpListener)>,
    pub(super) stage: Receiver<Stage>,
    pub(super) events: Events,
}

/// What the connections of one data thread share.
pub(super) struct Thread {
    pub(super) table: Arc<Table>,
    pub(super) upstreams: Rc<Upstreams>,
    pub(super) clock: CoarseClock,
    pub(super) stage: Receiver<Stage>,
    wheels: Vec<RefCell<RoundRobin>>,
    candidates: RefCell<Vec<Candidate>>,
    chance: RefCell<fastrand::Rng>,
    connections: RefCell<HashMap<u64, Arc<Watch>>>,
    next_connection: Cell<u64>,
    emptied: Notify,
}

/// Runs a data thread until it is drained; `started` is told when it accepts, or why it cannot.
pub(super) fn run(plan: Plan, started: impl FnOnce(io::Result<()>)) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return started(Err(error)),
    };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, serve(plan, started));
}

async fn serve(plan: Plan, started: impl FnOnce(io::Result<()>)) {
    let Plan {
        number,
        table,
        sockets,
        stage,
        events,
    } = plan;
    let mut listening = Vec::with_capacity(sockets.len());
    for (listener, socket) in sockets {
        let socket = socket
            .set_nonblocking(true)
            .and_then(|()| TcpListener::from_std(socket));
        match socket {
            Ok(socket) => listening.push((listener, socket)),
            Err(error) => return started(Err(error)),
        }
    }
    let thread = Rc::new(Thread::new(table, stage, usize::from(number)));
    tokio::task::spawn_local(beat(Rc::clone(&thread), number, events));
    for (listener, socket) in listening {
        tokio::task::spawn_local(accept(Rc::clone(&thread), listener, socket));
    }
    started(Ok(()));
    thread.until_drained().await;
}

impl Thread {
    fn new(table: Arc<Table>, stage: Receiver<Stage>, number: usize) -> Thread {
        let wheels = table.pools.iter().map(|pool| {
            let weights: Vec<u16> = pool.backends.iter().map(|backend| backend.weight).collect();
            RefCell::new(RoundRobin::new(&weights, number))
        });
        Thread {
            upstreams: Rc::new(Upstreams::new(&table)),
            wheels: wheels.collect(),
            table,
            clock: CoarseClock::default(),
            stage,
            candidates: RefCell::default(),
            chance: RefCell::new(fastrand::Rng::new()),
            connections: RefCell::default(),
            next_connection: Cell::new(0),
            emptied: Notify::new(),
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        *self.stage.borrow() != Stage::Serving
    }

    /// Returns who gets the next attempt: among those that are up or, if there is none, among the
    /// unprobed.
    pub(super) fn pick(&self, pool_index: usize, tried: &[usize]) -> Option<usize> {
        let pool = &self.table.pools[pool_index];
        let mut candidates = self.candidates.borrow_mut();
        for wanted in [Availability::Up, Availability::Unprobed] {
            candidates.clear();
            candidates.extend(
                pool.backends
                    .iter()
                    .enumerate()
                    .map(|(index, backend)| Candidate {
                        weight: backend.weight,
                        in_flight: backend.in_flight.load(Relaxed),
                        usable: backend.availability() == wanted && !tried.contains(&index),
                    }),
            );
            let picked = match pool.balance {
                Balance::RoundRobin => self.wheels[pool_index].borrow_mut().pick(&candidates),
                Balance::RandomOfTwo => {
                    let mut chance = self.chance.borrow_mut();
                    random_of_two(&candidates, [chance.u64(..), chance.u64(..)])
                }
            };
            if picked.is_some() {
                return picked;
            }
        }
        None
    }

    /// Watches a connection until the guard is dropped.
    pub(super) fn register(self: &Rc<Self>, listener: usize, watch: &Arc<Watch>) -> Registered {
        let key = self.next_connection.get();
        self.next_connection.set(key + 1);
        self.connections.borrow_mut().insert(key, Arc::clone(watch));
        self.table.listeners[listener]
            .connections
            .fetch_add(1, Relaxed);
        Registered {
            thread: Rc::clone(self),
            listener,
            key,
        }
    }

    fn sweep(&self) {
        for watch in self.connections.borrow().values() {
            watch.sweep();
        }
        self.upstreams.sweep();
    }

    async fn until_drained(&self) {
        let mut stage = self.stage.clone();
        // An error means that the handle is gone, and with it everybody who could ask for more.
        let _ = stage.wait_for(|stage| *stage != Stage::Serving).await;
        // Accepting ends with what the kernel has already accepted.
        tokio::task::yield_now().await;
        tokio::time::sleep(ACCEPT_REST).await;
        tokio::select! {
            () = self.until_empty() => {}
            _ = stage.wait_for(|stage| *stage == Stage::Cutting) => {}
        }
        for watch in self.connections.borrow().values() {
            watch.cut(Cut::Drained);
        }
        let _ = tokio::time::timeout(CUT_TIMEOUT, self.until_empty()).await;
        self.upstreams.clear();
    }

    async fn until_empty(&self) {
        while !self.connections.borrow().is_empty() {
            self.emptied.notified().await;
        }
    }
}

/// A connection that is being watched.
pub(super) struct Registered {
    thread: Rc<Thread>,
    listener: usize,
    key: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.thread.table.listeners[self.listener]
            .connections
            .fetch_sub(1, Relaxed);
        let mut connections = self.thread.connections.borrow_mut();
        connections.remove(&self.key);
        if connections.is_empty() {
            self.thread.emptied.notify_one();
        }
    }
}

async fn beat(thread: Rc<Thread>, number: u16, events: Events) {
    let began_at = Instant::now();
    let mut ticks = tokio::time::interval(BEAT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut beats = 0u32;
    loop {
        ticks.tick().await;
        let now_ms = u64::try_from(began_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        AtomicU64::store(&thread.clock, now_ms, Relaxed);
        events(FromProxy::Beat { thread: number });
        beats = beats.wrapping_add(1);
        if beats.is_multiple_of(BEATS_A_SWEEP) {
            thread.sweep();
        }
    }
}

async fn accept(thread: Rc<Thread>, listener: usize, socket: TcpListener) {
    let mut stage = thread.stage.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage != Stage::Serving) => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => admit(&thread, listener, stream, client),
            Err(error) => {
                tracing::debug!(%error, "connection not accepted");
                tokio::time::sleep(pause_after(&error)).await;
            }
        }
    }
    // What the kernel has already accepted for this socket is served, then the socket is let go.
    let waiting = || std::future::poll_fn(|cx| Poll::Ready(socket.poll_accept(cx)));
    while let Poll::Ready(Ok((stream, client))) = waiting().await {
        admit(&thread, listener, stream, client);
    }
}

fn admit(thread: &Rc<Thread>, listener: usize, stream: TcpStream, client: SocketAddr) {
    if thread.connections.borrow().len() >= CONNECTIONS_MAX {
        // The answer is small and the socket's buffer is empty; where it does not fit, closing says
        // enough.
        let _ = stream.try_write(TOO_MANY_CONNECTIONS);
        return;
    }
    tokio::task::spawn_local(connection::serve(
        Rc::clone(thread),
        listener,
        stream,
        client,
    ));
}

/// Where descriptors or memory ran out, others must end first; anything else concerned one
/// connection.
fn pause_after(error: &io::Error) -> Duration {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    match error.raw_os_error() {
        Some(code) if exhausted.contains(&code) => Duration::from_millis(100),
        Some(_) | None => Duration::from_millis(1),
    }
}

const BEAT_INTERVAL: Duration = Duration::from_millis(50);
/// A sweep every 250 ms: the coarseness of all timeouts of client connections.
const BEATS_A_SWEEP: u32 = 5;
/// Client connections of one data thread; one more is answered 503 and closed.
const CONNECTIONS_MAX: usize = 20_000;
/// After the drain began, so that accepted connections are registered before the thread is found
/// empty.
const ACCEPT_REST: Duration = Duration::from_millis(20);
/// How long cut connections may take to end.
const CUT_TIMEOUT: Duration = Duration::from_millis(500);
