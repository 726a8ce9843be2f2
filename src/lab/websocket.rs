//! What the lab needs of RFC 6455: the handshake's proof and whole, short frames.
//!
//! Both sides of the lab use it: the backend echoes, the visitors ask. A frame is a single text or
//! close frame of less than 64 KiB; fragments and extensions are not spoken, because nothing in the
//! lab sends them.

/// A frame that has arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text or binary frame, unmasked.
    Message(Vec<u8>),
    /// A close frame.
    Close,
}

/// Returns what `Sec-WebSocket-Accept` must say to a `Sec-WebSocket-Key` (RFC 6455 §4.2.2).
pub fn accept_key(key: &str) -> String {
    base64(&sha1(format!("{key}{GUID}").as_bytes()))
}

/// Returns a `Sec-WebSocket-Key` for a token: 16 bytes, as proxies check it (RFC 6455 §4.1).
pub fn key(token: &str) -> String {
    base64(&sha1(token.as_bytes())[..16])
}

/// Returns the bytes of a text frame; a client masks (RFC 6455 §5.3), a server gives no mask.
///
/// A text of 64 KiB or more is cut there.
pub fn text_frame(text: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    let text = &text[..usize::from(len)];
    let masked = if mask.is_some() { MASKED } else { 0 };
    let mut frame = vec![FINAL | TEXT];
    match u8::try_from(len) {
        Ok(short) if short < LONG => frame.push(masked | short),
        Ok(_) | Err(_) => {
            frame.push(masked | LONG);
            frame.extend(len.to_be_bytes());
        }
    }
    frame.extend(mask.iter().flatten());
    let key = mask.unwrap_or_default();
    frame.extend(text.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
    frame
}

/// Takes a whole frame from the beginning of what has arrived; `None` while it is not whole.
pub fn take_frame(arrived: &mut Vec<u8>) -> Option<Frame> {
    let (&first, &second) = (arrived.first()?, arrived.get(1)?);
    let (len, mut at) = match second & !MASKED {
        LONG => (
            usize::from(u16::from_be_bytes([*arrived.get(2)?, *arrived.get(3)?])),
            4,
        ),
        short => (usize::from(short), 2),
    };
    let mut key = [0; 4];
    if second & MASKED != 0 {
        key.copy_from_slice(arrived.get(at..at + 4)?);
        at += 4;
    }
    let data = arrived.get(at..at + len)?;
    let data = data.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k);
    let frame = match first & OPCODE {
        CLOSE => Frame::Close,
        _ => Frame::Message(data.collect()),
    };
    arrived.drain(..at + len);
    Some(frame)
}

/// SHA-1 of less than 512 MiB (FIPS 180-4), for the handshake alone.
fn sha1(data: &[u8]) -> [u8; 20] {
    let mut padded = data.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - data.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let bits = (data.len() as u64) * 8;
    let at = padded.len() - 8;
    padded[at..].copy_from_slice(&bits.to_be_bytes());
    let mut state: [u32; 5] = [
        0x6745_2301,
        0xefcd_ab89,
        0x98ba_dcfe,
        0x1032_5476,
        0xc3d2_e1f0,
    ];
    for block in padded.chunks_exact(64) {
        sha1_block(&mut state, block);
    }
    let mut sum = [0; 20];
    for (out, word) in sum.chunks_exact_mut(4).zip(state) {
        out.copy_from_slice(&word.to_be_bytes());
    }
    sum
}

fn sha1_block(state: &mut [u32; 5], block: &[u8]) {
    let mut words = [0_u32; 80];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |w, byte| (w << 8) | u32::from(*byte));
    }
    for i in 16..80 {
        words[i] = (words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16]).rotate_left(1);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for (i, word) in words.into_iter().enumerate() {
        let (f, k) = match i / 20 {
            0 => ((b & c) | (!b & d), 0x5a82_7999),
            1 => (b ^ c ^ d, 0x6ed9_eba1),
            2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6),
        };
        let next = [a.rotate_left(5), f, e, k, word]
            .into_iter()
            .fold(0, u32::wrapping_add);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
    }
    for (sum, word) in state.iter_mut().zip([a, b, c, d, e]) {
        *sum = sum.wrapping_add(word);
    }
}

fn base64(data: &[u8]) -> String {
    let mut text = String::new();
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

const FINAL: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const MASKED: u8 = 0x80;
/// In place of a length: two bytes with the length follow.
const LONG: u8 = 126;
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 §1.3.
    #[test]
    fn accept_key_is_that_of_the_rfc() {
        assert_eq!(
            accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn key_is_of_16_bytes() {
        let key = key("websockets-7-1");
        assert_eq!((key.len(), key.ends_with("==")), (24, true), "{key}");
    }

    /// A message that ends so near its block's end that the length needs another block.
    #[test]
    fn sha1_pads_into_another_block() {
        let hex =
            |data: &[u8]| -> String { sha1(data).iter().map(|b| format!("{b:02x}")).collect() };
        assert_eq!(hex(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(hex(long), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    }

    /// RFC 6455 §5.7.
    #[test]
    fn frames_are_those_of_the_rfc() {
        let plain = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        let masked = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        assert_eq!(text_frame(b"Hello", None), plain);
        assert_eq!(text_frame(b"Hello", Some([0x37, 0xfa, 0x21, 0x3d])), masked);
        for bytes in [&plain[..], &masked[..]] {
            let mut arrived = bytes.to_vec();
            assert_eq!(
                take_frame(&mut arrived),
                Some(Frame::Message(b"Hello".to_vec()))
            );
            assert!(arrived.is_empty());
        }
    }

    #[test]
    fn frame_is_taken_when_it_is_whole() {
        let mut whole = text_frame(&[b'x'; 300], Some([1, 2, 3, 4]));
        whole.extend([0x88, 0x00]);
        let mut arrived = Vec::new();
        let mut frames = Vec::new();
        for byte in whole {
            arrived.push(byte);
            frames.extend(take_frame(&mut arrived));
        }
        assert_eq!(frames, [Frame::Message(vec![b'x'; 300]), Frame::Close]);
    }
}
