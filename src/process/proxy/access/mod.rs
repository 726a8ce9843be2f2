//! The access log of the proxy: lines of the workers, written by one thread that may block.
//!
//! A worker renders into a buffer of its own (`lines`) and hands it over when it is full or a
//! beat has passed; the writer (`writer`) gives it back empty. A thread has so many buffers and no
//! more: when the disk is full or a reader does not read, its lines are dropped and counted, and no
//! request waits. What is written to is opened by the supervisor, because this process may open
//! nothing, and replaced while we run. A log of another target or format is another log: each
//! worker changes over to it at a time of its own, and the old one ends behind its last line.

mod followers;
mod lines;
mod job;
mod writer;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::followers::Followers;
use self::job::{Counts, Filled, Job, Shared};
use self::writer::Writer;
use crate::config::AccessLogConfig;
use crate::ipc::control::AccessLogStatus;
use crate::logic::access::Format;

pub(super) use lines::Lines;

/// The log as generations that have it in common and their workers hold it; with the last of them
/// the writer ends, behind all lines.
pub(super) struct Log {
    shared: Arc<Shared>,
    jobs: SyncSender<Job>,
    done: watch::Receiver<bool>,
    /// What was last given to be written to.
    latest: Mutex<Option<Arc<OwnedFd>>>,
}

impl Log {
    /// Starts the writer. Where a log `before` was written to the same, this one is too.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        config: &AccessLogConfig,
        threads: usize,
        before: Option<&Self>,
    ) -> io::Result<Arc<Self>> {
        let same = before.filter(|before| before.shared.config.to == config.to);
        let sink = same.and_then(|before| before.latest().clone());
        let counts = before.map(|before| Arc::clone(&before.shared.counts));
        let followers = before.map(|before| Arc::clone(&before.shared.followers));
        let shared = Arc::new(Shared {
            config: config.clone(),
            counts: counts.unwrap_or_default(),
            followers: followers.unwrap_or_default(),
            sink: Mutex::new(sink.clone()),
            closes_at: Mutex::default(),
            error: Mutex::default(),
        });
        // Room for all buffers there can be: none is lost for want of it, unless there are more
        // threads one day.
        let threads = threads.max(THREADS_MIN);
        let buffers = BUFFERS_A_THREAD + FOLLOWED_A_THREAD;
        let (jobs, queue) = sync_channel(threads * buffers + 2);
        let (done_tx, done) = watch::channel(false);
        let mut writer = Writer::new(Arc::clone(&shared));
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                writer.run(&queue);
                done_tx.send_replace(true);
            })?;
        Ok(Arc::new(Self {
            shared,
            jobs,
            done,
            latest: Mutex::new(sink),
        }))
    }

    /// Returns whether it is configured so.
    pub(super) fn is_of(&self, config: &AccessLogConfig) -> bool {
        self.shared.config == *config
    }

    /// Writes to `sink` from now on; the line that is being written goes there as a whole.
    pub(super) fn set_sink(&self, sink: OwnedFd) {
        let sink = Arc::new(sink);
        *self.latest() = Some(Arc::clone(&sink));
        *self.shared.sink() = Some(sink);
        // A writer that is busy looks by itself.
        let _ = self.jobs.try_send(Job::Look);
    }

    /// Has an operator follow the log over this socket.
    pub(super) fn add_follower(&self, socket: OwnedFd) {
        self.shared.followers.add(socket);
    }

    pub(super) fn status(&self) -> AccessLogStatus {
        let Counts { written, dropped } = &*self.shared.counts;
        AccessLogStatus {
            to: self.shared.config.to.to_string(),
            lines_written_total: written.load(Relaxed),
            lines_dropped_total: dropped.load(Relaxed),
            error: self.shared.error().clone(),
        }
    }

    /// Lets the writer wait a while, and not for ever, for a sink that takes nothing: another log
    /// comes in the place of this one, or none.
    pub(super) fn retire(&self) {
        self.shared.close_in(RETIRE_TIMEOUT);
    }

    fn followers(&self) -> &Followers {
        &self.shared.followers
    }

    fn format(&self) -> &Format {
        &self.shared.config.format
    }

    fn count_dropped(&self, count: u64) {
        self.shared.counts.dropped.fetch_add(count, Relaxed);
    }

    fn latest(&self) -> MutexGuard<'_, Option<Arc<OwnedFd>>> {
        // What is in it is whole at every moment.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.shared.close_in(Duration::ZERO);
        let _ = self.jobs.try_send(Job::End);
    }
}

impl Shared {
    /// Bounds the wait for a sink that takes nothing, unless it is bounded already.
    fn close_in(&self, within: Duration) {
        let closes_at = self.closes_at.lock();
        let mut closes_at = closes_at.unwrap_or_else(PoisonError::into_inner);
        closes_at.get_or_insert_with(|| Instant::now() + within);
    }

    fn sink(&self) -> MutexGuard<'_, Option<Arc<OwnedFd>>> {
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
/// Room in the queue for what a worker has for those who follow the log.
const FOLLOWED_A_THREAD: usize = 4;
/// A log begins with room for the buffers of so many workers at least.
const THREADS_MIN: usize = 8;
/// How long a log that is no longer configured may wait for a reader that does not read.
const RETIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the proxy waits for the last lines.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);
