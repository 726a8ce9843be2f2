//! The clock of one node: it runs a little fast or slow against the time of the world.
//!
//! A router is told the time of its own node and nothing else, as in life. What a span of its time
//! is in the world's is bounded by `at_most`; the bounds of the properties grow by that, and by
//! nothing else, for the drift.

use std::time::{Duration, Instant};

/// Microseconds since the beginning of a world.
pub(crate) type Micros = u64;

/// A clock that gains `ppm` microseconds in a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
    ppm: i64,
}

impl Clock {
    pub(crate) fn new(epoch: Instant, ppm: i64) -> Self {
        assert!(
            ppm.abs() <= DRIFT_MAX_PPM,
            "a clock that no bound allows for"
        );
        Self { epoch, ppm }
    }

    /// Returns what it shows at this moment of the world.
    pub(crate) fn shows(self, at: Micros) -> Instant {
        self.epoch + Duration::from_micros(at * self.rate() / MILLION)
    }

    /// Returns the first moment of the world at which it shows `instant`.
    pub(crate) fn reaches(self, instant: Instant) -> Micros {
        let span = instant.saturating_duration_since(self.epoch).as_micros() as Micros;
        (span * MILLION).div_ceil(self.rate())
    }

    fn rate(self) -> u64 {
        MILLION.saturating_add_signed(self.ppm)
    }
}

/// Returns the longest time of the world in which a node's clock goes on by `span`.
pub(crate) const fn at_most(span: Micros) -> Micros {
    (span * MILLION).div_ceil(MILLION - DRIFT_MAX_PPM as u64)
}

/// 0.5 %: ten times what NTP would slew, more than any clock that keeps a machine running.
pub(crate) const DRIFT_MAX_PPM: i64 = 5000;
const MILLION: u64 = 1_000_000;

#[test]
fn clock_reaches_what_it_shows() {
    let epoch = Instant::now();
    for ppm in [-DRIFT_MAX_PPM, -1, 0, 1, DRIFT_MAX_PPM] {
        let clock = Clock::new(epoch, ppm);
        for span in [0, 1, 2, 199, 200, 201, 999_999, 123_456_789] {
            let instant = epoch + Duration::from_micros(span);
            let at = clock.reaches(instant);
            assert!(
                clock.shows(at) >= instant,
                "{ppm} ppm: not too early for {span}"
            );
            assert!(
                at == 0 || clock.shows(at - 1) < instant,
                "{ppm} ppm: nor too late"
            );
            assert!(
                at <= at_most(span),
                "{ppm} ppm: within the bound for {span}"
            );
        }
    }
}
