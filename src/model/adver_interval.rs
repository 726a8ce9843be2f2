//! The interval between two advertisements, in the unit of the wire.

use std::fmt;
use std::time::Duration;

/// The time between two advertisements: 1 to 4095 centiseconds (RFC 9568 §5.2.7, erratum 8301), or
/// with version 2 up to 255 seconds (RFC 3768 §5.3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdverInterval(u16);

impl AdverInterval {
    /// One second, the default of RFC 9568 §6.1.
    pub const DEFAULT: Self = Self(100);
    /// The shortest: 10 ms.
    pub const MIN: Self = Self(1);
    /// The longest of version 3: 40.95 s.
    pub const MAX: Self = Self(4095);
    /// The longest of version 2: 255 s.
    pub const MAX_V2: Self = Self(25_500);

    /// Returns the interval of so many centiseconds, or `None` outside 1 to 4095.
    pub const fn from_centiseconds(raw: u16) -> Option<Self> {
        if raw == 0 || raw > 4095 {
            None
        } else {
            Some(Self(raw))
        }
    }

    /// Returns the interval of so many seconds, which version 2 counts, or `None` for 0.
    pub const fn from_seconds(raw: u8) -> Option<Self> {
        if raw == 0 {
            None
        } else {
            Some(Self(raw as u16 * 100))
        }
    }

    /// Returns the interval in centiseconds, as it stands on the wire of version 3.
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
