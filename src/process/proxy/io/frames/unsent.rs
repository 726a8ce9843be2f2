//! What was sent on all streams of one connection and waits to be written: bounded for all of them,
//! so that a peer that reads nothing gets no more of it for having many streams.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::process::proxy::io::buffers::Buffers;

/// How much of it there is.
pub(in crate::process::proxy) struct Unsent {
    /// Where what is sent is held.
    buffers: Rc<Buffers>,
    bytes: Cell<usize>,
    bytes_max: usize,
    /// Who waits for it to be written, the first first.
    waiting: RefCell<VecDeque<Waker>>,
}

impl Unsent {
    /// Returns nothing so far, and so much at most.
    pub(in crate::process::proxy) fn new(buffers: &Rc<Buffers>, bytes_max: usize) -> Self {
        Self {
            buffers: Rc::clone(buffers),
            bytes: Cell::new(0),
            bytes_max,
            waiting: RefCell::default(),
        }
    }

    /// Returns the buffers for what is sent.
    pub(super) fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// Ready when more may be sent.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.bytes.get() < self.bytes_max {
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
        self.bytes.set(self.bytes.get().saturating_add(bytes));
    }

    /// So much has been written, or does not wait any more.
    pub(super) fn handle_written(&self, bytes: usize) {
        let left = self.bytes.get().saturating_sub(bytes);
        self.bytes.set(left);
        let room = self.bytes_max.saturating_sub(left);
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

/// About what somebody sends who has waited for room.
const WAITED_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;
    use std::task::Wake;

    use super::*;

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
        let unsent = Unsent::new(&Rc::default(), 100);
        unsent.handle_sent(99);
        assert!(unsent.poll_room(&cx).is_ready());
        unsent.handle_sent(2);
        assert!(unsent.poll_room(&cx).is_pending());
        assert!(unsent.poll_room(&cx).is_pending());
        unsent.handle_written(1);
        assert_eq!(woken.0.load(SeqCst), 0, "there is no room yet");
        let others: Vec<Waker> = (0..9).map(|_| Arc::clone(&woken).into()).collect();
        let others = others.iter().map(Context::from_waker);
        // One of many is not known from the others.
        others.for_each(|cx| unsent.waiting.borrow_mut().push_back(cx.waker().clone()));
        unsent.handle_written(1);
        assert_eq!(woken.0.load(SeqCst), 1, "for whom there is room");
        assert!(unsent.poll_room(&cx).is_ready());
        unsent.handle_written(99);
        assert_eq!(woken.0.load(SeqCst), 10, "nobody is forgotten");
    }
}
