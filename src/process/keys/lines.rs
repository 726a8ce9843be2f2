//! The lines over which workers ask, each its own: a worker that asks much has others wait no
//! longer than a signature, and one that says what is no question is not listened to any more.

mod unsigned;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

pub(super) use self::unsigned::Unsigned;
use super::keyring::Keyring;
use crate::ipc::signing::{Answer, Outcome, PACKET_BYTES_MAX, Question, now_ms};

/// The lines of all workers.
#[derive(Default)]
pub(super) struct Lines {
    /// In the order in which they are answered.
    open: Vec<OwnedFd>,
    buffer: Vec<u8>,
    /// Questions that were.
    pub(super) refused: Unsigned,
    /// And those whose time was over before their turn came.
    pub(super) late: Unsigned,
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

    /// Answers a question of each line that is ready, in the order of `descriptors`, as long as
    /// there is time; those that had none come first the next time.
    pub(super) fn answer(
        &mut self,
        ready: &[bool],
        keyring: &Keyring,
        has_time: impl Fn() -> bool,
    ) {
        let Self {
            open,
            buffer,
            refused,
            late,
        } = self;
        let ready = ready.iter().copied().chain(std::iter::repeat(false));
        let mut left = std::mem::take(open).into_iter().zip(ready).peekable();
        let mut done = Vec::new();
        while let Some((line, is_ready)) = left.next_if(|(_, ready)| !ready || has_time()) {
            if !is_ready || answer_one(&line, buffer, keyring, [refused, late]) {
                done.push(line);
            }
        }
        open.extend(left.map(|(line, _)| line));
        open.extend(done);
    }
}

/// Returns whether a line is listened to any longer.
fn answer_one(
    line: &OwnedFd,
    buffer: &mut [u8],
    keyring: &Keyring,
    [refused, late]: [&mut Unsigned; 2],
) -> bool {
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
    let signature;
    // Where more is asked than can be signed, all of that counts which is still of use.
    let outcome = if now_ms() >= question.until_ms {
        late.note();
        Outcome::Late
    } else {
        signature = keyring.sign(&question);
        match &signature {
            Some(signature) => Outcome::Signed(signature),
            None => {
                refused.note();
                Outcome::Refused
            }
        }
    };
    let answer = Answer {
        id: question.id,
        outcome,
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::cell::Cell;
    use std::sync::Arc;
    use std::time::Instant;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use rustls::SignatureScheme;
    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    use super::*;
    use crate::model::KeyId;

    const KNOWN: KeyId = KeyId([1; 32]);

    fn keyring() -> Keyring {
        let pair = rcgen::KeyPair::generate().unwrap();
        let der = PrivatePkcs8KeyDer::from(pair.serialize_der());
        let key = any_supported_type(&PrivateKeyDer::from(der)).unwrap();
        let keyring = Keyring::default();
        keyring.insert(KNOWN, Arc::clone(&key), Instant::now());
        keyring
    }

    /// Returns so many lines, and the workers' ends.
    fn lines(count: usize) -> (Lines, Vec<OwnedFd>) {
        let pairs = (0..count).map(|_| {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap()
        });
        let (ours, theirs) = pairs.unzip();
        let mut lines = Lines::default();
        lines.add(ours);
        (lines, theirs)
    }

    fn say(line: &OwnedFd, packet: &[u8]) -> Result<usize, Errno> {
        send(line.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL)
    }

    fn question(id: u32, key: KeyId) -> Vec<u8> {
        let mut packet = Vec::new();
        let question = Question {
            id,
            key,
            scheme: SignatureScheme::ECDSA_NISTP256_SHA256.into(),
            until_ms: now_ms() + 60_000,
            message: b"what",
        };
        question.write(&mut packet);
        packet
    }

    /// Returns the next answer: its id, and whether it is a signature.
    fn answer(line: &OwnedFd) -> Result<(u32, bool), Errno> {
        let mut buffer = [0; 1024];
        let len = recv(line.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        if len == 0 {
            return Err(Errno::ECONNRESET);
        }
        let answer = Answer::read(&buffer[..len]).unwrap();
        Ok((answer.id, matches!(answer.outcome, Outcome::Signed(_))))
    }

    #[test]
    fn who_says_what_is_no_question_is_not_listened_to_and_others_are() {
        let (keyring, (mut lines, theirs)) = (keyring(), lines(5));
        let long = vec![0; PACKET_BYTES_MAX + 1];
        say(&theirs[0], b"garbage").unwrap();
        say(&theirs[1], &long).unwrap();
        say(&theirs[2], &question(7, KeyId([9; 32]))).unwrap();
        let mut unknown_scheme = question(8, KNOWN);
        unknown_scheme[36..38].copy_from_slice(&[0xff, 0xff]);
        say(&theirs[3], &unknown_scheme).unwrap();
        say(&theirs[4], &question(9, KNOWN)).unwrap();
        lines.answer(&[true; 5], &keyring, || true);
        assert_eq!(answer(&theirs[0]), Err(Errno::ECONNRESET));
        assert_eq!(answer(&theirs[1]), Err(Errno::ECONNRESET));
        assert_eq!(answer(&theirs[2]), Ok((7, false)), "an unknown key");
        assert_eq!(answer(&theirs[3]), Ok((8, false)), "an unknown scheme");
        assert_eq!(answer(&theirs[4]), Ok((9, true)));
        assert_eq!(lines.descriptors().count(), 3);
        assert_eq!(lines.refused.take(Instant::now()), Some(2));
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_signed() {
        let (keyring, (mut lines, theirs)) = (keyring(), lines(1));
        let mut packet = question(7, KNOWN);
        packet[38..46].copy_from_slice(&now_ms().to_be_bytes());
        say(&theirs[0], &packet).unwrap();
        lines.answer(&[true], &keyring, || true);
        let mut buffer = [0; 1024];
        let len = recv(theirs[0].as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap();
        let answer = Answer::read(&buffer[..len]).unwrap();
        assert_eq!((answer.id, answer.outcome), (7, Outcome::Late));
        assert_eq!(lines.late.take(Instant::now()), Some(1));
        assert_eq!(lines.refused.take(Instant::now()), None);
    }

    /// And one that is silent is not asked anything.
    #[test]
    fn who_floods_has_others_wait_for_one_signature_and_whoever_takes_no_answer_gets_none() {
        let (keyring, (mut lines, theirs)) = (keyring(), lines(3));
        let mut asked = 0;
        while say(&theirs[0], &question(asked, KNOWN)).is_ok() {
            asked += 1;
        }
        assert!(asked > 2, "{asked}");
        say(&theirs[1], &question(7, KNOWN)).unwrap();
        say(&theirs[2], &question(8, KNOWN)).unwrap();
        lines.answer(&[true, true, false], &keyring, || true);
        assert_eq!(answer(&theirs[1]), Ok((7, true)));
        assert_eq!(answer(&theirs[2]), Err(Errno::EAGAIN), "it was not ready");
        for _ in 0..2000 {
            let _ = say(&theirs[0], &question(asked, KNOWN));
            lines.answer(&[true, true, true], &keyring, || true);
        }
        assert_eq!(answer(&theirs[2]), Ok((8, true)));
        assert_eq!(answer(&theirs[0]), Ok((0, true)));
        assert_eq!(lines.descriptors().count(), 3);
    }

    #[test]
    fn who_found_no_time_comes_first_the_next_time() {
        let (keyring, (mut lines, theirs)) = (keyring(), lines(3));
        for turn in 0..3 {
            for line in &theirs {
                say(line, &question(turn, KNOWN)).unwrap();
            }
        }
        // Time for two signatures a turn.
        for _ in 0..4 {
            let left = Cell::new(2);
            lines.answer(&[true; 3], &keyring, || left.replace(left.get() - 1) > 0);
        }
        let answered = theirs.iter().map(|line| {
            let mut count = 0;
            while answer(line).is_ok() {
                count += 1;
            }
            count
        });
        assert_eq!(answered.collect::<Vec<_>>(), [3, 3, 2]);
    }
}
