//! `Instant` and nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.
//!
//! `Instant` is that clock on Linux but does not show its number, so both are read once and
//! compared.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Converts between the two.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    instant: Instant,
    ns: u64,
}

impl Clock {
    /// Reads both clocks.
    ///
    /// # Errors
    /// When the kernel refuses the clock.
    pub fn new() -> nix::Result<Self> {
        let time = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
        Ok(Self {
            instant: Instant::now(),
            ns: u64::try_from(Duration::from(time).as_nanos()).unwrap_or(0),
        })
    }

    /// Returns the nanoseconds of an instant.
    pub fn ns(&self, at: Instant) -> u64 {
        let span_ns = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        match at.checked_duration_since(self.instant) {
            Some(after) => self.ns.saturating_add(span_ns(after)),
            None => self
                .ns
                .saturating_sub(span_ns(self.instant.saturating_duration_since(at))),
        }
    }

    /// Returns the instant of so many nanoseconds, or `None` before the clock began.
    pub fn instant(&self, ns: u64) -> Option<Instant> {
        if ns >= self.ns {
            self.instant.checked_add(Duration::from_nanos(ns - self.ns))
        } else {
            self.instant.checked_sub(Duration::from_nanos(self.ns - ns))
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_instant_survives_the_way_there_and_back() {
        let clock = Clock::new().unwrap();
        let base = Instant::now();
        for at in [
            base,
            base + Duration::from_millis(7),
            base - Duration::from_millis(7),
        ] {
            assert_eq!(
                clock.instant(clock.ns(at)),
                Some(at),
                "the same instant comes back"
            );
        }
    }
}
