//! Who is waited for, and since when: one record for a client connection, swept by its data thread.
//!
//! No timer is armed per read. Every byte of a connection stores the thread's coarse clock in its
//! record; four times a second the thread looks through all records and cuts the connections whose
//! phase has lasted too long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::config::ListenerTimeouts;
use crate::logic::http1::hyper_framing::FramingScan;
use crate::process::proxy::shared::millis;

/// Milliseconds since its thread began, renewed every 50 ms.
pub(in crate::process::proxy) type CoarseClock = Arc<AtomicU64>;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Phase {
    /// Between two requests.
    Idle,
    /// A head has begun.
    Head,
    /// The body of a request is being read and nothing is answered yet.
    Uploading,
    /// The backend has the request; the relay keeps that time itself.
    Waiting,
    /// A response or a tunnel is being relayed.
    Relaying,
}

/// Why a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Cut {
    /// Not cut.
    No,
    /// Idle between requests, or in the middle of a relayed response: closed without a word.
    Silently,
    /// In the middle of a request: answered 408.
    RequestTimeout,
    /// The drain's deadline has passed.
    Drained,
}

/// Whether a request states its length in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Framing {
    /// One way, or none.
    Clear,
    /// Two ways.
    Ambiguous,
}

/// The record of one client connection.
pub(in crate::process::proxy) struct Watch {
    clock: CoarseClock,
    phase: AtomicU8,
    /// When the phase began.
    since_ms: AtomicU64,
    /// When a byte last passed.
    last_ms: AtomicU64,
    head_ms: u64,
    idle_ms: u64,
    cut: AtomicU8,
    /// Requests that have been handled.
    handled: AtomicU64,
    /// The number of the first request that states its length in two ways.
    ambiguous: AtomicU64,
    /// Woken when `cut` is set.
    pub(in crate::process::proxy) wake: Notify,
}

impl Watch {
    pub(in crate::process::proxy) fn new(clock: CoarseClock, timeouts: ListenerTimeouts) -> Watch {
        let now = clock.load(Relaxed);
        Watch {
            clock,
            phase: AtomicU8::new(Phase::Idle as u8),
            since_ms: AtomicU64::new(now),
            last_ms: AtomicU64::new(now),
            head_ms: millis(timeouts.request_head),
            idle_ms: millis(timeouts.idle),
            cut: AtomicU8::new(Cut::No as u8),
            handled: AtomicU64::new(0),
            ambiguous: AtomicU64::new(u64::MAX),
            wake: Notify::new(),
        }
    }

    pub(in crate::process::proxy) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            p if p == Phase::Idle as u8 => Phase::Idle,
            p if p == Phase::Head as u8 => Phase::Head,
            p if p == Phase::Uploading as u8 => Phase::Uploading,
            p if p == Phase::Waiting as u8 => Phase::Waiting,
            _ => Phase::Relaying,
        }
    }

    pub(in crate::process::proxy) fn enter(&self, phase: Phase) {
        let now = self.clock.load(Relaxed);
        self.phase.store(phase as u8, Relaxed);
        self.since_ms.store(now, Relaxed);
        self.last_ms.store(now, Relaxed);
    }

    /// Counts a request; returns whether it states its length in two ways.
    pub(in crate::process::proxy) fn count_request(&self) -> Framing {
        let number = self.handled.fetch_add(1, Relaxed);
        if number >= self.ambiguous.load(Relaxed) {
            Framing::Ambiguous
        } else {
            Framing::Clear
        }
    }

    /// Cuts the connection if its phase has lasted too long.
    pub(in crate::process::proxy) fn sweep(&self) {
        let now = self.clock.load(Relaxed);
        let since = now.saturating_sub(self.since_ms.load(Relaxed));
        let silent = now.saturating_sub(self.last_ms.load(Relaxed));
        let cut = match self.phase() {
            // The tail of an answer may still be on its way to a slow client.
            Phase::Idle if silent >= self.head_ms => Cut::Silently,
            Phase::Head if since >= self.head_ms => Cut::RequestTimeout,
            Phase::Uploading if silent >= self.idle_ms => Cut::RequestTimeout,
            Phase::Relaying if silent >= self.idle_ms => Cut::Silently,
            Phase::Idle | Phase::Head | Phase::Uploading | Phase::Waiting | Phase::Relaying => {
                Cut::No
            }
        };
        if cut != Cut::No {
            self.cut(cut);
        }
    }

    pub(in crate::process::proxy) fn cut(&self, why: Cut) {
        self.cut.store(why as u8, Relaxed);
        self.wake.notify_one();
    }

    pub(in crate::process::proxy) fn why_cut(&self) -> Cut {
        match self.cut.load(Relaxed) {
            c if c == Cut::No as u8 => Cut::No,
            c if c == Cut::Silently as u8 => Cut::Silently,
            c if c == Cut::RequestTimeout as u8 => Cut::RequestTimeout,
            _ => Cut::Drained,
        }
    }

    fn saw_read(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        if self.phase.load(Relaxed) == Phase::Idle as u8 {
            self.enter(Phase::Head);
        } else {
            self.last_ms.store(self.clock.load(Relaxed), Relaxed);
        }
    }

    fn saw_write(&self) {
        self.last_ms.store(self.clock.load(Relaxed), Relaxed);
    }
}

/// A client's socket that keeps its record up to date.
pub(in crate::process::proxy) struct WatchedStream {
    pub(in crate::process::proxy) stream: TcpStream,
    pub(in crate::process::proxy) watch: Arc<Watch>,
    pub(in crate::process::proxy) scan: FramingScan,
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = &buf.filled()[before..];
        self.watch.saw_read(read.len());
        if let Some(number) = self.scan.handle_bytes(read) {
            self.watch.ambiguous.store(number, Relaxed);
        }
        poll
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        if poll.is_ready() {
            self.watch.saw_write();
        }
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        if poll.is_ready() {
            self.watch.saw_write();
        }
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn watch() -> Watch {
        let timeouts = ListenerTimeouts {
            request_head: Duration::from_millis(100),
            idle: Duration::from_millis(300),
        };
        Watch::new(CoarseClock::default(), timeouts)
    }

    fn swept_at(watch: &Watch, now_ms: u64) -> Cut {
        watch.clock.store(now_ms, Relaxed);
        watch.sweep();
        watch.why_cut()
    }

    #[test]
    fn every_phase_has_its_end() {
        for (phase, last_hope_ms, over_ms, hoped) in [
            (Phase::Idle, 99, 100, Cut::Silently),
            (Phase::Head, 99, 100, Cut::RequestTimeout),
            (Phase::Uploading, 299, 300, Cut::RequestTimeout),
            (Phase::Relaying, 299, 300, Cut::Silently),
            (Phase::Waiting, 299, 100_000, Cut::No),
        ] {
            let watch = watch();
            watch.enter(phase);
            assert_eq!(swept_at(&watch, last_hope_ms), Cut::No, "{phase:?}");
            assert_eq!(swept_at(&watch, over_ms), hoped, "{phase:?}");
        }
    }

    #[test]
    fn heads_do_not_get_more_time_by_more_bytes() {
        let watch = watch();
        watch.saw_read(1);
        assert_eq!(watch.phase(), Phase::Head);
        watch.clock.store(90, Relaxed);
        watch.saw_read(1);
        assert_eq!(swept_at(&watch, 100), Cut::RequestTimeout);
    }

    #[test]
    fn bytes_of_a_body_or_of_an_answers_tail_give_more_time() {
        for phase in [Phase::Relaying, Phase::Uploading, Phase::Idle] {
            let watch = watch();
            watch.enter(phase);
            watch.clock.store(90, Relaxed);
            watch.saw_write();
            assert_eq!(swept_at(&watch, 189), Cut::No, "{phase:?}");
        }
    }

    #[test]
    fn requests_from_the_ambiguous_one_on_are_refused() {
        let watch = watch();
        watch.ambiguous.store(1, Relaxed);
        assert_eq!(watch.count_request(), Framing::Clear);
        assert_eq!(watch.count_request(), Framing::Ambiguous);
        assert_eq!(watch.count_request(), Framing::Ambiguous);
    }
}
