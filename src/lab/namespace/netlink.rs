//! Links, addresses and routes of the lab, over the netlink socket of the namespace of the calling
//! thread.
//!
//! Blocking, with the deadline of [`Netlink`]. It knows what a lab needs and nothing of hosts; call
//! it inside `Host::run`, never on the machine's own network.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::process::vrrp::host::netlink::{Netlink, Request};

/// Returns the index of an interface.
fn link_index(name: &str) -> io::Result<u32> {
    nix::net::if_::if_nametoindex(name).map_err(io::Error::from)
}

/// Makes a bridge that floods multicast and does not wait before it forwards.
///
/// # Errors
/// When the kernel refuses it, as where the name is taken.
pub fn add_bridge(name: &str) -> io::Result<()> {
    let mut message = named(name);
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Bridge),
        LinkInfo::Data(InfoData::Bridge(vec![
            InfoBridge::ForwardDelay(0),
            InfoBridge::MulticastSnooping(false),
        ])),
    ]));
    new_link(message)
}

/// Makes a pair of virtual cables' ends: `name` here, `peer_name` with the address `peer_mac` in
/// another namespace.
///
/// # Errors
/// When the kernel refuses it, as where a name is taken.
pub fn add_veth(
    name: &str,
    peer_name: &str,
    peer_mac: [u8; 6],
    peer_namespace: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut peer = named(peer_name);
    peer.attributes
        .push(LinkAttribute::Address(peer_mac.to_vec()));
    peer.attributes
        .push(LinkAttribute::NetNsFd(peer_namespace.as_raw_fd()));
    let mut message = named(name);
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    new_link(message)
}

/// Sets a link administratively up.
///
/// # Errors
/// When there is no such link, or the kernel refuses.
pub fn set_up(name: &str) -> io::Result<()> {
    set_flags(name, LinkFlags::Up)
}

/// Sets a link administratively down; the other end of a pair loses its carrier.
///
/// # Errors
/// When there is no such link, or the kernel refuses.
pub fn set_down(name: &str) -> io::Result<()> {
    set_flags(name, LinkFlags::empty())
}

/// Deletes a link; a pair goes with either of its ends.
///
/// # Errors
/// When there is no such link, or the kernel refuses.
pub fn delete_link(name: &str) -> io::Result<()> {
    execute((RouteNetlinkMessage::DelLink(indexed(name)?), 0))
}

/// Makes a link a port of a bridge, or of none.
///
/// # Errors
/// When there is no such link or bridge, or the kernel refuses.
pub fn set_bridge(name: &str, bridge: Option<&str>) -> io::Result<()> {
    let index = bridge.map(link_index).transpose()?.unwrap_or(0);
    let mut message = indexed(name)?;
    message.attributes.push(LinkAttribute::Controller(index));
    execute((RouteNetlinkMessage::SetLink(message), 0))
}

/// Adds an address; of IPv6 without duplicate address detection, so that it serves at once.
///
/// # Errors
/// When there is no such link, it has the address already, or the kernel refuses.
pub fn add_address(name: &str, address: IpAddr, prefix_len: u8) -> io::Result<()> {
    let mut message = address_message(name, address, prefix_len)?;
    if address.is_ipv6() {
        message.header.flags = AddressHeaderFlags::Nodad;
        message
            .attributes
            .push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    execute((
        RouteNetlinkMessage::NewAddress(message),
        NLM_F_CREATE | NLM_F_EXCL,
    ))
}

/// Takes an address away.
///
/// # Errors
/// When there is no such link or address, or the kernel refuses.
pub fn delete_address(name: &str, address: IpAddr, prefix_len: u8) -> io::Result<()> {
    let message = address_message(name, address, prefix_len)?;
    execute((RouteNetlinkMessage::DelAddress(message), 0))
}

/// Makes one address unreachable: what is sent to it is refused here.
///
/// # Errors
/// When it is unreachable already, or the kernel refuses.
pub fn add_blackhole(address: IpAddr) -> io::Result<()> {
    execute((
        RouteNetlinkMessage::NewRoute(blackhole(address)),
        NLM_F_CREATE | NLM_F_EXCL,
    ))
}

/// Takes back [`add_blackhole`].
///
/// # Errors
/// When there is no such route (`ESRCH`), or the kernel refuses.
pub fn delete_blackhole(address: IpAddr) -> io::Result<()> {
    execute((RouteNetlinkMessage::DelRoute(blackhole(address)), 0))
}

fn new_link(message: LinkMessage) -> io::Result<()> {
    execute((
        RouteNetlinkMessage::NewLink(message),
        NLM_F_CREATE | NLM_F_EXCL,
    ))
}

fn set_flags(name: &str, flags: LinkFlags) -> io::Result<()> {
    let mut message = indexed(name)?;
    message.header.flags = flags;
    message.header.change_mask = LinkFlags::Up;
    execute((RouteNetlinkMessage::SetLink(message), 0))
}

fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::IfName(name.to_owned()));
    message
}

fn indexed(name: &str) -> io::Result<LinkMessage> {
    let mut message = LinkMessage::default();
    message.header.index = link_index(name)?;
    Ok(message)
}

fn address_message(name: &str, address: IpAddr, prefix_len: u8) -> io::Result<AddressMessage> {
    let mut message = AddressMessage::default();
    message.header.index = link_index(name)?;
    message.header.prefix_len = prefix_len;
    message.header.family = family(address);
    message.header.scope = AddressScope::Universe;
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    Ok(message)
}

fn blackhole(address: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(address);
    message.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::BlackHole;
    message
        .attributes
        .push(RouteAttribute::Destination(RouteAddress::from(address)));
    message
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// A socket for each request: it belongs to the namespace in which it was opened.
fn execute(request: Request) -> io::Result<()> {
    Netlink::open()?.execute_one(request)
}
