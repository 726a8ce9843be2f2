//! What is changed of a virtual router while it runs: its effective priority by tracking, and its
//! parameters by a reload.
//!
//! A reload never moves an address by itself. An Active says at once what is new of it, and goes
//! on; a peer that is better by now preempts as the standard has it.

use std::time::Instant;

use super::{Action, Announcements, Cause, Parameters, State, VirtualRouter};
use crate::model::{Fitness, Priority};

impl VirtualRouter {
    /// Obeys tracking: takes part or not, and with which effective priority.
    pub fn set_fitness(&mut self, now: Instant, fitness: Fitness) {
        self.notice_stall(now);
        let before = std::mem::replace(&mut self.fitness, fitness);
        match (before, self.fitness.clone()) {
            (_, Fitness::Fault(cause)) => self.step_down(now, Cause::Fault(cause)),
            (Fitness::Fault(_), Fitness::Unready) => self.start(now, Cause::FaultOver),
            (Fitness::Fault(_), Fitness::Ready(priority)) => {
                self.set_priority(now, priority);
                self.start(now, Cause::FaultOver);
            }
            (Fitness::Unready | Fitness::Ready(_), Fitness::Ready(priority)) => {
                self.set_priority(now, priority);
            }
            // A proxy that restarts is not a failover: the last priority stays.
            (Fitness::Unready | Fitness::Ready(_), Fitness::Unready) => {}
        }
    }

    /// Changes the parameters, and what tracking says by them, without losing state. The VRID
    /// stays: another one is another router.
    ///
    /// An Active says what changed at once, so that nobody waits for an interval that is no longer
    /// kept. A lower priority is no demotion here: whoever is better preempts.
    pub fn update(&mut self, now: Instant, parameters: Parameters, fitness: Fitness) {
        self.notice_stall(now);
        let said = self.effective_priority;
        let granted = self.granted_by(&fitness, &parameters);
        let before = std::mem::replace(&mut self.parameters, parameters);
        if !self.parameters.in_sync_group {
            self.is_impaired = false;
            self.is_returning = false;
        }
        self.grant(granted);
        self.follow_link_rules(now);
        if before.lease != self.parameters.lease {
            self.holding.hasten_renewal(now);
        }
        let is_fit_again = match (std::mem::replace(&mut self.fitness, fitness), &self.fitness) {
            (_, Fitness::Fault(cause)) => {
                let cause = Cause::Fault(*cause);
                self.step_down(now, cause);
                false
            }
            (Fitness::Fault(_), Fitness::Unready | Fitness::Ready(_)) => true,
            (Fitness::Unready | Fitness::Ready(_), Fitness::Unready | Fitness::Ready(_)) => false,
        };
        match self.state {
            State::Active { .. } => self.update_active(now, &before, said),
            State::Backup { .. } => self.update_backup(now, &before, said),
            State::Initialize { .. } => {}
        }
        if is_fit_again {
            self.start(now, Cause::FaultOver);
        }
        if !self.parameters.in_sync_group {
            self.admit(now);
        }
    }

    /// Advertises now, if it is Active: how its advertisements are written, or to whom they go, has
    /// changed. One that is about to leave anyway says it as well.
    pub fn advertise_now(&mut self, now: Instant) {
        self.notice_stall(now);
        let priority = self.effective_priority;
        let own_interval = self.parameters.advertisement_interval.duration();
        let next = Action::SendAdvertisement { priority };
        if self.state.is_active() && !self.actions.contains(&next) {
            self.send(priority);
            self.set_adver_at(now + own_interval);
        }
    }

    /// The place of the addresses on the host is another now: an Active has them installed there,
    /// and announced.
    pub fn handle_moved(&mut self, now: Instant) {
        self.notice_stall(now);
        if let State::Active { announcements, .. } = &mut self.state {
            *announcements = Announcements::awaiting(now);
            self.actions.push_back(Action::InstallAddresses);
        }
    }

    /// It was just started as a new member of a group that may be Active already: it joins the
    /// others, instead of making them stand again.
    pub const fn join(&mut self) {
        match self.state {
            State::Backup { .. } => self.is_returning = self.parameters.in_sync_group,
            State::Initialize { .. } | State::Active { .. } => {}
        }
    }

    /// Takes a new effective priority; an owner keeps 255.
    pub(super) fn set_priority(&mut self, now: Instant, priority: Priority) {
        let before = self.effective_priority;
        self.grant(priority);
        if self.effective_priority < before {
            match self.state {
                State::Active { .. } => self.demote(now),
                State::Backup { .. } => self.defer_to_known_peer(now),
                State::Initialize { .. } => {}
            }
        }
    }

    fn grant(&mut self, priority: Priority) {
        self.granted_priority = priority;
        self.effective_priority = if self.is_owner() {
            Priority::OWNER
        } else if self.is_impaired {
            priority.min(self.parameters.impaired)
        } else {
            priority
        };
    }

    /// Returns what tracking grants by other parameters. While it says no number the last one
    /// stays, translated: well stays well, and ill stays ill.
    fn granted_by(&self, fitness: &Fitness, parameters: &Parameters) -> Priority {
        let last = self.granted_priority;
        match fitness {
            Fitness::Ready(priority) => *priority,
            Fitness::Unready | Fitness::Fault(_) if last == self.parameters.priority => {
                parameters.priority
            }
            Fitness::Unready | Fitness::Fault(_) if last <= self.parameters.ill_max => {
                parameters.impaired
            }
            Fitness::Unready | Fitness::Fault(_) => last,
        }
    }

    /// A wait for a link that has come up does not become longer by a reload, but shorter.
    fn follow_link_rules(&mut self, now: Instant) {
        let delay = self.parameters.link.up_delay;
        self.settled_at = self.settled_at.map(|at| at.min(now + delay));
    }

    fn update_active(&mut self, now: Instant, before: &Parameters, said: Priority) {
        let own = &self.parameters;
        let (lease, plan) = (own.lease, own.announcements);
        let own_interval = own.advertisement_interval;
        let addresses_changed = before.addresses != own.addresses;
        let has_news = addresses_changed
            || before.advertisement_interval != own_interval
            || before.version != own.version
            || said != self.effective_priority;
        let State::Active {
            adver_at,
            announcements,
        } = &mut self.state
        else {
            return;
        };
        if addresses_changed {
            *announcements = Announcements::awaiting(now);
            self.actions.push_back(Action::InstallAddresses);
        } else if before.announcements != plan {
            *announcements = announcements.replanned(now, lease, plan);
        }
        if has_news {
            *adver_at = now + own_interval.duration();
            self.send(self.effective_priority);
        }
    }

    fn update_backup(&mut self, now: Instant, before: &Parameters, said: Priority) {
        if self.is_candidate && !self.parameters.in_sync_group {
            return self.become_active(now, self.stand_cause);
        }
        let is_new_owner = self.is_owner() && before.priority != Priority::OWNER;
        if let (true, Fitness::Ready(_)) = (is_new_owner, &self.fitness) {
            return self.stand_at_once(now);
        }
        if self.effective_priority < said {
            self.defer_to_known_peer(now);
        }
        if before.preempt != self.parameters.preempt {
            self.obey_preempt_mode(now);
        }
    }

    /// Who owns the addresses has them (RFC 9568 §6.4.1).
    fn stand_at_once(&mut self, now: Instant) {
        let earliest = self.not_too_early(now);
        self.stand_cause = Cause::OwnerStartup;
        if let State::Backup { active_down_at, .. } = &mut self.state {
            *active_down_at = earliest;
        }
    }
}
