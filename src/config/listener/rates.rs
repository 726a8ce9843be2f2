//! How often clients may come: what a listener, or a route, says of it.

use std::fmt;

use crate::logic::balance::rate::Rate;

/// How often requests may come; `None`: as often as they do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestRates {
    /// Of all clients together.
    pub requests: Option<RateLimit>,
    /// Of each client.
    pub requests_per_client: Option<ClientRateLimit>,
}

/// A rate, and how many may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// On the whole.
    pub rate: Rate,
    /// At once, where none came before; 1 to 1000000.
    pub burst: u32,
}

/// The same of each client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRateLimit {
    /// What each may.
    pub limit: RateLimit,
    /// Who is one client.
    pub by: ClientKey,
    /// How many are remembered at once.
    pub clients: u32,
}

/// Who is one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientKey {
    /// An IPv4 address, or the /64 of an IPv6 address.
    #[default]
    Address,
    /// What this field of a request has; without it the address.
    Header(String),
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} burst {}", self.rate, self.burst)
    }
}

impl fmt::Display for ClientRateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, by, clients } = self;
        write!(f, "{limit} of {clients} clients by {by}")
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("address"),
            Self::Header(name) => write!(f, "header {name}"),
        }
    }
}

/// Clients that are remembered unless another number is written: a mebibyte.
pub const CLIENTS_DEFAULT: u32 = 65_536;
