//! The frames that tell a link where a virtual address is now: gratuitous ARP and unsolicited
//! neighbor advertisement.
//!
//! pnet_packet builds them, and pnet channels on one socket of our own send them. The socket has
//! protocol 0, so no frame is ever cloned to it, and is closed on exec. Nothing is received here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use pnet::datalink::{self, ChannelType, DataLinkSender, MacAddr, NetworkInterface};
use pnet_packet::Packet;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, MutableArpPacket};
use pnet_packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet_packet::icmpv6::ndp::{
    MutableNeighborAdvertPacket, NdpOption, NdpOptionTypes, NeighborAdvertFlags,
};
use pnet_packet::icmpv6::{self, Icmpv6Code, Icmpv6Packet, Icmpv6Types};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv6::MutableIpv6Packet;
use socket2::{Domain, Socket, Type};

use crate::process::vrrp::host::{Node, Outlet};

/// A hardware address of Ethernet.
pub type Mac = [u8; 6];

/// The announcers of all links, on one socket.
///
/// Closing a packet socket waits for a grace period of the kernel, 10 ms and more on a busy
/// machine. With one socket for each of 250 virtual routers a killed process took 2 to 4 s to end,
/// and the next came too late to adopt its role.
///
/// pnet waits with `pselect`, which knows no descriptor above 1023: its duplicates of the socket
/// are made first of all and few, and whoever announces next takes the one that was used least
/// recently.
#[derive(Default)]
pub struct Announcers {
    /// `None` where the kernel has none for us: nothing is announced then.
    socket: Option<OwnedFd>,
    duplicates: Vec<OwnedFd>,
    /// The most recently used last; at most `OPEN_MAX`.
    open: Vec<(Outlet, Announcer)>,
}

impl Announcers {
    /// Opens the socket; early, while descriptors are low.
    ///
    /// # Errors
    /// When the kernel refuses the socket.
    pub fn open() -> io::Result<Self> {
        let socket = OwnedFd::from(Socket::new(Domain::PACKET, Type::RAW, None)?);
        let mut announcers = Self {
            duplicates: Vec::with_capacity(OPEN_MAX),
            open: Vec::with_capacity(OPEN_MAX),
            socket: Some(socket),
        };
        for _ in 0..OPEN_MAX {
            announcers.duplicate();
        }
        Ok(announcers)
    }

    /// Returns the announcer of a link, opened if need be.
    ///
    /// # Errors
    /// When there is no descriptor for it, or its channel does not open.
    pub fn of(&mut self, outlet: &Outlet) -> io::Result<&mut Announcer> {
        let known = match self.find(outlet) {
            Some(at) => self.open.remove(at),
            None => {
                if self.open.len() == OPEN_MAX {
                    self.close_at(0);
                }
                if self.duplicates.is_empty() {
                    self.duplicate();
                }
                let socket = self.duplicates.pop();
                let socket = socket.ok_or_else(|| io::Error::from_raw_os_error(libc::EMFILE))?;
                (outlet.clone(), Announcer::open(socket, outlet)?)
            }
        };
        self.open.push(known);
        Ok(&mut self.open.last_mut().expect("one was just added").1)
    }

    /// Closes the announcer of a link that nobody uses any more.
    pub fn close(&mut self, outlet: &Outlet) {
        if let Some(at) = self.find(outlet) {
            self.close_at(at);
        }
    }

    fn close_at(&mut self, at: usize) {
        drop(self.open.remove(at));
        self.duplicate();
    }

    /// Makes one more duplicate of the socket, if it is low enough: as a rule what was closed a
    /// moment ago.
    fn duplicate(&mut self) {
        let another = self.socket.as_ref().map(OwnedFd::try_clone);
        if let Some(Ok(another)) = another
            && another.as_raw_fd() < PSELECT_MAX
        {
            self.duplicates.push(another);
        }
    }

    fn find(&self, outlet: &Outlet) -> Option<usize> {
        let same = |open: &Outlet| open.ifindex == outlet.ifindex && open == outlet;
        self.open.iter().position(|(open, _)| same(open))
    }
}

/// Sends announcements on one interface.
pub struct Announcer {
    mac: Mac,
    node: Node,
    sender: Box<dyn DataLinkSender>,
}

impl Announcer {
    /// Opens the channel of a link; every frame names its interface, so that all may share the
    /// socket.
    fn open(socket: OwnedFd, outlet: &Outlet) -> io::Result<Self> {
        let mac = outlet.mac;
        let place = NetworkInterface {
            name: outlet.interface.clone(),
            description: String::new(),
            index: outlet.ifindex,
            mac: Some(MacAddr::from(mac)),
            ips: Vec::new(),
            flags: 0,
        };
        // Any other channel type would bind the socket to every protocol. The channel owns the
        // descriptor, also when it fails.
        let config = datalink::Config {
            socket_fd: Some(socket.into_raw_fd()),
            channel_type: ChannelType::Layer3(0),
            promiscuous: false,
            write_timeout: Some(WRITE_TIMEOUT),
            // Frames are built outside of it, and nothing is received.
            write_buffer_size: 0,
            read_buffer_size: 0,
            ..datalink::Config::default()
        };
        match datalink::channel(&place, config)? {
            datalink::Channel::Ethernet(sender, _receiver) => Ok(Self {
                mac,
                node: outlet.node,
                sender,
            }),
            _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
        }
    }

    /// Announces an address once.
    ///
    /// # Errors
    /// When the link does not take the frame.
    pub fn announce(&mut self, address: IpAddr) -> io::Result<()> {
        match address {
            IpAddr::V4(address) => self.send(&gratuitous_arp(self.mac, address)),
            IpAddr::V6(address) => {
                self.send(&unsolicited_advertisement(self.mac, self.node, address))
            }
        }
    }

    fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.sender
            .send_to(frame, None)
            .unwrap_or(Err(io::ErrorKind::WriteZero.into()))
    }
}

/// Builds a gratuitous ARP: a request of the address for itself, to everybody (RFC 9568 §6.4.1,
/// erratum 7947).
///
/// ```text
/// Ethernet 14 | ARP request: sender = target = the address, target hardware address ff:ff:ff:ff:ff:ff | 42 bytes
/// ```
pub fn gratuitous_arp(mac: Mac, address: Ipv4Addr) -> [u8; ARP_FRAME_LEN] {
    let mut frame = [0; ARP_FRAME_LEN];
    ethernet(&mut frame, mac, MacAddr::broadcast(), EtherTypes::Arp);
    let mut arp =
        MutableArpPacket::new(&mut frame[ETHERNET_LEN..]).expect("the frame has room for ARP");
    arp.set_hardware_type(ArpHardwareTypes::Ethernet);
    arp.set_protocol_type(EtherTypes::Ipv4);
    arp.set_hw_addr_len(6);
    arp.set_proto_addr_len(4);
    arp.set_operation(ArpOperations::Request);
    arp.set_sender_hw_addr(MacAddr::from(mac));
    arp.set_sender_proto_addr(address);
    arp.set_target_hw_addr(MacAddr::broadcast());
    arp.set_target_proto_addr(address);
    frame
}

/// Builds an unsolicited neighbor advertisement to all nodes, from the address itself, with
/// Override and the target's link-layer address (RFC 9568 §6.4.1, RFC 4861 §7.2.6), and as from a
/// router where the interface forwards: without the flag, hosts would drop it as their gateway.
///
/// ```text
/// Ethernet 14 | IPv6 40, hop limit 255 | neighbor advertisement 24 | option 2: link-layer address 8 | 86 bytes
/// ```
pub fn unsolicited_advertisement(mac: Mac, node: Node, address: Ipv6Addr) -> [u8; NA_FRAME_LEN] {
    let mut frame = [0; NA_FRAME_LEN];
    let (head, message) = frame.split_at_mut(ETHERNET_LEN + IPV6_LEN);
    ethernet(
        head,
        mac,
        MacAddr::new(0x33, 0x33, 0, 0, 0, 1),
        EtherTypes::Ipv6,
    );
    let mut ip =
        MutableIpv6Packet::new(&mut head[ETHERNET_LEN..]).expect("the frame has room for IPv6");
    ip.set_version(6);
    ip.set_traffic_class(0xc0);
    ip.set_payload_length(NA_LEN as u16);
    ip.set_next_header(IpNextHeaderProtocols::Icmpv6);
    ip.set_hop_limit(255);
    ip.set_source(address);
    ip.set_destination(ALL_NODES);

    let mut na = MutableNeighborAdvertPacket::new(message).expect("the frame has room for ICMPv6");
    na.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
    na.set_icmpv6_code(Icmpv6Code(0));
    na.set_flags(match node {
        Node::Router => NeighborAdvertFlags::Router | NeighborAdvertFlags::Override,
        Node::Host => NeighborAdvertFlags::Override,
    });
    na.set_target_addr(address);
    na.set_options(&[NdpOption {
        option_type: NdpOptionTypes::TargetLLAddr,
        length: 1,
        data: mac.to_vec(),
    }]);
    let whole = Icmpv6Packet::new(na.packet()).expect("the message is longer than ICMPv6's head");
    let checksum = icmpv6::checksum(&whole, &address, &ALL_NODES);
    na.set_checksum(checksum);
    frame
}

fn ethernet(frame: &mut [u8], source: Mac, to: MacAddr, kind: pnet_packet::ethernet::EtherType) {
    let mut head = MutableEthernetPacket::new(frame).expect("the frame has room for Ethernet");
    head.set_source(MacAddr::from(source));
    head.set_destination(to);
    head.set_ethertype(kind);
}

/// So many links are announced on without opening anything.
const OPEN_MAX: usize = 32;
/// FD_SETSIZE.
const PSELECT_MAX: i32 = 1024;
const ETHERNET_LEN: usize = 14;
const IPV6_LEN: usize = 40;
const NA_LEN: usize = 32;
/// The length of a gratuitous ARP frame.
pub const ARP_FRAME_LEN: usize = ETHERNET_LEN + 28;
/// The length of a neighbor advertisement frame.
pub const NA_FRAME_LEN: usize = ETHERNET_LEN + IPV6_LEN + NA_LEN;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// How long a full transmit queue may hold up the loop, in one turn.
const WRITE_TIMEOUT: Duration = Duration::from_millis(5);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    const MAC: Mac = [2, 0, 0, 0, 0, 7];

    /// RFC 9568 §6.4.1 (135), errata 7947 and 7949.
    #[test]
    fn gratuitous_arp_asks_everybody_for_the_address_itself() {
        let frame = gratuitous_arp(MAC, Ipv4Addr::new(192, 0, 2, 100));
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 7, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0,
            1, 2, 0, 0, 0, 0, 7, 192, 0, 2, 100, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 192, 0, 2,
            100,
        ];
        assert_eq!(
            frame, expected,
            "every byte is as a peer's cache expects it"
        );
        let parsed = SlicedPacket::from_ethernet(&frame).unwrap();
        assert!(
            matches!(parsed.net, Some(NetSlice::Arp(_))),
            "etherparse reads it as ARP"
        );
    }

    /// RFC 9568 §6.4.1 (150).
    #[test]
    fn neighbor_advertisement_overrides_with_a_right_checksum() {
        let address = "2001:db8::100".parse::<Ipv6Addr>().unwrap();
        let frame = unsolicited_advertisement(MAC, Node::Host, address);
        let parsed = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(NetSlice::Ipv6(ip)) = parsed.net else {
            panic!("etherparse reads it as IPv6")
        };
        assert_eq!(
            ip.header().hop_limit(),
            255,
            "a neighbor discards any other hop limit"
        );
        assert_eq!(
            ip.header().source_addr(),
            address,
            "it comes from the address itself"
        );
        assert_eq!(
            ip.header().destination_addr(),
            ALL_NODES,
            "it goes to all nodes"
        );
        let Some(TransportSlice::Icmpv6(icmp)) = parsed.transport else {
            panic!("it is ICMPv6")
        };
        let (from, to) = (address.octets(), ALL_NODES.octets());
        assert!(
            icmp.is_checksum_valid(from, to),
            "the checksum covers the pseudo-header"
        );
        let expected = [
            &[136, 0][..],
            &icmp.slice()[2..4],
            &[0x20, 0, 0, 0],
            &from,
            &[2, 1],
            &MAC,
        ]
        .concat();
        assert_eq!(
            icmp.slice(),
            expected,
            "Override alone, the target, and its link-layer address"
        );
    }

    /// RFC 9568 §6.4.1 (150): the router flag says whether the machine forwards.
    #[test]
    fn neighbor_advertisement_of_a_router_has_the_flag() {
        let address = "2001:db8::100".parse::<Ipv6Addr>().unwrap();
        let flags =
            |node| unsolicited_advertisement(MAC, node, address)[ETHERNET_LEN + IPV6_LEN + 4];
        assert_eq!(flags(Node::Router), 0xa0, "Router and Override");
        assert_eq!(flags(Node::Host), 0x20, "Override");
    }
}
