//! Version 2: binary, with what else is known in TLVs (§2.2).

use std::net::{IpAddr, SocketAddr};

use super::crc32c::crc32c;
use super::header::{Carries, HEADER_BYTES_MAX, Header, Malformed, wide};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some(&command) = bytes.get(SIGNATURE.len()) else {
        return Ok(None);
    };
    let is_local = match command {
        COMMAND_LOCAL => true,
        COMMAND_PROXY => false,
        _ => return Err(Malformed::Version),
    };
    let Some(&[family, high, low]) = bytes.get(13..FIXED_BYTES) else {
        return Ok(None);
    };
    let len = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if len > HEADER_BYTES_MAX {
        return Err(Malformed::TooLong);
    }
    let Some(header) = bytes.get(..len) else {
        return Ok(None);
    };
    let (addresses, tlvs) = split(family, &header[FIXED_BYTES..], is_local)?;
    check_tlvs(header, len - tlvs.len())?;
    let carries = match is_local {
        true => Carries::Own,
        false => addresses,
    };
    Ok(Some(Header { len, carries }))
}

/// Splits off the addresses.
fn split(family: u8, rest: &[u8], is_local: bool) -> Result<(Carries, &[u8]), Malformed> {
    let own_bytes = match family {
        TCP_IPV4 | UDP_IPV4 => 12,
        TCP_IPV6 | UDP_IPV6 => 36,
        UNIX_STREAM | UNIX_DATAGRAM => 216,
        // What cannot be told from TLVs is skipped.
        _ => rest.len(),
    };
    let Some((own, tlvs)) = rest.split_at_checked(own_bytes) else {
        // Of what is local nothing is looked at (§2.2).
        return match is_local {
            true => Ok((Carries::Own, &[])),
            false => Err(Malformed::Length),
        };
    };
    let client = match family {
        TCP_IPV4 => client::<4>(own),
        TCP_IPV6 => client::<16>(own),
        _ => None,
    };
    Ok((client.unwrap_or(Carries::Own), tlvs))
}

/// Reads two addresses of so many bytes, and their ports.
fn client<const N: usize>(own: &[u8]) -> Option<Carries>
where
    IpAddr: From<[u8; N]>,
{
    let (source, own) = own.split_first_chunk::<N>()?;
    let (destination, own) = own.split_first_chunk::<N>()?;
    let (from, own) = own.split_first_chunk::<2>()?;
    let to = own.first_chunk::<2>()?;
    let end = |address: [u8; N], port: [u8; 2]| {
        let address = IpAddr::from(address).to_canonical();
        SocketAddr::new(address, u16::from_be_bytes(port))
    };
    Some(Carries::Client {
        source: end(*source, *from),
        destination: end(*destination, *to),
    })
}

/// Looks at the TLVs, which begin at `at`: each is in its place, and the checksum is right, where
/// there is one (§2.2.3).
fn check_tlvs(header: &[u8], mut at: usize) -> Result<(), Malformed> {
    while at < header.len() {
        let Some(&[kind, high, low]) = header.get(at..at + TLV_HEAD_BYTES) else {
            return Err(Malformed::Tlv);
        };
        let value = at + TLV_HEAD_BYTES;
        let end = value + usize::from(u16::from_be_bytes([high, low]));
        let bytes = header.get(value..end).ok_or(Malformed::Tlv)?;
        if kind == TYPE_CRC32C {
            let claimed = <[u8; 4]>::try_from(bytes).map_err(|_| Malformed::Tlv)?;
            let whole = [&header[..value], &[0; 4], &header[end..]].concat();
            if crc32c(&whole) != u32::from_be_bytes(claimed) {
                return Err(Malformed::Checksum);
            }
        }
        at = end;
    }
    Ok(())
}

/// What was agreed upon with a client that speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tls<'a> {
    /// `TLSv1.3`.
    pub version: &'a str,
    /// As OpenSSL calls it.
    pub cipher: &'a str,
    /// What the client has asked for.
    pub server_name: Option<&'a str>,
    /// The common name of the certificate that the client has shown.
    pub common_name: Option<&'a str>,
}

/// A header of somebody who has no client: a probe.
pub const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// Writes one. Addresses of two families are both written as IPv6; what is too long is left out.
pub fn write(
    client: SocketAddr,
    destination: SocketAddr,
    tls: Option<Tls<'_>>,
    unique_id: &[u8],
    out: &mut Vec<u8>,
) {
    let begin = out.len();
    out.extend_from_slice(SIGNATURE);
    out.push(COMMAND_PROXY);
    match (client.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            out.extend_from_slice(&[TCP_IPV4, 0, 0]);
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&target.octets());
        }
        (source, target) => {
            out.extend_from_slice(&[TCP_IPV6, 0, 0]);
            out.extend_from_slice(&wide(source).octets());
            out.extend_from_slice(&wide(target).octets());
        }
    }
    for port in [client.port(), destination.port()] {
        out.extend_from_slice(&port.to_be_bytes());
    }
    if let Some(name) = tls.and_then(|tls| tls.server_name) {
        write_tlv(TYPE_AUTHORITY, name.as_bytes(), out);
    }
    write_tlv(TYPE_UNIQUE_ID, &unique_id[..unique_id.len().min(128)], out);
    if let Some(tls) = tls {
        let mut value = vec![CLIENT_SSL];
        if tls.common_name.is_some() {
            value[0] |= CLIENT_CERT_CONN | CLIENT_CERT_SESS;
        }
        // 0: what it has shown was verified.
        value.extend_from_slice(&0_u32.to_be_bytes());
        write_tlv(SUBTYPE_VERSION, tls.version.as_bytes(), &mut value);
        if let Some(name) = tls.common_name {
            write_tlv(SUBTYPE_CN, name.as_bytes(), &mut value);
        }
        write_tlv(SUBTYPE_CIPHER, tls.cipher.as_bytes(), &mut value);
        write_tlv(TYPE_SSL, &value, out);
    }
    let len = u16::try_from(out.len() - begin - FIXED_BYTES).unwrap_or(u16::MAX);
    out[begin + 14..begin + FIXED_BYTES].copy_from_slice(&len.to_be_bytes());
}

fn write_tlv(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    if value.is_empty() || value.len() > TLV_BYTES_MAX {
        return;
    }
    let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.push(kind);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(value);
}

/// Up to the addresses.
const FIXED_BYTES: usize = 16;
const TLV_HEAD_BYTES: usize = 3;
/// The longest that is written.
const TLV_BYTES_MAX: usize = 1024;

const COMMAND_LOCAL: u8 = 0x20;
const COMMAND_PROXY: u8 = 0x21;

const TCP_IPV4: u8 = 0x11;
const UDP_IPV4: u8 = 0x12;
const TCP_IPV6: u8 = 0x21;
const UDP_IPV6: u8 = 0x22;
const UNIX_STREAM: u8 = 0x31;
const UNIX_DATAGRAM: u8 = 0x32;

const TYPE_AUTHORITY: u8 = 0x02;
const TYPE_CRC32C: u8 = 0x03;
const TYPE_UNIQUE_ID: u8 = 0x05;
const TYPE_SSL: u8 = 0x20;
const SUBTYPE_VERSION: u8 = 0x21;
const SUBTYPE_CN: u8 = 0x22;
const SUBTYPE_CIPHER: u8 = 0x23;

const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERT_CONN: u8 = 0x02;
const CLIENT_CERT_SESS: u8 = 0x04;
