//! What the streams of one connection hold together, and what they may.
//!
//! A stream has its own part from its beginning (`HTTP2_STREAM_BYTES`). What it holds beyond that
//! while somebody is waited for comes out of what is left for all: where that is used up, the
//! others read little at a time. What was sent and waits for the connection is bounded for all of
//! them, so that a peer that reads nothing gets no more of it for having many streams.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::process::proxy::io::buffers::Buffers;
use crate::process::proxy::memory::{
    BLOCK_BYTES, HTTP2_CONNECTION_BYTES, HTTP2_READ_BYTES, HTTP2_READ_BYTES_MIN,
    HTTP2_STREAM_BYTES, taken,
};

/// The account of a connection.
pub(in crate::process::proxy) struct Load {
    buffers: Rc<Buffers>,
    bytes_max: Cell<usize>,
    streams: Cell<usize>,
    /// By those that have begun, from their beginning.
    reserved_bytes: Cell<usize>,
    /// Beyond that.
    held_bytes: Cell<usize>,
    /// In frames that have not been written.
    unsent_bytes: Cell<usize>,
    unsent_bytes_max: usize,
    /// Who waits for those to be written, the first first.
    waiting: RefCell<VecDeque<Waker>>,
}

impl Load {
    /// Returns the account of a connection on which so much may wait to be written.
    pub(in crate::process::proxy) fn new(buffers: Rc<Buffers>, unsent_bytes_max: usize) -> Self {
        Self {
            buffers,
            bytes_max: Cell::new(0),
            streams: Cell::new(0),
            reserved_bytes: Cell::new(0),
            held_bytes: Cell::new(0),
            unsent_bytes: Cell::new(0),
            unsent_bytes_max,
            waiting: RefCell::default(),
        }
    }

    /// Returns the buffers for what is sent.
    pub(super) fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// Returns how many streams there are.
    pub(in crate::process::proxy) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// Reserves what a stream needs whose head is so long, of so much for the connection; `None`
    /// where too little is left.
    pub(in crate::process::proxy) fn begin(
        self: &Rc<Self>,
        head_bytes: usize,
        bytes_max: usize,
    ) -> Option<Reserved> {
        self.bytes_max.set(bytes_max);
        let bytes = HTTP2_STREAM_BYTES + 2 * head_bytes;
        if self.left() < bytes {
            return None;
        }
        self.streams.set(self.streams.get() + 1);
        add(&self.reserved_bytes, bytes);
        Some(Reserved {
            load: Rc::clone(self),
            bytes,
        })
    }

    fn left(&self) -> usize {
        let used = HTTP2_CONNECTION_BYTES + self.reserved_bytes.get() + self.held_bytes.get();
        self.bytes_max.get().saturating_sub(used)
    }

    /// Returns how much may be read at a time.
    pub(super) fn read_bytes(&self) -> usize {
        match self.left() {
            ..LARGE_READ => HTTP2_READ_BYTES_MIN,
            LARGE_READ.. => HTTP2_READ_BYTES,
        }
    }

    /// Ready when more may be sent.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.unsent_bytes.get() < self.unsent_bytes_max {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push_back(cx.waker().clone());
        }
        Poll::Pending
    }

    /// So much more waits to be written.
    pub(super) fn handle_sent(&self, bytes: usize) {
        add(&self.unsent_bytes, bytes);
    }

    /// So much has been written, or does not wait any more.
    pub(super) fn handle_written(&self, bytes: usize) {
        let left = self.unsent_bytes.get().saturating_sub(bytes);
        self.unsent_bytes.set(left);
        let room = self.unsent_bytes_max.saturating_sub(left);
        // No more than find room; but whoever is woken may not want it any more, so in the end all.
        let count = match left {
            0 => usize::MAX,
            _ => room.min(bytes).div_ceil(WAITED_BYTES),
        };
        for _ in 0..count {
            let Some(waker) = self.waiting.borrow_mut().pop_front() else {
                break;
            };
            waker.wake();
        }
    }
}

fn add(cell: &Cell<usize>, bytes: usize) {
    cell.set(cell.get().saturating_add(bytes));
}

fn subtract(cell: &Cell<usize>, bytes: usize) {
    cell.set(cell.get().saturating_sub(bytes));
}

/// A stream's own part, until it is dropped.
pub(in crate::process::proxy) struct Reserved {
    load: Rc<Load>,
    bytes: usize,
}

impl Reserved {
    /// Returns whether no other stream is there.
    pub(in crate::process::proxy) fn is_last(&self) -> bool {
        self.load.streams.get() == 1
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        subtract(&self.load.reserved_bytes, self.bytes);
        self.load.streams.set(self.load.streams.get() - 1);
    }
}

/// What one direction of a stream holds beyond the stream's own part, until it is dropped.
pub(in crate::process::proxy) struct Share {
    load: Rc<Load>,
    held_bytes: usize,
}

impl Share {
    /// Returns nothing so far.
    pub(in crate::process::proxy) fn new(load: &Rc<Load>) -> Self {
        Self {
            load: Rc::clone(load),
            held_bytes: 0,
        }
    }

    /// Returns how much may be read at a time.
    pub(in crate::process::proxy) fn read_bytes(&self) -> usize {
        self.load.read_bytes()
    }

    /// Takes note of how much is held while somebody is waited for.
    pub(in crate::process::proxy) fn note(&mut self, bytes: usize) {
        let held_bytes = taken(bytes).saturating_sub(BLOCK_BYTES);
        if held_bytes != self.held_bytes {
            subtract(&self.load.held_bytes, self.held_bytes);
            add(&self.load.held_bytes, held_bytes);
            self.held_bytes = held_bytes;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        subtract(&self.load.held_bytes, self.held_bytes);
    }
}

/// About what somebody sends who has waited for room.
const WAITED_BYTES: usize = 16 * 1024;
/// What holding as much as is read at a time takes.
const LARGE_READ: usize = taken(HTTP2_READ_BYTES);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;
    use std::task::Wake;

    use super::*;

    const MAX: usize = 2 << 20;

    #[test]
    fn streams_are_refused_where_their_own_parts_would_not_fit() {
        let load = Rc::new(Load::new(Rc::default(), 1));
        let streams: Vec<Reserved> = std::iter::from_fn(|| load.begin(300, MAX)).collect();
        assert!((100..150).contains(&streams.len()), "{}", streams.len());
        assert_eq!(load.streams(), streams.len());
        assert!(load.begin(300, MAX).is_none());
        drop(streams);
        assert_eq!((load.streams(), load.reserved_bytes.get()), (0, 0));
        assert!(load.begin(300, MAX).is_some());
    }

    #[test]
    fn those_that_hold_much_leave_little_to_read_for_the_others() {
        let load = Rc::new(Load::new(Rc::default(), 1));
        let streams: Vec<_> = (0..100).map(|_| load.begin(300, MAX).unwrap()).collect();
        let mut shares = Vec::new();
        for _ in &streams {
            for _ in 0..2 {
                let mut share = Share::new(&load);
                share.note(share.read_bytes());
                shares.push(share);
            }
        }
        let used = HTTP2_CONNECTION_BYTES + load.reserved_bytes.get() + load.held_bytes.get();
        assert!(used <= MAX, "{used}");
        let large = shares.iter().filter(|share| share.held_bytes > 0).count();
        assert!((5..100).contains(&large), "{large}");
        for share in &mut shares {
            share.note(0);
        }
        assert_eq!(load.held_bytes.get(), 0);
        assert_eq!(shares[0].read_bytes(), HTTP2_READ_BYTES);
    }

    #[test]
    fn who_waits_for_room_is_woken_when_there_is_some() {
        struct Woken(AtomicUsize);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, SeqCst);
            }
        }
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        let load = Load::new(Rc::default(), 100);
        load.handle_sent(99);
        assert!(load.poll_room(&cx).is_ready());
        load.handle_sent(2);
        assert!(load.poll_room(&cx).is_pending());
        assert!(load.poll_room(&cx).is_pending());
        load.handle_written(1);
        assert_eq!(woken.0.load(SeqCst), 0, "there is no room yet");
        let others: Vec<Waker> = (0..9).map(|_| Arc::clone(&woken).into()).collect();
        let others = others.iter().map(Context::from_waker);
        // One of many is not known from the others.
        others.for_each(|cx| load.waiting.borrow_mut().push_back(cx.waker().clone()));
        load.handle_written(1);
        assert_eq!(woken.0.load(SeqCst), 1, "for whom there is room");
        assert!(load.poll_room(&cx).is_ready());
        load.handle_written(99);
        assert_eq!(woken.0.load(SeqCst), 10, "nobody is forgotten");
    }
}
