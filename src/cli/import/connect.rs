//! Ties listeners to the virtual routers whose addresses they serve on.
//!
//! A listener on exactly the addresses of an entry says so by its name. One on every address of
//! the host, or on those of several entries, ties nothing by itself: those entries follow the
//! proxy and its pools by `track` then, so that their addresses stay where requests are answered.

use std::net::{IpAddr, SocketAddr};

use super::draft::Draft;
use super::yaml::{Map, Yaml};

/// Ties what belongs together.
pub fn connect(draft: &mut Draft) {
    let routers: Vec<(String, Vec<IpAddr>)> = draft
        .routers
        .iter()
        .map(|(name, entry)| (name.clone(), addresses(entry)))
        .collect();
    let mut tied: Vec<(String, Vec<String>)> = Vec::new();
    let mut untied: Vec<(String, Vec<String>)> = Vec::new();
    for (_, listener) in draft.listeners.iter_mut() {
        let binds = binds(listener);
        let has = |addresses: &[IpAddr]| binds.iter().any(|b| addresses.contains(&b.ip()));
        let theirs: Vec<&(String, Vec<IpAddr>)> = routers
            .iter()
            .filter(|(_, addresses)| has(addresses))
            .collect();
        if let [(name, addresses)] = &theirs[..] {
            tied.push((name.clone(), pools(listener)));
            name_router(listener, name, addresses, &binds);
            continue;
        }
        let pools = pools(listener);
        for (name, addresses) in &routers {
            let every = |bind: &SocketAddr| {
                let is_same_family = |ip: &IpAddr| ip.is_ipv4() == bind.is_ipv4();
                bind.ip().is_unspecified() && addresses.iter().any(is_same_family)
            };
            if binds.iter().any(every) || has(addresses) {
                untied.push((name.clone(), pools.clone()));
            }
        }
    }
    for (name, pools) in untied {
        let Some(entry) = draft.routers.get_mut(&name) else {
            continue;
        };
        let own = || tied.iter().filter(|(router, _)| *router == name);
        if own().next().is_none() {
            entry.push("track", Yaml::one("proxy", Yaml::word(true)));
        }
        for pool in pools {
            if !own().any(|(_, followed)| followed.contains(&pool)) {
                entry.push("track", Yaml::one("pool", Yaml::text(pool)));
            }
        }
    }
}

/// Writes the name of the virtual router where it says the same as the addresses.
fn name_router(listener: &mut Map, name: &str, addresses: &[IpAddr], binds: &[SocketAddr]) {
    let Some(port) = binds.first().map(SocketAddr::port) else {
        return;
    };
    let bound = |ip: &IpAddr| binds.contains(&SocketAddr::new(*ip, port));
    if binds.len() != addresses.len() || !addresses.iter().all(bound) {
        return;
    }
    listener.remove("bind");
    let mut named = Map::default()
        .with("virtual_router", Yaml::text(name))
        .with("port", Yaml::word(port));
    for (key, value) in listener.iter() {
        named.set(key.as_str(), value.clone());
    }
    *listener = named;
}

/// Returns the addresses of an entry that clients can reach.
fn addresses(entry: &Map) -> Vec<IpAddr> {
    let is_link_local = |ip: &IpAddr| match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let texts = texts(entry.get("addresses"));
    let parsed = texts.iter().filter_map(|text| {
        let (ip, _) = text.split_once('/')?;
        ip.parse().ok()
    });
    parsed.filter(|ip| !is_link_local(ip)).collect()
}

fn binds(listener: &Map) -> Vec<SocketAddr> {
    let texts = texts(listener.get("bind"));
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Returns the pools of a listener and of its routes, each once.
fn pools(listener: &Map) -> Vec<String> {
    let mut pools: Vec<String> = Vec::new();
    let mut add = |value: Option<&Yaml>| {
        if let Some(Yaml::Text(pool)) = value
            && !pools.contains(pool)
        {
            pools.push(pool.clone());
        }
    };
    add(listener.get("pool"));
    if let Some(Yaml::List(routes)) = listener.get("routes") {
        for route in routes {
            match route {
                Yaml::Map(route) => add(route.get("pool")),
                Yaml::Word(_) | Yaml::Text(_) | Yaml::List(_) => {}
            }
        }
    }
    pools
}

fn texts(value: Option<&Yaml>) -> Vec<String> {
    match value {
        Some(Yaml::List(items)) => items
            .iter()
            .filter_map(|item| match item {
                Yaml::Text(text) => Some(text.clone()),
                Yaml::Word(_) | Yaml::List(_) | Yaml::Map(_) => None,
            })
            .collect(),
        Some(_) | None => Vec::new(),
    }
}
