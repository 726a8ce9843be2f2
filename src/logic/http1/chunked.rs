//! The chunked coding (RFC 9112 §7.1), read strictly: checked and handed on as it is, or taken off.
//!
//! A size is one to sixteen hexadecimal digits, no sign, no space, no `0x`; a line ends in CRLF;
//! extensions are dropped and bounded; trailers are parsed and filtered. Bytes may come in any
//! pieces. Pure.

use httparse::{EMPTY_HEADER, Status};

use super::head::lines_end_in_crlf;
use super::names::{Name, Standing, standing};
use super::refusal::BodyError;

/// What becomes of the chunk framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkFraming {
    /// It is passed on with the data.
    Keep,
    /// Only the data is passed on.
    Strip,
}

/// What to do with the next bytes of a body: hand on `pass`, forget the `skip` behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Bytes to hand on.
    pub pass: usize,
    /// Bytes behind them to forget.
    pub skip: usize,
}

/// The reader of one chunked body.
#[derive(Clone, Debug)]
pub struct ChunkedReader {
    state: State,
    unwrap: ChunkFraming,
    extension_bytes: u16,
    data_bytes: u64,
    /// The trailers as they came; then, what is written instead.
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a chunk's size.
    Size { value: u64, digits: u8 },
    /// Behind a size and `;`.
    Extension { size: u64 },
    /// Between CR and LF behind a size.
    SizeLf { size: u64 },
    /// In a chunk.
    Data { left: u64 },
    /// Behind a chunk.
    DataCr,
    /// Between CR and LF behind a chunk.
    DataLf,
    /// Behind the last chunk's line.
    TrailersStart,
    /// Between CR and LF behind the last chunk's line.
    EndLf,
    /// In the trailers.
    Trailers,
    /// Behind everything.
    Ended,
}

impl ChunkedReader {
    /// Returns a reader at the beginning of a body.
    pub fn new(unwrap: ChunkFraming) -> Self {
        Self {
            state: State::Size {
                value: 0,
                digits: 0,
            },
            unwrap,
            extension_bytes: 0,
            data_bytes: 0,
            trailers: Vec::new(),
        }
    }

    /// Takes the next bytes, up to a change between what is handed on and what is not.
    ///
    /// # Errors
    /// The first rule they break; what was handed on before must not be ended as if it were whole.
    pub fn handle_bytes(&mut self, input: &[u8]) -> Result<Run, BodyError> {
        let mut at = 0;
        let mut pass = None;
        while at < input.len() && self.state != State::Ended {
            match (self.hands_on(input[at]), pass) {
                (true, Some(_)) => break,
                (false, None) => pass = Some(at),
                (true, None) | (false, Some(_)) => {}
            }
            at += self.step(&input[at..])?;
        }
        let pass = pass.unwrap_or(at);
        Ok(Run {
            pass,
            skip: at - pass,
        })
    }

    /// Returns whether the body has ended.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Returns the bytes of data so far, without their framing.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Returns what is written behind the last run of a body that has ended: the trailers that
    /// travel and the empty line, if they were not handed on already.
    pub fn tail(&self) -> &[u8] {
        match self.unwrap {
            ChunkFraming::Keep => &self.trailers,
            ChunkFraming::Strip => &[],
        }
    }

    /// Returns the trailers that travel and the empty line, once the body has ended.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    fn hands_on(&self, next: u8) -> bool {
        let framing = self.unwrap == ChunkFraming::Keep;
        match self.state {
            State::Data { .. } => true,
            State::Size { .. } => framing && next != b';',
            State::Extension { .. } | State::TrailersStart => framing && next == b'\r',
            State::SizeLf { .. } | State::DataCr | State::DataLf | State::EndLf => framing,
            State::Trailers | State::Ended => false,
        }
    }

    /// Takes one byte, or as much of a chunk as there is.
    fn step(&mut self, input: &[u8]) -> Result<usize, BodyError> {
        let byte = input[0];
        let next = match self.state {
            State::Data { left } => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let left = left - taken as u64;
                self.data_bytes += taken as u64;
                self.transition(match left {
                    0 => State::DataCr,
                    left => State::Data { left },
                });
                return Ok(taken);
            }
            State::Size { value, digits } => {
                let next = size(byte, value, digits)?;
                if let State::Extension { .. } = next {
                    self.count_extension()?;
                }
                next
            }
            State::Extension { size } => match byte {
                b'\r' => State::SizeLf { size },
                b'\t' | b' '..=b'~' | 0x80.. => {
                    self.count_extension()?;
                    State::Extension { size }
                }
                _ => return Err(BodyError::ChunkExtension),
            },
            State::SizeLf { size } => match (byte, size) {
                (b'\n', 0) => State::TrailersStart,
                (b'\n', left) => State::Data { left },
                _ => return Err(BodyError::ChunkSize),
            },
            State::DataCr if byte == b'\r' => State::DataLf,
            State::DataLf if byte == b'\n' => State::Size {
                value: 0,
                digits: 0,
            },
            State::DataCr | State::DataLf => return Err(BodyError::ChunkEnd),
            State::TrailersStart if byte == b'\r' => State::EndLf,
            State::EndLf if byte == b'\n' => State::Ended,
            State::EndLf => return Err(BodyError::Trailers),
            State::TrailersStart | State::Trailers => self.collect(byte)?,
            State::Ended => State::Ended,
        };
        self.transition(next);
        Ok(1)
    }

    /// Counts a byte of an extension, its `;` too: an empty one is one as well.
    fn count_extension(&mut self) -> Result<(), BodyError> {
        if self.extension_bytes >= EXTENSION_BYTES_MAX {
            return Err(BodyError::ChunkExtension);
        }
        self.extension_bytes += 1;
        Ok(())
    }

    fn transition(&mut self, to: State) {
        self.state = to;
    }

    fn collect(&mut self, byte: u8) -> Result<State, BodyError> {
        if self.trailers.len() >= TRAILER_BYTES_MAX {
            return Err(BodyError::Trailers);
        }
        if byte == b'\n' && self.trailers.last() != Some(&b'\r') {
            return Err(BodyError::Trailers);
        }
        self.trailers.push(byte);
        if !self.trailers.ends_with(b"\r\n\r\n") {
            return Ok(State::Trailers);
        }
        self.trailers = filtered(&self.trailers)?;
        Ok(State::Ended)
    }
}

fn size(byte: u8, value: u64, digits: u8) -> Result<State, BodyError> {
    let digit = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        b'\r' if digits > 0 => return Ok(State::SizeLf { size: value }),
        b';' if digits > 0 => return Ok(State::Extension { size: value }),
        _ => return Err(BodyError::ChunkSize),
    };
    // Sixteen digits fill the number; the sum of all chunks must not overflow either.
    let value = value << 4 | u64::from(digit);
    if digits >= SIZE_DIGITS_MAX || value > SIZE_MAX {
        return Err(BodyError::ChunkSize);
    }
    Ok(State::Size {
        value,
        digits: digits + 1,
    })
}

/// Returns the lines of the trailers that travel, and the empty line.
fn filtered(trailers: &[u8]) -> Result<Vec<u8>, BodyError> {
    let mut slots = [EMPTY_HEADER; TRAILERS_MAX];
    let (len, fields) = match httparse::parse_headers(trailers, &mut slots) {
        Ok(Status::Complete(parsed)) => parsed,
        Ok(Status::Partial) | Err(_) => return Err(BodyError::Trailers),
    };
    if len != trailers.len() || !lines_end_in_crlf(trailers) {
        return Err(BodyError::Trailers);
    }
    let mut kept = Vec::with_capacity(trailers.len());
    for field in fields.iter().filter(|field| may_trail(field.name)) {
        kept.extend_from_slice(field.name.as_bytes());
        kept.extend_from_slice(b": ");
        kept.extend_from_slice(field.value);
        kept.extend_from_slice(b"\r\n");
    }
    kept.extend_from_slice(b"\r\n");
    Ok(kept)
}

/// RFC 9110 §6.5.1: not what frames, routes, authenticates, modifies or describes the message.
fn may_trail(name: &str) -> bool {
    Name::of(name.as_bytes()) == Name::Other
        && standing(name.as_bytes()) == Standing::Free
        && !NEVER_TRAILS
            .iter()
            .any(|never| name.eq_ignore_ascii_case(never))
}

const NEVER_TRAILS: [&str; 23] = [
    "accept-encoding",
    "age",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "vary",
    "www-authenticate",
];
/// Digits of a chunk's size, leading zeros among them.
const SIZE_DIGITS_MAX: u8 = 16;
/// A chunk's size.
const SIZE_MAX: u64 = u64::MAX >> 8;
/// All extensions of a body; then it is refused.
const EXTENSION_BYTES_MAX: u16 = 4096;
/// All trailers of a body; then it is refused.
const TRAILER_BYTES_MAX: usize = 8192;
/// Trailers of a body; with more it is refused.
pub(super) const TRAILERS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns what is handed on and what is left, with the input cut into pieces of `piece` bytes.
    fn read(
        input: &[u8],
        unwrap: ChunkFraming,
        piece: usize,
    ) -> Result<(Vec<u8>, usize), BodyError> {
        let mut reader = ChunkedReader::new(unwrap);
        let (mut out, mut at) = (Vec::new(), 0);
        while at < input.len() && !reader.is_ended() {
            let end = (at + piece).min(input.len());
            let run = reader.handle_bytes(&input[at..end])?;
            out.extend_from_slice(&input[at..at + run.pass]);
            at += run.pass + run.skip;
        }
        if !reader.is_ended() {
            return Err(BodyError::Truncated);
        }
        out.extend_from_slice(reader.tail());
        Ok((out, input.len() - at))
    }

    /// RFC 9112 §7.1.
    #[test]
    fn bodies_follow_the_table() {
        for (input, bare, framed, left) in [
            ("0\r\n\r\n", "", "0\r\n\r\n", 0),
            ("3\r\nabc\r\n0\r\n\r\n", "abc", "3\r\nabc\r\n0\r\n\r\n", 0),
            (
                "3\r\nabc\r\n0\r\n\r\nGET",
                "abc",
                "3\r\nabc\r\n0\r\n\r\n",
                3,
            ),
            (
                "003\r\nabc\r\n00\r\n\r\n",
                "abc",
                "003\r\nabc\r\n00\r\n\r\n",
                0,
            ),
            (
                "3;a=\"b\"\r\nabc\r\n0;c\r\n\r\n",
                "abc",
                "3\r\nabc\r\n0\r\n\r\n",
                0,
            ),
            (
                "A\r\n0123456789\r\n0\r\n\r\n",
                "0123456789",
                "A\r\n0123456789\r\n0\r\n\r\n",
                0,
            ),
            (
                "1\r\n\n\r\n0\r\nX-T: 1\r\n\r\n",
                "\n",
                "1\r\n\n\r\n0\r\nX-T: 1\r\n\r\n",
                0,
            ),
            (
                "0\r\nX-T: 1\r\nHost: a\r\nX_Y: 2\r\nContent-Length: 5\r\n\r\n",
                "",
                "0\r\nX-T: 1\r\n\r\n",
                0,
            ),
            ("0\r\nSet-Cookie: a\r\n\r\n", "", "0\r\n\r\n", 0),
        ] {
            for piece in 1..=input.len() {
                let hoped = Ok((bare.as_bytes().to_vec(), left));
                assert_eq!(
                    read(input.as_bytes(), ChunkFraming::Strip, piece),
                    hoped,
                    "{input:?}"
                );
                let hoped = Ok((framed.as_bytes().to_vec(), left));
                assert_eq!(
                    read(input.as_bytes(), ChunkFraming::Keep, piece),
                    hoped,
                    "{input:?}"
                );
            }
        }
    }

    /// RFC 9112 §7.1, §7.1.1, §7.1.2.
    #[test]
    fn malformed_bodies_follow_the_table() {
        use BodyError as E;
        let long_extension = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(5000));
        let empty_extensions = "1;\r\na\r\n".repeat(4097);
        let long_trailer = format!("0\r\nX: {}\r\n\r\n", "x".repeat(9000));
        for (input, hoped) in [
            ("\r\nabc", E::ChunkSize),
            (";a\r\n", E::ChunkSize),
            ("+3\r\nabc\r\n", E::ChunkSize),
            ("-3\r\nabc\r\n", E::ChunkSize),
            (" 3\r\nabc\r\n", E::ChunkSize),
            ("3 \r\nabc\r\n", E::ChunkSize),
            ("3 ;a\r\nabc\r\n", E::ChunkSize),
            ("3\t\r\nabc\r\n", E::ChunkSize),
            ("0x3\r\nabc\r\n", E::ChunkSize),
            ("3_0\r\nabc\r\n", E::ChunkSize),
            ("g\r\n", E::ChunkSize),
            ("3\nabc\n0\n\n", E::ChunkSize),
            ("3\rabc", E::ChunkSize),
            ("ffffffffffffffff\r\n", E::ChunkSize),
            ("10000000000000000\r\n", E::ChunkSize),
            ("00000000000000003\r\nabc\r\n", E::ChunkSize),
            ("3;a\nabc\r\n", E::ChunkExtension),
            ("3;a\rb\r\n", E::ChunkSize),
            ("3;\0\r\n", E::ChunkExtension),
            ("3;\x7f\r\n", E::ChunkExtension),
            (long_extension.as_str(), E::ChunkExtension),
            (empty_extensions.as_str(), E::ChunkExtension),
            ("3\r\nabcd\r\n", E::ChunkEnd),
            ("3\r\nabc\n0\r\n\r\n", E::ChunkEnd),
            ("3\r\nabc0\r\n\r\n", E::ChunkEnd),
            ("3\r\nab\r\n0\r\n\r\n", E::ChunkEnd),
            ("3\r\nabc\rx0\r\n\r\n", E::ChunkEnd),
            ("0\r\n\rx", E::Trailers),
            ("0\r\nX: 1\n\r\n", E::Trailers),
            ("0\r\n\n", E::Trailers),
            ("0\r\nX : 1\r\n\r\n", E::Trailers),
            ("0\r\nX: 1\r\n y\r\n\r\n", E::Trailers),
            ("0\r\nX: \0\r\n\r\n", E::Trailers),
            ("0\r\nX\r\n\r\n", E::Trailers),
            (long_trailer.as_str(), E::Trailers),
            ("3\r\nab", E::Truncated),
            ("3\r\nabc\r\n", E::Truncated),
            ("0\r\n", E::Truncated),
            ("0\r\nX: 1\r\n", E::Truncated),
        ] {
            for piece in [1, 2, 3, 7, input.len()] {
                for unwrap in [ChunkFraming::Strip, ChunkFraming::Keep] {
                    let got = read(input.as_bytes(), unwrap, piece);
                    assert_eq!(got, Err(hoped), "{input:?} in pieces of {piece}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_handed_on_is_the_same_body(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            piece in 1..50usize,
        ) {
            let mut input = Vec::new();
            for chunk in &chunks {
                input.extend_from_slice(format!("{:x};e=1\r\n", chunk.len()).as_bytes());
                input.extend_from_slice(chunk);
                input.extend_from_slice(b"\r\n");
            }
            input.extend_from_slice(b"0\r\nX: y\r\n\r\n");
            let (framed, _) = read(&input, ChunkFraming::Keep, piece).expect("it is well formed");
            let (again, _) = read(&framed, ChunkFraming::Keep, piece).expect("so is what is handed on");
            prop_assert_eq!(&framed, &again);
            let (data, _) = read(&framed, ChunkFraming::Strip, piece).expect("and it has the same data");
            prop_assert_eq!(data, chunks.concat());
        }

        #[test]
        fn no_bytes_break_the_reader(input in proptest::collection::vec(any::<u8>(), 0..200), piece in 1..20usize) {
            let whole = read(&input, ChunkFraming::Strip, 200);
            prop_assert_eq!(whole, read(&input, ChunkFraming::Strip, piece), "wherever reads end");
        }
    }
}
