//! What moving with other virtual routers adds to a virtual router; `group` decides, here it is obeyed.
//!
//! A router that is not synchronized never comes here but for `handle_silence`, and is its own group.

use std::time::Instant;

use super::{Cause, Lifecycle, Obstacle, State, VirtualRouter, Wish};
use crate::logic::vrrp::state::LinkState;
use crate::model::Fitness;

impl VirtualRouter {
    /// Returns what it says to its group.
    pub fn wish(&self) -> Wish {
        match self.lifecycle {
            Lifecycle::New | Lifecycle::Stopped => return Wish::Nothing,
            Lifecycle::Running | Lifecycle::Adopting { .. } => {}
        }
        match (self.own_obstacle(), self.state) {
            (Some(_), _) => Wish::Blocked,
            (None, State::Initialize { .. }) => Wish::HeldBack,
            (None, State::Backup { .. }) if self.standing => Wish::Standing,
            (None, State::Backup { .. }) => Wish::Following,
            (None, State::Active { .. }) => Wish::Leading,
        }
    }

    /// The group lets it become Active.
    pub fn stand(&mut self, now: Instant) {
        self.notice_stall(now);
        if self.standing {
            self.become_active(now, self.stand_cause);
        }
    }

    /// Another of the group is no longer Active: an Active stands again, as if it had heard its own priority 0, so
    /// that whoever has the others gets these addresses as well.
    pub fn follow(&mut self, now: Instant) {
        self.notice_stall(now);
        self.stand_again(now, Cause::Companion);
    }

    /// Another of the group cannot take part: neither does this one.
    pub fn hold_back(&mut self, now: Instant) {
        self.notice_stall(now);
        if !std::mem::replace(&mut self.held_back, true) {
            self.step_down(now, Cause::Companion);
        }
    }

    /// Every other of the group can take part again.
    pub fn let_in(&mut self, now: Instant) {
        self.notice_stall(now);
        if std::mem::take(&mut self.held_back) {
            self.start(now, Cause::CompanionsBack);
        }
    }

    /// The timer of a Backup has expired.
    pub(super) fn handle_silence(&mut self, now: Instant) {
        if self.parameters.synchronized {
            self.standing = true;
        } else {
            self.become_active(now, self.stand_cause);
        }
    }

    /// What of itself keeps it from taking part.
    pub(super) const fn own_obstacle(&self) -> Option<Obstacle> {
        match (&self.fitness, self.link) {
            (Fitness::Fault(cause), _) => Some(Obstacle::Fault(*cause)),
            (Fitness::Unready | Fitness::Ready(_), LinkState::Down) => Some(Obstacle::LinkDown),
            (Fitness::Unready | Fitness::Ready(_), LinkState::Up { .. }) => None,
        }
    }
}
