//! What links and addresses the host has now: read once, then kept by the kernel's events.
//!
//! When the kernel says that events were lost, everything is read again. It refuses to know virtual
//! routers.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};
use tracing::debug;

use super::netlink::{Messages, Netlink, RECEIVE_BUFFER_BYTES};

/// Keeps a [`View`] true.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    view: View,
    overruns: u64,
}

impl Monitor {
    /// Subscribes, then reads everything, so that nothing is missed in between.
    ///
    /// # Errors
    /// When the kernel refuses the socket, or does not answer.
    pub fn open(netlink: &mut Netlink) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, GROUPS))?;
        socket.set_non_blocking(true)?;
        // Without the right an overrun is only more likely, and is coped with.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES);
        let mut monitor = Self {
            socket,
            view: View::default(),
            overruns: 0,
        };
        monitor.read_all(netlink)?;
        Ok(monitor)
    }

    /// Returns what is known.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Returns how often the kernel said that events were lost.
    pub const fn overruns(&self) -> u64 {
        self.overruns
    }

    /// Takes in all events that wait, and returns whether they changed anything.
    ///
    /// # Errors
    /// When the socket fails, or what was lost cannot be read again.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "netlink has kinds we never asked for"
    )]
    pub fn catch_up(&mut self, netlink: &mut Netlink) -> io::Result<bool> {
        let mut changed = false;
        loop {
            match self.socket.recv_from_full() {
                Ok((datagram, _)) => {
                    for message in Messages::of(&datagram) {
                        match message.payload {
                            NetlinkPayload::InnerMessage(event) => {
                                changed |= self.view.apply(event)
                            }
                            NetlinkPayload::Overrun(_) => {
                                self.make_up_for_loss(netlink)?;
                                changed = true;
                            }
                            _ => {}
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(changed),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.make_up_for_loss(netlink)?;
                    changed = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn make_up_for_loss(&mut self, netlink: &mut Netlink) -> io::Result<()> {
        self.overruns += 1;
        debug!(
            overruns = self.overruns,
            "netlink events were lost; reading everything again"
        );
        self.read_all(netlink)
    }

    /// Reads everything again. Events that still wait are taken in later, although they are older.
    ///
    /// # Errors
    /// When the kernel does not answer; the view is as it was then.
    pub fn read_all(&mut self, netlink: &mut Netlink) -> io::Result<()> {
        let mut view = View::default();
        for message in netlink.links()?.into_iter().chain(netlink.addresses()?) {
            view.apply(message);
        }
        self.view = view;
        Ok(())
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Links by index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    links: BTreeMap<u32, Link>,
}

/// One link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its name now.
    pub name: String,
    /// It is set up, has carrier, and the kernel has taken note of that.
    pub up: bool,
    /// It is set up, whether it has carrier or not.
    pub set_up: bool,
    /// Its hardware address, where it has one of Ethernet's size.
    pub mac: Option<[u8; 6]>,
    /// The index of the link on which it stands, for a macvlan.
    pub parent: Option<u32>,
    /// What somebody wrote beside it.
    pub alias: String,
    /// In the order of the kernel.
    pub addresses: Vec<Address>,
}

/// One address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address itself.
    pub address: IpAddr,
    /// The length of its prefix.
    pub prefix_len: u8,
    /// IFA_F_*.
    pub flags: AddressFlags,
    /// IFA_PROTO: who installed it; 0 where nobody said.
    pub protocol: u8,
}

impl View {
    /// Returns a link by name, with its index.
    pub fn named(&self, name: &str) -> Option<(u32, &Link)> {
        self.links
            .iter()
            .find(|(_, link)| link.name == name)
            .map(|(index, link)| (*index, link))
    }

    /// Returns a link by its index.
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.get(&index)
    }

    /// Returns every link with its index.
    pub fn links(&self) -> impl Iterator<Item = (u32, &Link)> {
        self.links.iter().map(|(index, link)| (*index, link))
    }

    /// Takes in one event or answer; returns whether it changed anything.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "netlink has kinds we never asked for"
    )]
    fn apply(&mut self, event: RouteNetlinkMessage) -> bool {
        match event {
            RouteNetlinkMessage::NewLink(link) => self.set_link(&link),
            // A port that leaves a bridge is also said to be deleted, in the bridge's family.
            RouteNetlinkMessage::DelLink(link) => {
                link.header.interface_family == AddressFamily::Unspec
                    && self.links.remove(&link.header.index).is_some()
            }
            RouteNetlinkMessage::NewAddress(address) => self.set_address(&address),
            RouteNetlinkMessage::DelAddress(address) => self.drop_address(&address),
            _ => false,
        }
    }

    fn set_link(&mut self, message: &LinkMessage) -> bool {
        if message.header.interface_family != AddressFamily::Unspec {
            return false;
        }
        let flags = message.header.flags;
        let entry = self.links.entry(message.header.index).or_default();
        let mut link = Link {
            addresses: std::mem::take(&mut entry.addresses),
            ..entry.clone()
        };
        // With carrier alone the kernel has not yet made the routes of IPv6 multicast.
        link.up = flags.contains(LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Running);
        link.set_up = flags.contains(LinkFlags::Up);
        for attribute in &message.attributes {
            if let LinkAttribute::IfName(name) = attribute {
                link.name.clone_from(name);
            } else if let LinkAttribute::Address(mac) = attribute {
                link.mac = <[u8; 6]>::try_from(mac.as_slice()).ok();
            } else if let LinkAttribute::Link(parent) = attribute {
                link.parent = Some(*parent);
            } else if let LinkAttribute::IfAlias(alias) = attribute {
                link.alias.clone_from(alias);
            }
        }
        let seen = |link: &Link| {
            (
                link.name.clone(),
                link.up,
                link.set_up,
                link.mac,
                link.parent,
            )
        };
        let changed = seen(&link) != seen(entry);
        *entry = link;
        changed
    }

    fn set_address(&mut self, message: &AddressMessage) -> bool {
        let Some(address) = read_address(message) else {
            return false;
        };
        let link = self.links.entry(message.header.index).or_default();
        match link
            .addresses
            .iter_mut()
            .find(|known| same_entry(known, &address))
        {
            Some(known) if *known == address => false,
            Some(known) => {
                *known = address;
                true
            }
            None => {
                link.addresses.push(address);
                true
            }
        }
    }

    fn drop_address(&mut self, message: &AddressMessage) -> bool {
        let (Some(address), Some(link)) = (
            read_address(message),
            self.links.get_mut(&message.header.index),
        ) else {
            return false;
        };
        let before = link.addresses.len();
        link.addresses.retain(|known| !same_entry(known, &address));
        link.addresses.len() != before
    }
}

fn same_entry(one: &Address, other: &Address) -> bool {
    (one.address, one.prefix_len) == (other.address, other.prefix_len)
}

/// Reads an address; on a point-to-point link `Local` is ours and `Address` the other end's.
fn read_address(message: &AddressMessage) -> Option<Address> {
    let header_flags: AddressHeaderFlags = message.header.flags;
    let mut flags = AddressFlags::from_bits_retain(header_flags.bits().into());
    let (mut local, mut either, mut protocol) = (None, None, 0);
    for attribute in &message.attributes {
        if let AddressAttribute::Local(address) = attribute {
            local = Some(*address);
        } else if let AddressAttribute::Address(address) = attribute {
            either = Some(*address);
        } else if let AddressAttribute::Flags(all) = attribute {
            flags = *all;
        } else if let AddressAttribute::Protocol(by) = attribute {
            protocol = u8::from(*by);
        }
    }
    let address = local.or(either)?;
    Some(Address {
        address,
        prefix_len: message.header.prefix_len,
        flags,
        protocol,
    })
}

/// RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR and RTNLGRP_IPV6_IFADDR, as bits.
const GROUPS: u32 = 1 << 0 | 1 << 4 | 1 << 8;
