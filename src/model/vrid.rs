//! The virtual router identifier.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Identifies a virtual router on its link: 1 to 255 (RFC 9568 §5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Vrid(u8);

impl Vrid {
    /// Returns the identifier, or `None` for 0, which no virtual router has.
    pub const fn new(raw: u8) -> Option<Self> {
        if raw == 0 { None } else { Some(Self(raw)) }
    }

    /// Returns the number on the wire, 1 to 255.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Vrid> for u8 {
    fn from(vrid: Vrid) -> Self {
        vrid.0
    }
}

impl TryFrom<u8> for Vrid {
    type Error = &'static str;

    fn try_from(raw: u8) -> Result<Self, Self::Error> {
        Self::new(raw).ok_or("a vrid is between 1 and 255")
    }
}
