//! From the facts of a vrrp_instance to entries of `virtual_routers`.

use super::addresses::{Group, groups};
use super::instance::Instance;
use crate::cli::import::draft::name_of;
use crate::cli::import::remarks::{Line, Remarks};
use crate::cli::import::units::duration;
use crate::cli::import::yaml::{Map, Yaml};

/// An entry of ours, before nodes are put together.
#[derive(Clone, Debug)]
pub struct Router {
    /// Where its instance stands.
    pub line: Line,
    /// What keepalived calls its instance.
    pub instance: String,
    /// Its own name.
    pub name: String,
    /// 1 to 255, by which 255 owns the addresses.
    pub priority: u8,
    /// All keys but those of the priority.
    pub map: Map,
    /// Programs that were to be told.
    pub notify: Vec<Line>,
}

/// Returns the entries of an instance, that of its interface first.
pub fn routers(instance: &Instance, remarks: &mut Remarks) -> Vec<Router> {
    let line = &instance.line;
    let (Some(interface), Some(vrid)) = (&instance.interface, instance.vrid) else {
        let why = "without interface and virtual_router_id there is no virtual router";
        remarks.lost(line, why);
        return Vec::new();
    };
    let all = instance.addresses.iter().chain(&instance.excluded);
    let all: Vec<_> = all.cloned().collect();
    let Some(first) = all.first() else {
        let why = "a virtual router has an address here: one that only has notify programs run, \
                   as in a cloud, is not carried over";
        remarks.lost(line, why);
        return Vec::new();
    };
    let is_version_2 = first.ip.is_ipv4() && instance.version != Some(3);
    if let Some(excluded) = instance.excluded.first() {
        let why = "addresses that are excluded from advertisements are advertised here: keepalived \
                   drops them then, so change all nodes at once";
        remarks.otherwise(&excluded.line, why);
    }
    let priority = instance
        .priority
        .unwrap_or(if instance.master { 255 } else { 100 });
    let mut routers: Vec<Router> = Vec::new();
    for group in groups(interface, all, is_version_2) {
        let Some(map) = entry(instance, &group, interface, vrid, is_version_2, remarks) else {
            continue;
        };
        let name = name_of(&format!("{}{}", instance.name, group.suffix));
        let mut router = Router {
            line: line.clone(),
            instance: instance.name.clone(),
            name,
            priority,
            map,
            notify: Vec::new(),
        };
        match routers.first() {
            Some(first) => {
                let with = Yaml::texts([&first.name]);
                router.map.set("synchronize_with", with);
            }
            None => router.notify.clone_from(&instance.notify),
        }
        routers.push(router);
    }
    routers
}

/// Returns the entry of one group of addresses; `None`: it cannot be.
fn entry(
    instance: &Instance,
    group: &Group,
    interface: &str,
    vrid: u8,
    is_version_2: bool,
    remarks: &mut Remarks,
) -> Option<Map> {
    let first = group.addresses.first()?;
    let is_base = group.suffix.is_empty();
    let is_elsewhere = group.device != interface;
    let mut map = Map::default();
    if is_elsewhere && is_base && instance.virtual_mac.is_none() {
        map.set("interface", Yaml::text(interface));
    } else {
        map.set("interface", Yaml::text(&group.device));
    }
    map.set("vrid", Yaml::word(vrid));
    map.set(
        "addresses",
        Yaml::List(group.addresses.iter().map(|a| a.yaml()).collect()),
    );
    if is_elsewhere && is_base {
        if instance.virtual_mac.is_some() {
            let why = "with a virtual MAC it is elected where its addresses are";
            remarks.otherwise(&first.line, why);
        } else {
            map.set("address_interface", Yaml::text(&group.device));
        }
    } else if is_elsewhere {
        let why = format!(
            "addresses of another interface are an entry of their own, which is elected on {} with \
             the same VRID and moves with the first",
            group.device
        );
        remarks.otherwise(&first.line, why);
    }
    if !peers(instance, group, is_elsewhere && !is_base, &mut map, remarks) {
        return None;
    }
    let v2 = is_version_2 && first.ip.is_ipv4();
    wire(instance, v2, is_version_2, &mut map, remarks);
    preempt(instance, &mut map, remarks);
    if instance.virtual_mac.is_some() {
        map.set("virtual_mac", Yaml::word(true));
    }
    for (key, value) in instance.keys.iter() {
        if key != "checksum" || (!v2 && first.ip.is_ipv4()) {
            map.set(key.as_str(), value.clone());
        }
    }
    if !instance.track.is_empty() {
        map.set("track", Yaml::List(instance.track.clone()));
    }
    Some(map)
}

/// Sets the peers of unicast; returns whether the addresses can be had with them.
fn peers(
    instance: &Instance,
    group: &Group,
    on_another_link: bool,
    map: &mut Map,
    remarks: &mut Remarks,
) -> bool {
    if instance.peers.is_empty() {
        return true;
    }
    let has = |is_ipv4: bool| instance.peers.iter().any(|peer| peer.is_ipv4() == is_ipv4);
    let strangers = group
        .addresses
        .iter()
        .filter(|address| on_another_link || !has(address.ip.is_ipv4()));
    let mut alone = false;
    for address in strangers {
        let why = "unicast needs peers of the same family on the same link: give these addresses \
                   an entry of their own, with `peers`, and `synchronize_with` the other";
        remarks.lost(&address.line, why);
        alone = true;
    }
    let served = |is_ipv4: bool| group.addresses.iter().any(|a| a.ip.is_ipv4() == is_ipv4);
    if alone {
        let kept: Vec<_> = group
            .addresses
            .iter()
            .filter(|address| !on_another_link && has(address.ip.is_ipv4()))
            .map(|address| address.yaml())
            .collect();
        if kept.is_empty() {
            return false;
        }
        map.set("addresses", Yaml::List(kept));
    }
    let peers = instance.peers.iter().filter(|peer| served(peer.is_ipv4()));
    map.set("peers", Yaml::texts(peers.map(ToString::to_string)));
    if let Some(hops) = instance.peer_hops.filter(|hops| *hops > 0) {
        map.set("peer_hops", Yaml::word(hops));
    }
    true
}

fn wire(
    instance: &Instance,
    v2: bool,
    instance_is_version_2: bool,
    map: &mut Map,
    remarks: &mut Remarks,
) {
    if v2 {
        map.set("version", Yaml::word(2));
    }
    if let Some((password, line)) = &instance.password {
        if v2 {
            let mut cut = password.as_str();
            if cut.len() > 8 {
                let end = (0..=8).rev().find(|end| cut.is_char_boundary(*end));
                cut = &cut[..end.unwrap_or(0)];
                let why = "keepalived too uses only the first 8 bytes";
                remarks.no_effect(line, why);
            }
            if cut.is_empty() {
                remarks.no_effect(line, "nothing is no password");
            } else {
                map.set("authentication", Yaml::one("password", Yaml::text(cut)));
            }
        } else if !instance_is_version_2 {
            let why = "version 3 has no authentication, in keepalived neither";
            remarks.no_effect(line, why);
        }
    }
    if let Some(ms) = instance.interval_ms {
        let ms = if v2 {
            (ms.saturating_add(500) / 1000).clamp(1, 255) * 1000
        } else {
            (ms.saturating_add(5) / 10).clamp(1, 4095) * 10
        };
        if ms != 1000 {
            map.set("advertisement_interval", Yaml::text(duration(ms)));
        }
    }
}

fn preempt(instance: &Instance, map: &mut Map, remarks: &mut Remarks) {
    let ignored = "keepalived does not heed it beside `state MASTER`";
    if let Some(line) = &instance.no_preempt {
        if instance.master {
            remarks.no_effect(line, ignored);
        } else {
            map.set("preempt", Yaml::word(false));
        }
    }
    if let Some((ms, line)) = &instance.preempt_delay {
        if instance.master || instance.no_preempt.is_some() {
            remarks.no_effect(
                line,
                if instance.master {
                    ignored
                } else {
                    "nothing preempts"
                },
            );
        } else if *ms >= 10 {
            let delay = Yaml::text(duration((*ms).min(3_600_000)));
            map.set("preempt", Yaml::one("delay", delay));
        }
    }
}
