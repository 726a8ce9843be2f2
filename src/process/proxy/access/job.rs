//! What the workers and the writer of the log share: jobs, and how it fares.

use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::config::AccessLogTarget;
use crate::logic::access::Format;

/// What the threads of the proxy know of the log.
pub(super) struct Shared {
    pub(super) to: AccessLogTarget,
    pub(super) format: Format,
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// What is to be written to from now on.
    pub(super) sink: Mutex<Option<OwnedFd>>,
    /// The owner does not wait for the writer any more.
    pub(super) closing: AtomicBool,
    /// Why the last write failed; empty where it did not.
    pub(super) error: Mutex<String>,
}

/// What the writer is asked.
pub(super) enum Job {
    /// Write this, and give the buffer back.
    Write(Filled),
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
    /// Whose it is.
    pub(super) thread: usize,
}
