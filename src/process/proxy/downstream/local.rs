//! What one worker has of a listener: its pool, its counters, and its idle connections that were
//! found; and whether a new connection is served.

use std::cell::RefCell;
use std::net::IpAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::process::proxy::downstream::eviction::Oldest;
use crate::process::proxy::downstream::listener::{Listener, ListenerCounters};
use crate::process::proxy::shared::Shared;
use crate::process::proxy::upstream::local::WorkerPool;

/// A listener, as one worker uses it.
pub(in crate::process::proxy) struct WorkerListener {
    listener: Arc<Listener>,
    shared: Arc<Shared>,
    /// For the stamps of progress.
    pub(in crate::process::proxy) index: usize,
    /// What answers its requests.
    pub(in crate::process::proxy) worker_pool: Rc<WorkerPool>,
    pub(in crate::process::proxy) counters: Arc<ListenerCounters>,
    /// Its own idle connections, where its own limit is reached.
    pub(in crate::process::proxy) oldest: RefCell<Oldest>,
}

/// What is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Full {
    /// The proxy.
    Proxy,
    /// The listener that a connection has come to.
    Listener,
}

/// Whether a connection is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Admission {
    Granted,
    /// It is one too many of its client's.
    Refused,
    /// It is one too many, unless an idle one leaves.
    Full(Full),
}

impl Deref for WorkerListener {
    type Target = Listener;

    fn deref(&self) -> &Listener {
        &self.listener
    }
}

impl WorkerListener {
    /// Returns what the worker of this number has of the listener of this index.
    pub(in crate::process::proxy) fn new(
        shared: &Arc<Shared>,
        index: usize,
        worker: usize,
        worker_pool: &Rc<WorkerPool>,
    ) -> Self {
        let listener = Arc::clone(&shared.generation.listeners[index]);
        Self {
            counters: listener.runtime.counters.of(worker),
            listener,
            shared: Arc::clone(shared),
            index,
            worker_pool: Rc::clone(worker_pool),
            oldest: RefCell::default(),
        }
    }

    /// Counts a client's connection in, unless it is one too many.
    pub(in crate::process::proxy) fn admit(&self, client: IpAddr) -> Admission {
        if self.is_full() {
            return Admission::Full(Full::Listener);
        }
        if self.shared.is_full() {
            return Admission::Full(Full::Proxy);
        }
        if !self.try_add(client) {
            return Admission::Refused;
        }
        self.shared.connections.fetch_add(1, Relaxed);
        Admission::Granted
    }

    /// Counts a connection out that was admitted.
    pub(in crate::process::proxy) fn release(&self, client: IpAddr) {
        self.remove(client);
        self.shared.connections.fetch_sub(1, Relaxed);
    }

    /// Returns how many wait for a place that another thread may have.
    pub(in crate::process::proxy) fn wanted(&self, full: Full) -> &AtomicU64 {
        match full {
            Full::Proxy => &self.shared.wanted,
            Full::Listener => &self.runtime.wanted,
        }
    }

    /// Returns whose connections may leave so that there is a place: its own, or all.
    pub(in crate::process::proxy) fn among(&self, full: Full) -> Option<&Self> {
        match full {
            Full::Proxy => None,
            Full::Listener => Some(self),
        }
    }

    /// Returns whether it is the same listener, in whichever generation.
    pub(in crate::process::proxy) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.runtime, &other.runtime)
    }
}
