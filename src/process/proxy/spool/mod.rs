//! Bodies of requests that are read whole before a backend has them: in memory, then in a file.
//!
//! The file has no name: the supervisor opens it, because this process may open nothing, and it is
//! gone with this process. It is used in blocks by all bodies together, on a thread of its own
//! (`disk`). Begin to read at `body`.

mod account;
mod blocks;
pub(super) mod body;
mod disk;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use self::disk::{Freed, Job};

pub(super) use self::account::Account;

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

/// What may wait for the disk: a body has one piece of work there at most, and where so many have,
/// the disk does not keep up.
const JOBS_MAX: usize = 16 * 1024;
