//! What the client does while it waits for its answer: leave, end its direction, send more.
//!
//! The end of its direction may mean either that the request is whole, or that nobody reads the
//! answer any more. A failure is heard of at once, or in the next sweep where nothing is read.

use std::io;
use std::task::{Context, Poll, ready};

use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::io::deadline::{Deadline, Hurried, Reminder};
use crate::process::proxy::io::socket::Unread;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::transfer::exchange::{
    ClientSide, EndMeans, Exchange, Relayed, Sides, Uploading, Waited,
};

impl Exchange {
    /// Notices that the client has gone, or what it sends next.
    pub(super) fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        sides: &mut Sides<'_>,
    ) -> Poll<Waited> {
        if !self.watches_client() {
            return self.poll_failed(sides).map(|()| Waited::ClientGone);
        }
        if !sides.client.is_registered() && sides.deadline.reminder() != Reminder::Due {
            // Most answers come before it is worth its calls to hear that the client leaves.
            sides.deadline.remind();
            return Poll::Pending;
        }
        match ready!(self.poll_ahead(cx, sides.client, sides.context)) {
            Ok(()) => {
                let hurried = sides.deadline.hurry(self.end.timeout());
                self.client = ClientSide::HalfClosed(hurried);
                Poll::Pending
            }
            Err(_) => Poll::Ready(Waited::ClientGone),
        }
    }

    /// Returns whether what the client sends is read beyond its request, and its end with it.
    fn watches_client(&mut self) -> bool {
        !self.has_half_closed() && self.has_request() && self.ahead().len() < AHEAD_BYTES_MAX
    }

    /// Notices that the connection of a client has failed that is not read from: because it has
    /// sent enough, or more than the backend takes. It is looked at in every sweep.
    fn poll_failed(&self, sides: &mut Sides<'_>) -> Poll<()> {
        let is_read = self.uploading == Uploading::Going
            && self.buffered.is_none()
            && !self.upload.awaits_sink();
        if is_read {
            return Poll::Pending;
        }
        self.poll_failed_client(sides.client, sides.deadline)
    }

    /// Notices that the connection of a client has failed of which nothing is read yet. The end of
    /// its direction means nothing here: it may want an answer to what it has sent.
    pub(in crate::process::proxy) fn poll_failed_client(
        &self,
        client: &mut Stream,
        deadline: &Deadline,
    ) -> Poll<()> {
        if deadline.reminder() == Reminder::Due && client.has_failed() {
            return Poll::Ready(());
        }
        deadline.remind();
        Poll::Pending
    }

    pub(super) fn has_half_closed(&self) -> bool {
        match self.client {
            ClientSide::Watched => false,
            ClientSide::HalfClosed(Hurried::Sooner | Hurried::AsBefore) => true,
        }
    }

    /// Notices that the client has gone while its request waits for a backend, and keeps what it
    /// sends meanwhile. One that has ended its direction counts as gone: nothing of its answer has
    /// begun.
    pub(in crate::process::proxy) fn poll_early_client(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Stream,
        context: &WorkerContext,
    ) -> Poll<()> {
        if self.has_half_closed() {
            return Poll::Ready(());
        }
        let ended = self.poll_ahead(cx, client, context).map(drop);
        self.upload.input.shrink(&context.buffers);
        ended
    }

    /// Reads what the client sends before it has its answer, ready where it has ended its direction
    /// or failed. Nothing more is read once enough is there, also of what an earlier exchange has
    /// left.
    fn poll_ahead(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Stream,
        context: &WorkerContext,
    ) -> Poll<io::Result<()>> {
        let WorkerContext {
            buffers, budget, ..
        } = context;
        while self.ahead().len() < AHEAD_BYTES_MAX {
            ready!(budget.poll());
            let mut buffer = buffers.large();
            let read = client.poll_read(cx, &mut buffer[..AHEAD_BYTES_MAX]);
            if let Poll::Ready(Ok(len @ 1..)) = read {
                budget.charge(len);
                self.ahead().append(&buffer[..len], buffers);
            }
            buffers.give_back(buffer);
            if ready!(read)? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }

    /// Notices that the client has gone while its answer stands still. One that has ended its
    /// direction gets what comes, for as long as something comes.
    pub(super) fn poll_leaving(
        &mut self,
        cx: &mut Context<'_>,
        sides: &mut Sides<'_>,
    ) -> Poll<Relayed> {
        if self.poll_client(cx, sides).is_ready() {
            return Poll::Ready(Relayed::ClientGone);
        }
        self.hurry_half_closed(sides.deadline);
        Poll::Pending
    }

    /// Gives a client that has ended its direction no more time from now on than one may take that
    /// has left: what moves a byte gives it that again.
    pub(super) fn hurry_half_closed(&mut self, deadline: &Deadline) {
        if !self.has_half_closed() || self.download.awaits_sink() {
            return;
        }
        let hurried = deadline.hurry(self.end.timeout());
        if hurried == Hurried::Sooner {
            self.client = ClientSide::HalfClosed(hurried);
        }
    }

    /// Looks whether the client has ended its direction before it knows of its answer, whose head
    /// is about to be written: afterwards nobody could tell. An answer that is there to its end
    /// needs no look.
    pub(super) fn poll_early_end(
        &mut self,
        cx: &mut Context<'_>,
        sides: &mut Sides<'_>,
    ) -> Poll<Relayed> {
        if self.end == EndMeans::Leaves || !self.watches_client() {
            return Poll::Pending;
        }
        self.end = EndMeans::Leaves;
        if self.download.has_body() {
            return Poll::Pending;
        }
        if !sides.client.is_registered() {
            match sides.client.unread_in_the_kernel() {
                Unread::Nothing => return Poll::Pending,
                Unread::Bytes | Unread::End => {}
                Unread::Failure => return Poll::Ready(Relayed::ClientGone),
            }
        }
        match ready!(self.poll_ahead(cx, sides.client, sides.context)) {
            Ok(()) => {
                self.end = EndMeans::Asked;
                self.client = ClientSide::HalfClosed(Hurried::AsBefore);
                Poll::Pending
            }
            Err(_) => Poll::Ready(Relayed::ClientGone),
        }
    }
}

/// Read of what a client sends before it has its answer; then it waits.
const AHEAD_BYTES_MAX: usize = 16 * 1024;
