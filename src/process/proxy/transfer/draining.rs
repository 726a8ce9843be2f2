//! A peer that takes bytes from the kernel is not silent, though none of ours move: what was
//! written may be megabytes, and a socket can be written again when a third of them have gone.

use std::task::{Context, Poll};

use crate::process::proxy::io::deadline::{Deadline, Interrupt};
use crate::process::proxy::io::stream::Stream;

/// What the kernel held for a client and a backend when half of the time for silence was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::process::proxy) struct Queues {
    client: u32,
    backend: u32,
}

impl Queues {
    fn of(client: &Stream, backend: &Stream) -> Self {
        Self {
            client: client.unacknowledged(),
            backend: backend.unacknowledged(),
        }
    }

    /// Returns whether less is left of one of them.
    const fn is_less_than(self, before: Self) -> bool {
        self.client < before.client || self.backend < before.backend
    }

    /// Ready with why both are to stop what they do. Where bytes have left the kernel in the second
    /// half of a silence it was none, and its time begins again.
    pub(in crate::process::proxy) fn poll_interrupt(
        &mut self,
        cx: &mut Context<'_>,
        deadline: &Deadline,
        (client, backend): (&Stream, &Stream),
    ) -> Poll<Interrupt> {
        loop {
            let interrupt = deadline.poll_interrupt(cx);
            if deadline.take_glance() {
                *self = Self::of(client, backend);
            }
            let goes_on = interrupt == Poll::Ready(Interrupt::Overdue)
                && deadline.has_glanced()
                && Self::of(client, backend).is_less_than(*self);
            if !goes_on {
                return interrupt;
            }
            deadline.go_on();
        }
    }
}
