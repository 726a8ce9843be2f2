//! Sync groups: virtual routers that move together, as the families of one entry and the entries
//! that `synchronize_with` names do.
//!
//! Each member holds its own election; the group decides whether the outcome takes effect. Either
//! all members are Active or none is. A member becomes Active only when every member is a
//! candidate: a Backup that still hears an Active keeps the whole group where it is. A member that
//! leaves Active takes the others with it, and none takes part while one cannot.
//!
//! A member that has no source (its family is switched off, for one), or whose link is down and not
//! required, is left out: the rest serves. One without a source lowers the rest below every node
//! that has all. When it is back it joins the others where they are.
//!
//! After every event the shell applies `wholeness`, then calls `decide` and applies its commands
//! until it returns [`GroupCommand::Nothing`].

use std::time::Instant;

use super::router::VirtualRouter;
use super::state::MemberState;

/// A command for every member of the group; a member that it does not concern ignores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupCommand {
    /// The group is at rest.
    Nothing,
    /// A member cannot take part: no other does.
    HoldBack,
    /// Every member can take part again.
    Admit,
    /// A member has left Active: those that are Active stand for election again.
    Reelect,
    /// Every member is a candidate, or joins Active ones: all become Active.
    Promote,
    /// A member has no source: the others stand below every node that has all.
    Impair,
    /// Every member has its source.
    Restore,
}

impl GroupCommand {
    /// Applies the command to a member.
    pub fn apply(self, member: &mut VirtualRouter, now: Instant) {
        match self {
            Self::Nothing => {}
            Self::HoldBack => member.hold_back(now),
            Self::Admit => member.admit(now),
            Self::Reelect => member.reelect(now),
            Self::Promote => member.promote(now),
            Self::Impair => member.impair(now),
            Self::Restore => member.restore(now),
        }
    }
}

/// Decides what the group does, from the states of its members.
pub fn decide(states: impl Iterator<Item = MemberState> + Clone) -> GroupCommand {
    let any = |state| states.clone().any(|member| member == state);
    if any(MemberState::NotStarted) {
        // The daemon starts or stops: every router is told on its own.
        GroupCommand::Nothing
    } else if any(MemberState::Blocked) {
        let others = [
            MemberState::Returning,
            MemberState::Backup,
            MemberState::Candidate,
            MemberState::Active,
        ];
        if others.into_iter().any(any) {
            GroupCommand::HoldBack
        } else {
            GroupCommand::Nothing
        }
    } else if any(MemberState::HeldBack) {
        GroupCommand::Admit
    } else if any(MemberState::Backup) {
        if any(MemberState::Active) {
            GroupCommand::Reelect
        } else {
            GroupCommand::Nothing
        }
    } else if any(MemberState::Returning) && !any(MemberState::Active) {
        // Nobody to join: it waits for its own election.
        GroupCommand::Nothing
    } else if any(MemberState::Candidate) || any(MemberState::Returning) {
        GroupCommand::Promote
    } else {
        GroupCommand::Nothing
    }
}

/// Says whether the members stand as a whole group, from their states.
pub fn wholeness(states: impl Iterator<Item = MemberState>) -> GroupCommand {
    let mut states = states;
    if states.any(|member| member == MemberState::Absent) {
        GroupCommand::Impair
    } else {
        GroupCommand::Restore
    }
}

/// A group is at rest after at most so many commands in a row: admit, re-elect, promote.
pub const COMMANDS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    use GroupCommand::{Admit, HoldBack, Nothing, Promote, Reelect};

    const ALL: [MemberState; 9] = [
        MemberState::NotStarted,
        MemberState::Blocked,
        MemberState::Absent,
        MemberState::Spared,
        MemberState::HeldBack,
        MemberState::Returning,
        MemberState::Backup,
        MemberState::Candidate,
        MemberState::Active,
    ];

    /// What a group does of two, in the order of `ALL`.
    #[rustfmt::skip]
    const TABLE: [[GroupCommand; 9]; 9] = [
        [Nothing; 9],
        // One that is blocked lets nobody take part; whoever is held back already stays so.
        [Nothing, Nothing, Nothing, Nothing, Nothing, HoldBack, HoldBack, HoldBack, HoldBack],
        // One that is left out has no say.
        [Nothing, Nothing, Nothing, Nothing, Admit, Nothing, Nothing, Promote, Nothing],
        [Nothing, Nothing, Nothing, Nothing, Admit, Nothing, Nothing, Promote, Nothing],
        [Nothing, Nothing, Admit, Admit, Admit, Admit, Admit, Admit, Admit],
        // One that returns joins those that are Active, and waits with the others.
        [Nothing, HoldBack, Nothing, Nothing, Admit, Nothing, Nothing, Nothing, Promote],
        [Nothing, HoldBack, Nothing, Nothing, Admit, Nothing, Nothing, Nothing, Reelect],
        [Nothing, HoldBack, Promote, Promote, Admit, Nothing, Nothing, Promote, Promote],
        [Nothing, HoldBack, Nothing, Nothing, Admit, Promote, Reelect, Promote, Nothing],
    ];

    #[test]
    fn every_pair_of_wishes_has_its_order() {
        for (one, row) in ALL.iter().zip(TABLE) {
            for (other, command) in ALL.iter().zip(row) {
                let decided = decide([*one, *other].into_iter());
                assert_eq!(decided, command, "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn only_a_member_without_a_source_makes_the_others_less() {
        for member in ALL {
            let expected = match member {
                MemberState::Absent => GroupCommand::Impair,
                MemberState::NotStarted
                | MemberState::Blocked
                | MemberState::Spared
                | MemberState::HeldBack
                | MemberState::Returning
                | MemberState::Backup
                | MemberState::Candidate
                | MemberState::Active => GroupCommand::Restore,
            };
            let states = [MemberState::Active, member];
            assert_eq!(wholeness(states.into_iter()), expected, "{member:?}");
        }
    }
}
