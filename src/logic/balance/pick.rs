//! Who gets the next request.
//!
//! Pure: it is told who may be picked, how busy each is and, where chance is wanted, the random
//! numbers. It refuses to know why a backend is usable (`health` and the caller's list of those
//! already tried decide). Read `retry` next.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::hash::HashOn;
use super::health::Availability;

/// How the next backend is picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The less busy of two picked at random; the default.
    RandomOfTwo,
    /// In turn, by weight.
    RoundRobin,
    /// The least busy of all, by weight; in turn among those that are equally busy.
    LeastConnections,
    /// The same one for the same key; for a request without a key as `RandomOfTwo`.
    Hash(HashOn),
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RandomOfTwo => f.write_str("random_of_two"),
            Self::RoundRobin => f.write_str("round_robin"),
            Self::LeastConnections => f.write_str("least_connections"),
            Self::Hash(on) => write!(f, "hash of {on}"),
        }
    }
}

/// What picking wants to know of one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its share, 1 to 256.
    pub weight: u16,
    /// Requests in flight to it now.
    pub in_flight: u64,
    /// Whether it may be picked.
    pub usable: bool,
}

/// The order in which backends are used: one is picked only if no backend of a lower rank exists.
///
/// Full backends keep their rank: requests wait for them rather than spill to a worse rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// It answers its probes.
    Up,
    /// It could not be connected to or was silent a moment ago, which its probes have not noticed.
    UpEjected,
    /// Nothing is known of it.
    Unprobed,
    /// Nothing is known of it but that it could not be connected to or was silent a moment ago.
    UnprobedEjected,
}

/// Whether a backend is for every day. Of two backends of the same rank the primary goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// It is.
    #[default]
    Primary,
    /// It is for when no primary of its rank is there.
    Backup,
}

/// Takes the backups of the `lowest` rank, which some backend has, out of the ranks where a primary
/// has it too; returns the tier of those who have it then.
///
/// So a backup that is up goes before a primary that could not be connected to a moment ago.
pub fn leave_backups_out(
    ranks: &mut [Option<Rank>],
    tiers: impl Iterator<Item = Tier> + Clone,
    lowest: Rank,
) -> Tier {
    let mut tiered = ranks.iter().zip(tiers.clone());
    if !tiered.any(|it| it == (&Some(lowest), Tier::Primary)) {
        return Tier::Backup;
    }
    for (rank, tier) in ranks.iter_mut().zip(tiers) {
        rank.take_if(|_| tier == Tier::Backup);
    }
    Tier::Primary
}

/// Whether a backend could not be connected to, or was silent, a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ejection {
    /// It could not.
    Ejected,
    /// It could, or has not been tried.
    None,
}

impl Rank {
    /// Returns the rank of a backend; `None` where it is not asked at all.
    pub fn of(availability: Availability, ejection: Ejection) -> Option<Self> {
        match (availability, ejection) {
            (Availability::Up, Ejection::None) => Some(Self::Up),
            (Availability::Up, Ejection::Ejected) => Some(Self::UpEjected),
            (Availability::Unprobed, Ejection::None) => Some(Self::Unprobed),
            (Availability::Unprobed, Ejection::Ejected) => Some(Self::UnprobedEjected),
            (Availability::Down, Ejection::Ejected | Ejection::None) => None,
        }
    }
}

/// Returns the less busy, by weight, of two candidates that `chance` picks by weight; `None` if
/// none is usable.
///
/// With one usable candidate it is that one. Both random numbers may be any; they are taken modulo
/// the weights.
pub fn random_of_two(candidates: &[Candidate], chance: [u64; 2]) -> Option<usize> {
    let first = by_weight(candidates, chance[0], None)?;
    let Some(second) = by_weight(candidates, chance[1], Some(first)) else {
        return Some(first);
    };
    let (a, b) = (&candidates[first], &candidates[second]);
    Some(if load_beside(a, b) <= load_beside(b, a) {
        first
    } else {
        second
    })
}

/// Returns what is to be compared with the same of the other: `of.in_flight / of.weight`, without
/// dividing.
fn load_beside(of: &Candidate, other: &Candidate) -> u128 {
    u128::from(of.in_flight) * u128::from(other.weight.max(1))
}

/// Returns the least busy, by weight, of all candidates; among those that are equally busy it is
/// the `wheel`'s turn. `None` if none is usable.
///
/// The candidates that are busier are no longer usable afterwards. It looks at each three times,
/// however many there are.
pub fn least_connections(candidates: &mut [Candidate], wheel: &mut RoundRobin) -> Option<usize> {
    let usable = candidates.iter().filter(|candidate| candidate.usable);
    let least = *usable.min_by(|a, b| load_beside(a, b).cmp(&load_beside(b, a)))?;
    for candidate in &mut *candidates {
        candidate.usable &= load_beside(candidate, &least) <= load_beside(&least, candidate);
    }
    wheel.pick(candidates)
}

fn by_weight(candidates: &[Candidate], chance: u64, except: Option<usize>) -> Option<usize> {
    let eligible = || {
        candidates
            .iter()
            .enumerate()
            .filter(|(index, c)| c.usable && Some(*index) != except)
    };
    let total: u64 = eligible().map(|(_, c)| u64::from(c.weight.max(1))).sum();
    if total == 0 {
        return None;
    }
    let mut rest = chance % total;
    for (index, candidate) in eligible() {
        let weight = u64::from(candidate.weight.max(1));
        if rest < weight {
            return Some(index);
        }
        rest -= weight;
    }
    None
}

/// Smooth weighted round robin: in each cycle everybody gets its weight, and no one gets it in a
/// burst.
#[derive(Clone, Debug)]
pub struct RoundRobin {
    credit: Vec<i64>,
}

impl RoundRobin {
    /// Returns the wheel of a worker. The workers stand at places that are as far from each other
    /// on the way around as they can, however many there are: else a pool of many backends would
    /// see all of them come by the first ones together.
    pub fn of_worker(weights: &[u16], worker: usize) -> Self {
        let part = (worker as u64).wrapping_mul(GOLDEN_PART) & u64::from(u32::MAX);
        let offset = (part * weights.len() as u64) >> u32::BITS;
        Self::new(weights, usize::try_from(offset).unwrap_or_default())
    }

    /// Returns a wheel for `weights` that is `offset` turns ahead.
    pub fn new(weights: &[u16], offset: usize) -> Self {
        let mut wheel = Self {
            credit: vec![0; weights.len()],
        };
        let all: Vec<Candidate> = weights
            .iter()
            .map(|&weight| Candidate {
                weight,
                in_flight: 0,
                usable: true,
            })
            .collect();
        for _ in 0..offset {
            wheel.pick(&all);
        }
        wheel
    }

    /// Returns who is next among the usable; `None` if there is none.
    pub fn pick(&mut self, candidates: &[Candidate]) -> Option<usize> {
        self.credit.resize(candidates.len(), 0);
        let mut total = 0;
        let mut best: Option<usize> = None;
        for (index, candidate) in candidates.iter().enumerate().filter(|(_, c)| c.usable) {
            let weight = i64::from(candidate.weight.max(1));
            total += weight;
            self.credit[index] += weight;
            if best.is_none_or(|b| self.credit[index] > self.credit[b]) {
                best = Some(index);
            }
        }
        let best = best?;
        self.credit[best] -= total;
        Some(best)
    }
}

/// Of a way around that is 2^32 long: by so much each place is behind the one before, in the golden
/// ratio, so that each new one is in the largest gap.
const GOLDEN_PART: u64 = 0x9e37_79b9;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidates(list: &[(u16, u64, bool)]) -> Vec<Candidate> {
        list.iter()
            .map(|&(weight, in_flight, usable)| Candidate {
                weight,
                in_flight,
                usable,
            })
            .collect()
    }

    #[test]
    fn the_up_are_asked_before_the_unprobed_and_the_ejected_last_of_either() {
        let of =
            |availability| [Ejection::None, Ejection::Ejected].map(|is| Rank::of(availability, is));
        let order = [Availability::Up, Availability::Unprobed].map(of).concat();
        assert!(order.iter().all(Option::is_some), "{order:?}");
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
        assert_eq!(of(Availability::Down), [None, None]);
    }

    #[test]
    fn backups_are_left_out_where_a_primary_has_the_lowest_rank() {
        use Rank::{Unprobed, Up, UpEjected};
        use Tier::{Backup, Primary};
        for (ranks, tiers, tier, hoped) in [
            (
                [Some(Up), Some(Up), Some(UpEjected)],
                [Primary, Backup, Primary],
                Primary,
                [Some(Up), None, Some(UpEjected)],
            ),
            (
                [None, Some(Up), Some(Up)],
                [Primary, Backup, Backup],
                Backup,
                [None, Some(Up), Some(Up)],
            ),
            (
                [Some(UpEjected), Some(Up), Some(Unprobed)],
                [Primary, Backup, Primary],
                Backup,
                [Some(UpEjected), Some(Up), Some(Unprobed)],
            ),
            (
                [Some(Unprobed), None, Some(Unprobed)],
                [Primary, Primary, Backup],
                Primary,
                [Some(Unprobed), None, None],
            ),
        ] {
            let lowest = ranks.iter().flatten().min().copied().expect("there is one");
            let mut left = ranks;
            let found = leave_backups_out(&mut left, tiers.into_iter(), lowest);
            assert_eq!((found, left), (tier, hoped), "{ranks:?} {tiers:?}");
        }
    }

    #[test]
    fn round_robin_is_smooth() {
        let all = candidates(&[(5, 0, true), (1, 0, true), (1, 0, true)]);
        let mut wheel = RoundRobin::new(&[5, 1, 1], 0);
        let turns: Vec<_> = (0..7).filter_map(|_| wheel.pick(&all)).collect();
        assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn round_robin_begins_at_its_offset() {
        let all = candidates(&[(1, 0, true), (1, 0, true)]);
        assert_eq!(RoundRobin::new(&[1, 1], 0).pick(&all), Some(0));
        assert_eq!(RoundRobin::new(&[1, 1], 1).pick(&all), Some(1));
    }

    #[test]
    fn workers_do_not_come_by_the_same_backends_together() {
        let weights = [1; 100];
        let all = candidates(&[(1, 0, true); 100]);
        let mut wheels: Vec<_> = (0..4).map(|w| RoundRobin::of_worker(&weights, w)).collect();
        let firsts: Vec<_> = wheels.iter_mut().map(|wheel| wheel.pick(&all)).collect();
        assert_eq!(firsts, [Some(0), Some(61), Some(23), Some(85)]);
    }

    #[test]
    fn round_robin_skips_the_unusable() {
        let some = candidates(&[(1, 0, false), (1, 0, true), (1, 0, false)]);
        let mut wheel = RoundRobin::new(&[1, 1, 1], 0);
        assert_eq!((wheel.pick(&some), wheel.pick(&some)), (Some(1), Some(1)));
        assert_eq!(wheel.pick(&candidates(&[(1, 0, false)])), None);
    }

    #[test]
    fn random_of_two_takes_the_less_busy_by_weight() {
        let all = candidates(&[(1, 5, true), (1, 4, true)]);
        assert_eq!(random_of_two(&all, [0, 0]), Some(1));
        let heavy = candidates(&[(4, 5, true), (1, 4, true)]);
        assert_eq!(random_of_two(&heavy, [4, 0]), Some(0));
        assert_eq!(
            random_of_two(&candidates(&[(1, 9, true), (1, 0, false)]), [1, 1]),
            Some(0)
        );
        assert_eq!(random_of_two(&[], [1, 1]), None);
    }

    /// Returns who gets so many requests, one after another, none of which ends.
    fn least_connections_of(weights: &[u16], requests: usize) -> Vec<usize> {
        let mut all = candidates(&weights.iter().map(|&w| (w, 0, true)).collect::<Vec<_>>());
        let mut wheel = RoundRobin::new(weights, 0);
        let mut given = Vec::new();
        for _ in 0..requests {
            let picked = least_connections(&mut all.clone(), &mut wheel).expect("all are usable");
            all[picked].in_flight += 1;
            given.push(picked);
        }
        given
    }

    #[test]
    fn least_connections_follows_the_table() {
        for (list, hoped) in [
            (&[(1, 5, true), (1, 4, true), (1, 6, true)][..], Some(1)),
            (&[(4, 5, true), (1, 4, true)], Some(0)),
            (&[(1, 5, true), (1, 4, false)], Some(0)),
            (&[(0, 1, true), (1, 0, true)], Some(1)),
            (&[(256, u64::MAX, true), (1, u64::MAX, true)], Some(0)),
            (&[(1, 0, false)], None),
            (&[], None),
        ] {
            let weights: Vec<u16> = list.iter().map(|(weight, ..)| *weight).collect();
            let mut wheel = RoundRobin::new(&weights, 0);
            let picked = least_connections(&mut candidates(list), &mut wheel);
            assert_eq!(picked, hoped, "{list:?}");
        }
    }

    #[test]
    fn the_equally_busy_take_turns_by_weight() {
        let idle = candidates(&[(3, 0, true), (1, 0, true)]);
        let mut wheel = RoundRobin::new(&[3, 1], 0);
        let turns = (0..8).filter_map(|_| least_connections(&mut idle.clone(), &mut wheel));
        assert_eq!(turns.collect::<Vec<_>>(), [0, 0, 1, 0, 0, 0, 1, 0]);
    }

    fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
        proptest::collection::vec((0..=256u16, 0..100u64, any::<bool>()), 0..12)
            .prop_map(|list| candidates(&list))
    }

    proptest! {
        #[test]
        fn a_pick_is_usable_and_there_is_one_if_anybody_is(
            all in any_candidates(), chance in any::<[u64; 2]>()
        ) {
            let anybody = all.iter().any(|c| c.usable);
            let random = random_of_two(&all, chance);
            prop_assert_eq!(random.is_some(), anybody);
            prop_assert!(random.is_none_or(|index| all[index].usable));
            let turn = RoundRobin::new(&vec![1; all.len()], 3).pick(&all);
            prop_assert_eq!(turn.is_some(), anybody);
            prop_assert!(turn.is_none_or(|index| all[index].usable));
            let mut wheel = RoundRobin::new(&vec![1; all.len()], 3);
            let least = least_connections(&mut all.clone(), &mut wheel);
            prop_assert_eq!(least.is_some(), anybody);
            if let Some(least) = least {
                let least = &all[least];
                prop_assert!(least.usable);
                let mut usable = all.iter().filter(|c| c.usable);
                prop_assert!(usable.all(|c| load_beside(least, c) <= load_beside(c, least)));
            }
        }

        /// A backend that comes back has its share of the next cycle, and one turn more at most.
        #[test]
        fn no_burst_follows_an_absence(
            weights in proptest::collection::vec(1..9u16, 2..6), absent in 0..2usize, away in 0..50usize
        ) {
            let mut all = candidates(&weights.iter().map(|&w| (w, 0, true)).collect::<Vec<_>>());
            let mut wheel = RoundRobin::new(&weights, 0);
            all[absent].usable = false;
            (0..away).for_each(|_| assert!(wheel.pick(&all).is_some()));
            all[absent].usable = true;
            let total: usize = weights.iter().copied().map(usize::from).sum();
            let cycle: Vec<_> = (0..total).filter_map(|_| wheel.pick(&all)).collect();
            let got = cycle.iter().filter(|&&index| index == absent).count();
            prop_assert!(got.abs_diff(usize::from(weights[absent])) <= 1, "{:?}", cycle);
        }

        #[test]
        fn requests_that_do_not_end_are_shared_by_weight(
            weights in proptest::collection::vec(1..9u16, 1..6), rounds in 1..4usize
        ) {
            let total: usize = weights.iter().copied().map(usize::from).sum();
            let given = least_connections_of(&weights, rounds * total);
            for (index, weight) in weights.iter().enumerate() {
                let got = given.iter().filter(|&&it| it == index).count();
                prop_assert_eq!(got, rounds * usize::from(*weight), "{:?}", given);
            }
        }

        #[test]
        fn a_cycle_gives_everybody_its_weight(weights in proptest::collection::vec(1..9u16, 1..6)) {
            let all: Vec<_> = weights.iter().map(|&w| (w, 0, true)).collect();
            let all = candidates(&all);
            let mut wheel = RoundRobin::new(&weights, 0);
            let mut given = vec![0u16; weights.len()];
            for _ in 0..weights.iter().sum::<u16>() {
                given[wheel.pick(&all).expect("all are usable")] += 1;
            }
            prop_assert_eq!(given, weights);
        }
    }
}
