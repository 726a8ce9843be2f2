//! How often clients may come: `limits` of a listener or of a route, as far as they are rates; and
//! the priority of a route.

use crate::config::check::values::{number_or, one_of};
use crate::config::file::Kind;
use crate::config::reader::{Fields, Value};
use crate::config::report::{Problems, shown};
use crate::config::{
    CLIENTS_DEFAULT, ClientKey, ClientRateLimit, ListenerConfig, RateLimit, RequestRates,
};
use crate::logic::balance::queue::Urgency;
use crate::logic::balance::rate::{COUNT_MAX, Rate};
use crate::logic::http1::names::is_odd;

/// Checks `requests` and `requests_per_client`; `fields` are `limits`.
pub(crate) fn check_requests(fields: &Fields<'_>, problems: &mut Problems) -> Option<RequestRates> {
    let requests = match fields.get("requests") {
        None => Some(None),
        Some(value) => check_rate(value, problems).map(Some),
    };
    let keys = &["rate", "burst", "by", "clients"];
    let requests_per_client = check_client_rate(fields, "requests_per_client", keys, problems);
    Some(RequestRates {
        requests: requests?,
        requests_per_client: requests_per_client?,
    })
}

/// Checks `connection_rate_per_client`; `fields` are `limits` of a listener. A new connection has
/// no field yet by which it could count.
pub(crate) fn check_connections(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<Option<ClientRateLimit>> {
    let keys = &["rate", "burst", "clients"];
    check_client_rate(fields, "connection_rate_per_client", keys, problems)
}

/// Complains where all tables of clients together could take more memory than is sensible.
pub(super) fn check_sum(section: Value<'_>, listeners: &[ListenerConfig], problems: &mut Problems) {
    let tables = listeners.iter().flat_map(|listener| {
        let of_routes = listener.routes.iter().map(|route| &route.limits.rates);
        let rates = of_routes.chain([&listener.limits.rates]);
        let of_requests = rates.filter_map(|rates| rates.requests_per_client.as_ref());
        of_requests.chain(&listener.limits.connection_rate_per_client)
    });
    let clients: u64 = tables.map(|table| u64::from(table.clients)).sum();
    if clients > CLIENTS_IN_ALL_MAX {
        let message = format!(
            "the limits of this section remember {clients} clients in all, at most {CLIENTS_IN_ALL_MAX}"
        );
        let help =
            "each takes 16 bytes: say a smaller `clients` where few come, as `clients: 4096`";
        problems.add_with_help(section.key, message, help);
    }
}

/// 256 MiB.
const CLIENTS_IN_ALL_MAX: u64 = 16 << 20;

/// Checks `priority`; `fields` are a route's.
pub(crate) fn check_priority(fields: &Fields<'_>, problems: &mut Problems) -> Option<Urgency> {
    let Some(value) = fields.get("priority") else {
        return Some(Urgency::default());
    };
    let words = [
        ("high", Urgency::High),
        ("normal", Urgency::Normal),
        ("low", Urgency::Low),
    ];
    let what = "high, normal or low";
    one_of(value, what, &words, "write high, normal or low", problems)
}

fn check_rate(value: Value<'_>, problems: &mut Problems) -> Option<RateLimit> {
    require_map(value, problems)?;
    let fields = value.fields(&["rate", "burst"], problems)?;
    check_rate_and_burst(&fields, problems)
}

fn check_client_rate(
    fields: &Fields<'_>,
    key: &str,
    keys: &'static [&'static str],
    problems: &mut Problems,
) -> Option<Option<ClientRateLimit>> {
    let Some(value) = fields.get(key) else {
        return Some(None);
    };
    require_map(value, problems)?;
    let fields = value.fields(keys, problems)?;
    let limit = check_rate_and_burst(&fields, problems);
    let by = match fields.get("by") {
        None => Some(ClientKey::default()),
        Some(by) => check_key(by, problems),
    };
    let range = CLIENTS_MIN..=CLIENTS_MAX;
    let clients = number_or(&fields, "clients", CLIENTS_DEFAULT, range, problems);
    Some(Some(ClientRateLimit {
        limit: limit?,
        by: by?,
        clients: clients?,
    }))
}

/// A rate alone is what somebody writes who does not know of the burst.
fn require_map(value: Value<'_>, problems: &mut Problems) -> Option<()> {
    match &value.node.kind {
        Kind::Map(_) => Some(()),
        Kind::Null
        | Kind::Bool(_)
        | Kind::Int(_)
        | Kind::Float(_)
        | Kind::Text(_)
        | Kind::List(_) => {
            let found = value.node.kind.describe();
            let message = format!("`{}` must be a map, not {found}", shown(value.name));
            let help = format!("write `{}: {{rate: 50/s, burst: 100}}`", shown(value.name));
            value.wrong_with_help(message, help, problems);
            None
        }
    }
}

fn check_rate_and_burst(fields: &Fields<'_>, problems: &mut Problems) -> Option<RateLimit> {
    let rate = fields.need("rate", "50/s", problems);
    let rate = rate.and_then(|value| read_rate(value, problems));
    // What a unit of time gives.
    let default = rate.map_or(1, Rate::count);
    let burst = number_or(fields, "burst", default, 1..=COUNT_MAX, problems);
    Some(RateLimit {
        rate: rate?,
        burst: burst?,
    })
}

fn read_rate(value: Value<'_>, problems: &mut Problems) -> Option<Rate> {
    if let Kind::Int(number) = &value.node.kind {
        let help = format!("write `{number}/s`, `{number}/m` or `{number}/h`");
        value.wrong_with_help("rate has no unit of time", help, problems);
        return None;
    }
    let text = value.text("a rate", problems)?;
    let rate = Rate::parse(text);
    if rate.is_none() {
        let message = format!("rate cannot be `{}`: not a rate", shown(text));
        let help =
            format!("rates are written 50/s, 100/m or 10/h, with numbers from 1 to {COUNT_MAX}");
        value.wrong_with_help(message, help, problems);
    }
    rate
}

/// `address`, or the name of a field.
fn check_key(value: Value<'_>, problems: &mut Problems) -> Option<ClientKey> {
    match &value.node.kind {
        Kind::Text(text) if text == "address" => return Some(ClientKey::Address),
        Kind::Map(_) => {}
        Kind::Null
        | Kind::Bool(_)
        | Kind::Int(_)
        | Kind::Float(_)
        | Kind::Text(_)
        | Kind::List(_) => {
            let message = "by must be `address`, or a map with `header`";
            value.wrong_with_help(message, "write `by: {header: X-Api-Key}`", problems);
            return None;
        }
    }
    let fields = value.fields(&["header"], problems)?;
    let header = fields.need("header", "X-Api-Key", problems)?;
    let name = header.text("the name of a field", problems)?;
    if name.is_empty() || name.len() > FIELD_NAME_BYTES_MAX || is_odd(name.as_bytes()) {
        let message = format!("`{}` is not the name of a field", shown(name));
        header.wrong_with_help(
            message,
            "write letters, digits and `-`: `X-Api-Key`",
            problems,
        );
        return None;
    }
    Some(ClientKey::Header(name.to_owned()))
}

/// Fewer would forget each other at once.
const CLIENTS_MIN: u32 = 1024;
/// 16 MiB for each limit.
const CLIENTS_MAX: u32 = 1_048_576;
const FIELD_NAME_BYTES_MAX: usize = 64;
