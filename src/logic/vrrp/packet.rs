//! Stub: the codec of an advertisement.
use std::net::IpAddr;

use crate::model::{AdverInterval, Family, Priority, Vrid};

/// One advertisement, version 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    pub vrid: Vrid,
    pub priority: Priority,
    pub interval: AdverInterval,
    pub addresses: Vec<IpAddr>,
}

/// What the IP header of a received packet said.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub hop_limit: u8,
}

/// Why a received packet is not an advertisement for us; each is a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    HopLimit,
}

/// Which reading of the IPv4 checksum a packet used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumForm {
    /// With the pseudo-header: keepalived, FRR, and what we send.
    Rfc5798,
    /// The message alone.
    Rfc9568,
}

/// Reads the VRRP message (after the IP header) in the order of RFC 9568 §7.1.
pub fn parse(
    _envelope: &Envelope,
    _message: &[u8],
) -> Result<(Advertisement, ChecksumForm), Rejection> {
    Err(Rejection::HopLimit)
}

/// Writes the VRRP message with its checksum (IPv4: RFC 5798 form; IPv6: RFC 8200 pseudo-header).
pub fn build(
    _advertisement: &Advertisement,
    _source: IpAddr,
    _destination: IpAddr,
    out: &mut Vec<u8>,
) {
    out.clear();
}

/// Reads only the VRID, for the look-up before the checks; `None` if the message is too short.
pub fn peek_vrid(message: &[u8]) -> Option<u8> {
    message.get(1).copied()
}

/// The family of an advertisement's addresses.
pub fn family(advertisement: &Advertisement) -> Family {
    advertisement
        .addresses
        .first()
        .map_or(Family::Ipv4, |address| Family::of(*address))
}
