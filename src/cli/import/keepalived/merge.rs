//! Entries of several nodes, put together: one entry for all of them, with a priority for each.
//!
//! Virtual routers are told by VRID and interface, or by VRID and name, so that nodes may call
//! them or their interface otherwise. What differs beside the priority is the first node's, and
//! said.

use super::entry::Router;
use crate::cli::import::draft::Draft;
use crate::cli::import::remarks::{Line, Remarks};
use crate::cli::import::yaml::{Map, Yaml};

/// Puts the entries of nodes into the draft. A node without a name is the only one.
pub fn merge(nodes: Vec<(Option<String>, Vec<Router>)>, draft: &mut Draft, remarks: &mut Remarks) {
    let mut merged: Vec<Vec<(Option<String>, Router)>> = Vec::new();
    let count = nodes.len();
    for (node, routers) in nodes {
        for router in routers {
            let is_same = |others: &&mut Vec<(Option<String>, Router)>| {
                let (first_node, first) = &others[0];
                *first_node != node
                    && others.iter().all(|(other, _)| *other != node)
                    && same(first, &router)
            };
            match merged.iter_mut().find(is_same) {
                Some(others) => others.push((node.clone(), router)),
                None => merged.push(vec![(node.clone(), router)]),
            }
        }
    }
    // Names may change when they are taken; what moves together is named by them.
    let mut renamed: Vec<(String, String)> = Vec::new();
    let mut added: Vec<String> = Vec::new();
    for group in merged {
        let wanted = group[0].1.name.clone();
        let names: Vec<String> = group
            .iter()
            .map(|(_, router)| router.name.clone())
            .collect();
        let title = group[0].1.notify.clone();
        let entry = one(&group, count, remarks);
        let name = draft.routers.add(&wanted, entry);
        if !title.is_empty() {
            note(&name, &title, draft);
        }
        renamed.extend(names.into_iter().map(|old| (old, name.clone())));
        added.push(name);
    }
    for name in added {
        let Some(entry) = draft.routers.get_mut(&name) else {
            continue;
        };
        if let Some(Yaml::List(with)) = entry.remove("synchronize_with") {
            for other in with {
                let old = match &other {
                    Yaml::Text(old) => renamed.iter().find(|(from, _)| from == old),
                    Yaml::Word(_) | Yaml::List(_) | Yaml::Map(_) => None,
                };
                if let Some((_, new)) = old.filter(|(_, new)| *new != name) {
                    entry.push("synchronize_with", Yaml::text(new));
                }
            }
        }
    }
}

fn same(a: &Router, b: &Router) -> bool {
    let equal = |key: &str| a.map.get(key) == b.map.get(key);
    equal("vrid") && (equal("interface") || a.name == b.name) && family(&a.map) == family(&b.map)
}

/// Whether the first address is one of IPv6.
fn family(map: &Map) -> bool {
    match map.get("addresses") {
        Some(Yaml::List(addresses)) => addresses.first().is_some_and(|a| a.flow().contains(':')),
        Some(_) | None => false,
    }
}

/// Returns the entry of several nodes' entries.
fn one(group: &[(Option<String>, Router)], nodes: usize, remarks: &mut Remarks) -> Map {
    let (first_node, first) = &group[0];
    let mut entry = Map::default();
    let head = ["interface", "vrid"];
    for key in head {
        if let Some(value) = first.map.get(key) {
            entry.set(key, value.clone());
        }
    }
    priorities(group, &mut entry);
    if group.len() < nodes {
        let has = group.iter().filter_map(|(node, _)| node.as_deref());
        let has: Vec<&str> = has.collect();
        let why = format!(
            "only {} has it: name the other nodes in `priority`, or they refuse the file",
            has.join(", ")
        );
        remarks.lost(&first.line, why);
    }
    for (key, value) in first
        .map
        .iter()
        .filter(|(key, _)| !head.contains(&key.as_str()))
    {
        entry.set(key.as_str(), value.clone());
    }
    for (node, router) in group.iter().skip(1) {
        let (a, b) = (first_node.as_deref(), node.as_deref());
        let whose = (a.unwrap_or("the first"), b.unwrap_or("the second"));
        differences(first, router, whose, &mut entry, remarks);
    }
    // Whether the better node comes back decides its own line.
    let best = group.iter().max_by_key(|(_, router)| router.priority);
    match best.and_then(|(_, router)| router.map.get("preempt")) {
        Some(value) => entry.set("preempt", value.clone()),
        None => {
            entry.remove("preempt");
        }
    }
    entry
}

fn priorities(group: &[(Option<String>, Router)], entry: &mut Map) {
    let owns = |router: &Router| router.priority == 255;
    if let [(None, router)] = group {
        if owns(router) {
            entry.set("owner", Yaml::word(true));
        } else {
            entry.set("priority", Yaml::word(router.priority));
        }
        return;
    }
    let named = || {
        group
            .iter()
            .filter_map(|(node, r)| Some((node.as_deref()?, r)))
    };
    if group.iter().any(|(_, router)| owns(router)) {
        for (node, router) in named() {
            entry.map("owner").set(node, Yaml::word(owns(router)));
        }
    }
    for (node, router) in named() {
        let priority = router.priority.min(254);
        entry.map("priority").set(node, Yaml::word(priority));
    }
}

/// Takes over what another node has beside the first, and says what differs.
fn differences(
    first: &Router,
    other: &Router,
    (a, b): (&str, &str),
    entry: &mut Map,
    remarks: &mut Remarks,
) {
    let told = |router: &Router| -> Vec<Vec<String>> {
        router
            .notify
            .iter()
            .map(|line| line.words.clone())
            .collect()
    };
    if told(first) != told(other) {
        let why = format!("{a} and {b} have other programs told: a file has one `notify` for both");
        remarks.otherwise(&other.line, why);
    }
    let keys = first.map.iter().chain(other.map.iter()).map(|(key, _)| key);
    let mut seen: Vec<&String> = Vec::new();
    for key in keys {
        if seen.contains(&key) || key == "preempt" || key == "synchronize_with" {
            continue;
        }
        seen.push(key);
        let (of_first, of_other) = (first.map.get(key), other.map.get(key));
        if of_first == of_other {
            continue;
        }
        if let ("peers" | "addresses", Some(Yaml::List(more))) = (key.as_str(), of_other) {
            let before = entry.get(key).cloned();
            for address in more {
                entry.push(key, address.clone());
            }
            let same_set = before.as_ref().map(length) == entry.get(key).map(length)
                && of_first.map(length) == of_other.map(length);
            if key == "peers" || same_set {
                continue;
            }
            let why = format!("{a} and {b} have other addresses: the entry has those of both");
            remarks.otherwise(&other.line, why);
            continue;
        }
        let shown = |value: Option<&Yaml>| value.map_or("nothing".to_owned(), Yaml::flow);
        let why = format!(
            "`{key}` is one for all nodes here: {a} has {}, {b} has {}, and {a}'s is taken",
            shown(of_first),
            shown(of_other)
        );
        remarks.lost(&other.line, why);
    }
}

fn length(value: &Yaml) -> usize {
    match value {
        Yaml::List(items) => items.len(),
        Yaml::Word(_) | Yaml::Text(_) | Yaml::Map(_) => 1,
    }
}

/// Notes a program that calls those of keepalived as they were called.
fn note(name: &str, notify: &[Line], draft: &mut Draft) {
    let of = |words: &[&str]| -> Vec<String> {
        let found = notify.iter().filter(|line| words.contains(&line.word(0)));
        found.map(|line| line.from(1).join(" ")).collect()
    };
    let mut lines = vec!["#!/bin/sh".to_owned()];
    let general = of(&["notify"]);
    for (ours, theirs, words) in [
        ("Active", "MASTER", &["notify_master"][..]),
        ("Backup", "BACKUP", &["notify_backup"]),
        ("Initialize", "FAULT", &["notify_fault", "notify_stop"]),
    ] {
        let mut commands = of(words);
        commands.dedup();
        let with = general
            .iter()
            .map(|command| format!("{command} INSTANCE \"${{1%/*}}\" {theirs} \"$3\""));
        commands.extend(with);
        if !commands.is_empty() {
            lines.push(format!(
                "[ \"$2\" = {ours} ] && {{ {}; }}",
                commands.join("; ")
            ));
        }
    }
    lines.push("exit 0".to_owned());
    let title = format!(
        "A program for `notify` of {name}, such as /etc/evenkeel/notify-{name}, root's and mode \
         755; it and all it calls run as evenkeel-notify, for each family of the addresses"
    );
    draft.notes.push((title, lines));
}
