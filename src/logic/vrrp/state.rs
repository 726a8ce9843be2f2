//! The words of the state machine: what goes in, what comes out, and the three states of RFC 9568
//! §6.4.
//!
//! Plain data without behaviour; `router` gives it meaning.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::announce::{AnnouncementPlan, Announcements};
use super::anomaly::Anomaly;
use crate::model::{AdverInterval, FaultCause, Priority, Version, Vrid};

/// Whether a higher-priority Backup replaces a lower-priority Active (Preempt_Mode, RFC 9568 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preempt {
    /// `preempt: true`, the default.
    Always,
    /// `preempt: false`.
    Never,
    /// `preempt: {delay: 30s}`: only after having heard the lower-priority Active for so long.
    After(Duration),
}

/// What a virtual router is told about itself (RFC 9568 §6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Its identifier on the link.
    pub vrid: Vrid,
    /// The version that it and its peers speak.
    pub version: Version,
    /// The base priority; the effective one comes by `set_fitness`. 255 makes it the address owner.
    pub priority: Priority,
    /// Up to this priority an Active says that it cannot serve: one that can replaces it, whatever
    /// `preempt` says. 0: nobody says so.
    pub ill_max: Priority,
    /// The virtual addresses in the order of the advertisement, all of one family.
    pub addresses: Vec<IpAddr>,
    /// The interval between its own advertisements.
    pub advertisement_interval: AdverInterval,
    /// Preempt_Mode; an owner always preempts.
    pub preempt: Preempt,
    /// Kernel lifetime of the addresses.
    pub lease: Duration,
    /// After how many intervals of silence the Active is down; 3 in the standard.
    pub down_multiplier: u8,
    /// When it is announced where the addresses are.
    pub announcements: AnnouncementPlan,
    /// What it stands with while a member of its sync group has no source: below every node that
    /// has all of it.
    pub impaired: Priority,
    /// What a link that is down means, and one that has come up.
    pub link: LinkRules,
    /// It is in a sync group: it becomes Active when the group calls `promote`; `member_state` says
    /// when it would.
    pub in_sync_group: bool,
}

/// The key `link` of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkRules {
    /// Its sync group takes no part while its link is down; else the group goes on without it.
    pub required: bool,
    /// It does not become Active before its link has been up for so long: a switch port may block
    /// at first.
    pub up_delay: Duration,
}

impl Default for LinkRules {
    fn default() -> Self {
        Self {
            required: true,
            up_delay: Duration::ZERO,
        }
    }
}

/// The state of a virtual router as a member of its sync group; see `sync_group`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It was not started, or was stopped: the group is told on its own.
    NotStarted,
    /// It cannot take part, and without it nobody shall.
    Blocked,
    /// It has no source, and the others go on without it.
    Absent,
    /// Its link is not there, which is not required.
    Spared,
    /// Its link or its source is back: it joins the others if they are Active.
    Returning,
    /// It could take part, but the group holds it back.
    HeldBack,
    /// It is Backup, and hears or still waits for an Active.
    Backup,
    /// It is Backup and would be Active were it alone.
    Candidate,
    /// It is Active.
    Active,
}

/// Whether advertisements can be sent, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// The interface has carrier and this usable primary address (IPv6: non-tentative link-local).
    Up {
        /// The source of our advertisements, which decides between equal priorities.
        primary: IpAddr,
    },
    /// The interface has carrier and no usable primary address.
    NoSource,
    /// No interface, or no carrier.
    Down,
}

/// RFC 9568 §6.4. A timer that cannot run in a state does not exist in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not started, stopped, in fault, or without a link: takes no part.
    Initialize {
        /// When addresses that are still held are let go; `None`: none is held.
        release_at: Option<Instant>,
    },
    /// Waits for the Active to fall silent.
    Backup {
        /// When it becomes Active unless it hears somebody.
        active_down_at: Instant,
        /// Active_Adver_Interval: learned from the Active, our own until then.
        active_adver_interval: AdverInterval,
        /// When addresses that are still held are let go; `None`: none is held.
        release_at: Option<Instant>,
    },
    /// Holds the addresses and advertises.
    Active {
        /// When the next advertisement is due.
        adver_at: Instant,
        /// What remains to be announced.
        announcements: Announcements,
    },
}

impl State {
    /// Returns the name of RFC 9568: `Initialize`, `Backup` or `Active`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Initialize { .. } => "Initialize",
            Self::Backup { .. } => "Backup",
            Self::Active { .. } => "Active",
        }
    }

    /// Returns whether it is Active.
    pub const fn is_active(&self) -> bool {
        matches!(self, Self::Active { .. })
    }
}

/// Why a transition happened. Displayed as a fragment for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was told to begin.
    Startup,
    /// It was told to begin and owns the addresses.
    OwnerStartup,
    /// The process before us died as Active a moment ago.
    Adopted,
    /// Nobody advertised for an Active_Down_Interval.
    ActiveSilent,
    /// The Active said that it leaves, and nobody better spoke within our Skew_Time.
    ActiveLeft,
    /// The Active had a lower priority than ours.
    Preempting,
    /// After our own demotion nobody better spoke.
    ReElected,
    /// A peer with a higher priority advertises.
    HigherPriority,
    /// A peer with our priority and a higher address advertises.
    HigherAddress,
    /// Our own priority was lowered.
    Demoted,
    /// Tracking says that we must not be Active.
    Fault(FaultCause),
    /// Tracking no longer says so.
    FaultOver,
    /// The interface is usable.
    LinkUp,
    /// The interface is not usable.
    LinkDown,
    /// The interface has had no address to send from for an interval.
    SourceLost,
    /// It was told to stop.
    Shutdown,
    /// It slept longer than its peers wait.
    Stalled,
    /// The host could not install or keep the addresses.
    ApplyFailed,
    /// The host did not say whether it installed the addresses.
    ApplyTimedOut,
    /// The kernel refused every advertisement for three intervals.
    SendFailed,
    /// Another virtual router of its group left Active, or cannot take part.
    SyncGroup,
    /// Every virtual router of its group can take part again.
    SyncGroupBack,
}

impl Cause {
    /// Returns what RFC 8347 §3 calls the event (`last-event`); `none` for what it does not know.
    pub const fn rfc8347_event(self) -> &'static str {
        match self {
            Self::Startup | Self::OwnerStartup | Self::Adopted => "startup",
            Self::ActiveSilent | Self::ActiveLeft | Self::ReElected => "master-timeout",
            Self::Preempting => "lower-priority-master",
            Self::HigherPriority | Self::HigherAddress => "higher-priority-backup",
            Self::LinkUp => "interface-up",
            Self::LinkDown | Self::SourceLost => "interface-down",
            Self::Shutdown => "shutdown",
            Self::Demoted
            | Self::Fault(_)
            | Self::FaultOver
            | Self::Stalled
            | Self::ApplyFailed
            | Self::ApplyTimedOut
            | Self::SendFailed
            | Self::SyncGroup
            | Self::SyncGroupBack => "none",
        }
    }

    /// Returns why a router became Active, in the words of RFC 8347 §3 (`new-master-reason`).
    pub const fn rfc8347_reason(self, active: bool) -> &'static str {
        match self {
            _ if !active => "not-master",
            Self::Preempting => "preempted",
            Self::ActiveSilent | Self::ActiveLeft => "no-response",
            Self::Startup
            | Self::OwnerStartup
            | Self::Adopted
            | Self::ReElected
            | Self::HigherPriority
            | Self::HigherAddress
            | Self::Demoted
            | Self::Fault(_)
            | Self::FaultOver
            | Self::LinkUp
            | Self::LinkDown
            | Self::SourceLost
            | Self::Shutdown
            | Self::Stalled
            | Self::ApplyFailed
            | Self::ApplyTimedOut
            | Self::SendFailed
            | Self::SyncGroup
            | Self::SyncGroupBack => "priority",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fragment = match self {
            Self::Startup => "startup",
            Self::OwnerStartup => "startup as the address owner",
            Self::Adopted => "adopted from the process before",
            Self::ActiveSilent => "no advertisement within the active down interval",
            Self::ActiveLeft => "priority 0 from the Active",
            Self::Preempting => "the Active has a lower priority",
            Self::ReElected => "nobody better spoke after the priority was lowered",
            Self::HigherPriority => "peer with higher priority",
            Self::HigherAddress => "peer with equal priority and higher address",
            Self::Demoted => "the priority was lowered",
            Self::Fault(cause) => return write!(f, "fault: {cause}"),
            Self::FaultOver => "the fault is over",
            Self::LinkUp => "the interface is usable",
            Self::LinkDown => "the interface is not usable",
            Self::SourceLost => "the interface has no address to send from",
            Self::Shutdown => "shutdown",
            Self::Stalled => "slept longer than the active down interval",
            Self::ApplyFailed => "the addresses could not be installed",
            Self::ApplyTimedOut => "the addresses were not installed in time",
            Self::SendFailed => "the kernel refuses its advertisements",
            Self::SyncGroup => "it moves with another virtual router",
            Self::SyncGroupBack => "every virtual router of its group takes part again",
        };
        f.write_str(fragment)
    }
}

/// One change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The name of the state that was left.
    pub from: &'static str,
    /// The name of the state that was entered.
    pub to: &'static str,
    /// Why.
    pub cause: Cause,
}

/// What the shell must do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send one advertisement with this priority, now.
    SendAdvertisement {
        /// Ours, or 0 when leaving.
        priority: Priority,
    },
    /// Install exactly the addresses of `parameters()` with the lease (idempotent), then report
    /// `handle_applied` or `handle_apply_failed`; also ends a suppression. Other addresses of this
    /// router that an earlier configuration left behind are taken away.
    InstallAddresses,
    /// Extend the lease of every address; a suppression goes on. Only a failure is reported.
    RenewAddresses,
    /// Keep the addresses but answer neither ARP nor neighbor discovery for them.
    SuppressAddresses,
    /// Take every address away; also ends a suppression.
    RemoveAddresses,
    /// Send one gratuitous ARP or unsolicited neighbor advertisement for every address in each
    /// round, beginning now.
    Announce {
        /// At least 1.
        rounds: u8,
    },
    /// Tell people.
    Report(Transition),
    /// Tell people that an advertisement was accepted although something is wrong with it.
    Warn {
        /// What.
        anomaly: Anomaly,
        /// Who has sent it.
        source: IpAddr,
    },
}

/// What the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What failed, for people.
    pub what: String,
}

/// The last that was heard of a peer which is, or wants to be, Active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The source of its advertisement.
    pub source: IpAddr,
    /// Its priority, never 0.
    pub priority: Priority,
    /// Its interval.
    pub interval: AdverInterval,
    /// When.
    pub heard_at: Instant,
}

/// Why a virtual router that was started takes no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Tracking forbids it.
    Fault(FaultCause),
    /// No usable interface.
    LinkDown,
    /// An interface without a usable address.
    NoSource,
    /// Another virtual router of its group cannot take part.
    SyncGroup,
}
