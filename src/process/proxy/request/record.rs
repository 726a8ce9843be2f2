//! What is known of a request when it has ended, for the access log (`logic::access`).
//!
//! Plain values, filled in while the request goes its way; `ended` is called once for every request
//! that was answered, or would have been. Moments are taken only where somebody will read them: a
//! look at the clock is not free.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::logic::access::{Awaited, Line, Phase, Timers};
use crate::process::proxy::context::WorkerContext;

pub(in crate::process::proxy) use crate::logic::access::Termination;

/// One request, from its first byte to the last of its answer.
#[derive(Clone, Debug)]
pub(in crate::process::proxy) struct Record {
    /// Who has connected.
    pub(in crate::process::proxy) client: SocketAddr,
    /// The client's own address, by the word of the trusted proxies before us.
    pub(in crate::process::proxy) origin: IpAddr,
    /// Index of the listener; its pool answers.
    pub(in crate::process::proxy) listener: usize,
    /// Index of the backend that was tried last.
    pub(in crate::process::proxy) backend: Option<usize>,
    /// What the client was answered; 0 where it was not.
    pub(in crate::process::proxy) status: u16,
    /// Bytes the backend was sent, the head among them.
    pub(in crate::process::proxy) request_bytes: u64,
    /// Bytes the client was sent, the head among them.
    pub(in crate::process::proxy) response_bytes: u64,
    /// Attempts after the first.
    pub(in crate::process::proxy) retries: u16,
    /// When what happened.
    pub(in crate::process::proxy) moments: Moments,
    /// The client's version; `None` where its request was not read.
    pub(in crate::process::proxy) protocol: Option<&'static str>,
    /// How it ended.
    pub(in crate::process::proxy) termination: Termination,
    /// How far it had come by then.
    pub(in crate::process::proxy) phase: Phase,
    /// Who was waited for when an answer stood still.
    pub(in crate::process::proxy) awaited: Awaited,
}

/// Timestamps of the phases of a request. `None`: phase not reached, or no access log.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::process::proxy) struct Moments {
    /// The first byte of the head was read.
    pub(in crate::process::proxy) began_at: Option<Instant>,
    /// The head was complete.
    pub(in crate::process::proxy) head_at: Option<Instant>,
    /// A backend was picked, after any wait in a queue.
    pub(in crate::process::proxy) picked_at: Option<Instant>,
    /// There was a connection to a backend, the last one.
    pub(in crate::process::proxy) connected_at: Option<Instant>,
    /// The head of the response was complete.
    pub(in crate::process::proxy) answered_at: Option<Instant>,
    /// The last byte was written.
    pub(in crate::process::proxy) ended_at: Option<Instant>,
}

impl Moments {
    /// Returns how long each part took.
    fn timers(&self) -> Timers {
        let span = |from: Option<Instant>, to: Option<Instant>| {
            let (from, to) = from.zip(to)?;
            Some(to.saturating_duration_since(from))
        };
        Timers {
            head: span(self.began_at, self.head_at),
            queue: span(self.head_at, self.picked_at),
            connect: span(self.picked_at, self.connected_at),
            response: span(self.connected_at, self.answered_at),
            total: span(self.began_at, self.ended_at),
        }
    }
}

impl Record {
    pub(in crate::process::proxy) fn new(client: SocketAddr, listener: usize) -> Self {
        Self {
            client,
            origin: client.ip(),
            listener,
            backend: None,
            status: 0,
            request_bytes: 0,
            response_bytes: 0,
            retries: 0,
            moments: Moments::default(),
            protocol: None,
            termination: Termination::Complete,
            phase: Phase::RequestHead,
            awaited: Awaited::Backend,
        }
    }
}

/// Takes note of a request that has ended: a line in the access log. `head` is the request's head
/// as the backend was sent it or, where the request was not read, what there was of it.
pub(in crate::process::proxy) fn ended(context: &WorkerContext, record: &Record, head: &[u8]) {
    let listener = &context.table.listeners[record.listener];
    if let Some(lines) = &context.lines
        && listener.logged
    {
        let mut lines = lines.borrow_mut();
        let moments = &record.moments;
        let pool = &context.table.pools[listener.pool];
        let began_at = moments.began_at.or(moments.ended_at);
        let began_ms = lines.unix_ms(began_at.unwrap_or_else(Instant::now));
        lines.write(&Line {
            began_ms,
            peer: record.client,
            client: record.origin,
            listener: &listener.name,
            pool: &pool.name,
            backend: record
                .backend
                .map(|index| pool.backends[index].name.as_str()),
            head,
            protocol: record.protocol,
            status: (record.status > 0).then_some(record.status),
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
            timers: moments.timers(),
            retries: record.retries,
            termination: record.termination,
            phase: record.phase,
            awaited: record.awaited,
        });
    }
}
