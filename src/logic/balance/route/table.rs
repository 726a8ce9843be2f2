//! The routes of a listener, and the search for the first that fits.

use std::collections::{BTreeMap, BTreeSet};

use super::asked::Asked;
use super::conditions::{Access, Conditions, HostPattern, PathPattern, ipv6};
use super::parameters::Parameters;

/// Routes, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    routes: Vec<(Conditions, Access, Guard)>,
    /// By the hash of a host, rising: the routes that are for it, in order.
    by_host: Vec<(u64, Vec<Key>)>,
    /// The routes that may be for any host.
    others: Vec<Key>,
    looks_at_paths: bool,
}

/// Whether a route answers whom it lets through, or only turns the others away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// It answers.
    Answers,
    /// Whom it lets through goes on to the next route.
    Passes,
}

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This route answers it, by index.
    Route(usize),
    /// This route turns it away.
    Denied(usize),
    /// No route is for it.
    None,
}

/// What a request must have for the conditions of a route to be looked at: the same first bytes of
/// its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    path: u64,
    path_mask: u64,
    /// The route, by index.
    route: usize,
}

impl Table {
    /// Compiles routes.
    pub fn new(routes: impl IntoIterator<Item = (Conditions, Access, Guard)>) -> Self {
        let routes: Vec<_> = routes.into_iter().collect();
        let (mut by_host, mut others) = (BTreeMap::<u64, Vec<Key>>::new(), Vec::new());
        for (index, (conditions, _, _)) in routes.iter().enumerate() {
            let key = Key::of(conditions, index);
            match hashes(&conditions.hosts) {
                None => others.push(key),
                Some(hosts) => hosts
                    .into_iter()
                    .for_each(|host| by_host.entry(host).or_default().push(key)),
            }
        }
        Self {
            by_host: by_host.into_iter().collect(),
            others,
            looks_at_paths: routes.iter().any(|(it, _, _)| it.path.is_some()),
            routes,
        }
    }

    /// Returns whether any route asks for a path.
    pub const fn looks_at_paths(&self) -> bool {
        self.looks_at_paths
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Finds the first route that fits, past those that let the client through to the next.
    pub fn find(&self, asked: &Asked<'_>) -> Found {
        let path = first_bytes(asked.path.as_bytes()).0;
        let parameters = Parameters::new(asked.query);
        let (mut own, mut others) = (self.of_host(asked.host), &*self.others);
        loop {
            // Both are in the order of the file.
            let key = match (own, others) {
                ([], []) => return Found::None,
                ([key, rest @ ..], []) => {
                    own = rest;
                    key
                }
                ([first, rest @ ..], [second, ..]) if first.route < second.route => {
                    own = rest;
                    first
                }
                (_, [key, rest @ ..]) => {
                    others = rest;
                    key
                }
            };
            if path & key.path_mask != key.path {
                continue;
            }
            let (conditions, access, guard) = &self.routes[key.route];
            if !conditions.hold_with(asked, &parameters) {
                continue;
            }
            match (access.allows(asked.client), guard) {
                (false, _) => return Found::Denied(key.route),
                (true, Guard::Answers) => return Found::Route(key.route),
                (true, Guard::Passes) => {}
            }
        }
    }

    fn of_host(&self, host: &[u8]) -> &[Key] {
        if self.by_host.is_empty() {
            return &[];
        }
        let hash = hash(host);
        let found = self.by_host.binary_search_by_key(&hash, |(it, _)| *it);
        found.map_or(&[], |at| &self.by_host[at].1)
    }
}

impl Key {
    fn of(conditions: &Conditions, route: usize) -> Self {
        let (path, path_mask) = match &conditions.path {
            None => (0, 0),
            Some(PathPattern::Prefix(prefix)) => first_bytes(prefix.as_bytes()),
            Some(PathPattern::Exact(exact)) => {
                let (path, mask) = first_bytes(exact.as_bytes());
                // A path that ends earlier has zeros there.
                (path, if exact.len() < 8 { u64::MAX } else { mask })
            }
        };
        Self {
            path,
            path_mask,
            route,
        }
    }
}

/// Returns the hashes of hosts, each once; `None` where any host may fit.
fn hashes(hosts: &[HostPattern]) -> Option<BTreeSet<u64>> {
    if hosts.is_empty() {
        return None;
    }
    let hash_of = |host: &HostPattern| match host {
        HostPattern::Exact(name) => Some(hash(name.as_bytes())),
        HostPattern::Under(_) => None,
    };
    hosts.iter().map(hash_of).collect()
}

/// Returns the first eight bytes of a text, zeros behind its end, and which of them it has.
fn first_bytes(text: &[u8]) -> (u64, u64) {
    let mut bytes = [0; 8];
    let len = text.len().min(8);
    bytes[..len].copy_from_slice(&text[..len]);
    let mut mask = [0; 8];
    mask[..len].fill(0xff);
    (u64::from_le_bytes(bytes), u64::from_le_bytes(mask))
}

/// Returns a hash of a host (64 bits of FNV-1a); the case of letters and a dot at the end do not
/// matter. Who finds others of the same hash has only made the search longer.
fn hash(host: &[u8]) -> u64 {
    let address = ipv6(host).map(|address| address.octets());
    let host = match &address {
        Some(octets) => octets,
        None => host.strip_suffix(b".").unwrap_or(host),
    };
    host.iter().fold(FNV_OFFSET, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(FNV_PRIME)
    })
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
