//! A node of the segment: its configuration, its clock, its kernel, and the program that speaks for
//! it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel::logic::vrrp::{
    Advertisement, AnnouncementPlan, LinkRules, Parameters, Preempt, Rejection, State,
    VirtualRouter,
};
use evenkeel::model::{AdverInterval, Fitness, Priority, Version, Vrid};

use crate::clock::{Clock, Micros};
use crate::keepalived::Keepalived;
use crate::world::Event;

/// What a kernel has of the virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    Nothing,
    Answers { until: Micros },
    Suppressed { until: Micros },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    Running,
    /// Frozen: what arrives waits.
    Stalled,
    /// Dead; the supervisor keeps the socket, and what arrives waits.
    Dead,
}

/// Who speaks for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Evenkeel,
    Keepalived,
}

/// How a node is configured, and how fast its clock is.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub kind: Kind,
    pub version: Version,
    pub priority: u8,
    /// Up to this priority an Active of the file says that it cannot serve.
    pub ill_max: u8,
    pub preempt: Preempt,
    pub centiseconds: u16,
    pub down_multiplier: u8,
    /// The last byte of its only virtual address: the same everywhere unless the lists differ.
    pub address: u8,
    pub drift_ppm: i64,
}

impl Setting {
    pub(crate) fn new(kind: Kind, priority: u8, preempt: Preempt, centiseconds: u16) -> Self {
        Self {
            kind,
            version: Version::V3,
            priority,
            ill_max: 0,
            preempt,
            centiseconds,
            down_multiplier: 3,
            address: 100,
            drift_ppm: 0,
        }
    }

    pub(crate) fn parameters(&self) -> Parameters {
        Parameters {
            vrid: Vrid::new(51).expect("not 0"),
            version: self.version,
            priority: Priority::from_wire(self.priority),
            ill_max: Priority::from_wire(self.ill_max),
            addresses: vec![IpAddr::from([192, 0, 2, self.address])],
            advertisement_interval: AdverInterval::from_centiseconds(self.centiseconds)
                .expect("in range"),
            preempt: self.preempt,
            lease: LEASE,
            down_multiplier: self.down_multiplier,
            announcements: AnnouncementPlan::default(),
            impaired: Priority::from_wire(1),
            link: LinkRules::default(),
            in_sync_group: false,
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "there are a handful of them")]
pub(crate) enum Program {
    Evenkeel(Box<VirtualRouter>),
    Keepalived(Keepalived),
}

pub(crate) struct Node {
    pub kind: Kind,
    pub parameters: Parameters,
    pub process: Process,
    pub kernel: Kernel,
    pub source: IpAddr,
    pub link_up: bool,
    pub fitness: Fitness,
    pub clock: Clock,
    pub program: Program,
    pub advertised_at: Option<Instant>,
    pub waiting: VecDeque<Event>,
    pub generation: u64,
    /// Counts the processes this node has had; the host thread of a dead one does nothing more.
    pub life: u64,
}

impl Node {
    pub(crate) fn new(setting: &Setting, source: IpAddr, epoch: Instant) -> Self {
        let parameters = setting.parameters();
        Self {
            kind: setting.kind,
            program: Self::program(setting.kind, &parameters, source),
            fitness: Fitness::Ready(parameters.priority),
            parameters,
            process: Process::Dead,
            kernel: Kernel::Nothing,
            source,
            link_up: true,
            clock: Clock::new(epoch, setting.drift_ppm),
            advertised_at: None,
            waiting: VecDeque::new(),
            generation: 0,
            life: 0,
        }
    }

    pub(crate) fn program(kind: Kind, parameters: &Parameters, source: IpAddr) -> Program {
        match kind {
            Kind::Evenkeel => Program::Evenkeel(Box::new(VirtualRouter::new(parameters.clone()))),
            Kind::Keepalived => Program::Keepalived(Keepalived::new(parameters.clone(), source)),
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        let active = match &self.program {
            Program::Evenkeel(router) => matches!(router.state(), State::Active { .. }),
            Program::Keepalived(peer) => peer.is_master(),
        };
        self.process != Process::Dead && active
    }

    pub(crate) fn answers(&self) -> bool {
        matches!(self.kernel, Kernel::Answers { .. })
    }

    /// Its own router.
    pub(crate) fn router(&self) -> &VirtualRouter {
        match &self.program {
            Program::Evenkeel(router) => router,
            Program::Keepalived(_) => panic!("a router of ours is hoped for"),
        }
    }

    pub(crate) fn interval(&self) -> Micros {
        self.parameters.advertisement_interval.micros()
    }

    /// The longest that it waits for an Active with this interval: Active_Down_Interval at priority
    /// 0.
    pub(crate) fn patience(&self, learned: Micros) -> Micros {
        let skew_most = match self.parameters.version {
            Version::V2 => 1_000_000,
            Version::V3 => learned,
        };
        u64::from(self.parameters.down_multiplier) * learned + skew_most
    }

    /// Until when the host may still extend a lease that is asked for now.
    pub(crate) fn not_after(&self, now: Micros) -> Micros {
        match &self.program {
            Program::Evenkeel(router) => {
                let (_, patience) = router.intervals();
                self.clock
                    .reaches(self.clock.shows(now) + patience.min(LEASE))
            }
            Program::Keepalived(_) => Micros::MAX,
        }
    }

    pub(crate) fn due_at(&self) -> Option<Instant> {
        match &self.program {
            Program::Evenkeel(router) => router.poll_timeout(),
            Program::Keepalived(peer) => peer.due_at(),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.program {
            Program::Evenkeel(router) => {
                router.handle_timeout(now);
                let next = router.poll_timeout();
                assert!(
                    next.is_none_or(|next| next > now),
                    "no timer stays due: {:?}",
                    router.state()
                );
            }
            Program::Keepalived(peer) => peer.handle_timeout(now),
        }
    }

    pub(crate) fn hear(&mut self, now: Instant, source: IpAddr, heard: &Advertisement) {
        let interval = self.parameters.advertisement_interval;
        match &mut self.program {
            Program::Evenkeel(router) => match self.parameters.version {
                Version::V2 if heard.interval != interval => {
                    router.count_rejection(Rejection::IntervalMismatch);
                }
                Version::V2 | Version::V3 => router.handle_advertisement(now, source, heard),
            },
            Program::Keepalived(peer) => peer.hear(now, source, heard),
        }
    }
}

/// Our kernel lifetime of addresses.
pub(crate) const LEASE: Duration = Duration::from_secs(2);
