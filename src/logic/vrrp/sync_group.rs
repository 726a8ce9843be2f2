//! Sync groups: virtual routers that move together, as the families of one entry and the entries
//! that `synchronize_with` names do.
//!
//! Each member holds its own election; the group decides whether the outcome takes effect. Either
//! all members are Active or none is. A member becomes Active only when every member is a
//! candidate: a Backup that still hears an Active keeps the whole group where it is. A member that
//! leaves Active takes the others with it, and none takes part while one cannot. After every event
//! the shell calls `decide` and applies its commands until it returns [`GroupCommand::Nothing`].

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
    /// Every member is a candidate: all become Active.
    Promote,
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
        let others =
            any(MemberState::Backup) || any(MemberState::Candidate) || any(MemberState::Active);
        if others {
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
    } else if any(MemberState::Candidate) {
        GroupCommand::Promote
    } else {
        GroupCommand::Nothing
    }
}

/// A group is at rest after at most so many commands in a row: admit, re-elect, promote.
pub const COMMANDS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [MemberState; 6] = [
        MemberState::NotStarted,
        MemberState::Blocked,
        MemberState::HeldBack,
        MemberState::Backup,
        MemberState::Candidate,
        MemberState::Active,
    ];

    #[test]
    fn every_pair_of_wishes_has_its_order() {
        let expected = [
            [GroupCommand::Nothing; 6],
            // One that is blocked lets nobody take part; whoever is held back already stays so.
            [
                GroupCommand::Nothing,
                GroupCommand::Nothing,
                GroupCommand::Nothing,
                GroupCommand::HoldBack,
                GroupCommand::HoldBack,
                GroupCommand::HoldBack,
            ],
            [
                GroupCommand::Nothing,
                GroupCommand::Nothing,
                GroupCommand::Admit,
                GroupCommand::Admit,
                GroupCommand::Admit,
                GroupCommand::Admit,
            ],
            [
                GroupCommand::Nothing,
                GroupCommand::HoldBack,
                GroupCommand::Admit,
                GroupCommand::Nothing,
                GroupCommand::Nothing,
                GroupCommand::Reelect,
            ],
            [
                GroupCommand::Nothing,
                GroupCommand::HoldBack,
                GroupCommand::Admit,
                GroupCommand::Nothing,
                GroupCommand::Promote,
                GroupCommand::Promote,
            ],
            [
                GroupCommand::Nothing,
                GroupCommand::HoldBack,
                GroupCommand::Admit,
                GroupCommand::Reelect,
                GroupCommand::Promote,
                GroupCommand::Nothing,
            ],
        ];
        for (one, row) in ALL.iter().zip(expected) {
            for (other, command) in ALL.iter().zip(row) {
                let decided = decide([*one, *other].into_iter());
                assert_eq!(decided, command, "{one:?} and {other:?}");
            }
        }
    }
}
