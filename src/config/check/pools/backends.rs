//! The backends of a pool: those that are written, and where others come from.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::check::values::{self, Use, duration_or, number_or};
use crate::config::file::{Kind, NodeId};
use crate::config::reader::{Fields, Value, check_each, name_objection};
use crate::config::report::{Problems, shown};
use crate::config::{BackendConfig, BackendMode, Follow, NamedBackend, Origin, Tier};

/// One entry of `backends`.
#[derive(Debug)]
enum Entry {
    Address(BackendConfig),
    Name(NamedBackend),
}

/// What an entry says besides where it is.
#[derive(Clone, Copy, Debug)]
struct Share {
    weight: u16,
    requests: Option<u32>,
    tier: Tier,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            weight: 1,
            requests: None,
            tier: Tier::Primary,
        }
    }
}

/// Checks `backends`, `backends_file` and `resolve`.
pub(super) fn check(
    pool: &str,
    fields: &Fields<'_>,
    endpoints: &mut Vec<(String, NodeId, SocketAddr)>,
    problems: &mut Problems,
) -> Option<(Vec<BackendConfig>, Follow)> {
    let file = fields.get("backends_file").map(|value| {
        let what = "the path of a file with backends";
        values::path(value, what, values::PATH_HELP, problems)
    });
    let value = match &file {
        Some(_) => fields.get("backends"),
        None => Some(fields.need("backends", "{b1: \"192.0.2.10:80\"}", problems)?),
    };
    let entries = value.map_or(Some(Vec::new()), |value| {
        let entries = value.entries("addresses by name", problems)?;
        check_each(entries, |entry| {
            let (at, entry) = check_entry(entry, Place::Pool, problems)?;
            if let Entry::Address(backend) = &entry {
                endpoints.push((pool.to_owned(), at, backend.address));
            }
            Some(entry)
        })
    });
    let interval = check_resolve(fields, problems);
    let entries = entries?;
    let resolves = entries.iter().any(|entry| matches!(entry, Entry::Name(_)));
    if let Some(value) = fields.get("resolve").filter(|_| !resolves) {
        let message = format!("no backend of pool {pool} has a name to resolve");
        let help = "leave `resolve` out, or write a name: `{b1: \"web1.example.org:80\"}`";
        problems.add_with_help(value.key, message, help);
    }
    let (mut backends, mut names) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Address(backend) => backends.push(backend),
            Entry::Name(name) => names.push(name),
        }
    }
    let file = match file {
        Some(path) => Some(path?),
        None => None,
    };
    let follow = Follow {
        file,
        names,
        interval: interval?,
    };
    Some((backends, follow))
}

fn check_resolve(fields: &Fields<'_>, problems: &mut Problems) -> Option<Duration> {
    let default = Follow::default().interval;
    let Some(value) = fields.get("resolve") else {
        return Some(default);
    };
    let fields = value.fields(&["interval"], problems)?;
    duration_or(&fields, "interval", default, RESOLVE_INTERVAL, problems)
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Under `backends`, where it may be a name that is looked up.
    Pool,
    /// In a map of a file.
    FileMap,
    /// In a list of a file, where it may say what it is called.
    FileList,
}

/// Checks a backend that a file has by its name.
pub(super) fn check_entry_of_file(
    entry: Value<'_>,
    problems: &mut Problems,
) -> Option<BackendConfig> {
    match check_entry(entry, Place::FileMap, problems)? {
        (_, Entry::Address(backend)) => Some(backend),
        (_, Entry::Name(_)) => None,
    }
}

/// Checks a backend that a file has in a list: called as it says, or by its address.
pub(super) fn check_item(entry: Value<'_>, problems: &mut Problems) -> Option<BackendConfig> {
    let said = entry.entry("name").map(|name| {
        let text = name.text("the name of a backend", problems)?;
        if let Some(help) = name_objection(text) {
            let message = format!("`{}` cannot be a name", shown(text));
            name.wrong_with_help(message, help, problems);
        }
        Some(text.to_owned())
    });
    let Entry::Address(mut backend) = check_entry(entry, Place::FileList, problems)?.1 else {
        return None;
    };
    backend.name = match said {
        Some(name) => name?,
        None => backend.address.to_string(),
    };
    Some(backend)
}

fn check_entry(entry: Value<'_>, place: Place, problems: &mut Problems) -> Option<(NodeId, Entry)> {
    let (value, share) = match &entry.node.kind {
        Kind::Map(_) => {
            let known: &[&str] = match place {
                Place::Pool | Place::FileMap => &["address", "weight", "requests", "backup"],
                Place::FileList => &["name", "address", "weight", "requests", "backup"],
            };
            let fields = entry.fields(known, problems)?;
            let value = fields.need("address", "\"192.0.2.10:80\"", problems);
            (value, check_share(&fields, problems))
        }
        Kind::Null
        | Kind::Bool(_)
        | Kind::Int(_)
        | Kind::Float(_)
        | Kind::Text(_)
        | Kind::List(_) => (Some(entry), Some(Share::default())),
    };
    let value = value?;
    let name = entry.name.to_owned();
    if place == Place::Pool
        && let Kind::Text(text) = &value.node.kind
        && let Some((host, port)) = host_and_port(text)
    {
        let share = share?;
        let named = NamedBackend {
            name,
            host: host.to_owned(),
            port,
            weight: share.weight,
            requests: share.requests,
            tier: share.tier,
        };
        return Some((value.at(), Entry::Name(named)));
    }
    let address = values::socket_addr(value, Use::Backend, problems)?;
    let share = share?;
    let backend = BackendConfig {
        name,
        address,
        weight: share.weight,
        requests: share.requests,
        mode: BackendMode::Up,
        tier: share.tier,
        origin: Origin::Written,
    };
    Some((value.at(), Entry::Address(backend)))
}

fn check_share(fields: &Fields<'_>, problems: &mut Problems) -> Option<Share> {
    let weight = number_or(fields, "weight", 1, 1..=WEIGHT_MAX, problems);
    let requests = check_requests(fields, problems);
    let backup = values::flag(fields, "backup", false, problems);
    Some(Share {
        weight: u16::try_from(weight?).ok()?,
        requests: requests?,
        tier: match backup? {
            true => Tier::Backup,
            false => Tier::Primary,
        },
    })
}

/// Returns a name that can be looked up, and a port; an address is none.
fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port: u16 = port.parse().ok().filter(|port| *port != 0 && digits)?;
    // What ends in a number is meant as an address, as browsers have it.
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next()?;
    let is_address = last.bytes().all(|byte| byte.is_ascii_digit());
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let ends = !label.starts_with('-') && !label.ends_with('-');
        (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(inner) && ends
    };
    let good = name.len() <= HOST_BYTES_MAX && !is_address && name.split('.').all(is_label);
    good.then_some((host, port))
}

/// The requests in progress at once; `Some(None)` where there is no limit.
fn check_requests(fields: &Fields<'_>, problems: &mut Problems) -> Option<Option<u32>> {
    let Some(value) = fields.get("requests") else {
        return Some(None);
    };
    match &value.node.kind {
        Kind::Int(number) if *number > 0 => value.number(1, REQUESTS_MAX, problems).map(Some),
        Kind::Int(_)
        | Kind::Null
        | Kind::Bool(_)
        | Kind::Float(_)
        | Kind::Text(_)
        | Kind::List(_)
        | Kind::Map(_) => {
            let message = format!("requests must be a number between 1 and {REQUESTS_MAX}");
            value.wrong_with_help(message, REQUESTS_HELP, problems);
            None
        }
    }
}

const REQUESTS_HELP: &str =
    "leave `requests` out where there is no limit; `health_check` keeps requests from a backend";
pub(super) const WEIGHT_MAX: u32 = 256;
/// As many as there can be client connections.
pub(super) const REQUESTS_MAX: u32 = 10_000_000;
/// More often would burden the resolver, less often is no following.
const RESOLVE_INTERVAL: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3600);
/// RFC 1035 §2.3.4.
const LABEL_BYTES_MAX: usize = 63;
const HOST_BYTES_MAX: usize = 253;
