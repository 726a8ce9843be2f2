//! What all threads of the proxy share, whatever generation is current: the clock, the places for
//! connections, and how far the proxy's life has come.
//!
//! All orderings are relaxed: each number stands for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::context::roll::Roll;
use super::io::deadline::millis;
use super::shortage::Shortages;
use super::spool::Spool;
use crate::ipc::message::FromProxy;

/// Where beats, readiness and health go: called from the proxy's own threads, it must not block.
pub type Events = Arc<dyn Fn(FromProxy) + Send + Sync>;

/// How far the proxy's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Accepting.
    Serving,
    /// Finishing.
    Draining,
    /// Cutting what is left.
    Cutting,
}

/// What all threads share.
pub(super) struct Shared {
    pub(super) shortages: Shortages,
    pub(super) spool: Spool,
    /// Who is connected, where somebody asks.
    pub(super) roll: Roll,
    /// As many connections of all clients as there may be.
    connections_max: AtomicU64,
    /// Open connections of all clients.
    pub(super) connections: AtomicU64,
    /// New connections that wait for a place that another thread may have, where all are taken.
    pub(super) wanted: AtomicU64,
    began_at: Instant,
    /// Milliseconds since `began_at`, renewed with every beat of a worker.
    now_ms: AtomicU64,
}

impl Shared {
    pub(super) fn new(connections_max: u64) -> Self {
        Self {
            shortages: Shortages::default(),
            spool: Spool::default(),
            roll: Roll::default(),
            connections_max: AtomicU64::new(connections_max),
            connections: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            began_at: Instant::now(),
            now_ms: AtomicU64::new(0),
        }
    }

    /// Returns the coarse clock of what all threads share; that of a thread stands still where the
    /// thread does.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms.load(Relaxed)
    }

    /// Returns the nanoseconds since the proxy began, by the clock itself: of many of them a coarse
    /// one would make bursts.
    pub(super) fn now_ns(&self) -> u64 {
        u64::try_from(self.began_at.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Renews the coarse clock.
    pub(super) fn renew_clock(&self) {
        let now_ms = millis(self.began_at.elapsed());
        self.now_ms.fetch_max(now_ms, Relaxed);
    }

    /// Sets how many connections there may be; those that are too many then stay.
    pub(super) fn set_connections_max(&self, max: u64) {
        self.connections_max.store(max, Relaxed);
    }

    /// Returns whether there are as many connections as there may be.
    pub(super) fn is_full(&self) -> bool {
        self.connections.load(Relaxed) >= self.connections_max.load(Relaxed)
    }
}
