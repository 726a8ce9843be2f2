//! What the protocol thread and the host thread say to each other.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::routers::{RouterId, Routers};
use super::macvlan::VirtualMac;
use crate::logic::vrrp::LinkState;
use crate::model::VirtualAddress;
use crate::process::vrrp::link::socket::VrrpSocket;

/// One virtual router as the host thread knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterSpec {
    /// The interface of its link.
    pub interface: String,
    /// The interface that has the addresses.
    pub address_interface: String,
    /// Its addresses are on a macvlan with this hardware address.
    pub virtual_mac: Option<VirtualMac>,
    /// All of one family, at least one.
    pub addresses: Arc<[VirtualAddress]>,
    /// To whom its advertisements go one by one; empty: to the group. An address of the host's own
    /// among them is their source.
    pub peers: Arc<[IpAddr]>,
    /// Its addresses may be the host's own: those are left where they are.
    pub ownership: Ownership,
    /// What is sent to its addresses is dropped.
    pub acceptance: Acceptance,
    /// Addresses that are already there, complete and tagged as ours, are kept at the start.
    pub leftovers: Leftovers,
}

/// Whether addresses that somebody else has given the host are in our way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// We install every address, as a lease; one that the host itself has keeps us from it.
    Lease,
    /// The virtual router owns its addresses (RFC 9568 §1.7): what the host has is neither replaced
    /// nor removed, but suppressed while it is not Active.
    Owner,
}

/// Accept_Mode of RFC 9568 §6.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// Packets to the addresses are delivered.
    Accept,
    /// They are dropped, but for neighbor discovery and what the host sends to itself.
    Refuse,
}

/// What happens to the addresses of a former process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftovers {
    /// They are kept if they are complete, for an adoption.
    Keep,
    /// They are removed.
    Remove,
}

/// What waits in the queue between the threads.
#[derive(Debug)]
pub(super) enum Order {
    Command(Command),
    Change(Box<Change>),
}

/// What a reload changes on the host; executed as a whole, in the order of the commands.
#[derive(Debug, Default)]
pub struct Change {
    /// They hold nothing any more, and are forgotten with all that was made for them.
    pub removed: Vec<RouterId>,
    /// What each is from now on. Addresses that it does not have any more are taken away, unless
    /// another holds them; what is new comes by the next installation.
    pub changed: Vec<(RouterId, RouterSpec)>,
    /// New ones; each answered by its `Link`, then `Added`.
    pub added: Vec<(RouterId, RouterSpec)>,
    /// Whose carrier is to be told of from now on; `None`: as before.
    pub interfaces: Option<Vec<String>>,
    /// Closed here: leaving a group waits for the kernel's network lock.
    pub closing: Vec<VrrpSocket>,
}

impl Change {
    /// Returns whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty()
            && self.changed.is_empty()
            && self.added.is_empty()
            && self.interfaces.is_none()
            && self.closing.is_empty()
    }
}

/// What the protocol thread wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Which virtual router.
    pub router: RouterId,
    /// Echoed in the event; counts the commands to this router but renewals, which bear that of
    /// their installation.
    pub generation: u64,
    /// A command that extends a lease is not executed later than this: the process has slept, and
    /// somebody else may be Active.
    pub not_after: Instant,
    /// What to do.
    pub what: What,
}

/// The kinds of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Install every address and end its suppression; answered by `Applied` or `ApplyFailed`.
    Install(Duration),
    /// Extend every lease; answered by `Renewed` or `ApplyFailed`.
    Renew(Duration),
    /// Answer neither ARP nor neighbor discovery.
    Suppress,
    /// Take every address away; answered by `Removed`.
    Remove,
}

/// What the host thread says.
#[derive(Clone, Debug)]
pub enum Event {
    /// The link of a virtual router, at the start and whenever it changes.
    Link {
        /// Which virtual router.
        router: RouterId,
        /// What its interface is now.
        link: RouterLink,
    },
    /// Said once, after the first `Link` of every router: whether each still has its addresses from
    /// a former process.
    Surveyed(Routers<bool>),
    /// A virtual router that was added can start: its link was said, and what a former process left
    /// is gone.
    Added {
        /// Which virtual router.
        router: RouterId,
    },
    /// The addresses of a virtual router belong elsewhere from now on. Where they were they stay
    /// until the next installation.
    Moved {
        /// Which virtual router.
        router: RouterId,
    },
    /// All addresses are installed.
    Applied(Answer),
    /// Some are not.
    ApplyFailed(Answer, String),
    /// All leases are extended.
    Renewed(Answer),
    /// No address is left.
    Removed(Answer),
    /// Somebody else has removed an address that should be there.
    AddressesLost {
        /// Which virtual router.
        router: RouterId,
    },
    /// A virtual router has no place for its addresses: its macvlan cannot be made. Said when it
    /// changes.
    AttachmentRefused {
        /// Which virtual router.
        router: RouterId,
        /// Why, for people.
        why: String,
    },
    /// Whether an interface that is followed has carrier, at the start and whenever it changes.
    Carrier {
        /// Its name.
        interface: String,
        /// It is there, is set up and has carrier.
        up: bool,
    },
    /// Whether enough gateways answer, when it is first known and whenever it changes.
    Gateway {
        /// As in the configuration.
        label: String,
        /// Enough do.
        there: bool,
    },
    /// The kernel does not let us suppress the answers for an address; they are released at once
    /// instead. Said once.
    SuppressionRefused(String),
    /// The thread has ended, because it was told to, or because netlink failed.
    Ended(Option<String>),
}

/// To which command an event answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which virtual router.
    pub router: RouterId,
    /// Of the command.
    pub generation: u64,
}

/// The link of one virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterLink {
    /// `None` while there is no such interface; another number after it was made again.
    pub ifindex: Option<u32>,
    /// Where announcements leave, and advertisements that are not unicast.
    pub outlet: Option<Outlet>,
    /// Whether advertisements can be sent, and from where.
    pub state: LinkState,
    /// Why they cannot, for people, with what can be done; `None` where they can.
    pub why: Option<String>,
    /// Every address of this host but virtual ones: packets from there are our own. Link-local ones
    /// are those of its own link alone: on another they say nothing (RFC 4007 §6).
    pub local: Arc<[IpAddr]>,
    /// Another interface of this host that has one of the addresses from somebody else, where the
    /// host answers ARP for it on the link all the same, Active or not.
    pub also_on: Option<String>,
}

impl RouterLink {
    /// Returns the source of advertisements, while the link is usable.
    pub const fn primary(&self) -> Option<IpAddr> {
        match self.state {
            LinkState::Up { primary } => Some(primary),
            LinkState::Down | LinkState::NoSource => None,
        }
    }
}

/// The link that bears the hardware address of the virtual addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlet {
    /// The interface of the virtual router, or its macvlan.
    pub interface: String,
    /// The index of the interface.
    pub ifindex: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// What neighbors are told of it.
    pub node: Node,
}

/// Whether a machine forwards on a link, for IPv6 (RFC 4861 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// It does: the router flag is set.
    Router,
    /// It does not.
    Host,
}

/// Writes a byte; a full buffer wakes as well.
pub(super) fn wake(mut end: &UnixStream) {
    let _ = end.write(&[1]);
}

/// Reads all bytes; returns false when the other end is closed.
pub(super) fn clear(mut end: &UnixStream) -> bool {
    let mut bytes = [0; 256];
    loop {
        match end.read(&mut bytes) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
}
