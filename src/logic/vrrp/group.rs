//! Virtual routers that move together: the families of one entry, and entries that are synchronized.
//!
//! Each holds its own election; the group only decides whether its outcome may be lived. All are Active or none is:
//! nobody stands before everybody would (a Backup that still hears an Active for one address keeps all of them where
//! they are), whoever loses one address gives the others up as well, and nobody takes part while one cannot.
//! After every event the shell asks `decide` and obeys until it says [`Order::Nothing`].

use std::time::Instant;

use super::router::VirtualRouter;
use super::state::Wish;

/// What every member of the group is told; who is not concerned ignores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All is as it should be.
    Nothing,
    /// One cannot take part.
    HoldBack,
    /// All can take part again.
    LetIn,
    /// One has left Active.
    Follow,
    /// All would be Active.
    Stand,
}

impl Order {
    /// Tells a member.
    pub fn tell(self, member: &mut VirtualRouter, now: Instant) {
        match self {
            Self::Nothing => {}
            Self::HoldBack => member.hold_back(now),
            Self::LetIn => member.let_in(now),
            Self::Follow => member.follow(now),
            Self::Stand => member.stand(now),
        }
    }
}

/// Decides from what the members say.
pub fn decide(wishes: impl Iterator<Item = Wish> + Clone) -> Order {
    let any = |wish| wishes.clone().any(|said| said == wish);
    if any(Wish::Nothing) {
        // The daemon starts or stops: every router is told on its own.
        Order::Nothing
    } else if any(Wish::Blocked) {
        let others = any(Wish::Following) || any(Wish::Standing) || any(Wish::Leading);
        if others {
            Order::HoldBack
        } else {
            Order::Nothing
        }
    } else if any(Wish::HeldBack) {
        Order::LetIn
    } else if any(Wish::Following) {
        if any(Wish::Leading) {
            Order::Follow
        } else {
            Order::Nothing
        }
    } else if any(Wish::Standing) {
        Order::Stand
    } else {
        Order::Nothing
    }
}

/// After so many orders in a row a group is at rest: let in, follow, stand.
pub const ORDERS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Wish; 6] = [
        Wish::Nothing,
        Wish::Blocked,
        Wish::HeldBack,
        Wish::Following,
        Wish::Standing,
        Wish::Leading,
    ];

    #[test]
    fn every_pair_of_wishes_has_its_order() {
        let expected = [
            [Order::Nothing; 6],
            // One that is blocked lets nobody take part; whoever is held back already stays so.
            [
                Order::Nothing,
                Order::Nothing,
                Order::Nothing,
                Order::HoldBack,
                Order::HoldBack,
                Order::HoldBack,
            ],
            [
                Order::Nothing,
                Order::Nothing,
                Order::LetIn,
                Order::LetIn,
                Order::LetIn,
                Order::LetIn,
            ],
            [
                Order::Nothing,
                Order::HoldBack,
                Order::LetIn,
                Order::Nothing,
                Order::Nothing,
                Order::Follow,
            ],
            [
                Order::Nothing,
                Order::HoldBack,
                Order::LetIn,
                Order::Nothing,
                Order::Stand,
                Order::Stand,
            ],
            [
                Order::Nothing,
                Order::HoldBack,
                Order::LetIn,
                Order::Follow,
                Order::Stand,
                Order::Nothing,
            ],
        ];
        for (one, row) in ALL.iter().zip(expected) {
            for (other, order) in ALL.iter().zip(row) {
                let decided = decide([*one, *other].into_iter());
                assert_eq!(decided, order, "{one:?} and {other:?}");
            }
        }
    }
}
