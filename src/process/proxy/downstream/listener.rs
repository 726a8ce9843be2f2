//! A listener as all workers see it: what a configuration says of it, and what outlives that.
//!
//! There is a lock only for the connections of one client, where they are limited, taken when a
//! connection begins and ends.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{ForwardingConfig, ListenerConfig, ListenerLimits, ListenerTimeouts};
use crate::ipc::control::ListenerStatus;
use crate::logic::balance::limits::client_of;
use crate::logic::http1::head::{HeadLimits, Protocol};
use crate::process::proxy::counters::{Counter, PerWorker};
use crate::process::proxy::upstream::pool::Pool;

/// A listener, in one generation.
pub(in crate::process::proxy) struct Listener {
    pub(in crate::process::proxy) name: String,
    binds: Vec<SocketAddr>,
    pub(in crate::process::proxy) pool: Arc<Pool>,
    pub(in crate::process::proxy) timeouts: ListenerTimeouts,
    pub(in crate::process::proxy) heads: HeadLimits,
    pub(in crate::process::proxy) limits: ListenerLimits,
    /// Held for one direction of a connection.
    pub(in crate::process::proxy) connection_bytes: usize,
    pub(in crate::process::proxy) forwarding: ForwardingConfig,
    /// Whether its requests are in the access log, where there is one.
    pub(in crate::process::proxy) logged: bool,
    /// Protocols that requests may change to.
    pub(in crate::process::proxy) upgrades: Vec<Protocol>,
    /// Whether TRACE goes on to backends.
    pub(in crate::process::proxy) trace: bool,
    pub(in crate::process::proxy) runtime: Arc<ListenerRuntime>,
}

/// What has become of the listener of this name, in all generations.
pub(in crate::process::proxy) struct ListenerRuntime {
    /// Open connections by client, of those generations that limit them.
    by_client: Mutex<HashMap<IpAddr, u32>>,
    pub(in crate::process::proxy) connections: AtomicU64,
    /// New connections that wait for a place that another thread may have, where its own limit is
    /// reached.
    pub(in crate::process::proxy) wanted: AtomicU64,
    pub(in crate::process::proxy) counters: PerWorker<ListenerCounters>,
}

/// What one worker counts of a listener.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(in crate::process::proxy) struct ListenerCounters {
    pub(in crate::process::proxy) requests: Counter,
    pub(in crate::process::proxy) refused: Counter,
    pub(in crate::process::proxy) evicted: Counter,
    classes: [Counter; 5],
}

impl ListenerCounters {
    pub(in crate::process::proxy) fn count_response(&self, status: u16) {
        self.requests.count();
        self.classes[usize::from(status / 100).clamp(1, 5) - 1].count();
    }
}

impl Listener {
    /// Compiles `config`. What `before` was of the same name goes on.
    pub(in crate::process::proxy) fn new(
        config: &ListenerConfig,
        pool: &Arc<Pool>,
        connection_bytes: u32,
        before: Option<&Self>,
        workers: usize,
    ) -> Self {
        let fresh = || ListenerRuntime {
            by_client: Mutex::default(),
            connections: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            counters: PerWorker::new(workers),
        };
        Self {
            name: config.name.clone(),
            binds: config.binds.clone(),
            pool: Arc::clone(pool),
            timeouts: config.timeouts,
            heads: head_limits(&config.limits),
            limits: config.limits,
            connection_bytes: bytes(connection_bytes),
            forwarding: config.forwarding.clone(),
            logged: config.access_log,
            upgrades: config.upgrades.clone(),
            trace: config.trace,
            runtime: before.map_or_else(|| Arc::new(fresh()), |old| Arc::clone(&old.runtime)),
        }
    }

    /// Returns whether it has as many connections as it may.
    pub(in crate::process::proxy) fn is_full(&self) -> bool {
        let max = self.limits.connections.map_or(u64::MAX, u64::from);
        self.runtime.connections.load(Relaxed) >= max
    }

    /// Counts a connection in, unless it is one too many of its client's; returns whether it was.
    pub(in crate::process::proxy) fn try_add(&self, client: IpAddr) -> bool {
        if let Some(max) = self.limits.connections_per_client {
            // A thread that panicked here left the counts whole.
            let counts = self.runtime.by_client.lock();
            let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(client_of(client)).or_insert(0);
            if *count >= max {
                return false;
            }
            *count += 1;
        }
        self.runtime.connections.fetch_add(1, Relaxed);
        true
    }

    /// Counts a connection out that was counted in.
    pub(in crate::process::proxy) fn remove(&self, client: IpAddr) {
        if self.limits.connections_per_client.is_some() {
            let counts = self.runtime.by_client.lock();
            let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
            let client = client_of(client);
            if let Some(count) = counts.get_mut(&client) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&client);
                }
            }
            if counts.capacity() > BY_CLIENT_MIN.max(8 * counts.len()) {
                let len = counts.len();
                counts.shrink_to(2 * len);
            }
        }
        self.runtime.connections.fetch_sub(1, Relaxed);
    }

    /// Returns its part of a status.
    pub(in crate::process::proxy) fn status(&self) -> ListenerStatus {
        let ListenerRuntime {
            counters,
            connections,
            ..
        } = &*self.runtime;
        let classes: BTreeMap<String, u64> = ["1xx", "2xx", "3xx", "4xx", "5xx"]
            .iter()
            .enumerate()
            .map(|(class, name)| {
                let count = counters.sum(|counters| &counters.classes[class]);
                ((*name).to_owned(), count)
            })
            .filter(|(class, count)| class != "1xx" || *count > 0)
            .collect();
        ListenerStatus {
            name: self.name.clone(),
            binds: self.binds.clone(),
            pool: self.pool.name.clone(),
            connections: connections.load(Relaxed),
            connections_refused_total: counters.sum(|counters| &counters.refused),
            connections_evicted_total: counters.sum(|counters| &counters.evicted),
            requests_total: counters.sum(|counters| &counters.requests),
            responses_total: classes,
        }
    }
}

fn head_limits(limits: &ListenerLimits) -> HeadLimits {
    HeadLimits {
        head_bytes: bytes(limits.head_bytes),
        fields: bytes(limits.fields),
        target_bytes: bytes(limits.target_bytes),
    }
}

fn bytes(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Room for so many clients is kept, whether they are there or not.
const BY_CLIENT_MIN: usize = 1024;
