//! What pools carry: requests, or bytes. It is what the listeners do that they are behind.

use std::collections::BTreeMap;

use crate::config::PoolProtocol;
use crate::config::file::{Kind, NodeId};
use crate::config::reader::{Fields, Value};
use crate::config::report::{Problems, shown};
use crate::logic::balance::fallback::with_fallbacks;

/// The first listeners that a pool is behind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Behind<'a> {
    /// Of those that carry requests.
    http: Option<&'a str>,
    /// Of those that carry bytes.
    tcp: Option<&'a str>,
}

/// Returns which pools are behind which listeners, as far as the section can be read: whether it is
/// right is said elsewhere.
pub(super) fn behind<'a>(
    listeners: Option<Value<'a>>,
    fallbacks: &'a BTreeMap<String, String>,
    reproxies: &BTreeMap<&'a str, &'a str>,
) -> BTreeMap<&'a str, Behind<'a>> {
    let mut all: BTreeMap<&str, Behind<'_>> = BTreeMap::new();
    for listener in listeners.map(Value::children).unwrap_or_default() {
        let fallback_of = |name: &str| fallbacks.get(name).map(String::as_str);
        let asked = with_fallbacks(asked_by(listener), fallback_of);
        let named = asked.iter().filter_map(|name| reproxies.get(name).copied());
        let named: Vec<&str> = named.collect();
        let pools = with_fallbacks(asked.into_iter().chain(named), fallback_of);
        for pool in pools {
            let behind = all.entry(pool).or_default();
            let mode = match is_tcp(listener) {
                true => &mut behind.tcp,
                false => &mut behind.http,
            };
            mode.get_or_insert(listener.name);
        }
    }
    all
}

/// Returns what a pool carries that does not say so.
pub(super) fn check_behind(
    at: NodeId,
    behind: Behind<'_>,
    problems: &mut Problems,
) -> Option<PoolProtocol> {
    match (behind.http, behind.tcp) {
        (_, None) => Some(PoolProtocol::default()),
        (None, Some(_)) => Some(PoolProtocol::Tcp),
        (Some(http), Some(tcp)) => {
            let message = format!(
                "the pool is behind `{}`, which carries TCP, and behind `{}`, which carries HTTP",
                shown(tcp),
                shown(http)
            );
            let help = "write a pool for each: backends are spoken to in one way";
            problems.add_with_help(at, message, help);
            None
        }
    }
}

/// Returns what a pool carries that says so.
pub(super) fn check_written(
    value: Value<'_>,
    protocol: PoolProtocol,
    behind: Behind<'_>,
    problems: &mut Problems,
) -> Option<PoolProtocol> {
    let (against, carries) = match protocol {
        PoolProtocol::Tcp => (behind.http, "HTTP"),
        PoolProtocol::Http1 | PoolProtocol::Http2 => (behind.tcp, "TCP"),
    };
    if let Some(listener) = against {
        let message = format!(
            "the pool is behind `{}`, which carries {carries}",
            shown(listener)
        );
        let help = "leave `protocol` out, or write another pool for that listener";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    Some(protocol)
}

/// Complains about what only pools that are asked can do.
pub(super) fn check_tcp(fields: &Fields<'_>, problems: &mut Problems) {
    let mut wrong = |at: NodeId, what: &str, help: &str| {
        let message = format!("{what} is for requests, and this pool carries TCP");
        problems.add_with_help(at, message, help);
    };
    for (key, help) in [
        (
            "affinity",
            "take it out; `balance: {hash: source_address}` keeps clients on a backend",
        ),
        (
            "keep_alive",
            "take it out; each client has a connection of its own",
        ),
        (
            "reproxy",
            "take it out; nobody names an answer where bytes are carried",
        ),
        (
            "buffer_requests",
            "take it out; nobody knows where a request would end",
        ),
    ] {
        if let Some(value) = fields.get(key) {
            wrong(value.key, &format!("`{key}`"), help);
        }
    }
    if let Some(value) = fields.get("fallback")
        && let Some(respond) = value.entry("respond")
    {
        wrong(
            respond.key,
            "`respond`",
            "name another pool, or take it out",
        );
    }
    if let Some(value) = fields.get("timeouts")
        && let Some(head) = value.entry("response_head")
    {
        wrong(
            head.key,
            "`response_head`",
            "take it out; `timeouts: {tunnel: 1h}` of the listener bounds silence",
        );
    }
    if let Some(value) = fields.get("balance")
        && let Some(hash) = value.entry("hash")
        && !matches!(&hash.node.kind, Kind::Text(text) if text == "source_address")
    {
        wrong(
            hash.key,
            "a hash of anything but addresses",
            "write `{hash: source_address}`",
        );
    }
}

/// Returns whether a listener says so.
fn is_tcp(listener: Value<'_>) -> bool {
    let mode = listener.entry("mode");
    mode.is_some_and(|mode| matches!(&mode.node.kind, Kind::Text(text) if text == "tcp"))
}

/// Returns the pools that a listener names.
fn asked_by(listener: Value<'_>) -> Vec<&str> {
    let routes = listener.entry("routes").map(Value::children);
    let of_routes = routes.unwrap_or_default().into_iter();
    let of_routes = of_routes.filter_map(|route| route.entry("pool"));
    let pools = listener.entry("pool").into_iter().chain(of_routes);
    pools.filter_map(|pool| pool.as_text()).collect()
}
