//! What the handshake of a WebSocket has in HTTP/1.1 and not in HTTP/2: a key, and the proof that
//! it was read (RFC 6455 §1.3, RFC 8441 §5).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// Returns a `Sec-WebSocket-Key` of so many random bytes (RFC 6455 §4.1).
pub fn key_of(random: [u8; 16]) -> String {
    base64(&random)
}

/// Returns what `Sec-WebSocket-Accept` must say to a `Sec-WebSocket-Key` (RFC 6455 §4.2.2).
pub fn proof_of(key: &[u8]) -> String {
    let proven = [key, GUID].concat();
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &proven).as_ref())
}

/// RFC 4648 §4.
fn base64(data: &[u8]) -> String {
    let mut text = String::with_capacity(data.len().div_ceil(3) * 4);
    for chunk in data.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, i| {
            (bits << 8) | u32::from(chunk.get(i).copied().unwrap_or(0))
        });
        for i in 0..4 {
            let digit = (bits >> (18 - 6 * i)) & 63;
            text.push(if i <= chunk.len() {
                char::from(DIGITS[digit as usize])
            } else {
                '='
            });
        }
    }
    text
}

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 §1.3.
    #[test]
    fn proof_is_that_of_the_rfc() {
        assert_eq!(
            proof_of(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn key_is_of_16_bytes() {
        assert_eq!(key_of(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
    }
}
