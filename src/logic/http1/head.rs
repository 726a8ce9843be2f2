//! What request and response heads have in common: slots, limits, line ends, and fields that are
//! written on as they came.
//!
//! Fields are views of the head's bytes. Those that do not travel are marked in a set of bits; the
//! rest is copied line by line, in runs, so that names keep their case and order. Pure.

use std::fmt;
use std::mem::MaybeUninit;

use httparse::Header;

use super::names::{Name, list, reads_like};

/// For the fields of a head that is parsed once.
type Places<'b> = [MaybeUninit<Header<'b>>; FIELDS_MAX];

/// Returns places which nothing is written into yet.
pub(super) const fn places<'b>() -> Places<'b> {
    [const { MaybeUninit::uninit() }; FIELDS_MAX]
}

/// Where a head's fields are parsed into; on the caller's stack, and never initialized.
pub struct Slots<'b> {
    first: Places<'b>,
    /// For a head that is parsed once more.
    second: Places<'b>,
}

impl<'b> Slots<'b> {
    /// Returns empty slots.
    pub const fn new() -> Self {
        Slots {
            first: places(),
            second: places(),
        }
    }

    pub(super) fn first(&mut self, count: usize) -> &mut [MaybeUninit<Header<'b>>] {
        &mut self.first[..count.min(FIELDS_MAX)]
    }

    /// Returns slots for two attempts.
    pub(super) fn both(&mut self, count: usize) -> [&mut [MaybeUninit<Header<'b>>]; 2] {
        let count = count.min(FIELDS_MAX);
        [&mut self.first[..count], &mut self.second[..count]]
    }
}

impl Default for Slots<'_> {
    fn default() -> Self {
        Slots::new()
    }
}

/// How much a head may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes, with the first line and the empty one.
    pub head_bytes: usize,
    /// Fields; at most [`FIELDS_MAX`].
    pub fields: usize,
    /// Bytes of a request's target.
    pub target_bytes: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            fields: 100,
            target_bytes: 8 * 1024,
        }
    }
}

/// The protocol's version, as far as it is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2: of a client, in the words of HTTP/1.1.
    Http2,
}

/// Whether a connection may carry another exchange after this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It may.
    Keep,
    /// It ends.
    Close,
}

/// How the end of a body is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// By the chunked coding.
    Chunked,
    /// By the end of the connection; responses only.
    UntilClose,
}

/// Another protocol that a request asks for and that is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// None, or one that is not relayed, such as `h2c`; the request goes on without it.
    None,
    /// RFC 6455.
    WebSocket,
    /// One that the administrator allows.
    Other(Protocol),
}

impl Upgrade {
    /// Returns the name of the protocol.
    pub fn protocol(&self) -> Option<&[u8]> {
        match self {
            Self::None => None,
            Self::WebSocket => Some(b"websocket"),
            Self::Other(protocol) => Some(protocol.as_bytes()),
        }
    }
}

/// The name of a protocol in Upgrade, maybe with a version (RFC 9110 §7.8): at most
/// [`PROTOCOL_BYTES_MAX`] bytes, held in place.
#[derive(Clone, Copy)]
pub struct Protocol {
    bytes: [u8; PROTOCOL_BYTES_MAX],
    len: u8,
}

impl Protocol {
    /// Returns the protocol of this name; `None` where it is none, or too long.
    pub fn new(name: &[u8]) -> Option<Self> {
        let is_good = |&byte: &u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'+' | b'/')
        };
        if name.is_empty() || !name.iter().all(is_good) {
            return None;
        }
        let mut bytes = [0; PROTOCOL_BYTES_MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        let len = u8::try_from(name.len()).ok()?;
        Some(Self { bytes, len })
    }

    /// Returns the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = String::from_utf8_lossy(self.as_bytes());
        f.debug_tuple("Protocol").field(&name).finish()
    }
}

impl PartialEq for Protocol {
    /// In any case of letters.
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().eq_ignore_ascii_case(other.as_bytes())
    }
}

impl Eq for Protocol {}

/// The fields of a head, and which of them do not travel.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'s, 'b> {
    head: &'b [u8],
    all: &'s [Header<'b>],
    dropped: u128,
}

impl<'s, 'b> Fields<'s, 'b> {
    pub(super) fn new(head: &'b [u8], all: &'s [Header<'b>]) -> Self {
        Fields {
            head,
            all,
            dropped: 0,
        }
    }

    /// Returns all fields, in order, those that do not travel among them.
    pub fn all(&self) -> &'s [Header<'b>] {
        self.all
    }

    /// Returns what the lines of a field say, in order; the case of its name does not matter.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'n, 's, 'b> {
        let lines = self.all.iter();
        let of_name = lines.filter(move |line| line.name.eq_ignore_ascii_case(name));
        of_name.map(|line| line.value)
    }

    pub(super) fn drop_field(&mut self, index: usize) {
        self.dropped |= 1 << index;
    }

    pub(super) fn drop_set(&mut self, set: u128) {
        self.dropped |= set;
    }

    /// Returns those of a set that travel.
    pub(super) fn kept_of(&self, set: u128) -> u128 {
        set & !self.dropped
    }

    /// Returns whether something stands between a field's name and its colon.
    pub(super) fn is_spaced(&self, field: &Header<'_>) -> bool {
        let end = self.offset(field).wrapping_add(field.name.len());
        self.head.get(end) != Some(&b':')
    }

    /// Appends the lines of a set of fields, without what is around names and values.
    pub(super) fn write_anew(&self, set: u128, out: &mut Vec<u8>) {
        for (index, field) in self.all.iter().enumerate() {
            if set & (1 << index) != 0 {
                out.extend_from_slice(field.name.as_bytes());
                out.extend_from_slice(b": ");
                out.extend_from_slice(field.value);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Drops the fields of this name, and of those that read like it.
    pub(super) fn drop_named(&mut self, name: &str) {
        for (index, field) in self.all.iter().enumerate() {
            if reads_like(field.name.as_bytes(), name.as_bytes()) {
                self.dropped |= 1 << index;
            }
        }
    }

    /// Drops the fields that the Connection fields name (RFC 9110 §7.6.1): at most
    /// [`NOMINATIONS_MAX`], each compared with each field, so that the work is bounded.
    pub(super) fn drop_nominated(&mut self) {
        for connection in self.all.iter().filter(|field| is_connection(field)) {
            for token in list(connection.value).filter(|token| !token.is_empty()) {
                if Name::of(token).is_protected() {
                    continue;
                }
                for (index, field) in self.all.iter().enumerate() {
                    if field.name.as_bytes().eq_ignore_ascii_case(token) {
                        self.dropped |= 1 << index;
                    }
                }
            }
        }
    }

    /// Appends the lines of all fields that travel.
    pub(super) fn write_kept(&self, out: &mut Vec<u8>) {
        let mut run: Option<usize> = None;
        for (index, field) in self.all.iter().enumerate() {
            let dropped = self.dropped & (1 << index) != 0;
            match run {
                None if !dropped => run = Some(self.offset(field)),
                Some(from) if dropped => {
                    out.extend_from_slice(&self.head[from..self.offset(field)]);
                    run = None;
                }
                None | Some(_) => {}
            }
        }
        if let Some(from) = run {
            // Without the empty line.
            out.extend_from_slice(&self.head[from..self.head.len() - 2]);
        }
    }

    /// Returns where a field's line begins.
    fn offset(&self, field: &Header<'_>) -> usize {
        field.name.as_ptr().addr() - self.head.as_ptr().addr()
    }
}

/// The Connection fields name more than [`NOMINATIONS_MAX`] options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooManyOptions;

/// What the Connection fields of a head say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConnectionOptions {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    /// So many options name fields of the message.
    nominations: u32,
}

impl ConnectionOptions {
    pub(super) fn add(&mut self, value: &[u8]) {
        for token in list(value) {
            let is = |known: &[u8]| token.eq_ignore_ascii_case(known);
            match token.len() {
                0 => {}
                5 if is(b"close") => self.close = true,
                10 if is(b"keep-alive") => self.keep_alive = true,
                7 if is(b"upgrade") => self.upgrade = true,
                _ => self.nominations = self.nominations.saturating_add(1),
            }
        }
    }

    /// Returns whether fields of the message are named, or that there are too many of them.
    pub(super) fn nominates(self) -> Result<bool, TooManyOptions> {
        match self.nominations {
            0 => Ok(false),
            1..=NOMINATIONS_MAX => Ok(true),
            _ => Err(TooManyOptions),
        }
    }

    /// RFC 9112 §9.3.
    pub(super) fn persistence(self, version: Version) -> Persistence {
        match version {
            _ if self.close => Persistence::Close,
            Version::Http10 if !self.keep_alive => Persistence::Close,
            Version::Http10 | Version::Http11 | Version::Http2 => Persistence::Keep,
        }
    }
}

/// Returns whether every line ends in CRLF; a CR that ends none was refused before.
pub(super) fn lines_end_in_crlf(head: &[u8]) -> bool {
    let bare = head
        .iter()
        .zip(&head[1..])
        .fold(false, |bare, (&before, &byte)| {
            bare | ((byte == b'\n') & (before != b'\r'))
        });
    !bare
}

/// Returns where the next search for a head's end may begin, or `None` where the head may have
/// ended: an empty line follows somewhere behind `from`.
///
/// A head that comes in many small reads is so parsed once or twice, not once a read. Empty lines
/// before it end nothing.
pub fn head_may_end(bytes: &[u8], from: usize) -> Option<usize> {
    let is_blank = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let begin = bytes.iter().position(|byte| !is_blank(byte));
    let from = from.max(begin.unwrap_or(bytes.len())).min(bytes.len());
    let mut rest = &bytes[from..];
    let mut at = from;
    while let Some(lf) = rest.iter().position(|&byte| byte == b'\n') {
        let behind = &rest[lf + 1..];
        match behind {
            [b'\n', ..] | [b'\r', b'\n', ..] => return None,
            [] | [b'\r'] => return Some(at + lf),
            [..] => {}
        }
        at += lf + 1;
        rest = behind;
    }
    Some(bytes.len())
}

/// Says which rule a head breaks, in the parser's words.
pub(super) fn syntax(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "a field name has a byte that it must not have",
        httparse::Error::HeaderValue => "a field value has a byte that it must not have",
        httparse::Error::NewLine => "a CR is not followed by LF",
        httparse::Error::Status => "the status line has a byte that it must not have",
        httparse::Error::Token => "the first line is not one of HTTP/1",
        httparse::Error::TooManyHeaders => "there are too many fields",
        httparse::Error::Version => "the version is unknown",
    }
}

pub(super) fn is_connection(field: &Header<'_>) -> bool {
    field.name.eq_ignore_ascii_case("connection")
}

/// The most options of Connection that are neither `close`, `keep-alive` nor `upgrade`. Real
/// messages have one or two; each costs a comparison with every field.
const NOMINATIONS_MAX: u32 = 32;
/// A longer name of a protocol is not relayed.
pub const PROTOCOL_BYTES_MAX: usize = 32;
/// The most fields a head can have; bits in the set of those that do not travel.
pub const FIELDS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_heads_are_found_from_anywhere() {
        for (text, hoped) in [
            ("GET / HTTP/1.1\r\n", Some(15)),
            ("GET / HTTP/1.1\r\n\r", Some(15)),
            ("GET / HTTP/1.1\r\nHost", Some(20)),
            ("GET / HTTP/1.1\r\n\r\n", None),
            ("GET / HTTP/1.1\n\n", None),
            ("\r\n\r\n", Some(4)),
            ("\r\n\r\nGET / HTTP/1.1\r\nHost", Some(24)),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", None),
            ("", Some(0)),
        ] {
            assert_eq!(head_may_end(text.as_bytes(), 0), hoped, "{text:?}");
            let mut from = 0;
            let mut found = false;
            for end in 1..=text.len() {
                match head_may_end(&text.as_bytes()[..end], from) {
                    Some(next) => from = next,
                    None => found = true,
                }
            }
            assert_eq!(found, hoped.is_none(), "{text:?} byte by byte");
        }
    }

    /// RFC 9110 §7.6.1; the bound keeps the work of a head linear in its bytes.
    #[test]
    fn options_that_name_fields_are_counted() {
        let options = |value: &str| {
            let mut options = ConnectionOptions::default();
            options.add(value.as_bytes());
            options.nominates()
        };
        let many = |count: usize| vec!["a"; count].join(",");
        assert_eq!(options("close, keep-alive,, Upgrade"), Ok(false));
        assert_eq!(options("te"), Ok(true));
        assert_eq!(options(&many(32)), Ok(true));
        assert_eq!(options(&many(33)), Err(TooManyOptions));
        assert_eq!(options(&",".repeat(30_000)), Ok(false));
    }
}
