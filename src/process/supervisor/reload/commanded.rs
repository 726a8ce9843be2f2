//! What operators have changed by command: kept in the runtime directory over restarts of the
//! daemon, gone with a reboot, or with what it speaks of. See `kept_file` for how it is kept.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::config::check::backend_objection;
use crate::config::overrides::{BackendOverride, MaintenanceOverride, Overrides, PriorityOverride};
use crate::config::pages::RETRY_AFTER_SECONDS;
use crate::config::{BackendMode, Config, ListenerConfig, PoolConfig};
use crate::ipc::control::{BackendChange, MaintenanceChange, OverrideStatus};
use crate::process::supervisor::kept_file;

/// Where changes by command are kept.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
}

impl Store {
    /// Returns that of a runtime directory.
    pub(crate) fn of(runtime_dir: &Path) -> Self {
        Self {
            path: runtime_dir.join(FILE),
        }
    }

    /// Returns what a daemon before this one has kept, without waiting for whatever is there.
    ///
    /// # Errors
    /// When it cannot be read, or is none of what a daemon keeps.
    pub(crate) fn load(&self) -> io::Result<Overrides> {
        kept_file::read(&self.path, FILE_BYTES_MAX)
    }

    /// Returns the path, for people.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn save(&self, overrides: &Overrides) -> io::Result<()> {
        kept_file::write(&self.path, overrides)
    }
}

/// Returns what is left of them in a configuration without them: what they speak of may be gone,
/// and what no command can have said was written by somebody else.
pub(crate) fn pruned(overrides: &Overrides, config: &Config) -> Overrides {
    let mut left = overrides.clone();
    left.backends.retain(|pool, changes| {
        let Some(pool) = config.pools.iter().find(|known| known.name == *pool) else {
            return false;
        };
        for (name, change) in &mut *changes {
            change.added = change
                .added
                .filter(|added| backend_objection(config, &pool.name, name, *added).is_none());
            change.weight = change.weight.filter(|weight| WEIGHTS.contains(weight));
        }
        if have_none(pool, changes) {
            changes
                .values_mut()
                .for_each(|change| change.removed = false);
        }
        let mut awaited = 0;
        changes.retain(|name, change| {
            let is_there = has(pool, name) || change.added.is_some();
            // What a file or a name has lost may come back.
            let is_awaited = !is_there && pool.follow.is_any() && awaited < AWAITED_MAX;
            awaited += usize::from(is_awaited);
            (is_there || is_awaited) && !says_nothing(change)
        });
        !changes.is_empty()
    });
    left.priorities.retain(|entry, change| {
        let mut routers = config.virtual_routers.iter();
        let is_there =
            routers.any(|router| router.name.entry == *entry && router.rank.ill().is_some());
        is_there && PRIORITIES.contains(&change.base)
    });
    left.maintenance.retain(|listener, change| {
        let seconds = change.retry_after_s;
        change.retry_after_s = seconds.filter(|seconds| RETRY_AFTER_SECONDS.contains(seconds));
        config.listeners.iter().any(|it| it.name == *listener)
    });
    left
}

/// Returns them by the names that entries of `virtual_routers` have now; `renamed` has the old one
/// of each that has a new one.
pub(crate) fn renamed(overrides: &Overrides, renamed: &BTreeMap<String, String>) -> Overrides {
    let mut all = overrides.clone();
    let old = renamed.values();
    let moved: BTreeMap<&String, PriorityOverride> = old
        .filter_map(|old| Some((old, all.priorities.remove(old)?)))
        .collect();
    for (new, old) in renamed {
        if let Some(change) = moved.get(old) {
            all.priorities.insert(new.clone(), *change);
        }
    }
    all
}

/// Says which of them do not hold any more, for people.
pub(crate) fn lost(before: &Overrides, after: &Overrides) -> Vec<String> {
    let left = describe(after);
    let is_left = |one: &OverrideStatus| {
        let mut left = left.iter();
        left.any(|left| (&left.subject, &left.change) == (&one.subject, &one.change))
    };
    let lost = describe(before).into_iter().filter(|one| !is_left(one));
    lost.map(|one| {
        let OverrideStatus {
            subject, change, ..
        } = one;
        format!("{subject}: {change} by command does not hold any more")
    })
    .collect()
}

/// Of backends of one pool that are not there now.
const AWAITED_MAX: usize = 1000;

fn has(pool: &PoolConfig, name: &str) -> bool {
    pool.backends.iter().any(|backend| backend.name == name)
}

/// Returns whether these leave a pool without a backend.
fn have_none(pool: &PoolConfig, changes: &BTreeMap<String, BackendOverride>) -> bool {
    let is_removed = |name: &str| changes.get(name).is_some_and(|change| change.removed);
    let mut added = changes.iter().filter(|(_, change)| change.added.is_some());
    let is_empty = pool.backends.is_empty() && pool.follow.is_any();
    !is_empty
        && pool.backends.iter().all(|one| is_removed(&one.name))
        && added.all(|(name, _)| is_removed(name))
}

fn says_nothing(change: &BackendOverride) -> bool {
    let at_ms = change.at_ms;
    *change
        == BackendOverride {
            at_ms,
            ..BackendOverride::default()
        }
}

/// Returns them with one more change of a backend, or why that cannot be; `config` is without any.
pub(crate) fn with_backend(
    overrides: &Overrides,
    config: &Config,
    (pool_name, name): (&str, &str),
    change: BackendChange,
    at_ms: u64,
) -> Result<Overrides, String> {
    let pool = config.pools.iter().find(|pool| pool.name == pool_name);
    let pool = pool.ok_or_else(|| {
        let names = config.pools.iter().map(|pool| pool.name.as_str());
        format!("there is no pool {pool_name}; there are: {}", join(names))
    })?;
    let in_file = has(pool, name);
    if let BackendChange::Add(address) = change
        && let Some(why) = backend_objection(config, pool_name, name, address)
    {
        return Err(why);
    }
    let mut all = overrides.clone();
    let changes = all.backends.entry(pool_name.to_owned()).or_default();
    let known = changes.get(name).copied();
    if !in_file && known.is_none() && !matches!(change, BackendChange::Add(_)) {
        let names = pool.backends.iter().map(|backend| backend.name.as_str());
        let names = join(names);
        return Err(format!(
            "pool {pool_name} has no backend {name}; it has: {names}"
        ));
    }
    let mut changed = changed_by(known.unwrap_or_default(), in_file, change)
        .map_err(|why| why.replace("POOL", pool_name).replace("NAME", name))?;
    changed.at_ms = at_ms;
    match says_nothing(&changed) {
        true => drop(changes.remove(name)),
        false => drop(changes.insert(name.to_owned(), changed)),
    }
    if have_none(pool, changes) {
        return Err(format!(
            "backend {name} is the last of pool {pool_name}: `evenkeel backend {pool_name}/{name} \
             maintain` takes it out of use"
        ));
    }
    all.backends.retain(|_, changes| !changes.is_empty());
    Ok(all)
}

/// Returns what becomes of what was said of one backend, or why that cannot be, with POOL and NAME
/// in the place of its names.
fn changed_by(
    before: BackendOverride,
    in_file: bool,
    change: BackendChange,
) -> Result<BackendOverride, String> {
    let mut after = before;
    match change {
        BackendChange::Add(_)
        | BackendChange::Drain
        | BackendChange::Maintain
        | BackendChange::Up
        | BackendChange::Weight(_)
            if in_file && before.removed =>
        {
            return Err(
                "backend NAME of pool POOL was removed by command: take that back with \
                        `evenkeel backend POOL/NAME reset`"
                    .into(),
            );
        }
        BackendChange::Add(_) if in_file || before.added.is_some() => {
            return Err("pool POOL has a backend NAME already".into());
        }
        BackendChange::Add(address) => after.added = Some(address),
        BackendChange::Drain => after.mode = Some(BackendMode::Drained),
        BackendChange::Maintain => after.mode = Some(BackendMode::Maintained),
        BackendChange::Up => after.mode = None,
        BackendChange::Weight(weight) if WEIGHTS.contains(&weight) => {
            after.weight = Some(weight);
        }
        BackendChange::Weight(weight) => {
            return Err(format!("weight must be between 1 and 256, not {weight}"));
        }
        BackendChange::Remove if in_file => after.removed = true,
        // What was added by command leaves nothing behind.
        BackendChange::Remove | BackendChange::Reset => after = BackendOverride::default(),
    }
    Ok(after)
}

/// Returns them with one more priority, or without that of this entry, or why that cannot be.
pub(crate) fn with_priority(
    overrides: &Overrides,
    config: &Config,
    entry: &str,
    priority: Option<u8>,
    at_ms: u64,
) -> Result<Overrides, String> {
    let mut routers = config.virtual_routers.iter();
    let Some(router) = routers.find(|router| router.name.entry == entry) else {
        let names = crate::process::supervisor::tracking::entries(config);
        let names = join(names.into_iter());
        return Err(format!(
            "there is no virtual router {entry}; there are: {names}"
        ));
    };
    if router.rank.ill().is_none() {
        return Err(format!(
            "{entry} owns its addresses on this node: its priority is always 255"
        ));
    }
    let mut all = overrides.clone();
    match priority {
        Some(base) if PRIORITIES.contains(&base) => {
            let change = PriorityOverride { base, at_ms };
            all.priorities.insert(entry.to_owned(), change);
        }
        Some(base) => return Err(format!("priority must be between 1 and 254, not {base}")),
        None => drop(all.priorities.remove(entry)),
    }
    Ok(all)
}

/// Returns them with a listener in maintenance, or without it, or why that cannot be.
pub(crate) fn with_maintenance(
    overrides: &Overrides,
    config: &Config,
    listener: &str,
    change: MaintenanceChange,
    at_ms: u64,
) -> Result<Overrides, String> {
    if !config.listeners.iter().any(|it| it.name == listener) {
        let names = config.listeners.iter().map(|it| it.name.as_str());
        let names = join(names);
        return Err(format!(
            "there is no listener {listener}; there are: {names}"
        ));
    }
    let mut all = overrides.clone();
    match change {
        MaintenanceChange::On {
            retry_after_s: Some(seconds),
        } if !RETRY_AFTER_SECONDS.contains(&seconds) => {
            return Err(format!(
                "retry_after must be between 1s and 168h, not {seconds}s"
            ));
        }
        MaintenanceChange::On { retry_after_s } => {
            // It is in maintenance since it began, whatever is said later.
            let known = all.maintenance.get(listener);
            let at_ms = known.map_or(at_ms, |known| known.at_ms);
            let change = MaintenanceOverride {
                retry_after_s,
                at_ms,
            };
            all.maintenance.insert(listener.to_owned(), change);
        }
        MaintenanceChange::Off => drop(all.maintenance.remove(listener)),
    }
    Ok(all)
}

/// Returns them for people.
pub(crate) fn describe(overrides: &Overrides) -> Vec<OverrideStatus> {
    let mut all = Vec::new();
    for (pool, changes) in &overrides.backends {
        for (name, change) in changes {
            let BackendOverride {
                mode,
                weight,
                added,
                removed,
                at_ms,
            } = *change;
            let mode = mode.and_then(|mode| match mode {
                BackendMode::Up => None,
                BackendMode::Drained => Some("drained".to_owned()),
                BackendMode::Maintained => Some("in maintenance".to_owned()),
            });
            let added = added.map(|address| format!("added at {address}"));
            let removed = removed.then(|| "removed".to_owned());
            let weight = weight.map(|weight| format!("weight {weight}"));
            for change in [added, removed, mode, weight].into_iter().flatten() {
                all.push(OverrideStatus {
                    subject: format!("backend {pool}/{name}"),
                    change,
                    at_ms,
                });
            }
        }
    }
    for (entry, PriorityOverride { base, at_ms }) in &overrides.priorities {
        all.push(OverrideStatus {
            subject: format!("router {entry}"),
            change: format!("priority {base}"),
            at_ms: *at_ms,
        });
    }
    for (listener, change) in &overrides.maintenance {
        let MaintenanceOverride {
            retry_after_s,
            at_ms,
        } = *change;
        let retry_after = retry_after_s.map(|seconds| format!("retry_after {seconds}s"));
        for change in std::iter::once("in maintenance".to_owned()).chain(retry_after) {
            all.push(OverrideStatus {
                subject: format!("listener {listener}"),
                change,
                at_ms,
            });
        }
    }
    all
}

/// Says where a file changes what a command holds, from one configuration to another, both without
/// the changes by command.
pub(crate) fn held(overrides: &Overrides, old: &Config, new: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    for pool in &new.pools {
        let Some(changes) = overrides.backends.get(&pool.name) else {
            continue;
        };
        let before = old.pools.iter().find(|before| before.name == pool.name);
        for backend in &pool.backends {
            let Some(change) = changes.get(&backend.name) else {
                continue;
            };
            let of_name = |pool: &crate::config::PoolConfig| {
                let mut all = pool.backends.iter();
                all.find(|before| before.name == backend.name).cloned()
            };
            let known = before.and_then(of_name);
            let weight = known
                .as_ref()
                .is_none_or(|old| old.weight != backend.weight);
            let (pool, name) = (&pool.name, &backend.name);
            if let Some(held) = change.weight.filter(|_| weight) {
                notes.push(format!(
                    "pool {pool}: backend {name}: weight {held} by command holds"
                ));
            }
            if known.is_none() && change.added.is_some() {
                notes.push(format!(
                    "pool {pool}: backend {name} is in the file now, which goes before the one that \
                     was added by command"
                ));
            }
        }
    }
    for listener in &new.listeners {
        let held = overrides.maintenance.get(&listener.name);
        let held = held.and_then(|change| change.retry_after_s);
        let mut before = old.listeners.iter();
        let before = before.find(|before| before.name == listener.name);
        let retry_after = |it: &ListenerConfig| it.maintenance.retry_after;
        if let Some(held) = held
            && before.is_none_or(|before| retry_after(before) != retry_after(listener))
        {
            notes.push(format!(
                "listener {}: retry_after {held}s by command holds",
                listener.name
            ));
        }
    }
    for router in &new.virtual_routers {
        let Some(held) = overrides.priorities.get(&router.name.entry) else {
            continue;
        };
        let mut before = old.virtual_routers.iter();
        let before = before.find(|before| before.name == router.name);
        let note = format!(
            "router {}: priority {} by command holds",
            router.name.entry, held.base
        );
        if before.is_none_or(|before| before.priority != router.priority) && !notes.contains(&note)
        {
            notes.push(note);
        }
    }
    notes
}

fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// Of a backend, as in the file.
const WEIGHTS: RangeInclusive<u16> = 1..=256;
/// A base priority, as in the file.
const PRIORITIES: RangeInclusive<u8> = 1..=254;
/// Far more than operators say.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// In the runtime directory.
const FILE: &str = "commanded.json";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::fs;

    use super::*;
    use crate::config::{NodeName, parse};

    type Changes<'c> = &'c [(&'c str, BackendChange)];

    fn config(yaml: &str) -> Config {
        parse("t.yaml", yaml, NodeName::Given("lb1")).unwrap()
    }

    fn api() -> Config {
        config(
            "virtual_routers:\n  web: {interface: eth0, vrid: 1, priority: 150, addresses: \
             [192.0.2.1/24]}\nlisteners: {http: {bind: [\"127.0.0.1:80\"], pool: api}}\npools: {api: \
             {backends: {b1: \"10.0.0.1:80\", b2: \"10.0.0.2:80\"}}}\n",
        )
    }

    fn after(changes: &[(&str, BackendChange)]) -> Result<Overrides, String> {
        let mut all = Overrides::default();
        for (name, change) in changes {
            all = with_backend(&all, &api(), ("api", name), *change, 7)?;
        }
        Ok(all)
    }

    fn shown(overrides: &Overrides) -> Vec<String> {
        let all = describe(overrides).into_iter();
        all.map(|one| format!("{} {}", one.subject, one.change))
            .collect()
    }

    #[test]
    fn changes_add_up_and_are_taken_back() {
        use BackendChange::{Add, Drain, Maintain, Remove, Reset, Up, Weight};
        let address = "10.0.0.3:80".parse().unwrap();
        let table: &[(Changes<'_>, &[&str])] = &[
            (&[("b1", Drain)], &["backend api/b1 drained"]),
            (
                &[("b1", Drain), ("b1", Maintain), ("b1", Weight(3))],
                &["backend api/b1 in maintenance", "backend api/b1 weight 3"],
            ),
            (&[("b1", Drain), ("b1", Up)], &[]),
            (&[("b1", Drain), ("b1", Weight(3)), ("b1", Reset)], &[]),
            (
                &[("b3", Add(address))],
                &["backend api/b3 added at 10.0.0.3:80"],
            ),
            (&[("b3", Add(address)), ("b3", Drain), ("b3", Remove)], &[]),
            (&[("b1", Remove)], &["backend api/b1 removed"]),
            (&[("b1", Remove), ("b1", Reset)], &[]),
        ];
        for (changes, hoped) in table {
            assert_eq!(shown(&after(changes).unwrap()), *hoped, "{changes:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        use BackendChange::{Add, Drain, Remove, Weight};
        let address = "10.0.0.3:80".parse().unwrap();
        let table: &[(Changes<'_>, &str)] = &[
            (
                &[("b4", Drain)],
                "pool api has no backend b4; it has: b1, b2",
            ),
            (&[("b1", Add(address))], "pool api has a backend b1 already"),
            (
                &[("b1", Weight(0))],
                "weight must be between 1 and 256, not 0",
            ),
            (
                &[("b1", Remove), ("b1", Drain)],
                "backend b1 of pool api was removed by command: take that back with `evenkeel \
                 backend api/b1 reset`",
            ),
            (
                &[("b 3", Add(address))],
                "`b 3` cannot be a name: names are 1 to 64 letters, digits, `.`, `_` and `-`",
            ),
            (
                &[("b3", Add("0.0.0.0:80".parse().unwrap()))],
                "`0.0.0.0:80`: a backend needs the address of one machine",
            ),
            (
                &[("b3", Add("127.0.0.1:80".parse().unwrap()))],
                "127.0.0.1:80 is where listener `http` itself listens: a backend is another server",
            ),
            (
                &[("b1", Remove), ("b2", Remove)],
                "backend b2 is the last of pool api: `evenkeel backend api/b2 maintain` takes it out of use",
            ),
        ];
        for (changes, hoped) in table {
            assert_eq!(after(changes).unwrap_err(), *hoped);
        }
        let error = with_backend(&Overrides::default(), &api(), ("apx", "b1"), Drain, 7);
        assert_eq!(error.unwrap_err(), "there is no pool apx; there are: api");
        let error = with_priority(&Overrides::default(), &api(), "wex", Some(90), 7);
        assert_eq!(
            error.unwrap_err(),
            "there is no virtual router wex; there are: web"
        );
    }

    #[test]
    fn they_are_laid_over_the_file_kept_and_gone_with_what_they_speak_of() {
        use BackendChange::{Add, Drain, Remove, Weight};
        let address = "10.0.0.3:80".parse().unwrap();
        let all = after(&[
            ("b1", Drain),
            ("b2", Remove),
            ("b3", Add(address)),
            ("b3", Weight(9)),
        ]);
        let all = with_priority(&all.unwrap(), &api(), "web", Some(90), 7).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let store = Store::of(directory.path());
        assert_eq!(store.load().unwrap(), Overrides::default());
        store.save(&all).unwrap();
        assert_eq!(store.load().unwrap(), all);
        let mut config = api();
        all.apply(&mut config);
        let backends: Vec<_> = (config.pools[0].backends.iter())
            .map(|one| (one.name.as_str(), one.mode, one.weight))
            .collect();
        assert_eq!(
            backends,
            [("b1", BackendMode::Drained, 1), ("b3", BackendMode::Up, 9)]
        );
        assert_eq!(config.virtual_routers[0].priority.get(), 90);
        let other = self::config(
            "listeners: {http: {bind: [\"127.0.0.1:80\"], pool: api}}\npools: {api: {backends: {b2: \
             \"10.0.0.2:80\"}}}\n",
        );
        let left = shown(&pruned(&all, &other));
        assert_eq!(
            left,
            [
                "backend api/b2 removed",
                "backend api/b3 added at 10.0.0.3:80",
                "backend api/b3 weight 9"
            ]
        );
    }

    #[test]
    fn what_no_command_can_have_said_does_not_hold() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::of(directory.path());
        let path = directory.path().join(FILE);
        let hostile = r#"{"backends": {"api": {
            "b1": {"weight": 0, "removed": true}, "b2": {"weight": 257, "removed": true},
            "b 3": {"added": "10.0.0.3:80"}, "b4": {"added": "127.0.0.1:80", "weight": 7},
            "b5": {"added": "10.0.0.5:0"}}}, "priorities": {"web": {"base": 0, "at_ms": 7}},
            "maintenance": {"https": {"at_ms": 7}}}"#;
        fs::write(&path, hostile).unwrap();
        let all = store.load().unwrap();
        let left = pruned(&all, &api());
        assert_eq!(left, Overrides::default());
        assert_eq!(lost(&all, &left).len(), describe(&all).len());
        for text in ["", "no JSON", "{\"unknown\": 1}"] {
            fs::write(&path, text).unwrap();
            assert!(store.load().is_err(), "{text}");
        }
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = store.load().unwrap_err().to_string();
        assert_eq!(
            error, "it is not a regular file",
            "nobody waits for a writer"
        );
        let fresh = path.with_extension("new");
        nix::unistd::mkfifo(&fresh, nix::sys::stat::Mode::S_IRWXU).unwrap();
        store.save(&all).unwrap();
        assert_eq!(store.load().unwrap(), all, "nor for a reader");
    }

    #[test]
    fn a_listener_is_in_maintenance_since_it_began_and_until_it_ends() {
        use MaintenanceChange::{Off, On};
        let on = |retry_after_s| On { retry_after_s };
        let table: &[(&[MaintenanceChange], &[&str])] = &[
            (&[on(None)], &["listener http in maintenance 1"]),
            (
                &[on(None), on(Some(600))],
                &[
                    "listener http in maintenance 1",
                    "listener http retry_after 600s 1",
                ],
            ),
            (
                &[on(Some(600)), on(None)],
                &["listener http in maintenance 1"],
            ),
            (&[on(None), Off], &[]),
            (
                &[on(None), Off, on(None)],
                &["listener http in maintenance 3"],
            ),
            (&[Off], &[]),
        ];
        for (changes, hoped) in table {
            let mut all = Overrides::default();
            for (change, at_ms) in changes.iter().zip(1..) {
                all = with_maintenance(&all, &api(), "http", *change, at_ms).unwrap();
            }
            let shown = describe(&all).into_iter();
            let shown = shown.map(|one| format!("{} {} {}", one.subject, one.change, one.at_ms));
            assert_eq!(shown.collect::<Vec<_>>(), *hoped, "{changes:?}");
            assert_eq!(pruned(&all, &api()), all);
        }
        for (listener, change, why) in [
            (
                "https",
                on(None),
                "there is no listener https; there are: http",
            ),
            (
                "http",
                on(Some(0)),
                "retry_after must be between 1s and 168h, not 0s",
            ),
            (
                "http",
                on(Some(604_801)),
                "retry_after must be between 1s and 168h, not 604801s",
            ),
        ] {
            let error = with_maintenance(&Overrides::default(), &api(), listener, change, 7);
            assert_eq!(error.unwrap_err(), why);
        }
    }

    #[test]
    fn what_was_said_of_an_entry_is_known_by_its_new_name() {
        let said = |entries: &[(&str, u8)]| {
            let at_ms = 7;
            let priority = |(entry, base): &(&str, u8)| {
                let change = PriorityOverride { base: *base, at_ms };
                ((*entry).to_owned(), change)
            };
            Overrides {
                priorities: entries.iter().map(priority).collect(),
                ..Overrides::default()
            }
        };
        let swapped = [("web", "api"), ("api", "web"), ("other", "db")];
        let swapped = swapped.map(|(new, old)| (new.to_owned(), old.to_owned()));
        let all = said(&[("web", 90), ("api", 80), ("mail", 70)]);
        assert_eq!(
            renamed(&all, &swapped.into()),
            said(&[("api", 90), ("web", 80), ("mail", 70)])
        );
    }
}
