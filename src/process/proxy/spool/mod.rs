//! Bodies of requests that are read whole before a backend has them: in memory, then in a file.
//!
//! The file has no name: the supervisor opens it, because this process may open nothing, and it is
//! gone with this process. It is used in blocks by all bodies together, on a thread of its own
//! (`disk`). Begin to read at `body`.

mod blocks;
pub(super) mod body;
mod disk;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use self::disk::{Freed, Job};

use self::disk::BLOCK;

/// The file as all threads have it; with the last of them the thread ends, and the file is gone.
#[derive(Default)]
pub(super) struct Spool {
    disk: Mutex<Option<Disk>>,
}

/// How the thread of a file is told what to do.
#[derive(Clone)]
struct Disk {
    jobs: mpsc::Sender<Job>,
    freed: Arc<Freed>,
}

impl Spool {
    /// Uses this file, where there is none yet.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn set_file(&self, file: OwnedFd) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        if disk.is_some() {
            return Ok(());
        }
        let (jobs, queue) = mpsc::channel(JOBS_MAX);
        let freed = Arc::<Freed>::default();
        let shared = Arc::clone(&freed);
        let file = File::from(file);
        std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || disk::run(file, queue, &shared))?;
        *disk = Some(Disk { jobs, freed });
        Ok(())
    }

    fn disk(&self) -> Option<Disk> {
        let disk = self.disk.lock();
        disk.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the requests of one pool keep, whatever thread they are on.
#[derive(Debug, Default)]
pub(super) struct Account {
    bodies: AtomicU64,
    disk_bytes: AtomicU64,
    refused: AtomicU64,
}

impl Account {
    /// Returns how many bodies there are now.
    pub(super) fn bodies(&self) -> u64 {
        self.bodies.load(Relaxed)
    }

    /// Returns how much of the file they have now.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.disk_bytes.load(Relaxed)
    }

    /// Returns for how many there was no room.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Counts one.
    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }
}

/// Room in the file that was taken from an account, whole blocks of it, until it is dropped.
#[derive(Debug)]
struct Taken {
    account: Arc<Account>,
    blocks: usize,
}

impl Taken {
    /// Takes room for so many bytes, where a pool that may have so much has not got all of it.
    fn of(account: &Arc<Account>, bytes: usize, bytes_max: u64) -> Option<Self> {
        let blocks = bytes.div_ceil(BLOCK);
        let wanted = (blocks * BLOCK) as u64;
        let more = |bytes: u64| bytes.checked_add(wanted).filter(|sum| *sum <= bytes_max);
        let taken = account.disk_bytes.fetch_update(Relaxed, Relaxed, more);
        taken.ok().map(|_| Self {
            account: Arc::clone(account),
            blocks,
        })
    }

    /// Returns one block of it, where it has one.
    fn split(&mut self) -> Self {
        let blocks = self.blocks.min(1);
        self.blocks -= blocks;
        Self {
            account: Arc::clone(&self.account),
            blocks,
        }
    }

    fn join(&mut self, mut other: Self) {
        self.blocks += std::mem::take(&mut other.blocks);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let bytes = (self.blocks * BLOCK) as u64;
        self.account.disk_bytes.fetch_sub(bytes, Relaxed);
    }
}

/// What may wait for the disk: a body has one piece of work there at most, and where so many have,
/// the disk does not keep up.
const JOBS_MAX: usize = 16 * 1024;
