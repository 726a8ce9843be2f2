//! Responses of HTTP/2 (RFC 9113 §8.3.2).

use bytes::Bytes;
use http::header;
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::request::Follows;
use super::{Written, add_field, is_of_connection, write_fields, write_line};
use crate::logic::http1::head::Framing;
use crate::logic::http1::names::{Name, length};
use crate::logic::http1::response::AskedMethod;

/// A response as it goes in frames.
#[derive(Debug)]
pub struct Sent {
    /// The length of its text.
    pub len: usize,
    /// Of an extended CONNECT that was granted, 200 (RFC 8441 §5).
    pub status: StatusCode,
    /// Its fields.
    pub fields: HeaderMap,
    /// How its body is framed in the text.
    pub framing: Framing,
    /// What follows it.
    pub then: Then,
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Another head (RFC 9110 §15.2).
    Head,
    /// A body, which may be empty.
    Body,
    /// Bytes of another protocol, to the end.
    Tunnel,
}

/// Reads the head that a client of HTTP/1.1 would have been sent, at the beginning of a text;
/// `None` where it is no head.
pub fn read(text: &[u8], method: AskedMethod) -> Option<Sent> {
    let text = Bytes::copy_from_slice(text);
    let mut written = Written::new(&text);
    let status = written.line()?.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = std::str::from_utf8(status).ok()?.parse().ok()?;
    let mut fields = HeaderMap::with_capacity(written.count());
    let (mut chunked, mut stated) = (false, None);
    while let Some(line) = written.field() {
        let line = line.ok()?;
        let name = Name::of(line.0);
        if name == Name::TransferEncoding {
            chunked = true;
        } else if is_of_connection(name) {
            // RFC 9113 §8.2.2.
        } else if status == 101 && line.0.eq_ignore_ascii_case(b"sec-websocket-accept") {
            // RFC 8441 §5: there is no key that it could answer.
        } else {
            if name == Name::ContentLength {
                stated = Some(length(line.1)?);
            }
            add_field(&mut fields, line, &text);
        }
    }
    let bodyless = method == AskedMethod::Head || matches!(status, 100..=199 | 204 | 304);
    Some(Sent {
        len: text.len() - written.rest.len(),
        status: match status {
            101 => StatusCode::OK,
            status => StatusCode::from_u16(status).ok()?,
        },
        fields,
        framing: match (bodyless, chunked, stated) {
            (true, _, _) => Framing::None,
            (false, true, _) => Framing::Chunked,
            (false, false, Some(length)) => Framing::Length(length),
            (false, false, None) => Framing::UntilClose,
        },
        then: match status {
            101 => Then::Tunnel,
            100..=199 => Then::Head,
            _ => Then::Body,
        },
    })
}

/// What a response of HTTP/2 answers.
#[derive(Clone, Copy, Debug)]
pub struct Answers<'a> {
    /// The method.
    pub method: AskedMethod,
    /// The protocol that was asked for, and the proof that its answer has in HTTP/1.1 (RFC 6455
    /// §4.2.2).
    pub protocol: Option<(&'a str, &'a str)>,
}

/// Appends the head that a backend of HTTP/1.1 would have sent; returns how its body is to be
/// framed.
pub fn write(parts: &Parts, follows: Follows, answers: Answers<'_>, out: &mut Vec<u8>) -> Framing {
    if let (Some((protocol, proof)), true) = (answers.protocol, parts.status.is_success()) {
        out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
        write_fields(&parts.headers, |_| false, out);
        write_line(out, b"connection", b"upgrade");
        write_line(out, b"upgrade", protocol.as_bytes());
        write_line(out, b"sec-websocket-accept", proof.as_bytes());
        out.extend_from_slice(b"\r\n");
        return Framing::UntilClose;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.push(b' ');
    let reason = parts.status.canonical_reason().unwrap_or_default();
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    write_fields(&parts.headers, |_| false, out);
    let stated = parts.headers.get(header::CONTENT_LENGTH);
    let stated = stated.and_then(|it| length(it.as_bytes()));
    let bodyless = answers.method == AskedMethod::Head
        || matches!(parts.status.as_u16(), 100..=199 | 204 | 304);
    let framing = match (bodyless, stated, follows) {
        (true, _, _) => Framing::None,
        (false, Some(length), _) => Framing::Length(length),
        (false, None, Follows::Nothing) => {
            write_line(out, b"content-length", b"0");
            Framing::None
        }
        (false, None, Follows::Body) => {
            write_line(out, b"transfer-encoding", b"chunked");
            Framing::Chunked
        }
    };
    out.extend_from_slice(b"\r\n");
    framing
}
