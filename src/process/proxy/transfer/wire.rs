//! A connection as `h2` reads and writes it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::io::budget::PARSED;
use crate::process::proxy::io::buffers::Held;
use crate::process::proxy::io::stream::Stream;

/// A connection that carries frames; each step of it is paid for.
pub(in crate::process::proxy) struct Wire {
    stream: Stream,
    context: Rc<WorkerContext>,
    /// Read already.
    ahead: Held,
}

impl Wire {
    /// Takes a connection, of which so much was read before.
    pub(in crate::process::proxy) fn new(
        stream: Stream,
        context: Rc<WorkerContext>,
        ahead: Held,
    ) -> Self {
        Self {
            stream,
            context,
            ahead,
        }
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.stream.has_unsent() {
            ready!(self.context.budget.poll());
            let sent = ready!(self.stream.poll_send(cx))?;
            self.context.budget.charge(sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            let len = this.ahead.len().min(into.remaining());
            into.put_slice(&this.ahead.bytes()[..len]);
            this.ahead.consume(len, &this.context.buffers);
            return Poll::Ready(Ok(()));
        }
        ready!(this.context.budget.poll());
        // What is unused of this one need not be zeroed each time.
        let mut buffer = this.context.buffers.large();
        let room = into.remaining().min(buffer.len());
        let read = this.stream.poll_read(cx, &mut buffer[..room]);
        if let Poll::Ready(Ok(len)) = read {
            this.context.budget.charge(len * PARSED);
            into.put_slice(&buffer[..len]);
        }
        this.context.buffers.give_back(buffer);
        read.map_ok(drop)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(cx))?;
        ready!(this.context.budget.poll());
        let written = ready!(this.stream.poll_write(cx, slices))?;
        this.context.budget.charge(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_unsent(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(cx))?;
        this.stream.shut();
        Poll::Ready(Ok(()))
    }
}
