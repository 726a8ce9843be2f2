//! What a thread of the proxy asks the process `keys`, over a socketpair of its own: one packet a
//! question, one an answer.

use nix::time::{ClockId, clock_gettime};

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
    /// Until when somebody waits for the answer, as [`now_ms`] has it: later nobody does.
    pub until_ms: u64,
    /// What.
    pub message: &'a [u8],
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// As asked.
    pub id: u32,
    /// What has come of it.
    pub outcome: Outcome<'a>,
}

/// What has come of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The signature.
    Signed(&'a [u8]),
    /// There is none to be had.
    Refused,
    /// Nobody waits for it any more.
    Late,
}

/// Returns the clock of the machine that all its processes have, in milliseconds.
pub fn now_ms() -> u64 {
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else {
        return 0;
    };
    let (seconds, nanos) = (now.tv_sec(), now.tv_nsec());
    u64::try_from(seconds * 1000 + nanos / 1_000_000).unwrap_or_default()
}

impl<'a> Question<'a> {
    /// Writes it.
    pub fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.id.to_be_bytes());
        into.extend_from_slice(&self.key.0);
        into.extend_from_slice(&self.scheme.to_be_bytes());
        into.extend_from_slice(&self.until_ms.to_be_bytes());
        into.extend_from_slice(self.message);
    }

    /// Reads it; `None` where it is none.
    pub fn read(packet: &'a [u8]) -> Option<Self> {
        let (id, rest) = packet.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (scheme, rest) = rest.split_first_chunk()?;
        let (until_ms, message) = rest.split_first_chunk()?;
        Some(Self {
            id: u32::from_be_bytes(*id),
            key: KeyId(*key),
            scheme: u16::from_be_bytes(*scheme),
            until_ms: u64::from_be_bytes(*until_ms),
            message,
        })
    }
}

impl<'a> Answer<'a> {
    /// Writes it.
    pub fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.id.to_be_bytes());
        match self.outcome {
            Outcome::Refused => into.push(0),
            Outcome::Signed(signature) => {
                into.push(1);
                into.extend_from_slice(signature);
            }
            Outcome::Late => into.push(2),
        }
    }

    /// Reads it; `None` where it is none.
    pub fn read(packet: &'a [u8]) -> Option<Self> {
        let (id, rest) = packet.split_first_chunk()?;
        let outcome = match rest {
            [0] => Outcome::Refused,
            [1, signature @ ..] if !signature.is_empty() => Outcome::Signed(signature),
            [2] => Outcome::Late,
            _ => return None,
        };
        Some(Self {
            id: u32::from_be_bytes(*id),
            outcome,
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
            until_ms: 12_345,
            message: b"what",
        };
        let mut packet = Vec::new();
        question.write(&mut packet);
        assert_eq!(Question::read(&packet), Some(question));
        assert_eq!(Question::read(&packet[..45]), None);
        for outcome in [Outcome::Refused, Outcome::Late, Outcome::Signed(b"signed")] {
            let answer = Answer { id: 7, outcome };
            let mut packet = Vec::new();
            answer.write(&mut packet);
            assert_eq!(Answer::read(&packet), Some(answer));
        }
        for wrong in [
            &[0, 0, 0, 7][..],
            &[0, 0, 0, 7, 1],
            &[0, 0, 0, 7, 0, 1],
            &[0, 0, 0, 7, 2, 1],
            &[0, 0, 0, 7, 3],
        ] {
            assert_eq!(Answer::read(wrong), None);
        }
    }
}
