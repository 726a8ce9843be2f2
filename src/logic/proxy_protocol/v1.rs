//! Version 1: a line of text (§2.1).

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::header::{Carries, Header, Malformed, wide};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let seen = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = seen.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() < LINE_BYTES_MAX {
            true => Ok(None),
            false => Err(Malformed::Line),
        };
    };
    let line = seen[..end].strip_suffix(b"\r").ok_or(Malformed::Line)?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed::Line)?;
    let carries = carries(line).ok_or(Malformed::Line)?;
    let len = end + 1;
    Ok(Some(Header { len, carries }))
}

fn carries(line: &str) -> Option<Carries> {
    let mut words = line.split(' ').skip(1);
    let family = match words.next()? {
        // What follows means nothing.
        "UNKNOWN" => return Some(Carries::Own),
        "TCP4" => Family::Inet,
        "TCP6" => Family::Inet6,
        _ => return None,
    };
    let mut address = || family.address(words.next()?);
    let (source, destination) = (address()?, address()?);
    let (from, to) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then_some(Carries::Client {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    })
}

#[derive(Clone, Copy)]
enum Family {
    Inet,
    Inet6,
}

impl Family {
    fn address(self, word: &str) -> Option<IpAddr> {
        let address = IpAddr::from_str(word).ok()?;
        let fits = match self {
            Self::Inet => address.is_ipv4(),
            Self::Inet6 => address.is_ipv6(),
        };
        fits.then_some(address)
    }
}

/// A number without a sign or a zero before it.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = word == "0" || !word.starts_with('0');
    (is_plain && is_short).then(|| word.parse().ok())?
}

/// Writes one. Addresses of two families are both written as IPv6.
pub fn write(client: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    let (source, target) = (client.ip().to_canonical(), destination.ip().to_canonical());
    let (from, to) = (client.port(), destination.port());
    // A `Vec` takes everything.
    let _ = match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            write!(out, "PROXY TCP4 {source} {target} {from} {to}\r\n")
        }
        (source, target) => {
            let [source, target] = [source, target].map(wide);
            write!(out, "PROXY TCP6 {source} {target} {from} {to}\r\n")
        }
    };
}

/// With its end: the longest there is (§2.1).
const LINE_BYTES_MAX: usize = 107;
