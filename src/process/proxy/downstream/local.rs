//! What one worker has of a listener in one generation: its pools and its counters; and whether a
//! new connection is served.

use std::net::IpAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::process::proxy::downstream::listener::{Counted, Listener, ListenerCounters};
use crate::process::proxy::downstream::rules::RouteCounters;
use crate::process::proxy::shared::Shared;
use crate::process::proxy::upstream::local::WorkerPool;
use crate::process::proxy::upstream::pool::Pool;

/// A listener, as one worker uses it.
pub(in crate::process::proxy) struct WorkerListener {
    listener: Arc<Listener>,
    shared: Arc<Shared>,
    /// What answers requests, by the index of their rules.
    pub(in crate::process::proxy) worker_pools: Vec<Option<Rc<WorkerPool>>>,
    /// What is counted of requests, by the index of their rules.
    pub(in crate::process::proxy) route_counters: Vec<Arc<RouteCounters>>,
    pub(in crate::process::proxy) counters: Arc<ListenerCounters>,
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
    Granted(Counted),
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
    /// Returns what the worker of this number has of a listener.
    pub(in crate::process::proxy) fn new(
        listener: &Arc<Listener>,
        shared: &Arc<Shared>,
        worker: usize,
        worker_pool: impl Fn(&Arc<Pool>) -> Option<Rc<WorkerPool>>,
    ) -> Self {
        let rules = listener.rules.iter();
        let pools = rules
            .clone()
            .map(|it| it.pool.as_ref().and_then(&worker_pool));
        Self {
            counters: listener.runtime.counters.of(worker),
            listener: Arc::clone(listener),
            shared: Arc::clone(shared),
            worker_pools: pools.collect(),
            route_counters: rules.map(|it| it.runtime.counters.of(worker)).collect(),
        }
    }

    /// Returns whether it is the worker's part of this listener.
    pub(in crate::process::proxy) fn is(&self, listener: &Arc<Listener>) -> bool {
        Arc::ptr_eq(&self.listener, listener)
    }

    /// Counts a client's connection in, unless it is one too many; that of a client who is not
    /// known yet among all.
    pub(in crate::process::proxy) fn admit(&self, client: Option<IpAddr>) -> Admission {
        if self.is_full() {
            return Admission::Full(Full::Listener);
        }
        if self.shared.is_full() {
            return Admission::Full(Full::Proxy);
        }
        let Some(counted) = self.try_add(client) else {
            return Admission::Refused;
        };
        self.shared.connections.fetch_add(1, Relaxed);
        Admission::Granted(counted)
    }

    /// Counts a connection out that was admitted, by whichever generation.
    pub(in crate::process::proxy) fn release(&self, client: IpAddr, counted: Counted) {
        self.runtime.remove(client, counted);
        self.shared.connections.fetch_sub(1, Relaxed);
    }

    /// Returns how many wait for a place that another thread may have.
    pub(in crate::process::proxy) fn wanted(&self, full: Full) -> &AtomicU64 {
        match full {
            Full::Proxy => &self.shared.wanted,
            Full::Listener => &self.runtime.wanted,
        }
    }
}
