//! When a backend is taken out for how it answers, and for how long.
//!
//! The rules are those of Envoy's outlier detection, and so are their defaults: failures in a row,
//! or too large a share of the answers of one interval. Pure: it is told how each request ended and
//! what time it is. A [`Tally`] is as small as an atomic number, so that all threads count in one
//! place without a lock. Whether the pool can do without the backend says [`Pool`]. It refuses to
//! know about probes (`health`), and about backends that cannot be connected to (`pick`).

use std::fmt;
use std::time::Duration;

use super::health::Outcome;

/// Returns whether an answer says that its backend fails; that it does not know what it was asked
/// for (501) says something about the request.
pub const fn is_failure(status: u16) -> bool {
    status >= 500 && status != 501
}

/// When a backend is taken out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectionRules {
    /// Failures in a row that are enough.
    pub consecutive_failures: u16,
    /// Failures among a hundred requests that are enough.
    pub failures: u8,
    /// Requests of one interval that say what share fails; 2 to 10,000.
    pub requests: u16,
    /// How long failures are added up, and after how long without an ejection the next one is
    /// shorter.
    pub interval: Duration,
    /// How long the first ejection lasts; each further one longer by as much.
    pub time: Duration,
    /// How long one lasts at most.
    pub time_max: Duration,
    /// How much of a pool, in percent, may be ejected at once; but one backend always.
    pub most: u8,
}

impl Default for EjectionRules {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            failures: 85,
            requests: 50,
            interval: Duration::from_secs(10),
            time: Duration::from_secs(30),
            time_max: Duration::from_secs(300),
            most: 10,
        }
    }
}

/// What a backend has answered of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of the interval, as far as it fits.
    interval: u16,
    /// In it, lately: at most twice as many as are asked for.
    requests: u16,
    /// Of these.
    failures: u16,
    /// Without an answer that is none, whatever the interval.
    in_a_row: u16,
}

/// Why a backend is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// So many failures in a row.
    InARow(u16),
    /// So many failures of so many requests.
    Share(u16, u16),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InARow(count) => write!(f, "{count} failures in a row"),
            Self::Share(failures, requests) => {
                write!(f, "{failures} of its last {requests} requests failed")
            }
        }
    }
}

impl Tally {
    /// Returns it as a number.
    pub fn to_bits(self) -> u64 {
        let Self {
            interval,
            requests,
            failures,
            in_a_row,
        } = self;
        [interval, requests, failures, in_a_row]
            .into_iter()
            .fold(0, |bits, part| bits << u16::BITS | u64::from(part))
    }

    /// Returns what such a number means.
    pub fn from_bits(bits: u64) -> Self {
        let [i0, i1, r0, r1, f0, f1, c0, c1] = bits.to_be_bytes();
        Self {
            interval: u16::from_be_bytes([i0, i1]),
            requests: u16::from_be_bytes([r0, r1]),
            failures: u16::from_be_bytes([f0, f1]),
            in_a_row: u16::from_be_bytes([c0, c1]),
        }
    }

    /// Returns it after one more request. What is old counts half where it would outweigh what is
    /// new: a backend that begins to fail is noticed as soon, however much it has answered before.
    #[must_use]
    pub fn after(self, outcome: Outcome, rules: &EjectionRules, now_ms: u64) -> Self {
        let interval_ms = rules.interval.as_millis().max(1);
        // Only whether it is another one counts.
        let number = (u128::from(now_ms) / interval_ms) & u128::from(u16::MAX);
        let interval = u16::try_from(number).unwrap_or_default();
        let mut next = self;
        if interval != self.interval {
            (next.requests, next.failures) = (0, 0);
        } else if self.requests >= rules.requests.saturating_mul(2) {
            (next.requests, next.failures) = (self.requests / 2, self.failures.div_ceil(2));
        }
        next.interval = interval;
        next.requests = next.requests.saturating_add(1);
        match outcome {
            Outcome::Success => next.in_a_row = 0,
            Outcome::Failure => {
                next.failures = next.failures.saturating_add(1);
                next.in_a_row = next.in_a_row.saturating_add(1);
            }
        }
        next
    }

    /// Returns why the backend is to be taken out, if it is.
    pub fn reason(self, rules: &EjectionRules) -> Option<Reason> {
        if self.in_a_row >= rules.consecutive_failures {
            return Some(Reason::InARow(self.in_a_row));
        }
        let failed = u32::from(self.failures) * 100;
        let is_share = failed >= u32::from(self.requests) * u32::from(rules.failures);
        (self.requests >= rules.requests && is_share)
            .then_some(Reason::Share(self.failures, self.requests))
    }
}

/// The ejections of a backend so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// How many, less one for each interval without any.
    pub count: u32,
    /// When the last one ends, or has ended; 0 where there was none.
    pub until_ms: u64,
}

impl Record {
    /// Returns it after one more that begins now.
    #[must_use]
    pub fn after(self, rules: &EjectionRules, now_ms: u64) -> Self {
        let quiet_ms = u128::from(now_ms.saturating_sub(self.until_ms));
        let forgiven = quiet_ms / rules.interval.as_millis().max(1);
        let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
        let count = self.count.saturating_sub(forgiven).saturating_add(1);
        let length = rules.time.saturating_mul(count).min(rules.time_max);
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        Self {
            count,
            until_ms: now_ms.saturating_add(length_ms.max(1)),
        }
    }
}

/// How much of a pool is there, of the backends that operators have take requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Backends.
    pub backends: usize,
    /// Those of them that are ejected.
    pub ejected: usize,
    /// Those of them that are neither ejected nor down.
    pub in_use: usize,
}

impl Pool {
    /// Returns whether one that is in use may be ejected, too: half of the pool stays in use
    /// whatever is configured.
    pub fn can_spare_one(self, rules: &EjectionRules) -> bool {
        let most = (self.backends * usize::from(rules.most) / 100).max(1);
        let left = self.in_use.checked_sub(1);
        self.ejected < most && left.is_some_and(|left| 2 * left >= self.backends)
    }

    /// Returns whether one that is ejected must come back before its time: others are down.
    pub fn needs_one(self) -> bool {
        self.ejected > 0 && 2 * self.in_use < self.backends
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: EjectionRules = EjectionRules {
        consecutive_failures: 5,
        failures: 50,
        requests: 10,
        interval: Duration::from_secs(10),
        time: Duration::from_secs(30),
        time_max: Duration::from_secs(100),
        most: 50,
    };

    /// Returns after how many of these requests, one each `step_ms`, the backend is taken out.
    fn ejected_after(
        outcomes: impl Iterator<Item = char>,
        step_ms: u64,
    ) -> Option<(usize, Reason)> {
        let mut tally = Tally::default();
        for (index, outcome) in outcomes.enumerate() {
            let outcome = match outcome {
                '-' => Outcome::Failure,
                _ => Outcome::Success,
            };
            let now_ms = 1_000_000 + step_ms * u64::try_from(index).expect("they are few");
            tally = Tally::from_bits(tally.after(outcome, &RULES, now_ms).to_bits());
            if let Some(reason) = tally.reason(&RULES) {
                return Some((index + 1, reason));
            }
        }
        None
    }

    #[test]
    fn failures_in_a_row_or_their_share_eject() {
        for (outcomes, step_ms, hoped) in [
            ("-----", 0, Some((5, Reason::InARow(5)))),
            // Whatever the interval.
            ("-----", 60_000, Some((5, Reason::InARow(5)))),
            ("----+----+", 0, Some((10, Reason::Share(8, 10)))),
            ("----+----+", 60_000, None),
            ("----+++++", 0, None),
            ("+-+-+-+-+-", 0, Some((10, Reason::Share(5, 10)))),
            ("+-+-+-+-+", 0, None),
            // Five in each interval are too few to say what share fails.
            ("+-+-+-+-+-+-+-+-+-+-+-+-", 2000, None),
            ("++++++----", 0, None),
            ("", 0, None),
        ] {
            let found = ejected_after(outcomes.chars(), step_ms);
            assert_eq!(found, hoped, "{outcomes} each {step_ms} ms");
        }
    }

    #[test]
    fn a_backend_that_begins_to_fail_is_noticed_soon_whatever_was_before() {
        let good = "+".repeat(100_000);
        let bad = "-+".repeat(100);
        let (at, reason) =
            ejected_after(good.chars().chain(bad.chars()), 0).expect("it is noticed");
        assert!(at <= good.len() + 50, "{at}: {reason}");
    }

    #[test]
    fn ejections_are_longer_each_time_and_shorter_after_a_while() {
        let mut record = Record::default();
        let mut now_ms = 1_000_000;
        for (quiet_ms, hoped) in [
            (0, (1, 30_000)),
            (0, (2, 60_000)),
            (9999, (3, 90_000)),
            (0, (4, 100_000)),
            (0, (5, 100_000)),
            (10_000, (5, 100_000)),
            (40_000, (2, 60_000)),
            (3_600_000, (1, 30_000)),
        ] {
            now_ms = record.until_ms.max(now_ms) + quiet_ms;
            record = record.after(&RULES, now_ms);
            assert_eq!((record.count, record.until_ms - now_ms), hoped, "{now_ms}");
        }
    }

    #[test]
    fn ejections_leave_half_of_a_pool() {
        for (backends, most, down, hoped) in [
            (0, 50, 0, 0),
            (1, 50, 0, 0),
            (2, 10, 0, 1),
            (2, 50, 1, 0),
            (3, 50, 0, 1),
            (4, 50, 0, 2),
            (4, 10, 0, 1),
            (4, 50, 1, 1),
            (4, 50, 2, 0),
            (4, 50, 4, 0),
            (20, 10, 0, 2),
            (20, 50, 0, 10),
        ] {
            let rules = EjectionRules { most, ..RULES };
            let mut pool = Pool {
                backends,
                ejected: 0,
                in_use: backends - down,
            };
            while pool.can_spare_one(&rules) {
                pool.ejected += 1;
                pool.in_use -= 1;
            }
            assert_eq!(pool.ejected, hoped, "{backends} {most} % {down} down");
            assert!(!pool.needs_one(), "{pool:?}");
        }
    }

    proptest! {
        #[test]
        fn half_of_a_pool_is_in_use_unless_others_are_down(
            backends in 0usize..50, down in 0usize..50, most in 1u8..=100
        ) {
            let rules = EjectionRules { most, ..RULES };
            let down = down.min(backends);
            let mut pool = Pool { backends, ejected: 0, in_use: backends };
            while pool.can_spare_one(&rules) {
                pool.ejected += 1;
                pool.in_use -= 1;
            }
            prop_assert!(2 * pool.in_use >= backends);
            // Those that go down were in use.
            pool.in_use = pool.in_use.saturating_sub(down);
            while pool.needs_one() {
                pool.ejected -= 1;
                pool.in_use += 1;
            }
            prop_assert!(pool.ejected == 0 || 2 * pool.in_use >= backends);
        }

        #[test]
        fn a_tally_is_a_number(bits in any::<u64>()) {
            prop_assert_eq!(Tally::from_bits(bits).to_bits(), bits);
        }
    }
}
