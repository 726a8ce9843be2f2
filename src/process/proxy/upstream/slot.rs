//! The slot of a request on a backend, and the ticket of a request that waits for one.
//!
//! Both are given back when they are dropped.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use crate::logic::balance::queue::Ticket;
use crate::logic::balance::retry::Tried;
use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::table::Pool;
use crate::process::proxy::upstream::queue::Call;

/// A request that a backend is busy with: the slot that was acquired there, released when this is
/// dropped.
pub(in crate::process::proxy) struct RequestSlot {
    context: Rc<WorkerContext>,
    pool: usize,
    backend: usize,
}

impl RequestSlot {
    /// Holds a slot that was acquired.
    pub(in crate::process::proxy) fn new(
        context: &Rc<WorkerContext>,
        pool: usize,
        backend: usize,
    ) -> Self {
        Self {
            context: Rc::clone(context),
            pool,
            backend,
        }
    }

    /// Returns the index of the backend.
    pub(in crate::process::proxy) fn backend(&self) -> usize {
        self.backend
    }

    /// Counts an attempt on the backend.
    pub(in crate::process::proxy) fn count_attempt(&self) {
        let backend = &self.context.table.pools[self.pool].backends[self.backend];
        backend.requests.fetch_add(1, Relaxed);
    }
}

impl Drop for RequestSlot {
    fn drop(&mut self) {
        let pool = &self.context.table.pools[self.pool];
        pool.release_slot(self.backend, self.context.table.now_ms());
    }
}

/// A place in the queue of a pool, until this is dropped.
pub(in crate::process::proxy) struct QueueTicket {
    context: Rc<WorkerContext>,
    pool: usize,
    ticket: Ticket,
}

impl QueueTicket {
    /// Takes a place for a request that has been tried on the given backends.
    pub(in crate::process::proxy) fn take(
        context: &Rc<WorkerContext>,
        pool_index: usize,
        tried: Tried,
    ) -> Self {
        let pool = &context.table.pools[pool_index];
        let now_ms = context.table.now_ms();
        Self {
            ticket: pool.queue.enter(&pool.backends, now_ms, tried),
            context: Rc::clone(context),
            pool: pool_index,
        }
    }

    /// Ready with a slot on a backend, or with `None` where no backend is left to wait for.
    pub(in crate::process::proxy) fn poll(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<RequestSlot>> {
        let poll = self.pool().queue.poll(self.ticket, cx);
        poll.map(|call| match call {
            Call::Slot(backend) => Some(RequestSlot::new(&self.context, self.pool, backend)),
            Call::NoBackend => None,
        })
    }

    fn pool(&self) -> &Pool {
        &self.context.table.pools[self.pool]
    }
}

impl Drop for QueueTicket {
    /// Leaves; who was called and has not heard of it passes its room on.
    fn drop(&mut self) {
        let pool = self.pool();
        if let Some(Call::Slot(backend)) = pool.queue.leave(self.ticket) {
            pool.release_slot(backend, self.context.table.now_ms());
        }
    }
}
