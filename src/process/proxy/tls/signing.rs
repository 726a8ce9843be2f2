//! Asks the process `keys` for signatures, over a line that each worker has of its own.
//!
//! rustls wants its signature at once, so a question blocks the worker, for [`ANSWER_TIMEOUT`] at
//! most. After one that was not answered in time no handshake goes on until that answer has come,
//! or there is another line: whoever waits costs the worker nothing.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};

use crate::ipc::signing::{Answer, Outcome, PACKET_BYTES_MAX, Question, now_ms};
use crate::model::KeyId;

thread_local! {
    /// The line of this worker: rustls passes nothing to who signs but what is to be signed.
    static LINE: Rc<Line> = Rc::default();
}

/// Returns the line of the worker whose thread this is.
pub(in crate::process::proxy) fn line() -> Rc<Line> {
    LINE.with(Rc::clone)
}

/// What workers ask over, by their number.
pub(in crate::process::proxy) type SigningLines = Arc<[Arc<OwnedFd>]>;

/// A line to the process that signs.
#[derive(Default)]
pub(in crate::process::proxy) struct Line {
    socket: RefCell<Option<Arc<OwnedFd>>>,
    state: Cell<State>,
    asked: Cell<u32>,
    waiting: RefCell<Vec<Waker>>,
    buffer: RefCell<Vec<u8>>,
}

/// Whether questions are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// There is nobody to ask.
    #[default]
    Closed,
    /// As far as is known.
    Answering,
    /// The last question was not answered in time.
    Silent,
}

/// What has come of a question, where it is ours.
enum Reply {
    Signed(Vec<u8>),
    Refused,
    Late,
}

/// Why there is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::process::proxy) enum Unsigned {
    #[error("the process that signs does not answer")]
    Silent,
    #[error("the process that signs refuses to")]
    Refused,
}

impl Line {
    /// Asks over this socket from now on.
    pub(in crate::process::proxy) fn connect(&self, socket: Option<Arc<OwnedFd>>) {
        if socket.is_some() {
            // The first chance of a thread takes longer than the others; without it a handshake
            // fails and says so.
            let _ = aws_lc_rs::rand::fill(&mut [0; 32]);
        }
        self.state.set(match socket {
            Some(_) => State::Answering,
            None => State::Closed,
        });
        self.socket.replace(socket);
        self.wake();
    }

    /// Ready when a question may be asked; otherwise the task is woken then.
    pub(in crate::process::proxy) fn poll_answering(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.get() == State::Answering {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|known| known.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Returns whether a question would be asked at once.
    pub(in crate::process::proxy) fn is_answering(&self) -> bool {
        self.state.get() == State::Answering
    }

    fn wake(&self) {
        if self.state.get() == State::Answering {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Looks whether the answer has come that was late, and whether the line has ended: before a
    /// question finds out. With every beat of the worker.
    pub(in crate::process::proxy) fn handle_beat(&self) {
        if self.state.get() != State::Closed && self.receive(self.asked.get()).is_some() {
            self.state.set(State::Answering);
            self.wake();
        }
    }

    /// Has something signed.
    pub(super) fn sign(
        &self,
        key: KeyId,
        scheme: u16,
        message: &[u8],
    ) -> Result<Vec<u8>, Unsigned> {
        if self.state.get() != State::Answering {
            return Err(Unsigned::Silent);
        }
        let id = self.asked.get().wrapping_add(1);
        self.asked.set(id);
        let signed = self.ask(Question {
            id,
            key,
            scheme,
            until_ms: now_ms() + ANSWER_TIMEOUT.as_millis() as u64,
            message,
        });
        match signed {
            Some(Reply::Signed(signature)) => Ok(signature),
            Some(Reply::Refused) => Err(Unsigned::Refused),
            // It may be asked again at once.
            Some(Reply::Late) => Err(Unsigned::Silent),
            None => {
                if self.state.get() == State::Answering {
                    self.state.set(State::Silent);
                }
                Err(Unsigned::Silent)
            }
        }
    }

    /// Returns the answer; `None` where none has come in time.
    fn ask(&self, question: Question<'_>) -> Option<Reply> {
        let until = Instant::now() + ANSWER_TIMEOUT;
        let socket = self.socket.borrow().clone()?;
        let mut packet = Vec::with_capacity(question.message.len() + 64);
        question.write(&mut packet);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(socket.as_raw_fd(), &packet, flags) {
            Ok(_) => {}
            Err(Errno::EAGAIN) => return None,
            Err(_) => {
                self.state.set(State::Closed);
                return None;
            }
        }
        loop {
            if let Some(answer) = self.receive(question.id) {
                return Some(answer);
            }
            let left = until.checked_duration_since(Instant::now())?;
            if self.state.get() != State::Answering {
                return None;
            }
            let left = PollTimeout::try_from(left.as_micros().div_ceil(1000)).ok()?;
            let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, left) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return None,
            }
        }
    }

    /// Takes what has come; returns the answer to this question, where it is among it. Others are
    /// late and nobody's.
    fn receive(&self, id: u32) -> Option<Reply> {
        let socket = self.socket.borrow().clone()?;
        let mut buffer = self.buffer.borrow_mut();
        buffer.resize(ANSWER_BYTES_MAX, 0);
        loop {
            match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => {
                    self.state.set(State::Closed);
                    return None;
                }
                Ok(len) => match Answer::read(&buffer[..len]) {
                    Some(answer) if answer.id == id => {
                        return Some(match answer.outcome {
                            Outcome::Signed(signature) => Reply::Signed(signature.to_vec()),
                            Outcome::Refused => Reply::Refused,
                            Outcome::Late => Reply::Late,
                        });
                    }
                    Some(_) | None => {}
                },
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return None,
                Err(_) => {
                    self.state.set(State::Closed);
                    return None;
                }
            }
        }
    }
}

/// How long a worker waits for a signature.
pub(in crate::process::proxy) const ANSWER_TIMEOUT: Duration = Duration::from_millis(20);
/// A signature of RSA with 16,384 bits, and more.
const ANSWER_BYTES_MAX: usize = 4096;
const _: () = assert!(ANSWER_BYTES_MAX <= PACKET_BYTES_MAX);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    fn pair() -> (Line, OwnedFd) {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .unwrap();
        let line = Line::default();
        line.connect(Some(Arc::new(ours)));
        (line, theirs)
    }

    fn answer(theirs: &OwnedFd, id: u32, signature: Option<&[u8]>) {
        let mut packet = Vec::new();
        let outcome = signature.map_or(Outcome::Refused, Outcome::Signed);
        Answer { id, outcome }.write(&mut packet);
        send(theirs.as_raw_fd(), &packet, MsgFlags::MSG_DONTWAIT).unwrap();
    }

    fn is_answering(line: &Line) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        line.poll_answering(&mut cx).is_ready()
    }

    #[test]
    fn a_question_gets_its_own_answer_and_no_other() {
        let (line, theirs) = pair();
        answer(&theirs, 7, Some(b"of another question"));
        answer(&theirs, 1, Some(b"signed"));
        let signed = line.sign(KeyId([1; 32]), 0x0403, b"what");
        assert_eq!(signed, Ok(b"signed".to_vec()));
        answer(&theirs, 2, None);
        let signed = line.sign(KeyId([1; 32]), 0x0403, b"what");
        assert_eq!(signed, Err(Unsigned::Refused));
        assert!(is_answering(&line));
    }

    #[test]
    fn after_a_late_answer_nothing_is_asked_until_it_has_come() {
        let (line, theirs) = pair();
        let began = Instant::now();
        let signed = line.sign(KeyId([1; 32]), 0x0403, b"what");
        assert_eq!(signed, Err(Unsigned::Silent));
        assert!(began.elapsed() >= ANSWER_TIMEOUT);
        assert!(!is_answering(&line));
        line.handle_beat();
        assert!(!is_answering(&line), "nothing has come");
        answer(&theirs, 1, Some(b"signed"));
        line.handle_beat();
        assert!(is_answering(&line));
    }

    #[test]
    fn a_line_that_has_ended_waits_for_another() {
        let (line, theirs) = pair();
        drop(theirs);
        let signed = line.sign(KeyId([1; 32]), 0x0403, b"what");
        assert_eq!(signed, Err(Unsigned::Silent));
        line.handle_beat();
        assert!(!is_answering(&line));
        let (other, theirs) = pair();
        line.connect(other.socket.take());
        assert!(is_answering(&line));
        drop(theirs);
        line.handle_beat();
        assert!(!is_answering(&line), "seen before anything is asked");
    }
}
