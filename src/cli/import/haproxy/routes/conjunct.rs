//! What the conditions of one route of ours can say: one path, and lists of others, all of which
//! hold.

use std::net::IpAddr;

use crate::cli::import::yaml::{Map, Yaml};

/// A path, as a route has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathTest {
    /// This one.
    Exact(String),
    /// This one and what is below; where it ends in a slash, only that.
    Prefix(String),
}

impl PathTest {
    /// Returns its text.
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
        }
    }

    /// Returns whether every path of `other` is one of this.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => a == b,
            (Self::Exact(_), Self::Prefix(_)) => false,
            (Self::Prefix(a), Self::Exact(b) | Self::Prefix(b)) => {
                let behind = b.strip_prefix(a.as_str());
                a == b || behind.is_some_and(|rest| a.ends_with('/') || rest.starts_with('/'))
            }
        }
    }
}

/// An address and how much of it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    ip: IpAddr,
    len: u8,
}

impl Network {
    /// Reads an address or a network.
    pub fn parse(text: &str) -> Option<Self> {
        let (ip, len) = text.split_once('/').unwrap_or((text, ""));
        let ip: IpAddr = ip.parse().ok()?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let len = if len.is_empty() {
            bits
        } else {
            crate::cli::import::units::prefix_len(len)?
        };
        (len <= bits).then(|| Self { ip, len }.masked())
    }

    fn masked(self) -> Self {
        let ip = match self.ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.len)).unwrap_or(0);
                IpAddr::V4((ip.to_bits() & mask).into())
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.len))
                    .unwrap_or(0);
                IpAddr::V6((ip.to_bits() & mask).into())
            }
        };
        Self { ip, len: self.len }
    }

    fn contains(&self, other: &Self) -> bool {
        let cut = Self {
            ip: other.ip,
            len: self.len,
        };
        self.ip.is_ipv4() == other.ip.is_ipv4() && self.len <= other.len && cut.masked() == *self
    }

    fn text(self) -> String {
        let bits = if self.ip.is_ipv4() { 32 } else { 128 };
        if self.len == bits {
            self.ip.to_string()
        } else {
            format!("{}/{}", self.ip, self.len)
        }
    }
}

/// A name and the value that it must have; `None`: any.
pub type Pair = (String, Option<String>);

/// Conditions that all hold; the default holds always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conjunct {
    /// One of these names.
    pub hosts: Option<Vec<String>>,
    /// This path.
    pub path: Option<PathTest>,
    /// One of these methods.
    pub methods: Option<Vec<String>>,
    /// All of these fields.
    pub headers: Vec<Pair>,
    /// All of these parameters.
    pub query: Vec<Pair>,
    /// One of these networks.
    pub clients: Option<Vec<Network>>,
    /// One of these names, with TCP.
    pub sni: Option<Vec<String>>,
}

impl Conjunct {
    /// Returns whether it holds always.
    pub fn is_always(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what holds where both do; `None`: nothing.
    pub fn and(&self, other: &Self) -> Option<Self> {
        let path = match (&self.path, &other.path) {
            (Some(a), Some(b)) if a.covers(b) => Some(b.clone()),
            (Some(a), Some(b)) if b.covers(a) => Some(a.clone()),
            (Some(_), Some(_)) => return None,
            (one, other) => one.clone().or_else(|| other.clone()),
        };
        let mut headers = self.headers.clone();
        merge(&mut headers, &other.headers);
        let mut query = self.query.clone();
        merge(&mut query, &other.query);
        Some(Self {
            hosts: both(&self.hosts, &other.hosts, names)?,
            path,
            methods: both(&self.methods, &other.methods, equal)?,
            headers,
            query,
            clients: both(&self.clients, &other.clients, networks)?,
            sni: both(&self.sni, &other.sni, names)?,
        })
    }

    /// Returns the keys of a route.
    pub fn yaml(&self) -> Map {
        let mut map = Map::default();
        let mut list = |key: &str, items: &Option<Vec<String>>| match items.as_deref() {
            None => {}
            Some([one]) => map.set(key, Yaml::text(one)),
            Some(several) => map.set(key, Yaml::texts(several)),
        };
        list("host", &self.hosts);
        list("sni", &self.sni);
        let clients = self.clients.as_ref();
        let clients = clients.map(|nets| nets.iter().map(|net| net.text()).collect());
        match &self.path {
            None => {}
            Some(PathTest::Prefix(path)) => map.set("path", Yaml::text(path)),
            Some(PathTest::Exact(path)) => map.set("path", Yaml::one("exact", Yaml::text(path))),
        }
        let mut list = |key: &str, items: &Option<Vec<String>>| match items.as_deref() {
            None => {}
            Some([one]) => map.set(key, Yaml::text(one)),
            Some(several) => map.set(key, Yaml::texts(several)),
        };
        list("method", &self.methods);
        list("client", &clients);
        for (key, pairs) in [("header", &self.headers), ("query", &self.query)] {
            let one = |(name, value): &Pair| {
                let value = match value {
                    Some(value) => Yaml::text(value),
                    None => Yaml::word(true),
                };
                Yaml::one(name, value)
            };
            let mut names: Vec<&String> = pairs.iter().map(|(name, _)| name).collect();
            names.sort();
            let is_map = names.windows(2).all(|pair| pair[0] != pair[1]);
            match pairs.len() {
                0 => {}
                1 => map.set(key, one(&pairs[0])),
                _ if is_map => {
                    for (name, value) in pairs {
                        let value = value.as_ref().map_or(Yaml::word(true), Yaml::text);
                        map.map(key).set(name.as_str(), value);
                    }
                }
                _ => map.set(key, Yaml::List(pairs.iter().map(one).collect())),
            }
        }
        map
    }
}

fn merge(pairs: &mut Vec<Pair>, more: &[Pair]) {
    for pair in more {
        if !pairs.contains(pair) {
            pairs.push(pair.clone());
        }
    }
}

/// Returns what is in both lists, where a pair of items may share an item; `None`: nothing.
fn both<T: Clone + PartialEq>(
    a: &Option<Vec<T>>,
    b: &Option<Vec<T>>,
    shared: fn(&T, &T) -> Option<T>,
) -> Option<Option<Vec<T>>> {
    let (Some(a), Some(b)) = (a, b) else {
        return Some(a.clone().or_else(|| b.clone()));
    };
    let mut items: Vec<T> = Vec::new();
    for one in a {
        for other in b {
            if let Some(item) = shared(one, other).filter(|item| !items.contains(item)) {
                items.push(item);
            }
        }
    }
    (!items.is_empty()).then_some(Some(items))
}

fn equal(a: &String, b: &String) -> Option<String> {
    (a == b).then(|| a.clone())
}

fn names(a: &String, b: &String) -> Option<String> {
    let below = |wide: &str, name: &str| {
        wide.strip_prefix('*')
            .is_some_and(|end| name.trim_start_matches('*').ends_with(end))
    };
    if a == b || below(a, b) {
        Some(b.clone())
    } else {
        below(b, a).then(|| a.clone())
    }
}

fn networks(a: &Network, b: &Network) -> Option<Network> {
    if a.contains(b) {
        Some(*b)
    } else {
        b.contains(a).then_some(*a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Conjunct {
        Conjunct {
            path: Some(PathTest::Prefix(text.into())),
            ..Conjunct::default()
        }
    }

    #[test]
    fn two_that_hold_are_one_or_nothing() {
        assert_eq!(path("/a").and(&path("/a/b")), Some(path("/a/b")));
        assert_eq!(path("/a").and(&path("/ab")), None);
        assert_eq!(Conjunct::default().and(&path("/a")), Some(path("/a")));
        let hosts = |hosts: &[&str]| Conjunct {
            hosts: Some(hosts.iter().map(|host| (*host).to_owned()).collect()),
            ..Conjunct::default()
        };
        assert_eq!(
            hosts(&["*.a.org", "b.org"]).and(&hosts(&["x.a.org", "a.org"])),
            Some(hosts(&["x.a.org"]))
        );
        let net = |text| Network::parse(text).expect("a network");
        assert_eq!(
            networks(&net("10.0.0.0/8"), &net("10.1.2.3")),
            Some(net("10.1.2.3"))
        );
        assert_eq!(networks(&net("10.0.0.0/8"), &net("11.0.0.0/8")), None);
        assert_eq!(net("10.1.2.3/255.0.0.0").text(), "10.0.0.0/8");
        assert_eq!(net("0.0.0.0/0").text(), "0.0.0.0/0");
        assert_eq!(Network::parse("::1/129"), None);
    }
}
