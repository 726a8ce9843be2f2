//! A virtual router as a member of a sync group: its state for the group, and the commands of the
//! group.
//!
//! `logic::vrrp::sync_group` decides. A router outside of any group only uses `handle_active_down`.

use std::time::Instant;

use super::{Cause, Lifecycle, MemberState, Obstacle, State, VirtualRouter};
use crate::logic::vrrp::state::LinkState;
use crate::model::Fitness;

impl VirtualRouter {
    /// Returns its state as the sync group sees it.
    pub fn member_state(&self) -> MemberState {
        match self.lifecycle {
            Lifecycle::New | Lifecycle::Stopped => return MemberState::NotStarted,
            Lifecycle::Running | Lifecycle::Adopting { .. } => {}
        }
        let required = self.parameters.link.required;
        match (self.own_obstacle(), self.state) {
            (Some(Obstacle::LinkDown | Obstacle::NoSource), _) if !required => MemberState::Spared,
            (Some(Obstacle::NoSource), _) => MemberState::Absent,
            (Some(Obstacle::Fault(_) | Obstacle::LinkDown | Obstacle::SyncGroup), _) => {
                MemberState::Blocked
            }
            // What it hears now may have come through a port that blocks.
            (None, _) if !required && self.settled_at.is_some() && !self.state.is_active() => {
                MemberState::Spared
            }
            (None, State::Initialize { .. }) => MemberState::HeldBack,
            (None, State::Backup { .. }) if self.is_candidate => MemberState::Candidate,
            (None, State::Backup { .. }) if self.is_returning => MemberState::Returning,
            (None, State::Backup { .. }) => MemberState::Backup,
            (None, State::Active { .. }) => MemberState::Active,
        }
    }

    /// Becomes Active: every member of the group is a candidate, or joins those that are Active.
    pub fn promote(&mut self, now: Instant) {
        self.notice_stall(now);
        if self.is_candidate || self.is_returning {
            self.become_active(now, self.stand_cause);
        }
    }

    /// Stands for election again, as if it had received its own priority 0: another member has left
    /// Active, and the node that has that member's addresses is to get these as well.
    pub fn reelect(&mut self, now: Instant) {
        self.notice_stall(now);
        self.stand_again(now, Cause::SyncGroup);
    }

    /// Leaves the election: another member cannot take part.
    pub fn hold_back(&mut self, now: Instant) {
        self.notice_stall(now);
        if !std::mem::replace(&mut self.held_back, true) {
            self.step_down(now, Cause::SyncGroup);
        }
    }

    /// Takes part again: every other member can.
    pub fn admit(&mut self, now: Instant) {
        self.notice_stall(now);
        if std::mem::take(&mut self.held_back) {
            self.start(now, Cause::SyncGroupBack);
        }
    }

    /// Stands below every node that has all of the group: another member has no source.
    pub fn impair(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.is_impaired, true) {
            self.notice_stall(now);
            self.set_priority(now, self.granted_priority);
        }
    }

    /// Stands as it is told to again: every member of the group has its source.
    pub fn restore(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_impaired) {
            self.notice_stall(now);
            self.set_priority(now, self.granted_priority);
        }
    }

    /// Returns whether it stands lower because another member of its group has no source.
    pub const fn is_impaired(&self) -> bool {
        self.is_impaired
    }

    /// Active_Down_Timer has expired: becomes Active, or a candidate where a sync group decides.
    pub(super) fn handle_active_down(&mut self, now: Instant) {
        if self.parameters.in_sync_group {
            self.is_candidate = true;
        } else {
            self.become_active(now, self.stand_cause);
        }
    }

    /// Returns what of its own keeps it from taking part.
    pub(super) const fn own_obstacle(&self) -> Option<Obstacle> {
        match (&self.fitness, self.link) {
            (Fitness::Fault(cause), _) => Some(Obstacle::Fault(*cause)),
            (Fitness::Unready | Fitness::Ready(_), LinkState::Down) => Some(Obstacle::LinkDown),
            (Fitness::Unready | Fitness::Ready(_), LinkState::NoSource) => Some(Obstacle::NoSource),
            (Fitness::Unready | Fitness::Ready(_), LinkState::Up { .. }) => None,
        }
    }
}
