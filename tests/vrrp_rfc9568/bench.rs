//! A router at 192.0.2.100 with its clock, and packets for it: what clauses and properties share.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel::logic::vrrp::{
    Action, Advertisement, AnnouncementPlan, Envelope, LinkRules, LinkState, Parameters, Preempt,
    State, VirtualRouter,
};
use evenkeel::model::{AdverInterval, Fitness, Priority, Version, Vrid};

/// A router at 192.0.2.100, with its clock.
pub(crate) struct Bench {
    pub router: VirtualRouter,
    pub now: Instant,
}

impl Bench {
    pub(crate) fn new(priority: u8) -> Self {
        Self::with(priority, Preempt::Always)
    }

    pub(crate) fn with(priority: u8, preempt: Preempt) -> Self {
        let priority = Priority::from_wire(priority);
        let mut router = VirtualRouter::new(Parameters {
            vrid: Vrid::new(51).expect("not 0"),
            version: Version::V3,
            priority,
            ill_max: Priority::LEAVING,
            addresses: vec![ip("192.0.2.100")],
            advertisement_interval: interval(100),
            preempt,
            lease: 2 * SECOND,
            down_multiplier: 3,
            announcements: AnnouncementPlan::default(),
            impaired: Priority::from_wire(1),
            link: LinkRules::default(),
            in_sync_group: false,
        });
        let now = Instant::now() + 1000 * SECOND;
        router.handle_link(
            now,
            LinkState::Up {
                primary: ip("192.0.2.100"),
            },
        );
        router.set_fitness(now, Fitness::Ready(priority));
        Self { router, now }
    }

    pub(crate) fn backup() -> Self {
        let mut bench = Self::new(100);
        bench.router.handle_startup(bench.now);
        bench.actions();
        bench
    }

    /// Active since just now, with its addresses installed.
    pub(crate) fn active(priority: u8) -> Self {
        let mut bench = Self::new(priority);
        bench.router.handle_startup(bench.now);
        if let Some(at) = bench.router.poll_timeout().filter(|_| !bench.is_active()) {
            bench.now = at;
            bench.router.handle_timeout(at);
        }
        bench.router.handle_applied(bench.now);
        bench.actions();
        bench
    }

    pub(crate) fn is_active(&self) -> bool {
        self.router.state().is_active()
    }

    /// Lets time pass, with every timer served when due and at the end.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.router.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.router.handle_timeout(self.now);
        }
        self.now = end;
        self.router.handle_timeout(end);
    }

    pub(crate) fn hear(&mut self, source: &str, priority: u8) {
        self.hear_with(source, priority, 100);
    }

    pub(crate) fn hear_with(&mut self, source: &str, priority: u8, centiseconds: u16) {
        let advertisement = ipv4(priority, centiseconds);
        self.router
            .handle_advertisement(self.now, ip(source), &advertisement);
    }

    pub(crate) fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.router.poll_action())
            .filter(|action| {
                !matches!(
                    action,
                    Action::Report(_) | Action::RenewAddresses | Action::Warn { .. }
                )
            })
            .collect()
    }

    /// Returns the rest of Active_Down_Timer and Active_Adver_Interval, in Backup.
    pub(crate) fn backup_timers(&self) -> Option<(Duration, AdverInterval)> {
        match self.router.state() {
            State::Backup {
                active_down_at,
                active_adver_interval,
                ..
            } => Some((active_down_at - self.now, active_adver_interval)),
            State::Initialize { .. } | State::Active { .. } => None,
        }
    }

    pub(crate) fn next_advertisement(&self) -> Duration {
        match self.router.state() {
            State::Active { adver_at, .. } => adver_at - self.now,
            State::Initialize { .. } | State::Backup { .. } => Duration::MAX,
        }
    }
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn advertises(priority: u8) -> Action {
    Action::SendAdvertisement {
        priority: Priority::from_wire(priority),
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn interval(centiseconds: u16) -> AdverInterval {
    AdverInterval::from_centiseconds(centiseconds).expect("in range")
}

pub(crate) fn envelope() -> Envelope {
    Envelope {
        source: ip("192.0.2.1"),
        destination: ip("224.0.0.18"),
        hop_limit: 255,
    }
}

pub(crate) fn envelope_ipv6() -> Envelope {
    Envelope {
        source: ip("fe80::1"),
        destination: ip("ff02::12"),
        hop_limit: 255,
    }
}

pub(crate) fn ipv4(priority: u8, centiseconds: u16) -> Advertisement {
    Advertisement {
        vrid: Vrid::new(51).expect("not 0"),
        priority: Priority::from_wire(priority),
        interval: interval(centiseconds),
        addresses: vec![ip("192.0.2.100")],
    }
}

pub(crate) fn ipv6() -> Advertisement {
    Advertisement {
        addresses: vec![ip("fe80::112:33"), ip("2001:db8::100")],
        ..ipv4(200, 1)
    }
}

pub(crate) fn with(packet: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[at] = byte;
    packet
}

/// Returns the packet with the checksum of the message alone, computed here and not by what is
/// tested.
pub(crate) fn summed(packet: &[u8]) -> Vec<u8> {
    let mut packet = with(&with(packet, 6, 0), 7, 0);
    let mut sum: u32 = packet
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [high, low] = (!(sum as u16)).to_be_bytes();
    (packet[6], packet[7]) = (high, low);
    packet
}
