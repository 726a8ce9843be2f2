//! Names of virtual routers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Family;

/// The name of one virtual router: the entry of the configuration and the address family, shown as
/// `web/ipv4`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouterName {
    /// The key under `virtual_routers`.
    pub entry: String,
    /// Which of the entry's two virtual routers.
    pub family: Family,
}

impl fmt::Display for RouterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.entry, self.family)
    }
}
