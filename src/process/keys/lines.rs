//! The lines over which workers ask, each its own: a worker that asks much has others wait no
//! longer than a signature, and one that says what is no question is not listened to any more.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use super::keyring::Keyring;
use crate::ipc::signing::{Answer, PACKET_BYTES_MAX, Question};

/// The lines of all workers.
#[derive(Default)]
pub(super) struct Lines {
    open: Vec<OwnedFd>,
    buffer: Vec<u8>,
}

impl Lines {
    /// Listens to these too: whoever gets another line lets the one go that he had.
    pub(super) fn add(&mut self, lines: Vec<OwnedFd>) {
        self.open.extend(lines);
        self.buffer.resize(PACKET_BYTES_MAX + 1, 0);
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.open.iter().map(AsFd::as_fd)
    }

    /// Answers a question of each line that is ready, until a time; those that have no turn are the
    /// first the next time.
    pub(super) fn answer(&mut self, ready: &[bool], keyring: &Keyring, until: Instant) {
        let Self { open, buffer } = self;
        let mut ready = ready.iter();
        let mut served = 0;
        open.retain(|line| {
            if ready.next() != Some(&true) || Instant::now() >= until {
                return true;
            }
            served += 1;
            answer_one(line, buffer, keyring)
        });
        if !open.is_empty() {
            let turned = served % open.len();
            open.rotate_left(turned);
        }
    }
}

/// Returns whether a line is listened to any longer.
fn answer_one(line: &OwnedFd, buffer: &mut [u8], keyring: &Keyring) -> bool {
    let fd = line.as_raw_fd();
    let len = match recv(fd, buffer, MsgFlags::MSG_DONTWAIT) {
        Ok(0) => return false,
        Ok(len) => len,
        Err(Errno::EAGAIN | Errno::EINTR) => return true,
        Err(_) => return false,
    };
    let question = (len <= PACKET_BYTES_MAX)
        .then(|| Question::read(&buffer[..len]))
        .flatten();
    let Some(question) = question else {
        tracing::error!("a worker says what is no question, it is not listened to any more");
        return false;
    };
    let signature = keyring.sign(&question);
    let answer = Answer {
        id: question.id,
        signature: signature.as_deref(),
    };
    let mut packet = Vec::with_capacity(512);
    answer.write(&mut packet);
    // Who does not take its answers waits for none.
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    !matches!(
        send(fd, &packet, flags),
        Err(Errno::EPIPE | Errno::ECONNRESET)
    )
}
