//! The ways in which a virtual router gives its addresses up.
//!
//! To a living peer: make before break, suppressed from the moment the peer is heard. To
//! nobody, or when we cannot hold them anyway: at once.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{
    Action, Cause, Holding, Lifecycle, RELEASE_AFTER_SUCCESSOR, RELEASE_MARGIN, State,
    VirtualRouter,
};
use crate::model::Priority;

impl VirtualRouter {
    /// Goes to Initialize because of a shutdown or a fault; addresses are kept until a peer has
    /// them, and answer until it is heard: whoever asks in between finds at least us.
    pub(super) fn step_down(&mut self, now: Instant, cause: Cause) {
        self.interrupted_announcements = None;
        let release_at = match self.state {
            State::Active { .. } => {
                self.successor = None;
                self.send_leaving();
                Some(self.release_unheard(now))
            }
            // A demoted router has said already that it leaves.
            State::Backup { release_at, .. } => {
                release_at.map(|at| at.min(self.release_unheard(now)))
            }
            State::Initialize { .. } => return self.drop_adoption(),
        };
        self.transition(now, State::Initialize { release_at }, cause);
    }

    /// What the process before left is taken away, not taken over.
    pub(super) fn drop_adoption(&mut self) {
        match self.lifecycle {
            Lifecycle::Adopting { .. } => {
                self.lifecycle = Lifecycle::Running;
                self.actions.push_back(Action::RemoveAddresses);
            }
            Lifecycle::New | Lifecycle::Running | Lifecycle::Stopped => {}
        }
    }

    /// The link is gone: nobody can be told, and nobody can reach the addresses.
    pub(super) fn lose_link(&mut self, now: Instant) {
        self.interrupted_announcements = None;
        self.transition(now, State::Initialize { release_at: None }, Cause::LinkDown);
    }

    /// Stands again with the lower priority.
    pub(super) fn demote(&mut self, now: Instant) {
        let too_soon = self
            .demoted_at
            .is_some_and(|at| now.saturating_duration_since(at) < DEMOTION_INTERVAL);
        let State::Active { .. } = self.state else {
            return;
        };
        if too_soon || self.is_owner() {
            return;
        }
        self.demoted_at = Some(now);
        self.counters.demotions += 1;
        self.stand_again(now, Cause::Demoted);
    }

    /// Leaves Active as if it had received its own priority 0; the addresses stay and answer until
    /// somebody better speaks.
    pub(super) fn stand_again(&mut self, now: Instant, cause: Cause) {
        let State::Active { announcements, .. } = self.state else {
            return;
        };
        self.send_leaving();
        self.successor = None;
        self.interrupted_announcements = Some(announcements);
        self.stand_cause = Cause::ReElected;
        let own_interval = self.parameters.advertisement_interval;
        let active_down_at = now + self.skew(own_interval);
        let to = State::Backup {
            active_down_at,
            active_adver_interval: own_interval,
            // Beyond its own skew: it never lets go before it may stand again.
            release_at: Some(active_down_at + own_interval.duration() + RELEASE_MARGIN),
        };
        self.transition(now, to, cause);
    }

    /// Gives up because the host cannot hold the addresses, and lets others try for a while.
    pub(super) fn abandon(&mut self, now: Instant, cause: Cause) {
        self.interrupted_announcements = None;
        match self.state {
            State::Active { .. } => {
                self.send_leaving();
                let doubled = self.failures.min(BACK_OFF_DOUBLINGS_MAX);
                self.failures += 1;
                let stand_at = now + self.own_down_interval() * (BACK_OFF << doubled);
                self.stand_not_before = Some(stand_at);
                self.stand_cause = Cause::ActiveSilent;
                let to = State::Backup {
                    active_down_at: stand_at,
                    active_adver_interval: self.parameters.advertisement_interval,
                    release_at: None,
                };
                self.transition(now, to, cause);
            }
            State::Backup { .. } | State::Initialize { .. } => self.release_now(),
        }
    }

    /// Notices, before anything else is done, that it slept longer than its peers wait (behaviour
    /// 9): somebody else may be Active, so nothing is sent, answered or held any more.
    pub(super) fn notice_stall(&mut self, now: Instant) {
        let State::Active { adver_at, .. } = self.state else {
            return;
        };
        let own_interval = self.parameters.advertisement_interval;
        let patience = self.own_down_interval();
        if now + own_interval.duration() <= adver_at + patience {
            return;
        }
        self.counters.stalls += 1;
        self.stand_cause = Cause::ActiveSilent;
        let to = State::Backup {
            active_down_at: now + patience,
            active_adver_interval: own_interval,
            release_at: None,
        };
        self.transition(now, to, Cause::Stalled);
    }

    /// Somebody has the addresses now: suppression begins at the latest, and ends soon.
    pub(super) fn hear_successor(&mut self, now: Instant, source: IpAddr) {
        if self.successor.is_some() {
            return;
        }
        self.successor = Some(source);
        self.suppress_addresses();
        match &mut self.state {
            State::Initialize { release_at } | State::Backup { release_at, .. } => {
                *release_at = Some(now + RELEASE_AFTER_SUCCESSOR);
            }
            State::Active { .. } => {}
        }
    }

    /// After `handle_shutdown`: holds the addresses until then, as long as no peer is heard. Nobody
    /// else has them, and what is in flight on them can end.
    pub fn hold_unheard(&mut self, until: Instant) {
        if self.successor.is_some() {
            return;
        }
        match &mut self.state {
            State::Initialize {
                release_at: Some(at),
            } => *at = (*at).max(until),
            State::Initialize { release_at: None }
            | State::Backup { .. }
            | State::Active { .. } => {}
        }
    }

    /// Lets go at once of what is held after `handle_shutdown`.
    pub fn release(&mut self) {
        match self.lifecycle {
            Lifecycle::Stopped => self.release_now(),
            Lifecycle::New | Lifecycle::Running | Lifecycle::Adopting { .. } => {}
        }
    }

    pub(super) fn release_if_due(&mut self, now: Instant, release_at: Option<Instant>) {
        if release_at.is_some_and(|at| at <= now) {
            self.release_now();
        }
    }

    /// Lets go of what is still held without being Active.
    fn release_now(&mut self) {
        match &mut self.state {
            State::Initialize { release_at } | State::Backup { release_at, .. } => {
                *release_at = None;
                self.remove_addresses();
            }
            State::Active { .. } => {}
        }
    }

    pub(super) fn remove_addresses(&mut self) {
        match self.holding {
            Holding::Answering { .. } | Holding::Suppressed { .. } => {
                self.holding = Holding::Absent;
                self.successor = None;
                self.actions.push_back(Action::RemoveAddresses);
            }
            Holding::Absent => {}
        }
    }

    /// Twice at once, because one lost packet would cost three intervals; never later, because a
    /// repeat restarts the peer's skew.
    fn send_leaving(&mut self) {
        self.send(Priority::LEAVING);
        self.send(Priority::LEAVING);
    }

    fn release_unheard(&self, now: Instant) -> Instant {
        now + self.parameters.advertisement_interval.duration() + RELEASE_MARGIN
    }
}

/// Between two re-elections because of a lowered priority.
pub(super) const DEMOTION_INTERVAL: Duration = Duration::from_secs(10);
/// How many down intervals a router stays Backup after the host failed it; doubled with every
/// failure in a row, so that a host that never succeeds does not disturb its peers for ever.
pub(super) const BACK_OFF: u32 = 3;
/// Beyond so many doublings the wait no longer grows.
const BACK_OFF_DOUBLINGS_MAX: u32 = 3;
