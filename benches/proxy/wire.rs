//! What goes over the wire: requests whose path says what is to be answered, and bodies that bear a
//! token.
//!
//! `GET /r/RRRRRRRR/QQQQQQQQ/TTTTTTTTTTTTTTTT`: so many bytes of response and of request, and the
//! token, all in hexadecimal at fixed places. Every body begins and ends with the token of its
//! request and has the same filler between, so that a body of somebody else, a short one and a
//! shifted one are all noticed.

use std::sync::OnceLock;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Bytes of the response's body.
    pub response_bytes: usize,
    /// Bytes of the request's body.
    pub request_bytes: usize,
    /// What both bodies bear.
    pub token: u64,
}

/// The request of a workload, to be sent with ever new tokens.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    head_len: usize,
    token_at: usize,
    ask: Ask,
}

impl Template {
    /// Builds a request whose head is about 700 bytes long, as a browser's.
    pub(crate) fn new(response_bytes: usize, request_bytes: usize, last: bool) -> Self {
        let method = if request_bytes > 0 { "POST" } else { "GET" };
        let mut head = format!("{method} /r/{response_bytes:08x}/{request_bytes:08x}/");
        let token_at = head.len();
        head.push_str("0000000000000000 HTTP/1.1\r\n");
        head.push_str(BROWSER);
        if last {
            head.push_str("Connection: close\r\n");
        }
        if request_bytes > 0 {
            head.push_str("Content-Type: application/octet-stream\r\n");
            head.push_str(&format!("Content-Length: {request_bytes}\r\n"));
        }
        head.push_str("Cookie: session=");
        let rest = HEAD_BYTES.saturating_sub(head.len() + 4).max(1);
        head.extend((0..rest).map(|at| char::from(b'a' + u8::try_from(at % 26).unwrap_or(0))));
        head.push_str("\r\n\r\n");
        let mut bytes = head.into_bytes();
        let head_len = bytes.len();
        bytes.extend_from_slice(&filler()[..request_bytes]);
        Self {
            bytes,
            head_len,
            token_at,
            ask: Ask {
                response_bytes,
                request_bytes,
                token: 0,
            },
        }
    }

    /// Returns the whole request with this token.
    pub(crate) fn with(&mut self, token: u64) -> &[u8] {
        let text = token_text(token);
        self.bytes[self.token_at..self.token_at + TOKEN_LEN].copy_from_slice(&text);
        if self.ask.request_bytes > 0 {
            let end = self.bytes.len();
            self.bytes[self.head_len..self.head_len + TOKEN_LEN].copy_from_slice(&text);
            self.bytes[end - TOKEN_LEN..].copy_from_slice(&text);
        }
        &self.bytes
    }

    /// Returns the path with the token that was asked with last.
    pub(crate) fn path(&self) -> &str {
        let path = self.bytes.split(|byte| *byte == b' ').nth(1);
        path.and_then(|path| std::str::from_utf8(path).ok())
            .unwrap_or_default()
    }

    /// Returns the bytes of the response's body.
    pub(crate) const fn response_bytes(&self) -> usize {
        self.ask.response_bytes
    }
}

/// Reads how many bytes a path asks for.
pub(crate) fn path_bytes(path: &str) -> Option<usize> {
    let digits = path.strip_prefix("/r/")?.get(..8)?;
    usize::try_from(hex(digits.as_bytes())?).ok()
}

/// Reads what a request asks for from its first line, `None` where it is none of ours.
pub(crate) fn parse_ask(head: &[u8]) -> Option<Ask> {
    let path = match head {
        [b'G', b'E', b'T', b' ', rest @ ..] | [b'P', b'O', b'S', b'T', b' ', rest @ ..] => rest,
        _ => return None,
    };
    if path.get(PATH_LEN) != Some(&b' ') {
        return None;
    }
    parse_path(&path[..PATH_LEN])
}

/// Reads what a path asks for, `None` where it is none of ours.
pub(crate) fn parse_path(path: &[u8]) -> Option<Ask> {
    let well_formed =
        path.len() == PATH_LEN && path.starts_with(b"/r/") && path[11] == b'/' && path[20] == b'/';
    if !well_formed {
        return None;
    }
    Some(Ask {
        response_bytes: usize::try_from(hex(&path[3..11])?).ok()?,
        request_bytes: usize::try_from(hex(&path[12..20])?).ok()?,
        token: hex(&path[21..])?,
    })
}

/// Returns the length of the head at the start of `buf`, with its empty line.
///
/// Looks at every fourth byte only: on a core that also has to feed the proxy, searching is not
/// free.
pub(crate) fn head_end(buf: &[u8]) -> Option<usize> {
    let mut at = 3;
    while let Some(byte) = buf.get(at) {
        at += match byte {
            b'\n' if &buf[at - 3..=at] == b"\r\n\r\n" => return Some(at + 1),
            b'\n' => 2,
            b'\r' => 1,
            _ => 4,
        };
    }
    None
}

/// A response's head, as far as we care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status.
    pub status: u16,
    /// What Content-Length says; `None` where it is missing or wrong.
    pub body_bytes: Option<usize>,
}

/// Reads a response's head, `None` where it is none.
pub(crate) fn parse_head(head: &[u8]) -> Option<Head> {
    if !head.starts_with(b"HTTP/1.") || head.get(8) != Some(&b' ') {
        return None;
    }
    let status = number(head.get(9..12)?)?;
    let mut body_bytes = None;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let length = line.len().min(LENGTH_FIELD.len());
        if line[..length].eq_ignore_ascii_case(LENGTH_FIELD) {
            body_bytes = number(line[length..].trim_ascii());
        }
    }
    Some(Head {
        status: u16::try_from(status).ok()?,
        body_bytes,
    })
}

/// Returns whether these bytes are the ones that stand at `offset` in a body of `total` bytes with
/// this token.
pub(crate) fn is_body_at(
    bytes: &[u8],
    offset: usize,
    total: usize,
    token: &[u8; TOKEN_LEN],
) -> bool {
    let end = offset + bytes.len();
    if end > total {
        return false;
    }
    let tail = total.saturating_sub(TOKEN_LEN);
    let part = |from: usize, to: usize| &bytes[from.max(offset) - offset..to.min(end) - offset];
    let first = offset >= TOKEN_LEN || {
        let to = end.min(TOKEN_LEN);
        part(offset, to) == &token[offset..to]
    };
    let last = end <= tail || {
        let from = offset.max(tail);
        part(from, end) == &token[from - tail..end - tail]
    };
    let (from, to) = (offset.max(TOKEN_LEN), end.min(tail));
    first && last && (from >= to || part(from, to) == &filler()[from..to])
}

/// Returns the token as it stands in paths and bodies.
pub(crate) fn token_text(token: u64) -> [u8; TOKEN_LEN] {
    let mut text = [0; TOKEN_LEN];
    for (at, byte) in token.to_be_bytes().into_iter().enumerate() {
        text[2 * at] = HEX[usize::from(byte >> 4)];
        text[2 * at + 1] = HEX[usize::from(byte & 15)];
    }
    text
}

/// Returns what bodies have between their tokens.
pub(crate) fn filler() -> &'static [u8] {
    static FILLER: OnceLock<Vec<u8>> = OnceLock::new();
    FILLER.get_or_init(|| {
        let mut chance = fastrand::Rng::with_seed(7);
        (0..BODY_BYTES_MAX)
            .map(|_| chance.alphanumeric() as u8)
            .collect()
    })
}

fn hex(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |value: u64, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        Some(value << 4 | u64::from(digit))
    })
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Bytes of a token.
pub(crate) const TOKEN_LEN: usize = 16;
/// The largest body that can be asked for.
pub(crate) const BODY_BYTES_MAX: usize = 4 << 20;
const PATH_LEN: usize = 37;
const HEAD_BYTES: usize = 700;
const HEX: &[u8; 16] = b"0123456789abcdef";
const LENGTH_FIELD: &[u8] = b"content-length:";
const BROWSER: &str = "Host: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Referer: https://www.example.org/catalogue/shelves?page=7\r\n\
    Sec-Fetch-Mode: navigate\r\n";
