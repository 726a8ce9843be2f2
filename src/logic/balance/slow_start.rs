//! How much a backend is given that has just come up: a tenth of its weight, and more by and by.
//!
//! Pure: it is told how long ago that was. Who begins so has been away; a backend that is known for
//! the first time, or goes on over a reload, has its whole weight.

use std::time::Duration;

use super::health::Availability;

/// How long a backend begins slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowStart {
    length_ms: u64,
}

/// Whether a backend comes back from maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// It does.
    FromMaintenance,
    /// It was in service.
    No,
}

impl SlowStart {
    /// Returns what lasts so long; `None` where that is nothing.
    pub fn new(length: Duration) -> Option<Self> {
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        (length_ms > 0).then_some(Self { length_ms })
    }

    /// Returns how much of its weight a backend has, in percent, so long after it has come up: from
    /// 10 to 100, evenly.
    pub fn percent(self, up_ms: u64) -> u16 {
        let up_ms = up_ms.min(self.length_ms);
        let more = u128::from(PERCENT_ALL - PERCENT_FIRST) * u128::from(up_ms);
        let more = more / u128::from(self.length_ms);
        PERCENT_FIRST + u16::try_from(more).unwrap_or_default()
    }

    /// Returns what a `weight`, up to 256, is in hundredths of itself: the scale of all backends of
    /// a pool where some begin slowly.
    pub fn weight(self, weight: u16, up_ms: u64) -> u16 {
        weight.saturating_mul(self.percent(up_ms))
    }
}

/// Returns whether a backend begins slowly that was as said and now is.
pub fn begins(was: Availability, is: Availability, returns: Returns) -> bool {
    match (was, is, returns) {
        (Availability::Down, Availability::Up, _)
        | (Availability::Unprobed, Availability::Up, Returns::FromMaintenance) => true,
        (Availability::Unprobed, Availability::Up, Returns::No)
        | (Availability::Up, Availability::Up, _)
        | (_, Availability::Unprobed | Availability::Down, _) => false,
    }
}

const PERCENT_FIRST: u16 = 10;
/// Of a backend that has been up for long enough.
pub const PERCENT_ALL: u16 = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::logic::balance::pick::{Candidate, RoundRobin, least_connections, random_of_two};

    fn slow(length_ms: u64) -> SlowStart {
        SlowStart::new(Duration::from_millis(length_ms)).expect("it lasts")
    }

    #[test]
    fn weight_grows_evenly() {
        for (length_ms, up_ms, percent) in [
            (30_000, 0, 10),
            (30_000, 1_000, 13),
            (30_000, 15_000, 55),
            (30_000, 29_999, 99),
            (30_000, 30_000, 100),
            (30_000, u64::MAX, 100),
            (1, 0, 10),
            (1, 1, 100),
            (u64::MAX, u64::MAX / 2, 54),
        ] {
            let got = slow(length_ms).percent(up_ms);
            assert_eq!(got, percent, "{up_ms} of {length_ms}");
        }
        assert_eq!(SlowStart::new(Duration::ZERO), None);
        assert_eq!(slow(1).weight(256, 1), 25_600, "it has room");
    }

    #[test]
    fn who_has_been_away_begins_slowly() {
        use Availability::{Down, Unprobed, Up};
        use Returns::{FromMaintenance, No};
        let mut found = Vec::new();
        for was in [Unprobed, Up, Down] {
            for is in [Unprobed, Up, Down] {
                for returns in [FromMaintenance, No] {
                    if begins(was, is, returns) {
                        found.push((was, is, returns));
                    }
                }
            }
        }
        let hoped = [
            (Unprobed, Up, FromMaintenance),
            (Down, Up, FromMaintenance),
            (Down, Up, No),
        ];
        assert_eq!(found, hoped);
    }

    proptest! {
        #[test]
        fn weight_never_shrinks(length_ms in 1..3_600_000u64, up_ms in 0..4_000_000u64) {
            let (now, then) = (slow(length_ms).percent(up_ms), slow(length_ms).percent(up_ms + 1));
            prop_assert!((10..=100).contains(&now) && now <= then);
        }
    }

    /// Returns how many of a thousand requests, which a backend gets that came up at 0, while so
    /// many go on elsewhere: of 0 to 10, 10 to 20 and so on of the 30 seconds that it begins slowly
    /// for.
    fn shares(mut pick: impl FnMut(&mut [Candidate]) -> Option<usize>) -> Vec<usize> {
        let mut all = [0; 2].map(|in_flight| Candidate {
            weight: 0,
            in_flight,
            usable: true,
        });
        let mut shares = Vec::new();
        for tenth in 0..4 {
            let mut got = 0;
            for request in 0..1000 {
                let now_ms = tenth * 10_000 + request * 10;
                all[0].weight = slow(30_000).weight(1, now_ms);
                all[1].weight = slow(30_000).weight(1, u64::MAX);
                got += usize::from(pick(&mut all.clone()) == Some(0));
            }
            shares.push(got);
        }
        shares
    }

    fn assert_grows(shares: &[usize]) {
        // The mean percentages 25, 55, 85 and 100 against 100.
        for (share, hoped) in shares.iter().zip([197, 354, 459, 500_usize]) {
            assert!(share.abs_diff(hoped) < 50, "{shares:?}");
        }
    }

    #[test]
    fn shares_grow_however_backends_are_picked() {
        let mut wheel = RoundRobin::new(&[1, 1], 0);
        assert_grows(&shares(|all| wheel.pick(all)));
        let mut wheel = RoundRobin::new(&[1, 1], 0);
        assert_grows(&shares(|all| least_connections(all, &mut wheel)));
        let mut chance = 7_u64;
        let mut random = || {
            chance = chance.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            chance >> 20
        };
        assert_grows(&shares(|all| random_of_two(all, [random(), random()])));
    }

    /// Where requests last, a backend has as many of them as its weight allows.
    #[test]
    fn requests_in_progress_follow_the_weight() {
        let mut wheel = RoundRobin::new(&[1, 1], 0);
        let mut all = [10, 100].map(|weight| Candidate {
            weight,
            in_flight: 0,
            usable: true,
        });
        for _ in 0..110 {
            let picked = least_connections(&mut all.clone(), &mut wheel).expect("both are usable");
            all[picked].in_flight += 1;
        }
        assert_eq!(all.map(|one| one.in_flight), [10, 100]);
    }
}
