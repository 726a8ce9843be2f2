//! What is known of a request when it has ended, for the access log.
//!
//! Plain values, filled in while the request goes its way; `ended` is called once for every request
//! that was answered, or would have been. Moments are taken only where somebody will read them: a
//! look at the clock is not free.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::worker::Thread;

/// One request, from its first byte to the last of its answer.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Who has connected.
    pub(super) client: SocketAddr,
    /// The client's own address, by the word of the trusted proxies before us.
    pub(super) origin: IpAddr,
    /// Index of the listener; its pool answers.
    pub(super) listener: usize,
    /// Index of the backend that was tried last.
    pub(super) backend: Option<usize>,
    /// What the client was answered; 0 where it was not.
    pub(super) status: u16,
    /// Bytes the backend was sent, the head among them.
    pub(super) request_bytes: u64,
    /// Bytes the client was sent, the head among them.
    pub(super) response_bytes: u64,
    /// Attempts after the first.
    pub(super) retries: u16,
    /// When what happened.
    pub(super) moments: Moments,
    /// How it ended.
    pub(super) termination: Termination,
}

/// When a request came how far; `None` where it did not, or where nobody will read it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    /// The first byte of the head was read.
    pub(super) began_at: Option<Instant>,
    /// The head was complete.
    pub(super) head_at: Option<Instant>,
    /// A backend was picked, after any wait in a queue.
    pub(super) picked_at: Option<Instant>,
    /// There was a connection to a backend, the last one.
    pub(super) connected_at: Option<Instant>,
    /// The head of the response was complete.
    pub(super) answered_at: Option<Instant>,
    /// The last byte was written.
    pub(super) ended_at: Option<Instant>,
}

impl Moments {
    /// Returns how long the head, the pick, the connection, the response's head and everything took;
    /// `None` for what did not happen.
    pub(super) fn spans(&self) -> [Option<Duration>; 5] {
        let span = |from: Option<Instant>, to: Option<Instant>| {
            let (from, to) = from.zip(to)?;
            Some(to.saturating_duration_since(from))
        };
        [
            span(self.began_at, self.head_at),
            span(self.head_at, self.picked_at),
            span(self.picked_at, self.connected_at),
            span(self.connected_at, self.answered_at),
            span(self.began_at, self.ended_at),
        ]
    }
}

/// Who ended a request, and in which phase of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Termination {
    /// The answer was relayed to its end.
    Complete,
    /// The request is not one that is relayed.
    RequestRefused,
    /// The head did not come to its end in time.
    RequestHeadTimeout,
    /// The body did not go on in time.
    RequestBodyTimeout,
    /// The body is malformed, broke off, or is too long.
    RequestBodyInvalid,
    /// The client left before it had its answer.
    ClientGone,
    /// No backend is up.
    NoBackendUp,
    /// No connection to a backend.
    ConnectFailed,
    /// No connection to a backend in time.
    ConnectTimeout,
    /// A backend ended its connection before it answered.
    ConnectionLost,
    /// A backend sent what is not relayed.
    BadAnswer,
    /// A backend did not answer in time.
    ResponseHeadTimeout,
    /// A backend ended its connection in the middle of its answer.
    ResponseTruncated,
    /// Nothing was sent or taken for too long in the middle of an answer.
    IdleTimeout,
    /// Nothing was sent for too long on an upgraded connection.
    TunnelTimeout,
    /// The drain's deadline passed.
    DrainTimeout,
}

impl Termination {
    /// Returns the word for the log; those of timeouts are their keys and `_timeout`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Termination::Complete => "complete",
            Termination::RequestRefused => "request_refused",
            Termination::RequestHeadTimeout => "request_head_timeout",
            Termination::RequestBodyTimeout => "request_body_timeout",
            Termination::RequestBodyInvalid => "request_body_invalid",
            Termination::ClientGone => "client_gone",
            Termination::NoBackendUp => "no_backend_up",
            Termination::ConnectFailed => "connect_failed",
            Termination::ConnectTimeout => "connect_timeout",
            Termination::ConnectionLost => "connection_lost",
            Termination::BadAnswer => "bad_answer",
            Termination::ResponseHeadTimeout => "response_head_timeout",
            Termination::ResponseTruncated => "response_truncated",
            Termination::IdleTimeout => "idle_timeout",
            Termination::TunnelTimeout => "tunnel_timeout",
            Termination::DrainTimeout => "drain_timeout",
        }
    }
}

impl Record {
    pub(super) fn new(client: SocketAddr, listener: usize) -> Record {
        Record {
            client,
            origin: client.ip(),
            listener,
            backend: None,
            status: 0,
            request_bytes: 0,
            response_bytes: 0,
            retries: 0,
            moments: Moments::default(),
            termination: Termination::Complete,
        }
    }
}

/// Takes note of a request that has ended. `line` is the request's first line as the backend was sent
/// it, without its end; empty where the request was not read.
pub(super) fn ended(thread: &Thread, record: &Record, line: &[u8]) {
    if thread.takes_moments() {
        tracing::trace!(
            client = %record.origin,
            peer = %record.client,
            listener = %thread.table.listeners[record.listener].name,
            status = record.status,
            cause = record.termination.as_str(),
            bytes = record.response_bytes,
            attempt = record.retries + 1,
            duration_ms = ?record.moments.spans(),
            path = %String::from_utf8_lossy(line),
            "request ended"
        );
    }
}
