//! The section `pools`: backends, how one is picked, how they are probed.

mod affinity;
mod backends;
pub(super) mod backends_file;
mod buffer_requests;
mod ejection;
mod fallback;
mod health;
mod modes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use self::modes::Behind;
use super::listeners::names::known_pool;
use super::tls;
use super::values::{cookie_name, duration_or, number_or, one_of};
use crate::config::file::{Kind, NodeId};
use crate::config::reader::{Fields, Value, nearest};
use crate::config::report::{Problems, shown};
use crate::config::{
    HashOn, KeepAliveConfig, PoolConfig, PoolProtocol, PoolTimeouts, ProxyProtocol, Reuse,
};
use crate::logic::balance::Balance;
use crate::logic::balance::fallback::with_fallbacks;
use crate::logic::http1::rewrite::edit;

/// The section, as far as it is right.
#[derive(Debug)]
pub(super) struct Pools {
    /// Every name in the section, right or wrong.
    pub(super) names: Vec<String>,
    /// Where each backend's address stands, by pool.
    pub(super) backends: Vec<(String, NodeId, SocketAddr)>,
    /// Which pool is the fallback of which.
    pub(super) fallbacks: BTreeMap<String, String>,
    /// `None` if anything is wrong.
    pub(super) checked: Option<Vec<PoolConfig>>,
}

impl Default for Pools {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            backends: Vec::new(),
            fallbacks: BTreeMap::new(),
            checked: Some(Vec::new()),
        }
    }
}

impl Pools {
    /// Returns these pools, and those that answer in their place.
    pub(super) fn with_fallbacks<'a>(
        &'a self,
        asked: impl Iterator<Item = &'a str>,
    ) -> Vec<&'a str> {
        with_fallbacks(asked, |name| self.fallbacks.get(name).map(String::as_str))
    }
}

/// Checks the section; `None` if it is no map of pools at all. `listeners` says what pools carry.
pub(super) fn check(
    section: Value<'_>,
    listeners: Option<Value<'_>>,
    problems: &mut Problems,
) -> Option<Pools> {
    let mut pools = Pools::default();
    let entries = section.entries("pools by name", problems)?;
    pools.names = entries.iter().map(|entry| entry.name.to_owned()).collect();
    pools.fallbacks = fallback::check_loops(&entries, problems);
    let named = reproxies(&entries);
    let behind = modes::behind(listeners, &pools.fallbacks, &named);
    for entry in entries {
        let behind = behind.get(entry.name).copied().unwrap_or_default();
        let pool = check_pool(entry, behind, &pools.names, &mut pools.backends, problems);
        pools.checked = pools.checked.zip(pool).map(|(mut checked, pool)| {
            checked.push(pool);
            checked
        });
    }
    Some(pools)
}

fn check_pool(
    entry: Value<'_>,
    behind: Behind<'_>,
    names: &[String],
    endpoints: &mut Vec<(String, NodeId, SocketAddr)>,
    problems: &mut Problems,
) -> Option<PoolConfig> {
    let fields = entry.fields(
        &[
            "backends",
            "backends_file",
            "resolve",
            "balance",
            "health_check",
            "timeouts",
            "keep_alive",
            "slow_start",
            "tls",
            "protocol",
            "proxy_protocol",
            "buffer_requests",
            "reproxy",
            "ejection",
            "fallback",
            "affinity",
        ],
        problems,
    )?;
    let written = backends::check(entry.name, &fields, endpoints, problems);
    let balance = check_balance(&fields, problems);
    let timeouts = check_timeouts(&fields, problems);
    let keep_alive = check_keep_alive(&fields, problems);
    let off = Duration::ZERO;
    let tls = tls::check_pool(&fields, problems);
    let is_secure = tls.as_ref().is_none_or(Option::is_some);
    let protocol = check_protocol(&fields, is_secure, behind, problems);
    if protocol == Some(PoolProtocol::Tcp) {
        modes::check_tcp(&fields, problems);
    }
    let proxy_protocol = check_proxy_protocol(&fields, protocol, problems);
    let health_check = health::check(&fields, is_secure, problems);
    let buffer_requests = buffer_requests::check(&fields, problems);
    let reproxy = check_reproxy(&fields, names, problems);
    let slow_start = duration_or(&fields, "slow_start", off, off..=HOUR, problems);
    let fallback = fallback::check(&fields, names, problems);
    let ejection = ejection::check(&fields, problems);
    let affinity = affinity::check(&fields, problems);
    let (backends, follow) = written?;
    Some(PoolConfig {
        name: entry.name.to_owned(),
        backends,
        follow,
        balance: balance?,
        health_check: health_check?,
        timeouts: timeouts?,
        keep_alive: keep_alive?,
        slow_start: slow_start?,
        fallback: fallback?,
        ejection: ejection?,
        affinity: affinity?,
        tls: tls?,
        protocol: protocol?,
        proxy_protocol: proxy_protocol?,
        buffer_requests: buffer_requests?,
        reproxy: reproxy?,
    })
}

/// Returns the pool that has what the backends of each name, as far as that can be read.
fn reproxies<'a>(entries: &[Value<'a>]) -> BTreeMap<&'a str, &'a str> {
    let named = |entry: &Value<'a>| Some((entry.name, entry.entry("reproxy")?.as_text()?));
    entries.iter().filter_map(named).collect()
}

fn check_reproxy(
    fields: &Fields<'_>,
    names: &[String],
    problems: &mut Problems,
) -> Option<Option<String>> {
    let Some(value) = fields.get("reproxy") else {
        return Some(None);
    };
    let name = known_pool(value, Some(names), problems)?;
    Some(Some(name.to_owned()))
}

/// A header says whose the connection is: one that carries requests of many clients has none.
fn check_proxy_protocol(
    fields: &Fields<'_>,
    protocol: Option<PoolProtocol>,
    problems: &mut Problems,
) -> Option<Option<ProxyProtocol>> {
    let Some(value) = fields.get("proxy_protocol") else {
        return Some(None);
    };
    let versions = [("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)];
    let version = one_of(
        value,
        "`v1` or `v2`",
        &versions,
        "write `v1` or `v2`",
        problems,
    )?;
    if protocol == Some(PoolProtocol::Http2) {
        let message = "a connection of HTTP/2 carries requests of many clients";
        let help = "leave `proxy_protocol` out (backends are sent X-Forwarded-For), or `protocol`";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    Some(Some(version))
}

/// `h2` is HTTP/2 over TLS, `h2c` without (RFC 7540 §3.1); unless it is written, it is what the
/// listeners carry.
fn check_protocol(
    fields: &Fields<'_>,
    is_secure: bool,
    behind: Behind<'_>,
    problems: &mut Problems,
) -> Option<PoolProtocol> {
    let Some(value) = fields.get("protocol") else {
        return modes::check_behind(fields.key(), behind, problems);
    };
    let protocol = written_protocol(value, is_secure, problems)?;
    modes::check_written(value, protocol, behind, problems)
}

fn written_protocol(
    value: Value<'_>,
    is_secure: bool,
    problems: &mut Problems,
) -> Option<PoolProtocol> {
    let what = "`http1`, `h2`, `h2c` or `tcp`";
    match (value.text(what, problems)?, is_secure) {
        ("http1", _) => Some(PoolProtocol::Http1),
        ("tcp", _) => Some(PoolProtocol::Tcp),
        ("h2", true) | ("h2c", false) => Some(PoolProtocol::Http2),
        ("h2", false) => {
            let help = "add `tls: true`, or write `h2c`: HTTP/2 without TLS";
            value.wrong_with_help("`h2` is spoken over TLS", help, problems);
            None
        }
        ("h2c", true) => {
            let help = "write `h2`: HTTP/2 over TLS, or take `tls` out";
            value.wrong_with_help("`h2c` is spoken without TLS", help, problems);
            None
        }
        (other, _) => {
            let message = format!("`{}` is no protocol of backends", shown(other));
            value.wrong_with_help(message, format!("write {what}"), problems);
            None
        }
    }
}

fn check_keep_alive(fields: &Fields<'_>, problems: &mut Problems) -> Option<KeepAliveConfig> {
    let default = KeepAliveConfig::default();
    let Some(value) = fields.get("keep_alive") else {
        return Some(default);
    };
    let fields = value.fields(&["timeout", "connections", "reuse"], problems)?;
    let range = TIMEOUT_MIN..=HOUR;
    let timeout = duration_or(&fields, "timeout", default.timeout, range, problems);
    let range = 1..=KEPT_MAX;
    let connections = number_or(&fields, "connections", default.connections, range, problems);
    let reuse = match fields.get("reuse") {
        None => Some(default.reuse),
        Some(value) => check_reuse(value, problems),
    };
    Some(KeepAliveConfig {
        timeout: timeout?,
        connections: connections?,
        reuse: reuse?,
    })
}

fn check_reuse(value: Value<'_>, problems: &mut Problems) -> Option<Reuse> {
    let words = [
        ("never", Reuse::Never),
        ("safe", Reuse::Safe),
        ("always", Reuse::Always),
    ];
    let help = "write `never`, `safe` or `always`";
    one_of(value, "never, safe or always", &words, help, problems)
}

fn check_balance(fields: &Fields<'_>, problems: &mut Problems) -> Option<Balance> {
    let Some(value) = fields.get("balance") else {
        return Some(Balance::RandomOfTwo);
    };
    if let Kind::Map(_) = &value.node.kind {
        let fields = value.fields(&["hash"], problems)?;
        let hash = fields.need("hash", "source_address", problems)?;
        return check_hash(hash, problems).map(Balance::Hash);
    }
    match value.text("a word or a map", problems)? {
        "random_of_two" => Some(Balance::RandomOfTwo),
        "round_robin" => Some(Balance::RoundRobin),
        "least_connections" => Some(Balance::LeastConnections),
        other => {
            let message = format!("balance cannot be `{}`", shown(other));
            let words = ["random_of_two", "round_robin", "least_connections"];
            let help = nearest(other, &words).map_or_else(
                || BALANCE_HELP.to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            value.wrong_with_help(message, help, problems);
            None
        }
    }
}

/// What requests are hashed on.
fn check_hash(value: Value<'_>, problems: &mut Problems) -> Option<HashOn> {
    if !matches!(value.node.kind, Kind::Map(_)) {
        return match value.text("a word or a map", problems)? {
            "source_address" => Some(HashOn::SourceAddress),
            "path" => Some(HashOn::Path),
            other => {
                let message = format!("hash cannot be `{}`", shown(other));
                let help = nearest(other, &["source_address", "path"]).map_or_else(
                    || HASH_HELP.to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                value.wrong_with_help(message, help, problems);
                None
            }
        };
    }
    let fields = value.fields(&["header", "cookie"], problems)?;
    match (fields.get("header"), fields.get("cookie")) {
        (Some(name), None) => check_header(name, problems).map(HashOn::Header),
        (None, Some(name)) => cookie_name(name, problems).map(HashOn::Cookie),
        (None, None) => {
            let message = "hash says neither `header` nor `cookie`";
            problems.add_with_help(fields.key(), message, HASH_HELP);
            None
        }
        (Some(_), Some(cookie)) => {
            let message = "hash is on either a `header` or a `cookie`, not both";
            problems.add_with_help(cookie.key, message, "keep one; a request has one key");
            None
        }
    }
}

fn check_header(value: Value<'_>, problems: &mut Problems) -> Option<String> {
    let name = value.text("the name of a field", problems)?;
    let objection = match name.eq_ignore_ascii_case("host") {
        true => None,
        false => edit::objection(name),
    };
    if let Some(why) = objection {
        let message = format!("no request is hashed on the field `{}`", shown(name));
        value.wrong_with_help(message, why, problems);
        return None;
    }
    Some(name.to_owned())
}

fn check_timeouts(fields: &Fields<'_>, problems: &mut Problems) -> Option<PoolTimeouts> {
    let default = PoolTimeouts {
        connect: CONNECT,
        response_head: RESPONSE_HEAD,
        queue: QUEUE,
        backend_fin: BACKEND_FIN,
    };
    let Some(value) = fields.get("timeouts") else {
        return Some(default);
    };
    let keys = &["connect", "response_head", "queue", "backend_fin"];
    let fields = value.fields(keys, problems)?;
    let connect = duration_or(&fields, "connect", CONNECT, TIMEOUT_MIN..=HOUR, problems);
    let response_head = duration_or(
        &fields,
        "response_head",
        RESPONSE_HEAD,
        TIMEOUT_MIN..=DAY,
        problems,
    );
    let queue = duration_or(&fields, "queue", QUEUE, TIMEOUT_MIN..=HOUR, problems);
    let range = TIMEOUT_MIN..=DAY;
    let backend_fin = duration_or(&fields, "backend_fin", BACKEND_FIN, range, problems);
    Some(PoolTimeouts {
        connect: connect?,
        response_head: response_head?,
        queue: queue?,
        backend_fin: backend_fin?,
    })
}

const BALANCE_HELP: &str =
    "write `random_of_two`, `round_robin`, `least_connections` or `{hash: source_address}`";
const HASH_HELP: &str = "write `source_address`, `path`, `{header: X-User}` or `{cookie: session}`";

const TIMEOUT_MIN: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const CONNECT: Duration = Duration::from_secs(1);
const RESPONSE_HEAD: Duration = Duration::from_secs(30);
const QUEUE: Duration = Duration::from_secs(5);
const BACKEND_FIN: Duration = Duration::from_secs(10);
/// No worker keeps more, of all backends together.
const KEPT_MAX: u32 = 10_000;
