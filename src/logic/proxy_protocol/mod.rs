//! The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): in front of everything else
//! on a connection, a header says whose it is.
//!
//! A header is read as it comes, cut anywhere: what could still become one is incomplete, and what
//! cannot is malformed at its first wrong byte. Nothing behind a header is looked at.

mod crc32c;
mod header;
mod v1;
mod v2;

pub use header::{Carries, HEADER_BYTES_MAX, Header, Malformed};
pub use v1::write as write_v1;
pub use v2::{LOCAL, Tls, write as write_v2};

/// Reads the header that bytes begin with; `None` where it has not come to its end.
///
/// # Errors
/// When they begin with something else.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let is_begun = |signature: &[u8]| {
        let len = bytes.len().min(signature.len());
        bytes[..len] == signature[..len]
    };
    if is_begun(v2::SIGNATURE) {
        v2::parse(bytes)
    } else if is_begun(v1::SIGNATURE) {
        v1::parse(bytes)
    } else {
        Err(Malformed::NoHeader)
    }
}

#[cfg(test)]
mod tests;
