//! The rules of `virtual_routers`: one entry becomes a virtual router for each family of its addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::super::VirtualRouterConfig;
use super::super::place::Part;
use super::super::reader::{Map, Problems, Value, nearest};
use super::values;
use crate::logic::vrrp::Preempt;
use crate::model::{AdverInterval, Family, Priority, RouterName, VirtualAddress, Vrid};

/// Reads every entry for this node.
pub fn read(value: &Value<'_>, node: &str, problems: &mut Problems) -> Vec<VirtualRouterConfig> {
    let Some(map) = value.map(problems) else {
        return Vec::new();
    };
    let mut routers = Vec::new();
    let mut seen = Seen::default();
    for (name, entry) in map.entries() {
        values::name(&name, "virtual router", &entry, Part::Key, problems);
        if let Some(parts) = read_entry(&name, &entry, node, &mut seen, problems) {
            routers.extend(parts);
        }
    }
    routers
}

/// What must be unique among all entries.
#[derive(Default)]
struct Seen {
    vrids: BTreeMap<(String, Family, Vrid), String>,
    addresses: BTreeMap<(String, IpAddr), String>,
}

fn read_entry(
    name: &str,
    value: &Value<'_>,
    node: &str,
    seen: &mut Seen,
    problems: &mut Problems,
) -> Option<Vec<VirtualRouterConfig>> {
    let mut map = value.map(problems)?;
    let interface = map
        .require("interface", problems)
        .and_then(|v| read_interface(&v, problems));
    let vrid_at = map.require("vrid", problems);
    let vrid = vrid_at
        .as_ref()
        .and_then(|v| v.number(1, 255, "vrid", problems));
    let vrid = vrid
        .and_then(|raw| u8::try_from(raw).ok())
        .and_then(Vrid::new);
    let priority = read_priority(&mut map, node, problems);
    let addresses_at = map.require("addresses", problems);
    let interval = optional(
        map.get("advertisement_interval"),
        AdverInterval::DEFAULT,
        |v| read_interval(v, problems),
    );
    let preempt = optional(map.get("preempt"), Preempt::Always, |v| {
        read_preempt(v, problems)
    });
    let lease = optional(map.get("lease"), LEASE, |v| read_lease(v, problems));
    map.finish(problems);
    let link = interface.clone().unwrap_or_default();
    let addresses = addresses_at.and_then(|v| read_addresses(&v, name, &link, seen, problems))?;
    let (interface, vrid) = (interface?, vrid?);
    let mut routers = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let of_family = |address: &&VirtualAddress| Family::of(address.address) == family;
        let mut own: Vec<VirtualAddress> = addresses.iter().filter(of_family).copied().collect();
        if own.is_empty() {
            continue;
        }
        if family == Family::Ipv6 {
            put_link_local_first(&mut own, vrid);
        }
        let key = (interface.clone(), family, vrid);
        if let Some(other) = seen.vrids.insert(key, name.to_owned())
            && let Some(at) = &vrid_at
        {
            let message = format!("vrid {vrid} is already used on {interface} by `{other}`");
            problems.value(at, message, Some("a vrid is unique on its link"));
        }
        routers.push(VirtualRouterConfig {
            name: RouterName {
                entry: name.to_owned(),
                family,
            },
            interface: interface.clone(),
            vrid,
            priority: priority?,
            addresses: own,
            advertisement_interval: interval?,
            preempt: preempt?,
            lease: lease?,
        });
    }
    Some(routers)
}

/// Returns the default where nothing is written, and `None` where something wrong is.
fn optional<T>(
    value: Option<Value<'_>>,
    default: T,
    read: impl FnOnce(&Value<'_>) -> Option<T>,
) -> Option<T> {
    match value {
        None => Some(default),
        Some(value) => read(&value),
    }
}

fn read_interface(value: &Value<'_>, problems: &mut Problems) -> Option<String> {
    let name = value.text(problems)?;
    let good = (1..=15).contains(&name.len())
        && name != "."
        && name != ".."
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':'));
    if !good {
        let help = "interface names have 1 to 15 characters, as `ip link` shows them";
        problems.value(
            value,
            format!("`{name}` cannot be an interface"),
            Some(help),
        );
    }
    good.then_some(name)
}

fn read_priority(map: &mut Map<'_>, node: &str, problems: &mut Problems) -> Option<Priority> {
    let Some(value) = map.get("priority") else {
        return Some(Priority::DEFAULT);
    };
    let crate::config::file::Node::Map(_) = value.node else {
        return one_priority(&value, problems);
    };
    let by_node = value.map(problems)?;
    let mut own = None;
    for (name, value) in by_node.entries() {
        values::name(&name, "node", &value, Part::Key, problems);
        let priority = one_priority(&value, problems);
        if name == node {
            own = Some(priority);
        }
    }
    if own.is_none() {
        let names: Vec<String> = by_node
            .entries()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let help = match nearest(node, names.iter().map(String::as_str)) {
            Some(near) => format!(
                "did you mean `{near}`? the node's name comes from --node, the key `node`, or the host name"
            ),
            None => "add this node, or name another with --node or the key `node`".to_owned(),
        };
        problems.at(
            &value.path,
            Part::Key,
            format!("no priority for node `{node}`"),
            Some(&help),
        );
    }
    own.flatten()
}

fn one_priority(value: &Value<'_>, problems: &mut Problems) -> Option<Priority> {
    use crate::config::file::Node;
    if matches!(value.node, Node::Integer(255)) {
        let help = "255 belongs to the address owner, which this version cannot be";
        problems.value(value, "priority must be between 1 and 254", Some(help));
        return None;
    }
    let raw = value.number(1, 254, "priority", problems)?;
    u8::try_from(raw).ok().and_then(Priority::new)
}

fn read_interval(value: &Value<'_>, problems: &mut Problems) -> Option<AdverInterval> {
    let duration = values::duration(value, problems)?;
    let centiseconds = duration.as_micros() / 10_000;
    let exact = duration.as_micros() % 10_000 == 0;
    let interval = u16::try_from(centiseconds)
        .ok()
        .and_then(AdverInterval::from_centiseconds);
    if interval.is_none() || !exact {
        let message = "advertisement_interval must be between 10ms and 40.95s, in steps of 10ms";
        problems.value(
            value,
            message,
            Some("the packet counts in hundredths of a second"),
        );
        return None;
    }
    interval
}

fn read_preempt(value: &Value<'_>, problems: &mut Problems) -> Option<Preempt> {
    use crate::config::file::Node;
    match value.node {
        Node::Bool(true) => Some(Preempt::Always),
        Node::Bool(false) => Some(Preempt::Never),
        Node::Map(_) => {
            let mut map = value.map(problems)?;
            let delay = map.require("delay", problems);
            map.finish(problems);
            values::timeout(&delay?, problems).map(Preempt::After)
        }
        Node::Null | Node::Integer(_) | Node::Text(_) | Node::List(_) => {
            let help = "write true, false, or {delay: 30s}";
            problems.value(value, "preempt is true, false or a delay", Some(help));
            None
        }
    }
}

fn read_lease(value: &Value<'_>, problems: &mut Problems) -> Option<Duration> {
    let lease = values::timeout(value, problems)?;
    if lease < LEASE_MIN {
        let help = "the kernel counts lifetimes in seconds";
        problems.value(value, "lease must be at least 1s", Some(help));
        return None;
    }
    Some(lease)
}

fn read_addresses(
    value: &Value<'_>,
    name: &str,
    interface: &str,
    seen: &mut Seen,
    problems: &mut Problems,
) -> Option<Vec<VirtualAddress>> {
    let list = value.list(problems)?;
    if list.is_empty() {
        problems.value(
            value,
            "addresses is empty",
            Some("name at least one virtual address"),
        );
        return None;
    }
    let mut addresses: Vec<VirtualAddress> = Vec::new();
    for element in &list {
        let Some(address) = values::virtual_address(element, problems) else {
            continue;
        };
        let key = (interface.to_owned(), address.address);
        if let Some(other) = seen.addresses.insert(key, name.to_owned()) {
            let message = format!(
                "{} is already a virtual address of `{other}`",
                address.address
            );
            problems.value(element, message, None);
        }
        addresses.push(address);
    }
    for (family, what) in [(Family::Ipv4, "IPv4"), (Family::Ipv6, "IPv6")] {
        let count = addresses
            .iter()
            .filter(|a| Family::of(a.address) == family)
            .count();
        if count > ADDRESSES_MAX {
            let message =
                format!("{count} {what} addresses; an advertisement carries {ADDRESSES_MAX}");
            problems.value(value, message, Some("use another entry with another vrid"));
        }
    }
    (addresses.len() == list.len()).then_some(addresses)
}

/// IPv6 advertisements begin with a link-local address (RFC 9568 §5.2.9): one given, or one made from the VRID.
fn put_link_local_first(addresses: &mut Vec<VirtualAddress>, vrid: Vrid) {
    let is_link_local = |address: &VirtualAddress| match address.address {
        IpAddr::V6(address) => address.is_unicast_link_local(),
        IpAddr::V4(_) => false,
    };
    let first = match addresses.iter().position(is_link_local) {
        Some(index) => addresses.remove(index),
        None => VirtualAddress {
            address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x112, u16::from(vrid.get())).into(),
            prefix_len: 64,
        },
    };
    addresses.insert(0, first);
}

/// The default of `lease`.
const LEASE: Duration = Duration::from_secs(2);
/// The kernel counts lifetimes in seconds.
const LEASE_MIN: Duration = Duration::from_secs(1);
/// The count of an advertisement is one byte; one place stays free for a derived link-local address.
const ADDRESSES_MAX: usize = 254;
