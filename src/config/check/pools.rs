//! The rules of `pools`: backends, balance, health checks, timeouts.

use std::time::Duration;

use super::super::file::Node;
use super::super::place::Part;
use super::super::reader::{Map, Problems, Value};
use super::super::{
    BackendConfig, HealthCheckConfig, PoolConfig, PoolTimeouts, ProbeConfig, ProbeKind,
};
use super::values;
use crate::logic::balance::Balance;

/// Reads every pool.
pub fn read(value: &Value<'_>, problems: &mut Problems) -> Vec<PoolConfig> {
    let Some(map) = value.map(problems) else {
        return Vec::new();
    };
    let mut pools = Vec::new();
    for (name, entry) in map.entries() {
        values::name(&name, "pool", &entry, Part::Key, problems);
        pools.extend(read_pool(name, &entry, problems));
    }
    pools
}

fn read_pool(name: String, value: &Value<'_>, problems: &mut Problems) -> Option<PoolConfig> {
    let mut map = value.map(problems)?;
    let backends = map.require("backends", problems);
    let balance = map.get("balance");
    let check = map.get("health_check");
    let timeouts = map.get("timeouts");
    map.finish(problems);
    let backends = backends.map_or_else(Vec::new, |value| read_backends(&value, problems));
    let balance = balance.map_or(Some(Balance::RandomOfTwo), |v| read_balance(&v, problems));
    let health_check = check.map_or(Some(default_check()), |value| read_check(&value, problems));
    let timeouts = timeouts.map_or(Some(TIMEOUTS), |value| read_timeouts(&value, problems));
    Some(PoolConfig {
        name,
        backends,
        balance: balance?,
        health_check: health_check?,
        timeouts: timeouts?,
    })
}

fn read_backends(value: &Value<'_>, problems: &mut Problems) -> Vec<BackendConfig> {
    let Some(map) = value.map(problems) else {
        return Vec::new();
    };
    let mut backends: Vec<BackendConfig> = Vec::new();
    for (name, entry) in map.entries() {
        values::name(&name, "backend", &entry, Part::Key, problems);
        let Some(backend) = read_backend(name, &entry, problems) else {
            continue;
        };
        if let Some(other) = backends
            .iter()
            .find(|other| other.address == backend.address)
        {
            let message = format!("{} is already backend `{}`", backend.address, other.name);
            problems.value(
                &entry,
                message,
                Some("give one backend a larger weight instead"),
            );
        }
        backends.push(backend);
    }
    if map.entries().is_empty() {
        problems.value(
            value,
            "backends is empty",
            Some("name at least one: {a: 192.0.2.102:80}"),
        );
    }
    backends
}

fn read_backend(name: String, value: &Value<'_>, problems: &mut Problems) -> Option<BackendConfig> {
    let Node::Map(_) = value.node else {
        let address = values::socket_address(value, problems)?;
        return Some(BackendConfig {
            name,
            address,
            weight: 1,
        });
    };
    let mut map = value.map(problems)?;
    let address = map.require("address", problems);
    let weight = map.get("weight");
    map.finish(problems);
    let address = address.and_then(|value| values::socket_address(&value, problems));
    let weight = weight.map_or(Some(1), |value| value.number(1, 256, "weight", problems));
    Some(BackendConfig {
        name,
        address: address?,
        weight: u16::try_from(weight?).ok()?,
    })
}

fn read_balance(value: &Value<'_>, problems: &mut Problems) -> Option<Balance> {
    match value.text(problems)?.as_str() {
        "random_of_two" => Some(Balance::RandomOfTwo),
        "round_robin" => Some(Balance::RoundRobin),
        other => {
            let help = "write random_of_two or round_robin";
            problems.value(value, format!("there is no balance `{other}`"), Some(help));
            None
        }
    }
}

fn default_check() -> HealthCheckConfig {
    HealthCheckConfig::Probe(ProbeConfig {
        kind: ProbeKind::Tcp,
        interval: INTERVAL,
        timeout: INTERVAL,
        rise: RISE,
        fall: FALL,
    })
}

fn read_check(value: &Value<'_>, problems: &mut Problems) -> Option<HealthCheckConfig> {
    if let Node::Text(text) = value.node
        && text == "none"
    {
        return Some(HealthCheckConfig::None);
    }
    let mut map = value.map(problems)?;
    let kinds = (map.get("http"), map.get("tcp"));
    let mut span =
        |key, map: &mut Map<'_>| map.get(key).map(|value| values::timeout(&value, problems));
    let interval = span("interval", &mut map).unwrap_or(Some(INTERVAL));
    let timeout = span("timeout", &mut map).unwrap_or(interval);
    let mut count = |key, default, map: &mut Map<'_>| {
        map.get(key)
            .map_or(Some(default), |value| value.number(1, 100, key, problems))
    };
    let rise = count("rise", RISE, &mut map);
    let fall = count("fall", FALL, &mut map);
    map.finish(problems);
    let kind = match kinds {
        (Some(http), None) => read_http(&http, problems),
        (None, Some(tcp)) => {
            tcp.map(problems)?.finish(problems);
            Some(ProbeKind::Tcp)
        }
        (Some(_), Some(_)) | (None, None) => {
            let help = "write {http: {path: /}}, {tcp: {}} or none";
            problems.value(value, "a health check is either http or tcp", Some(help));
            None
        }
    };
    Some(HealthCheckConfig::Probe(ProbeConfig {
        kind: kind?,
        interval: interval?,
        timeout: timeout?,
        rise: rise?,
        fall: fall?,
    }))
}

fn read_http(value: &Value<'_>, problems: &mut Problems) -> Option<ProbeKind> {
    let mut map = value.map(problems)?;
    let path = map.get("path");
    let host = map.get("host");
    let expect = map.get("expect");
    map.finish(problems);
    let path = path.map_or(Some("/".to_owned()), |value| {
        let path = value.text(problems)?;
        let good = path.starts_with('/') && path.chars().all(|c| c.is_ascii_graphic() && c != '#');
        if !good {
            let help = "it begins with / and has no spaces; encode others with %";
            problems.value(&value, format!("`{path}` is not a path"), Some(help));
        }
        good.then_some(path)
    });
    let host = host.map_or(Some(None), |value| {
        let host = value.text(problems)?;
        let good = !host.is_empty()
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c));
        if !good {
            problems.value(&value, format!("`{host}` is not a host"), None);
        }
        good.then_some(Some(host))
    });
    let expect = expect.map_or(Some(vec![EXPECT]), |value| read_expect(&value, problems));
    Some(ProbeKind::Http {
        path: path?,
        host: host?,
        expect: expect?,
    })
}

fn read_expect(value: &Value<'_>, problems: &mut Problems) -> Option<Vec<(u16, u16)>> {
    let elements = match value.node {
        Node::List(_) => value.list(problems)?,
        Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Text(_) | Node::Map(_) => {
            vec![value.clone()]
        }
    };
    let mut ranges = Vec::new();
    for element in &elements {
        let text = element.text(problems)?;
        let (low, high) = text.split_once('-').unwrap_or((&text, &text));
        let status = |text: &str| text.trim().parse().ok().filter(|s| (100..=599).contains(s));
        match (status(low), status(high)) {
            (Some(low), Some(high)) if low <= high => ranges.push((low, high)),
            (Some(_) | None, _) => {
                let help = "write 200, 200-399, or a list of these; from 100 to 599";
                problems.value(element, format!("`{text}` is no status"), Some(help));
                return None;
            }
        }
    }
    if ranges.is_empty() {
        problems.value(value, "expect is empty", None);
        return None;
    }
    Some(ranges)
}

fn read_timeouts(value: &Value<'_>, problems: &mut Problems) -> Option<PoolTimeouts> {
    let mut map = value.map(problems)?;
    let connect = map.get("connect");
    let response_head = map.get("response_head");
    map.finish(problems);
    let connect = connect.map_or(Some(TIMEOUTS.connect), |v| values::timeout(&v, problems));
    let head = response_head.map_or(Some(TIMEOUTS.response_head), |v| {
        values::timeout(&v, problems)
    });
    Some(PoolTimeouts {
        connect: connect?,
        response_head: head?,
    })
}

/// The default of `interval`.
const INTERVAL: Duration = Duration::from_secs(1);
/// The default of `rise`.
const RISE: u32 = 2;
/// The default of `fall`.
const FALL: u32 = 3;
/// The default of `expect`.
const EXPECT: (u16, u16) = (200, 399);
/// The defaults of `timeouts`.
const TIMEOUTS: PoolTimeouts = PoolTimeouts {
    connect: Duration::from_secs(1),
    response_head: Duration::from_secs(30),
};
