//! A pool as all workers see it: what a configuration says of it, and what outlives that.

pub(in crate::process::proxy) mod affinity;
mod ejections;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use crate::config::{BackendMode, PoolConfig};
use crate::ipc::control::PoolStatus;
use crate::ipc::message::PoolHealth;
use crate::logic::balance::health::Availability;
use crate::logic::balance::slow_start::SlowStart;
use crate::process::proxy::counters::{Counter, PerWorker, Times};
use crate::process::proxy::spool::Account;
use crate::process::proxy::tls::connector::Connector;
use crate::process::proxy::upstream::backend::{Backend, BackendRuntime};
use crate::process::proxy::upstream::method::Method;
use crate::process::proxy::upstream::picker::Backends;
use crate::process::proxy::upstream::pool::affinity::Affinity;
use crate::process::proxy::upstream::queue::PoolQueue;

/// A pool, in one generation.
pub(in crate::process::proxy) struct Pool {
    config: PoolConfig,
    pub(in crate::process::proxy) backends: Arc<Backends>,
    pub(in crate::process::proxy) runtime: Arc<PoolRuntime>,
    /// How TLS is spoken to it, where it is.
    pub(in crate::process::proxy) connector: Option<Arc<Connector>>,
    /// How sessions stay on its backends, where they do.
    pub(in crate::process::proxy) affinity: Option<Affinity>,
}

impl Deref for Pool {
    type Target = PoolConfig;

    fn deref(&self) -> &PoolConfig {
        &self.config
    }
}

/// What has become of the pool of this name, in all generations.
pub(in crate::process::proxy) struct PoolRuntime {
    pub(in crate::process::proxy) queue: PoolQueue,
    pub(in crate::process::proxy) counters: PerWorker<PoolCounters>,
    /// What is kept of the bodies of its requests.
    pub(in crate::process::proxy) spooled: Arc<Account>,
    /// Held while a backend is ejected or taken back.
    ejecting: Mutex<()>,
}

/// What one worker counts of a pool.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(in crate::process::proxy) struct PoolCounters {
    pub(in crate::process::proxy) retries: Counter,
    /// Requests that waited in vain.
    pub(in crate::process::proxy) queue_timeouts: Counter,
    /// How long backends took from the connection to the head of a response.
    pub(in crate::process::proxy) response_times: Times,
}

impl Pool {
    /// Compiles `config`. What `before` was of the same name, and its backends of the same name and
    /// address, goes on; other backends begin with what is `known` of their health.
    pub(in crate::process::proxy) fn new(
        config: &PoolConfig,
        before: Option<&Self>,
        known: Option<&PoolHealth>,
        method: Method,
        (connector, affinity): (Option<Arc<Connector>>, Option<Affinity>),
    ) -> Self {
        let backends = config.backends.iter().map(|backend| {
            let mut olds = before.iter().flat_map(|pool| pool.backends.all());
            let old = olds.find(|old| old.runtime.is_of(backend));
            let known = known.and_then(|known| known.backends.get(&backend.name));
            let fresh = || BackendRuntime::new(backend, &config.health_check, known.copied());
            Backend {
                weight: backend.weight,
                tier: backend.tier,
                requests_max: backend.requests,
                mode: backend.mode,
                runtime: old.map_or_else(|| Arc::new(fresh()), |old| Arc::clone(&old.runtime)),
            }
        });
        let slow_start = SlowStart::new(config.slow_start);
        let backends = Backends::new(method, backends.collect(), slow_start);
        let backends = Arc::new(backends);
        let fresh = || PoolRuntime {
            queue: PoolQueue::default(),
            counters: PerWorker::default(),
            spooled: Arc::default(),
            ejecting: Mutex::default(),
        };
        let runtime =
            before.map_or_else(|| Arc::new(fresh()), |before| Arc::clone(&before.runtime));
        if backends.are_limited() {
            runtime.queue.open();
        }
        Self {
            config: config.clone(),
            backends,
            runtime,
            connector,
            affinity,
        }
    }

    /// Returns what it was compiled of: how it is configured, and how it picks.
    pub(in crate::process::proxy) fn parts(&self) -> (&PoolConfig, &Method) {
        (&self.config, self.backends.method())
    }

    /// Returns whether compiling this would give the same.
    pub(in crate::process::proxy) fn is_of(&self, config: &PoolConfig) -> bool {
        self.config == *config
    }

    /// Returns a backend by index.
    pub(in crate::process::proxy) fn backend(&self, index: usize) -> &Backend {
        &self.backends.all()[index]
    }

    /// Stores a verdict, and wakes waiting requests: there may be a slot now, or no backend left to
    /// wait for.
    pub(in crate::process::proxy) fn set_availability(
        &self,
        backend: &BackendRuntime,
        availability: Availability,
        now_ms: u64,
    ) {
        backend.set_availability(availability, now_ms);
        self.keep_half(now_ms);
        self.runtime.queue.call(now_ms);
    }

    /// Has this generation's word on each backend hold, in all generations, and wakes the requests
    /// that wait for a backend of an older one. To be called when all workers have this one.
    pub(in crate::process::proxy) fn take_effect(&self, now_ms: u64) {
        for backend in self.backends.all() {
            backend.runtime.set_mode(backend.mode, now_ms);
        }
        self.keep_half(now_ms);
        self.runtime.queue.recall(&self.backends);
        self.runtime.queue.call(now_ms);
    }

    /// Releases a slot, and wakes the request that waits for it.
    pub(in crate::process::proxy) fn release_slot(&self, backend: usize, now_ms: u64) {
        self.backend(backend).runtime.release();
        self.runtime.queue.call(now_ms);
    }

    /// Wakes waiting requests once the ejection of a backend has expired.
    pub(in crate::process::proxy) fn call_for_trials(&self, now_ms: u64) {
        let mut backends = self.backends.all().iter();
        let is_back = self.welcome_back(now_ms);
        if is_back || backends.any(|backend| backend.runtime.may_be_tried(now_ms)) {
            self.runtime.queue.call(now_ms);
        }
    }

    /// Returns what the supervisor is told of this pool: a backend that is drained or maintained
    /// serves as little as one that is down.
    pub(in crate::process::proxy) fn health(&self) -> PoolHealth {
        let mut probed = true;
        let mut backends = BTreeMap::new();
        for Backend { runtime, mode, .. } in self.backends.all() {
            let is_up = match (mode, runtime.availability()) {
                (BackendMode::Drained | BackendMode::Maintained, _) => false,
                (BackendMode::Up, Availability::Up) => true,
                (BackendMode::Up, Availability::Down) => false,
                (BackendMode::Up, Availability::Unprobed) => {
                    probed = false;
                    continue;
                }
            };
            backends.insert(runtime.name.clone(), is_up);
        }
        PoolHealth {
            pool: self.name.clone(),
            backends,
            probed,
        }
    }

    pub(in crate::process::proxy) fn status(&self, now_ms: u64) -> PoolStatus {
        let slow_start = SlowStart::new(self.slow_start);
        let backends = self.backends.all().iter();
        let backends = backends.map(|backend| backend.status(slow_start, now_ms));
        let PoolRuntime {
            queue,
            counters,
            spooled,
            ..
        } = &*self.runtime;
        PoolStatus {
            retries_total: counters.sum(|counters| &counters.retries),
            queued_requests: queue.waiting(),
            queued_total: queue.waited(),
            queue_timeouts_total: counters.sum(|counters| &counters.queue_timeouts),
            buffered_requests: spooled.bodies(),
            buffered_disk_bytes: spooled.disk_bytes(),
            unbuffered_total: spooled.refused(),
            response_times: counters.times(|counters| &counters.response_times),
            ..PoolStatus::uncounted(self.name.clone(), backends.collect())
        }
    }
}
