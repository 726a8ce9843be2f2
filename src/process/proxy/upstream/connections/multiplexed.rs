//! The connections in HTTP/2 of one worker to one backend: each carries many requests.
//!
//! A request takes a stream on one that has room; where none has, one is opened, and who comes
//! meanwhile waits for that. A connection on which an answer is missed gets no new request until
//! something of an answer has come on it: a backend that has gone silently would get them all.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use h2::client::SendRequest;
use http::uri::Scheme;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::process::proxy::io::buffers::Buffers;
use crate::process::proxy::io::frames::Frames;
use crate::process::proxy::io::frames::client::{ClientFrames, Standing};
use crate::process::proxy::io::frames::data::Data;
use crate::process::proxy::io::frames::unsent::Unsent;
use crate::process::proxy::io::stream::Stream;

/// The connections to a backend.
#[derive(Default)]
pub(in crate::process::proxy) struct Multiplexed {
    connections: RefCell<Vec<Connected>>,
    opening: Cell<Opening>,
    opened: Notify,
    /// How many could not be opened.
    failed: Cell<u64>,
}

/// Whether a connection is being opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Opening {
    #[default]
    Nobody,
    Somebody,
}

struct Connected {
    sender: SendRequest<Data>,
    scheme: Scheme,
    unsent: Rc<Unsent>,
    /// Each stream has it too.
    standing: Rc<Standing>,
    /// When it was last seen with a stream.
    used_ms: Cell<u64>,
}

impl Connected {
    fn streams(&self) -> usize {
        // Its driver has it, and itself.
        Rc::strong_count(&self.standing).saturating_sub(2)
    }

    /// Returns whether the backend has said that nothing more is taken, or nothing more can be
    /// asked.
    fn takes_no_more(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.sender.poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    fn has_room(&self) -> bool {
        let max = self.sender.current_max_send_streams().min(STREAMS_MAX);
        self.standing.is_good() && self.streams() < max
    }

    fn stream(&self) -> Stream {
        let sender = self.sender.clone();
        let standing = Rc::clone(&self.standing);
        let frames = ClientFrames::new(
            sender,
            self.scheme.clone(),
            standing,
            Rc::clone(&self.unsent),
        );
        Stream::framed(Frames::Client(Box::new(frames)))
    }
}

/// Says, at its end, that nobody opens a connection any more.
pub(in crate::process::proxy) struct Turn<'m>(&'m Multiplexed);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.opening.set(Opening::Nobody);
        self.0.opened.notify_waiters();
    }
}

impl Multiplexed {
    /// Returns who may open a connection now: one at a time.
    pub(in crate::process::proxy) fn turn(&self) -> Option<Turn<'_>> {
        let before = self.opening.replace(Opening::Somebody);
        // Built where it is due alone: it ends the turn when it is dropped.
        (before == Opening::Nobody).then(|| Turn(self))
    }

    /// Waits until nobody opens one.
    pub(in crate::process::proxy) fn opened(&self) -> Notified<'_> {
        self.opened.notified()
    }

    /// Notes that one could not be opened: who has waited for it needs no attempt of his own to
    /// know that.
    pub(in crate::process::proxy) fn handle_failed(&self) {
        self.failed.set(self.failed.get() + 1);
    }

    /// Returns how many could not be opened so far.
    pub(in crate::process::proxy) fn failed(&self) -> u64 {
        self.failed.get()
    }

    /// Adds a connection that was opened; returns a stream of it.
    pub(in crate::process::proxy) fn add(
        &self,
        sender: SendRequest<Data>,
        scheme: Scheme,
        standing: Rc<Standing>,
        buffers: &Rc<Buffers>,
        now_ms: u64,
    ) -> Stream {
        let connected = Connected {
            sender,
            scheme,
            unsent: Rc::new(Unsent::new(buffers, UNSENT_BYTES)),
            standing,
            used_ms: Cell::new(now_ms),
        };
        let stream = connected.stream();
        self.connections.borrow_mut().push(connected);
        stream
    }

    /// Takes a stream of the connection with the fewest of those that have room.
    pub(in crate::process::proxy) fn take(&self, now_ms: u64) -> Option<Stream> {
        let mut connections = self.connections.borrow_mut();
        // Those that are left end with the last request on them.
        connections.retain_mut(|it| !it.standing.has_ended() && !it.takes_no_more());
        let with_room = connections.iter().filter(|it| it.has_room());
        let connected = with_room.min_by_key(|it| it.streams())?;
        connected.used_ms.set(now_ms);
        Some(connected.stream())
    }

    /// Closes those that have ended, or were not used for so long.
    pub(in crate::process::proxy) fn sweep(&self, now_ms: u64, idle_ms_max: u64) {
        self.connections.borrow_mut().retain(|it| {
            if it.streams() > 0 {
                it.used_ms.set(now_ms);
            }
            let idle_ms = now_ms.saturating_sub(it.used_ms.get());
            !it.standing.has_ended() && idle_ms < idle_ms_max
        });
    }

    /// Has all of them end when the last request on them has.
    pub(in crate::process::proxy) fn clear(&self) {
        self.connections.borrow_mut().clear();
    }
}

/// Of all requests' bodies, what may wait for the connection.
const UNSENT_BYTES: usize = 256 * 1024;
/// Streams of a connection at a time, whatever more the backend allows.
const STREAMS_MAX: usize = 100;
