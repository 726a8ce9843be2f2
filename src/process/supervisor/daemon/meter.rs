//! How much a child may write into the daemon's log: a burst, and then so many bytes a second.
//!
//! A child in the hands of a stranger must not be able to fill the disk. What is beyond is dropped
//! and counted, and the count goes with the next line that is printed.

use std::time::Instant;

/// Bytes that may be written now, and what was dropped for want of them.
#[derive(Debug)]
pub(super) struct Meter {
    rate: Rate,
    bytes: u64,
    filled_at: Instant,
    dropped: u64,
}

/// How much in the long run, and at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    bytes_a_second: u64,
    burst_bytes: u64,
}

impl Rate {
    /// What states and faults need, also where hundreds of virtual routers change at once.
    pub(super) const QUIET: Self = Self {
        bytes_a_second: 2 * 1024,
        burst_bytes: 512 * 1024,
    };
    /// For an operator who asks for decisions or packets.
    pub(super) const TALKATIVE: Self = Self {
        bytes_a_second: 1024 * 1024,
        burst_bytes: 8 * 1024 * 1024,
    };
}

impl Meter {
    /// Returns a full one.
    pub(super) const fn new(now: Instant, rate: Rate) -> Self {
        Self {
            rate,
            bytes: rate.burst_bytes,
            filled_at: now,
            dropped: 0,
        }
    }

    /// Admits a line of so many bytes and returns how many were dropped before it, or drops it.
    pub(super) fn admit(&mut self, now: Instant, bytes: usize) -> Option<u64> {
        let since = now.saturating_duration_since(self.filled_at);
        let more = since.as_millis() * u128::from(self.rate.bytes_a_second) / 1_000;
        if more > 0 {
            let more = u64::try_from(more).unwrap_or(u64::MAX);
            self.bytes = self.bytes.saturating_add(more).min(self.rate.burst_bytes);
            self.filled_at = now;
        }
        match u64::try_from(bytes).ok().filter(|b| *b <= self.bytes) {
            Some(bytes) => {
                self.bytes -= bytes;
                Some(std::mem::take(&mut self.dropped))
            }
            None => {
                self.dropped += 1;
                None
            }
        }
    }
}

/// How much each child may write into the log.
pub(super) struct LogMeters {
    pub(super) vrrp: Meter,
    pub(super) proxy: Meter,
    pub(super) keys: Meter,
    pub(super) names: Meter,
    pub(super) admin: Meter,
}

impl LogMeters {
    /// Returns full ones; `talkative` where an operator asked for many lines.
    pub(super) const fn new(now: Instant, talkative: bool) -> Self {
        let rate = if talkative {
            Rate::TALKATIVE
        } else {
            Rate::QUIET
        };
        Self {
            vrrp: Meter::new(now, rate),
            proxy: Meter::new(now, rate),
            keys: Meter::new(now, rate),
            names: Meter::new(now, rate),
            admin: Meter::new(now, rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn flood_is_cut_to_the_rate_and_counted_and_patience_is_rewarded() {
        let start = Instant::now();
        let mut meter = Meter::new(start, Rate::QUIET);
        let (mut written, mut said) = (0_u64, 0);
        // A thousand lines of a kilobyte each second, for a hundred seconds.
        for millisecond in 0..100_000 {
            let now = start + Duration::from_millis(millisecond);
            if let Some(dropped) = meter.admit(now, 1_000) {
                written += 1_000;
                said += dropped;
            }
        }
        let most = Rate::QUIET.burst_bytes + 100 * Rate::QUIET.bytes_a_second;
        assert!(written <= most, "{written} of {most}");
        assert!(written > most * 9 / 10, "{written} of {most}");
        assert!(said > 90_000, "what was dropped is said: {said}");
        let later = start + Duration::from_secs(3_600);
        assert!(
            meter
                .admit(later, 400_000)
                .is_some_and(|dropped| dropped > 0)
        );
    }
}
