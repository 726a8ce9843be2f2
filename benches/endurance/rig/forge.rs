//! Forged advertisements: what a broken or hostile machine may send.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{IpNumber, Ipv4Header};
use evenkeel::lab::LabError;
use evenkeel::lab::namespace::host::Host;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// What is wrong with an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Its checksum.
    Checksum,
    /// The version is the other one.
    Version,
    /// Version 2: an interval that is not ours.
    Interval,
    /// It came through a router.
    Ttl,
    /// It counts an address more than it has.
    Count,
    /// Version 2: a password where there is none.
    Authentication,
    /// It lists another address, and has a lower priority: no reason to reject it, and none to do
    /// anything.
    List,
}

impl Flaw {
    /// Returns those that an advertisement of this version can have.
    pub(crate) const fn all(version: u8) -> &'static [Self] {
        match version {
            2 => &[
                Self::Checksum,
                Self::Version,
                Self::Interval,
                Self::Ttl,
                Self::Count,
                Self::Authentication,
                Self::List,
            ],
            _ => &[
                Self::Checksum,
                Self::Version,
                Self::Ttl,
                Self::Count,
                Self::List,
            ],
        }
    }

    /// Returns the reason by which our status counts it, if it is one.
    pub(crate) const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Checksum => Some("checksum"),
            Self::Version => Some("version"),
            Self::Interval => Some("interval_mismatch"),
            Self::Ttl => Some("hop_limit"),
            Self::Count => Some("length"),
            Self::Authentication => Some("authentication_type"),
            Self::List => None,
        }
    }
}

/// An advertisement as it would be without a flaw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forged {
    /// 2 or 3.
    pub version: u8,
    /// Which virtual router.
    pub vrid: u8,
    /// What it claims to be.
    pub priority: u8,
    /// In seconds for version 2, centiseconds for version 3.
    pub interval: u16,
    /// What it lists.
    pub address: Ipv4Addr,
    /// Who it says that it is from.
    pub source: Ipv4Addr,
    /// Where it goes.
    pub destination: Ipv4Addr,
    /// 255, unless it is forged from afar.
    pub ttl: u8,
}

impl Forged {
    /// Sends it from a host.
    pub(crate) fn send(self, host: &Host, flaw: Option<Flaw>) -> Result<(), LabError> {
        host.try_run("send a forged advertisement", move || {
            let packet = self.packet(flaw)?;
            let protocol = Some(Protocol::from(i32::from(VRRP)));
            let socket = Socket::new(Domain::IPV4, Type::RAW, protocol)?;
            socket.set_header_included_v4(true)?;
            socket.bind_device(Some(b"eth0"))?;
            let to = SockAddr::from(SocketAddrV4::new(self.destination, 0));
            socket.send_to(&packet, &to).map(drop)
        })
    }

    fn packet(mut self, flaw: Option<Flaw>) -> io::Result<Vec<u8>> {
        match flaw {
            Some(Flaw::Ttl) => self.ttl = 254,
            Some(Flaw::Interval) => self.interval += 1,
            Some(Flaw::List) => {
                self.priority = 1;
                self.address = Ipv4Addr::new(10, 77, 250, 250);
            }
            Some(Flaw::Checksum | Flaw::Version | Flaw::Count | Flaw::Authentication) | None => {}
        }
        let message = self.message(flaw);
        let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let len = u16::try_from(message.len()).map_err(|_| too_long(()))?;
        let (from, to) = (self.source.octets(), self.destination.octets());
        let header =
            Ipv4Header::new(len, self.ttl, IpNumber(VRRP), from, to).map_err(|_| too_long(()))?;
        let mut packet = header.to_bytes().to_vec();
        packet.extend_from_slice(&message);
        Ok(packet)
    }

    fn message(self, flaw: Option<Flaw>) -> Vec<u8> {
        let version = match flaw {
            Some(Flaw::Version) => 5 - self.version,
            _ => self.version,
        };
        let count = if flaw == Some(Flaw::Count) { 2 } else { 1 };
        let [high, low] = self.interval.to_be_bytes();
        let password = flaw == Some(Flaw::Authentication);
        let timing = match self.version {
            2 => [u8::from(password), low],
            _ => [high, low],
        };
        let mut message = vec![version << 4 | 1, self.vrid, self.priority, count];
        message.extend_from_slice(&timing);
        message.extend_from_slice(&[0, 0]);
        message.extend_from_slice(&self.address.octets());
        if self.version == 2 {
            let data = if password { b"password" } else { &[0; 8] };
            message.extend_from_slice(data);
        }
        let mut checksum = self.checksum(&message);
        if flaw == Some(Flaw::Checksum) {
            checksum ^= 0x0101;
        }
        message[6..8].copy_from_slice(&checksum.to_be_bytes());
        message
    }

    /// The Internet checksum; of version 3 with the pseudo-header of IPv4.
    fn checksum(self, message: &[u8]) -> u16 {
        let mut summed = Vec::new();
        if self.version == 3 {
            summed.extend_from_slice(&self.source.octets());
            summed.extend_from_slice(&self.destination.octets());
            let len = u16::try_from(message.len()).unwrap_or(0);
            summed.extend_from_slice(&u16::from(VRRP).to_be_bytes());
            summed.extend_from_slice(&len.to_be_bytes());
        }
        // The data of version 2 is summed too: RFC 2338 and keepalived both do.
        summed.extend_from_slice(message);
        let words = summed.chunks_exact(2);
        let mut sum: u32 = words
            .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
            .sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap_or(0)
    }
}

/// Where advertisements go.
pub(crate) const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const VRRP: u8 = 112;
