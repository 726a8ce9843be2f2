//! A data thread: its runtime, listening sockets, connections, upstream connections and beat.
//!
//! Everything here lives and dies on one thread; only `Table` and `Progress` are shared. Every poll of a connection is a
//! step of the thread's progress; a thread none of whose steps ends is hung. Read `downstream` next.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::LocalOptions;
use tokio::sync::Notify;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::access::Lines;
use super::allocator::Giver;
use super::downstream::connection;
use super::downstream::eviction::{Evictions, Full, Idle};
use super::downstream::future_pool::FuturePool;
use super::io::budget::{Budget, Hunger};
use super::io::buffers::Buffers;
use super::io::deadline::{self, BEAT_MS, CoarseClock, Deadline, Interrupt, Phase};
use super::io::pipes::Pipes;
use super::io::stream::{Listening, Stream};
use super::memory::{CONNECTION_BYTES, REQUEST_BYTES};
use super::progress::Progress;
use super::request::answer::TOO_MANY_CONNECTIONS;
use super::shortage::{Operation, is_shortage};
use super::table::{Admission, Table};
use super::upstream::connections::Upstreams;
use super::upstream::picker::{Claim, Picker};
use crate::logic::balance::retry::{RetryBudget, Spending, Tried};
use crate::logic::http1::date::{DATE_BYTES, http_date};
use crate::logic::http1::forwarding::{RequestId, request_id};

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
    pub(super) sockets: Vec<(usize, TcpListener)>,
    pub(super) stage: Receiver<Stage>,
    pub(super) progress: Arc<Progress>,
    /// Where its part of the access log goes, where there is one.
    pub(super) lines: Option<Lines>,
    /// Gives back what memory it does not use any more.
    pub(super) giver: Giver,
}

/// What the connections of one data thread share.
pub(super) struct WorkerContext {
    pub(super) table: Arc<Table>,
    pub(super) upstreams: Upstreams,
    pub(super) buffers: Buffers,
    pub(super) pipes: Pipes,
    pub(super) budget: Budget,
    progress: Arc<Progress>,
    pub(super) futures: Rc<FuturePool>,
    pub(super) clock: CoarseClock,
    began_at: Instant,
    /// Milliseconds since it began when the clock was last renewed.
    renewed_ms: Cell<u64>,
    /// The date, for answers that have none.
    pub(super) date: Cell<[u8; DATE_BYTES]>,
    /// No more requests are expected on a connection.
    pub(super) draining: Cell<bool>,
    /// Its part of the access log, where there is one.
    pub(super) lines: Option<RefCell<Lines>>,
    giver: Giver,
    stage: Receiver<Stage>,
    /// By pool.
    budgets: Vec<Cell<RetryBudget>>,
    /// By pool.
    pickers: Vec<RefCell<Picker>>,
    chance: RefCell<fastrand::Rng>,
    connections: RefCell<Connections>,
    /// Who leaves where a new connection finds all places taken.
    pub(super) evictions: Evictions,
    emptied: Notify,
}

/// The connections of a data thread, each in a slot that is used again.
#[derive(Default)]
struct Connections {
    /// Each with its listener.
    slots: Vec<Option<(usize, Rc<Deadline>)>>,
    free: Vec<usize>,
}

impl Connections {
    fn insert(&mut self, listener: usize, deadline: &Rc<Deadline>) -> usize {
        let deadline = Some((listener, Rc::clone(deadline)));
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = deadline;
                slot
            }
            None => {
                self.slots.push(deadline);
                self.slots.len() - 1
            }
        }
    }

    fn remove(&mut self, slot: usize) {
        self.slots[slot] = None;
        self.free.push(slot);
    }

    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn iter(&self) -> impl Iterator<Item = &Rc<Deadline>> {
        self.slots.iter().flatten().map(|(_, deadline)| deadline)
    }

    /// Returns a connection that is idle and counts where it is full.
    fn idle(&self, full: Full, slot: usize) -> Option<Idle> {
        let (listener, deadline) = self.slots.get(slot)?.as_ref()?;
        let counts = match full {
            Full::Proxy => true,
            Full::Listener(full) => *listener == full,
        };
        let since_ms = deadline.idle_since_ms().filter(|_| counts)?;
        Some(Idle { since_ms, slot })
    }
}

/// Runs a data thread until it is drained; `started` is told when it accepts, or why it cannot.
///
/// A thread that ends before, because one of its own tasks has, makes no progress any more, which its observer sees.
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

/// How a data thread has ended.
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
        table,
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
        table, stage, progress, number, lines, giver,
    ));
    let mut own = JoinSet::new();
    own.spawn_local(beat(Rc::clone(&context)));
    let fed = Rc::clone(&context);
    own.spawn_local(async move { fed.budget.feed().await });
    for (listener, socket) in listening {
        own.spawn_local(accept(Rc::clone(&context), listener, socket));
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

impl WorkerContext {
    fn new(
        table: Arc<Table>,
        stage: Receiver<Stage>,
        progress: Arc<Progress>,
        number: usize,
        lines: Option<Lines>,
        giver: Giver,
    ) -> WorkerContext {
        let pickers = table.pools.iter();
        let pickers =
            pickers.map(|pool| RefCell::new(Picker::new(pool.balance, &pool.backends, number)));
        let clock = CoarseClock::default();
        let evictions = Evictions::new(table.listeners.len());
        WorkerContext {
            upstreams: Upstreams::new(&table, Rc::clone(&clock)),
            buffers: Buffers::default(),
            pipes: Pipes::new(table.shares.pipes_a_worker),
            budget: Budget::default(),
            progress,
            futures: Rc::default(),
            pickers: pickers.collect(),
            budgets: table
                .pools
                .iter()
                .map(|_| Cell::new(RetryBudget::new(0)))
                .collect(),
            table,
            clock,
            began_at: Instant::now(),
            renewed_ms: Cell::new(0),
            date: Cell::new(date_now()),
            draining: Cell::new(false),
            lines: lines.map(RefCell::new),
            giver,
            stage,
            chance: RefCell::new(fastrand::Rng::new()),
            connections: RefCell::default(),
            evictions,
            emptied: Notify::new(),
        }
    }

    /// Counts a request to a pool.
    pub(super) fn count_request(&self, pool: usize) {
        let mut budget = self.budgets[pool].get();
        budget.handle_request();
        self.budgets[pool].set(budget);
    }

    /// Takes a retry from a pool's budget.
    pub(super) fn spend_retry(&self, pool: usize) -> Spending {
        let mut budget = self.budgets[pool].get();
        let spending = budget.spend(self.clock.get());
        self.budgets[pool].set(budget);
        spending
    }

    /// Returns a name for a request.
    pub(super) fn request_id(&self) -> RequestId {
        let mut chance = self.chance.borrow_mut();
        request_id([chance.u64(..), chance.u64(..)])
    }

    /// Returns whether somebody reads when requests came how far.
    fn takes_moments(&self) -> bool {
        self.lines.is_some()
    }

    /// Returns the time, where somebody reads it.
    pub(super) fn moment(&self) -> Option<Instant> {
        self.takes_moments().then(Instant::now)
    }

    /// Asks others first for a while: a backend could not be connected to, and its health check has not noticed yet.
    /// Every request that met it would cost a retry otherwise, more than the budget has.
    pub(super) fn eject(&self, pool: usize, backend: usize) {
        let until_ms = self.table.now_ms() + EJECTION_MS;
        self.table.pools[pool].backends[backend].eject(until_ms);
    }

    /// Picks the backend of the next attempt, and acquires a request slot on it.
    pub(super) fn claim(&self, pool: usize, tried: &Tried) -> Claim {
        let backends = &self.table.pools[pool].backends;
        let mut picker = self.pickers[pool].borrow_mut();
        picker.claim(backends, self.table.now_ms(), tried)
    }

    /// Watches a connection until the guard is dropped.
    pub(super) fn register(
        self: &Rc<Self>,
        listener: usize,
        client: IpAddr,
        deadline: &Rc<Deadline>,
    ) -> Registered {
        Registered {
            slot: self.connections.borrow_mut().insert(listener, deadline),
            context: Rc::clone(self),
            listener,
            client,
        }
    }

    /// Asks the connection for its place that has been idle longest.
    fn request_eviction(&self, full: Full) -> Asked {
        let connections = self.connections.borrow();
        let mut oldest = self.evictions.oldest(full).borrow_mut();
        let is_idle = |idle: Idle| connections.idle(full, idle.slot) == Some(idle);
        let mut found = oldest.take(is_idle);
        if found.is_none() && oldest.may_look(self.clock.get()) {
            let slots = 0..connections.slots.len();
            let idle = slots.filter_map(|slot| connections.idle(full, slot));
            oldest.look(self.clock.get(), connections.slots.len(), idle);
            found = oldest.take(is_idle);
        }
        match found.and_then(|idle| connections.slots[idle.slot].as_ref()) {
            Some((_, deadline)) => {
                deadline.request_eviction();
                Asked::One
            }
            None => Asked::Nobody,
        }
    }

    /// Asks for the places that connections of other threads wait for.
    fn help_out(&self) {
        let listeners = (0..self.table.listeners.len()).map(Full::Listener);
        for full in listeners.chain([Full::Proxy]) {
            let wanted = self.table.wanted(full);
            let one_less = |count: u64| count.checked_sub(1);
            while wanted.load(Relaxed) > 0
                && self.request_eviction(full) == Asked::One
                && wanted.fetch_update(Relaxed, Relaxed, one_less).is_ok()
            {}
        }
    }

    /// Renews the coarse clock; returns the milliseconds since the thread began.
    fn renew_clock(&self) -> u64 {
        let now_ms = u64::try_from(self.began_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        deadline::renew(&self.clock, now_ms - self.renewed_ms.replace(now_ms));
        now_ms
    }

    fn sweep(&self) {
        for deadline in self.connections.borrow().iter() {
            deadline.sweep();
        }
        self.upstreams.sweep(&self.table);
        self.table.end_ejection();
        self.give_back();
    }

    /// Lets go what nobody has needed for a while, and has memory given back where much has gone.
    fn give_back(&self) {
        let buffers = self.buffers.sweep();
        let lines = self.lines.as_ref().map(|lines| lines.borrow_mut().sweep());
        let others = self.futures.sweep() * REQUEST_BYTES
            + self.connections.borrow().len() * CONNECTION_BYTES
            + lines.unwrap_or(0);
        let in_use_bytes = buffers.left_bytes + others;
        self.giver
            .handle_sweep(in_use_bytes, buffers.peak_bytes + others);
    }

    async fn until_drained(&self) {
        let mut stage = self.stage.clone();
        // An error means that the handle is gone, and with it everybody who could ask for more.
        let _ = stage.wait_for(|stage| *stage != Stage::Serving).await;
        self.draining.set(true);
        // Accepting ends with what the kernel has already accepted.
        tokio::task::yield_now().await;
        tokio::time::sleep(ACCEPT_REST).await;
        let finish = async {
            // A request may be on its way on an idle connection.
            tokio::time::sleep(DRAIN_GRACE).await;
            for deadline in self.connections.borrow().iter() {
                if deadline.phase() == Phase::Idle {
                    deadline.interrupt(Interrupt::Drain);
                }
            }
            self.until_empty().await;
        };
        tokio::select! {
            () = finish => {}
            _ = stage.wait_for(|stage| *stage == Stage::Cutting) => {}
        }
        for deadline in self.connections.borrow().iter() {
            deadline.interrupt(Interrupt::Cut);
        }
        let _ = tokio::time::timeout(CUT_TIMEOUT, self.until_empty()).await;
        self.upstreams.clear();
    }

    async fn until_empty(&self) {
        while self.connections.borrow().len() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// A connection that is being watched.
pub(super) struct Registered {
    context: Rc<WorkerContext>,
    listener: usize,
    client: IpAddr,
    slot: usize,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.context.table.release(self.listener, self.client);
        let mut connections = self.context.connections.borrow_mut();
        connections.remove(self.slot);
        self.context.evictions.tell();
        if connections.len() == 0 {
            self.context.emptied.notify_one();
        }
    }
}

/// Renews what is coarse: clocks, dates and deadlines. A tick is a step too, where nothing else happens.
async fn beat(context: Rc<WorkerContext>) {
    let mut ticks = tokio::time::interval(BEAT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept_ms = 0;
    loop {
        ticks.tick().await;
        let now_ms = context.renew_clock();
        context.table.renew_clock();
        context.help_out();
        context
            .progress
            .set_connections(context.connections.borrow().len());
        context.progress.end();
        if let Some(lines) = &context.lines {
            lines.borrow_mut().handle_beat();
        }
        // Beats of a busy thread are late, sweeps should not be five times as late.
        if now_ms - swept_ms >= SWEEP_MS - BEAT_MS / 2 {
            swept_ms = now_ms;
            context.date.set(date_now());
            context.sweep();
        }
    }
}

fn date_now() -> [u8; DATE_BYTES] {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    http_date(since.map_or(0, |since| since.as_secs()))
}

/// A listener by index, and the port of one of its sockets.
type Door = (usize, u16);

async fn accept(context: Rc<WorkerContext>, listener: usize, socket: Listening) {
    let door = (listener, socket.port());
    let mut stage = context.stage.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage != Stage::Serving) => break,
            accepted = accept_some(&context, door, &socket) => accepted,
        };
        if let Err(error) = accepted {
            tracing::debug!(%error, "connection not accepted");
            if is_shortage(&error) {
                let now_ms = context.table.now_ms();
                context
                    .table
                    .shortages
                    .note(Operation::Accept, &error, now_ms);
            }
            tokio::time::sleep(pause_after(&error)).await;
        }
        context.evictions.until_there_is_room().await;
    }
    // What the kernel has already accepted for this socket is served, then the socket is let go.
    while let Ok((stream, client)) = socket.accept() {
        admit(&context, door, stream, client);
    }
}

/// Accepts what waits, but no more at a time than others can bear.
async fn accept_some(
    context: &Rc<WorkerContext>,
    door: Door,
    socket: &Listening,
) -> io::Result<()> {
    let mut accepted = 0;
    poll_fn(|cx| {
        while accepted < ACCEPTS_MAX {
            match socket.poll_accept(cx) {
                Poll::Ready(Ok((stream, client))) => {
                    admit(context, door, stream, client);
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

fn admit(context: &Rc<WorkerContext>, (listener, port): Door, stream: Stream, client: SocketAddr) {
    match context.table.admit(listener, client.ip()) {
        Admission::Granted => {
            let context = Rc::clone(context);
            begin(context, (listener, port), stream, client);
        }
        Admission::Full(full) if context.evictions.has_room() => {
            let asked = context.request_eviction(full);
            let context = Rc::clone(context);
            context.evictions.begin_waiting();
            tokio::task::spawn_local(async move {
                let evictions = &context.evictions;
                let admission =
                    wait_for_eviction(&context, listener, client.ip(), full, asked).await;
                evictions.end_waiting();
                match admission {
                    Admission::Granted => {
                        begin(Rc::clone(&context), (listener, port), stream, client);
                    }
                    Admission::Refused | Admission::Full(_) => refuse(&context, listener, &stream),
                }
            });
        }
        Admission::Refused | Admission::Full(_) => refuse(context, listener, &stream),
    }
}

fn refuse(context: &WorkerContext, listener: usize, stream: &Stream) {
    context.table.count_refused(listener);
    // Where it does not fit, closing says enough.
    stream.try_write(TOO_MANY_CONNECTIONS);
}

/// Waits for a place for a new connection, of which one was asked for or nobody was there to be asked.
/// It may be that another takes it; then one more is asked.
async fn wait_for_eviction(
    context: &WorkerContext,
    listener: usize,
    client: IpAddr,
    full: Full,
    mut asked: Asked,
) -> Admission {
    let wanted = context.table.wanted(full);
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
        admission = context.table.admit(listener, client);
        match admission {
            Admission::Granted | Admission::Refused => return admission,
            Admission::Full(full) if left > 0 => asked = context.request_eviction(full),
            Admission::Full(_) => {}
        }
    }
    admission
}

/// Whether an idle connection was there to be asked for its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    One,
    Nobody,
}

/// Begins to serve a connection, in a task of its own.
fn begin(context: Rc<WorkerContext>, (listener, port): Door, stream: Stream, client: SocketAddr) {
    let deadline = Rc::new(Deadline::new(Rc::clone(&context.clock)));
    let (served, watched) = (Rc::clone(&context), Rc::clone(&deadline));
    let serve = move || connection::serve(served, listener, stream, client, port, watched);
    tokio::task::spawn_local(in_steps(context, listener, deadline, serve));
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
            // Where beats are late for all that is moved, the clock still is not: what it misses, timeouts are late.
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
/// How long a backend that could not be connected to is asked last: about what a health check needs to notice.
const EJECTION_MS: u64 = 1000;
const BEAT_INTERVAL: Duration = Duration::from_millis(BEAT_MS);
/// A sweep every 250 ms: the coarseness of all timeouts of client connections.
const SWEEP_MS: u64 = 5 * BEAT_MS;
/// After the drain began, so that accepted connections are registered before the thread is found
/// empty.
const ACCEPT_REST: Duration = Duration::from_millis(20);
/// How long an idle connection is still served when the drain begins.
const DRAIN_GRACE: Duration = Duration::from_millis(80);
/// How long cut connections may take to end.
const CUT_TIMEOUT: Duration = Duration::from_millis(500);
