//! What the virtual routers of a configuration depend on, in the words of `logic::track`.

use crate::config::Config;
use crate::ipc::message::PoolHealth;
use crate::logic::track::{PoolState, Tracked};

/// Returns what each entry depends on: the pools of the listeners that serve on its addresses.
pub(super) fn tracked(config: &Config) -> Vec<Tracked> {
    let mut all: Vec<Tracked> = Vec::new();
    for router in &config.virtual_routers {
        let entry = &router.name.entry;
        if all.iter().any(|tracked| tracked.entry == *entry) {
            continue;
        }
        let mut pools: Vec<String> = Vec::new();
        let on_it = |name: &Option<String>| name.as_ref() == Some(entry);
        for listener in config.listeners.iter().filter(|l| on_it(&l.virtual_router)) {
            if !pools.contains(&listener.pool) {
                pools.push(listener.pool.clone());
            }
        }
        all.push(Tracked {
            entry: entry.clone(),
            sync_group: router.sync_group.clone(),
            rank: router.rank,
            pools: (!pools.is_empty()).then_some(pools),
        });
    }
    all
}

/// Returns what a pool is worth to the virtual routers in front of it.
pub(super) fn pool_state(health: &PoolHealth) -> PoolState {
    if health.backends.values().any(|up| *up) {
        PoolState::Serving
    } else if health.probed {
        PoolState::Lost
    } else {
        PoolState::Unknown
    }
}

/// Returns the entries of `virtual_routers`, each once, in the order of the file.
pub(super) fn entries(config: &Config) -> Vec<&str> {
    let mut entries: Vec<&str> = Vec::new();
    for router in &config.virtual_routers {
        if !entries.contains(&router.name.entry.as_str()) {
            entries.push(&router.name.entry);
        }
    }
    entries
}
