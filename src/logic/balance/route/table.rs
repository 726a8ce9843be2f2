//! The routes of a listener, and the search for the first that fits.

use std::collections::{BTreeMap, BTreeSet};

use super::asked::Asked;
use super::beginnings::{Beginnings, ByPath, Candidates, FNV_OFFSET, fnv};
use super::conditions::{Access, Conditions, HostPattern, ipv6};
use super::parameters::Parameters;

/// Routes, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    routes: Vec<(Conditions, Access, Guard)>,
    /// By the hash of a host, rising: the routes that are for it.
    by_host: Vec<(u64, ByPath)>,
    /// The routes that may be for any host.
    others: ByPath,
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

impl Table {
    /// Compiles routes.
    pub fn new(routes: impl IntoIterator<Item = (Conditions, Access, Guard)>) -> Self {
        let routes: Vec<_> = routes.into_iter().collect();
        let (mut by_host, mut others) = (BTreeMap::<u64, ByPath>::new(), ByPath::default());
        for (index, (conditions, _, _)) in routes.iter().enumerate() {
            let path = conditions.path.as_ref();
            match hashes(&conditions.hosts) {
                None => others.push(path, index),
                Some(hosts) => hosts
                    .into_iter()
                    .for_each(|host| by_host.entry(host).or_default().push(path, index)),
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
        let parameters = Parameters::new(asked.query);
        for route in self.candidates(asked) {
            let (conditions, access, guard) = &self.routes[route];
            if !conditions.hold_with(asked, &parameters) {
                continue;
            }
            match (access.allows(asked.client), guard) {
                (false, _) => return Found::Denied(route),
                (true, Guard::Answers) => return Found::Route(route),
                (true, Guard::Passes) => {}
            }
        }
        Found::None
    }

    /// Returns the routes that may fit, in the order of the file.
    fn candidates(&self, asked: &Asked<'_>) -> Candidates<'_> {
        let own = self.of_host(asked.host);
        let len_max = self.others.len_max().max(own.map_or(0, ByPath::len_max));
        let beginnings = Beginnings::of(asked.path, len_max);
        let mut candidates = Candidates::default();
        self.others.find(&beginnings, &mut candidates);
        if let Some(own) = own {
            own.find(&beginnings, &mut candidates);
        }
        candidates
    }

    fn of_host(&self, host: &[u8]) -> Option<&ByPath> {
        if self.by_host.is_empty() {
            return None;
        }
        let hash = hash(host);
        let found = self.by_host.binary_search_by_key(&hash, |(it, _)| *it);
        found.ok().map(|at| &self.by_host[at].1)
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

/// Returns a hash of a host (64 bits of FNV-1a); the case of letters and a dot at the end do not
/// matter. Who finds others of the same hash has only made the search longer.
fn hash(host: &[u8]) -> u64 {
    let address = ipv6(host).map(|address| address.octets());
    let host = match &address {
        Some(octets) => octets,
        None => host.strip_suffix(b".").unwrap_or(host),
    };
    host.iter().fold(FNV_OFFSET, |hash, byte| {
        fnv(hash, byte.to_ascii_lowercase())
    })
}
