//! What the connections of one worker share: listeners and pools, buffers, clocks, and the register
//! of them all.
//!
//! Everything here lives and dies on one thread; only `Shared` and `Progress` are shared. Nothing
//! here accepts, reads or writes: `worker` and `downstream` do.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio::sync::watch::Receiver;

use super::access::Lines;
use super::allocator::Giver;
use super::downstream::eviction::{Evictions, Idle};
use super::downstream::local::WorkerListener;
use super::io::budget::Budget;
use super::io::buffers::Buffers;
use super::io::deadline::{self, CoarseClock, Deadline, Interrupt, Phase};
use super::io::pipes::Pipes;
use super::memory::{CONNECTION_BYTES, REQUEST_BYTES};
use super::progress::Progress;
use super::shared::{Shared, Stage};
use super::upstream::connections::{Kept, KeptCount};
use super::upstream::local::WorkerPool;
use crate::logic::http1::date::{DATE_BYTES, http_date};
use crate::logic::http1::forwarding::{RequestId, request_id};

/// What the connections of one worker share.
pub(super) struct WorkerContext {
    pub(super) shared: Arc<Shared>,
    /// In the order of the configuration.
    pub(super) listeners: Vec<Rc<WorkerListener>>,
    pools: Vec<Rc<WorkerPool>>,
    pub(super) buffers: Buffers,
    pub(super) pipes: Pipes,
    pub(super) budget: Budget,
    pub(super) progress: Arc<Progress>,
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
    pub(super) stage: Receiver<Stage>,
    chance: RefCell<fastrand::Rng>,
    connections: RefCell<Connections>,
    /// Who leaves where a new connection finds all places taken.
    pub(super) evictions: Evictions,
    emptied: Notify,
}

/// The connections of a worker, each in a slot that is used again.
#[derive(Default)]
struct Connections {
    /// Each with its listener.
    slots: Vec<Option<(Rc<WorkerListener>, Rc<Deadline>)>>,
    free: Vec<usize>,
}

impl Connections {
    fn insert(&mut self, listener: &Rc<WorkerListener>, deadline: &Rc<Deadline>) -> usize {
        let connection = Some((Rc::clone(listener), Rc::clone(deadline)));
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = connection;
                slot
            }
            None => {
                self.slots.push(connection);
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

    /// Returns a connection that is idle and one of a listener's, if one is given.
    fn idle(&self, of: Option<&WorkerListener>, slot: usize) -> Option<Idle> {
        let (listener, deadline) = self.slots.get(slot)?.as_ref()?;
        let counts = of.is_none_or(|of| listener.is_same(of));
        let since_ms = deadline.idle_since_ms().filter(|_| counts)?;
        Some(Idle { since_ms, slot })
    }
}

impl WorkerContext {
    pub(super) fn new(
        shared: Arc<Shared>,
        stage: Receiver<Stage>,
        progress: Arc<Progress>,
        number: usize,
        lines: Option<Lines>,
        giver: Giver,
    ) -> Self {
        let clock = CoarseClock::default();
        let kept_max = usize::try_from(shared.shares.kept_a_worker).unwrap_or(usize::MAX);
        let count = Rc::new(KeptCount::new(Rc::clone(&clock), kept_max));
        let generation = &shared.generation;
        let pools = generation.pools.iter();
        let pools = pools.map(|pool| Rc::new(WorkerPool::new(pool, &shared, number, &count)));
        let pools: Vec<_> = pools.collect();
        let listeners = generation.listeners.iter().enumerate();
        // A listener's pool is one of the pools.
        let listeners = listeners.filter_map(|(index, listener)| {
            let pool = pools.iter().find(|pool| pool.is(&listener.pool))?;
            Some(Rc::new(WorkerListener::new(&shared, index, number, pool)))
        });
        Self {
            listeners: listeners.collect(),
            buffers: Buffers::default(),
            pipes: Pipes::new(shared.shares.pipes_a_worker),
            budget: Budget::default(),
            progress,
            pools,
            shared,
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
            evictions: Evictions::default(),
            emptied: Notify::new(),
        }
    }

    /// Returns a name for a request.
    pub(super) fn request_id(&self) -> RequestId {
        let mut chance = self.chance.borrow_mut();
        request_id([chance.u64(..), chance.u64(..)])
    }

    /// Returns whether timestamps of requests are logged.
    fn takes_moments(&self) -> bool {
        self.lines.is_some()
    }

    /// Returns the time, where timestamps of requests are logged.
    pub(super) fn moment(&self) -> Option<Instant> {
        self.takes_moments().then(Instant::now)
    }

    /// Closes a kept connection, so that another one can be opened; returns whether there was one.
    pub(super) fn close_kept(&self) -> bool {
        self.kept().any(Kept::close_one)
    }

    fn kept(&self) -> impl Iterator<Item = &Kept> {
        let backends = self.pools.iter().flat_map(|pool| pool.worker_backends());
        backends.map(|backend| &backend.kept)
    }

    /// Watches a connection until the guard is dropped.
    pub(super) fn register(
        self: &Rc<Self>,
        listener: &Rc<WorkerListener>,
        client: IpAddr,
        deadline: &Rc<Deadline>,
    ) -> Registered {
        Registered {
            slot: self.connections.borrow_mut().insert(listener, deadline),
            context: Rc::clone(self),
            listener: Rc::clone(listener),
            client,
        }
    }

    /// Asks the connection for its place that has been idle longest, of a listener or of all.
    pub(super) fn request_eviction(&self, of: Option<&WorkerListener>) -> Asked {
        let connections = self.connections.borrow();
        let oldest = of.map_or(&self.evictions.oldest, |listener| &listener.oldest);
        let mut oldest = oldest.borrow_mut();
        let is_idle = |idle: Idle| connections.idle(of, idle.slot) == Some(idle);
        let mut found = oldest.take(is_idle);
        if found.is_none() && oldest.may_look(self.clock.get()) {
            let slots = 0..connections.slots.len();
            let idle = slots.filter_map(|slot| connections.idle(of, slot));
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
    pub(super) fn help_out(&self) {
        let listeners = self.listeners.iter();
        let listeners = listeners.map(|listener| {
            let wanted = &listener.runtime.wanted;
            (Some(&**listener), wanted)
        });
        for (of, wanted) in listeners.chain([(None, &self.shared.wanted)]) {
            let one_less = |count: u64| count.checked_sub(1);
            while wanted.load(Relaxed) > 0
                && self.request_eviction(of) == Asked::One
                && wanted.fetch_update(Relaxed, Relaxed, one_less).is_ok()
            {}
        }
    }

    /// Renews the coarse clock; returns the milliseconds since the thread began.
    pub(super) fn renew_clock(&self) -> u64 {
        let now_ms = u64::try_from(self.began_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        deadline::renew(&self.clock, now_ms - self.renewed_ms.replace(now_ms));
        now_ms
    }

    /// Wakes the connections that are late, and lets go what has not been needed for a while;
    /// `futures` of requests are left.
    pub(super) fn sweep(&self, futures: usize) {
        self.date.set(date_now());
        for deadline in self.connections.borrow().iter() {
            deadline.sweep();
        }
        self.kept().for_each(Kept::sweep);
        let now_ms = self.shared.now_ms();
        self.pools
            .iter()
            .for_each(|pool| pool.call_for_trials(now_ms));
        self.give_back(futures);
    }

    /// Lets go what has not been needed for a while, and has memory given back where much has gone.
    fn give_back(&self, futures: usize) {
        let buffers = self.buffers.sweep();
        let lines = self.lines.as_ref().map(|lines| lines.borrow_mut().sweep());
        let others = futures * REQUEST_BYTES
            + self.connections.borrow().len() * CONNECTION_BYTES
            + lines.unwrap_or(0);
        let in_use_bytes = buffers.left_bytes + others;
        self.giver
            .handle_sweep(in_use_bytes, buffers.peak_bytes + others);
    }

    pub(super) async fn until_drained(&self) {
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
        self.kept().for_each(Kept::clear);
    }

    /// Returns how many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.connections.borrow().len()
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
    listener: Rc<WorkerListener>,
    client: IpAddr,
    slot: usize,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.listener.release(self.client);
        let mut connections = self.context.connections.borrow_mut();
        connections.remove(self.slot);
        self.context.evictions.tell();
        if connections.len() == 0 {
            self.context.emptied.notify_one();
        }
    }
}

/// Whether an idle connection was there to be asked for its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    One,
    Nobody,
}

fn date_now() -> [u8; DATE_BYTES] {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    http_date(since.map_or(0, |since| since.as_secs()))
}

/// After the drain began, so that accepted connections are registered before the thread is found
/// empty.
const ACCEPT_REST: Duration = Duration::from_millis(20);
/// How long an idle connection is still served when the drain begins.
const DRAIN_GRACE: Duration = Duration::from_millis(80);
/// How long cut connections may take to end.
const CUT_TIMEOUT: Duration = Duration::from_millis(500);
