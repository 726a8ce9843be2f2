//! Work that may block on a disk, done beside the loop on a thread of its own and waited for with a
//! deadline.
//!
//! A thread that a dead disk keeps stays until the disk answers or the daemon ends; there are never
//! more than [`THREADS_MAX`] of them, and what would need one more fails at once.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// Work that goes on beside the loop.
#[derive(Debug)]
pub(super) struct Aside<T> {
    done: oneshot::Receiver<T>,
    begun_at: Instant,
}

impl<T: Send + 'static> Aside<T> {
    /// Begins, or says why there is no thread for it.
    pub(super) fn begin(
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Self> {
        let permit =
            Permit::take().ok_or_else(|| io::Error::other("too many disks do not answer"))?;
        let (tell, done) = oneshot::channel();
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                let _place = permit;
                // Who waited may have given up.
                let _ = tell.send(work());
            })?;
        Ok(Self {
            done,
            begun_at: Instant::now(),
        })
    }

    /// Waits for the outcome, until `within` of the beginning is over. Cancel safe.
    pub(super) async fn outcome(&mut self, within: Duration) -> io::Result<T> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer");
        let ended = || io::Error::other("the thread panicked");
        match tokio::time::timeout_at(self.begun_at + within, &mut self.done).await {
            Ok(outcome) => outcome.map_err(|_| ended()),
            Err(_) => Err(late()),
        }
    }
}

/// The right to one of the threads.
struct Permit;

impl Permit {
    fn take() -> Option<Self> {
        if TAKEN.fetch_add(1, Ordering::Relaxed) >= THREADS_MAX {
            TAKEN.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Threads that there are now.
static TAKEN: AtomicUsize = AtomicUsize::new(0);
/// More than ever work at once where disks answer: one for each virtual router that changes, and
/// the access log.
const THREADS_MAX: usize = 512;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::sync::mpsc::sync_channel;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(future)
    }

    #[test]
    fn work_that_ends_is_heard_and_work_that_does_not_is_waited_for_no_longer() {
        let (release, until) = sync_channel::<()>(0);
        block_on(async {
            let mut quick = Aside::begin("quick", || 7).unwrap();
            assert_eq!(quick.outcome(Duration::from_secs(10)).await.unwrap(), 7);
            let mut stuck = Aside::begin("stuck", move || until.recv().is_ok()).unwrap();
            let error = stuck.outcome(Duration::from_millis(20)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
        release.send(()).unwrap();
    }
}
