//! The tree to a [`Config`], or to all errors at once.
//!
//! Parse, don't validate: a value is turned into its checked type once, here, and nobody asks
//! again. A wrong value does not stop the check; it only withholds the part of the configuration
//! that it belongs to. Each section has its file; `values` has what they share: durations,
//! addresses, names.

mod addresses;
mod listeners;
mod clients;
mod operators;
mod parameters;
mod pools;
mod routers;
mod synchronize;
mod taken;
mod tls;
mod values;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use self::listeners::Log;
use self::values::{Dur, Use};
use super::file::{self, Key, Kind, Node, NodeId};
use super::reader::{Fields, Value, is_name, name_objection};
use super::report::{Problems, shown};
use super::{Config, ErrorPages, ProxyConfig};
use crate::model::Network;

pub use self::pools::backends_file::{
    FILE_BACKENDS_MAX, addresses_of_a_name, backends_of_file, backends_of_name,
};
pub use super::report::ConfigErrors;

/// Who this machine is, in the order of precedence: `Given` wins over the file, the file over
/// `HostName`.
#[derive(Clone, Copy, Debug)]
pub enum NodeName<'a> {
    /// `--node lb1`.
    Given(&'a str),
    /// The host's name, used where the file has no `node`.
    HostName(&'a str),
}

/// Checks the text of a configuration for `node` (used where the text has no `node` key); `path` is
/// only printed.
///
/// # Errors
/// All that is wrong with the text, each with its place.
pub fn parse(path: &str, text: &str, node: NodeName<'_>) -> Result<Config, ConfigErrors> {
    // Some editors put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (root, count) =
        file::read(text).map_err(|error| ConfigErrors::syntax(path, text, &error))?;
    let mut problems = Problems::default();
    match check(&root, node, &mut problems) {
        Some(config) if problems.is_empty() => Ok(config),
        Some(_) | None => Err(problems.into_errors(path, text, &root, count)),
    }
}

/// Returns why a pool of a checked configuration cannot have one more backend of this name and
/// address, by the rules that a file is held to; `None` where it can.
pub fn backend_objection(
    config: &Config,
    pool: &str,
    name: &str,
    address: SocketAddr,
) -> Option<String> {
    if let Some(help) = name_objection(name) {
        return Some(format!("`{}` cannot be a name: {help}", shown(name)));
    }
    address_objection(config, pool, address)
}

/// Returns whether a backend can have an address, whatever its port.
pub fn is_of_backend(address: IpAddr) -> bool {
    values::objection(SocketAddr::new(address, 1), Use::Backend).is_none()
}

/// Returns why no backend of a pool of a checked configuration can be at an address; `None` where
/// one can.
pub fn address_objection(config: &Config, pool: &str, address: SocketAddr) -> Option<String> {
    if let Some(why) = values::objection(address, Use::Backend) {
        return Some(format!("`{address}`: {why}"));
    }
    let listener = listeners::loop_by(config, pool, address)?;
    Some(format!(
        "{address} is where listener `{listener}` itself listens: a backend is another server"
    ))
}

/// Returns the addresses that `10.0.0.0/8` or `192.0.2.1` stands for.
pub fn network(text: &str) -> Option<Network> {
    clients::network(text)
}

/// Returns a span of time as it is written in a file: `10ms`, `1.5s`, `2m`, `1h`; `None` where a
/// text is none.
pub fn duration(text: &str) -> Option<Duration> {
    Dur::parse(text).map(|Dur(duration)| duration)
}

fn check(root: &Node, node: NodeName<'_>, problems: &mut Problems) -> Option<Config> {
    let entries: &[(Key, Node)] = match &root.kind {
        Kind::Map(entries) => entries,
        Kind::Null => &[],
        Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) | Kind::Text(_) | Kind::List(_) => {
            problems.add_with_help(
                root.id,
                "a configuration is a map of sections",
                SECTIONS_HELP,
            );
            return None;
        }
    };
    let file = Fields::new("the file", root.id, entries, SECTIONS, problems);
    if file.get("virtual_routers").is_none() && file.get("listeners").is_none() {
        let message = "neither `virtual_routers` nor `listeners` is here: nothing to do";
        problems.add_with_help(None, message, SECTIONS_HELP);
    }
    let node = check_node(file.get("node"), node, problems);
    let scripts = file
        .get("track_scripts")
        .map(|section| routers::check_scripts(section, problems));
    let scripts = scripts.unwrap_or_default();
    let pools = file
        .get("pools")
        .map(|section| pools::check(section, file.get("listeners"), problems));
    let pools = pools.unwrap_or_else(|| Some(pools::Pools::default()));
    let known = routers::Known {
        scripts: &scripts,
        pools: pools.as_ref(),
    };
    let entries = file
        .get("virtual_routers")
        .map_or(Some(Vec::new()), |section| {
            routers::check(section, node.as_deref(), known, problems)
        });
    let group = tls::check_group(&file, problems);
    let access_log = file
        .get("access_log")
        .map(|section| operators::check_access_log(section, problems));
    let log = match access_log {
        Some(_) => Log::Here,
        None => Log::None,
    };
    let mut listeners = file.get("listeners").map_or(Some(Vec::new()), |section| {
        listeners::check(section, entries.as_deref(), pools.as_ref(), log, problems)
    });
    let proxy = file
        .get("proxy")
        .map_or(Some(Default::default()), |section| {
            check_proxy(section, problems)
        });
    let (proxy, common) = proxy.unzip();
    for listener in listeners.iter_mut().flatten() {
        listener.error_pages.complete_by(common.as_ref()?);
    }
    let admin = file
        .get("admin")
        .map(|section| operators::check_admin(section, listeners.as_deref(), problems));
    let routers: Option<Vec<_>> = entries?.into_iter().map(|entry| entry.routers).collect();
    Some(Config {
        node: node?,
        virtual_routers: routers?.into_iter().flatten().collect(),
        track_scripts: scripts.checked,
        listeners: listeners?,
        pools: pools?.checked?,
        proxy: proxy?,
        access_log: if_there(access_log)?,
        group: group?,
        admin: if_there(admin)?,
    })
}

/// Returns a section that is there, as far as it is right; one that is not there is right.
fn if_there<T>(checked: Option<Option<T>>) -> Option<Option<T>> {
    match checked {
        None => Some(None),
        Some(checked) => checked.map(Some),
    }
}

/// The name given wins over the file, the file over the host's name; all that are used must be
/// names.
fn check_node(
    in_file: Option<Value<'_>>,
    node: NodeName<'_>,
    problems: &mut Problems,
) -> Option<String> {
    let in_file = match in_file {
        None => None,
        Some(value) => {
            let text = value.text("the name of a node", problems)?;
            let good = checked_node(text, value.at(), "node", problems)?;
            Some(good)
        }
    };
    match node {
        NodeName::Given(name) => checked_node(name, None, "the name given with --node", problems),
        NodeName::HostName(name) => in_file.or_else(|| {
            checked_node(
                name,
                None,
                "the host's name, used for want of `node`,",
                problems,
            )
        }),
    }
}

fn checked_node(
    name: &str,
    at: impl Into<Option<NodeId>>,
    what: &str,
    problems: &mut Problems,
) -> Option<String> {
    if is_name(name, HOST_NAME_CHARS_MAX) {
        return Some(name.to_owned());
    }
    let message = format!("{what} cannot be `{}`", shown(name));
    problems.add_with_help(
        at,
        message,
        "a node's name is letters, digits, `.`, `_` and `-`",
    );
    None
}

/// Returns the proxy as a whole, and the error pages of all listeners.
fn check_proxy(section: Value<'_>, problems: &mut Problems) -> Option<(ProxyConfig, ErrorPages)> {
    let default = ProxyConfig::default();
    let fields = section.fields(PROXY_KEYS, problems)?;
    let threads = match fields.get("threads") {
        None => None,
        Some(value) => Some(value.number(1, THREADS_MAX, problems)?),
    };
    let drain = match fields.get("timeouts") {
        None => Some(default.drain),
        Some(value) => {
            let fields = value.fields(&["drain"], problems)?;
            let range = Duration::from_millis(1)..=DRAIN_MAX;
            values::duration_or(&fields, "drain", default.drain, range, problems)
        }
    };
    let (connections, connection_bytes) = match fields.get("limits") {
        None => (Some(default.connections), Some(default.connection_bytes)),
        Some(value) => {
            let fields = value.fields(&["connections", "connection_bytes"], problems)?;
            let mut read =
                |key, default, range| values::number_or(&fields, key, default, range, problems);
            (
                read("connections", default.connections, 1..=CONNECTIONS_MAX),
                read(
                    "connection_bytes",
                    default.connection_bytes,
                    CONNECTION_BYTES,
                ),
            )
        }
    };
    let error_pages = listeners::pages::check_error_pages(&fields, problems);
    let proxy = ProxyConfig {
        threads: threads.and_then(|n| u16::try_from(n).ok()),
        drain: drain?,
        connections: connections?,
        connection_bytes: connection_bytes?,
    };
    Some((proxy, error_pages?))
}

const SECTIONS: &[&str] = &[
    "node",
    "virtual_routers",
    "track_scripts",
    "listeners",
    "pools",
    "proxy",
    "access_log",
    "group",
    "admin",
];

const PROXY_KEYS: &[&str] = &["threads", "timeouts", "limits", "error_pages"];

const SECTIONS_HELP: &str =
    "write `virtual_routers:` or `listeners:`; evenkeel.yaml(5) shows a whole file";

/// The longest name a host can have (RFC 1035 §2.3.4).
const HOST_NAME_CHARS_MAX: usize = 253;

/// Each has a socket of every listener, and all of a listener are passed in one message.
pub const THREADS_MAX: u32 = 250;

/// The unit's time to stop must be longer.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// More connections than this are a mistake.
const CONNECTIONS_MAX: u32 = 10_000_000;

/// Less would make every body slow, more is never read at once.
const CONNECTION_BYTES: std::ops::RangeInclusive<u32> = 16 * 1024..=256 * 1024;
