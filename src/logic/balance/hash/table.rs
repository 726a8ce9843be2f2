//! Who gets a key: Maglev's table, with weights.
//!
//! Each backend has an order of its own in which it likes the slots, made of its name. In turns
//! that are the more frequent the heavier a backend is, each takes the slot that it likes most of
//! those that are free, until none is. So everybody has slots by weight, to one turn, and keeps
//! nearly all of them when others come or go ("Maglev: A Fast and Reliable Software Network Load
//! Balancer", Eisenbud and others, NSDI 2016, §3.4; turns by weight are ours).
//!
//! The table has all backends of the pool. Who can be picked is known when one is picked: where
//! that is not the backend of a key's slot, it is the one of the key's second slot, and so on. So
//! no other key moves, and those that do go to all others by weight. The slot beside the first
//! would not do: the order in which a backend likes the slots has equal steps, and so neighbors.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter;

use super::key::{Key, hash};
use crate::logic::balance::pick::Candidate;

/// Slots in all tables: a prime, so that every step goes through all of them.
pub const SLOTS: usize = 65_537;

/// The slots of a pool, by the index of the backend that has each. It takes
/// [`Table::BYTES`] and eight bytes for each backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    slots: Box<[u16]>,
    /// Of their names.
    hashes: Box<[u64]>,
}

impl Table {
    /// What the slots take.
    pub const BYTES: usize = SLOTS * size_of::<u16>();

    /// Returns the table of backends, by name and weight: the same slots for the same backends in
    /// any order. Those of weight 0 have none, nor have those behind the first 65,535.
    ///
    /// It takes some milliseconds.
    pub fn new(backends: &[(&str, u16)]) -> Self {
        let mut slots = vec![FREE; SLOTS].into_boxed_slice();
        let mut likings: Vec<Liking> = backends.iter().map(|(name, _)| Liking::of(name)).collect();
        let numbered = backends.iter().zip(0..FREE);
        let mut turns: BinaryHeap<Reverse<Turn<'_>>> = numbered
            .filter(|((_, weight), _)| *weight > 0)
            .map(|((name, weight), backend)| {
                let pause = PAUSE / u64::from(*weight);
                let at = 0;
                Reverse(Turn {
                    at,
                    name,
                    pause,
                    backend,
                })
            })
            .collect();
        let mut free = SLOTS;
        while free > 0
            && let Some(Reverse(turn)) = turns.pop()
        {
            let slot = likings[usize::from(turn.backend)].next_free(&slots);
            slots[slot] = turn.backend;
            free -= 1;
            let at = turn.at + turn.pause;
            turns.push(Reverse(Turn { at, ..turn }));
        }
        let hashes = backends
            .iter()
            .map(|(name, _)| hash(OF_RANKS, name.as_bytes()));
        Self {
            slots,
            hashes: hashes.collect(),
        }
    }

    /// Returns who gets a key: the first that is usable of those who have the key's slots, in their
    /// order; `None` if none is usable. The candidates are the backends that the table was made of.
    pub fn pick(&self, key: Key, candidates: &[Candidate]) -> Option<usize> {
        let owner = |number: u64| usize::from(self.slots[within(number, SLOTS)]);
        let is_usable = |index: &usize| candidates.get(*index).is_some_and(|one| one.usable);
        let others = (1..SLOTS_TRIED).map(|n| mix(key.0.wrapping_add(n.wrapping_mul(GOLDEN_STEP))));
        let mut owners = iter::once(key.0).chain(others).map(owner);
        let next = owners.find(is_usable);
        next.or_else(|| self.highest_ranked(key, candidates))
    }

    /// Returns the usable candidate that ranks highest for a key, whatever the weights.
    fn highest_ranked(&self, key: Key, candidates: &[Candidate]) -> Option<usize> {
        let ranked = self.hashes.iter().zip(candidates).enumerate();
        let usable = ranked.filter(|(_, (_, candidate))| candidate.usable);
        let highest = usable.max_by_key(|(_, (hash, _))| mix(key.0 ^ **hash))?;
        Some(highest.0)
    }
}

/// When a backend takes a slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn<'n> {
    at: u64,
    /// Tells apart those that have the same time.
    name: &'n str,
    pause: u64,
    backend: u16,
}

/// In which order a backend likes the slots.
struct Liking {
    next: usize,
    step: usize,
}

impl Liking {
    fn of(name: &str) -> Self {
        Self {
            next: within(hash(OF_OFFSETS, name.as_bytes()), SLOTS),
            step: within(hash(OF_STEPS, name.as_bytes()), SLOTS - 1) + 1,
        }
    }

    /// Returns the next slot that nobody has; there must be one.
    fn next_free(&mut self, slots: &[u16]) -> usize {
        loop {
            let slot = self.next;
            self.next = (slot + self.step) % SLOTS;
            if slots[slot] == FREE {
                return slot;
            }
        }
    }
}

fn within(number: u64, bound: usize) -> usize {
    usize::try_from(number % bound as u64).unwrap_or_default()
}

/// Mixes all bits of a number into each other ("Fast splittable pseudorandom number generators",
/// Steele, Lea and Flood, 2014).
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Nobody's slot.
const FREE: u16 = u16::MAX;
/// Between two turns of a backend of weight 1: so much that what is lost in dividing it by a weight
/// is nothing beside a turn, and no sum of it overflows.
const PAUSE: u64 = 1 << 40;
/// So many slots are looked at for a backend that is usable, so that a request costs no more where
/// hardly any is.
const SLOTS_TRIED: u64 = 1024;
/// What is mixed for the next slot is behind by so much: what `mix` is made for.
const GOLDEN_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

const OF_OFFSETS: [u64; 2] = [0x6576_656e_6b65_656c, 2];
const OF_STEPS: [u64; 2] = [0x6576_656e_6b65_656c, 3];
const OF_RANKS: [u64; 2] = [0x6576_656e_6b65_656c, 4];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns so many backends of weight 1.
    fn even(count: usize) -> Vec<(String, u16)> {
        (0..count).map(|n| (format!("web{n}"), 1)).collect()
    }

    fn table(backends: &[(String, u16)]) -> Table {
        let backends: Vec<_> = backends.iter().map(|(n, w)| (n.as_str(), *w)).collect();
        Table::new(&backends)
    }

    fn all(count: usize) -> Vec<Candidate> {
        let one = Candidate {
            weight: 1,
            in_flight: 0,
            usable: true,
        };
        vec![one; count]
    }

    fn shares(table: &Table, count: usize) -> Vec<usize> {
        let mut shares = vec![0; count];
        for &slot in &table.slots {
            shares[usize::from(slot)] += 1;
        }
        shares
    }

    /// Returns by what part of all slots two tables differ, by name, in a thousandth of a percent.
    fn moved(one: (&Table, &[(String, u16)]), two: (&Table, &[(String, u16)])) -> usize {
        let name = |(table, backends): (&Table, &[(String, u16)]), slot: usize| {
            backends[usize::from(table.slots[slot])].0.clone()
        };
        let moved = (0..SLOTS).filter(|&slot| name(one, slot) != name(two, slot));
        moved.count() * 100_000 / SLOTS
    }

    /// Literal values: nodes of different versions must agree.
    #[test]
    fn keys_go_where_they_have_always_gone() {
        let table = table(&[("a".into(), 1), ("b".into(), 2), ("c".into(), 5)]);
        let keys = (0..16).map(|n| Key::of(format!("/{n}").as_bytes()));
        let picked: Vec<_> = keys.filter_map(|key| table.pick(key, &all(3))).collect();
        assert_eq!(picked, [1, 2, 2, 0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
        let mut some = all(3);
        some[2].usable = false;
        let keys = (0..16).map(|n| Key::of(format!("/{n}").as_bytes()));
        let picked: Vec<_> = keys.filter_map(|key| table.pick(key, &some)).collect();
        assert_eq!(picked, [1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0]);
        let ranked = (0..8).filter_map(|n| table.highest_ranked(Key(n), &all(3)));
        assert_eq!(ranked.collect::<Vec<_>>(), [1, 2, 2, 2, 1, 1, 0, 2]);
        let bytes: Vec<u8> = table
            .slots
            .iter()
            .flat_map(|slot| slot.to_le_bytes())
            .collect();
        assert_eq!(hash([0, 0], &bytes), 14_329_302_978_671_950_745);
    }

    #[test]
    fn slots_are_shared_by_weight_to_one_turn() {
        for weights in [
            &[1][..],
            &[1, 1, 1],
            &[5, 1, 1],
            &[256, 1],
            &[3, 7, 11, 200],
        ] {
            let named = weights.iter().enumerate();
            let backends: Vec<_> = named.map(|(n, &w)| (format!("b{n}"), w)).collect();
            let total: usize = weights.iter().map(|&w| usize::from(w)).sum();
            let shares = shares(&table(&backends), weights.len());
            for (share, weight) in shares.iter().zip(weights) {
                let fair = SLOTS * usize::from(*weight) / total;
                assert!(
                    share.abs_diff(fair) <= weights.len(),
                    "{weights:?}: {shares:?}"
                );
            }
        }
    }

    #[test]
    fn backends_without_weight_are_as_if_they_were_not_there() {
        let some = [("a".to_owned(), 3), ("c".to_owned(), 1)];
        let all = [
            ("a".to_owned(), 3),
            ("b".to_owned(), 0),
            ("c".to_owned(), 1),
        ];
        let (one, two) = (table(&some), table(&all));
        assert_eq!(moved((&one, &some), (&two, &all)), 0);
    }

    #[test]
    fn everybody_has_a_slot_in_a_large_pool() {
        let mut backends = even(400);
        backends
            .iter_mut()
            .skip(1)
            .for_each(|(_, weight)| *weight = 256);
        assert!(
            shares(&table(&backends), 400)
                .iter()
                .all(|&share| share > 0)
        );
        assert!(table(&[]).pick(Key(1), &[]).is_none());
    }

    /// A backend that is taken out of the configuration moves its own keys, and few others.
    #[test]
    fn little_moves_when_a_backend_goes() {
        for count in [2, 3, 10, 50] {
            let backends = even(count);
            let full = table(&backends);
            for gone in [0, count / 2, count - 1] {
                let mut left = backends.clone();
                left.remove(gone);
                let moved = moved((&full, &backends), (&table(&left), &left));
                assert!(
                    moved <= 100_000 / count + 1000,
                    "{moved} of 100000 of {count}"
                );
            }
        }
    }

    #[test]
    fn little_moves_when_a_heavy_backend_goes() {
        let mut backends = even(5);
        backends[2].1 = 4;
        let full = table(&backends);
        let mut left = backends.clone();
        left.remove(2);
        let moved = moved((&full, &backends), (&table(&left), &left));
        assert!(moved <= 50_000 + 1000, "{moved} of 100000");
    }

    /// Real keys are as even as their slots.
    #[test]
    fn keys_are_shared_by_weight() {
        let backends = [
            ("a".to_owned(), 1),
            ("b".to_owned(), 2),
            ("c".to_owned(), 1),
        ];
        let table = table(&backends);
        let mut got = [0; 3];
        for n in 0..40_000 {
            let key = Key::of(format!("/item/{n}?").as_bytes());
            got[table.pick(key, &all(3)).expect("all are usable")] += 1;
        }
        for (got, hoped) in got.iter().zip([10_000, 20_000, 10_000_i32]) {
            assert!((got - hoped).abs() < hoped / 25, "{got} of {hoped}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn the_order_in_the_file_is_nothing(
            weights in proptest::collection::vec(1..=256u16, 1..12), turn in 0..12usize
        ) {
            let named = weights.iter().enumerate();
            let backends: Vec<_> = named.map(|(n, &w)| (format!("b{n}"), w)).collect();
            let mut other = backends.clone();
            other.rotate_left(turn % weights.len());
            other.swap(0, weights.len() / 2);
            let (one, two) = (table(&backends), table(&other));
            prop_assert_eq!(moved((&one, &backends), (&two, &other)), 0);
        }

        /// A key whose backend cannot be picked goes to the next one of its own, whoever else is
        /// out; nobody else's key moves; and it comes back.
        #[test]
        fn keys_move_only_where_their_backend_is_out(
            usable in proptest::collection::vec(any::<bool>(), 2..12), keys in any::<[u64; 32]>()
        ) {
            let count = usable.len();
            let table = table(&even(count));
            let mut some = all(count);
            some.iter_mut().zip(&usable).for_each(|(one, usable)| one.usable = *usable);
            for key in keys.map(Key) {
                let preferred = table.pick(key, &all(count)).expect("all are usable");
                let picked = table.pick(key, &some);
                prop_assert_eq!(picked.is_some(), usable.contains(&true));
                prop_assert!(picked.is_none_or(|index| usable[index]));
                if usable[preferred] {
                    prop_assert_eq!(picked, Some(preferred));
                }
                // Another one that goes out moves none but its own.
                if let Some(picked) = picked {
                    for other in (0..count).filter(|&other| other != picked) {
                        let mut fewer = some.clone();
                        fewer[other].usable = false;
                        prop_assert_eq!(table.pick(key, &fewer), Some(picked));
                    }
                }
            }
        }
    }

    /// Those of a backend that is out are spread over all others by weight.
    #[test]
    fn what_a_backend_leaves_is_shared_by_weight() {
        let backends = [("a", 2), ("b", 1), ("c", 2), ("d", 1)];
        let table = Table::new(&backends);
        let mut some = all(4);
        some[0].usable = false;
        let mut got = [0; 4];
        for n in 0..60_000_u32 {
            let key = Key::of(&n.to_le_bytes());
            if table.pick(key, &all(4)) == Some(0) {
                got[table.pick(key, &some).expect("three are usable")] += 1;
            }
        }
        for (got, hoped) in got.iter().zip([0, 5000, 10_000, 5000_i32]) {
            assert!((got - hoped).abs() <= hoped / 15, "{got} of {hoped}");
        }
    }

    /// However few are usable, a pick looks at a bounded part of the table.
    #[test]
    fn the_only_one_left_gets_all_keys() {
        let mut backends = even(300);
        backends
            .iter_mut()
            .skip(1)
            .for_each(|(_, weight)| *weight = 256);
        let table = table(&backends);
        let mut one = all(300);
        one.iter_mut().skip(1).for_each(|one| one.usable = false);
        assert!((0..200).all(|n| table.pick(Key(n), &one) == Some(0)));
    }
}
