//! A pool of request futures, whose memory is reused.
//!
//! Handling a request takes much more memory than waiting for the next one, and an idle connection
//! should cost little: a connection takes a slot for each request and gives it back after it. Knows
//! nothing of requests.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::process::proxy::io::recycle::Shelf;
use crate::process::proxy::memory::FUTURES_KEPT;

/// The free slots of one worker, for futures from an `I` to an `O`.
pub(in crate::process::proxy) struct FuturePool<I, O> {
    free: RefCell<Shelf<Box<dyn FutureSlot<I, O>>>>,
    /// How many there are, free or in use.
    made: Cell<usize>,
    make: Box<dyn Fn() -> Box<dyn FutureSlot<I, O>>>,
}

/// A slot for one future at a time.
pub(in crate::process::proxy) trait FutureSlot<I, O> {
    /// Begins a future.
    fn start(&mut self, input: I);

    /// Goes on with it; pending for ever where none was started.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<O>;
}

/// A slot whose futures are made by `make`.
struct ReusedFuture<M, F> {
    make: M,
    future: Pin<Box<Option<F>>>,
}

impl<I, O> FuturePool<I, O> {
    /// Returns a pool of the futures that `make` makes.
    pub(in crate::process::proxy) fn new<M, F>(make: M) -> Self
    where
        M: Fn(I) -> F + Copy + 'static,
        F: Future<Output = O> + 'static,
    {
        Self {
            free: RefCell::new(Shelf::new(FUTURES_KEPT)),
            made: Cell::new(0),
            make: Box::new(move || {
                Box::new(ReusedFuture {
                    make,
                    future: Box::pin(None),
                })
            }),
        }
    }

    /// Returns an empty slot.
    pub(in crate::process::proxy) fn take(&self) -> Box<dyn FutureSlot<I, O>> {
        let kept = self.free.borrow_mut().take();
        kept.unwrap_or_else(|| {
            self.made.set(self.made.get() + 1);
            (self.make)()
        })
    }

    /// Takes back a slot whose future has ended.
    pub(in crate::process::proxy) fn give_back(&self, slot: Box<dyn FutureSlot<I, O>>) {
        if self.free.borrow_mut().give_back(slot).is_some() {
            self.count_gone(1);
        }
    }

    /// Lets go slots that have not been needed for a while; returns how many are left.
    pub(in crate::process::proxy) fn sweep(&self) -> usize {
        let gone = self.free.borrow_mut().sweep();
        self.count_gone(gone);
        self.made.get()
    }

    fn count_gone(&self, gone: usize) {
        self.made.set(self.made.get().saturating_sub(gone));
    }
}

impl<I, O, M, F> FutureSlot<I, O> for ReusedFuture<M, F>
where
    M: Fn(I) -> F,
    F: Future<Output = O>,
{
    fn start(&mut self, input: I) {
        let future = (self.make)(input);
        self.future.set(Some(future));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<O> {
        let Some(future) = self.future.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        let ended = ready!(future.poll(cx));
        self.future.set(None);
        Poll::Ready(ended)
    }
}
