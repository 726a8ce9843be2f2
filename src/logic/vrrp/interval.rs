//! The timer formulas of RFC 9568 §6.1, and nothing else that calculates with intervals.
//!
//! Integer microseconds: multiply first, divide by 256 last, no floats. The priority in a formula
//! is always the local one; the interval is the one learned from the Active, or the local one. The
//! largest product is 256 × 255,000,000 µs, far inside a `u64`. Read `router` next.

use std::time::Duration;

use crate::model::{AdverInterval, Priority, Version};

/// Returns Skew_Time: `(256 - priority) * interval / 256`, rounded down to a microsecond.
///
/// RFC 9568 §6.1. Nearly a whole interval for priority 1, 1/256 of it for the address owner.
pub const fn skew_time(version: Version, priority: Priority, interval: AdverInterval) -> Duration {
    Duration::from_micros(skew_micros(version, priority, interval))
}

/// Returns Active_Down_Interval: `multiplier * interval + Skew_Time`.
///
/// RFC 9568 §6.1, where the multiplier is [`DOWN_MULTIPLIER`]. A Backup that has heard nothing for
/// so long becomes Active.
pub const fn active_down_interval(
    version: Version,
    priority: Priority,
    interval: AdverInterval,
    multiplier: u8,
) -> Duration {
    let silence_us = multiplier as u64 * interval.micros();
    Duration::from_micros(silence_us + skew_micros(version, priority, interval))
}

/// Returns the least time between two advertisements sent as an answer to a peer: a tenth of the
/// interval.
///
/// Without it two misconfigured Actives would answer each other at wire speed (RFC 9568 §6.4.3).
pub const fn answer_interval(interval: AdverInterval) -> Duration {
    Duration::from_micros(interval.micros() / 10)
}

/// The standard's factor in Active_Down_Interval.
pub const DOWN_MULTIPLIER: u8 = 3;

const fn skew_micros(version: Version, priority: Priority, interval: AdverInterval) -> u64 {
    let base_us = match version {
        // RFC 3768 §6.1: of a second, whatever the interval.
        Version::V2 => 1_000_000,
        Version::V3 => interval.micros(),
    };
    (256 - priority.get() as u64) * base_us / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9568 §6.1: priority, interval in centiseconds, Skew_Time and Active_Down_Interval in
    /// microseconds.
    const TABLE: [(u8, u16, u64, u64); 13] = [
        (100, 100, 609_375, 3_609_375),
        (254, 100, 7_812, 3_007_812),
        (1, 100, 996_093, 3_996_093),
        (200, 100, 218_750, 3_218_750),
        (100, 10, 60_937, 360_937),
        (100, 50, 304_687, 1_804_687),
        (254, 1, 78, 30_078),
        (254, 10, 781, 300_781),
        (255, 100, 3_906, 3_003_906),
        (100, 4095, 24_953_906, 147_803_906),
        (1, 4095, 40_790_039, 163_640_039),
        (1, 1, 9_960, 39_960),
        (128, 333, 1_665_000, 11_655_000),
    ];

    #[test]
    fn formulas_give_the_exact_microseconds() {
        for (priority, centiseconds, skew, down) in TABLE {
            let priority = Priority::from_wire(priority);
            let interval = AdverInterval::from_centiseconds(centiseconds).expect("in range");
            let row = format!("priority {priority}, {centiseconds} cs");
            assert_eq!(
                skew_time(Version::V3, priority, interval).as_micros(),
                u128::from(skew),
                "{row}"
            );
            assert_eq!(
                active_down_interval(Version::V3, priority, interval, 3).as_micros(),
                u128::from(down),
                "{row}"
            );
        }
    }

    #[test]
    fn higher_priority_always_means_less_patience() {
        for centiseconds in [1, 10, 100, 4095] {
            let interval = AdverInterval::from_centiseconds(centiseconds).expect("in range");
            for raw in 1..=254 {
                let (lower, higher) = (Priority::from_wire(raw), Priority::from_wire(raw + 1));
                assert!(
                    skew_time(Version::V3, lower, interval)
                        > skew_time(Version::V3, higher, interval),
                    "priority {raw} and the next must not share a skew at {interval}"
                );
            }
        }
    }

    /// RFC 3768 §6.1: priority, seconds, Skew_Time and Master_Down_Interval in microseconds.
    #[test]
    fn skew_of_version_2_does_not_know_the_interval() {
        for (priority, seconds, skew, down) in [
            (100, 1, 609_375, 3_609_375),
            (254, 1, 7_812, 3_007_812),
            (1, 1, 996_093, 3_996_093),
            (100, 3, 609_375, 9_609_375),
            (200, 10, 218_750, 30_218_750),
            (100, 255, 609_375, 765_609_375),
        ] {
            let priority = Priority::from_wire(priority);
            let interval = AdverInterval::from_seconds(seconds).expect("in range");
            let micros = |span: Duration| span.as_micros();
            assert_eq!(micros(skew_time(Version::V2, priority, interval)), skew);
            assert_eq!(
                micros(active_down_interval(Version::V2, priority, interval, 3)),
                down
            );
        }
    }
}
