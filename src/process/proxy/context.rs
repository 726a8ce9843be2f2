//! What the connections of one worker share: listeners and pools, buffers, clocks, and the register
//! of them all.
//!
//! Everything here lives and dies on one thread; only `Shared` and `Progress` are shared. Nothing
//! here accepts, reads or writes: `worker` and `downstream` do. Listeners, pools and limits follow
//! the generations (`install`), all in one step between two polls of connections.

pub(super) mod answering;
pub(super) mod connections;
mod draining;
pub(super) mod parts;
pub(super) mod roll;
pub(super) mod steps;
pub(super) mod tasks;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime};

use tokio::sync::Notify;
use tokio::sync::watch::Receiver;

use self::connections::{Connections, Origin};
use self::parts::Parts;
use super::access::Lines;
use super::allocator::Giver;
use super::downstream::eviction::{Evictions, Idle};
use super::downstream::listener::Counted;
use super::downstream::slot::ListenerSlot;
use super::generation::{Generation, Timing};
use super::io::budget::Budget;
use super::io::buffers::Buffers;
use super::io::deadline::{self, CoarseClock, Deadline};
use super::io::pipes::Pipes;
use super::io::tls::Scratch;
use super::memory::{CONNECTION_BYTES, REQUEST_BYTES};
use super::progress::Progress;
use super::shared::{Shared, Stage};
use super::tls::acceptor::are_alike;
use super::upstream::connections::{Kept, KeptCount};
use super::upstream::local::WorkerPool;
use crate::logic::descriptors::Shares;
use crate::logic::http1::date::{DATE_BYTES, http_date};
use crate::logic::http1::forwarding::{RequestId, request_id};

/// Slots that are not what they were.
pub(super) struct Installed {
    /// No generation has them any more.
    pub(super) removed: Vec<Rc<ListenerSlot>>,
    /// Their connections began under other rules of TLS.
    pub(super) changed: Vec<Rc<ListenerSlot>>,
}

/// What the connections of one worker share.
pub(super) struct WorkerContext {
    pub(super) shared: Arc<Shared>,
    /// Of its thread.
    pub(super) number: usize,
    parts: RefCell<Parts>,
    /// The listeners that are configured, by their number.
    slots: RefCell<HashMap<usize, Rc<ListenerSlot>>>,
    kept_count: Rc<KeptCount>,
    pub(super) buffers: Rc<Buffers>,
    pub(super) pipes: Pipes,
    pub(super) scratch: Rc<Scratch>,
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
    pub(super) lines: RefCell<Option<Lines>>,
    /// Whether there is.
    is_logging: Cell<bool>,
    /// Whether it is measured how long requests take.
    is_timing: Cell<bool>,
    giver: Giver,
    pub(super) stage: Receiver<Stage>,
    chance: RefCell<fastrand::Rng>,
    connections: RefCell<Connections>,
    /// Of connections that carry many.
    streams: RefCell<Connections>,
    /// Who leaves where a new connection finds all places taken.
    pub(super) evictions: Evictions,
    emptied: Notify,
}

impl WorkerContext {
    /// Returns what a worker by number begins with: no listener and no pool.
    pub(super) fn new(
        shared: Arc<Shared>,
        stage: Receiver<Stage>,
        progress: Arc<Progress>,
        number: usize,
        giver: Giver,
    ) -> Self {
        let clock = CoarseClock::default();
        Self {
            number,
            parts: RefCell::default(),
            slots: RefCell::default(),
            kept_count: Rc::new(KeptCount::new(Rc::clone(&clock), 0)),
            buffers: Rc::default(),
            pipes: Pipes::new(0),
            scratch: Rc::default(),
            budget: Budget::default(),
            progress,
            shared,
            clock,
            began_at: Instant::now(),
            renewed_ms: Cell::new(0),
            date: Cell::new(date_now()),
            draining: Cell::new(false),
            lines: RefCell::default(),
            is_logging: Cell::new(false),
            is_timing: Cell::new(false),
            giver,
            stage,
            chance: RefCell::new(fastrand::Rng::new()),
            connections: RefCell::default(),
            streams: RefCell::default(),
            evictions: Evictions::default(),
            emptied: Notify::new(),
        }
    }

    /// Returns what it needs of a generation, beside what it has.
    pub(super) fn prepare(&self, generation: &Generation) -> Parts {
        let before = self.parts.borrow();
        Parts::new(
            generation,
            &before,
            &self.shared,
            self.number,
            &self.kept_count,
        )
    }

    /// Has new requests be served by these parts, whose listeners get a slot each; returns the
    /// slots of those that they do not have, or that speak TLS otherwise.
    pub(super) fn install(&self, parts: Parts) -> Installed {
        self.is_timing.set(parts.timing == Timing::On);
        let before = self.parts.replace(parts);
        let parts = self.parts.borrow();
        before.retire(&parts);
        let mut slots = self.slots.borrow_mut();
        let mut olds = std::mem::take(&mut *slots);
        let mut changed = Vec::new();
        for listener in &parts.listeners {
            let number = listener.runtime.number;
            let slot = match olds.remove(&number) {
                Some(slot) => {
                    let before = slot.current();
                    if !are_alike(before.acceptor.as_ref(), listener.acceptor.as_ref()) {
                        changed.push(Rc::clone(&slot));
                    }
                    slot.renew(listener);
                    slot
                }
                None => Rc::new(ListenerSlot::new(listener)),
            };
            slots.insert(number, slot);
        }
        let removed: Vec<_> = olds.into_values().collect();
        removed.iter().for_each(|slot| slot.remove());
        Installed { removed, changed }
    }

    /// Keeps within these bounds from now on.
    pub(super) fn set_shares(&self, shares: &Shares) {
        let kept_max = usize::try_from(shares.kept_a_worker).unwrap_or(usize::MAX);
        self.kept_count.set_max(kept_max);
        self.pipes.set_open_max(shares.pipes_a_worker);
    }

    /// Logs the requests that end from now on there, or not at all.
    pub(super) fn set_lines(&self, lines: Option<Lines>) {
        self.is_logging.set(lines.is_some());
        let old = self.lines.replace(lines);
        // Hands over what it has.
        drop(old);
    }

    /// Returns whether it has neither listener nor pool.
    pub(super) fn is_new(&self) -> bool {
        self.parts.borrow().pools.is_empty()
    }

    /// Returns a listener that is configured, by its number.
    pub(super) fn slot(&self, number: usize) -> Option<Rc<ListenerSlot>> {
        self.slots.borrow().get(&number).cloned()
    }

    /// Returns the pool that has come in the place of one.
    pub(super) fn successor_of(&self, pool: &Rc<WorkerPool>) -> Option<Rc<WorkerPool>> {
        let parts = self.parts.borrow();
        let mut pools = parts.pools.iter();
        let current = pools.find(|current| Arc::ptr_eq(&current.runtime, &pool.runtime))?;
        (!Rc::ptr_eq(current, pool)).then(|| Rc::clone(current))
    }

    /// Returns the pool of this name.
    pub(super) fn pool_of(&self, name: &str) -> Option<Rc<WorkerPool>> {
        let parts = self.parts.borrow();
        let mut pools = parts.pools.iter();
        pools.find(|pool| pool.name == name).map(Rc::clone)
    }

    /// Returns a name for a request.
    pub(super) fn request_id(&self) -> RequestId {
        let mut chance = self.chance.borrow_mut();
        request_id([chance.u64(..), chance.u64(..)])
    }

    /// Returns bytes that nobody can foretell; they protect nothing.
    pub(super) fn random(&self) -> [u8; 16] {
        self.chance.borrow_mut().u128(..).to_ne_bytes()
    }

    /// Returns whether there is an access log.
    pub(super) fn is_logging(&self) -> bool {
        self.is_logging.get()
    }

    /// Returns the time, where timestamps of requests are logged or measured.
    pub(super) fn moment(&self) -> Option<Instant> {
        (self.is_logging() || self.is_timing.get()).then(Instant::now)
    }

    /// Closes a kept connection, so that another one can be opened; returns whether there was one.
    pub(super) fn close_kept(&self) -> bool {
        self.parts.borrow().kept().any(Kept::close_one)
    }

    /// Watches a connection until the guard is dropped.
    pub(super) fn register(
        self: &Rc<Self>,
        slot: &Rc<ListenerSlot>,
        origin: Origin,
        counted: Counted,
        deadline: &Rc<Deadline>,
    ) -> Registered {
        if self.draining.get() || slot.is_removed() {
            deadline.expect_no_more();
        }
        Registered {
            place: self.connections.borrow_mut().insert(slot, deadline, origin),
            context: Rc::clone(self),
            slot: Rc::clone(slot),
            client: origin.client.ip(),
            counted,
        }
    }

    /// Watches a stream of a connection that is watched, until the guard is dropped.
    pub(super) fn watch_stream(
        self: &Rc<Self>,
        slot: &Rc<ListenerSlot>,
        client: SocketAddr,
        deadline: &Rc<Deadline>,
    ) -> WatchedStream {
        if self.draining.get() || slot.is_removed() {
            deadline.expect_no_more();
        }
        let origin = Origin {
            client,
            socket: None,
            since_ms: self.clock.get(),
        };
        WatchedStream {
            place: self.streams.borrow_mut().insert(slot, deadline, origin),
            context: Rc::clone(self),
        }
    }

    /// Asks the connection for its place that has been idle longest, of a listener or of all.
    pub(super) fn request_eviction(&self, of: Option<&ListenerSlot>) -> Asked {
        let connections = self.connections.borrow();
        let oldest = of.map_or(&self.evictions.oldest, |slot| &slot.oldest);
        let mut oldest = oldest.borrow_mut();
        let is_idle = |idle: Idle| connections.idle(of, idle.slot) == Some(idle);
        let mut found = oldest.take(is_idle);
        if found.is_none() && oldest.may_look(self.clock.get()) {
            let places = 0..connections.places();
            let idle = places
                .clone()
                .filter_map(|place| connections.idle(of, place));
            oldest.look(self.clock.get(), places.len(), idle);
            found = oldest.take(is_idle);
        }
        match found.and_then(|idle| connections.at(idle.slot)) {
            Some(deadline) => {
                deadline.request_eviction();
                Asked::One
            }
            None => Asked::Nobody,
        }
    }

    /// Asks for the places that connections of other threads wait for.
    pub(super) fn help_out(&self) {
        for slot in self.slots.borrow().values() {
            self.help(Some(slot), &slot.current().runtime.wanted);
        }
        self.help(None, &self.shared.wanted);
    }

    fn help(&self, of: Option<&ListenerSlot>, wanted: &AtomicU64) {
        let one_less = |count: u64| count.checked_sub(1);
        while wanted.load(Relaxed) > 0
            && self.request_eviction(of) == Asked::One
            && wanted.fetch_update(Relaxed, Relaxed, one_less).is_ok()
        {}
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
        for register in [&self.connections, &self.streams] {
            register.borrow().iter().for_each(|it| it.sweep());
        }
        let parts = self.parts.borrow();
        parts.kept().for_each(Kept::sweep);
        let now_ms = self.shared.now_ms();
        let pools = parts.pools.iter();
        pools.for_each(|pool| pool.call_for_trials(now_ms));
        self.give_back(futures);
    }

    /// Lets go what has not been needed for a while, and has memory given back where much has gone.
    fn give_back(&self, futures: usize) {
        let buffers = self.buffers.sweep();
        let lines = self.lines.borrow_mut().as_mut().map(Lines::sweep);
        let others = futures * REQUEST_BYTES
            + self.connections.borrow().len() * CONNECTION_BYTES
            + lines.unwrap_or(0);
        let in_use_bytes = buffers.left_bytes + others;
        self.giver
            .handle_sweep(in_use_bytes, buffers.peak_bytes + others);
    }

    /// Returns how many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.connections.borrow().len()
    }
}

/// A connection that is being watched.
pub(super) struct Registered {
    context: Rc<WorkerContext>,
    slot: Rc<ListenerSlot>,
    client: IpAddr,
    counted: Counted,
    place: usize,
}

impl Registered {
    /// Counts the connection among those of its client, who was not known before; `false` where it
    /// is one too many.
    pub(super) fn name(&mut self, client: SocketAddr) -> bool {
        let Some(counted) = self.slot.look().try_add_client(client.ip()) else {
            return false;
        };
        self.client = client.ip();
        self.counted = counted;
        let mut connections = self.context.connections.borrow_mut();
        connections.rename(self.place, client);
        true
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.slot.current().release(self.client, self.counted);
        let mut connections = self.context.connections.borrow_mut();
        connections.remove(self.place);
        self.context.evictions.tell();
        if connections.len() == 0 {
            self.context.emptied.notify_one();
        }
    }
}

/// A stream that is being watched.
pub(super) struct WatchedStream {
    context: Rc<WorkerContext>,
    place: usize,
}

impl Drop for WatchedStream {
    fn drop(&mut self) {
        self.context.streams.borrow_mut().remove(self.place);
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
