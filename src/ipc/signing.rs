//! What a thread of the proxy asks the process `keys`, over a socketpair of its own: one packet a
//! question, one an answer.

use crate::model::KeyId;

/// Sign this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// Echoed in the answer.
    pub id: u32,
    /// With which key.
    pub key: KeyId,
    /// How: a SignatureScheme (RFC 8446 §4.2.3).
    pub scheme: u16,
    /// What.
    pub message: &'a [u8],
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// As asked.
    pub id: u32,
    /// The signature, or nothing where it was refused.
    pub signature: Option<&'a [u8]>,
}

impl<'a> Question<'a> {
    /// Writes it.
    pub fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.id.to_be_bytes());
        into.extend_from_slice(&self.key.0);
        into.extend_from_slice(&self.scheme.to_be_bytes());
        into.extend_from_slice(self.message);
    }

    /// Reads it; `None` where it is none.
    pub fn read(packet: &'a [u8]) -> Option<Self> {
        let (id, rest) = packet.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (scheme, message) = rest.split_first_chunk()?;
        Some(Self {
            id: u32::from_be_bytes(*id),
            key: KeyId(*key),
            scheme: u16::from_be_bytes(*scheme),
            message,
        })
    }
}

impl<'a> Answer<'a> {
    /// Writes it.
    pub fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.id.to_be_bytes());
        into.push(u8::from(self.signature.is_some()));
        into.extend_from_slice(self.signature.unwrap_or_default());
    }

    /// Reads it; `None` where it is none.
    pub fn read(packet: &'a [u8]) -> Option<Self> {
        let (id, rest) = packet.split_first_chunk()?;
        let signature = match rest {
            [0] => None,
            [1, signature @ ..] if !signature.is_empty() => Some(signature),
            _ => return None,
        };
        Some(Self {
            id: u32::from_be_bytes(*id),
            signature,
        })
    }
}

/// The largest packet: a client's signature in TLS 1.2 is over all that was said before.
pub const PACKET_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_as_they_were_written_and_nothing_else_is() {
        let question = Question {
            id: 7,
            key: KeyId([3; 32]),
            scheme: 0x0403,
            message: b"what",
        };
        let mut packet = Vec::new();
        question.write(&mut packet);
        assert_eq!(Question::read(&packet), Some(question));
        assert_eq!(Question::read(&packet[..37]), None);
        for signature in [None, Some(&b"signed"[..])] {
            let answer = Answer { id: 7, signature };
            let mut packet = Vec::new();
            answer.write(&mut packet);
            assert_eq!(Answer::read(&packet), Some(answer));
        }
        for wrong in [
            &[0, 0, 0, 7][..],
            &[0, 0, 0, 7, 1],
            &[0, 0, 0, 7, 0, 1],
            &[0, 0, 0, 7, 2],
        ] {
            assert_eq!(Answer::read(wrong), None);
        }
    }
}
