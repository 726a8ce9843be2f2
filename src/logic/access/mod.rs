//! The access log: what is said of a request that has ended, and how a line of it is written.
//!
//! A [`Line`] has everything; a [`Format`] says it as JSON, or as an operator wrote it, into the
//! caller's buffer and without allocating. Whatever a client sent, a line is one line: nothing in
//! it can end it or pass for another field. Read `termination` (who ended a request, in which
//! phase), `field` (the words), then `format`.

mod termination;
mod head;
mod escape;
mod field;
mod format;

pub use field::Field;
pub use format::{Format, FormatError, LINE_BYTES_MAX, TEXT_BYTES_MAX};
pub use termination::{EndedBy, Phase, Termination};

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// All that can be said of a request.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// When its first byte was read, milliseconds since 1970-01-01 UTC.
    pub began_ms: u64,
    /// Who has connected.
    pub peer: SocketAddr,
    /// Who has said so, where that was another (PROXY protocol).
    pub announced_by: Option<IpAddr>,
    /// The client's own address, by the word of the trusted proxies before us.
    pub client: IpAddr,
    /// The key under `listeners`.
    pub listener: &'a str,
    /// The name of the route that was taken.
    pub route: Option<&'a str>,
    /// The key under `pools`.
    pub pool: Option<&'a str>,
    /// The backend that was tried last.
    pub backend: Option<&'a str>,
    /// The head, as the backend was sent it or, where it was not, as far as it was read.
    pub head: &'a [u8],
    /// What the client has asked for, where that is not what the head says: path and query, and
    /// host.
    pub asked: Option<(&'a [u8], &'a [u8])>,
    /// The client's version; `None` where its request was not read.
    pub protocol: Option<&'a str>,
    /// What the client was answered; `None` where it was not.
    pub status: Option<u16>,
    /// Bytes the backend was sent.
    pub request_bytes: u64,
    /// Bytes the client was sent.
    pub response_bytes: u64,
    /// How long each part took.
    pub timers: Timers,
    /// Attempts after the first.
    pub retries: u16,
    /// How it ended.
    pub termination: Termination,
    /// What the proxy's own answer says, or would say to a trusted proxy.
    pub error: Option<&'a str>,
    /// How far it had come by then.
    pub phase: Phase,
    /// Who was waited for when an answer stood still.
    pub awaited: Awaited,
    /// Who has ended first where nothing went wrong, of a connection that carried bytes.
    pub first: EndedBy,
    /// What became of its session, a word; `None` where the pool has no affinity.
    pub affinity: Option<&'static str>,
    /// The pool and the backend that have said where the answer is, `POOL/BACKEND`.
    pub reproxied_by: Option<&'a str>,
    /// Whether a backend was ejected for how it went; `None` where the pool ejects none.
    pub ejected: Option<bool>,
    /// What is known of its TLS, where there was any.
    pub tls: Option<TlsParts<'a>>,
}

/// What is known of the TLS that a request has come by.
#[derive(Clone, Copy, Debug)]
pub struct TlsParts<'a> {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'a str,
    /// The cipher suite, by its name in the registry of IANA.
    pub cipher: &'a str,
    /// Whom the client has asked for (RFC 6066 §3).
    pub server_name: Option<&'a str>,
    /// Whether the session is one of before.
    pub resumed: bool,
    /// The subject of the client's certificate, as RFC 4514 writes it.
    pub client_certificate: Option<&'a str>,
    /// Its SHA-256, in hexadecimal digits.
    pub fingerprint: Option<&'a str>,
    /// How long the handshake took, of the first request of a connection.
    pub handshake: Option<Duration>,
}

/// How long the parts of a request took; `None` for what did not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    /// From the first byte to the end of the head.
    pub head: Option<Duration>,
    /// Until there was a backend for it.
    pub queue: Option<Duration>,
    /// Until there was a connection to it.
    pub connect: Option<Duration>,
    /// From there to the end of the response's head.
    pub response: Option<Duration>,
    /// From the first byte of the request to the last of the answer.
    pub total: Option<Duration>,
}

/// Whose turn it is while a response is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The client has not taken what was sent.
    Client,
    /// The backend has sent nothing.
    Backend,
}
