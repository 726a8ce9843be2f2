//! A pool of request futures, whose memory is reused.
//!
//! Handling a request takes much more memory than waiting for the next one, and an idle connection should cost little:
//! a connection takes a slot for each request and gives it back after it. Read `connection` next.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::connection::{self, Client, Read};
use crate::process::proxy::io::recycle::Shelf;
use crate::process::proxy::memory::FUTURES_KEPT;
use crate::process::proxy::request::attempts::After;

/// The slots of one worker that are free.
pub(in crate::process::proxy) struct FuturePool {
    free: RefCell<Shelf<Box<dyn FutureSlot>>>,
    /// How many there are, free or in use.
    made: Cell<usize>,
}

impl Default for FuturePool {
    fn default() -> FuturePool {
        FuturePool {
            free: RefCell::new(Shelf::new(FUTURES_KEPT)),
            made: Cell::new(0),
        }
    }
}

/// A slot for one future at a time.
pub(super) trait FutureSlot {
    /// Takes a connection and what was read from it.
    fn start(&mut self, client: Client, read: Read);

    /// Goes on with it; pending for ever where none was started.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Client, After)>;
}

/// A slot whose future is made by `make`.
struct ReusedFuture<M, F> {
    make: M,
    future: Pin<Box<Option<F>>>,
}

impl FuturePool {
    /// Returns an empty slot.
    pub(super) fn take(&self) -> Box<dyn FutureSlot> {
        let kept = self.free.borrow_mut().take();
        kept.unwrap_or_else(|| {
            self.made.set(self.made.get() + 1);
            Box::new(ReusedFuture {
                make: connection::handle,
                future: Box::pin(None),
            })
        })
    }

    /// Takes back a slot whose future has ended.
    pub(super) fn give_back(&self, slot: Box<dyn FutureSlot>) {
        if self.free.borrow_mut().give_back(slot).is_some() {
            self.count_gone(1);
        }
    }

    /// Lets go what nobody has needed for a while; returns how many are left.
    pub(in crate::process::proxy) fn sweep(&self) -> usize {
        let gone = self.free.borrow_mut().sweep();
        self.count_gone(gone);
        self.made.get()
    }

    fn count_gone(&self, gone: usize) {
        self.made.set(self.made.get().saturating_sub(gone));
    }
}

impl<M, F> FutureSlot for ReusedFuture<M, F>
where
    M: Fn(Client, Read) -> F,
    F: Future<Output = (Client, After)>,
{
    fn start(&mut self, client: Client, read: Read) {
        let future = (self.make)(client, read);
        self.future.set(Some(future));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Client, After)> {
        let Some(future) = self.future.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        let ended = ready!(future.poll(cx));
        self.future.set(None);
        Poll::Ready(ended)
    }
}
