//! One virtual router and what surrounds it in this process: its link, its last commands to the
//! host, its peers.
//!
//! The decisions are the machine's (`logic::vrrp`); here is what it may not know: generations of
//! commands, which source addresses are our own, who was heard and what was rejected. Read `run`,
//! which drives it, next.

mod announcing;
mod change;
mod heard;
mod settings;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use self::announcing::Announcing;
use self::heard::LOG_INTERVAL;
pub use self::heard::{HeardPeer, Rejections, show_mac};
pub use self::settings::{Standing, identity};
use super::host::{Answer, Command, RouterLink, What};
use super::link::claims::Claim;
use super::link::frames::Announcers;
use super::link::socket::VrrpSocket;
use super::routers::RouterId;
use crate::config::VirtualRouterConfig;
use crate::ipc::message::SocketKey;
use crate::logic::vrrp::{
    Advertisement, ChecksumForm, Envelope, Failure, LinkState, Rejection, State, VirtualRouter,
    packet, packet_v2,
};
use crate::model::{Family, Version};

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
    /// All virtual routers of its group; none, where it moves alone.
    pub sync_group: Arc<[RouterId]>,
    /// Whether the configuration has it.
    pub standing: Standing,
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
        sync_group: Arc<[RouterId]>,
        now: Instant,
    ) -> Self {
        Self {
            machine: VirtualRouter::new(settings::parameters(&config, !sync_group.is_empty())),
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
            standing: Standing::Configured,
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

/// Before a full queue is tried again.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(10);
/// More are not shown; the least recently heard is forgotten.
const PEERS_MAX: usize = 16;
/// A command that extends a lease may always be so late: the kernel's network lock is held for 100
/// ms at times.
const LATENESS_MIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
