//! Requests of HTTP/2 (RFC 9113 §8.3.1), and WebSockets in them (RFC 8441).

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri};

use super::{Written, add_field, has_padded, part, write_fields, write_line};
use crate::logic::http1::head::Framing;
use crate::logic::http1::names::{Name, length, list};
use crate::logic::http1::refusal::RequestRefusal;

/// Whether a body follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// Nothing: the stream has ended with its head.
    Nothing,
    /// DATA, or trailers.
    Body,
}

/// What else a request of HTTP/2 says.
#[derive(Clone, Copy, Debug)]
pub struct Framed<'a> {
    /// Whether a body follows.
    pub follows: Follows,
    /// `:protocol` of an extended CONNECT (RFC 8441 §4).
    pub protocol: Option<&'a str>,
    /// The `Sec-WebSocket-Key` of a WebSocket, which HTTP/2 does not have and HTTP/1.1 must.
    pub websocket_key: &'a str,
}

/// Appends the head that a client of HTTP/1.1 would have sent for a request of HTTP/2; returns how
/// its body is to be framed, as far as it is not stated.
///
/// # Errors
/// When the request is none of HTTP/1.1, says two hosts (RFC 9113 §8.3.1), or has a value that
/// begins or ends with a space (§8.2.1).
pub fn write(
    parts: &Parts,
    framed: &Framed<'_>,
    out: &mut Vec<u8>,
) -> Result<Framing, RequestRefusal> {
    let authority = authority_of(parts)?;
    if has_padded(&parts.headers) {
        return Err(RequestRefusal::Syntax(PADDED));
    }
    let method = match framed.protocol {
        Some(_) => "GET",
        None => parts.method.as_str(),
    };
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    match parts.uri.path_and_query() {
        Some(path) if !path.as_str().is_empty() => {
            out.extend_from_slice(path.as_str().as_bytes());
        }
        // A CONNECT has none; it is refused for its method.
        Some(_) | None => out.extend_from_slice(authority),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_line(out, b"host", authority);
    let is_websocket = framed.protocol.is_some();
    let is_omitted = |name: &HeaderName| {
        name == header::HOST
            || name == header::COOKIE
            || is_websocket && name == header::SEC_WEBSOCKET_KEY
    };
    write_fields(&parts.headers, is_omitted, out);
    write_cookies(parts, out);
    let framing = if let Some(protocol) = framed.protocol {
        write_line(out, b"connection", b"upgrade");
        write_line(out, b"upgrade", protocol.as_bytes());
        write_line(out, b"sec-websocket-key", framed.websocket_key.as_bytes());
        Framing::None
    } else {
        write_framing(parts, framed.follows, out)
    };
    out.extend_from_slice(b"\r\n");
    Ok(framing)
}

/// RFC 9113 §8.3.1: `:authority` is what Host would say, and both say the same.
fn authority_of(parts: &Parts) -> Result<&[u8], RequestRefusal> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next().map(|host| host.as_bytes());
    if hosts.next().is_some() {
        return Err(RequestRefusal::HostRepeated);
    }
    let authority = parts.uri.authority().map(|it| it.as_str().as_bytes());
    match (authority, host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            Err(RequestRefusal::HostMismatch)
        }
        (Some(authority), _) => Ok(authority),
        (None, Some(host)) => Ok(host),
        (None, None) => Err(RequestRefusal::HostMissing),
    }
}

/// RFC 9113 §8.2.3: what was cut into several fields is one again.
fn write_cookies(parts: &Parts, out: &mut Vec<u8>) {
    let mut cookies = parts.headers.get_all(header::COOKIE).iter();
    let Some(first) = cookies.next() else {
        return;
    };
    out.extend_from_slice(b"cookie: ");
    out.extend_from_slice(first.as_bytes());
    for cookie in cookies {
        out.extend_from_slice(b"; ");
        out.extend_from_slice(cookie.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// A length that is stated goes on as it is; the stream is held to it (RFC 9113 §8.1.1).
fn write_framing(parts: &Parts, follows: Follows, out: &mut Vec<u8>) -> Framing {
    if parts.headers.contains_key(header::CONTENT_LENGTH) {
        return Framing::None;
    }
    match follows {
        Follows::Body => {
            write_line(out, b"transfer-encoding", b"chunked");
            return Framing::Chunked;
        }
        // RFC 9110 §8.6: of methods that mean something by a body, that there is none is said.
        Follows::Nothing if has_meaning_for_a_body(&parts.method) => {
            write_line(out, b"content-length", b"0");
        }
        Follows::Nothing => {}
    }
    Framing::None
}

fn has_meaning_for_a_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

/// A request as it goes in frames.
#[derive(Debug)]
pub struct Sent {
    /// The head.
    pub request: Request<()>,
    /// The length of its text.
    pub len: usize,
    /// How its body was framed in the text.
    pub framing: Framing,
    /// The protocol that it asks for; the method is CONNECT then (RFC 8441 §5).
    pub protocol: Option<Box<str>>,
    /// The `Sec-WebSocket-Key` that the answer has to prove it has seen.
    pub websocket_key: Option<Box<[u8]>>,
}

/// Reads the head that a backend of HTTP/1.1 would have been sent, at the beginning of a text;
/// `None` where it is no head.
pub fn read(text: &[u8], scheme: Scheme) -> Option<Sent> {
    let text = Bytes::copy_from_slice(text);
    let mut written = Written::new(&text);
    let mut words = written.line()?.split(|byte| *byte == b' ');
    let (method, path) = (words.next()?, words.next()?);
    let mut sent = Sent {
        request: Request::new(()),
        len: 0,
        framing: Framing::None,
        protocol: None,
        websocket_key: None,
    };
    let mut authority = None;
    let fields = sent.request.headers_mut();
    fields.reserve(written.count());
    while let Some(line) = written.field() {
        let line @ (name, value) = line.ok()?;
        match Name::of(name) {
            Name::Host => {
                authority = Authority::from_maybe_shared(part(&text, value)).ok();
            }
            Name::Upgrade => {
                let protocol = std::str::from_utf8(value).ok()?;
                sent.protocol = Some(protocol.into());
            }
            Name::TransferEncoding => sent.framing = Framing::Chunked,
            Name::ContentLength => {
                sent.framing = Framing::Length(length(value)?);
                add_field(fields, line, &text);
            }
            // RFC 9113 §8.2.2.
            Name::Te if list(value).any(|it| it.eq_ignore_ascii_case(b"trailers")) => {
                fields.insert(header::TE, header::HeaderValue::from_static("trailers"));
            }
            Name::Te => {}
            Name::Connection | Name::KeepAlive | Name::ProxyConnection => {}
            Name::Other if name.eq_ignore_ascii_case(b"sec-websocket-key") => {
                sent.websocket_key = Some(value.into());
            }
            Name::Date
            | Name::Expect
            | Name::Forwarded
            | Name::Proxy
            | Name::ProxyAuthenticate
            | Name::ProxyAuthorization
            | Name::Trailer
            | Name::XForwardedFor
            | Name::XForwardedHost
            | Name::XForwardedPort
            | Name::XForwardedProto
            | Name::XRequestId
            | Name::Other => add_field(fields, line, &text),
        }
    }
    sent.len = text.len() - written.rest.len();
    let path = part(&text, path);
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = authority;
    parts.path_and_query = PathAndQuery::from_maybe_shared(path).ok();
    *sent.request.uri_mut() = Uri::from_parts(parts).ok()?;
    *sent.request.method_mut() = match sent.protocol {
        Some(_) => Method::CONNECT,
        None => Method::from_bytes(method).ok()?,
    };
    Some(sent)
}

const PADDED: &str = "a field's value begins or ends with a space";
