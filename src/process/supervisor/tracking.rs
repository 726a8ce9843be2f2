//! What the virtual routers of a configuration depend on, in the words of `logic::track`.

use crate::config::Config;
use crate::ipc::message::PoolHealth;
use crate::logic::track::{Condition, Observed, Source, Tracked};

/// Returns what each entry depends on: where listeners serve on its addresses, the proxy and the
/// pools of those.
pub(super) fn tracked(config: &Config) -> Vec<Tracked> {
    let mut all: Vec<Tracked> = Vec::new();
    for router in &config.virtual_routers {
        let entry = &router.name.entry;
        if all.iter().any(|tracked| tracked.entry == *entry) {
            continue;
        }
        let mut conditions: Vec<Condition> = Vec::new();
        let mut need = |source| {
            let condition = Condition { source };
            if !conditions.contains(&condition) {
                conditions.push(condition);
            }
        };
        let on_it = |name: &Option<String>| name.as_ref() == Some(entry);
        for listener in config.listeners.iter().filter(|l| on_it(&l.virtual_router)) {
            need(Source::Proxy);
            need(Source::Pool(listener.pool.clone()));
        }
        all.push(Tracked {
            entry: entry.clone(),
            sync_group: router.sync_group.clone(),
            rank: router.rank,
            conditions,
        });
    }
    all
}

/// Returns what the health of its backends says of a pool.
pub(super) fn observed(health: &PoolHealth) -> Observed {
    if health.backends.values().any(|up| *up) {
        Observed::Well
    } else if health.probed {
        Observed::Failed
    } else {
        Observed::Unknown
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
