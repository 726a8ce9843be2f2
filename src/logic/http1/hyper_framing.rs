//! Finds requests that state their length in two ways, in the bytes of a connection.
//!
//! A request with both Content-Length and Transfer-Encoding is the commonest smuggling attempt (RFC
//! 9112 §6.1). The parser behind this proxy reads it by its chunks and drops the other field before
//! anybody can see it, which is safe, but we would rather refuse. So the bytes are scanned on their
//! way in: line by line in heads, by count in bodies. Where the scan cannot follow it ends; the
//! parser's own rule holds then. Pure.

/// The scan of one client connection.
#[derive(Debug)]
pub struct FramingScan {
    state: State,
    line: [u8; LINE_BYTES_MAX],
    line_len: usize,
    heads: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a request line.
    Start,
    /// Among a head's fields.
    Fields { length: Option<u64>, coded: bool },
    /// In a body, or in a chunk and its line end.
    Body { left: u64, chunked: bool },
    /// Before a chunk's size.
    ChunkSize,
    /// Behind the last chunk.
    Trailers,
    /// Ended.
    Off,
}

impl Default for FramingScan {
    fn default() -> FramingScan {
        FramingScan {
            state: State::Start,
            line: [0; LINE_BYTES_MAX],
            line_len: 0,
            heads: 0,
        }
    }
}

impl FramingScan {
    /// Takes the next bytes; returns the number (from 0) of the first request that states its
    /// length in two ways, once.
    pub fn handle_bytes(&mut self, mut bytes: &[u8]) -> Option<u64> {
        while !bytes.is_empty() {
            match self.state {
                State::Off => return None,
                State::Body { left, chunked } => {
                    let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[skipped..];
                    // `skipped` is at most `left`, and a usize fits.
                    let left = left - skipped as u64;
                    self.transition(match (left, chunked) {
                        (0, true) => State::ChunkSize,
                        (0, false) => State::Start,
                        (_, chunked) => State::Body { left, chunked },
                    });
                }
                State::Start | State::Fields { .. } | State::ChunkSize | State::Trailers => {
                    let end = bytes.iter().position(|&byte| byte == b'\n');
                    let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                    bytes = rest;
                    self.collect(part);
                    if end.is_some()
                        && let Some(ambiguous) = self.handle_line()
                    {
                        return Some(ambiguous);
                    }
                }
            }
        }
        None
    }

    /// Keeps the beginning of a line; no field that matters is longer.
    fn collect(&mut self, part: &[u8]) {
        let room = LINE_BYTES_MAX - self.line_len;
        let kept = &part[..part.len().min(room)];
        self.line[self.line_len..self.line_len + kept.len()].copy_from_slice(kept);
        self.line_len += kept.len();
    }

    fn handle_line(&mut self) -> Option<u64> {
        let collected = self.line;
        let line = collected[..self.line_len].trim_ascii_end();
        self.line_len = 0;
        let next = match self.state {
            State::Start if line.is_empty() => State::Start,
            State::Start => State::Fields {
                length: None,
                coded: false,
            },
            State::Fields { length, coded } if line.is_empty() => {
                if coded && length.is_some() {
                    self.transition(State::Off);
                    return Some(self.heads);
                }
                self.heads += 1;
                match (coded, length) {
                    (true, _) => State::ChunkSize,
                    (false, None | Some(0)) => State::Start,
                    (false, Some(left)) => State::Body {
                        left,
                        chunked: false,
                    },
                }
            }
            State::Fields { length, coded } => match field(line) {
                Field::Coding => State::Fields {
                    length,
                    coded: true,
                },
                Field::Length(Some(length)) => State::Fields {
                    length: Some(length),
                    coded,
                },
                // The parser refuses the request; what it states is counted all the same.
                Field::Length(None) => State::Fields {
                    length: length.or(Some(0)),
                    coded,
                },
                Field::Other => State::Fields { length, coded },
            },
            State::ChunkSize => match chunk_size(line) {
                Some(0) => State::Trailers,
                Some(size) => match size.checked_add(2) {
                    Some(left) => State::Body {
                        left,
                        chunked: true,
                    },
                    None => State::Off,
                },
                None => State::Off,
            },
            State::Trailers if line.is_empty() => State::Start,
            State::Trailers => State::Trailers,
            State::Body { .. } | State::Off => self.state,
        };
        self.transition(next);
        None
    }

    fn transition(&mut self, to: State) {
        self.state = to;
    }
}

enum Field {
    Coding,
    Length(Option<u64>),
    Other,
}

fn field(line: &[u8]) -> Field {
    let Some(colon) = line.iter().position(|&byte| byte == b':') else {
        return Field::Other;
    };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if name.eq_ignore_ascii_case(b"transfer-encoding") {
        return Field::Coding;
    }
    if name.eq_ignore_ascii_case(b"content-length") {
        let number = std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse().ok());
        return Field::Length(number);
    }
    Field::Other
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let size = line
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()
}

/// Enough for any Content-Length and the size of any chunk.
const LINE_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const LENGTH: &str = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
    const CHUNKS: &str =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\na\nb\r\n0\r\nT: 1\r\n\r\n";
    const BOTH: &str =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nCONTENT-LENGTH: 5\r\n\r\n0\r\n\r\n";
    const BOTH_TURNED: &str =
        "POST / HTTP/1.1\nContent-Length:0\ntransfer-encoding: chunked\n\n0\r\n\r\n";

    fn scan(pieces: &[&[u8]]) -> Option<u64> {
        let mut scan = FramingScan::default();
        pieces.iter().find_map(|piece| scan.handle_bytes(piece))
    }

    #[test]
    fn scan_finds_the_first_of_both() {
        for (messages, hoped) in [
            (vec![PLAIN, LENGTH, CHUNKS, PLAIN], None),
            (vec![BOTH], Some(0)),
            (vec![BOTH_TURNED], Some(0)),
            (vec![PLAIN, LENGTH, "\r\n", CHUNKS, BOTH], Some(3)),
            (
                vec![
                    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                    BOTH,
                ],
                None,
            ),
        ] {
            assert_eq!(scan(&[messages.concat().as_bytes()]), hoped, "{messages:?}");
        }
    }

    #[test]
    fn bodies_are_not_taken_for_heads() {
        let body = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let message = format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(scan(&[message.as_bytes()]), None);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_reads_end(
            order in proptest::collection::vec(0..4usize, 1..5),
            cuts in proptest::collection::vec(1..40usize, 1..60),
        ) {
            let kinds = [PLAIN, LENGTH, CHUNKS, BOTH];
            let text: String = order.iter().map(|&kind| kinds[kind]).collect();
            let mut pieces = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            let hoped = order.iter().position(|&kind| kind == 3).map(|at| at as u64);
            prop_assert_eq!(scan(&pieces), hoped);
        }

        #[test]
        fn no_bytes_break_the_scan(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            scan(&[&bytes]);
        }
    }
}
