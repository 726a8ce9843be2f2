//! What an advertisement does to a virtual router (RFC 9568 §6.4.2 and §6.4.3).
//!
//! Only advertisements that passed every check come here.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{
    Action, Announcements, Cause, LinkState, Peer, Preempt, State, VirtualRouter, interval,
};
use crate::logic::vrrp::anomaly::Anomaly;
use crate::logic::vrrp::packet::{Advertisement, Rejection, is_of_stranger, same_addresses};
use crate::model::{AdverInterval, Fitness, Priority, Version};

impl VirtualRouter {
    /// Hears an advertisement that passed every check of `packet::parse` and bears our VRID. One
    /// for none of our addresses is counted, and does nothing.
    pub fn handle_advertisement(
        &mut self,
        now: Instant,
        source: IpAddr,
        advertisement: &Advertisement,
    ) {
        self.notice_stall(now);
        if self.link == (LinkState::Up { primary: source }) {
            self.counters.own_source_received += 1;
            return;
        }
        if is_of_stranger(
            self.parameters.version,
            advertisement,
            &self.parameters.addresses,
        ) {
            return self.count_rejection(Rejection::Addresses);
        }
        self.count(now, source, advertisement);
        self.note_peer(now, source, advertisement);
        match self.state {
            State::Initialize { .. } => self.hear_in_initialize(now, source, advertisement),
            State::Backup {
                active_adver_interval,
                ..
            } => {
                if self.is_owner_about_to_stand() {
                    self.interrupted_announcements = None;
                } else if advertisement.priority == Priority::LEAVING {
                    self.lower_active_since = None;
                    let learned = active_adver_interval;
                    self.wait(now + self.skew(learned), learned, Cause::ActiveLeft);
                } else {
                    self.hear_in_backup(now, source, advertisement);
                }
            }
            State::Active { adver_at, .. } => {
                if advertisement.priority == Priority::LEAVING {
                    self.answer_leaving(now, adver_at);
                } else if let Some(cause) = self.must_yield_to(source, advertisement.priority) {
                    self.yield_to(now, source, advertisement.interval, cause);
                } else {
                    self.contradict(now, adver_at);
                }
            }
        }
    }

    /// An owner is Active from its start (RFC 9568 §6.4.1), and only its group lets it wait for a
    /// moment: what it hears then moves no timer. Who of two owners goes on is decided when both
    /// are Active, so that both know.
    fn is_owner_about_to_stand(&self) -> bool {
        self.is_owner() && self.stand_cause == Cause::OwnerStartup
    }

    /// A router that gives its addresses up in Initialize listens only for who has them now.
    fn hear_in_initialize(&mut self, now: Instant, source: IpAddr, advertisement: &Advertisement) {
        if advertisement.priority != Priority::LEAVING && self.holds_addresses() {
            self.hear_successor(now, source);
        }
    }

    fn hear_in_backup(&mut self, now: Instant, source: IpAddr, advertisement: &Advertisement) {
        self.interrupted_announcements = None;
        if !self.defers_to(now, advertisement.priority) {
            // Until we stand the other one has the addresses, and a group may keep us from it.
            // Whoever stands again after its demotion does so at once, and may have heard the last
            // word of one that yielded to it.
            let is_succeeded =
                self.parameters.in_sync_group || self.stand_cause != Cause::ReElected;
            if self.stand_cause == Cause::ActiveSilent {
                self.stand_cause = Cause::Preempting;
            }
            if is_succeeded && self.holds_addresses() {
                self.hear_successor(now, source);
            }
            return;
        }
        let learned = advertisement.interval;
        self.wait(now + self.patience(learned), learned, Cause::ActiveSilent);
        if self.holds_addresses() {
            self.hear_successor(now, source);
        }
    }

    /// Returns whether RFC 9568 §6.4.2 lets this Active reset the timer.
    fn defers_to(&mut self, now: Instant, priority: Priority) -> bool {
        if priority >= self.effective_priority {
            self.lower_active_since = None;
            return true;
        }
        let since = *self.lower_active_since.get_or_insert(now);
        match self.preempt_mode(priority) {
            Preempt::Always => false,
            Preempt::Never => true,
            Preempt::After(delay) => now.saturating_duration_since(since) < delay,
        }
    }

    /// Readiness comes before preemption; an owner preempts whatever it was told (RFC 9568 §6.1),
    /// and so does one that can serve where the Active says that it cannot.
    fn preempt_mode(&self, heard: Priority) -> Preempt {
        let ill_max = self.parameters.ill_max;
        match &self.fitness {
            Fitness::Unready | Fitness::Fault(_) => Preempt::Never,
            Fitness::Ready(_) if self.is_owner() => Preempt::Always,
            Fitness::Ready(_) if heard <= ill_max && self.effective_priority > ill_max => {
                Preempt::Always
            }
            Fitness::Ready(_) => self.parameters.preempt,
        }
    }

    /// Sets the timer of a Backup, with Skew_Time or Active_Down_Interval of the learned interval.
    pub(super) fn wait(&mut self, at: Instant, learned: AdverInterval, cause: Cause) {
        self.stand_cause = cause;
        self.is_candidate = false;
        self.is_returning = false;
        let at = self.not_too_early(at);
        let hold = learned.duration() + super::RELEASE_MARGIN;
        let awaits_successor = self.successor.is_none();
        if let State::Backup {
            active_down_at,
            active_adver_interval,
            release_at,
        } = &mut self.state
        {
            *active_down_at = at;
            *active_adver_interval = learned;
            // Whoever waits for somebody better does not let go before it stands again itself.
            match release_at {
                Some(release_at) if awaits_successor => *release_at = (*release_at).max(at + hold),
                Some(_) | None => {}
            }
        }
    }

    /// RFC 9568 §6.4.3: a peer that leaves is answered at once, so that nobody else stands; at most
    /// once in a tenth of the interval, because anybody on the link can say it. What is limited is
    /// answered at its end.
    fn answer_leaving(&mut self, now: Instant, adver_at: Instant) {
        if self.may_answer(now) {
            self.send(self.effective_priority);
            return self.set_adver_at(now + self.parameters.advertisement_interval.duration());
        }
        let answer_at = self.next_answer_at(now);
        self.set_adver_at(adver_at.min(answer_at));
    }

    /// RFC 9568 §6.4.3: a higher priority, or an equal one and a greater address. Ours must be
    /// known.
    fn must_yield_to(&self, source: IpAddr, priority: Priority) -> Option<Cause> {
        let higher_address = match self.link {
            LinkState::Up { primary } => source > primary,
            LinkState::Down | LinkState::NoSource => true,
        };
        if priority > self.effective_priority {
            Some(Cause::HigherPriority)
        } else if priority == self.effective_priority && higher_address {
            Some(Cause::HigherAddress)
        } else {
            None
        }
    }

    /// Yields, with one last advertisement: the winner shall know that there were two.
    fn yield_to(&mut self, now: Instant, source: IpAddr, learned: AdverInterval, cause: Cause) {
        if self.may_answer(now) {
            self.send(self.effective_priority);
        }
        self.suppress_addresses();
        self.successor = Some(source);
        self.stand_cause = Cause::ActiveSilent;
        let patience = self.patience(learned);
        let to = State::Backup {
            active_down_at: now + patience,
            active_adver_interval: learned,
            release_at: Some(now + super::RELEASE_AFTER_SUCCESSOR),
        };
        self.transition(now, to, cause);
    }

    /// RFC 9568 §6.4.3: answers a peer that must yield at once, and announces again, because hosts
    /// may have heard it. Both at most once in a tenth of the interval; what is limited comes at
    /// its end.
    fn contradict(&mut self, now: Instant, adver_at: Instant) {
        self.counters.lower_priority_received += 1;
        if self.may_answer(now) {
            match self.parameters.version {
                // RFC 3768 §6.4.3 discards; the next advertisement says it soon enough.
                Version::V2 => {}
                Version::V3 => self.send(self.effective_priority),
            }
            self.announce_again(now);
            return;
        }
        let answer_at = self.next_answer_at(now);
        match self.parameters.version {
            Version::V2 => {}
            Version::V3 => self.set_adver_at(adver_at.min(answer_at)),
        }
        if let State::Active { announcements, .. } = &mut self.state {
            *announcements = announcements.restarted(now, answer_at);
        }
    }

    /// Another machine says that one of the addresses is its own: an Active says where it is, two
    /// intervals later, and once a second at most. A router that takes over may announce before it
    /// advertises, FRR for one, and never again: to contradict it at once would have the last word.
    /// Returns whether it was Active, and counted it.
    pub fn handle_claim(&mut self, now: Instant) -> bool {
        self.notice_stall(now);
        match self.state {
            State::Active {
                announcements: Announcements::Running { .. },
                ..
            } => {}
            State::Initialize { .. }
            | State::Backup { .. }
            | State::Active {
                announcements: Announcements::AwaitApplied { .. },
                ..
            } => return false,
        }
        self.counters.address_claims += 1;
        let patience = 2 * self.parameters.advertisement_interval.duration();
        let before = self.defended_at.map(|at| at + super::DEFENSE_INTERVAL);
        let at = before.map_or(now + patience, |before| before.max(now + patience));
        self.defense_at.get_or_insert(at);
        true
    }

    pub(super) fn defend_if_due(&mut self, now: Instant) {
        if self.defense_at.is_some_and(|at| at <= now) {
            self.defense_at = None;
            self.defended_at = Some(now);
            self.announce(1);
        }
    }

    fn announce_again(&mut self, now: Instant) {
        if let State::Active { announcements, .. } = &mut self.state {
            match announcements {
                Announcements::AwaitApplied { .. } => {}
                Announcements::Running { .. } => {
                    *announcements = Announcements::begun(now);
                    self.announce(self.parameters.announcements.repeat);
                }
            }
        }
    }

    /// Takes the right to answer now, if there is one.
    fn may_answer(&mut self, now: Instant) -> bool {
        let limited = self
            .answered_at
            .is_some_and(|at| now.saturating_duration_since(at) < self.answer_interval());
        if !limited {
            self.answered_at = Some(now);
        }
        !limited
    }

    /// Returns when the next answer is allowed.
    fn next_answer_at(&self, now: Instant) -> Instant {
        self.answered_at
            .map_or(now, |at| at + self.answer_interval())
    }

    fn answer_interval(&self) -> Duration {
        interval::answer_interval(self.parameters.advertisement_interval)
    }

    fn count(&mut self, now: Instant, source: IpAddr, advertisement: &Advertisement) {
        let (ours, counters) = (&self.parameters, &mut self.counters);
        counters.advertisements_received += 1;
        if advertisement.priority == Priority::LEAVING {
            counters.priority_zero_received += 1;
        }
        // Erratum 8298: detected and shown, but processed.
        let owners = [advertisement.priority, ours.priority] == [Priority::OWNER; 2];
        let anomalies = [
            (
                owners,
                Anomaly::OwnerConflict,
                &mut counters.owner_conflicts,
            ),
            (
                advertisement.interval != ours.advertisement_interval,
                Anomaly::OtherInterval,
                &mut counters.interval_errors,
            ),
            (
                !same_addresses(&advertisement.addresses, &ours.addresses),
                Anomaly::OtherAddresses,
                &mut counters.address_list_errors,
            ),
            (
                advertisement.lacks_link_local(),
                Anomaly::LinkLocalMissing,
                &mut counters.link_local_missing,
            ),
        ];
        for (is_so, anomaly, counter) in anomalies {
            *counter += u64::from(is_so);
            if is_so && self.warnings.is_due(anomaly, now) {
                self.actions.push_back(Action::Warn { anomaly, source });
            }
        }
    }

    fn note_peer(&mut self, now: Instant, source: IpAddr, advertisement: &Advertisement) {
        if advertisement.priority != Priority::LEAVING {
            self.peer = Some(Peer {
                source,
                priority: advertisement.priority,
                interval: advertisement.interval,
                heard_at: now,
            });
        } else if self.peer.is_some_and(|peer| peer.source == source) {
            self.peer = None;
        }
    }

    /// After our priority was lowered in Backup: the Active may now be one to wait for.
    pub(super) fn defer_to_known_peer(&mut self, now: Instant) {
        let Some(peer) = self.peer else {
            return;
        };
        let patience = self.patience(peer.interval);
        let alive = now.saturating_duration_since(peer.heard_at) < patience;
        if alive && peer.priority >= self.effective_priority {
            self.lower_active_since = None;
            self.wait(peer.heard_at + patience, peer.interval, Cause::ActiveSilent);
        }
    }

    /// After Preempt_Mode was changed in Backup: a lower-priority Active may be waited for now.
    pub(super) fn obey_preempt_mode(&mut self, now: Instant) {
        let Some(peer) = self.peer else {
            return;
        };
        let patience = self.patience(peer.interval);
        let alive = now.saturating_duration_since(peer.heard_at) < patience;
        if alive && self.defers_to(now, peer.priority) {
            self.wait(peer.heard_at + patience, peer.interval, Cause::ActiveSilent);
        }
    }

    pub(super) fn suppress_addresses(&mut self) {
        match self.holding {
            super::Holding::Answering { renew_at } => {
                self.holding = super::Holding::Suppressed { renew_at };
                self.actions.push_back(Action::SuppressAddresses);
            }
            super::Holding::Absent | super::Holding::Suppressed { .. } => {}
        }
    }
}
