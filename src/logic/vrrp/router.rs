//! Stub: the state machine. Signatures are the contract for the vrrp process.
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::packet::Advertisement;
use crate::model::{AdverInterval, Fitness, Priority, Vrid};

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
    pub vrid: Vrid,
    /// The base priority; the effective one comes by `set_fitness`.
    pub priority: Priority,
    pub addresses: Vec<IpAddr>,
    pub advertisement_interval: AdverInterval,
    pub preempt: Preempt,
    /// Kernel lifetime of the addresses.
    pub lease: Duration,
}

/// Whether advertisements can be sent, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// The interface has carrier and this usable primary address (IPv6: non-tentative link-local).
    Up { primary: IpAddr },
    /// No interface, no carrier, or no usable address.
    Down,
}

/// RFC 9568 §6.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Initialize {
        release_at: Option<Instant>,
    },
    Backup {
        active_down_at: Instant,
        active_adver_interval: AdverInterval,
        release_at: Option<Instant>,
    },
    Active {
        adver_at: Instant,
    },
}

/// Why a transition happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Startup,
}

/// One change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    pub from: &'static str,
    pub to: &'static str,
    pub cause: Cause,
}

/// What the shell must do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send one advertisement with this priority, now.
    SendAdvertisement { priority: Priority },
    /// Install every address with the lease (idempotent), then report `handle_applied` or `handle_apply_failed`;
    /// also ends a silence.
    InstallAddresses,
    /// Extend the lease of every address.
    RenewAddresses,
    /// Keep the addresses but answer neither ARP nor neighbor discovery for them.
    SilenceAddresses,
    /// Take every address away.
    RemoveAddresses,
    /// Send one gratuitous ARP or unsolicited neighbor advertisement for every address, now.
    Announce,
    /// Tell people.
    Report(Transition),
}

/// The statistics of RFC 8347 and beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub advertisements_sent: u64,
}

/// What the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What failed, for people.
    pub what: String,
}

/// The virtual router.
#[derive(Clone, Debug)]
pub struct VirtualRouter {
    parameters: Parameters,
}

#[allow(unused_variables)]
impl VirtualRouter {
    pub fn new(parameters: Parameters) -> Self {
        Self { parameters }
    }
    pub fn handle_startup(&mut self, now: Instant) {}
    /// Instead of `handle_startup`: the process before us died as Active, having advertised last at `advertised_at`,
    /// the addresses are still installed and nobody better has been heard since.
    pub fn handle_adoption(&mut self, now: Instant, advertised_at: Instant) {}
    pub fn handle_shutdown(&mut self, now: Instant) {}
    pub fn handle_advertisement(
        &mut self,
        now: Instant,
        source: IpAddr,
        advertisement: &Advertisement,
    ) {
    }
    pub fn handle_timeout(&mut self, now: Instant) {}
    pub fn handle_link(&mut self, now: Instant, link: LinkState) {}
    /// The host has installed the addresses: announcements may begin.
    pub fn handle_applied(&mut self, now: Instant) {}
    pub fn handle_apply_failed(&mut self, now: Instant, failure: Failure) {}
    pub fn set_fitness(&mut self, now: Instant, fitness: Fitness) {}
    pub fn update(&mut self, now: Instant, parameters: Parameters) {}
    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    pub fn state(&self) -> State {
        State::Initialize { release_at: None }
    }
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }
    /// True once nothing is held any more after `handle_shutdown`.
    pub fn is_released(&self) -> bool {
        true
    }
}
