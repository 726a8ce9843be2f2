//! Gateways that virtual routers follow, asked on a thread of their own: by ARP (RFC 826) or
//! neighbor solicitation (RFC 4861 §4.3) on their own link, by an echo request (RFC 792, RFC 4443)
//! where they are not on it.
//!
//! What they say is in no way trusted: an answer is a sign of life of an address, and no more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockaddrLike};
use pnet_packet::Packet;
use pnet_packet::icmp::{self, IcmpPacket};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tracing::debug;

use crate::config::GatewayConfig;
use crate::logic::track::gateway::GatewayState;
use crate::process::vrrp::link::filter;

/// Starts the thread, with what is to be asked first. It reports the label of gateways and whether
/// they are there, and ends when nobody listens any more, then `report` says false, or what is
/// returned is dropped.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(
    first: Option<Wanted>,
    report: impl Fn(String, bool) -> bool + Send + 'static,
) -> io::Result<Gateways> {
    let wanted = Arc::new(Mutex::new(first));
    let gateways = Gateways {
        wanted: Arc::clone(&wanted),
    };
    std::thread::Builder::new()
        .name("evenkeel-gateways".into())
        .spawn(move || {
            let mut asker = Asker::new();
            loop {
                let news = wanted.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some((gateways, virtual_addresses)) = news {
                    asker.follow(gateways, &virtual_addresses);
                }
                if Arc::strong_count(&wanted) == 1 || !asker.turn(&report) {
                    return;
                }
            }
        })?;
    Ok(gateways)
}

/// What is to be asked, with the virtual addresses; the last word counts.
pub(super) type Wanted = (Vec<GatewayConfig>, Arc<[IpAddr]>);

/// The thread, as long as it is wanted.
#[derive(Debug)]
pub(super) struct Gateways {
    wanted: Arc<Mutex<Option<Wanted>>>,
}

impl Gateways {
    /// Has these asked, within a second: those that were asked before go on as they are.
    pub(super) fn follow(&self, wanted: Wanted) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted);
    }
}

/// All gateways of the configuration.
struct Asker {
    gateways: Vec<Asked>,
    /// Which gateways of which entries have an address.
    by_address: HashMap<IpAddr, Vec<(usize, usize)>>,
    /// By name; what a hundred entries ask on one interface arrives there once.
    links: BTreeMap<String, LinkAround>,
    virtual_addresses: Arc<[IpAddr]>,
    /// Of protocol 1, for those that are not on a link of ours.
    echo_v4: Option<Socket>,
    /// What marks our echo requests.
    identifier: u16,
}

/// One entry of `track`.
struct Asked {
    config: GatewayConfig,
    state: GatewayState,
    ask_at: Instant,
}

/// The interface on which gateways are asked, as it was a moment ago.
struct LinkAround {
    seen_at: Instant,
    ifindex: u32,
    mac: [u8; 6],
    /// Addresses with the lengths of their prefixes.
    addresses: Vec<(IpAddr, u8)>,
    /// Those of the virtual routers.
    virtual_addresses: Arc<[IpAddr]>,
    arp: Option<Socket>,
    icmp_v6: Option<Socket>,
}

impl Asker {
    fn new() -> Self {
        Self {
            gateways: Vec::new(),
            by_address: HashMap::new(),
            links: BTreeMap::new(),
            virtual_addresses: Arc::default(),
            echo_v4: echo_v4_socket().ok(),
            // Any number will do that is not often another's.
            identifier: std::process::id() as u16,
        }
    }

    /// Asks these from now on; those that were asked before go on as they are, and so do the links
    /// on which somebody is still asked.
    fn follow(&mut self, gateways: Vec<GatewayConfig>, virtual_addresses: &Arc<[IpAddr]>) {
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.gateways);
        let asked = |config: GatewayConfig| {
            let known = before.iter().position(|asked| asked.config == config);
            known.map_or_else(
                || Asked {
                    state: GatewayState::new(config.addresses.len(), config.at_least, config.fall),
                    config,
                    ask_at: now,
                },
                |at| before.swap_remove(at),
            )
        };
        self.gateways = gateways.into_iter().map(asked).collect();
        self.by_address.clear();
        for (entry, asked) in self.gateways.iter().enumerate() {
            for (number, address) in asked.config.addresses.iter().enumerate() {
                let known = self.by_address.entry(*address).or_default();
                known.push((entry, number));
            }
        }
        self.virtual_addresses = Arc::clone(virtual_addresses);
        let used: BTreeSet<&str> = self
            .gateways
            .iter()
            .map(|asked| asked.config.interface.as_str())
            .collect();
        self.links
            .retain(|interface, _| used.contains(interface.as_str()));
        for link in self.links.values_mut() {
            link.virtual_addresses = Arc::clone(virtual_addresses);
        }
    }

    /// Asks those that are due and hears answers; returns whether anybody wants to know.
    fn turn(&mut self, report: impl Fn(String, bool) -> bool) -> bool {
        let now = Instant::now();
        let is_due = |asked: &&mut Asked| asked.ask_at <= now;
        // Answers of more would not fit into a socket that nobody reads meanwhile.
        let due = self.gateways.iter_mut().filter(is_due);
        for asked in due.take(ASKED_PER_TURN) {
            asked.ask_at = (asked.ask_at + asked.config.interval).max(now);
            asked.state.handle_question();
            let interface = &asked.config.interface;
            let fresh = |link: &LinkAround| now.duration_since(link.seen_at) < LINK_AGE_MAX;
            if !self.links.get(interface).is_some_and(fresh) {
                let before = self.links.remove(interface);
                let link = LinkAround::look(interface, &self.virtual_addresses, now, before);
                self.links
                    .extend(link.map(|link| (interface.clone(), link)));
            }
            let link = self.links.get(interface);
            asked.ask(link, self.echo_v4.as_ref(), self.identifier);
        }
        self.hear();
        for asked in &mut self.gateways {
            if let Some(there) = asked.state.poll_change() {
                let label = asked.config.label.clone();
                if !report(label, there) {
                    return false;
                }
            }
        }
        self.wait();
        true
    }

    /// Takes in answers: those of a link count for the gateways on it, those from afar for all.
    fn hear(&mut self) {
        let identifier = self.identifier;
        let mut answers: Vec<IpAddr> = Vec::new();
        let mut frame = [MaybeUninit::uninit(); FRAME_BYTES];
        if let Some(socket) = &self.echo_v4 {
            drain(socket, &mut frame, |bytes, from| {
                answers.extend(echo_reply_v4(bytes, identifier).and(from));
            });
        }
        for address in answers.drain(..) {
            take_in(&mut self.gateways, &self.by_address, address, |_| true);
        }
        for (interface, link) in &self.links {
            if let Some(socket) = &link.arp {
                drain(socket, &mut frame, |bytes, _| {
                    answers.extend(arp_sender(bytes))
                });
            }
            if let Some(socket) = &link.icmp_v6 {
                drain(socket, &mut frame, |bytes, from| {
                    answers.extend(answer_v6(bytes, identifier, from));
                });
            }
            let is_on = |asked: &Asked| asked.config.interface == *interface;
            for address in answers.drain(..) {
                take_in(&mut self.gateways, &self.by_address, address, is_on);
            }
        }
    }

    /// Waits for an answer, or until somebody is to be asked.
    fn wait(&self) {
        let due = self.gateways.iter().map(|asked| asked.ask_at).min();
        let left = due.map_or(TURN_MAX, |at| at.saturating_duration_since(Instant::now()));
        let links = self.links.values();
        let sockets = links.flat_map(|link| link.arp.iter().chain(&link.icmp_v6));
        let mut waiting: Vec<PollFd<'_>> = sockets
            .chain(&self.echo_v4)
            .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
            .collect();
        let left = left.min(TURN_MAX).as_millis() + 1;
        let timeout = u16::try_from(left).map_or(PollTimeout::MAX, PollTimeout::from);
        // An error is no reason to ask more often.
        if poll(&mut waiting, timeout).is_err() {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

/// Tells every entry that asks for an address that it has answered, where that counts for it.
fn take_in(
    gateways: &mut [Asked],
    by_address: &HashMap<IpAddr, Vec<(usize, usize)>>,
    address: IpAddr,
    counts: impl Fn(&Asked) -> bool,
) {
    for &(entry, number) in by_address.get(&address).into_iter().flatten() {
        if let Some(asked) = gateways.get_mut(entry).filter(|asked| counts(asked)) {
            asked.state.handle_answer(number);
        }
    }
}

impl Asked {
    fn ask(&self, link: Option<&LinkAround>, echo_v4: Option<&Socket>, identifier: u16) {
        for address in &self.config.addresses {
            let sent = match (address, link) {
                (IpAddr::V4(to), Some(link)) if link.is_near(*address) => link.ask_arp(*to),
                (IpAddr::V6(to), Some(link)) => link.ask_v6(*to, identifier),
                (IpAddr::V4(to), _) => echo_v4.map_or(Ok(()), |socket| {
                    let to = SockAddr::from(SocketAddrV4::new(*to, 0));
                    socket.send_to(&echo_v4_request(identifier), &to).map(drop)
                }),
                (IpAddr::V6(_), None) => Ok(()),
            };
            if let Err(error) = sent {
                // A question that was not sent is one without an answer.
                debug!(peer = %address, %error, "gateway not asked");
            }
        }
    }
}

impl LinkAround {
    /// Looks at an interface; sockets of one that has stayed the same are kept.
    fn look(
        interface: &str,
        virtual_addresses: &Arc<[IpAddr]>,
        now: Instant,
        before: Option<Self>,
    ) -> Option<Self> {
        let ifindex = if_nametoindex(interface).ok()?;
        let mut link = match before {
            Some(before) if before.ifindex == ifindex && before.arp.is_some() => before,
            Some(_) | None => Self {
                seen_at: now,
                ifindex,
                mac: [0; 6],
                addresses: Vec::new(),
                virtual_addresses: Arc::clone(virtual_addresses),
                arp: arp_socket(ifindex).ok(),
                icmp_v6: icmp_v6_socket(interface).ok(),
            },
        };
        link.seen_at = now;
        link.addresses.clear();
        for found in getifaddrs()
            .ok()?
            .filter(|found| found.interface_name == interface)
        {
            let Some(address) = found.address else {
                continue;
            };
            if let Some(mac) = address.as_link_addr().and_then(|link| link.addr()) {
                link.mac = mac;
            }
            let netmask = found.netmask;
            if address.family() == Some(AddressFamily::Inet)
                && let Some(own) = address.as_sockaddr_in()
            {
                let mask = netmask.and_then(|mask| mask.as_sockaddr_in().map(|it| it.ip()));
                let len = mask.map_or(32, |mask| mask.to_bits().leading_ones());
                link.addresses.push((own.ip().into(), len as u8));
            } else if let Some(own) = address.as_sockaddr_in6() {
                let mask = netmask.and_then(|mask| mask.as_sockaddr_in6().map(|it| it.ip()));
                let len = mask.map_or(128, |mask| mask.to_bits().leading_ones());
                link.addresses.push((own.ip().into(), len as u8));
            }
        }
        Some(link)
    }

    /// Returns whether an address is on this link.
    fn is_near(&self, address: IpAddr) -> bool {
        let link_local = match address {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        link_local || self.addresses.iter().any(|own| shares(*own, address))
    }

    fn ask_arp(&self, to: Ipv4Addr) -> io::Result<()> {
        let Some(socket) = &self.arp else {
            return Ok(());
        };
        // Who has no address of its own there asks without one (RFC 5227 §2.1.1); nobody shall
        // learn from a question where a virtual address is.
        let own = self.addresses.iter().find_map(|(own, len)| match own {
            IpAddr::V4(address)
                if shares((*own, *len), to.into()) && !self.virtual_addresses.contains(own) =>
            {
                Some(*address)
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        });
        let message = arp_request(self.mac, own.unwrap_or(Ipv4Addr::UNSPECIFIED), to);
        send_to_link(socket, self.ifindex, &message)
    }

    fn ask_v6(&self, to: Ipv6Addr, identifier: u16) -> io::Result<()> {
        let Some(socket) = &self.icmp_v6 else {
            return Ok(());
        };
        let near = self.is_near(to.into());
        let (message, to) = if near {
            let [.., a, b, c] = to.octets();
            let group = Ipv6Addr::from_bits(
                SOLICITED_NODE
                    | u128::from_be_bytes({
                        let mut low = [0; 16];
                        [low[13], low[14], low[15]] = [a, b, c];
                        low
                    }),
            );
            (neighbor_solicitation(self.mac, to), group)
        } else {
            (echo_request(ECHO_REQUEST_V6, identifier).to_vec(), to)
        };
        let scope = if near { self.ifindex } else { 0 };
        let to = SockAddr::from(SocketAddrV6::new(to, 0, 0, scope));
        socket.send_to(&message, &to).map(drop)
    }
}

/// Returns whether an address is in the network of one of ours with this length of its prefix.
fn shares((own, len): (IpAddr, u8), address: IpAddr) -> bool {
    match (own, address) {
        (IpAddr::V4(own), IpAddr::V4(it)) => {
            let shift = 32_u32.saturating_sub(len.into());
            own.to_bits().checked_shr(shift) == it.to_bits().checked_shr(shift)
        }
        (IpAddr::V6(own), IpAddr::V6(it)) => {
            let shift = 128_u32.saturating_sub(len.into());
            own.to_bits().checked_shr(shift) == it.to_bits().checked_shr(shift)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Reads all that waits in a socket, with who has sent it.
fn drain(
    socket: &Socket,
    frame: &mut [MaybeUninit<u8>],
    mut take: impl FnMut(&[u8], Option<IpAddr>),
) {
    for _ in 0..FRAMES_PER_TURN {
        let Ok((len, from)) = socket.recv_from(frame) else {
            return;
        };
        let from = from.as_socket().map(|from| from.ip());
        // SAFETY: the kernel has written the first `len` bytes.
        let bytes = unsafe { std::slice::from_raw_parts(frame.as_ptr().cast::<u8>(), len) };
        take(bytes, from);
    }
}

/// An ARP request for an address, without the head of its frame.
fn arp_request(mac: [u8; 6], own: Ipv4Addr, to: Ipv4Addr) -> [u8; ARP_BYTES] {
    let mut message = [0; ARP_BYTES];
    // Ethernet, IPv4, their lengths, request.
    message[..8].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    message[8..14].copy_from_slice(&mac);
    message[14..18].copy_from_slice(&own.octets());
    message[24..28].copy_from_slice(&to.octets());
    message
}

/// Returns who has sent an ARP message, asking or answering.
fn arp_sender(message: &[u8]) -> Option<IpAddr> {
    let message = message.get(..ARP_BYTES)?;
    let (head, rest) = message.split_at(8);
    let is_arp = matches!(head, [0, 1, 8, 0, 6, 4, 0, 1 | 2]);
    let sender: [u8; 4] = rest.get(6..10)?.try_into().ok()?;
    is_arp.then(|| IpAddr::from(sender))
}

/// A neighbor solicitation; the kernel adds the checksum.
fn neighbor_solicitation(mac: [u8; 6], to: Ipv6Addr) -> Vec<u8> {
    let option = [1, 1];
    [
        &[NEIGHBOR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0][..],
        &to.octets(),
        &option,
        &mac,
    ]
    .concat()
}

fn echo_request(kind: u8, identifier: u16) -> [u8; 8] {
    let [high, low] = identifier.to_be_bytes();
    [kind, 0, 0, 0, high, low, 0, 1]
}

fn echo_v4_request(identifier: u16) -> [u8; 8] {
    let mut message = echo_request(ECHO_REQUEST_V4, identifier);
    if let Some(packet) = IcmpPacket::new(&message) {
        let checksum = icmp::checksum(&packet);
        debug_assert_eq!(packet.packet().len(), message.len());
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    message
}

/// Returns whether an IPv4 packet is an answer to an echo request of ours.
fn echo_reply_v4(packet: &[u8], identifier: u16) -> Option<()> {
    let head = usize::from(packet.first()? & 0xf) * 4;
    let [high, low] = identifier.to_be_bytes();
    let message = packet.get(head..head + 6)?;
    matches!(message, [0, 0, _, _, a, b] if (*a, *b) == (high, low)).then_some(())
}

/// Returns whose sign of life a message of ICMPv6 is: that of the target of an advertisement, or of
/// the sender of an echo reply.
fn answer_v6(message: &[u8], identifier: u16, from: Option<IpAddr>) -> Option<IpAddr> {
    let [high, low] = identifier.to_be_bytes();
    match message {
        [NEIGHBOR_ADVERTISEMENT, 0, _, _, _, _, _, _, rest @ ..] => {
            let target: [u8; 16] = rest.get(..16)?.try_into().ok()?;
            Some(IpAddr::from(target))
        }
        [ECHO_REPLY_V6, 0, _, _, a, b, ..] if (*a, *b) == (high, low) => from,
        _ => None,
    }
}

/// Opens a socket for echo requests that hears nothing but replies.
fn echo_v4_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    socket.attach_filter(&filter::icmp_v4(ECHO_REPLY_V4))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Opens a socket for questions on an interface that hears nothing but answers.
fn icmp_v6_socket(interface: &str) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.attach_filter(&filter::kinds(&[NEIGHBOR_ADVERTISEMENT, ECHO_REPLY_V6]))?;
    socket.set_nonblocking(true)?;
    // Neighbor discovery is heard with this hop limit alone.
    socket.set_unicast_hops_v6(255)?;
    socket.set_multicast_hops_v6(255)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    Ok(socket)
}

/// Opens a socket that hears and sends ARP on a link.
fn arp_socket(ifindex: u32) -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(ETHERTYPE_ARP.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    let place = link_address(ifindex, [0; 6]);
    // SAFETY: the address is one of the kernel's layout, as long as is said.
    let bound = unsafe {
        let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        libc::bind(socket.as_raw_fd(), (&raw const place).cast(), len)
    };
    match bound {
        0 => Ok(socket),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends a message to everybody on a link.
fn send_to_link(socket: &Socket, ifindex: u32, message: &[u8]) -> io::Result<()> {
    let to = link_address(ifindex, [0xff; 6]);
    // SAFETY: message and address are as long as is said.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
            libc::MSG_DONTWAIT,
            (&raw const to).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn link_address(ifindex: u32, mac: [u8; 6]) -> libc::sockaddr_ll {
    // SAFETY: a structure of numbers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ETHERTYPE_ARP.to_be();
    address.sll_ifindex = ifindex as i32;
    address.sll_halen = 6;
    address.sll_addr[..6].copy_from_slice(&mac);
    address
}

const ETHERTYPE_ARP: u16 = 0x0806;
const ARP_BYTES: usize = 28;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const ECHO_REQUEST_V4: u8 = 8;
const ECHO_REPLY_V4: u8 = 0;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;
/// ff02::1:ff00:0 (RFC 4291 §2.7.1).
const SOLICITED_NODE: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
const FRAME_BYTES: usize = 1500;
/// Read of one socket in one turn.
const FRAMES_PER_TURN: usize = 256;
/// Asked before answers are read.
const ASKED_PER_TURN: usize = 64;
/// How long what was seen of an interface counts.
const LINK_AGE_MAX: Duration = Duration::from_secs(1);
/// No wait is without an end.
const TURN_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_as_the_standards_have_them() {
        let mac = [2, 0, 0, 0, 0, 7];
        let request = arp_request(mac, [192, 0, 2, 1].into(), [192, 0, 2, 254].into());
        let hoped = [
            0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 7, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2,
            254,
        ];
        assert_eq!(request, hoped);
        assert_eq!(arp_sender(&request), Some([192, 0, 2, 1].into()));
        // The one's complement of 0x0800 + 0x1234 + 0x0001.
        assert_eq!(
            echo_v4_request(0x1234),
            [8, 0, 0xe5, 0xca, 0x12, 0x34, 0, 1]
        );
        let asked = "2001:db8::fe".parse().expect("an address");
        let solicitation = neighbor_solicitation(mac, asked);
        assert_eq!(solicitation.len(), 32);
        assert_eq!(solicitation[24..], [1, 1, 2, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn answers_are_told_from_all_else() {
        let mut packet = [0; 28];
        packet[0] = 0x45;
        packet[24..26].copy_from_slice(&[0x12, 0x34]);
        assert_eq!(echo_reply_v4(&packet, 0x1234), Some(()));
        assert_eq!(echo_reply_v4(&packet, 0x1235), None, "another's");
        packet[20] = 8;
        assert_eq!(echo_reply_v4(&packet, 0x1234), None, "a request");
        for short in 0..26 {
            assert_eq!(echo_reply_v4(&packet[..short], 0x1234), None);
        }
        let target: Ipv6Addr = "2001:db8::fe".parse().expect("an address");
        let mut advertisement = [&[136, 0, 0, 0, 0, 0, 0, 0][..], &target.octets()].concat();
        assert_eq!(answer_v6(&advertisement, 1, None), Some(target.into()));
        advertisement.pop();
        assert_eq!(answer_v6(&advertisement, 1, None), None);
        assert_eq!(arp_sender(&[0; 28]), None);
    }
}
