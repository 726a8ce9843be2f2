//! The futures in which requests are answered, in memory that is used again.
//!
//! Answering takes much more room than waiting for the next request, and an idle connection should
//! cost little: it lends a room for each request and gives it back. Knows nothing of requests; read
//! `connection` next.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::connection::{self, Client, Read};
use crate::process::proxy::memory::TURNS_KEPT;
use crate::process::proxy::recycle::Shelf;
use crate::process::proxy::relay::After;

/// The rooms that are free.
pub(in crate::process::proxy) struct Turns {
    free: RefCell<Shelf<Box<dyn Room>>>,
    /// How many there are, free or in use.
    made: Cell<usize>,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns {
            free: RefCell::new(Shelf::new(TURNS_KEPT)),
            made: Cell::new(0),
        }
    }
}

/// A place for one future at a time.
pub(super) trait Room {
    /// Takes a connection and what was read from it.
    fn enter(&mut self, client: Client, read: Read);

    /// Goes on with it; pending for ever where nobody has entered.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Client, After)>;
}

/// A room whose future is made by `make`.
struct Made<M, F> {
    make: M,
    future: Pin<Box<Option<F>>>,
}

impl Turns {
    /// Returns an empty room.
    pub(super) fn take(&self) -> Box<dyn Room> {
        let kept = self.free.borrow_mut().take();
        kept.unwrap_or_else(|| {
            self.made.set(self.made.get() + 1);
            Box::new(Made {
                make: connection::turn,
                future: Box::pin(None),
            })
        })
    }

    /// Takes back a room whose future has ended.
    pub(super) fn give_back(&self, room: Box<dyn Room>) {
        if self.free.borrow_mut().give_back(room).is_some() {
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

impl<M, F> Room for Made<M, F>
where
    M: Fn(Client, Read) -> F,
    F: Future<Output = (Client, After)>,
{
    fn enter(&mut self, client: Client, read: Read) {
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
