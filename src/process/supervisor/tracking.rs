//! What the virtual routers of a configuration depend on, in the words of `logic::track`.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::scripts::track::{self, Observation};
use super::watch::{self, Watched};
use crate::config::Config;
use crate::ipc::message::PoolHealth;
use crate::logic::track::{Condition, Effect, Observed, Source, Tracked};
use crate::process::role::ProgramUser;

/// Returns what each entry depends on: what the file says and, where listeners serve on its
/// addresses, the proxy and the pools of those.
pub(super) fn tracked(config: &Config) -> Vec<Tracked> {
    let mut all: Vec<Tracked> = Vec::new();
    for router in &config.virtual_routers {
        let entry = &router.name.entry;
        if all.iter().any(|tracked| tracked.entry == *entry) {
            continue;
        }
        let mut conditions = router.track.conditions.clone();
        let mut need = |source| {
            // What the file says of a source goes before.
            if !conditions
                .iter()
                .any(|known: &Condition| known.source == source)
            {
                conditions.push(Condition {
                    source,
                    effect: Effect::Ill,
                });
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

/// Starts the threads that run track scripts and look at files and processes, as far as there are
/// any; adds what scripts should have and do not.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start_observers(
    config: &Config,
    lacking: &mut Vec<String>,
    observer: mpsc::Sender<Observation>,
) -> io::Result<()> {
    let used = |source: &Source| {
        let routers = config.virtual_routers.iter();
        let mut conditions = routers.flat_map(|router| &router.track.conditions);
        conditions.any(|condition| condition.source == *source)
    };
    let mut scripts = config.track_scripts.clone();
    scripts.retain(|script| used(&Source::Script(script.name.clone())));
    if !scripts.is_empty() {
        let mut users = BTreeMap::new();
        for script in &scripts {
            let look_up = || Arc::new(ProgramUser::of_track_scripts(&script.user));
            let user = users.entry(script.user.clone()).or_insert_with(look_up);
            let new = user.shortcomings().iter();
            let new: Vec<_> = new.filter(|it| !lacking.contains(it)).cloned().collect();
            lacking.extend(new);
        }
        track::start(scripts, users, observer.clone())?;
    }
    let mut watched = Watched::default();
    for router in &config.virtual_routers {
        for condition in &router.track.conditions {
            if let Source::File(path) = &condition.source
                && !watched.files.contains(path)
            {
                watched.files.push(path.clone());
            }
        }
        for process in &router.track.processes {
            if !watched.processes.contains(process) {
                watched.processes.push(process.clone());
            }
        }
    }
    if !watched.files.is_empty() || !watched.processes.is_empty() {
        watch::start(watched, &observer)?;
    }
    Ok(())
}

/// Returns what the health of its backends says of a pool.
pub(super) fn observed(health: &PoolHealth) -> Observed {
    if health.backends.values().any(|up| *up) {
        Observed::Well
    } else if health.probed {
        Observed::Failed("has lost all its backends".into())
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
