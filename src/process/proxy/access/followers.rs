//! Operators who follow the access log as it is made, each over a socket of their own.
//!
//! While nobody does, a line costs one look at a counter. Otherwise each worker renders it once
//! more, always as JSON, into a buffer that goes to the writer with the next beat; the writer
//! sends it to every follower, whole or not at all. A follower who reads slowly loses lines, which
//! are counted and told to them; one who has left is forgotten with the next message.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ipc::lent::{self, Aside, Sent, message_end};

/// All of them; of this log and of those in whose place it came.
#[derive(Default)]
pub(super) struct Followers {
    /// How many there are.
    count: AtomicUsize,
    /// Lines that did not come as far as the writer.
    lost: AtomicU64,
    all: Mutex<Vec<Follower>>,
}

/// One operator.
struct Follower {
    socket: OwnedFd,
    /// Lines that did not fit since this was last told.
    dropped: u64,
}

impl Followers {
    /// Returns whether there are any.
    pub(super) fn are_there(&self) -> bool {
        self.count.load(Relaxed) > 0
    }

    /// Takes one in, or tells them why not.
    pub(super) fn add(&self, socket: OwnedFd) {
        let mut all = self.all();
        if all.len() >= FOLLOWERS_MAX {
            let why = format!("{FOLLOWERS_MAX} follow the access log already");
            let _ = lent::try_send(&socket, &aside(&Aside::Refused(why)));
            return;
        }
        all.push(Follower { socket, dropped: 0 });
        self.count.store(all.len(), Relaxed);
    }

    /// Notes lines that will not be sent to anybody.
    pub(super) fn note_lost(&self, lines: u64) {
        self.lost.fetch_add(lines, Relaxed);
    }

    /// Sends whole lines to all.
    pub(super) fn send(&self, lines: &[u8]) {
        let mut all = self.all();
        let lost = self.lost.swap(0, Relaxed);
        for follower in &mut *all {
            follower.dropped += lost;
        }
        all.retain_mut(|follower| follower.send(lines));
        self.count.store(all.len(), Relaxed);
    }

    fn all(&self) -> MutexGuard<'_, Vec<Follower>> {
        // What is in it is whole at every moment.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Sends what fits; returns whether they are still there.
    fn send(&mut self, lines: &[u8]) -> bool {
        if self.dropped > 0 {
            match lent::try_send(&self.socket, &aside(&Aside::Dropped(self.dropped))) {
                Sent::Whole => self.dropped = 0,
                Sent::Full => {}
                Sent::Gone => return false,
            }
        }
        let mut rest = lines;
        while !rest.is_empty() {
            let (message, after) = rest.split_at(message_end(rest));
            rest = after;
            // Nothing after a line that is missing comes before that is told.
            let sent = match self.dropped {
                0 => lent::try_send(&self.socket, message),
                1.. => Sent::Full,
            };
            match sent {
                Sent::Whole => {}
                Sent::Full => self.dropped += count_lines(message),
                Sent::Gone => return false,
            }
        }
        !lent::has_left(&self.socket)
    }
}

fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

fn aside(what: &Aside) -> Vec<u8> {
    let mut text = serde_json::to_vec(what).unwrap_or_default();
    text.push(b'\n');
    text
}

/// Operators at a time.
const FOLLOWERS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::ipc::lent::MESSAGE_BYTES_MAX;

    fn heard(socket: &OwnedFd) -> String {
        let mut buf = vec![0; 2 * MESSAGE_BYTES_MAX];
        let message = lent::receive(socket, &mut buf).unwrap();
        String::from_utf8(message.to_vec()).unwrap()
    }

    #[test]
    fn a_slow_follower_loses_whole_lines_and_is_told_how_many() {
        let (kept, socket) = lent::pair().unwrap();
        let followers = Followers::default();
        followers.add(socket);
        let lines = "x".repeat(999) + "\n";
        let mut sent = 0;
        while followers.all()[0].dropped == 0 {
            followers.send(lines.as_bytes());
            sent += 1;
            assert!(sent < 100_000, "a buffer has a bound");
        }
        followers.send(lines.repeat(50).as_bytes());
        followers.note_lost(4);
        for _ in 1..sent {
            assert_eq!(heard(&kept).len(), 1000);
        }
        followers.send(b"last\n");
        assert_eq!(heard(&kept), "{\"dropped\":55}\n");
        assert_eq!(heard(&kept), "last\n");
        drop(kept);
        followers.send(b"nobody\n");
        assert!(!followers.are_there(), "who has left is forgotten");
    }

    #[test]
    fn one_too_many_is_told_so() {
        let followers = Followers::default();
        let mut kept = Vec::new();
        for _ in 0..=FOLLOWERS_MAX {
            let (ours, socket) = lent::pair().unwrap();
            followers.add(socket);
            kept.push(ours);
        }
        let said = heard(&kept[FOLLOWERS_MAX]);
        assert!(said.starts_with("{\"refused\":\"8 follow"), "{said}");
        assert_eq!(heard(&kept[FOLLOWERS_MAX]), "", "and it is the end");
    }

    #[test]
    fn messages_end_with_their_lines() {
        let lines = ("x".repeat(20_000) + "\n").repeat(3);
        assert_eq!(message_end(lines.as_bytes()), 20_001);
        assert_eq!(message_end(b"a\nb\n"), 4);
    }
}
