//! What a route asks of a request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::asked::Asked;
use super::parameters::Parameters;
use crate::model::Network;

/// What a request must be for a route; all must hold, and what is empty always does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// One of these hosts.
    pub hosts: Vec<HostPattern>,
    /// This path.
    pub path: Option<PathPattern>,
    /// One of these methods; their case matters (RFC 9110 §9.1).
    pub methods: Vec<String>,
    /// Each of these fields.
    pub fields: Vec<FieldCondition>,
    /// Each of these parameters of the query.
    pub query: Vec<QueryCondition>,
    /// A client of one of these networks.
    pub clients: Vec<Network>,
}

/// A host, or many of them; in lower case, without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `example.org`, an IPv4 address, or an IPv6 address in brackets.
    Exact(String),
    /// `*.example.org`: every name under this one, of one label or more; without the star and dot.
    Under(String),
}

/// A path, or many of them, in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// This one alone.
    Exact(String),
    /// This one, and what is below it: `/a` has `/a` and `/a/b` and not `/ab`; `/a/` has `/a/b` and
    /// not `/a`.
    Prefix(String),
}

/// A field of the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldCondition {
    /// Its name; the case of letters does not matter.
    pub name: String,
    /// One of its lines is this; `None`: there is one.
    pub value: Option<String>,
}

/// A parameter of the query (`a=1&b=2`); compared as written, without decoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryCondition {
    /// What stands before `=`.
    pub name: String,
    /// What stands behind it; `None`: anything, or no `=`.
    pub value: Option<String>,
}

/// Which clients a route is for; others are turned away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// All.
    #[default]
    Everybody,
    /// `allow`, or `deny: {except: ...}`: those of these networks.
    Only(Vec<Network>),
    /// `deny`: all but those of these networks.
    AllBut(Vec<Network>),
}

impl Access {
    /// Returns whether a client is let through.
    pub fn allows(&self, client: IpAddr) -> bool {
        let is_in = |networks: &[Network]| networks.iter().any(|it| it.contains(client));
        match self {
            Self::Everybody => true,
            Self::Only(networks) => is_in(networks),
            Self::AllBut(networks) => !is_in(networks),
        }
    }

    /// Returns whether every client of these networks is turned away; of none: every client.
    pub fn denies_all_of(&self, networks: &[Network]) -> bool {
        let everybody = [
            Network {
                address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                prefix_len: 0,
            },
            Network {
                address: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                prefix_len: 0,
            },
        ];
        let clients = match networks {
            [] => &everybody,
            networks => networks,
        };
        match self {
            Self::Everybody => false,
            // Two networks are apart, or one is within the other.
            Self::Only(let_through) => clients.iter().all(|client| {
                let mut all = let_through.iter();
                !all.any(|it| is_within(client, it) || is_within(it, client))
            }),
            Self::AllBut(denied) => clients
                .iter()
                .all(|client| denied.iter().any(|it| is_within(client, it))),
        }
    }
}

impl Conditions {
    /// Returns whether all hold.
    pub fn hold(&self, asked: &Asked<'_>) -> bool {
        self.hold_with(asked, &Parameters::new(asked.query))
    }

    /// Returns the same, where the parameters of the query are wanted for other routes too.
    pub(super) fn hold_with(&self, asked: &Asked<'_>, parameters: &Parameters<'_>) -> bool {
        let is = |hosts: &[HostPattern]| hosts.iter().any(|host| host.is(asked.host));
        let path = self.path.as_ref();
        (self.hosts.is_empty() || is(&self.hosts))
            && path.is_none_or(|path| path.covers(asked.path))
            && (self.methods.is_empty() || self.methods.iter().any(|it| it == asked.method))
            && (self.clients.is_empty() || self.clients.iter().any(|it| it.contains(asked.client)))
            && self
                .fields
                .iter()
                .all(|field| (asked.has_field)(&field.name, field.value.as_deref()))
            && self
                .query
                .iter()
                .all(|query| parameters.have(&query.name, query.value.as_deref()))
    }

    /// Returns whether every request that fits `other` fits these.
    pub fn cover(&self, other: &Self) -> bool {
        let hosts = self.hosts.is_empty()
            || !other.hosts.is_empty()
                && other
                    .hosts
                    .iter()
                    .all(|inner| self.hosts.iter().any(|outer| outer.covers(inner)));
        let path = match (&self.path, &other.path) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(outer), Some(inner)) => outer.covers_pattern(inner),
        };
        let methods = self.methods.is_empty()
            || !other.methods.is_empty()
                && other.methods.iter().all(|it| self.methods.contains(it));
        let clients = self.clients.is_empty()
            || !other.clients.is_empty()
                && other
                    .clients
                    .iter()
                    .all(|inner| self.clients.iter().any(|outer| is_within(inner, outer)));
        let fields = self.fields.iter().all(|outer| {
            other.fields.iter().any(|inner| {
                outer.name.eq_ignore_ascii_case(&inner.name)
                    && (outer.value.is_none() || outer.value == inner.value)
            })
        });
        let query = self.query.iter().all(|outer| {
            other.query.iter().any(|inner| {
                outer.name == inner.name && (outer.value.is_none() || outer.value == inner.value)
            })
        });
        hosts && path && methods && clients && fields && query
    }
}

/// Returns whether every address of a network is one of another's.
pub(super) fn is_within(inner: &Network, outer: &Network) -> bool {
    inner.prefix_len >= outer.prefix_len && outer.contains(inner.address)
}

impl HostPattern {
    /// Returns whether a host, without a port, is one of them; the case of its letters and a dot at
    /// its end do not matter.
    pub fn is(&self, host: &[u8]) -> bool {
        let host = host.strip_suffix(b".").unwrap_or(host);
        match self {
            Self::Exact(name) => match (ipv6(host), ipv6(name.as_bytes())) {
                (Some(host), Some(name)) => host == name,
                (Some(_), None) | (None, Some(_)) => false,
                (None, None) => host.eq_ignore_ascii_case(name.as_bytes()),
            },
            Self::Under(name) => host
                .len()
                .checked_sub(name.len() + 1)
                .filter(|&at| at > 0)
                .is_some_and(|at| {
                    host[at] == b'.' && host[at + 1..].eq_ignore_ascii_case(name.as_bytes())
                }),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(outer), Self::Exact(inner)) => outer == inner,
            (Self::Exact(_), Self::Under(_)) => false,
            (Self::Under(_), Self::Exact(inner)) => self.is(inner.as_bytes()),
            (Self::Under(outer), Self::Under(inner)) => outer == inner || self.is(inner.as_bytes()),
        }
    }
}

/// Returns an address in brackets, of which there are many spellings.
pub(super) fn ipv6(host: &[u8]) -> Option<Ipv6Addr> {
    let text = host.strip_prefix(b"[")?.strip_suffix(b"]")?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

impl PathPattern {
    /// Returns whether a path is one of them.
    pub fn covers(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == path,
            Self::Prefix(prefix) => path.strip_prefix(prefix.as_str()).is_some_and(|rest| {
                rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/')
            }),
        }
    }

    fn covers_pattern(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(inner)) => self.covers(inner),
            (Self::Exact(_), Self::Prefix(_)) => false,
            (Self::Prefix(_), Self::Prefix(inner)) => self.covers(inner),
        }
    }
}
