//! What both versions say.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A header, as far as it concerns a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its bytes.
    pub len: usize,
    /// Whose connection it is.
    pub carries: Carries,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// The sender's own (`LOCAL`, `UNKNOWN`), or of somebody without an address: the addresses are
    /// those of the connection.
    Own,
    /// A client's.
    Client {
        /// Its address.
        source: SocketAddr,
        /// Where it has connected to.
        destination: SocketAddr,
    },
}

/// Why something is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It begins otherwise.
    NoHeader,
    /// A line of version 1 that is none.
    Line,
    /// Another version than 1 and 2, or a command that is neither LOCAL nor PROXY.
    Version,
    /// Its length is less than its addresses need.
    Length,
    /// It is longer than is read.
    TooLong,
    /// A TLV goes beyond its end.
    Tlv,
    /// Its checksum is another.
    Checksum,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHeader => "it does not begin with a PROXY header",
            Self::Line => "the line of the PROXY header is malformed",
            Self::Version => "the PROXY header is of another version, or has another command",
            Self::Length => "the PROXY header is shorter than its addresses",
            Self::TooLong => "the PROXY header is longer than 4096 bytes",
            Self::Tlv => "a TLV of the PROXY header goes beyond its end",
            Self::Checksum => "the checksum of the PROXY header does not fit",
        })
    }
}

/// Returns an address as one of IPv6.
pub(super) fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::to_ipv6_mapped(&address),
        IpAddr::V6(address) => address,
    }
}

/// The longest header that is read.
pub const HEADER_BYTES_MAX: usize = 4096;
