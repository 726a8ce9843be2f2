//! What changes of virtual routers and of track scripts.
//!
//! The families of an entry mostly change alike: then the entry is named once.

use std::collections::{BTreeMap, BTreeSet};

use super::words::{Step, Words, by_name};
use crate::config::{
    Config, GatewayConfig, Preempt, ProcessConfig, TrackConfig, TrackScriptConfig,
    VirtualRouterConfig,
};
use crate::logic::track::Condition;
use crate::model::{Family, Vrid};

/// What a virtual router is known by, whatever its name.
pub(super) type Identity<'c> = (&'c str, Vrid, Family);

fn identity(router: &VirtualRouterConfig) -> Identity<'_> {
    (&router.interface, router.vrid, router.name.family)
}

/// Compares the virtual routers.
pub(super) fn routers(old: &Config, new: &Config) -> Vec<Step> {
    let mut gone: BTreeMap<Identity<'_>, &VirtualRouterConfig> = (old.virtual_routers.iter())
        .map(|router| (identity(router), router))
        .collect();
    let (groups_before, groups) = (groups(old), groups(new));
    let mut found = Vec::new();
    for router in &new.virtual_routers {
        let key = identity(router);
        let mut words = Words::new();
        match gone.remove(&key) {
            None => words.say("added"),
            Some(before) => {
                compare(before, router, &mut words);
                if companions(&groups_before, before) != companions(&groups, router) {
                    words.say("moves together with others than before");
                }
            }
        }
        found.push((router, words.into_changes()));
    }
    let mut steps = by_entry(&found);
    let removed: Vec<_> = (old.virtual_routers.iter())
        .filter(|router| gone.contains_key(&identity(router)))
        .map(|router| (router, vec!["removed".to_owned()]))
        .collect();
    steps.extend(by_entry(&removed));
    steps
}

/// Returns the identities in each sync group.
fn groups(config: &Config) -> BTreeMap<&str, BTreeSet<Identity<'_>>> {
    let mut groups: BTreeMap<&str, BTreeSet<Identity<'_>>> = BTreeMap::new();
    for router in &config.virtual_routers {
        let group = groups.entry(&router.sync_group).or_default();
        group.insert(identity(router));
    }
    groups
}

fn companions<'g, 'c>(
    groups: &'g BTreeMap<&str, BTreeSet<Identity<'c>>>,
    router: &VirtualRouterConfig,
) -> Option<&'g BTreeSet<Identity<'c>>> {
    groups.get(router.sync_group.as_str())
}

/// Says what all families of an entry have in common once, the rest by family.
fn by_entry(found: &[(&VirtualRouterConfig, Vec<String>)]) -> Vec<Step> {
    let mut entries: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, (router, _)) in found.iter().enumerate() {
        entries.entry(&router.name.entry).or_default().push(at);
    }
    let mut steps = Vec::new();
    for (at, (router, changes)) in found.iter().enumerate() {
        let family = &entries[router.name.entry.as_str()];
        let common = |change: &String| family.iter().all(|&of| found[of].1.contains(change));
        for change in changes {
            let subject = match (common(change), family.first() == Some(&at)) {
                (true, true) => format!("router {}", router.name.entry),
                (true, false) => continue,
                (false, _) => format!("router {}", router.name),
            };
            let change = change.clone();
            steps.push(Step { subject, change });
        }
    }
    steps
}

fn compare(old: &VirtualRouterConfig, new: &VirtualRouterConfig, words: &mut Words) {
    let VirtualRouterConfig {
        name,
        sync_group: _,
        interface: _,
        vrid: _,
        version,
        peers,
        peer_hops,
        address_interface,
        checksum,
        authentication,
        priority,
        rank: _,
        priorities,
        addresses,
        advertisement_interval,
        down_multiplier,
        announcements,
        announcement_pace,
        accept,
        virtual_mac,
        notify,
        track,
        preempt,
        lease,
        link,
    } = old;
    if name.entry != new.name.entry {
        words.say(format!("has a new name, it was {}", name.entry));
    }
    words.value("priority", priority, &new.priority);
    self::priorities(priorities, new, words);
    words.list("address", addresses, &new.addresses, ToString::to_string);
    words.value(
        "advertisement_interval",
        advertisement_interval,
        &new.advertisement_interval,
    );
    words.switch("version", version, &new.version);
    words.list("peer", peers, &new.peers, ToString::to_string);
    words.value("peer_hops", peer_hops, &new.peer_hops);
    words.value(
        "address_interface",
        address_interface,
        &new.address_interface,
    );
    words.switch("checksum", checksum, &new.checksum);
    // A password is nobody's business.
    words.other("authentication", authentication, &new.authentication);
    words.value("down_multiplier", down_multiplier, &new.down_multiplier);
    words.other("announcements", announcements, &new.announcements);
    words.duration(
        "pace of announcements",
        *announcement_pace,
        new.announcement_pace,
    );
    words.switch("accept", accept, &new.accept);
    words.switch("virtual_mac", virtual_mac, &new.virtual_mac);
    words.list("notify program", notify, &new.notify, |path| {
        path.display().to_string()
    });
    self::track(track, &new.track, words);
    words.value("preempt", &preempts(*preempt), &preempts(new.preempt));
    words.duration("lease", *lease, new.lease);
    words.switch("link required", &link.required, &new.link.required);
    words.duration("link up_delay", link.up_delay, new.link.up_delay);
}

/// Compares what the file says of the other nodes.
fn priorities(
    old: &BTreeMap<String, crate::model::Priority>,
    new: &VirtualRouterConfig,
    words: &mut Words,
) {
    let nodes: BTreeSet<&String> = old.keys().chain(new.priorities.keys()).collect();
    for node in nodes {
        let (before, after) = (old.get(node), new.priorities.get(node));
        // What this node stands with was said.
        if after != Some(&new.priority) || before.is_none() {
            words.optional(&format!("priority of {node}"), "none", before, after);
        }
    }
}

fn preempts(preempt: Preempt) -> String {
    match preempt {
        Preempt::Always => "true".to_owned(),
        Preempt::Never => "false".to_owned(),
        Preempt::After(delay) => format!("after {delay:?}"),
    }
}

fn track(old: &TrackConfig, new: &TrackConfig, words: &mut Words) {
    let TrackConfig {
        conditions,
        processes,
        gateways,
    } = old;
    let show = |condition: &Condition| condition.source.to_string();
    words.list("tracking of", conditions, &new.conditions, show);
    let show = |process: &ProcessConfig| process.label.clone();
    words.list("process", processes, &new.processes, show);
    let show = |gateway: &GatewayConfig| gateway.label.clone();
    words.list("gateway", gateways, &new.gateways, show);
}

/// Compares the track scripts.
pub(super) fn scripts(old: &[TrackScriptConfig], new: &[TrackScriptConfig]) -> Vec<Step> {
    by_name(old, new, |one| &one.name, "track script", script)
}

fn script(old: &TrackScriptConfig, new: &TrackScriptConfig, words: &mut Words) {
    let TrackScriptConfig {
        name: _,
        program,
        arguments,
        interval,
        timeout,
        thresholds,
        user,
    } = old;
    let command = |program: &std::path::Path, arguments: &[String]| {
        std::iter::once(program.display().to_string())
            .chain(arguments.iter().cloned())
            .collect::<Vec<_>>()
    };
    let before = command(program, arguments);
    words.other("command", &before, &command(&new.program, &new.arguments));
    words.duration("interval", *interval, new.interval);
    words.duration("timeout", *timeout, new.timeout);
    words.value("rise", &thresholds.rise, &new.thresholds.rise);
    words.value("fall", &thresholds.fall, &new.thresholds.fall);
    words.value("user", user, &new.user);
}
