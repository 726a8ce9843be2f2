//! How often something may happen: a token bucket, as one moment in time.
//!
//! A bucket holds `burst` tokens and is filled with `rate`. It is kept as the moment at which it
//! will be full again (the generic cell rate algorithm, ITU-T I.371, where it is the theoretical
//! arrival time, TAT): one number, without a count of tokens and without anything to be done while
//! time passes. Moments are nanoseconds since a beginning that is the caller's. Pure; read
//! `process::proxy::downstream::clients` next, which keeps the buckets of many clients.

use std::fmt;

/// How often, on the whole: `50/s`, `100/m`, `10/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// 1 to [`COUNT_MAX`].
    count: u32,
    per: Per,
}

/// The unit of time of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// `/s`.
    Second,
    /// `/m`.
    Minute,
    /// `/h`.
    Hour,
}

impl Rate {
    /// Returns a rate; `None` where `count` is not 1 to [`COUNT_MAX`].
    pub fn new(count: u32, per: Per) -> Option<Self> {
        (1..=COUNT_MAX)
            .contains(&count)
            .then_some(Self { count, per })
    }

    /// Reads a rate as it is written, in digits, a slash and a letter.
    pub fn parse(text: &str) -> Option<Self> {
        let (count, per) = text.split_once('/')?;
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let per = match per {
            "s" => Per::Second,
            "m" => Per::Minute,
            "h" => Per::Hour,
            _ => return None,
        };
        Self::new(count.parse().ok()?, per)
    }

    /// Returns how many in its unit of time.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Returns the time for one, rounded up: no more than the rate is ever granted.
    const fn interval_ns(self) -> u64 {
        let per_ns: u64 = match self.per {
            Per::Second => 1_000_000_000,
            Per::Minute => 60 * 1_000_000_000,
            Per::Hour => 3600 * 1_000_000_000,
        };
        per_ns.div_ceil(self.count as u64)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Per::Second => 's',
            Per::Minute => 'm',
            Per::Hour => 'h',
        };
        write!(f, "{}/{per}", self.count)
    }
}

/// A rate, and how many may come at once, ready to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The time for one.
    interval_ns: u64,
    /// The time in which an empty bucket is filled.
    full_ns: u64,
}

impl Limit {
    /// Returns the limit of a bucket of so many tokens; it has one at least, and [`COUNT_MAX`] at
    /// most.
    pub fn new(rate: Rate, burst: u32) -> Self {
        let interval_ns = rate.interval_ns();
        Self {
            interval_ns,
            full_ns: interval_ns * u64::from(burst.clamp(1, COUNT_MAX)),
        }
    }
}

/// Whether something may happen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may, and a token is taken.
    Granted {
        /// When the bucket will be full again.
        tat: u64,
    },
    /// It may not; nothing is taken.
    Exceeded {
        /// In so many nanoseconds there is a token, unless another takes it.
        retry_after_ns: u64,
    },
}

/// Decides on one more, of a bucket that is full at `tat`; a bucket that is new is so at 0.
///
/// ```
/// use evenkeel::logic::balance::rate::{Limit, Rate, Verdict, decide};
///
/// let limit = Limit::new(Rate::parse("10/s").unwrap(), 2);
/// let Verdict::Granted { tat } = decide(0, 5, &limit) else { panic!() };
/// let Verdict::Granted { tat } = decide(tat, 5, &limit) else { panic!() };
/// let retry_after_ns = 100_000_000;
/// assert_eq!(decide(tat, 5, &limit), Verdict::Exceeded { retry_after_ns });
/// ```
///
/// A clock that stands still or is behind another's grants nothing that is not there: `tat` never
/// goes back.
pub const fn decide(tat: u64, now: u64, limit: &Limit) -> Verdict {
    let begin = if tat > now { tat } else { now };
    let next = begin.saturating_add(limit.interval_ns);
    let latest = now.saturating_add(limit.full_ns);
    // At the end of time nothing can be counted.
    if next <= latest && next > begin {
        Verdict::Granted { tat: next }
    } else {
        let retry_after_ns = next.saturating_sub(latest);
        Verdict::Exceeded { retry_after_ns }
    }
}

/// Returns the seconds that are told to a client, rounded up, one at least (RFC 9110 §10.2.3).
pub const fn retry_after_secs(retry_after_ns: u64) -> u64 {
    let secs = retry_after_ns.div_ceil(1_000_000_000);
    if secs > 1 { secs } else { 1 }
}

/// The most of a rate, in its unit of time, and of a burst: rounding costs a thousandth of the
/// largest rate, and an empty bucket is filled within 2^62 nanoseconds.
pub const COUNT_MAX: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1000 * MS;

    fn limit(rate: &str, burst: u32) -> Limit {
        Limit::new(Rate::parse(rate).expect("it is a rate"), burst)
    }

    #[test]
    fn rates_are_read_and_shown_as_they_are_written() {
        for text in ["1/s", "50/s", "100/m", "10/h", "1000000/s"] {
            let rate = Rate::parse(text).map(|rate| rate.to_string());
            assert_eq!(rate.as_deref(), Some(text));
        }
        for wrong in [
            "",
            "/",
            "/s",
            "50",
            "50/",
            "0/s",
            "-1/s",
            "+1/s",
            "1.5/s",
            "50/d",
            "50/sec",
            "50 /s",
            "50/s ",
            "1000001/s",
            "99999999999/s",
            "5/s/s",
        ] {
            assert_eq!(Rate::parse(wrong), None, "{wrong:?} is no rate");
        }
    }

    #[test]
    fn one_takes_the_time_of_its_rate_rounded_up() {
        for (rate, interval_ns) in [
            ("50/s", 20 * MS),
            ("3/s", 333_333_334),
            ("100/m", 600 * MS),
            ("10/h", 360 * SECOND),
            ("1000000/s", 1000),
            ("999999/s", 1001),
        ] {
            let hoped = Limit {
                interval_ns,
                full_ns: 7 * interval_ns,
            };
            assert_eq!(limit(rate, 7), hoped, "{rate}");
        }
        assert_eq!(limit("1/s", 0), limit("1/s", 1), "a bucket has a token");
    }

    /// Of a bucket of three tokens, filled with ten a second.
    #[test]
    fn decisions_follow_the_table() {
        let limit = limit("10/s", 3);
        let granted = |tat| Verdict::Granted { tat };
        let exceeded = |retry_after_ns| Verdict::Exceeded { retry_after_ns };
        let now = 1000 * SECOND;
        for (tat, hoped) in [
            (0, granted(now + 100 * MS)),
            (now - 1, granted(now + 100 * MS)),
            (now, granted(now + 100 * MS)),
            (now + 1, granted(now + 100 * MS + 1)),
            (now + 100 * MS, granted(now + 200 * MS)),
            (now + 200 * MS, granted(now + 300 * MS)),
            (now + 200 * MS + 1, exceeded(1)),
            (now + 250 * MS, exceeded(50 * MS)),
            (now + 300 * MS, exceeded(100 * MS)),
            // The clock of another thread is ahead.
            (now + 2 * SECOND, exceeded(1800 * MS)),
        ] {
            assert_eq!(decide(tat, now, &limit), hoped, "{tat}");
        }
    }

    #[test]
    fn the_end_of_time_is_no_overflow_and_grants_nothing() {
        let full = limit("1/h", COUNT_MAX);
        assert_eq!(full.full_ns, 3_600_000_000_000_000_000);
        for (tat, now) in [(u64::MAX, 0), (u64::MAX, u64::MAX), (0, u64::MAX)] {
            let verdict = decide(tat, now, &full);
            assert!(matches!(verdict, Verdict::Exceeded { .. }), "{tat} {now}");
        }
        assert!(matches!(decide(0, 0, &full), Verdict::Granted { .. }));
    }

    #[test]
    fn clients_are_told_whole_seconds_rounded_up() {
        for (ns, secs) in [
            (0, 1),
            (1, 1),
            (SECOND, 1),
            (SECOND + 1, 2),
            (90 * SECOND, 90),
            (u64::MAX, 18_446_744_074),
        ] {
            assert_eq!(retry_after_secs(ns), secs, "{ns} ns");
        }
    }

    fn limits() -> impl Strategy<Value = (Rate, u32)> {
        let per = prop_oneof![Just(Per::Second), Just(Per::Minute), Just(Per::Hour)];
        let count = prop_oneof![1..20u32, 1..=COUNT_MAX];
        let burst = prop_oneof![1..10u32, 1..=COUNT_MAX];
        let rate = (count, per).prop_map(|(count, per)| Rate { count, per });
        (rate, burst)
    }

    proptest! {
        /// The promise, in every window: it is reckoned with the exact rate, not with the rounded
        /// one.
        #[test]
        fn no_window_has_more_than_the_burst_and_what_the_rate_gives_meanwhile(
            (rate, burst) in limits(),
            // In thousandths of the time for one.
            steps in proptest::collection::vec(0..3000u64, 1..200),
        ) {
            let limit = Limit::new(rate, burst);
            let (mut tat, mut now) = (0, 0);
            let mut granted_at = Vec::new();
            for step in steps {
                now += limit.interval_ns / 1000 * step;
                if let Verdict::Granted { tat: next } = decide(tat, now, &limit) {
                    prop_assert!(next > tat);
                    tat = next;
                    granted_at.push(now);
                }
            }
            let per_ns = match rate.per {
                Per::Second => SECOND,
                Per::Minute => 60 * SECOND,
                Per::Hour => 3600 * SECOND,
            };
            for (first, from) in granted_at.iter().enumerate() {
                for (last, to) in granted_at.iter().enumerate().skip(first) {
                    let count = u128::try_from(last - first + 1).unwrap_or(u128::MAX);
                    let window = u128::from(to - from);
                    let allowed = u128::from(burst) * u128::from(per_ns)
                        + u128::from(rate.count) * window;
                    prop_assert!(count * u128::from(per_ns) <= allowed);
                }
            }
        }

        /// Who waits as long as it was told is granted, and that is no longer than one takes.
        #[test]
        fn nobody_starves_who_waits_as_told(
            (rate, burst) in limits(), steps in proptest::collection::vec(0..3000u64, 1..200),
        ) {
            let limit = Limit::new(rate, burst);
            let (mut tat, mut now) = (0, 0);
            for step in steps {
                now += limit.interval_ns / 1000 * step;
                match decide(tat, now, &limit) {
                    Verdict::Granted { tat: next } => tat = next,
                    Verdict::Exceeded { retry_after_ns } => {
                        prop_assert!((1..=limit.interval_ns).contains(&retry_after_ns));
                        let later = decide(tat, now + retry_after_ns, &limit);
                        let hoped = Verdict::Granted { tat: tat + limit.interval_ns };
                        prop_assert_eq!(later, hoped);
                        let early = decide(tat, now + retry_after_ns - 1, &limit);
                        prop_assert_eq!(early, Verdict::Exceeded { retry_after_ns: 1 });
                    }
                }
            }
        }

        /// Whatever the clocks of threads say, nothing overflows and a bucket is never filled by
        /// asking.
        #[test]
        fn any_clock_is_borne(
            (rate, burst) in limits(), moments in proptest::collection::vec(any::<u64>(), 1..50),
        ) {
            let limit = Limit::new(rate, burst);
            let mut tat = 0;
            for now in moments {
                if let Verdict::Granted { tat: next } = decide(tat, now, &limit) {
                    prop_assert!(next > tat && next > now);
                    tat = next;
                }
            }
        }
    }
}
