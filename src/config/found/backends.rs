//! Backends that stand in a file of their own, or behind a name: where they come from, and what was
//! found there.
//!
//! A pool has its written backends first, then those of its file, then those of its names.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{BackendConfig, BackendMode, PoolConfig, Tier};

/// Where a pool has backends from, besides those that are written with their addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// A file that is watched.
    pub file: Option<PathBuf>,
    /// Names that are looked up again and again, in the order of the file.
    pub names: Vec<NamedBackend>,
    /// From one answer to the next question.
    pub interval: Duration,
}

impl Default for Follow {
    fn default() -> Self {
        Self {
            file: None,
            names: Vec::new(),
            interval: Duration::from_secs(10),
        }
    }
}

impl Follow {
    /// Returns whether backends may come and go without a change of the text.
    pub const fn is_any(&self) -> bool {
        self.file.is_some() || !self.names.is_empty()
    }
}

/// A backend whose addresses a name service knows: one for each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBackend {
    /// The key under `backends`; its backends are called `web3/192.0.2.7`.
    pub name: String,
    /// What is looked up.
    pub host: String,
    /// The port at every address.
    pub port: u16,
    /// Of each, 1 to 256.
    pub weight: u16,
    /// In progress on each at once; `None`: any number.
    pub requests: Option<u32>,
    /// Of all of them.
    pub tier: Tier,
}

impl NamedBackend {
    /// Returns the backend at one of its addresses.
    pub fn at(&self, address: IpAddr) -> FoundBackend {
        FoundBackend {
            name: format!("{}/{address}", self.name),
            address: SocketAddr::new(address, self.port),
            weight: self.weight,
            requests: self.requests,
            tier: self.tier,
            origin: Origin::Name(self.host.clone()),
        }
    }
}

/// Where a backend comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Origin {
    /// The configuration, or a command.
    #[default]
    Written,
    /// The pool's file.
    File,
    /// This name.
    Name(String),
}

impl Origin {
    /// Returns whether it is written nowhere in the configuration.
    pub const fn is_found(&self) -> bool {
        match self {
            Self::Written => false,
            Self::File | Self::Name(_) => true,
        }
    }
}

/// A backend that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundBackend {
    /// What it is called.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of the requests, 1 to 256.
    pub weight: u16,
    /// In progress on it at once; `None`: any number.
    pub requests: Option<u32>,
    /// Whether it is for every day.
    pub tier: Tier,
    /// Where it was found.
    pub origin: Origin,
}

impl FoundBackend {
    /// Returns it as it stands there.
    pub fn at(origin: Origin, backend: &BackendConfig) -> Self {
        Self {
            name: backend.name.clone(),
            address: backend.address,
            weight: backend.weight,
            requests: backend.requests,
            tier: backend.tier,
            origin,
        }
    }
}

impl From<FoundBackend> for BackendConfig {
    fn from(found: FoundBackend) -> Self {
        Self {
            name: found.name,
            address: found.address,
            weight: found.weight,
            requests: found.requests,
            mode: BackendMode::Up,
            tier: found.tier,
            origin: found.origin,
        }
    }
}

impl PoolConfig {
    /// Returns the backends that were found, of its file and of its names.
    pub fn found(&self) -> Vec<FoundBackend> {
        let found = self.backends.iter().filter(|one| one.origin.is_found());
        found
            .map(|one| FoundBackend::at(one.origin.clone(), one))
            .collect()
    }

    /// Returns those of its file.
    pub fn of_file(&self) -> Vec<FoundBackend> {
        let mut found = self.found();
        found.retain(|one| one.origin == Origin::File);
        found
    }

    /// Returns those of its names.
    pub fn of_names(&self) -> Vec<FoundBackend> {
        let mut found = self.found();
        found.retain(|one| one.origin != Origin::File);
        found
    }

    /// Has it have these instead of those that were found before, as far as it follows any.
    pub fn set_found(&mut self, found: impl IntoIterator<Item = FoundBackend>) {
        self.backends.retain(|one| !one.origin.is_found());
        self.backends.extend(found.into_iter().map(Into::into));
    }
}
