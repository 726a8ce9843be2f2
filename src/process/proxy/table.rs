//! What the threads of the proxy share: the table of listeners and pools, verdicts and counters,
//! all in atomics.
//!
//! The locks are for the connections of one client, where a listener limits them, taken when a
//! connection begins and ends; and for the queue of a pool, where a backend is limited, taken when
//! somebody has to wait. Written by the workers (counters) and by the health checks
//! (verdicts), read by both and by `status`. All orderings are relaxed: each number stands for
//! itself, but for the two that `queue` tells about.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::downstream::eviction::Full;
use super::io::deadline::millis;
use super::shortage::Shortages;
use super::upstream::backend::Backend;
use super::upstream::queue::PoolQueue;
use crate::config::{
    Config, ForwardingConfig, HealthCheckConfig, ListenerLimits, ListenerTimeouts, PoolTimeouts,
};
use crate::ipc::control::{ListenerStatus, PoolStatus};
use crate::ipc::message::PoolHealth;
use crate::logic::balance::Balance;
use crate::logic::balance::health::Availability;
use crate::logic::balance::limits::client_of;
use crate::logic::descriptors::Shares;
use crate::logic::http1::head::HeadLimits;

/// The configuration, compiled to indexes.
pub(super) struct Table {
    /// Held for one direction of a connection.
    pub(super) connection_bytes: usize,
    pub(super) listeners: Vec<Listener>,
    pub(super) pools: Vec<Pool>,
    pub(super) shortages: Shortages,
    /// How the descriptors are shared out.
    pub(super) shares: Shares,
    /// New connections that wait for a place that another thread may have.
    wanted: AtomicU64,
    began_at: Instant,
    /// Milliseconds since `began_at`, renewed with every beat of a worker.
    now_ms: AtomicU64,
}

pub(super) struct Listener {
    pub(super) name: String,
    pub(super) binds: Vec<SocketAddr>,
    pub(super) pool: usize,
    pub(super) timeouts: ListenerTimeouts,
    pub(super) heads: HeadLimits,
    pub(super) limits: ListenerLimits,
    pub(super) forwarding: ForwardingConfig,
    /// Open connections by client, where they are limited.
    by_client: Option<Mutex<HashMap<IpAddr, u32>>>,
    /// Whether its requests are in the access log, where there is one.
    pub(super) logged: bool,
    pub(super) connections: AtomicU64,
    refused: AtomicU64,
    evicted: AtomicU64,
    /// As in `Table`, where its own limit is reached.
    wanted: AtomicU64,
    pub(super) requests: AtomicU64,
    classes: [AtomicU64; 5],
}

pub(super) struct Pool {
    pub(super) name: String,
    pub(super) backends: Vec<Backend>,
    pub(super) balance: Balance,
    pub(super) check: HealthCheckConfig,
    pub(super) timeouts: PoolTimeouts,
    pub(super) retries: AtomicU64,
    pub(super) queue: PoolQueue,
}

impl Table {
    /// Compiles `config`; `None` names a listener whose pool does not exist.
    pub(super) fn new(
        config: &Config,
        health: &[PoolHealth],
        shares: Shares,
    ) -> Result<Self, String> {
        let pools: Vec<Pool> = config
            .pools
            .iter()
            .map(|pool| {
                let known = health.iter().find(|known| known.pool == pool.name);
                let backends = pool.backends.iter().map(|backend| {
                    let known = known.and_then(|known| known.backends.get(&backend.name));
                    Backend::new(backend, &pool.health_check, known.copied())
                });
                let backends: Vec<Backend> = backends.collect();
                Pool {
                    queue: PoolQueue::new(pool.balance, &backends),
                    name: pool.name.clone(),
                    backends,
                    balance: pool.balance,
                    check: pool.health_check.clone(),
                    timeouts: pool.timeouts,
                    retries: AtomicU64::new(0),
                }
            })
            .collect();
        let mut listeners = Vec::with_capacity(config.listeners.len());
        for listener in &config.listeners {
            let Some(pool) = pools.iter().position(|pool| pool.name == listener.pool) else {
                return Err(listener.name.clone());
            };
            listeners.push(Listener {
                name: listener.name.clone(),
                binds: listener.binds.clone(),
                pool,
                timeouts: listener.timeouts,
                heads: head_limits(&listener.limits),
                limits: listener.limits,
                forwarding: listener.forwarding.clone(),
                by_client: listener
                    .limits
                    .connections_per_client
                    .map(|_| Mutex::default()),
                logged: listener.access_log,
                connections: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                evicted: AtomicU64::new(0),
                wanted: AtomicU64::new(0),
                requests: AtomicU64::new(0),
                classes: Default::default(),
            });
        }
        Ok(Self {
            connection_bytes: bytes(config.proxy.connection_bytes),
            listeners,
            pools,
            shortages: Shortages::default(),
            shares,
            wanted: AtomicU64::new(0),
            began_at: Instant::now(),
            now_ms: AtomicU64::new(0),
        })
    }

    /// Returns the table of a configuration that is right, for the tests of what works on one.
    #[cfg(test)]
    pub(super) fn of_text(yaml: &str) -> Self {
        use crate::config::{self, NodeName};
        use crate::logic::descriptors::Wanted;

        let config = config::parse("test.yaml", yaml, NodeName::Given("lb1"));
        let wanted = Wanted {
            connections: 100,
            threads: 1,
            sockets: 1,
            probes: 0,
        };
        let shares = Shares::of(1024, wanted);
        Self::new(&config.expect("it is right"), &[], shares).expect("its pools exist")
    }

    /// Returns the coarse clock of what all threads share; that of a thread stands still where the
    /// thread does.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms.load(Relaxed)
    }

    /// Renews that clock.
    pub(super) fn renew_clock(&self) {
        let now_ms = millis(self.began_at.elapsed());
        self.now_ms.fetch_max(now_ms, Relaxed);
    }

    /// Wakes waiting requests once the ejection of a backend has expired.
    pub(super) fn end_ejection(&self) {
        let now_ms = self.now_ms();
        let ended = |pool: &&Pool| {
            pool.backends
                .iter()
                .any(|backend| backend.end_ejection(now_ms))
        };
        for pool in self.pools.iter().filter(ended) {
            pool.queue.call(&pool.backends, now_ms);
        }
    }

    /// Counts a client's connection in, unless it is one too many.
    pub(super) fn admit(&self, index: usize, client: IpAddr) -> Admission {
        let listener = &self.listeners[index];
        let admission = self.judge(index, client);
        if admission == Admission::Granted {
            listener.connections.fetch_add(1, Relaxed);
        }
        admission
    }

    /// Counts a connection that is turned away.
    pub(super) fn count_refused(&self, listener: usize) {
        self.listeners[listener].refused.fetch_add(1, Relaxed);
    }

    /// Returns how many wait for a place that another thread may have.
    pub(super) fn wanted(&self, full: Full) -> &AtomicU64 {
        match full {
            Full::Proxy => &self.wanted,
            Full::Listener(listener) => &self.listeners[listener].wanted,
        }
    }

    fn judge(&self, index: usize, client: IpAddr) -> Admission {
        let listener = &self.listeners[index];
        let open = |listener: &Listener| listener.connections.load(Relaxed);
        let of_listener = listener.limits.connections.map_or(u64::MAX, u64::from);
        let all: u64 = self.listeners.iter().map(open).sum();
        if open(listener) >= of_listener {
            return Admission::Full(Full::Listener(index));
        }
        if all >= self.shares.connections {
            return Admission::Full(Full::Proxy);
        }
        let max = listener.limits.connections_per_client;
        if let (Some(by_client), Some(max)) = (&listener.by_client, max) {
            // A thread that panicked here left the counts whole.
            let mut counts = by_client.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(client_of(client)).or_insert(0);
            if *count >= max {
                return Admission::Refused;
            }
            *count += 1;
        }
        Admission::Granted
    }

    /// Counts a connection out that was admitted.
    pub(super) fn release(&self, listener: usize, client: IpAddr) {
        let listener = &self.listeners[listener];
        if let Some(by_client) = &listener.by_client {
            let mut counts = by_client.lock().unwrap_or_else(PoisonError::into_inner);
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
        listener.connections.fetch_sub(1, Relaxed);
    }

    pub(super) fn listener_statuses(&self) -> Vec<ListenerStatus> {
        self.listeners
            .iter()
            .map(|listener| listener.status(&self.pools))
            .collect()
    }

    pub(super) fn pool_statuses(&self) -> Vec<PoolStatus> {
        self.pools.iter().map(Pool::status).collect()
    }
}

/// Whether a connection is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Granted,
    /// It is one too many of its client's.
    Refused,
    /// It is one too many, unless an idle one leaves.
    Full(Full),
}

impl Listener {
    /// Counts a connection that has left so that another may come.
    pub(super) fn count_evicted(&self) {
        self.evicted.fetch_add(1, Relaxed);
    }

    pub(super) fn count_response(&self, status: u16) {
        self.requests.fetch_add(1, Relaxed);
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.classes[class].fetch_add(1, Relaxed);
    }

    fn status(&self, pools: &[Pool]) -> ListenerStatus {
        let classes: BTreeMap<String, u64> = ["1xx", "2xx", "3xx", "4xx", "5xx"]
            .iter()
            .zip(&self.classes)
            .map(|(class, count)| ((*class).to_owned(), count.load(Relaxed)))
            .filter(|(class, count)| class != "1xx" || *count > 0)
            .collect();
        ListenerStatus {
            name: self.name.clone(),
            binds: self.binds.clone(),
            pool: pools[self.pool].name.clone(),
            connections: self.connections.load(Relaxed),
            connections_refused_total: self.refused.load(Relaxed),
            connections_evicted_total: self.evicted.load(Relaxed),
            requests_total: self.requests.load(Relaxed),
            responses_total: classes,
        }
    }
}

impl Pool {
    /// Stores a verdict, and wakes waiting requests: there may be a slot now, or no backend left to
    /// wait for.
    pub(super) fn set_availability(&self, backend: usize, availability: Availability, now_ms: u64) {
        self.backends[backend].set_availability(availability);
        self.queue.call(&self.backends, now_ms);
    }

    /// Releases a slot, and wakes the request that waits for it.
    pub(super) fn release_slot(&self, backend: usize, now_ms: u64) {
        let backend = &self.backends[backend];
        backend.release();
        if backend.requests_max.is_some() {
            self.queue.call(&self.backends, now_ms);
        }
    }

    /// Returns what the supervisor is told of this pool.
    pub(super) fn health(&self) -> PoolHealth {
        let mut probed = true;
        let mut backends = BTreeMap::new();
        for backend in &self.backends {
            match backend.availability() {
                Availability::Unprobed => probed = false,
                Availability::Up => drop(backends.insert(backend.name.clone(), true)),
                Availability::Down => drop(backends.insert(backend.name.clone(), false)),
            }
        }
        PoolHealth {
            pool: self.name.clone(),
            backends,
            probed,
        }
    }

    fn status(&self) -> PoolStatus {
        let backends = self.backends.iter().map(Backend::status);
        PoolStatus {
            retries_total: self.retries.load(Relaxed),
            queued_requests: self.queue.waiting(),
            queued_total: self.queue.waited.load(Relaxed),
            queue_timeouts_total: self.queue.timeouts.load(Relaxed),
            ..PoolStatus::uncounted(self.name.clone(), backends.collect())
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
