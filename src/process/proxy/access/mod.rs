//! The access log of the proxy: lines of the workers, written by one thread that may block.
//!
//! A worker renders into a buffer of its own (`lines`) and hands it over when it is full or a
//! beat has passed; the writer (`writer`) gives it back empty. A thread has so many buffers and no
//! more: when the disk is full or a reader does not read, its lines are dropped and counted, and no
//! request waits. What is written to is opened by the supervisor, because this process may open
//! nothing, and replaced while we run.

mod lines;
mod job;
mod writer;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use self::job::{Filled, Job, Shared};
use self::writer::Writer;
use crate::config::AccessLogConfig;
use crate::ipc::control::AccessLogStatus;

pub(super) use lines::Lines;

/// The log as the proxy's owner has it; dropping it ends the writer.
pub(super) struct Log {
    shared: Arc<Shared>,
    jobs: SyncSender<Job>,
    done: watch::Receiver<bool>,
}

impl Log {
    /// Starts the writer; returns the log and the place for the lines of each worker.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(config: &AccessLogConfig, threads: u16) -> io::Result<(Self, Vec<Lines>)> {
        let shared = Arc::new(Shared {
            to: config.to.clone(),
            format: config.format.clone(),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            sink: Mutex::new(None),
            closing: AtomicBool::new(false),
            error: Mutex::default(),
        });
        // Room for all buffers there can be: one is never lost for want of it.
        let (jobs, queue) = sync_channel(usize::from(threads) * BUFFERS_A_THREAD + 2);
        let mut lines = Vec::new();
        let mut returns = Vec::new();
        for thread in 0..usize::from(threads) {
            let (give_back, free) = sync_channel(BUFFERS_A_THREAD);
            returns.push(give_back);
            lines.push(Lines::new(Arc::clone(&shared), thread, jobs.clone(), free));
        }
        let (done_tx, done) = watch::channel(false);
        let mut writer = Writer::new(Arc::clone(&shared), returns);
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                writer.run(&queue);
                done_tx.send_replace(true);
            })?;
        Ok((Self { shared, jobs, done }, lines))
    }

    /// Writes to `sink` from now on; the line that is being written goes there as a whole.
    pub(super) fn set_sink(&self, sink: OwnedFd) {
        *self.shared.sink() = Some(sink);
        // A writer that is busy looks by itself.
        let _ = self.jobs.try_send(Job::Look);
    }

    pub(super) fn status(&self) -> AccessLogStatus {
        AccessLogStatus {
            to: self.shared.to.to_string(),
            lines_written_total: self.shared.written.load(Relaxed),
            lines_dropped_total: self.shared.dropped.load(Relaxed),
            error: self.shared.error().clone(),
        }
    }

    /// Waits until all that the workers have handed over is written, but not longer than a
    /// moment.
    pub(super) async fn finish(&self) {
        let _ = self.jobs.try_send(Job::End);
        let mut done = self.done.clone();
        let done = done.wait_for(|done| *done);
        // Late is as good as never: the owner does not wait for a reader that does not read.
        let _ = tokio::time::timeout(FINISH_TIMEOUT, done).await;
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.closing.store(true, Relaxed);
        let _ = self.jobs.try_send(Job::End);
    }
}

impl Shared {
    fn sink(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        // What is in it is whole at every moment.
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self) -> MutexGuard<'_, String> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer; it is handed over while a line of any length still fits.
const BUFFER_BYTES: usize = 64 * 1024;
/// Buffers of one worker, made when they are needed: 2 MiB, some thousand lines, for as long
/// as a disk may stall. With all of them full its lines are dropped and counted.
const BUFFERS_A_THREAD: usize = 32;
/// How long the end of the proxy waits for the last lines.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);
