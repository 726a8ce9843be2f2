//! The version of the protocol that a virtual router speaks.

use std::fmt;

/// A version of VRRP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RFC 3768: IPv4, whole seconds, and what keepalived speaks unless told otherwise.
    V2,
    /// RFC 9568: IPv4 and IPv6, hundredths of a second.
    #[default]
    V3,
}

impl Version {
    /// Returns the number on the wire.
    pub const fn get(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
