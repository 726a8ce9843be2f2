//! The rules of `listeners`: where clients connect, and which virtual router that place belongs to.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::super::place::Part;
use super::super::reader::{Map, Problems, Value, nearest};
use super::super::{ListenerConfig, ListenerTimeouts, PoolConfig, VirtualRouterConfig};
use super::values;

/// What listeners refer to.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// All virtual routers.
    pub routers: &'a [VirtualRouterConfig],
    /// All pools.
    pub pools: &'a [PoolConfig],
}

/// Reads every listener.
pub fn read(value: &Value<'_>, scope: &Scope<'_>, problems: &mut Problems) -> Vec<ListenerConfig> {
    let Some(map) = value.map(problems) else {
        return Vec::new();
    };
    let mut listeners: Vec<ListenerConfig> = Vec::new();
    for (name, entry) in map.entries() {
        values::name(&name, "listener", &entry, Part::Key, problems);
        let Some(listener) = read_listener(name, &entry, scope, problems) else {
            continue;
        };
        complain_about_overlaps(&listeners, &listener, &entry, problems);
        complain_about_loops(&listener, &entry, scope, problems);
        listeners.push(listener);
    }
    listeners
}

fn read_listener(
    name: String,
    value: &Value<'_>,
    scope: &Scope<'_>,
    problems: &mut Problems,
) -> Option<ListenerConfig> {
    let mut map = value.map(problems)?;
    let place = read_place(value, &mut map, scope, problems);
    let pool = map.require("pool", problems);
    let timeouts = map.get("timeouts");
    map.finish(problems);
    let pool = pool.and_then(|value| read_pool_name(&value, scope, problems));
    let timeouts = timeouts.map_or(Some(TIMEOUTS), |value| read_timeouts(&value, problems));
    let (virtual_router, binds) = place?;
    Some(ListenerConfig {
        name,
        virtual_router,
        binds,
        pool: pool?,
        timeouts: timeouts?,
    })
}

/// Reads where it listens: `virtual_router` and `port`, or `bind`.
fn read_place(
    value: &Value<'_>,
    map: &mut Map<'_>,
    scope: &Scope<'_>,
    problems: &mut Problems,
) -> Option<(Option<String>, Vec<SocketAddr>)> {
    let (entry, port, bind) = (map.get("virtual_router"), map.get("port"), map.get("bind"));
    match (entry, port, bind) {
        (Some(entry), Some(port), None) => {
            let port = port.number(1, 65_535, "port", problems);
            let entry = read_entry_name(&entry, scope, problems);
            let (port, entry) = (u16::try_from(port?).ok()?, entry?);
            let binds = addresses_of(&entry, scope)
                .map(|ip| SocketAddr::new(ip, port))
                .collect();
            Some((Some(entry), binds))
        }
        (None, None, Some(bind)) => {
            let binds = read_binds(&bind, problems)?;
            Some((tied_to(&binds, scope), binds))
        }
        (Some(_) | None, Some(_) | None, Some(_) | None) => {
            let help = "write virtual_router and port, or bind";
            let message = "a listener needs a place: virtual_router and port, or bind";
            problems.at(&value.path, Part::Key, message, Some(help));
            None
        }
    }
}

fn read_entry_name(
    value: &Value<'_>,
    scope: &Scope<'_>,
    problems: &mut Problems,
) -> Option<String> {
    let name = value.text(problems)?;
    let names: Vec<&str> = scope
        .routers
        .iter()
        .map(|r| r.name.entry.as_str())
        .collect();
    if names.contains(&name.as_str()) {
        return Some(name);
    }
    let help = nearest(&name, names.into_iter()).map(|near| format!("did you mean `{near}`?"));
    problems.value(
        value,
        format!("there is no virtual router `{name}`"),
        help.as_deref(),
    );
    None
}

fn read_pool_name(value: &Value<'_>, scope: &Scope<'_>, problems: &mut Problems) -> Option<String> {
    let name = value.text(problems)?;
    let names: Vec<&str> = scope.pools.iter().map(|pool| pool.name.as_str()).collect();
    if names.contains(&name.as_str()) {
        return Some(name);
    }
    let help = nearest(&name, names.into_iter()).map(|near| format!("did you mean `{near}`?"));
    problems.value(value, format!("there is no pool `{name}`"), help.as_deref());
    None
}

fn read_binds(value: &Value<'_>, problems: &mut Problems) -> Option<Vec<SocketAddr>> {
    let list = value.list(problems)?;
    if list.is_empty() {
        problems.value(
            value,
            "bind is empty",
            Some("name at least one address: [\"0.0.0.0:80\"]"),
        );
        return None;
    }
    let binds: Vec<SocketAddr> = list
        .iter()
        .filter_map(|element| values::socket_address(element, problems))
        .collect();
    (binds.len() == list.len()).then_some(binds)
}

fn read_timeouts(value: &Value<'_>, problems: &mut Problems) -> Option<ListenerTimeouts> {
    let mut map = value.map(problems)?;
    let head = map.get("request_head");
    let idle = map.get("idle");
    map.finish(problems);
    let head = head.map_or(Some(TIMEOUTS.request_head), |v| {
        values::timeout(&v, problems)
    });
    let idle = idle.map_or(Some(TIMEOUTS.idle), |v| values::timeout(&v, problems));
    Some(ListenerTimeouts {
        request_head: head?,
        idle: idle?,
    })
}

/// Returns the virtual addresses that clients use; link-local ones only name the router on its link.
fn addresses_of<'a>(entry: &'a str, scope: &Scope<'a>) -> impl Iterator<Item = IpAddr> + use<'a> {
    let of_entry = scope
        .routers
        .iter()
        .filter(move |router| router.name.entry == entry);
    of_entry
        .flat_map(|router| &router.addresses)
        .map(|virtual_address| virtual_address.address)
        .filter(|address| match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        })
}

/// Returns the one entry whose virtual address is among these places, if it is only one.
fn tied_to(binds: &[SocketAddr], scope: &Scope<'_>) -> Option<String> {
    let mut entries: Vec<&str> = Vec::new();
    for router in scope.routers {
        let entry = router.name.entry.as_str();
        let tied = router
            .addresses
            .iter()
            .any(|a| binds.iter().any(|b| b.ip() == a.address));
        if tied && !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    match entries[..] {
        [entry] => Some(entry.to_owned()),
        [] | [_, ..] => None,
    }
}

fn complain_about_overlaps(
    others: &[ListenerConfig],
    listener: &ListenerConfig,
    at: &Value<'_>,
    problems: &mut Problems,
) {
    for (index, bind) in listener.binds.iter().enumerate() {
        let elsewhere = others
            .iter()
            .flat_map(|o| o.binds.iter().map(move |b| (&o.name, b)));
        let here = listener.binds[..index].iter().map(|b| (&listener.name, b));
        if let Some((name, _)) = elsewhere
            .chain(here)
            .find(|(_, other)| overlap(**other, *bind))
        {
            let message = format!("{bind} is already taken by listener `{name}`");
            let help =
                "an address and port belong to one listener; 0.0.0.0 and [::] are all addresses";
            problems.at(&at.path, Part::Key, message, Some(help));
        }
    }
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

/// A backend that is the listener itself would be asked for ever.
fn complain_about_loops(
    listener: &ListenerConfig,
    at: &Value<'_>,
    scope: &Scope<'_>,
    problems: &mut Problems,
) {
    let Some(pool) = scope.pools.iter().find(|pool| pool.name == listener.pool) else {
        return;
    };
    for backend in &pool.backends {
        if listener.binds.contains(&backend.address) {
            let message = format!(
                "backend `{}` of pool `{}` is this listener itself",
                backend.name, pool.name
            );
            problems.at(
                &at.path,
                Part::Key,
                message,
                Some("requests would go round for ever"),
            );
        }
    }
}

/// The defaults of `timeouts`.
const TIMEOUTS: ListenerTimeouts = ListenerTimeouts {
    request_head: Duration::from_secs(10),
    idle: Duration::from_secs(60),
};
