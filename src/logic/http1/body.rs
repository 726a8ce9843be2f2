//! A body on its way: which of the bytes that arrive are handed on, and when it has ended.
//!
//! One type for all framings, so that the loops that move bytes know none of them. Pure.

use super::chunked::{ChunkedReader, Run, Unwrap};
use super::head::Framing;
use super::refusal::BodyError;
use super::response::Carry;

/// What is still to come of one body.
#[derive(Clone, Debug)]
pub struct Body {
    kind: Kind,
    handed_on: u64,
}

#[derive(Clone, Debug)]
enum Kind {
    Ended,
    Length { left: u64 },
    Chunked(ChunkedReader),
    UntilClose,
}

impl Body {
    /// Returns a body before its first byte, framed as a head has said and carried on so.
    pub fn new(framing: Framing, carry: Carry) -> Body {
        let unwrap = match carry {
            Carry::AsIs | Carry::Chunked => Unwrap::No,
            Carry::Unchunked => Unwrap::Yes,
        };
        let kind = match framing {
            Framing::None | Framing::Length(0) => Kind::Ended,
            Framing::Length(left) => Kind::Length { left },
            Framing::Chunked => Kind::Chunked(ChunkedReader::new(unwrap)),
            Framing::UntilClose => Kind::UntilClose,
        };
        Body { kind, handed_on: 0 }
    }

    /// Takes the next bytes; those behind the end are left.
    ///
    /// # Errors
    /// How the bytes break the framing.
    pub fn handle_bytes(&mut self, input: &[u8]) -> Result<Run, BodyError> {
        let run = match &mut self.kind {
            Kind::Ended => Run { pass: 0, skip: 0 },
            Kind::UntilClose => Run {
                pass: input.len(),
                skip: 0,
            },
            Kind::Length { left } => {
                let pass = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                *left -= pass as u64;
                if *left == 0 {
                    self.kind = Kind::Ended;
                }
                Run { pass, skip: 0 }
            }
            Kind::Chunked(reader) => reader.handle_bytes(input)?,
        };
        self.handed_on += run.pass as u64;
        Ok(run)
    }

    /// Takes the end of the connection.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] where the framing says that more must come.
    pub fn handle_end(&mut self) -> Result<(), BodyError> {
        match self.kind {
            Kind::Ended => Ok(()),
            Kind::UntilClose => {
                self.kind = Kind::Ended;
                Ok(())
            }
            Kind::Chunked(ref reader) if reader.is_ended() => Ok(()),
            Kind::Length { .. } | Kind::Chunked(_) => Err(BodyError::Truncated),
        }
    }

    /// Returns whether all of it has come.
    pub fn is_ended(&self) -> bool {
        match &self.kind {
            Kind::Ended => true,
            Kind::Length { .. } | Kind::UntilClose => false,
            Kind::Chunked(reader) => reader.is_ended(),
        }
    }

    /// Returns what is written behind the bytes of a body that has ended.
    pub fn tail(&self) -> &[u8] {
        match &self.kind {
            Kind::Chunked(reader) => reader.tail(),
            Kind::Ended | Kind::Length { .. } | Kind::UntilClose => &[],
        }
    }

    /// Returns the bytes handed on so far, chunk framing included where it was.
    pub fn handed_on(&self) -> u64 {
        self.handed_on
    }

    /// Returns the bytes of content so far, for limits.
    pub fn content_bytes(&self) -> u64 {
        match &self.kind {
            Kind::Chunked(reader) => reader.data_bytes(),
            Kind::Ended | Kind::Length { .. } | Kind::UntilClose => self.handed_on,
        }
    }
}

/// Appends the line that begins a chunk (RFC 9112 §7.1).
pub fn write_chunk_size(out: &mut Vec<u8>, size: usize) {
    use std::io::Write as _;
    // Writing to a vector cannot fail.
    let _ = write!(out, "{size:x}\r\n");
}

/// What ends a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9112 §6.3, §8.
    #[test]
    fn ends_follow_the_table() {
        for (framing, input, pass, ended, end) in [
            (Framing::None, "GET", 0, true, Ok(())),
            (Framing::Length(0), "GET", 0, true, Ok(())),
            (Framing::Length(3), "abcGET", 3, true, Ok(())),
            (
                Framing::Length(5),
                "abc",
                3,
                false,
                Err(BodyError::Truncated),
            ),
            (Framing::Chunked, "0\r\n\r\nGET", 5, true, Ok(())),
            (
                Framing::Chunked,
                "1\r\na",
                4,
                false,
                Err(BodyError::Truncated),
            ),
            (Framing::UntilClose, "abc", 3, false, Ok(())),
        ] {
            let mut body = Body::new(framing, Carry::AsIs);
            let run = body.handle_bytes(input.as_bytes());
            assert_eq!(run, Ok(Run { pass, skip: 0 }), "{framing:?}");
            assert_eq!(body.is_ended(), ended, "{framing:?}");
            assert_eq!(body.handle_end(), end, "{framing:?}");
        }
    }
}
