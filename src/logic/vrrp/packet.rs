//! The codec of an advertisement, version 3 (RFC 9568 §5.2), and the checks of §7.1.
//!
//! ```text
//!   0                   1                   2                   3
//!   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +-------+-------+---------------+---------------+---------------+
//!  |Version| Type  |     VRID      |   Priority    |  Addr Count   |
//!  +-------+-------+---------------+---------------+---------------+
//!  |Reserve| Max Advertise Interval|           Checksum            |
//!  +-------+-----------------------+-------------------------------+
//!  |          Addr Count addresses of 4 or 16 bytes                |
//!  +---------------------------------------------------------------+
//! ```
//!
//! Bytes in, a checked `Advertisement` or a counted reason out. It refuses to know which virtual
//! routers exist: an unknown VRID and our own source address are found by the caller. Read `router`
//! next.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::checksum::Sum16BitWords;

use crate::model::{AdverInterval, Family, Priority, Version, Vrid};

/// One advertisement, version 3 (RFC 9568 §5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// The virtual router it speaks for.
    pub vrid: Vrid,
    /// The sender's effective priority; 0 says that it leaves.
    pub priority: Priority,
    /// The sender's advertisement interval, to be learned by its Backups.
    pub interval: AdverInterval,
    /// The virtual addresses, at least one when received, all of one family.
    pub addresses: Vec<IpAddr>,
}

impl Advertisement {
    /// Returns whether an IPv6 advertisement does not begin with a link-local address (RFC 9568
    /// §5.2.9, erratum 8300).
    ///
    /// A flag and not a rejection: FRR and keepalived peers send such advertisements unless told
    /// otherwise.
    pub fn lacks_link_local(&self) -> bool {
        match self.addresses.first() {
            Some(IpAddr::V6(first)) => !first.is_unicast_link_local(),
            Some(IpAddr::V4(_)) | None => false,
        }
    }
}

/// What the IP header of a received packet said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The sender; its family decides the size of the addresses.
    pub source: IpAddr,
    /// The group, or our address when a peer is spoken to by unicast.
    pub destination: IpAddr,
    /// TTL or hop limit as received.
    pub hop_limit: u8,
}

impl Envelope {
    /// Returns what it is for a receiver that allows so many routers on the way: as if there were
    /// none, unless there were more.
    #[must_use]
    pub const fn beyond_routers(self, routers: u8) -> Self {
        if self.hop_limit < HOP_LIMIT - routers {
            return self;
        }
        Self {
            hop_limit: HOP_LIMIT,
            ..self
        }
    }
}

/// Why a received packet is not an advertisement for us; each is a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rejection {
    /// It has crossed a router: TTL or hop limit is not 255.
    HopLimit,
    /// Not the version that we speak.
    Version,
    /// Not an advertisement.
    Type,
    /// Shorter or longer than its address count says.
    Length,
    /// No form of the checksum fits.
    Checksum,
    /// VRID 0, or (found by the caller) none of ours.
    Vrid,
    /// No addresses (erratum 8299).
    CountZero,
    /// An interval of zero would make every timer zero (erratum 8301).
    IntervalZero,
    /// Sent from one of our own addresses; found by the caller.
    OwnSource,
    /// Version 2: authenticated otherwise than we are.
    AuthenticationType,
    /// Version 2: another password.
    AuthenticationData,
    /// Version 2: another interval than ours, which both ends must agree on.
    IntervalMismatch,
    /// Sent to the group where peers are spoken to one by one, or the other way round; found by the
    /// caller.
    Destination,
    /// Unicast: not from one of our peers; found by the caller.
    Peer,
    /// CARP, another protocol with the same number and group; found by the caller with [`is_carp`].
    Carp,
    /// Of another service that has our VRID; found by the caller with [`is_of_stranger`].
    Addresses,
}

impl Rejection {
    /// Every reason, in the order of the checks.
    pub const ALL: [Self; 16] = [
        Self::HopLimit,
        Self::Version,
        Self::Type,
        Self::Length,
        Self::Checksum,
        Self::Vrid,
        Self::CountZero,
        Self::IntervalZero,
        Self::OwnSource,
        Self::AuthenticationType,
        Self::AuthenticationData,
        Self::IntervalMismatch,
        Self::Destination,
        Self::Peer,
        Self::Carp,
        Self::Addresses,
    ];

    /// Returns the stable name used in status and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HopLimit => "hop_limit",
            Self::Version => "version",
            Self::Type => "type",
            Self::Length => "length",
            Self::Checksum => "checksum",
            Self::Vrid => "vrid",
            Self::CountZero => "count_zero",
            Self::IntervalZero => "interval_zero",
            Self::OwnSource => "own_source",
            Self::AuthenticationType => "authentication_type",
            Self::AuthenticationData => "authentication_data",
            Self::IntervalMismatch => "interval_mismatch",
            Self::Destination => "destination",
            Self::Peer => "peer",
            Self::Carp => "carp",
            Self::Addresses => "addresses",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HopLimit => {
                "the hop limit is not 255: it comes from beyond the link, for which unicast has \
                 peer_hops"
            }
            Self::Version => "the version is not ours",
            Self::Type => "the type is not advertisement",
            Self::Length => "the length does not fit the address count",
            Self::Checksum => "the checksum is wrong",
            Self::Vrid => "no virtual router has this vrid here",
            Self::CountZero => "it lists no address",
            Self::IntervalZero => "its interval is zero",
            Self::OwnSource => "it was sent from an address of our own",
            Self::AuthenticationType => "it is not authenticated as we are",
            Self::AuthenticationData => "its password is not ours",
            Self::IntervalMismatch => "its interval is not ours, as version 2 demands",
            Self::Destination => "it is multicast where we are unicast, or the other way round",
            Self::Peer => "its sender is not one of our peers",
            Self::Carp => "it is CARP, which shares VRRP's protocol number and hardware addresses",
            Self::Addresses => {
                "it lists none of our addresses: another service has this vrid on the link, give \
                 one of the two another"
            }
        })
    }
}

/// Which reading of the checksum a packet used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChecksumForm {
    /// With the pseudo-header: keepalived, FRR, and what we send; for IPv6 the only form.
    Rfc5798,
    /// The message alone (IPv4, RFC 9568 §5.2.8).
    Rfc9568,
    /// The only form of version 2 (RFC 3768 §5.3.8).
    Rfc3768,
}

impl ChecksumForm {
    /// Returns the name used in the configuration and in status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rfc5798 => "rfc5798",
            Self::Rfc9568 => "rfc9568",
            Self::Rfc3768 => "rfc3768",
        }
    }
}

/// Reads the VRRP message (after the IP header) in the order of RFC 9568 §7.1.
///
/// The message is exactly what the IP header says, without the padding of the link. Both IPv4 forms
/// of the checksum are accepted; the two never fit at once for another reading, because all that
/// differs is which words are summed. When both do fit, the form we send is reported.
///
/// # Errors
/// The first check that it fails.
pub fn parse(
    envelope: &Envelope,
    message: &[u8],
) -> Result<(Advertisement, ChecksumForm), Rejection> {
    check_beginning(envelope, message, VERSION)?;
    let (header, body) = message
        .split_first_chunk::<HEADER_LEN>()
        .ok_or(Rejection::Length)?;
    let [_, vrid, priority, count, interval_high, interval_low, _, _] = *header;
    if body.len() != usize::from(count) * address_len(envelope.source) {
        return Err(Rejection::Length);
    }
    let form = verify(envelope, message)?;
    let vrid = Vrid::new(vrid).ok_or(Rejection::Vrid)?;
    if count == 0 {
        return Err(Rejection::CountZero);
    }
    // The reserved nibble is ignored on receipt (RFC 9568 §5.2.6).
    let interval =
        AdverInterval::from_centiseconds(u16::from_be_bytes([interval_high & 0x0f, interval_low]))
            .ok_or(Rejection::IntervalZero)?;
    let advertisement = Advertisement {
        vrid,
        priority: Priority::from_wire(priority),
        interval,
        addresses: read_addresses(envelope.source, body),
    };
    Ok((advertisement, form))
}

/// Writes the VRRP message with its checksum, for IPv4 in this form; IPv6 has only one (RFC 8200
/// pseudo-header).
///
/// `out` is emptied first. Addresses of the other family than the source's are left out, and so is
/// what the count cannot express, beyond 255.
pub fn build(
    advertisement: &Advertisement,
    source: IpAddr,
    destination: IpAddr,
    form: ChecksumForm,
    out: &mut Vec<u8>,
) {
    let [interval_high, interval_low] = advertisement.interval.centiseconds().to_be_bytes();
    out.clear();
    out.extend_from_slice(&[
        VERSION << 4 | TYPE_ADVERTISEMENT,
        advertisement.vrid.get(),
        advertisement.priority.get(),
        0,
        interval_high,
        interval_low,
        0,
        0,
    ]);
    let ours = advertisement
        .addresses
        .iter()
        .filter(|address| Family::of(**address) == Family::of(source))
        .take(usize::from(u8::MAX));
    let mut count = 0;
    for address in ours {
        match address {
            IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
        }
        count += 1;
    }
    out[COUNT_AT] = count;
    let start = match (form, Family::of(source)) {
        (ChecksumForm::Rfc9568, Family::Ipv4) => Sum16BitWords::new(),
        (ChecksumForm::Rfc9568, Family::Ipv6)
        | (ChecksumForm::Rfc5798 | ChecksumForm::Rfc3768, _) => {
            pseudo_header(source, destination, out.len())
        }
    };
    let checksum = start.add_slice(out).ones_complement().to_ne_bytes();
    out[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&checksum);
}

/// Reads only the VRID, for the look-up before the checks; `None` if the message is too short.
pub fn peek_vrid(message: &[u8]) -> Option<u8> {
    message.get(1).copied()
}

/// Returns whether two lists hold the same addresses: the order says nothing but which link-local
/// one comes first.
pub fn same_addresses(theirs: &[IpAddr], ours: &[IpAddr]) -> bool {
    theirs == ours
        || theirs.len() == ours.len() && theirs.iter().all(|address| ours.contains(address))
}

/// Returns whether an advertisement with our VRID is for another service: its list is not empty and
/// has no address in common with ours.
///
/// RFC 3768 §7.1 has it dropped unless its priority is the owner's; RFC 9568 §7.1 leaves it open,
/// and there an owner is no exception. The link-local address that every Evenkeel derives from the
/// VRID is in the lists of both services, and says nothing unless there is no other. A list that is
/// empty says nothing either: keepalived leaves out what it has excluded.
pub fn is_of_stranger(version: Version, theirs: &Advertisement, ours: &[IpAddr]) -> bool {
    match version {
        Version::V2 if theirs.priority == Priority::OWNER => return false,
        Version::V2 | Version::V3 => {}
    }
    let derived = IpAddr::V6(derived_link_local(theirs.vrid));
    let speaks = |address: &&IpAddr| **address != derived;
    let says_something = |list: &[IpAddr]| list.iter().any(|address| speaks(&address));
    let ignores_derived = says_something(&theirs.addresses) && says_something(ours);
    let counts = |address: &&IpAddr| !ignores_derived || speaks(address);
    let mut counted = theirs.addresses.iter().filter(counts).peekable();
    counted.peek().is_some() && !counted.any(|address| ours.contains(address))
}

/// Returns fe80::112:VV, VV being the VRID in hexadecimal: the link-local address that every node
/// derives alike where none is configured. 112 is the protocol number of VRRP.
pub const fn derived_link_local(vrid: Vrid) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x112, vrid.get() as u16)
}

/// Returns whether a message is an advertisement of CARP (OpenBSD, UCarp), which has protocol 112
/// and the group too.
///
/// It begins as VRRP version 2 does and would have seven addresses, but is too short for them:
///
/// ```text
/// 0x21 | VHID | advskew | 7 | demotion | advbase | checksum 2 | counter 8 | SHA-1 20     36 bytes
/// ```
pub fn is_carp(message: &[u8]) -> bool {
    message.len() == CARP_LEN
        && message.first() == Some(&0x21)
        && message.get(3) == Some(&CARP_AUTHENTICATION_WORDS)
}

/// The family of an advertisement's addresses.
pub fn family(advertisement: &Advertisement) -> Family {
    advertisement
        .addresses
        .first()
        .map_or(Family::Ipv4, |address| Family::of(*address))
}

/// Checks what both versions begin with: hop limit, version and type (RFC 9568 §7.1, RFC 3768
/// §7.1).
pub(super) fn check_beginning(
    envelope: &Envelope,
    message: &[u8],
    version: u8,
) -> Result<(), Rejection> {
    if envelope.hop_limit != HOP_LIMIT {
        return Err(Rejection::HopLimit);
    }
    let &version_and_type = message.first().ok_or(Rejection::Length)?;
    if version_and_type >> 4 != version {
        return Err(Rejection::Version);
    }
    if version_and_type & 0x0f != TYPE_ADVERTISEMENT {
        return Err(Rejection::Type);
    }
    Ok(())
}

/// Sums everything and expects all ones, so that a checksum of zero may arrive as either zero.
fn verify(envelope: &Envelope, message: &[u8]) -> Result<ChecksumForm, Rejection> {
    let whole = pseudo_header(envelope.source, envelope.destination, message.len());
    if whole.add_slice(message).ones_complement() == 0 {
        return Ok(ChecksumForm::Rfc5798);
    }
    match Family::of(envelope.source) {
        Family::Ipv4 if Sum16BitWords::new().add_slice(message).ones_complement() == 0 => {
            Ok(ChecksumForm::Rfc9568)
        }
        Family::Ipv4 | Family::Ipv6 => Err(Rejection::Checksum),
    }
}

/// Sums source, destination, protocol and length; the same words for both families (RFC 8200 §8.1).
fn pseudo_header(source: IpAddr, destination: IpAddr, message_len: usize) -> Sum16BitWords {
    let len = u16::try_from(message_len).unwrap_or(u16::MAX);
    let sum = add_address(Sum16BitWords::new(), source);
    add_address(sum, destination)
        .add_2bytes([0, PROTOCOL])
        .add_2bytes(len.to_be_bytes())
}

fn add_address(sum: Sum16BitWords, address: IpAddr) -> Sum16BitWords {
    match address {
        IpAddr::V4(address) => sum.add_slice(&address.octets()),
        IpAddr::V6(address) => sum.add_slice(&address.octets()),
    }
}

const fn address_len(source: IpAddr) -> usize {
    match source {
        IpAddr::V4(_) => 4,
        IpAddr::V6(_) => 16,
    }
}

fn read_addresses(source: IpAddr, body: &[u8]) -> Vec<IpAddr> {
    match source {
        IpAddr::V4(_) => body
            .as_chunks::<4>()
            .0
            .iter()
            .map(|octets| IpAddr::V4(Ipv4Addr::from(*octets)))
            .collect(),
        IpAddr::V6(_) => body
            .as_chunks::<16>()
            .0
            .iter()
            .map(|octets| IpAddr::V6(Ipv6Addr::from(*octets)))
            .collect(),
    }
}

/// TTL or hop limit of every advertisement (RFC 9568 §5.1.1.3, §5.1.2.3).
pub const HOP_LIMIT: u8 = 255;
/// The protocol number, or next header, of VRRP (RFC 9568 §5.1.1.4).
pub const PROTOCOL: u8 = 112;
const VERSION: u8 = 3;
pub(super) const TYPE_ADVERTISEMENT: u8 = 1;
const CARP_LEN: usize = 36;
const CARP_AUTHENTICATION_WORDS: u8 = 7;
const HEADER_LEN: usize = 8;
const COUNT_AT: usize = 3;
const CHECKSUM_AT: usize = 6;
