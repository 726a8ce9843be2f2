//! The futures in which requests are answered, in memory that is used again.
//!
//! Answering takes much more room than waiting for the next request, and an idle connection should
//! cost little: it lends a room for each request and gives it back. Knows nothing of requests; read
//! `connection` next.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::connection::{self, Client, Read};
use crate::process::proxy::relay::After;

/// The rooms that are free.
#[derive(Default)]
pub(in crate::process::proxy) struct Turns {
    free: RefCell<Vec<Box<dyn Room>>>,
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
        let kept = self.free.borrow_mut().pop();
        kept.unwrap_or_else(|| {
            Box::new(Made {
                make: connection::turn,
                future: Box::pin(None),
            })
        })
    }

    /// Takes back a room whose future has ended.
    pub(super) fn give_back(&self, room: Box<dyn Room>) {
        let mut free = self.free.borrow_mut();
        if free.len() < KEPT {
            free.push(room);
        }
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

/// Rooms kept free, of 2 kB each; where more requests are answered at once, more are made.
const KEPT: usize = 1024;
