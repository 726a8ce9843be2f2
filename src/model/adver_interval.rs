//! The interval between two advertisements, in the unit of the wire.

use std::fmt;
use std::time::Duration;

/// The time between two advertisements: 1 to 4095 centiseconds (RFC 9568 §5.2.7, erratum 8301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdverInterval(u16);

impl AdverInterval {
    /// One second, the default of RFC 9568 §6.1.
    pub const DEFAULT: Self = Self(100);
    /// The shortest: 10 ms.
    pub const MIN: Self = Self(1);
    /// The longest: 40.95 s.
    pub const MAX: Self = Self(4095);

    /// Returns the interval of so many centiseconds, or `None` outside 1 to 4095.
    pub const fn from_centiseconds(raw: u16) -> Option<Self> {
        if raw == 0 || raw > 4095 {
            None
        } else {
            Some(Self(raw))
        }
    }

    /// Returns the interval in centiseconds, as it stands on the wire.
    pub const fn centiseconds(self) -> u16 {
        self.0
    }

    /// Returns the interval in microseconds, the unit of every calculation.
    pub const fn micros(self) -> u64 {
        self.0 as u64 * 10_000
    }

    /// Returns the interval as a span of time.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.micros())
    }
}

impl fmt::Display for AdverInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.duration())
    }
}
