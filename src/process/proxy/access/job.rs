//! What the workers and the writer of the log share: jobs, and how it fares.

use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::followers::Followers;
use crate::config::AccessLogConfig;

/// What the threads of the proxy know of the log.
pub(super) struct Shared {
    pub(super) config: AccessLogConfig,
    pub(super) counts: Arc<Counts>,
    pub(super) followers: Arc<Followers>,
    /// What is to be written to from now on.
    pub(super) sink: Mutex<Option<Arc<OwnedFd>>>,
    /// From then on the writer does not wait any more for a sink that takes nothing.
    pub(super) closes_at: Mutex<Option<Instant>>,
    /// Why the last write failed; empty where it did not.
    pub(super) error: Mutex<String>,
}

/// What has become of the lines, of this log and of those in whose place it came.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
}

/// What the writer is asked.
pub(super) enum Job {
    /// Write this, and give the buffer back.
    Write(Filled),
    /// Send these lines to those who follow the log.
    Follow(Vec<u8>),
    /// Look at what is to be written to.
    Look,
    /// End.
    End,
}

/// A buffer of whole lines.
pub(super) struct Filled {
    pub(super) lines: Vec<u8>,
    /// So many.
    pub(super) count: u64,
    /// Where the buffer goes back to.
    pub(super) owner: SyncSender<Vec<u8>>,
}
