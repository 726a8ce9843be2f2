//! How far a child is believed: as far as the configuration goes.
//!
//! A child may be in the hands of a stranger who came over the network. What it says passes here
//! first: names must be configured, numbers of things bounded, descriptors what they are said to
//! be, questions asked before they are answered; text is cut and made printable. What cannot be
//! believed ends the child, because a child that is well never says it. What a child can always do
//! is to say that it is worse than it is.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use socket2::{Domain, Protocol, SockRef, Type};

use crate::config::track::Source;
use crate::config::{Config, ListenerConfig, TrackConfig};
use crate::ipc::channel::Bounds;
use crate::ipc::log_line::{self, printable};
use crate::ipc::message::{
    Followed, FromAdmin, FromKeys, FromNames, FromProxy, FromVrrp, PoolHealth, SocketKey,
};
use crate::model::{Family, RouterName};

/// What the configuration knows, and so the most that a child can say.
#[derive(Debug)]
pub(super) struct Belief {
    routers: BTreeSet<RouterName>,
    interfaces: BTreeSet<String>,
    followed: BTreeSet<Followed>,
    listeners: BTreeMap<String, Shown>,
    pools: BTreeMap<String, BTreeSet<String>>,
}

/// What makes the status of a listener long.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    binds: usize,
    routes_bytes: usize,
}

impl Shown {
    fn of(listener: &ListenerConfig) -> Self {
        let routes = listener.routes.iter();
        let routes = routes.map(|it| ROUTE_BYTES + it.name.len() + it.pool().map_or(0, str::len));
        Self {
            binds: listener.binds.len(),
            routes_bytes: routes.sum(),
        }
    }
}

/// Returns what of this the vrrp process observes.
fn followed(track: &TrackConfig) -> impl Iterator<Item = Followed> {
    track
        .conditions
        .iter()
        .filter_map(|condition| match &condition.source {
            Source::Interface(name) => Some(Followed::Interface(name.clone())),
            Source::Gateway(label) => Some(Followed::Gateway(label.clone())),
            Source::Proxy
            | Source::Pool(_)
            | Source::Script(_)
            | Source::File(_)
            | Source::Process(_) => None,
        })
}

/// Why a message is not believed, for people.
pub(super) type Disbelief = String;

impl Belief {
    /// Returns what children of this configuration may say.
    pub(super) fn new(config: &Config) -> Self {
        let routers = config.virtual_routers.iter();
        let listeners = config.listeners.iter();
        let pools = config.pools.iter().map(|pool| {
            let names = pool.backends.iter().map(|backend| backend.name.clone());
            (pool.name.clone(), names.collect())
        });
        Self {
            interfaces: (routers.clone().map(|router| router.interface.clone())).collect(),
            followed: routers
                .clone()
                .flat_map(|router| followed(&router.track))
                .collect(),
            routers: routers.map(|router| router.name.clone()).collect(),
            listeners: listeners
                .map(|listener| (listener.name.clone(), Shown::of(listener)))
                .collect(),
            pools: pools.collect(),
        }
    }

    /// Returns what children may say that are between two configurations.
    pub(super) fn of_either(one: &Config, other: &Config) -> Self {
        let (mut both, other) = (Self::new(one), Self::new(other));
        both.routers.extend(other.routers);
        both.interfaces.extend(other.interfaces);
        both.followed.extend(other.followed);
        for (name, shown) in other.listeners {
            let known = both.listeners.entry(name).or_default();
            known.binds = shown.binds.max(known.binds);
            known.routes_bytes = shown.routes_bytes.max(known.routes_bytes);
        }
        for (name, backends) in other.pools {
            both.pools.entry(name).or_default().extend(backends);
        }
        both
    }

    /// Returns what is taken from the vrrp process at most.
    pub(super) fn vrrp_bounds(&self) -> Bounds {
        let router_bytes = ROUTER_BYTES + PEERS_MAX * (PEER_BYTES + ADDRESSES_MAX * ADDRESS_BYTES);
        Bounds {
            file_bytes: FRAME_BYTES + self.routers.len() * router_bytes,
            descriptors: (self.interfaces.len() * 2).min(DESCRIPTORS_A_MESSAGE),
        }
    }

    /// Returns what is taken from the proxy at most. It lends nothing.
    pub(super) fn proxy_bounds(&self) -> Bounds {
        let listeners = self.listeners.iter();
        let pools = self.pools.iter();
        let listeners: usize = listeners
            .map(|(name, shown)| {
                let binds = shown.binds * ADDRESS_BYTES;
                LISTENER_BYTES + name.len() + binds + shown.routes_bytes
            })
            .sum();
        let pools: usize = pools
            .map(|(name, backends)| {
                let backends = backends.iter().map(|name| BACKEND_BYTES + name.len());
                POOL_BYTES + name.len() + backends.sum::<usize>()
            })
            .sum();
        Bounds {
            file_bytes: FRAME_BYTES + listeners + pools,
            descriptors: 0,
        }
    }

    /// Returns a message of the vrrp process as far as it can be believed; `last_asked` is the id
    /// of the last question.
    pub(super) fn of_vrrp(
        &self,
        message: FromVrrp,
        descriptors: &[OwnedFd],
        last_asked: u64,
    ) -> Result<FromVrrp, Disbelief> {
        match &message {
            FromVrrp::KeepSockets { sockets, .. } => self.check_sockets(sockets, descriptors)?,
            FromVrrp::Beat { .. }
            | FromVrrp::Lacking(_)
            | FromVrrp::Ready
            | FromVrrp::Prepared { .. }
            | FromVrrp::Committed { .. }
            | FromVrrp::Transition(_)
            | FromVrrp::Status { .. }
            | FromVrrp::Observed { .. }
            | FromVrrp::Log(_)
            | FromVrrp::HandedOver
            | FromVrrp::Stopped => check_none(descriptors)?,
        }
        match message {
            FromVrrp::Beat { active } => {
                self.check_routers(active.iter().map(|role| &role.router))?;
                Ok(FromVrrp::Beat { active })
            }
            FromVrrp::Transition(mut report) => {
                self.check_routers([&report.router])?;
                report.cause = printable(&report.cause);
                Ok(FromVrrp::Transition(report))
            }
            FromVrrp::Status {
                id,
                routers,
                statistics,
            } => {
                check_asked(id, last_asked)?;
                self.check_routers(routers.iter().map(|router| &router.name))?;
                Ok(FromVrrp::Status {
                    id,
                    routers: tidied(routers)?,
                    statistics: tidied(statistics)?,
                })
            }
            FromVrrp::Lacking(what) => Ok(FromVrrp::Lacking(few(what))),
            FromVrrp::Observed { what, well } if self.followed.contains(&what) => {
                Ok(FromVrrp::Observed { what, well })
            }
            FromVrrp::Observed { what, .. } => Err(format!("{what:?} is not followed")),
            FromVrrp::Log(line) => Ok(FromVrrp::Log(line.bounded())),
            FromVrrp::Prepared {
                generation,
                refused,
            } => Ok(FromVrrp::Prepared {
                generation,
                refused: refused.as_deref().map(printable),
            }),
            message @ (FromVrrp::KeepSockets { .. }
            | FromVrrp::Ready
            | FromVrrp::Committed { .. }
            | FromVrrp::HandedOver
            | FromVrrp::Stopped) => Ok(message),
        }
    }

    /// Returns a message of the proxy as far as it can be believed; `last_asked` is the id of the
    /// last question.
    pub(super) fn of_proxy(
        &self,
        message: FromProxy,
        descriptors: &[OwnedFd],
        last_asked: u64,
    ) -> Result<FromProxy, Disbelief> {
        check_none(descriptors)?;
        match message {
            FromProxy::Health(health) => {
                self.check_health(&health)?;
                Ok(FromProxy::Health(health))
            }
            FromProxy::Status {
                id,
                listeners,
                pools,
                access_log,
                warnings,
            } => {
                check_asked(id, last_asked)?;
                let names = listeners.iter().map(|listener| &listener.name);
                check_names("listener", names, |name| self.listeners.contains_key(name))?;
                let names = pools.iter().map(|pool| &pool.name);
                check_names("pool", names, |name| self.pools.contains_key(name))?;
                for pool in &pools {
                    let names = pool.backends.iter().map(|backend| &backend.name);
                    check_names("backend", names, |name| {
                        self.pools[&pool.name].contains(name)
                    })?;
                }
                Ok(FromProxy::Status {
                    id,
                    listeners: tidied(listeners)?,
                    pools: tidied(pools)?,
                    access_log: tidied(access_log)?,
                    warnings: few(warnings),
                })
            }
            FromProxy::Lacking(what) => Ok(FromProxy::Lacking(few(what))),
            FromProxy::Log(line) => Ok(FromProxy::Log(line.bounded())),
            FromProxy::Stuck { thread, doing } => Ok(FromProxy::Stuck {
                thread,
                doing: printable(&doing),
            }),
            FromProxy::Prepared {
                generation,
                refused,
            } => Ok(FromProxy::Prepared {
                generation,
                refused: refused.as_deref().map(printable),
            }),
            message @ (FromProxy::Beat { .. }
            | FromProxy::Ready
            | FromProxy::Committed { .. }
            | FromProxy::Drained) => Ok(message),
        }
    }

    /// Returns a message of the process that keeps keys as far as it can be believed; what it may
    /// say does not depend on the configuration.
    pub(super) fn of_keys(
        message: FromKeys,
        descriptors: &[OwnedFd],
    ) -> Result<FromKeys, Disbelief> {
        check_none(descriptors)?;
        match message {
            FromKeys::Lacking(what) => Ok(FromKeys::Lacking(few(what))),
            FromKeys::SecretsRefused(why) => Ok(FromKeys::SecretsRefused(printable(&why))),
            FromKeys::Log(line) => Ok(FromKeys::Log(line.bounded())),
            message @ (FromKeys::Beat | FromKeys::Secrets(_)) => Ok(message),
        }
    }

    /// As [`of_keys`](Self::of_keys), of the process that looks names up; what it answers comes
    /// over lines of its own.
    pub(super) fn of_names(
        message: FromNames,
        descriptors: &[OwnedFd],
    ) -> Result<FromNames, Disbelief> {
        check_none(descriptors)?;
        match message {
            FromNames::Lacking(what) => Ok(FromNames::Lacking(few(what))),
            FromNames::Replaced(path) => Ok(FromNames::Replaced(printable(&path))),
            FromNames::Log(line) => Ok(FromNames::Log(line.bounded())),
            message @ FromNames::Beat => Ok(message),
        }
    }

    /// As [`of_keys`](Self::of_keys), of the process that operators look at; what it asks comes
    /// over lines of its own.
    pub(super) fn of_admin(
        message: FromAdmin,
        descriptors: &[OwnedFd],
    ) -> Result<FromAdmin, Disbelief> {
        check_none(descriptors)?;
        match message {
            FromAdmin::Lacking(what) => Ok(FromAdmin::Lacking(few(what))),
            FromAdmin::Log(line) => Ok(FromAdmin::Log(line.bounded())),
            message @ FromAdmin::Beat => Ok(message),
        }
    }

    fn check_routers<'a>(
        &self,
        names: impl IntoIterator<Item = &'a RouterName>,
    ) -> Result<(), Disbelief> {
        check_names("virtual router", names, |name| self.routers.contains(name))
    }

    fn check_health(&self, health: &PoolHealth) -> Result<(), Disbelief> {
        let Some(backends) = self.pools.get(&health.pool) else {
            return Err(unknown("pool", &health.pool));
        };
        check_names("backend", health.backends.keys(), |name| {
            backends.contains(name)
        })
    }

    /// Holds every descriptor to be a VRRP socket of the family it is said to be of. There may be
    /// fewer than keys: this process had no room for more.
    fn check_sockets(&self, keys: &[SocketKey], sockets: &[OwnedFd]) -> Result<(), Disbelief> {
        if sockets.len() > keys.len() {
            return Err("more sockets than it names".into());
        }
        let mut seen = BTreeSet::new();
        for key in keys {
            if !self.interfaces.contains(&key.interface) {
                return Err(unknown("interface", &key.interface));
            }
            if !seen.insert((&key.interface, key.family)) {
                return Err(format!("interface {} twice", key.interface));
            }
        }
        for (key, socket) in keys.iter().zip(sockets) {
            if !is_vrrp_socket(socket, key.family) {
                let interface = &key.interface;
                return Err(format!(
                    "what it lends for interface {interface} is no VRRP socket"
                ));
            }
        }
        Ok(())
    }
}

/// Puts sockets to keep beside those that are kept, or in their place: one for each interface and
/// family.
pub(super) fn keep_sockets(
    kept: &mut Vec<(SocketKey, OwnedFd)>,
    keys: Vec<SocketKey>,
    sockets: Vec<OwnedFd>,
) {
    for (key, socket) in keys.into_iter().zip(sockets) {
        kept.retain(|(old, _)| (&old.interface, old.family) != (&key.interface, key.family));
        kept.push((key, socket));
    }
}

fn is_vrrp_socket(socket: &OwnedFd, family: Family) -> bool {
    let socket = SockRef::from(socket);
    let domain = match family {
        Family::Ipv4 => Domain::IPV4,
        Family::Ipv6 => Domain::IPV6,
    };
    socket.domain().is_ok_and(|found| found == domain)
        && socket.r#type().is_ok_and(|found| found == Type::RAW)
        && socket
            .protocol()
            .is_ok_and(|found| found == Some(Protocol::from(VRRP_PROTOCOL)))
}

/// Holds names to be known, each at most once.
fn check_names<'a, N: Ord + std::fmt::Debug + 'a>(
    what: &str,
    names: impl IntoIterator<Item = &'a N>,
    is_known: impl Fn(&N) -> bool,
) -> Result<(), Disbelief> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !is_known(name) {
            return Err(unknown(what, name));
        }
        if !seen.insert(name) {
            return Err(format!("{what} {} twice", shown(name)));
        }
    }
    Ok(())
}

fn check_asked(id: u64, last_asked: u64) -> Result<(), Disbelief> {
    // An answer that comes late was asked for nevertheless.
    if id == 0 || id > last_asked {
        return Err("a status that nobody asked for".into());
    }
    Ok(())
}

fn check_none(descriptors: &[OwnedFd]) -> Result<(), Disbelief> {
    if descriptors.is_empty() {
        Ok(())
    } else {
        Err("descriptors with a message that has none".into())
    }
}

fn unknown(what: &str, name: &impl std::fmt::Debug) -> Disbelief {
    format!("{what} {}, which is not configured", shown(name))
}

fn shown(name: &impl std::fmt::Debug) -> String {
    let mut text = format!("{name:?}");
    log_line::cut(&mut text, NAME_BYTES_SHOWN);
    text
}

/// Returns the first of what a process says it lacks.
fn few(what: Vec<String>) -> Vec<String> {
    let few = what.iter().take(LACKING_MAX);
    few.map(|what| printable(what)).collect()
}

/// Returns a structure with every text in it, keys included, made [`printable`].
fn tidied<T: Serialize + DeserializeOwned>(structure: T) -> Result<T, Disbelief> {
    let value = serde_json::to_value(structure).map_err(|error| error.to_string())?;
    serde_json::from_value(tidied_value(value)).map_err(|error| error.to_string())
}

fn tidied_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(printable(&text)),
        Value::Array(values) => values.into_iter().map(tidied_value).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (printable(&name), tidied_value(value)))
            .collect(),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
    }
}

/// VRRP's number among the protocols of IP (RFC 9568 §5.1.1.4).
const VRRP_PROTOCOL: i32 = 112;
/// As many sockets as the vrrp process puts into a message.
const DESCRIPTORS_A_MESSAGE: usize = 200;
/// Any message beside what grows with the configuration.
const FRAME_BYTES: usize = 64 * 1024;
/// The status of a virtual router, its counters, addresses and notes included; what it says of
/// peers aside.
const ROUTER_BYTES: usize = 32 * 1024;
/// A peer of it beside the addresses that it lists.
const PEER_BYTES: usize = 1_024;
/// As many peers as the vrrp process remembers, and as many addresses as a packet has room for.
const PEERS_MAX: usize = 16;
const ADDRESSES_MAX: usize = 255;
/// An address and its port in JSON.
const ADDRESS_BYTES: usize = 64;
const LISTENER_BYTES: usize = 4 * 1024 + TIMES_BYTES;
/// A histogram, each of its counters as long as a counter can be.
const TIMES_BYTES: usize = 512;
/// A route beside its names.
const ROUTE_BYTES: usize = 256 + TIMES_BYTES;
const POOL_BYTES: usize = 2 * 1024 + TIMES_BYTES;
/// The status of a backend; what its last probe said is most of it.
const BACKEND_BYTES: usize = 8 * 1024;
/// How much of a name that is not believed is shown.
const NAME_BYTES_SHOWN: usize = 80;
/// So many things may one process lack.
pub(super) const LACKING_MAX: usize = 16;

#[cfg(test)]
mod tests;
