//! What operators have changed by command: a layer over the configuration that every process lays
//! on the same text in the same way.
//!
//! What it speaks of may be gone from the text; then it says nothing. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BackendConfig, BackendMode, Config, ListenerMode, Origin, Tier};

/// All changes by command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    /// By pool and backend.
    #[serde(default)]
    pub backends: BTreeMap<String, BTreeMap<String, BackendOverride>>,
    /// By entry of `virtual_routers`.
    #[serde(default)]
    pub priorities: BTreeMap<String, PriorityOverride>,
    /// By listener: those in maintenance.
    #[serde(default)]
    pub maintenance: BTreeMap<String, MaintenanceOverride>,
}

/// A listener in maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceOverride {
    /// What Retry-After says, seconds, 1 to 604800; `None`: as in the file.
    #[serde(default)]
    pub retry_after_s: Option<u32>,
    /// When it was said, milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
}

/// A base priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorityOverride {
    /// 1 to 254.
    pub base: u8,
    /// When it was said, milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
}

/// What was changed of one backend; what is `None` is as in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendOverride {
    /// Whether it gets requests and probes.
    #[serde(default)]
    pub mode: Option<BackendMode>,
    /// Its share of the requests, 1 to 256.
    #[serde(default)]
    pub weight: Option<u16>,
    /// It was added by command, and listens there; a backend of the file by this name goes before.
    #[serde(default)]
    pub added: Option<SocketAddr>,
    /// It was removed by command.
    #[serde(default)]
    pub removed: bool,
    /// When the last of it was said, milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub at_ms: u64,
}

impl Overrides {
    /// Lays all changes on a configuration. Those of what it does not have are left out, and so is
    /// the removal of the last backend of a pool.
    pub fn apply(&self, config: &mut Config) {
        for pool in &mut config.pools {
            let Some(changes) = self.backends.get(&pool.name) else {
                continue;
            };
            for (name, change) in changes {
                let there = pool.backends.iter().any(|backend| backend.name == *name);
                if let Some(address) = change.added.filter(|_| !there) {
                    pool.backends.push(BackendConfig {
                        name: name.clone(),
                        address,
                        weight: 1,
                        requests: None,
                        mode: BackendMode::Up,
                        tier: Tier::Primary,
                        origin: Origin::Written,
                    });
                }
            }
            let removed = |backend: &BackendConfig| {
                let change = changes.get(&backend.name);
                change.is_some_and(|change| change.removed)
            };
            if !pool.backends.iter().all(removed) {
                pool.backends.retain(|backend| !removed(backend));
            }
            for backend in &mut pool.backends {
                let change = changes.get(&backend.name).copied().unwrap_or_default();
                backend.mode = change.mode.unwrap_or(backend.mode);
                backend.weight = change.weight.unwrap_or(backend.weight);
            }
        }
        for router in &mut config.virtual_routers {
            if let Some(changed) = self.priorities.get(&router.name.entry) {
                router.rank = router.rank.with_base(changed.base);
                router.priority = router.rank.base();
            }
        }
        for listener in &mut config.listeners {
            if let Some(change) = self.maintenance.get(&listener.name) {
                let maintenance = &mut listener.maintenance;
                maintenance.mode = ListenerMode::Maintenance;
                if let Some(seconds) = change.retry_after_s {
                    maintenance.retry_after = Duration::from_secs(seconds.into());
                }
            }
        }
    }
}
