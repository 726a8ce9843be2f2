//! A body on its way: which of the bytes that arrive are handed on, and when it has ended.
//!
//! One type for all framings, so that the loops that move bytes know none of them. Pure.

use super::chunked::{ChunkFraming, ChunkedReader, Run};
use super::head::Framing;
use super::refusal::BodyError;
use super::response::BodyCoding;

/// What is still to come of one body.
#[derive(Clone, Debug)]
pub struct Body {
    kind: Kind,
    /// Bytes of content so far, but for those that came in chunks.
    plain: u64,
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
    pub fn new(framing: Framing, carry: BodyCoding) -> Self {
        let kind = match framing {
            Framing::None | Framing::Length(0) => Kind::Ended,
            Framing::Length(left) => Kind::Length { left },
            Framing::Chunked => Kind::Chunked(ChunkedReader::new(unwrap(carry))),
            Framing::UntilClose => Kind::UntilClose,
        };
        Self { kind, plain: 0 }
    }

    /// Goes on, where it has ended, with a last chunk that has its trailers: what HTTP/2 may have
    /// behind a body whose length is stated, and HTTP/1.1 has no place for.
    pub fn await_last_chunk(&mut self, carry: BodyCoding) {
        if self.is_ended() {
            self.kind = Kind::Chunked(ChunkedReader::new(unwrap(carry)));
        }
    }

    /// Takes the next bytes; those behind the end are left.
    ///
    /// # Errors
    /// How the bytes break the framing.
    pub fn handle_bytes(&mut self, input: &[u8]) -> Result<Run, BodyError> {
        if let Kind::Chunked(reader) = &mut self.kind {
            return reader.handle_bytes(input);
        }
        let plain = usize::try_from(self.plain_bytes()).unwrap_or(usize::MAX);
        let pass = plain.min(input.len());
        self.handle_plain(pass as u64);
        Ok(Run { pass, skip: 0 })
    }

    /// Returns how many of the next bytes are all content, whatever they are.
    pub fn plain_bytes(&self) -> u64 {
        match &self.kind {
            Kind::Length { left } => *left,
            Kind::UntilClose => u64::MAX,
            Kind::Ended | Kind::Chunked(_) => 0,
        }
    }

    /// Takes the next `count` bytes unseen, at most [`Self::plain_bytes`].
    pub fn handle_plain(&mut self, count: u64) {
        if let Kind::Length { left } = &mut self.kind {
            *left = left.saturating_sub(count);
            if *left == 0 {
                self.kind = Kind::Ended;
            }
        }
        self.plain += count;
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

    /// Returns the trailers that travel and the empty line, of a chunked body that has ended.
    pub fn trailers(&self) -> &[u8] {
        match &self.kind {
            Kind::Chunked(reader) if reader.is_ended() => reader.trailers(),
            Kind::Chunked(_) | Kind::Ended | Kind::Length { .. } | Kind::UntilClose => &[],
        }
    }

    /// Returns the bytes of content so far, for limits.
    pub fn content_bytes(&self) -> u64 {
        match &self.kind {
            Kind::Chunked(reader) => self.plain + reader.data_bytes(),
            Kind::Ended | Kind::Length { .. } | Kind::UntilClose => self.plain,
        }
    }
}

/// Returns what becomes of chunks in a body that is carried on so.
const fn unwrap(carry: BodyCoding) -> ChunkFraming {
    match carry {
        BodyCoding::AsIs | BodyCoding::Chunked => ChunkFraming::Keep,
        BodyCoding::Unchunked => ChunkFraming::Strip,
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

    #[test]
    fn a_last_chunk_may_stand_behind_a_length_and_counts_for_nothing() {
        let mut body = Body::new(Framing::Length(3), BodyCoding::AsIs);
        body.await_last_chunk(BodyCoding::AsIs);
        assert_eq!(body.plain_bytes(), 3, "it has not ended");
        body.handle_plain(3);
        body.await_last_chunk(BodyCoding::AsIs);
        assert!(!body.is_ended());
        assert_eq!(body.handle_end(), Err(BodyError::Truncated));
        let run = body.handle_bytes(b"0\r\na: b\r\nhost: c\r\n\r\n");
        assert_eq!(run, Ok(Run { pass: 3, skip: 17 }));
        assert!(body.is_ended());
        assert_eq!(body.tail(), b"a: b\r\n\r\n");
        assert_eq!(body.content_bytes(), 3);
    }

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
            let mut body = Body::new(framing, BodyCoding::AsIs);
            let plain = body.plain_bytes();
            let run = body.handle_bytes(input.as_bytes());
            assert_eq!(run, Ok(Run { pass, skip: 0 }), "{framing:?}");
            let chunked = framing == Framing::Chunked;
            assert_eq!(plain >= pass as u64, !chunked, "{framing:?}");
            assert_eq!(body.is_ended(), ended, "{framing:?}");
            assert_eq!(body.handle_end(), end, "{framing:?}");
        }
    }
}
