//! Has the process `keys` read a pair of files, and waits for what it says of them; on threads
//! aside, never in the loop.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::config::CertificateChain;
use crate::ipc::channel::{Bounds, Channel, Received, Sent};
use crate::ipc::message::{PairAsked, PairRead};

/// What reads pairs of files.
pub(crate) trait Pairs {
    /// Reads a pair; without a key's file both are in one. What is wrong is for people.
    ///
    /// # Errors
    /// When they are no pair.
    fn read(
        &self,
        path: &Path,
        certificate: &File,
        key: Option<&File>,
    ) -> Result<CertificateChain, String>;
}

/// The line to the process.
#[derive(Debug, Default)]
pub(crate) struct Reader(Mutex<Line>);

#[derive(Debug, Default)]
struct Line {
    channel: Option<Channel>,
    asked: u64,
}

impl Reader {
    /// Asks over this line from now on.
    pub(crate) fn connect(&self, line: OwnedFd) {
        // A thread that panicked here left it whole.
        let mut own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        own.channel = Some(Channel::bounded(line, BOUNDS));
    }
}

impl Pairs for Reader {
    fn read(
        &self,
        path: &Path,
        certificate: &File,
        key: Option<&File>,
    ) -> Result<CertificateChain, String> {
        // The same.
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        line.asked += 1;
        let id = line.asked;
        let channel = line.channel.as_ref().ok_or(GONE)?;
        let asked = PairAsked {
            id,
            path: path.to_owned(),
        };
        let files: Vec<BorrowedFd<'_>> = std::iter::once(certificate)
            .chain(key)
            .map(AsFd::as_fd)
            .collect();
        match channel.send(&asked, &files) {
            Ok(Sent::Queued) => {}
            Ok(Sent::Short(errno)) => return Err(errno.to_string()),
            Ok(Sent::Full | Sent::Closed) | Err(_) => return Err(GONE.to_owned()),
        }
        let until = Instant::now() + ANSWER_TIMEOUT;
        loop {
            match channel.receive::<PairRead>() {
                Ok(Received::Message(read, _)) if read.id == id => return read.chain,
                // Of a question that nobody waits for any more.
                Ok(Received::Message(..)) => continue,
                Ok(Received::Empty) => {}
                Ok(Received::Closed) | Err(_) => return Err(GONE.to_owned()),
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("the disk does not answer".to_owned());
            }
            let left = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::ZERO);
            let mut ready = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, left) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.to_string()),
            }
        }
    }
}

/// The certificates of one pair, and no descriptors.
const BOUNDS: Bounds = Bounds {
    file_bytes: 4 * 1024 * 1024,
    descriptors: 0,
};
const GONE: &str = "the process that keeps private keys does not answer";
/// How long a disk may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
