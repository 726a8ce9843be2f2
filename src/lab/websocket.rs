//! What the lab needs of RFC 6455: the handshake's proof and whole, short frames.
//!
//! Both sides of the lab use it: the backend echoes, the visitors ask. A frame is a single text or
//! close frame of less than 64 KiB; fragments and extensions are not spoken, because nothing in the
//! lab sends them.

use crate::logic::http1::crossing::websocket::{key_of, proof_of};

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
    proof_of(key.as_bytes())
}

/// Returns a `Sec-WebSocket-Key` for a token: 16 bytes, as proxies check it (RFC 6455 §4.1).
pub fn key(token: &str) -> String {
    let mut random = [0; 16];
    let len = token.len().min(random.len());
    random[..len].copy_from_slice(&token.as_bytes()[token.len() - len..]);
    key_of(random)
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

const FINAL: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const MASKED: u8 = 0x80;
/// In place of a length: two bytes with the length follow.
const LONG: u8 = 126;

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
