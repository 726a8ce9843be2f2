//! One virtual router and what surrounds it in this process: its link, its last commands to the
//! host, its peers.
//!
//! The decisions are the machine's (`logic::vrrp`); here is what it may not know: generations of
//! commands, which source addresses are our own, who was heard and what was rejected. Read `run`,
//! which drives it, next.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::host::{Answer, Command, RouterLink, What};
use super::link::claims::Claim;
use super::link::frames::Announcers;
use super::link::socket::VrrpSocket;
use super::routers::RouterId;
use crate::config::VirtualRouterConfig;
use crate::ipc::message::SocketKey;
use crate::logic::vrrp::{
    Advertisement, ChecksumForm, Envelope, Failure, LinkState, Parameters, Rejection, State,
    VirtualRouter, packet, packet_v2,
};
use crate::model::{AdverInterval, Family, Priority, Version};

/// A virtual router at its place.
pub struct RouterRuntime {
    /// As configured.
    pub config: VirtualRouterConfig,
    /// The state machine.
    pub machine: VirtualRouter,
    /// As the host thread last said.
    pub link: RouterLink,
    /// When it last advertised that it is Active, or the process before it did.
    pub advertised_at: Option<Instant>,
    /// When it was made.
    pub made_at: Instant,
    /// Recently heard, the last first; at most `PEERS_MAX`, the oldest is forgotten.
    pub peers: Vec<HeardPeer>,
    /// What was refused of what bore its VRID.
    pub rejections: Rejections,
    /// The last that had our VRID and none of our addresses, and when.
    pub stranger: Option<(Instant, IpAddr)>,
    /// The last that another machine claimed while we were Active, and when.
    pub claim: Option<(Instant, Claim)>,
    claim_logged_at: Option<Instant>,
    /// Addresses that somebody else removed and that were put back.
    pub put_back: u64,
    /// Advertisements that the kernel did not take.
    pub send_failures: u64,
    refusal_logged_at: Option<Instant>,
    /// The other virtual routers of its group.
    pub sync_group: Vec<RouterId>,
    /// Sends advertisements with the virtual MAC; `None` where the interface's own is used.
    pub outlet: Option<VrrpSocket>,
    announcing: Option<Announcing>,
    id: RouterId,
    generation: u64,
    /// A command for which the queue had no room; a later one replaces it.
    deferred: Option<Command>,
    /// When a renewal was asked for that is not answered yet.
    renewal_asked_at: Option<Instant>,
    removal_unanswered: bool,
}

impl RouterRuntime {
    /// Makes the router of this identity, which moves together with others.
    pub fn new(
        id: RouterId,
        config: VirtualRouterConfig,
        sync_group: Vec<RouterId>,
        now: Instant,
    ) -> Self {
        let parameters = Parameters {
            vrid: config.vrid,
            version: config.version,
            priority: config.rank.well(),
            ill_max: config.rank.ill_max(),
            addresses: config
                .addresses
                .iter()
                .map(|virtual_| virtual_.address)
                .collect(),
            advertisement_interval: config.advertisement_interval,
            preempt: config.preempt,
            lease: config.lease,
            down_multiplier: config.down_multiplier,
            announcements: config.announcements,
            impaired: config.rank.ill().unwrap_or(Priority::OWNER),
            link: config.link,
            in_sync_group: !sync_group.is_empty(),
        };
        Self {
            machine: VirtualRouter::new(parameters),
            link: RouterLink {
                ifindex: None,
                outlet: None,
                state: LinkState::Down,
                why: None,
                local: Arc::default(),
                also_on: None,
            },
            config,
            advertised_at: None,
            made_at: now,
            peers: Vec::new(),
            rejections: Rejections::default(),
            stranger: None,
            claim: None,
            claim_logged_at: None,
            put_back: 0,
            send_failures: 0,
            refusal_logged_at: None,
            sync_group,
            outlet: None,
            announcing: None,
            id,
            generation: 0,
            deferred: None,
            renewal_asked_at: None,
            removal_unanswered: false,
        }
    }

    /// Returns its family.
    pub const fn family(&self) -> Family {
        self.config.name.family
    }

    /// Returns the source of its advertisements, while there is one.
    pub const fn primary(&self) -> Option<IpAddr> {
        match self.machine.link() {
            LinkState::Up { primary } => Some(primary),
            LinkState::Down | LinkState::NoSource => None,
        }
    }

    /// Returns whether it is Active.
    pub const fn is_active(&self) -> bool {
        match self.machine.state() {
            State::Active { .. } => true,
            State::Initialize { .. } | State::Backup { .. } => false,
        }
    }

    /// Returns whether it holds nothing any more, and the host has confirmed it.
    pub fn is_released(&self) -> bool {
        self.machine.is_released() && self.deferred.is_none() && !self.removal_unanswered
    }

    /// Opens the socket that sends with the virtual MAC, if one is wanted and there is where.
    ///
    /// # Errors
    /// When the kernel refuses the socket; there is none then.
    pub fn open_outlet(&mut self) -> io::Result<()> {
        let wanted = match &self.link.outlet {
            Some(outlet) if self.config.virtual_mac => SocketKey {
                interface: outlet.interface.clone(),
                ifindex: outlet.ifindex,
                family: self.family(),
            },
            Some(_) | None => {
                self.outlet = None;
                return Ok(());
            }
        };
        if self.outlet.as_ref().map(VrrpSocket::key) != Some(&wanted) {
            self.outlet = None;
            self.outlet = Some(VrrpSocket::open_for_sending(wanted)?);
        }
        Ok(())
    }

    /// Returns whether it can send as its configuration wants it, or there is nowhere to send yet.
    pub const fn has_outlet(&self) -> bool {
        !self.config.virtual_mac || self.link.outlet.is_none() || self.outlet.is_some()
    }

    /// Begins so many rounds of announcements. A round that is under way goes on to its last
    /// address first: a slow pace must not begin with the first ones for ever.
    pub fn begin_announcing(&mut self, rounds: u8, now: Instant) {
        self.announcing = Some(match self.announcing {
            Some(under_way) if under_way.next > 0 => Announcing {
                rounds: under_way.rounds.max(rounds.saturating_add(1)),
                ..under_way
            },
            Some(Announcing { rounds: before, .. }) => Announcing::begun(rounds.max(before), now),
            None => Announcing::begun(rounds, now),
        });
    }

    /// Ends what remains to be announced.
    pub const fn end_announcing(&mut self) {
        self.announcing = None;
    }

    /// Returns when the next announcement is due.
    pub fn announce_at(&self) -> Option<Instant> {
        self.announcing.map(|announcing| announcing.due_at)
    }

    /// Sends the announcements that are due, at most so many, and returns how many more it might
    /// have sent.
    ///
    /// After a failure the rest is left out: the schedule brings another round. A full queue is
    /// waited for, not in here.
    pub fn announce(&mut self, on: &mut Announcers, now: Instant, mut frames: usize) -> usize {
        while let Some(announcing) = self.announcing
            && announcing.due_at <= now
            && frames > 0
        {
            frames -= 1;
            let addresses = &self.machine.parameters().addresses;
            let address = addresses[announcing.next % addresses.len()];
            let count = addresses.len();
            self.announcing = announcing.after_one(count, now, self.config.announcement_pace);
            let sent = match &self.link.outlet {
                Some(outlet) => on.of(outlet).and_then(|link| link.announce(address)),
                None => Err(io::ErrorKind::NotConnected.into()),
            };
            match sent {
                Ok(()) => {}
                // The queue of the link is full: the same again soon, and nobody else's in this
                // turn.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    let due_at = now + FULL_QUEUE_PAUSE;
                    self.announcing = Some(Announcing {
                        due_at,
                        ..announcing
                    });
                    return 0;
                }
                Err(error) => {
                    debug!(router = %self.config.name, %error, "announcement not sent");
                    self.announcing = None;
                }
            }
        }
        frames
    }

    /// Reads a message that bears its VRID, in the version it speaks.
    ///
    /// # Errors
    /// The first check that it fails.
    pub fn parse(
        &self,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<(Advertisement, ChecksumForm), Rejection> {
        // Strangers first: nothing they send deserves more work.
        let peers = &self.config.peers;
        if peers.is_empty() != envelope.destination.is_multicast() {
            return Err(Rejection::Destination);
        }
        if !peers.is_empty() && !peers.contains(&envelope.source) {
            return Err(Rejection::Peer);
        }
        let version = self.config.version;
        let envelope = &match envelope.destination.is_multicast() {
            true => *envelope,
            false => envelope.beyond_routers(self.config.peer_hops),
        };
        let (advertisement, form) = match version {
            Version::V2 => {
                let interval = self.config.advertisement_interval;
                packet_v2::parse(envelope, message, interval, self.config.authentication)
                    .map(|advertisement| (advertisement, ChecksumForm::Rfc3768))
            }
            Version::V3 => packet::parse(envelope, message),
        }?;
        let ours = &self.machine.parameters().addresses;
        if packet::is_of_stranger(version, &advertisement, ours) {
            return Err(Rejection::Addresses);
        }
        Ok((advertisement, form))
    }

    /// Writes a message in the version it speaks.
    pub fn build(
        &self,
        advertisement: &Advertisement,
        source: IpAddr,
        destination: IpAddr,
        out: &mut Vec<u8>,
    ) {
        match self.config.version {
            Version::V2 => packet_v2::build(advertisement, self.config.authentication, out),
            Version::V3 => {
                packet::build(
                    advertisement,
                    source,
                    destination,
                    self.config.checksum,
                    out,
                );
            }
        }
    }

    /// Returns whether the VRRP socket with this interface and family is its own.
    pub fn hears(&self, interface: &str, family: Family) -> bool {
        self.config.interface == interface && self.family() == family
    }

    /// Decides the command for an action of the machine; `None` for a renewal while one is not
    /// answered, or when the command before it is still deferred.
    pub fn command(&mut self, what: What, now: Instant) -> Option<Command> {
        match what {
            What::Renew(_) if self.renewal_asked_at.is_some() || self.deferred.is_some() => {
                return None;
            }
            What::Renew(_) => self.renewal_asked_at = Some(now),
            What::Install(_) | What::Suppress => {
                self.begin_generation();
                self.removal_unanswered = false;
            }
            What::Remove => {
                self.begin_generation();
                self.removal_unanswered = true;
            }
        }
        let patience = (3 * self.config.advertisement_interval.duration()).max(LATENESS_MIN);
        Some(Command {
            router: self.id,
            generation: self.generation,
            not_after: now + patience.min(self.config.lease),
            what,
        })
    }

    /// Returns whether the host thread has left a renewal unanswered for a whole lease.
    pub fn host_is_silent(&self, now: Instant) -> bool {
        let asked_at = self.renewal_asked_at;
        asked_at.is_some_and(|at| now.saturating_duration_since(at) >= self.config.lease)
    }

    /// Keeps a command that did not fit in the queue; renewals are dropped.
    pub fn defer(&mut self, command: Command) {
        match command.what {
            What::Renew(_) => self.renewal_asked_at = None,
            What::Install(_) | What::Suppress | What::Remove => self.deferred = Some(command),
        }
    }

    /// Takes the deferred command.
    pub const fn take_deferred(&mut self) -> Option<Command> {
        self.deferred.take()
    }

    /// Notes an answer of the host and returns whether it is to the last command; older ones do not
    /// matter.
    pub const fn accept(&mut self, answer: Answer) -> bool {
        let current = answer.generation == self.generation;
        if current {
            self.renewal_asked_at = None;
            self.removal_unanswered = false;
        }
        current
    }

    /// Notes who was heard.
    pub fn note_peer(
        &mut self,
        now: Instant,
        address: IpAddr,
        advertisement: &Advertisement,
        form: ChecksumForm,
    ) {
        let known = self.peers.iter().position(|peer| peer.address == address);
        let mut peer = match known {
            Some(at) => self.peers.remove(at),
            None => HeardPeer::new(address, now),
        };
        peer.hear(now, advertisement, form);
        peer.agrees = packet::same_addresses(
            &advertisement.addresses,
            &self.machine.parameters().addresses,
        );
        self.peers.truncate(PEERS_MAX - 1);
        self.peers.insert(0, peer);
    }

    /// Tells the machine whether the kernel took an advertisement, and people once a minute.
    pub fn note_sent(&mut self, now: Instant, outcome: io::Result<()>) {
        let outcome = outcome.map_err(|error| {
            let due = self
                .refusal_logged_at
                .is_none_or(|at| now.saturating_duration_since(at) >= LOG_INTERVAL);
            if due {
                self.refusal_logged_at = Some(now);
                let router = &self.config.name;
                warn!(%router, %error, "the kernel refuses advertisements: is there a firewall?");
            }
            let what = format!("send advertisements: {error}");
            Failure { what }
        });
        self.machine.handle_sent(now, outcome);
    }

    /// Takes in what another machine says of an address, where it is one of ours at another
    /// hardware address; returns whether it is of this router.
    pub fn hear_claim(&mut self, now: Instant, claim: Claim) -> bool {
        let Some(outlet) = &self.link.outlet else {
            return false;
        };
        let ours = self.machine.parameters().addresses.contains(&claim.address);
        if !ours || outlet.ifindex != claim.ifindex || outlet.mac == claim.mac {
            return false;
        }
        if !self.machine.handle_claim(now) {
            return true;
        }
        self.claim = Some((now, claim));
        let due = self
            .claim_logged_at
            .is_none_or(|at| now.saturating_duration_since(at) >= LOG_INTERVAL);
        if due {
            self.claim_logged_at = Some(now);
            let (router, address) = (&self.config.name, claim.address);
            let mac = show_mac(claim.mac);
            warn!(%router, %address, %mac, "another machine claims an address of ours; announcing it again");
        }
        true
    }

    /// Counts a packet that bore its VRID and was refused.
    pub fn reject(&mut self, now: Instant, source: IpAddr, reason: Rejection) {
        self.machine.count_rejection(reason);
        if reason == Rejection::Addresses {
            self.stranger = Some((now, source));
        }
        if self.rejections.count(now, Some(source), reason) {
            let router = &self.config.name;
            warn!(%router, peer = %source, cause = %reason, "advertisements rejected");
        }
    }

    const fn begin_generation(&mut self) {
        self.generation += 1;
        self.deferred = None;
        self.renewal_asked_at = None;
    }
}

/// Rounds of announcements under way.
#[derive(Clone, Copy, Debug)]
struct Announcing {
    /// This one and those that follow it.
    rounds: u8,
    /// The place of the next address.
    next: usize,
    due_at: Instant,
}

impl Announcing {
    const fn begun(rounds: u8, due_at: Instant) -> Self {
        Self {
            rounds,
            next: 0,
            due_at,
        }
    }

    /// What remains after one of `count` addresses was announced.
    fn after_one(mut self, count: usize, now: Instant, pace: Duration) -> Option<Self> {
        self.next += 1;
        if self.next >= count {
            self.next = 0;
            self.rounds = self.rounds.saturating_sub(1);
        }
        // What is late is caught up, but not more than one turn's worth.
        self.due_at = (self.due_at + pace).max(now.checked_sub(LATENESS_MIN).unwrap_or(now));
        (self.rounds > 0).then_some(self)
    }
}

/// Somebody who advertises.
#[derive(Clone, Debug)]
pub struct HeardPeer {
    /// Its source address.
    pub address: IpAddr,
    /// What it last advertised.
    pub priority: Priority,
    /// The interval it last advertised.
    pub interval: Option<AdverInterval>,
    /// The first addresses it last listed: strangers do not fill our memory.
    pub addresses: Vec<IpAddr>,
    /// Whether it last listed the same addresses as we, in whatever order.
    pub agrees: bool,
    /// When.
    pub heard_at: Instant,
    /// How it last computed its checksum.
    pub form: ChecksumForm,
    /// How many advertisements came in each form.
    pub forms: BTreeMap<&'static str, u64>,
}

impl HeardPeer {
    const fn new(address: IpAddr, now: Instant) -> Self {
        Self {
            address,
            priority: Priority::LEAVING,
            interval: None,
            addresses: Vec::new(),
            agrees: true,
            heard_at: now,
            form: ChecksumForm::Rfc5798,
            forms: BTreeMap::new(),
        }
    }

    fn hear(&mut self, now: Instant, advertisement: &Advertisement, form: ChecksumForm) {
        self.priority = advertisement.priority;
        self.interval = Some(advertisement.interval);
        let shown = advertisement.addresses.len().min(ADDRESSES_SHOWN);
        let shown = &advertisement.addresses[..shown];
        if self.addresses != shown {
            self.addresses.clear();
            self.addresses.extend_from_slice(shown);
        }
        self.heard_at = now;
        self.form = form;
        *self.forms.entry(form.as_str()).or_default() += 1;
    }
}

/// Refused packets by reason.
#[derive(Clone, Debug, Default)]
pub struct Rejections {
    /// How many of each.
    pub by_reason: BTreeMap<&'static str, u64>,
    /// The last whose source is known: when, from where, and why.
    pub last: Option<(Instant, IpAddr, Rejection)>,
    logged_at: Option<Instant>,
}

impl Rejections {
    /// Counts one and returns whether it is time to log again.
    pub fn count(&mut self, now: Instant, source: Option<IpAddr>, reason: Rejection) -> bool {
        *self.by_reason.entry(reason.as_str()).or_default() += 1;
        if let Some(source) = source {
            self.last = Some((now, source, reason));
        }
        let due = self
            .logged_at
            .is_none_or(|at| now.saturating_duration_since(at) >= LOG_INTERVAL);
        if due {
            self.logged_at = Some(now);
        }
        due
    }
}

/// Returns a hardware address as people write it.
pub fn show_mac(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

/// Before a full queue is tried again.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(10);
/// More are not shown; the least recently heard is forgotten.
const PEERS_MAX: usize = 16;
/// Of the addresses that a peer lists.
const ADDRESSES_SHOWN: usize = 32;
/// Between two log lines about rejected packets of one kind of source.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// A command that extends a lease may always be so late: the kernel's network lock is held for 100
/// ms at times.
const LATENESS_MIN: Duration = Duration::from_millis(500);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;
    use crate::logic::vrrp::Preempt;
    use crate::model::{RouterName, VirtualAddress, Vrid};

    const LEASE: Duration = Duration::from_secs(2);

    fn runtime(now: Instant) -> RouterRuntime {
        let config = VirtualRouterConfig {
            name: RouterName {
                entry: "web".into(),
                family: Family::Ipv4,
            },
            sync_group: "web".into(),
            down_multiplier: 3,
            announcements: crate::config::AnnouncementPlan::default(),
            announcement_pace: Duration::ZERO,
            accept: true,
            virtual_mac: false,
            interface: "eth0".into(),
            vrid: Vrid::new(51).unwrap(),
            version: Version::V3,
            notify: Vec::new(),
            track: crate::config::TrackConfig::default(),
            peers: Vec::new(),
            peer_hops: 0,
            address_interface: "eth0".into(),
            checksum: ChecksumForm::Rfc5798,
            authentication: crate::config::Authentication::None,
            priority: Priority::DEFAULT,
            rank: crate::model::Rank::alone(Priority::DEFAULT),
            priorities: BTreeMap::new(),
            addresses: vec![VirtualAddress {
                address: [192, 0, 2, 100].into(),
                prefix_len: 24,
            }],
            advertisement_interval: AdverInterval::DEFAULT,
            preempt: Preempt::Always,
            lease: LEASE,
            link: crate::logic::vrrp::LinkRules::default(),
        };
        let id = crate::process::vrrp::routers::Routers::first(vec![()]).ids()[0];
        RouterRuntime::new(id, config, Vec::new(), now)
    }

    #[test]
    fn a_renewal_waits_for_the_answer_to_the_one_before() {
        let now = Instant::now();
        let mut runtime = runtime(now);
        let first = runtime.command(What::Renew(LEASE), now).unwrap();
        assert_eq!(
            runtime.command(What::Renew(LEASE), now),
            None,
            "one is on its way"
        );
        assert!(
            runtime.accept(Answer {
                router: runtime.id,
                generation: first.generation
            }),
            "it counts"
        );
        assert!(
            runtime.command(What::Renew(LEASE), now).is_some(),
            "then comes the next"
        );
    }

    #[test]
    fn an_answer_to_an_older_command_does_not_count() {
        let now = Instant::now();
        let mut runtime = runtime(now);
        let install = runtime.command(What::Install(LEASE), now).unwrap();
        let remove = runtime.command(What::Remove, now).unwrap();
        assert!(
            !runtime.accept(Answer {
                router: runtime.id,
                generation: install.generation
            }),
            "too old"
        );
        assert!(!runtime.is_released(), "the removal is not confirmed");
        assert!(
            runtime.accept(Answer {
                router: runtime.id,
                generation: remove.generation
            }),
            "the last"
        );
        assert!(runtime.is_released(), "nothing is held");
    }

    #[test]
    fn a_command_that_found_no_room_is_deferred_until_another_replaces_it() {
        let now = Instant::now();
        let mut runtime = runtime(now);
        let install = runtime.command(What::Install(LEASE), now).unwrap();
        runtime.defer(install);
        assert_eq!(
            runtime.command(What::Renew(LEASE), now),
            None,
            "nothing overtakes it"
        );
        let remove = runtime.command(What::Remove, now).unwrap();
        assert_eq!(runtime.take_deferred(), None, "the removal replaces it");
        runtime.defer(remove);
        assert_eq!(
            runtime.take_deferred(),
            Some(remove),
            "and is deferred itself"
        );
    }

    #[test]
    fn a_renewal_without_an_answer_for_a_lease_means_a_silent_host() {
        let now = Instant::now();
        let mut runtime = runtime(now);
        runtime.command(What::Renew(LEASE), now).unwrap();
        assert!(
            !runtime.host_is_silent(now + LEASE / 2),
            "there is still time"
        );
        assert!(runtime.host_is_silent(now + LEASE), "the lease is over");
    }

    fn advertisement() -> Advertisement {
        Advertisement {
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::DEFAULT,
            interval: AdverInterval::DEFAULT,
            addresses: vec![[192, 0, 2, 100].into()],
        }
    }

    #[test]
    fn the_forms_of_checksums_are_counted_by_peer() {
        let now = Instant::now();
        let mut runtime = runtime(now);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for (peer, form) in [
            (one, ChecksumForm::Rfc5798),
            (other, ChecksumForm::Rfc9568),
            (one, ChecksumForm::Rfc9568),
            (one, ChecksumForm::Rfc5798),
        ] {
            runtime.note_peer(now, peer, &advertisement(), form);
        }
        let forms = |at: usize| runtime.peers[at].forms.clone();
        assert_eq!(runtime.peers[0].address, one, "the last heard comes first");
        assert_eq!(forms(0), BTreeMap::from([("rfc5798", 2), ("rfc9568", 1)]));
        assert_eq!(forms(1), BTreeMap::from([("rfc9568", 1)]));
    }

    #[test]
    fn rounds_that_begin_more_often_than_they_end_reach_every_address() {
        let now = Instant::now();
        let mut runtime = runtime(now);
        let pace = Duration::from_millis(10);
        let mut announced = Vec::new();
        // 100 addresses take a second; another round is asked for every 250 ms.
        for step in 0..100 {
            let at = now + step * pace;
            if step % 25 == 0 {
                runtime.begin_announcing(1, at);
            }
            let under_way = runtime.announcing.unwrap();
            announced.push(under_way.next);
            runtime.announcing = under_way.after_one(100, at, pace);
        }
        assert!(announced.into_iter().eq(0..100), "each in its turn");
        let rounds = runtime.announcing.map(|announcing| announcing.rounds);
        assert_eq!(
            rounds,
            Some(1),
            "and what was asked for meanwhile once more"
        );
    }

    #[test]
    fn rejections_are_all_counted_and_logged_once_a_minute() {
        let now = Instant::now();
        let source = Some(IpAddr::from([192, 0, 2, 9]));
        let mut rejections = Rejections::default();
        let mut logged = |seconds| {
            let at = now + Duration::from_secs(seconds);
            rejections.count(at, source, Rejection::Carp)
        };
        assert_eq!(
            [0, 1, 59, 60, 61].map(&mut logged),
            [true, false, false, true, false]
        );
        assert_eq!(rejections.by_reason, BTreeMap::from([("carp", 5)]));
    }

    #[test]
    fn only_the_last_heard_peers_are_remembered() {
        let now = Instant::now();
        let mut runtime = runtime(now);
        for number in 1..=20 {
            let peer = IpAddr::from([192, 0, 2, number]);
            runtime.note_peer(now, peer, &advertisement(), ChecksumForm::Rfc5798);
        }
        assert_eq!(runtime.peers.len(), PEERS_MAX, "the list has a bound");
        assert_eq!(
            runtime.peers[0].address,
            IpAddr::from([192, 0, 2, 20]),
            "the last comes first"
        );
    }
}
