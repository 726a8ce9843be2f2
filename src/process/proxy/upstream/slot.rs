//! The slot of a request on a backend, and the ticket of a request that waits for one.
//!
//! Both are given back when they are dropped.

use std::rc::Rc;
use std::task::{Context, Poll};

use crate::logic::balance::queue::{Ticket, Urgency};
use crate::logic::balance::retry::Tried;
use crate::process::proxy::upstream::local::{WorkerBackend, WorkerPool};
use crate::process::proxy::upstream::picker::Wish;
use crate::process::proxy::upstream::queue::Call;

/// A request that a backend is busy with: the slot that was acquired there, released when this is
/// dropped.
pub(in crate::process::proxy) struct RequestSlot {
    pool: Rc<WorkerPool>,
    index: usize,
}

impl RequestSlot {
    /// Holds a slot that was acquired on a backend, by index.
    pub(in crate::process::proxy) fn new(pool: &Rc<WorkerPool>, index: usize) -> Self {
        Self {
            pool: Rc::clone(pool),
            index,
        }
    }

    /// Returns the index of the backend.
    pub(in crate::process::proxy) fn index(&self) -> usize {
        self.index
    }

    /// Returns the backend.
    pub(in crate::process::proxy) fn backend(&self) -> &WorkerBackend {
        &self.pool.worker_backends()[self.index]
    }
}

impl Drop for RequestSlot {
    fn drop(&mut self) {
        self.pool.release_slot(self.index, self.pool.now_ms());
    }
}

/// A place in the queue of a pool, until this is dropped.
pub(in crate::process::proxy) struct QueueTicket {
    pool: Rc<WorkerPool>,
    ticket: Ticket,
}

impl QueueTicket {
    /// Takes a place for a request with this wish that has been tried on the given backends.
    pub(in crate::process::proxy) fn take(
        pool: &Rc<WorkerPool>,
        tried: Tried,
        urgency: Urgency,
        wish: Wish,
    ) -> Self {
        let queue = &pool.runtime.queue;
        Self {
            ticket: queue.enter(&pool.backends, pool.now_ms(), tried, urgency, wish),
            pool: Rc::clone(pool),
        }
    }

    /// Ready with a slot on a backend, or with `None` where no backend is left to wait for, or the
    /// pool is another one now.
    pub(in crate::process::proxy) fn poll(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<RequestSlot>> {
        let poll = self.pool.runtime.queue.poll(self.ticket, cx);
        poll.map(|call| match call {
            Call::Slot(backend) => Some(RequestSlot::new(&self.pool, backend)),
            Call::NoBackend | Call::Superseded => None,
        })
    }
}

impl Drop for QueueTicket {
    /// Leaves; who was called and has not heard of it passes its room on.
    fn drop(&mut self) {
        if let Some(Call::Slot(backend)) = self.pool.runtime.queue.leave(self.ticket) {
            self.pool.release_slot(backend, self.pool.now_ms());
        }
    }
}
