//! The routes of a listener, and the search for the first that fits.

use super::asked::Asked;
use super::conditions::{Access, Conditions, HostPattern, PathPattern};

/// Routes, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    keys: Vec<Key>,
    routes: Vec<(Conditions, Access, Guard)>,
    knows_hosts: bool,
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

/// What a request must have for its conditions to be looked at: the same hash of its host, and the
/// same first bytes of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    /// 0: any host.
    host: u64,
    path: u64,
    path_mask: u64,
}

impl Table {
    /// Compiles routes.
    pub fn new(routes: impl IntoIterator<Item = (Conditions, Access, Guard)>) -> Self {
        let routes: Vec<_> = routes.into_iter().collect();
        let keys: Vec<Key> = routes.iter().map(|(it, _, _)| Key::of(it)).collect();
        Self {
            knows_hosts: keys.iter().any(|key| key.host != 0),
            keys,
            routes,
        }
    }

    /// Returns whether any route asks for a path.
    pub fn looks_at_paths(&self) -> bool {
        let mut all = self.routes.iter();
        all.any(|(conditions, _, _)| conditions.path.is_some())
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Finds the first route that fits, past those that let the client through to the next.
    pub fn find(&self, asked: &Asked<'_>) -> Found {
        let host = if self.knows_hosts {
            hash(asked.host)
        } else {
            0
        };
        let path = first_bytes(asked.path.as_bytes()).0;
        for (index, key) in self.keys.iter().enumerate() {
            if !key.may_fit(host, path) {
                continue;
            }
            // There is a key for each.
            let (conditions, access, guard) = &self.routes[index];
            if !conditions.hold(asked) {
                continue;
            }
            match (access.allows(asked.client), guard) {
                (false, _) => return Found::Denied(index),
                (true, Guard::Answers) => return Found::Route(index),
                (true, Guard::Passes) => {}
            }
        }
        Found::None
    }
}

impl Key {
    fn of(conditions: &Conditions) -> Self {
        let host = match &*conditions.hosts {
            [HostPattern::Exact(name)] => hash(name.as_bytes()),
            _ => 0,
        };
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
            host,
            path,
            path_mask,
        }
    }

    const fn may_fit(&self, host: u64, path: u64) -> bool {
        (self.host == 0) | (self.host == host) && path & self.path_mask == self.path
    }
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

/// Returns a hash of a host that is never 0 (64 bits of FNV-1a); the case of letters and a dot at
/// the end do not matter. Who finds others of the same hash has only made the search longer.
fn hash(host: &[u8]) -> u64 {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let hash = host.iter().fold(FNV_OFFSET, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(FNV_PRIME)
    });
    hash.max(1)
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
