//! Heads of HTTP/2 (RFC 9113 §8) as texts of HTTP/1.1, and back.
//!
//! A request walks one path whatever it came by, judged by the same rules: what comes in frames is
//! written as a client of HTTP/1.1 would have written it, and what goes in frames is read from what
//! a backend or client of HTTP/1.1 would have been sent. Fields of one connection stay behind on
//! either way. Pure.

pub mod request;
pub mod response;
pub mod websocket;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use memchr::{memchr, memchr_iter};

use super::chunked::TRAILERS_MAX;
use super::names::Name;

/// Returns whether a value begins or ends with a space, which makes a message malformed (RFC 9113
/// §8.2.1). All else that would, `h2` refuses.
pub fn has_padded(fields: &HeaderMap) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    fields
        .values()
        .map(HeaderValue::as_bytes)
        .any(|value| is_space(value.first()) || is_space(value.last()))
}

/// Appends a line for each field, those of one connection and those that are written otherwise left
/// out.
fn write_fields(fields: &HeaderMap, is_omitted: impl Fn(&HeaderName) -> bool, out: &mut Vec<u8>) {
    for (name, value) in fields {
        if !is_omitted(name) {
            write_line(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A head that this program has written itself, line by line: what it says was judged before.
struct Written<'a> {
    rest: &'a [u8],
}

impl<'a> Written<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// Returns how many lines there are.
    fn count(&self) -> usize {
        memchr_iter(b'\n', self.rest).count()
    }

    /// Returns the next line; `None` where there is no more, the empty one at the end of a head
    /// included.
    fn line(&mut self) -> Option<&'a [u8]> {
        let end = memchr(b'\n', self.rest)?;
        let line = self.rest[..end].strip_suffix(b"\r")?;
        self.rest = &self.rest[end + 1..];
        Some(line)
    }

    /// Returns the name and the value of the next field; `None` at the end of the head.
    fn field(&mut self) -> Option<Result<Line<'a>, NoHead>> {
        let Some(line) = self.line() else {
            return Some(Err(NoHead));
        };
        let (name, value) = match memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None if line.is_empty() => return None,
            None => return Some(Err(NoHead)),
        };
        Some(Ok((name, value.trim_ascii())))
    }
}

/// The name and the value of a field.
type Line<'a> = (&'a [u8], &'a [u8]);

/// A text that is no head.
struct NoHead;

/// Adds a line of a text to fields; a line that cannot be a field of HTTP/2 is left out.
fn add_field(fields: &mut HeaderMap, (name, value): Line<'_>, text: &Bytes) {
    let name = HeaderName::from_bytes(name);
    let value = HeaderValue::from_maybe_shared(part(text, value));
    if let (Ok(name), Ok(value)) = (name, value) {
        // No head of ours has as many as that.
        let _ = fields.try_append(name, value);
    }
}

/// Returns a part of a text: without a copy of a short one. Encoders remember parts, and with them
/// the whole text.
fn part(text: &Bytes, bytes: &[u8]) -> Bytes {
    match text.len() {
        ..=SHARED_BYTES => text.slice_ref(bytes),
        _ => Bytes::copy_from_slice(bytes),
    }
}

/// Returns whether a field is one of a connection (RFC 9113 §8.2.2).
const fn is_of_connection(name: Name) -> bool {
    matches!(
        name,
        Name::Connection
            | Name::TransferEncoding
            | Name::Upgrade
            | Name::KeepAlive
            | Name::ProxyConnection
    )
}

/// Appends the trailers of a body (RFC 9112 §7.1.2) and the empty line behind them.
pub fn write_trailers(trailers: &HeaderMap, out: &mut Vec<u8>) {
    write_fields(trailers, |_| false, out);
    out.extend_from_slice(b"\r\n");
}

/// Returns the trailers that a text says, which ends with an empty line.
pub fn read_trailers(text: &[u8]) -> HeaderMap {
    let text = Bytes::copy_from_slice(text);
    let mut lines = [httparse::EMPTY_HEADER; TRAILERS_MAX];
    let mut trailers = HeaderMap::new();
    if let Ok(httparse::Status::Complete((_, lines))) = httparse::parse_headers(&text, &mut lines) {
        let lines = lines
            .iter()
            .map(|line| (line.name.as_bytes(), line.value))
            .filter(|(name, _)| !is_of_connection(Name::of(name)));
        lines.for_each(|line| add_field(&mut trailers, line, &text));
    }
    trailers
}

/// Of a text whose parts are not copied out of it.
const SHARED_BYTES: usize = 1024;
