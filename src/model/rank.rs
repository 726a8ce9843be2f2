//! The place of a node among those that the file names for an entry, and the two priorities that
//! follow from it.
//!
//! Whatever numbers somebody chose, a node that cannot serve must stand below every node that can.
//! So the lowest numbers belong to those that cannot: of N nodes each has one of 1 to N, its rank,
//! and none that can serve stands below N + its rank. `logic::track` says which of the two holds.

use std::collections::BTreeMap;

use super::Priority;

/// With which priorities a node stands in the election of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    base: Priority,
    place: u8,
    nodes: u8,
}

impl Rank {
    /// Returns the rank of a node among the base priorities by node: the lowest is the first, and
    /// between equal ones the name that comes first.
    ///
    /// `None` if the node is not among them, or if they are more than [`Rank::NODES_MAX`].
    pub fn among(node: &str, bases: &BTreeMap<String, Priority>) -> Option<Self> {
        let base = *bases.get(node)?;
        let nodes = u8::try_from(bases.len()).ok()?;
        let lower = bases
            .iter()
            .filter(|(name, other)| (**other, name.as_str()) < (base, node));
        let place = u8::try_from(lower.count()).ok()?.checked_add(1)?;
        (nodes <= Self::NODES_MAX).then_some(Self { base, place, nodes })
    }

    /// Returns the rank of a node beside which the file names no other.
    pub const fn alone(base: Priority) -> Self {
        Self {
            base,
            place: 1,
            nodes: 1,
        }
    }

    /// Returns the rank of the address owner, who is 255 or not there (RFC 9568 §5.2.4).
    pub const fn owner() -> Self {
        Self::alone(Priority::OWNER)
    }

    /// Returns this rank with another base priority, 1 to 254: the place among the nodes, which the
    /// others know from their file, stays; an owner's base never changes.
    pub fn with_base(self, base: u8) -> Self {
        let base = base.clamp(1, Priority::MAX.get());
        match self.ill() {
            Some(_) => Self {
                base: Priority::from_wire(base),
                ..self
            },
            None => self,
        }
    }

    /// Returns the base priority, as configured.
    pub const fn base(self) -> Priority {
        self.base
    }

    /// Returns the priority of a node that can serve: the base priority, but never below N + its
    /// rank.
    pub fn well(self) -> Priority {
        self.base.max(Priority::from_wire(self.nodes + self.place))
    }

    /// Returns the priority of a node that serves from what answers in the place of something else:
    /// N + its rank, above all that cannot serve and, as long as base priorities are above 2 N,
    /// below all others that can. An owner's never changes.
    pub fn substituted(self) -> Priority {
        match self.ill() {
            Some(_) => Priority::from_wire(self.nodes + self.place),
            None => self.base,
        }
    }

    /// Returns the priority of a node that cannot serve, 1 to N; `None` for an owner, who is never
    /// lowered.
    pub fn ill(self) -> Option<Priority> {
        (self.base != Priority::OWNER).then_some(Priority::from_wire(self.place))
    }

    /// Returns the priority of a node that can serve when so much is added to its base, or taken
    /// away: not below that of a node that cannot, not above 254; an owner's never changes.
    pub fn changed_by(self, by: i64) -> Priority {
        let Some(floor) = self.ill() else {
            return self.well();
        };
        let sum = i64::from(self.well().get()).saturating_add(by);
        let kept = sum.clamp(i64::from(floor.get()), i64::from(Priority::MAX.get()));
        u8::try_from(kept).map_or(floor, Priority::from_wire)
    }

    /// Returns the highest priority with which a node of the file cannot serve: N.
    pub const fn ill_max(self) -> Priority {
        Priority::from_wire(self.nodes)
    }

    /// So many nodes find a place for both: N + N is not above 254.
    pub const NODES_MAX: u8 = 127;
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn ranks(bases: &[u8]) -> Vec<Rank> {
        let name = |at: usize| format!("lb{at:03}");
        let map: BTreeMap<String, Priority> = (0..)
            .zip(bases)
            .map(|(at, base)| (name(at), Priority::new(*base).unwrap()))
            .collect();
        let rank = |at| Rank::among(&name(at), &map).unwrap();
        (0..bases.len()).map(rank).collect()
    }

    #[test]
    fn every_node_has_a_priority_for_when_it_can_serve_and_one_for_when_it_cannot() {
        type Row<'a> = (&'a [u8], &'a [(u8, u8)]);
        // Base priorities in the order of the names; of each node well, and ill.
        let table: &[Row<'_>] = &[
            (&[100], &[(100, 1)]),
            (&[1], &[(2, 1)]),
            (&[254, 100], &[(254, 2), (100, 1)]),
            (&[200, 199], &[(200, 2), (199, 1)]),
            (&[1, 254], &[(3, 1), (254, 2)]),
            (&[100, 100], &[(100, 1), (100, 2)]),
            (&[1, 1], &[(3, 1), (4, 2)]),
            (&[2, 3, 4], &[(4, 1), (5, 2), (6, 3)]),
            (&[254, 254, 1], &[(254, 2), (254, 3), (4, 1)]),
        ];
        for (bases, expected) in table {
            let ranks = ranks(bases);
            let both = |rank: &Rank| (rank.well().get(), rank.ill().unwrap().get());
            let found: Vec<(u8, u8)> = ranks.iter().map(both).collect();
            assert_eq!(found, *expected, "{bases:?}");
        }
    }

    #[test]
    fn any_node_that_cannot_serve_stands_below_any_that_can_and_the_order_stays() {
        for count in 1..=usize::from(Rank::NODES_MAX) {
            for seed in 0..8 {
                let base =
                    |at: usize| u8::try_from((at * (seed * 37 + 1) + seed) % 254 + 1).unwrap();
                let bases: Vec<u8> = (0..count).map(base).collect();
                let ranks = ranks(&bases);
                let lowest_well = ranks.iter().map(|rank| rank.well()).min().unwrap();
                let mut ill: Vec<Priority> = ranks.iter().map(|rank| rank.ill().unwrap()).collect();
                let ill_max = ranks[0].ill_max();
                assert!(ill.iter().all(|ill| *ill < lowest_well && *ill <= ill_max));
                assert!(ill_max < lowest_well, "{bases:?}");
                ill.sort();
                ill.dedup();
                assert_eq!(ill.len(), count, "every rank is another: {bases:?}");
                assert_eq!(ill[0], Priority::MIN, "and none is below 1");
                for (one, other) in ranks.iter().zip(&ranks[1..]) {
                    let (bases, well) = (one.base.cmp(&other.base), one.well().cmp(&other.well()));
                    assert!(bases.is_eq() || bases == well, "{one:?} {other:?}");
                    assert!(one.well() <= Priority::MAX);
                }
            }
        }
    }

    #[test]
    fn more_nodes_than_there_are_places_have_no_rank() {
        let name = |at: usize| format!("lb{at}");
        let map = |count| (0..count).map(|at| (name(at), Priority::MIN)).collect();
        assert!(Rank::among("lb0", &map(127)).is_some());
        assert_eq!(Rank::among("lb0", &map(128)), None);
        assert_eq!(Rank::among("lb9", &map(2)), None, "nor has a stranger");
    }

    #[test]
    fn owner_is_never_lowered() {
        assert_eq!(Rank::owner().well(), Priority::OWNER);
        assert_eq!(Rank::owner().ill(), None);
    }
}
