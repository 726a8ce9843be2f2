//! When what happened to a request.
//!
//! Moments are taken only where the access log reads them: a look at the clock is not free.

use std::time::Instant;

use crate::logic::access::Timers;

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
    pub(in crate::process::proxy) fn timers(&self) -> Timers {
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

/// What a client has asked for, where a backend is asked something else.
#[derive(Clone, Debug)]
pub(in crate::process::proxy) struct AskedAs {
    /// Path and query.
    pub(in crate::process::proxy) target: Box<[u8]>,
    pub(in crate::process::proxy) host: Box<[u8]>,
}
