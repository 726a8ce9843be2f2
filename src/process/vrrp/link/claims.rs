//! What others say on the links about the hardware address of a virtual address: ARP and neighbor
//! advertisements that claim it for themselves.
//!
//! Two sockets for all interfaces, filtered in the kernel by the addresses, so that a busy link
//! costs nothing. They only hear; `frames` answers.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    ControlMessageOwned, LinkAddr, MsgFlags, SockaddrIn6, recvfrom, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::filter;
use super::frames::Mac;

/// Somebody says that an address is at a hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The index of the interface on which it was heard.
    pub ifindex: u32,
    /// Which address.
    pub address: IpAddr,
    /// Where it is said to be.
    pub mac: Mac,
}

/// The sockets; what cannot be opened is not heard.
#[derive(Debug, Default)]
pub struct Claims {
    arp: Option<Socket>,
    neighbor: Option<Socket>,
    portion: Portion,
}

/// What has been heard since when; beyond [`PORTION_MAX`] nothing is until [`PORTION_INTERVAL`] is
/// over. What then does not fit into the sockets is lost, which is no loss: a claim that matters is
/// repeated, and is answered once a second.
#[derive(Debug, Default)]
struct Portion {
    began_at: Option<Instant>,
    heard: usize,
}

impl Portion {
    fn is_over(&self, now: Instant) -> bool {
        self.began_at
            .is_none_or(|at| now.saturating_duration_since(at) >= PORTION_INTERVAL)
    }

    fn is_full(&self, now: Instant) -> bool {
        self.heard >= PORTION_MAX && !self.is_over(now)
    }

    fn count(&mut self, now: Instant) {
        if self.is_over(now) {
            *self = Self {
                began_at: Some(now),
                heard: 0,
            };
        }
        self.heard += 1;
    }
}

impl Claims {
    /// Hears what is said about these addresses from now on, and about no others. A socket that is
    /// open stays open, with another filter: to close one takes a while.
    ///
    /// # Errors
    /// When the kernel refuses a socket or a filter; with that one, what is heard is as before.
    pub fn listen_for(&mut self, addresses: &[IpAddr]) -> io::Result<()> {
        let last_word = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.to_bits(),
            IpAddr::V6(address) => address.to_bits() as u32,
        };
        let words = |family: fn(&IpAddr) -> bool| -> Vec<u32> {
            let of_family = addresses.iter().filter(|address| family(address));
            of_family.map(last_word).collect()
        };
        let (ipv4, ipv6) = (words(IpAddr::is_ipv4), words(IpAddr::is_ipv6));
        let arp = match &self.arp {
            Some(socket) => socket.attach_filter(&arp_filter(&ipv4)),
            None if ipv4.is_empty() => Ok(()),
            None => open_arp(&ipv4).map(|socket| self.arp = Some(socket)),
        };
        let neighbor = match &self.neighbor {
            Some(socket) => socket.attach_filter(&neighbor_filter(&ipv6)),
            None if ipv6.is_empty() => Ok(()),
            None => open_neighbor(&ipv6).map(|socket| self.neighbor = Some(socket)),
        };
        arp.and(neighbor)
    }

    /// Returns what to wait for: nothing while enough has been heard.
    pub fn fds(&self, now: Instant) -> impl Iterator<Item = BorrowedFd<'_>> {
        let both = [&self.arp, &self.neighbor];
        let open = !self.portion.is_full(now);
        let both = both.into_iter().flatten().filter(move |_| open);
        both.map(Socket::as_fd)
    }

    /// Returns the next claim without waiting.
    pub fn next(&mut self, now: Instant, buf: &mut [u8]) -> Option<Claim> {
        if self.portion.is_full(now) {
            return None;
        }
        let arp = self.arp.as_ref().and_then(|socket| hear_arp(socket, buf));
        let claim = arp.or_else(|| {
            let neighbor = self.neighbor.as_ref();
            neighbor.and_then(|socket| hear_neighbor(socket, buf))
        })?;
        self.portion.count(now);
        Some(claim)
    }
}

fn open_arp(words: &[u32]) -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(ETHERTYPE_ARP.to_be()));
    // Of protocol 0 it hears nothing before its filter is there.
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    socket.attach_filter(&arp_filter(words))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn open_neighbor(words: &[u32]) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.attach_filter(&neighbor_filter(words))?;
    setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn arp_filter(words: &[u32]) -> Vec<SockFilter> {
    filter::words(ARP_SENDER_AT, words, None)
}

fn neighbor_filter(words: &[u32]) -> Vec<SockFilter> {
    filter::words(NA_TARGET_AT + 12, words, Some(NEIGHBOR_ADVERTISEMENT))
}

fn hear_arp(socket: &Socket, buf: &mut [u8]) -> Option<Claim> {
    let (len, from) = recvfrom::<LinkAddr>(socket.as_raw_fd(), buf).ok()?;
    let (address, mac) = read_arp(&buf[..len])?;
    Some(Claim {
        ifindex: u32::try_from(from?.ifindex()).ok()?,
        address,
        mac,
    })
}

fn hear_neighbor(socket: &Socket, buf: &mut [u8]) -> Option<Claim> {
    let mut space = nix::cmsg_space!(libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(buf)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let received =
        recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags).ok()?;
    let mut ifindex = None;
    for control in received.cmsgs().ok()? {
        if let ControlMessageOwned::Ipv6PacketInfo(info) = control {
            ifindex = Some(info.ipi6_ifindex);
        }
    }
    let len = received.bytes;
    let (address, mac) = read_advertisement(&buf[..len])?;
    Some(Claim {
        ifindex: ifindex?,
        address,
        mac,
    })
}

/// Reads the sender of an ARP packet, request or reply, behind its Ethernet header.
fn read_arp(frame: &[u8]) -> Option<(IpAddr, Mac)> {
    let mac = Mac::try_from(frame.get(22..28)?).ok()?;
    let sender = <[u8; 4]>::try_from(frame.get(28..32)?).ok()?;
    Some((IpAddr::V4(Ipv4Addr::from(sender)), mac))
}

/// Reads the target of a neighbor advertisement, and its link-layer address where that is the first
/// option.
fn read_advertisement(message: &[u8]) -> Option<(IpAddr, Mac)> {
    let target = <[u8; 16]>::try_from(message.get(8..24)?).ok()?;
    let is_link_layer = message.get(24..26)? == [2, 1];
    let mac = Mac::try_from(message.get(26..32)?).ok()?;
    is_link_layer.then(|| (IpAddr::V6(Ipv6Addr::from(target)), mac))
}

/// Heard in one interval: somebody may say it over and over, and this is a thread of real time.
pub const PORTION_MAX: usize = 16;
/// The protocol thread looks again that often by itself.
pub const PORTION_INTERVAL: Duration = Duration::from_millis(50);
const ETHERTYPE_ARP: u16 = 0x0806;
const ARP_SENDER_AT: u32 = 28;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const NA_TARGET_AT: u32 = 8;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::vrrp::host::Node;
    use crate::process::vrrp::link::frames::{gratuitous_arp, unsolicited_advertisement};

    const MAC: Mac = [2, 0, 0, 0, 0, 7];

    #[test]
    fn what_we_announce_is_read_as_a_claim() {
        let address = Ipv4Addr::new(192, 0, 2, 100);
        let expected = Some((IpAddr::V4(address), MAC));
        assert_eq!(read_arp(&gratuitous_arp(MAC, address)), expected);
        let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);
        let frame = unsolicited_advertisement(MAC, Node::Host, address);
        let expected = Some((IpAddr::V6(address), MAC));
        assert_eq!(read_advertisement(&frame[54..]), expected);
    }

    #[test]
    fn what_is_cut_short_is_no_claim() {
        let frame = gratuitous_arp(MAC, Ipv4Addr::new(192, 0, 2, 100));
        for len in 0..32 {
            assert_eq!(read_arp(&frame[..len]), None, "{len} bytes");
            assert_eq!(read_advertisement(&frame[..len.min(31)]), None);
        }
    }
}
