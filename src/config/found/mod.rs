//! What the configuration names and others keep: read by the supervisor where the file itself is,
//! part of the configuration from then on, so that what has changed there is a configuration that
//! has changed. It travels to the proxy beside the YAML. Pure.

pub mod backends;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::backends::FoundBackend;
use super::Config;
use super::pages::PageTexts;
use super::tls::{FoundPoolTls, FoundTls};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The texts of pages, by path.
    pub pages: PageTexts,
    /// Certificates, by listener.
    pub listeners: BTreeMap<String, Arc<FoundTls>>,
    /// Certificates, by pool.
    pub pools: BTreeMap<String, Arc<FoundPoolTls>>,
    /// Backends, by pool.
    pub backends: BTreeMap<String, Vec<FoundBackend>>,
}

impl Found {
    /// Returns what is in a configuration.
    pub fn of(config: &Config) -> Self {
        let listeners = config.listeners.iter().filter_map(|listener| {
            let tls = listener.tls.as_ref()?;
            Some((listener.name.clone(), Arc::clone(&tls.found)))
        });
        let pools = config.pools.iter().filter_map(|pool| {
            let tls = pool.tls.as_ref()?;
            Some((pool.name.clone(), Arc::clone(&tls.found)))
        });
        let following = config.pools.iter().filter(|pool| pool.follow.is_any());
        let backends = following.map(|pool| (pool.name.clone(), pool.found()));
        Self {
            pages: PageTexts::of(config),
            listeners: listeners.collect(),
            pools: pools.collect(),
            backends: backends.collect(),
        }
    }

    /// Lays it on the same configuration, read again.
    pub fn apply(self, config: &mut Config) {
        let Self {
            pages,
            mut listeners,
            mut pools,
            mut backends,
        } = self;
        pages.apply(config);
        for listener in &mut config.listeners {
            if let Some(tls) = &mut listener.tls {
                tls.found = listeners.remove(&listener.name).unwrap_or_default();
            }
        }
        for pool in &mut config.pools {
            if let Some(tls) = &mut pool.tls {
                tls.found = pools.remove(&pool.name).unwrap_or_default();
            }
            pool.set_found(backends.remove(&pool.name).unwrap_or_default());
        }
    }
}
