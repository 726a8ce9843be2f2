//! The virtual router: the state machine of RFC 9568 §6.4 with make before break.
//!
//! Events (`handle_*`), commands (`set_fitness`, `update`) and `now` go in. After each of them the
//! shell takes actions with `poll_action` until there is none (never more than [`ACTIONS_MAX`]),
//! then arms one timer at `poll_timeout`. It knows no socket, no clock and no kernel; whether the
//! addresses could be installed is told to it.
//!
//! ```text
//!                   startup                        heard: better, or demoted, stalled,
//!  ┌────────────┐ ───────────▶ ┌────────┐ ◀─────── the host failed ──────── ┌────────┐
//!  │ Initialize │              │ Backup │                                   │ Active │
//!  └────────────┘ ◀─────────── └────────┘ ──── active down timer, and ────▶ └────────┘
//!     ▲    │  shutdown, fault,              the sync group agrees               │  ▲
//!     │    │  link down                                                         │  │
//!     │    └──────────── startup of the address owner, adoption ────────────────┼──┘
//!     └──────────────────── shutdown, fault, link down ─────────────────────────┘
//! ```
//!
//! Two machines run side by side: the RFC's state, and `Holding`, what the host has of our
//! addresses. An Active always holds; another state holds exactly while its `release_at` is set.
//!
//! `hearing` has what advertisements do, `link` what happens to the interface, `leaving` all ways
//! of giving the addresses up, `update` what tracking and a reload change, `sync_group` what moving
//! with other virtual routers adds.

mod hearing;
mod leaving;
mod link;
mod sync_group;
mod update;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

pub use super::counters::Counters;
pub use super::state::{
    Action, Cause, Failure, LinkRules, LinkState, MemberState, Obstacle, Parameters, Peer, Preempt,
    State, Transition,
};

use super::announce::Announcements;
use super::anomaly::Warnings;
use super::interval;
use super::packet::Rejection;
use crate::model::{AdverInterval, Fitness, Priority};

/// One virtual router of RFC 9568: one VRID of one address family on one interface.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use evenkeel::logic::vrrp::{
///     Action, AnnouncementPlan, LinkRules, LinkState, Parameters, Preempt, VirtualRouter,
/// };
/// use evenkeel::model::{AdverInterval, Fitness, Priority, Version, Vrid};
///
/// let mut router = VirtualRouter::new(Parameters {
///     vrid: Vrid::new(51).unwrap(),
///     version: Version::V3,
///     priority: Priority::DEFAULT,
///     ill_max: Priority::LEAVING,
///     addresses: vec!["192.0.2.10".parse().unwrap()],
///     advertisement_interval: AdverInterval::DEFAULT,
///     preempt: Preempt::Always,
///     lease: Duration::from_secs(2),
///     down_multiplier: 3,
///     announcements: AnnouncementPlan::default(),
///     impaired: Priority::LEAVING,
///     link: LinkRules::default(),
///     in_sync_group: false,
/// });
/// let mut now = Instant::now();
/// router.set_fitness(now, Fitness::Ready(Priority::DEFAULT));
/// router.handle_link(now, LinkState::Up { primary: "192.0.2.1".parse().unwrap() });
/// router.handle_startup(now);
/// assert_eq!(router.state().name(), "Backup");
/// // Nothing is heard until the active down timer expires.
/// now = router.poll_timeout().unwrap();
/// router.handle_timeout(now);
/// let actions: Vec<Action> = std::iter::from_fn(|| router.poll_action()).collect();
/// assert!(actions.contains(&Action::InstallAddresses));
/// assert!(router.state().is_active());
/// ```
#[derive(Clone, Debug)]
pub struct VirtualRouter {
    parameters: Parameters,
    fitness: Fitness,
    effective_priority: Priority,
    /// What tracking grants it; the effective priority is lower while it is impaired.
    granted_priority: Priority,
    is_impaired: bool,
    link: LinkState,
    /// The last primary address of the link.
    source: Option<IpAddr>,
    /// An Active has lost its source, and leaves then.
    sourceless_at: Option<Instant>,
    /// A link that has come up is trusted from then on (`LinkRules::up_delay`).
    settled_at: Option<Instant>,
    lifecycle: Lifecycle,
    state: State,
    holding: Holding,
    /// What the timer of a Backup will have meant when it expires.
    stand_cause: Cause,
    /// The timer of a Backup has expired, but its group does not yet let it become Active.
    is_candidate: bool,
    /// It is a Backup since its link or its source is back, and its group went on without it.
    is_returning: bool,
    /// Another virtual router of the group cannot take part.
    held_back: bool,
    /// A Backup does not stand before: the host failed us a moment ago.
    stand_not_before: Option<Instant>,
    /// Failures to install since the last success; they lengthen the wait.
    failures: u32,
    last_failure: Option<Failure>,
    /// Since when the kernel has refused every advertisement.
    unsent_since: Option<Instant>,
    /// Since when a lower-priority Active is heard (`Preempt::After`).
    lower_active_since: Option<Instant>,
    /// Who was heard first after we began to give the addresses up.
    successor: Option<IpAddr>,
    /// The schedule of a demoted Active, to go on with if nobody spoke in between.
    interrupted_announcements: Option<Announcements>,
    demoted_at: Option<Instant>,
    answered_at: Option<Instant>,
    /// When it last announced because another machine claimed an address.
    defended_at: Option<Instant>,
    /// When it does so next.
    defense_at: Option<Instant>,
    peer: Option<Peer>,
    last_transition: Option<(Instant, Transition)>,
    counters: Counters,
    warnings: Warnings,
    actions: VecDeque<Action>,
}

impl VirtualRouter {
    /// Makes a router that has not been started: without a link, and Unready.
    pub fn new(parameters: Parameters) -> Self {
        Self {
            effective_priority: parameters.priority,
            granted_priority: parameters.priority,
            is_impaired: false,
            source: None,
            sourceless_at: None,
            settled_at: None,
            is_returning: false,
            fitness: Fitness::Unready,
            link: LinkState::Down,
            lifecycle: Lifecycle::New,
            state: State::Initialize { release_at: None },
            holding: Holding::Absent,
            stand_cause: Cause::ActiveSilent,
            is_candidate: false,
            held_back: false,
            stand_not_before: None,
            failures: 0,
            last_failure: None,
            unsent_since: None,
            lower_active_since: None,
            successor: None,
            interrupted_announcements: None,
            demoted_at: None,
            answered_at: None,
            defended_at: None,
            defense_at: None,
            peer: None,
            last_transition: None,
            counters: Counters::default(),
            warnings: Warnings::default(),
            actions: VecDeque::with_capacity(ACTIONS_MAX),
            parameters,
        }
    }

    /// Begins (RFC 9568 §6.4.1): waits for the link in Initialize, then Backup; an owner is Active
    /// at once.
    pub fn handle_startup(&mut self, now: Instant) {
        self.notice_stall(now);
        match self.lifecycle {
            Lifecycle::New | Lifecycle::Stopped => {
                self.lifecycle = Lifecycle::Running;
                self.start(now, Cause::Startup);
            }
            Lifecycle::Running | Lifecycle::Adopting { .. } => {}
        }
    }

    /// Instead of the first `handle_startup`: the process before us died as Active, having
    /// advertised last at `advertised_at`, and the addresses are still installed. A router that was
    /// stopped starts as any other: what is installed then is its own.
    ///
    /// Within three intervals of that advertisement the router is Active at once, or when the link
    /// is told to it; later, it starts as any other, but the addresses answer until an Active is
    /// heard: a peer may need a moment more. Advertisements that waited in the socket are handed in
    /// afterwards: a better Active among them makes us yield as usual.
    pub fn handle_adoption(&mut self, now: Instant, advertised_at: Instant) {
        self.notice_stall(now);
        match self.lifecycle {
            Lifecycle::New => {
                self.lifecycle = Lifecycle::Adopting { advertised_at };
                self.start(now, Cause::Startup);
            }
            Lifecycle::Stopped => self.handle_startup(now),
            Lifecycle::Running | Lifecycle::Adopting { .. } => {}
        }
    }

    /// Stops (RFC 9568 §6.4.2, §6.4.3); addresses are held until a peer has them: see
    /// `is_released`.
    pub fn handle_shutdown(&mut self, now: Instant) {
        self.notice_stall(now);
        self.drop_adoption();
        self.lifecycle = Lifecycle::Stopped;
        self.step_down(now, Cause::Shutdown);
    }

    /// Acts on every timer that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.notice_stall(now);
        self.watch_link(now);
        self.defend_if_due(now);
        match self.state {
            State::Initialize { release_at } => self.release_if_due(now, release_at),
            State::Backup {
                active_down_at,
                release_at,
                ..
            } => {
                if active_down_at <= now && !self.is_candidate {
                    self.handle_active_down(now);
                } else {
                    self.release_if_due(now, release_at);
                }
            }
            State::Active {
                adver_at,
                announcements,
            } => {
                if adver_at <= now {
                    self.advertise_on_time(now, adver_at);
                }
                if announcements.due_at().is_some_and(|at| at <= now) {
                    self.announce_on_time(now, announcements);
                }
            }
        }
        self.renew_if_due(now);
    }

    /// The host has installed the addresses: announcements may begin.
    pub fn handle_applied(&mut self, now: Instant) {
        self.notice_stall(now);
        self.failures = 0;
        if let State::Active { announcements, .. } = &mut self.state {
            match announcements {
                Announcements::AwaitApplied { .. } => {
                    *announcements = Announcements::begun(now);
                    self.announce(self.parameters.announcements.repeat);
                }
                Announcements::Running { .. } => {}
            }
        }
    }

    /// The host could not install or renew the addresses: a router that cannot apply its addresses
    /// is not Active.
    pub fn handle_apply_failed(&mut self, now: Instant, failure: Failure) {
        self.notice_stall(now);
        self.counters.apply_failures += 1;
        self.last_failure = Some(failure);
        self.abandon(now, Cause::ApplyFailed);
    }

    /// Notes whether the kernel took an advertisement. An Active that has not been heard by anybody
    /// for three intervals is none: its peers stand already.
    pub fn handle_sent(&mut self, now: Instant, outcome: Result<(), Failure>) {
        let failure = match outcome {
            Ok(()) => return self.unsent_since = None,
            Err(failure) => failure,
        };
        let since = *self.unsent_since.get_or_insert(now);
        let own_interval = self.parameters.advertisement_interval.duration();
        let patience = own_interval * u32::from(self.parameters.down_multiplier);
        if self.state.is_active() && now.saturating_duration_since(since) >= patience {
            self.last_failure = Some(failure);
            self.abandon(now, Cause::SendFailed);
        }
    }

    /// Counts a packet that was rejected. Nothing else: a rejected packet never moves a timer.
    pub fn count_rejection(&mut self, rejection: Rejection) {
        self.counters.count_rejection(rejection);
    }

    /// Returns the next thing to do; call it until `None` after every event.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns whether `poll_action` has something.
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// Returns when `handle_timeout` is due, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let renew_at = self.holding.renew_at();
        let state_at = match self.state {
            State::Initialize { release_at } => release_at,
            State::Backup {
                active_down_at,
                release_at,
                ..
            } => {
                let stand_at = (!self.is_candidate).then_some(active_down_at);
                stand_at.into_iter().chain(release_at).min()
            }
            State::Active {
                adver_at,
                announcements,
            } => {
                let announce_at = announcements.due_at();
                Some(announce_at.map_or(adver_at, |at| at.min(adver_at)))
            }
        };
        let link_at = self.sourceless_at.into_iter().chain(self.settled_at);
        let link_at = link_at.chain(self.defense_at);
        state_at.into_iter().chain(renew_at).chain(link_at).min()
    }

    /// Returns the state with its timers.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Returns what was counted.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns the parameters in force.
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Returns what tracking last said.
    pub const fn fitness(&self) -> &Fitness {
        &self.fitness
    }

    /// Returns the priority it advertises and compares with; an owner's is always 255.
    pub const fn effective_priority(&self) -> Priority {
        self.effective_priority
    }

    /// Returns whether it owns the addresses (priority 255).
    pub fn is_owner(&self) -> bool {
        self.parameters.priority == Priority::OWNER
    }

    /// Returns whether the host has our addresses, or was told to install them.
    pub const fn holds_addresses(&self) -> bool {
        match self.holding {
            Holding::Absent => false,
            Holding::Answering { .. } | Holding::Suppressed { .. } => true,
        }
    }

    /// Returns whether it holds the addresses without answering ARP or neighbor discovery for them.
    pub const fn is_suppressed(&self) -> bool {
        match self.holding {
            Holding::Absent | Holding::Answering { .. } => false,
            Holding::Suppressed { .. } => true,
        }
    }

    /// Returns true once nothing is held any more after `handle_shutdown`.
    pub fn is_released(&self) -> bool {
        match self.lifecycle {
            Lifecycle::New | Lifecycle::Stopped => !self.holds_addresses(),
            Lifecycle::Running | Lifecycle::Adopting { .. } => false,
        }
    }

    /// Returns whether addresses are still held for what is in flight, though a peer has them
    /// already.
    pub fn is_succeeded(&self) -> bool {
        self.holds_addresses() && self.successor.is_some()
    }

    /// Returns why a router that was started takes no part, or `None` if it does, or was not
    /// started.
    pub fn obstacle(&self) -> Option<Obstacle> {
        match self.lifecycle {
            Lifecycle::New | Lifecycle::Stopped => return None,
            Lifecycle::Running | Lifecycle::Adopting { .. } => {}
        }
        self.own_obstacle()
            .or_else(|| self.held_back.then_some(Obstacle::SyncGroup))
    }

    /// Returns the last change of state and when it was.
    pub const fn last_transition(&self) -> Option<(Instant, Transition)> {
        self.last_transition
    }

    /// Returns what the host last could not do.
    pub const fn last_failure(&self) -> Option<&Failure> {
        self.last_failure.as_ref()
    }

    /// Returns the interval that times this router: learned from the Active in Backup, its own
    /// elsewhere.
    pub const fn active_adver_interval(&self) -> AdverInterval {
        match self.state {
            State::Backup {
                active_adver_interval,
                ..
            } => active_adver_interval,
            State::Initialize { .. } | State::Active { .. } => {
                self.parameters.advertisement_interval
            }
        }
    }

    /// Returns Skew_Time and Active_Down_Interval as they are now.
    pub fn intervals(&self) -> (Duration, Duration) {
        let learned = self.active_adver_interval();
        (self.skew(learned), self.patience(learned))
    }

    /// Returns the last that was heard of a peer which is or wants to be Active.
    pub const fn peer(&self) -> Option<Peer> {
        self.peer
    }

    /// Returns the address of the Active as far as known: our own, or the peer's last heard.
    pub fn active_source(&self) -> Option<IpAddr> {
        match (self.state, self.link) {
            (State::Active { .. }, LinkState::Up { primary }) => Some(primary),
            (State::Active { .. }, LinkState::Down | LinkState::NoSource) => None,
            (State::Initialize { .. } | State::Backup { .. }, _) => {
                self.peer.map(|peer| peer.source)
            }
        }
    }

    /// The only line that assigns the state. Moving a timer within a state does not come here.
    fn transition(&mut self, now: Instant, to: State, cause: Cause) {
        let from = std::mem::replace(&mut self.state, to);
        self.is_candidate = false;
        self.is_returning = false;
        self.defense_at = None;
        match (from, to) {
            (State::Initialize { .. } | State::Backup { .. }, State::Active { .. }) => {
                self.counters.active_transitions += 1;
                self.successor = None;
                self.stand_not_before = None;
                self.settled_at = None;
                self.lower_active_since = None;
                self.holding = Holding::Answering {
                    renew_at: self.renewal_after(now),
                };
                self.actions.push_back(Action::InstallAddresses);
            }
            (
                State::Initialize { .. } | State::Backup { .. } | State::Active { .. },
                State::Initialize { release_at: None }
                | State::Backup {
                    release_at: None, ..
                },
            ) => self.remove_addresses(),
            (
                State::Initialize { .. } | State::Backup { .. } | State::Active { .. },
                State::Initialize {
                    release_at: Some(_),
                }
                | State::Backup {
                    release_at: Some(_),
                    ..
                },
            )
            | (State::Active { .. }, State::Active { .. }) => {}
        }
        if from.name() != to.name() {
            let transition = Transition {
                from: from.name(),
                to: to.name(),
                cause,
            };
            self.last_transition = Some((now, transition));
            self.actions.push_back(Action::Report(transition));
        }
    }

    /// Leaves Initialize if nothing is in the way.
    fn start(&mut self, now: Instant, cause: Cause) {
        let State::Initialize { release_at } = self.state else {
            return;
        };
        match self.obstacle() {
            Some(Obstacle::Fault(_) | Obstacle::SyncGroup) => return self.drop_adoption(),
            // An adoption waits for the link, but not for the end of a fault.
            Some(Obstacle::LinkDown | Obstacle::NoSource) => return,
            None => {}
        }
        match self.lifecycle {
            Lifecycle::New | Lifecycle::Stopped => return,
            Lifecycle::Running => {}
            Lifecycle::Adopting { advertised_at } => {
                self.lifecycle = Lifecycle::Running;
                if self.adopt(now, advertised_at) {
                    return;
                }
                // Not renewed before it has run out: a process that dies again and again at its
                // start must not keep what a peer may have by now.
                let renew_at = now + self.parameters.lease;
                self.holding = Holding::Answering { renew_at };
            }
        }
        let may_stand = self.not_too_early(now) == now && self.fitness != Fitness::Unready;
        let own_interval = self.parameters.advertisement_interval;
        let mut patience = self.patience(own_interval);
        self.stand_cause = Cause::ActiveSilent;
        if self.is_owner() && may_stand {
            if !self.parameters.in_sync_group {
                return self.become_active(now, Cause::OwnerStartup);
            }
            self.stand_cause = Cause::OwnerStartup;
            patience = Duration::ZERO;
        }
        let active_down_at = self.not_too_early(now + patience);
        let stale = release_at.is_none() && self.holds_addresses();
        let to = State::Backup {
            active_down_at,
            active_adver_interval: own_interval,
            release_at: if stale {
                Some(active_down_at + own_interval.duration() + RELEASE_MARGIN)
            } else {
                release_at
            },
        };
        self.transition(now, to, cause);
    }

    /// Takes the role over from the process before, if its last advertisement is young enough.
    fn adopt(&mut self, now: Instant, advertised_at: Instant) -> bool {
        let own_interval = self.parameters.advertisement_interval.duration();
        if now.saturating_duration_since(advertised_at) >= 3 * own_interval {
            return false;
        }
        let to = State::Active {
            adver_at: (advertised_at.min(now) + own_interval).max(now),
            announcements: Announcements::awaiting(now),
        };
        self.transition(now, to, Cause::Adopted);
        true
    }

    /// Becomes Active: RFC 9568 §6.4.2, and §6.4.1 for an owner.
    fn become_active(&mut self, now: Instant, cause: Cause) {
        self.send(self.effective_priority);
        let announcements = match self.interrupted_announcements.take() {
            Some(interrupted) => interrupted.resumed(now),
            None => Announcements::awaiting(now),
        };
        let adver_at = now + self.parameters.advertisement_interval.duration();
        self.transition(
            now,
            State::Active {
                adver_at,
                announcements,
            },
            cause,
        );
    }

    /// Keeps the rhythm of the timer, unless it is more than an interval behind.
    fn advertise_on_time(&mut self, now: Instant, due_at: Instant) {
        let own_interval = self.parameters.advertisement_interval.duration();
        self.send(self.effective_priority);
        // It may have been an answer that was put off: the next is as far away.
        self.answered_at = self.answered_at.map(|_| now);
        let next_at = due_at + own_interval;
        self.set_adver_at(if next_at > now {
            next_at
        } else {
            now + own_interval
        });
    }

    fn announce_on_time(&mut self, now: Instant, schedule: Announcements) {
        match schedule {
            Announcements::AwaitApplied { .. } => self.abandon(now, Cause::ApplyTimedOut),
            Announcements::Running { .. } => {
                let (lease, plan) = (self.parameters.lease, self.parameters.announcements);
                if let State::Active { announcements, .. } = &mut self.state {
                    *announcements = schedule.advanced(now, lease, plan);
                }
                self.announce(1);
            }
        }
    }

    fn set_adver_at(&mut self, at: Instant) {
        if let State::Active { adver_at, .. } = &mut self.state {
            *adver_at = at;
        }
    }

    fn send(&mut self, priority: Priority) {
        self.counters.advertisements_sent += 1;
        if priority == Priority::LEAVING {
            self.counters.priority_zero_sent += 1;
        }
        self.actions
            .push_back(Action::SendAdvertisement { priority });
    }

    fn announce(&mut self, rounds: u8) {
        self.counters.announcements_sent += u64::from(rounds);
        self.actions.push_back(Action::Announce { rounds });
    }

    fn renew_if_due(&mut self, now: Instant) {
        let next_at = self.renewal_after(now);
        match &mut self.holding {
            Holding::Answering { renew_at } | Holding::Suppressed { renew_at }
                if *renew_at <= now =>
            {
                *renew_at = next_at;
                self.actions.push_back(Action::RenewAddresses);
            }
            Holding::Absent | Holding::Answering { .. } | Holding::Suppressed { .. } => {}
        }
    }

    fn renewal_after(&self, now: Instant) -> Instant {
        now + self.parameters.lease / RENEWALS_PER_LEASE
    }

    /// A Backup does not stand while it waits after a failure of the host.
    fn not_too_early(&self, at: Instant) -> Instant {
        let waits = self.stand_not_before.into_iter().chain(self.settled_at);
        waits.fold(at, Instant::max)
    }

    fn own_down_interval(&self) -> Duration {
        self.patience(self.parameters.advertisement_interval)
    }

    /// Active_Down_Interval with a learned interval.
    fn patience(&self, learned: AdverInterval) -> Duration {
        interval::active_down_interval(
            self.parameters.version,
            self.effective_priority,
            learned,
            self.parameters.down_multiplier,
        )
    }

    /// Skew_Time with a learned interval.
    const fn skew(&self, learned: AdverInterval) -> Duration {
        interval::skew_time(self.parameters.version, self.effective_priority, learned)
    }
}

/// Whether the router was told to take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lifecycle {
    New,
    /// Started, but the role of the process before is not yet taken over.
    Adopting {
        advertised_at: Instant,
    },
    Running,
    Stopped,
}

/// What the host has of our addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holding {
    Absent,
    Answering { renew_at: Instant },
    Suppressed { renew_at: Instant },
}

impl Holding {
    const fn renew_at(self) -> Option<Instant> {
        match self {
            Self::Absent => None,
            Self::Answering { renew_at } | Self::Suppressed { renew_at } => Some(renew_at),
        }
    }

    fn hasten_renewal(&mut self, now: Instant) {
        match self {
            Self::Absent => {}
            Self::Answering { renew_at } | Self::Suppressed { renew_at } => *renew_at = now,
        }
    }
}

/// How long addresses are held, suppressed, after the new Active was heard: requests in flight end.
pub const RELEASE_AFTER_SUCCESSOR: Duration = Duration::from_millis(200);
/// How much longer than an interval addresses are held when nobody is heard.
pub const RELEASE_MARGIN: Duration = Duration::from_millis(100);
/// The most actions one event causes; the queue between the router and the shell is empty before
/// each event.
pub const ACTIONS_MAX: usize = 12;
/// Between two rounds of announcements against another machine that claims an address: that one
/// may do the same.
pub const DEFENSE_INTERVAL: Duration = Duration::from_secs(1);
/// How often a lease is renewed within its time.
const RENEWALS_PER_LEASE: u32 = 4;
