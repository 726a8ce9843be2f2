//! The raw sockets of protocol 112: one for each interface and family.
//!
//! A socket is bound to its interface and has joined the VRRP group there; it hears what is sent to
//! the group or to an address of ours, and no copy of what it sends. IPv4 headers are written here,
//! because the source must be the primary address and nothing else; etherparse checks the headers
//! that arrive. It refuses to know virtual routers: see `router`.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use etherparse::{IpDscp, IpNumber, Ipv4Header, Ipv4HeaderSlice};
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, SockFilter, Socket, Type};

use crate::ipc::message::SocketKey;
use crate::logic::vrrp::{Envelope, Rejection};
use crate::model::Family;

/// The socket of one interface and family.
#[derive(Debug)]
pub struct VrrpSocket {
    key: SocketKey,
    socket: Socket,
    /// Of the next IPv4 packet; never 0.
    identification: u16,
}

impl VrrpSocket {
    /// Opens a socket on an interface and joins the group there.
    ///
    /// # Errors
    /// When the kernel refuses the socket, or the interface is gone.
    pub fn open(key: SocketKey) -> io::Result<Self> {
        let socket = match key.family {
            Family::Ipv4 => open_v4(&key)?,
            Family::Ipv6 => open_v6(&key)?,
        };
        // The kernel doubles it; a burst of advertisements of 255 virtual routers fits.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
            socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        }
        Ok(Self {
            key,
            socket,
            identification: 1,
        })
    }

    /// Opens a socket that only sends, on a macvlan: it is in no group, because a report of
    /// membership from there would teach switches the virtual MAC at the wrong machine, and it
    /// hears nothing.
    ///
    /// # Errors
    /// When the kernel refuses the socket, or the interface is gone.
    pub fn open_for_sending(key: SocketKey) -> io::Result<Self> {
        let socket = match key.family {
            Family::Ipv4 => raw_v4(&key)?,
            // The source is a link-local address of the interface below.
            Family::Ipv6 => raw_v6(&key)?,
        };
        socket.attach_filter(&[SockFilter::new(BPF_RET, 0, 0, 0)])?;
        Ok(Self {
            key,
            socket,
            identification: 1,
        })
    }

    /// Takes over a socket that the process before this one opened with the same key.
    pub fn adopt(key: SocketKey, descriptor: OwnedFd) -> Self {
        Self {
            key,
            socket: Socket::from(descriptor),
            identification: 1,
        }
    }

    /// Returns which socket this is.
    pub const fn key(&self) -> &SocketKey {
        &self.key
    }

    /// Returns the group of its family, where advertisements go.
    pub const fn group(&self) -> IpAddr {
        group(self.key.family)
    }

    /// Sends a VRRP message from `source` to `destination`, the group or a peer; both are of the
    /// socket's family.
    ///
    /// # Errors
    /// When the kernel refuses the packet, or the families differ.
    pub fn send(&mut self, source: IpAddr, destination: IpAddr, message: &[u8]) -> io::Result<()> {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(to)) => self.send_v4(source, to, message),
            (IpAddr::V6(source), IpAddr::V6(to)) => self.send_v6(source, to, message),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                Err(io::ErrorKind::InvalidInput.into())
            }
        }
    }

    /// Receives one packet without waiting: `None` when there is none.
    ///
    /// The message borrows from `buf`, which should have `RECEIVE_BYTES`.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn receive<'a>(&self, buf: &'a mut [u8]) -> io::Result<Option<Packet<'a>>> {
        let outcome = match self.key.family {
            Family::Ipv4 => self.receive_v4(buf),
            Family::Ipv6 => self.receive_v6(buf),
        };
        match outcome {
            Ok(packet) => Ok(Some(packet)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn send_v4(&mut self, source: Ipv4Addr, to: Ipv4Addr, message: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let len = u16::try_from(message.len()).map_err(|_| too_long(()))?;
        let mut header =
            Ipv4Header::new(len, HOP_LIMIT, IpNumber::VRRP, source.octets(), to.octets())
                .map_err(|_| too_long(()))?;
        header.dscp = IpDscp::CS6;
        header.dont_fragment = false;
        header.identification = self.identification;
        self.identification = self.identification.checked_add(1).unwrap_or(1);
        header.header_checksum = header.calc_header_checksum();
        let head = header.to_bytes();
        let to = SockAddr::from(SocketAddrV4::new(to, 0));
        self.socket
            .send_to_vectored(&[IoSlice::new(&head), IoSlice::new(message)], &to)?;
        Ok(())
    }

    fn send_v6(&self, source: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> io::Result<()> {
        let to = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, self.key.ifindex));
        let from = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr {
                s6_addr: source.octets(),
            },
            ipi6_ifindex: self.key.ifindex,
        };
        let control = [ControlMessage::Ipv6PacketInfo(&from)];
        let flags = MsgFlags::MSG_DONTWAIT;
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(message)],
            &control,
            flags,
            Some(&to),
        )?;
        Ok(())
    }

    fn receive_v4<'a>(&self, buf: &'a mut [u8]) -> nix::Result<Packet<'a>> {
        let flags = MsgFlags::MSG_DONTWAIT;
        let len = nix::sys::socket::recv(self.socket.as_raw_fd(), buf, flags)?;
        Ok(read_v4(&buf[..len]))
    }

    fn receive_v6<'a>(&self, buf: &'a mut [u8]) -> nix::Result<Packet<'a>> {
        let mut space = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int);
        let mut parts = [IoSliceMut::new(buf)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let received =
            recvmsg::<SockaddrIn6>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        let source = received.address.map(|address| IpAddr::V6(address.ip()));
        let mut destination = None;
        let mut hop_limit = None;
        for control in received.cmsgs()? {
            if let ControlMessageOwned::Ipv6PacketInfo(info) = control {
                destination = Some(IpAddr::from(info.ipi6_addr.s6_addr));
            } else if let ControlMessageOwned::Ipv6HopLimit(limit) = control {
                hop_limit = u8::try_from(limit).ok();
            }
        }
        let len = received.bytes;
        Ok(match (source, destination, hop_limit) {
            (Some(source), Some(destination), Some(hop_limit)) => {
                let envelope = Envelope {
                    source,
                    destination,
                    hop_limit,
                };
                Packet::Message {
                    envelope,
                    message: &buf[..len],
                }
            }
            (source, _, _) => Packet::Malformed {
                source,
                reason: Rejection::Length,
            },
        })
    }
}

impl AsFd for VrrpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A VRRP message, exactly as long as its IP header says.
    Message {
        /// What the IP header said.
        envelope: Envelope,
        /// What came after the IP header.
        message: &'a [u8],
    },
    /// The IP header does not describe a whole packet of protocol 112.
    Malformed {
        /// Who sent it, where known.
        source: Option<IpAddr>,
        /// What to count.
        reason: Rejection,
    },
}

/// Returns the group of a family (RFC 9568 §5.1.1.2, §5.1.2.2).
pub const fn group(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(GROUP_V4),
        Family::Ipv6 => IpAddr::V6(GROUP_V6),
    }
}

/// Reads an IPv4 packet: options are skipped by the header's own length, and what follows the
/// packet's total length, the padding of the link, is cut off.
fn read_v4(packet: &[u8]) -> Packet<'_> {
    let Ok(header) = Ipv4HeaderSlice::from_slice(packet) else {
        return Packet::Malformed {
            source: None,
            reason: Rejection::Length,
        };
    };
    let source = IpAddr::V4(header.source_addr());
    let message = packet.get(header.slice().len()..usize::from(header.total_len()));
    match message {
        Some(message)
            if header.protocol() == IpNumber::VRRP && !header.is_fragmenting_payload() =>
        {
            let destination = IpAddr::V4(header.destination_addr());
            let envelope = Envelope {
                source,
                destination,
                hop_limit: header.ttl(),
            };
            Packet::Message { envelope, message }
        }
        Some(_) | None => Packet::Malformed {
            source: Some(source),
            reason: Rejection::Length,
        },
    }
}

fn open_v4(key: &SocketKey) -> io::Result<Socket> {
    let socket = raw_v4(key)?;
    socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(key.ifindex))?;
    Ok(socket)
}

fn open_v6(key: &SocketKey) -> io::Result<Socket> {
    let socket = raw_v6(key)?;
    socket.join_multicast_v6(&GROUP_V6, key.ifindex)?;
    Ok(socket)
}

fn raw_v4(key: &SocketKey) -> io::Result<Socket> {
    let socket = open_raw(Domain::IPV4, key)?;
    socket.set_header_included_v4(true)?;
    socket.set_tos_v4(TRAFFIC_CLASS)?;
    socket.set_multicast_all_v4(false)?;
    socket.set_multicast_loop_v4(false)?;
    socket.set_multicast_ttl_v4(HOP_LIMIT.into())?;
    Ok(socket)
}

fn raw_v6(key: &SocketKey) -> io::Result<Socket> {
    let socket = open_raw(Domain::IPV6, key)?;
    setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
    setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    // An Active whose source has just been taken away says so from there.
    socket.set_freebind_v6(true)?;
    socket.set_multicast_all_v6(false)?;
    socket.set_multicast_loop_v6(false)?;
    socket.set_multicast_hops_v6(HOP_LIMIT.into())?;
    socket.set_unicast_hops_v6(HOP_LIMIT.into())?;
    socket.set_multicast_if_v6(key.ifindex)?;
    socket.set_tclass_v6(TRAFFIC_CLASS)?;
    Ok(socket)
}

/// Opens a raw socket, closed on exec, that belongs to one interface.
fn open_raw(domain: Domain, key: &SocketKey) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(PROTOCOL)))?;
    socket.set_nonblocking(true)?;
    socket.bind_device(Some(key.interface.as_bytes()))?;
    Ok(socket)
}

/// Room for the longest packet: IPv6 with 255 addresses is 4088 bytes, IPv4 with options 1088.
pub const RECEIVE_BYTES: usize = 4608;
const RECEIVE_BUFFER_BYTES: usize = 256 * 1024;
/// A filter of this one instruction takes 0 bytes of every packet.
const BPF_RET: u16 = 0x06;
const PROTOCOL: i32 = 112;
const HOP_LIMIT: u8 = 255;
/// DSCP CS6, internetwork control.
const TRAFFIC_CLASS: u32 = 0xc0;
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 bytes of header and 4 of options, 8 of message, and 6 of padding.
    const WITH_OPTIONS_AND_PADDING: [u8; 38] = [
        0x46, 0xc0, 0, 32, 0, 1, 0, 0, 255, 112, 0, 0, 192, 0, 2, 1, 224, 0, 0, 18, 1, 1, 1, 1,
        0x31, 51, 100, 0, 0, 100, 0, 0, 9, 9, 9, 9, 9, 9,
    ];

    #[test]
    fn options_are_skipped_and_padding_is_cut_off() {
        let Packet::Message { envelope, message } = read_v4(&WITH_OPTIONS_AND_PADDING) else {
            panic!("the packet is whole");
        };
        assert_eq!(
            message,
            [0x31, 51, 100, 0, 0, 100, 0, 0],
            "exactly the message is left"
        );
        assert_eq!(
            envelope.source,
            IpAddr::from([192, 0, 2, 1]),
            "the source is read"
        );
        assert_eq!(envelope.hop_limit, 255, "the TTL is read");
    }

    #[test]
    fn a_packet_shorter_than_it_says_is_malformed() {
        let source = Some(IpAddr::from([192, 0, 2, 1]));
        let expected = Packet::Malformed {
            source,
            reason: Rejection::Length,
        };
        assert_eq!(
            read_v4(&WITH_OPTIONS_AND_PADDING[..30]),
            expected,
            "two bytes are missing"
        );
    }

    #[test]
    fn no_header_at_all_is_malformed() {
        for packet in [&[][..], &[0x4f; 12], &[0x40; 40]] {
            let expected = Packet::Malformed {
                source: None,
                reason: Rejection::Length,
            };
            assert_eq!(read_v4(packet), expected, "nothing is read from it");
        }
    }
}
