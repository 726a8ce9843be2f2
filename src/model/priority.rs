//! The priority of a virtual router in the election.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The weight of a virtual router in the election, 0 to 255 (RFC 9568 §5.2.4).
///
/// 255 is the address owner, 1 to 254 everybody else; 0 is only seen on the wire and says "I am
/// leaving".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Priority(u8);

impl Priority {
    /// An Active that leaves (RFC 9568 §6.4.3).
    pub const LEAVING: Self = Self(0);
    /// The lowest priority of a virtual router that takes part.
    pub const MIN: Self = Self(1);
    /// The default of RFC 9568 §6.1.
    pub const DEFAULT: Self = Self(100);
    /// The highest priority of a virtual router that does not own its addresses.
    pub const MAX: Self = Self(254);
    /// The address owner's.
    pub const OWNER: Self = Self(255);

    /// Returns the priority with this number on the wire; every number has a meaning there.
    pub const fn from_wire(raw: u8) -> Self {
        Self(raw)
    }

    /// Returns a base priority, 1 to 254, or `None`.
    pub const fn new(raw: u8) -> Option<Self> {
        if raw == 0 || raw == 255 {
            None
        } else {
            Some(Self(raw))
        }
    }

    /// Returns the number on the wire.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
