//! What a listener allows its clients: timeouts, limits, and which proxies before us are believed.

use std::net::IpAddr;
use std::time::Duration;

use super::listeners::rates;
use super::values::{duration_or, flag, number_or};
use crate::config::reader::{Fields, Value, check_each};
use crate::config::report::{Problems, shown};
use crate::config::{ForwardingConfig, ListenerLimits, ListenerTimeouts};
use crate::logic::http1::forwarding::OptionalField;
use crate::logic::http1::head::{FIELDS_MAX, Protocol};
use crate::logic::http1::names::{Name, is_odd};
use crate::model::Network;

pub(super) fn check_timeouts(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<ListenerTimeouts> {
    let default = ListenerTimeouts::default();
    let Some(value) = fields.get("timeouts") else {
        return Some(default);
    };
    let keys = &[
        "handshake",
        "request_head",
        "keep_alive",
        "request_body",
        "idle",
        "tunnel",
        "client_fin",
        "linger",
    ];
    let fields = value.fields(keys, problems)?;
    let mut read = |key: &str, default: Duration, max: Duration| {
        duration_or(&fields, key, default, TIMEOUT_MIN..=max, problems)
    };
    let handshake = read("handshake", default.handshake, HOUR);
    let request_head = read("request_head", default.request_head, HOUR);
    let keep_alive = read("keep_alive", default.keep_alive, HOUR);
    let request_body = read("request_body", default.request_body, HOUR);
    let idle = read("idle", default.idle, DAY);
    let tunnel = read("tunnel", default.tunnel, DAY);
    let client_fin = read("client_fin", default.client_fin, DAY);
    let linger = read("linger", default.linger, HOUR);
    Some(ListenerTimeouts {
        handshake: handshake?,
        request_head: request_head?,
        keep_alive: keep_alive?,
        request_body: request_body?,
        idle: idle?,
        tunnel: tunnel?,
        client_fin: client_fin?,
        linger: linger?,
    })
}

pub(super) fn check_limits(fields: &Fields<'_>, problems: &mut Problems) -> Option<ListenerLimits> {
    let default = ListenerLimits::default();
    let Some(value) = fields.get("limits") else {
        return Some(default);
    };
    let keys = &[
        "head_bytes",
        "fields",
        "target_bytes",
        "body_bytes",
        "body_rate",
        "connections",
        "connections_per_client",
        "connection_rate_per_client",
        "requests",
        "requests_per_client",
    ];
    let fields = value.fields(keys, problems)?;
    let mut read =
        |key: &str, default: u32, max: u32| number_or(&fields, key, default, 1..=max, problems);
    let head_bytes = read("head_bytes", default.head_bytes, HEAD_BYTES_MAX);
    let field_count = read(
        "fields",
        default.fields,
        u32::try_from(FIELDS_MAX).unwrap_or(1),
    );
    let target_bytes = read("target_bytes", default.target_bytes, HEAD_BYTES_MAX);
    let body_rate = number_or(
        &fields,
        "body_rate",
        default.body_rate,
        0..=u32::MAX,
        problems,
    );
    let mut read = |key: &str| match fields.get(key) {
        None => Some(None),
        Some(value) => value.number(1, u32::MAX, problems).map(Some),
    };
    let body_bytes = read("body_bytes");
    let connections = read("connections");
    let connections_per_client = read("connections_per_client");
    let connection_rate_per_client = rates::check_connections(&fields, problems);
    let rates = rates::check_requests(&fields, problems);
    Some(ListenerLimits {
        head_bytes: head_bytes?,
        fields: field_count?,
        target_bytes: target_bytes?,
        body_bytes: body_bytes?,
        body_rate: body_rate?,
        connections: connections?,
        connections_per_client: connections_per_client?,
        connection_rate_per_client: connection_rate_per_client?,
        rates: rates?,
    })
}

pub(super) fn check_forwarding(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<ForwardingConfig> {
    let trusted = match fields.get("trusted_proxies") {
        Some(value) => {
            let items = value.items("networks", problems)?;
            check_each(items, |item| check_network(item, problems))
        }
        None => Some(Vec::new()),
    };
    let proxy_fields = check_proxy_fields(fields, problems);
    let writes = |writes: bool| {
        if writes {
            OptionalField::Send
        } else {
            OptionalField::Omit
        }
    };
    let forwarded = flag(fields, "forwarded", false, problems).map(writes);
    let via = flag(fields, "via", false, problems).map(writes);
    let request_id = flag(fields, "request_id", true, problems).map(writes);
    Some(ForwardingConfig {
        trusted_proxies: trusted?,
        proxy_fields: proxy_fields?,
        forwarded: forwarded?,
        via: via?,
        request_id: request_id?,
    })
}

/// The networks from which connections begin with a header of the PROXY protocol.
pub(super) fn check_proxy_protocol(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<Vec<Network>> {
    let Some(value) = fields.get("proxy_protocol") else {
        return Some(Vec::new());
    };
    let fields = value.fields(&["from"], problems)?;
    // Whoever may send one may claim to be anybody.
    let from = fields.need("from", "[198.51.100.0/24]", problems)?;
    let items = from.items("networks", problems)?;
    check_each(items, |item| check_network(item, problems))
}

/// Protocols, without their version, in which requests follow.
const REQUESTS: [&str; 6] = ["h2", "h2c", "h3", "http", "https", "tls"];

/// The protocols that requests may change to.
pub(super) fn check_upgrades(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<Vec<Protocol>> {
    let Some(value) = fields.get("upgrades") else {
        return Some(Protocol::new(b"websocket").into_iter().collect());
    };
    // None at all is a wish.
    let items = value.items_or_none("protocols", problems)?;
    check_each(items, |item| check_protocol(item, problems))
}

fn check_protocol(item: Value<'_>, problems: &mut Problems) -> Option<Protocol> {
    let name = item.text("the name of a protocol", problems)?;
    let protocol = name.split_once('/').map_or(name, |(protocol, _)| protocol);
    if REQUESTS.iter().any(|of| protocol.eq_ignore_ascii_case(of)) {
        let message = format!("an upgrade to {name} cannot be relayed");
        let help = "what follows would be requests that nobody has looked at; leave it out";
        item.wrong_with_help(message, help, problems);
        return None;
    }
    let protocol = Protocol::new(name.as_bytes());
    if protocol.is_none() {
        let message = format!("`{}` is not the name of a protocol", shown(name));
        item.wrong_with_help(
            message,
            "write it as clients do: `websocket`, `tcp`",
            problems,
        );
    }
    protocol
}

fn check_proxy_fields(fields: &Fields<'_>, problems: &mut Problems) -> Option<Vec<String>> {
    let Some(value) = fields.get("proxy_fields") else {
        return Some(Vec::new());
    };
    let items = value.items("field names", problems)?;
    check_each(items, |item| check_field_name(item, problems))
}

/// The name of a field that the proxy has no use for itself.
fn check_field_name(item: Value<'_>, problems: &mut Problems) -> Option<String> {
    let name = item.text("the name of a field", problems)?;
    if name.is_empty() || name.len() > FIELD_NAME_BYTES_MAX || is_odd(name.as_bytes()) {
        let message = format!("`{}` is not the name of a field", shown(name));
        item.wrong_with_help(message, "write letters, digits and `-`: `X-User`", problems);
        return None;
    }
    if Name::of(name.as_bytes()) != Name::Other {
        let message = format!("{name} is the proxy's own business already");
        item.wrong_with_help(message, "leave it out", problems);
        return None;
    }
    Some(name.to_owned())
}

/// Returns a network of IPv4 as such where it is written as one of IPv6 (RFC 4291 §2.5.5.2): so
/// are clients compared.
fn plain(address: IpAddr, prefix_len: u8) -> Network {
    let mapped = match address {
        IpAddr::V6(address) => address.to_ipv4_mapped(),
        IpAddr::V4(_) => None,
    };
    match (mapped, prefix_len.checked_sub(96)) {
        (Some(mapped), Some(prefix_len)) => Network {
            address: IpAddr::V4(mapped),
            prefix_len,
        },
        (Some(_), None) | (None, _) => Network {
            address,
            prefix_len,
        },
    }
}

/// Reads an address, or a network with its prefix length.
pub(super) fn network(text: &str) -> Option<Network> {
    let (address, len) = match text.split_once('/') {
        Some((address, len)) => (address, Some(len)),
        None => (text, None),
    };
    let address = address.parse::<IpAddr>().ok()?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    let prefix_len = match len {
        None => max,
        Some(len) if len.bytes().all(|byte| byte.is_ascii_digit()) => {
            len.parse().ok().filter(|len| *len <= max)?
        }
        Some(_) => return None,
    };
    Some(plain(address, prefix_len))
}

pub(super) fn check_network(item: Value<'_>, problems: &mut Problems) -> Option<Network> {
    let text = item.text("an address or a network", problems)?;
    let network = network(text);
    if network.is_none() {
        let message = format!("`{}` is neither an address nor a network", shown(text));
        let help = "write `192.0.2.1`, `10.0.0.0/8` or `\"2001:db8::/32\"`";
        item.wrong_with_help(message, help, problems);
    }
    network
}

const TIMEOUT_MIN: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const FIELD_NAME_BYTES_MAX: usize = 64;
/// Larger heads are an attack.
const HEAD_BYTES_MAX: u32 = 64 * 1024;
