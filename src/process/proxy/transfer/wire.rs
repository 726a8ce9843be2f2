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
    /// How many bytes come before the kind of the peer's first frame, until it has come.
    before_kind: Option<usize>,
}

impl Wire {
    /// Takes a connection, of which so much was read before, to a peer whose first frame stands
    /// behind so many bytes.
    pub(in crate::process::proxy) fn new(
        stream: Stream,
        context: Rc<WorkerContext>,
        ahead: Held,
        preface_bytes: usize,
    ) -> Self {
        Self {
            stream,
            context,
            ahead,
            before_kind: Some(preface_bytes + KIND_AT),
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let len = self.ahead.len().min(into.remaining());
            into.put_slice(&self.ahead.bytes()[..len]);
            self.ahead.consume(len, &self.context.buffers);
            return Poll::Ready(Ok(()));
        }
        ready!(self.context.budget.poll());
        // What is unused of this one need not be zeroed each time.
        let mut buffer = self.context.buffers.large();
        let room = into.remaining().min(buffer.len());
        let read = self.stream.poll_read(cx, &mut buffer[..room]);
        if let Poll::Ready(Ok(len)) = read {
            self.context.budget.charge(len * PARSED);
            into.put_slice(&buffer[..len]);
        }
        self.context.buffers.give_back(buffer);
        read.map_ok(drop)
    }

    /// RFC 9113 §3.4: the first frame is SETTINGS, which `h2` does not ask for. The connection ends
    /// without GOAWAY otherwise, as it may.
    fn judge_first(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(before) = self.before_kind {
            self.before_kind = match bytes.get(before) {
                Some(&SETTINGS) => None,
                Some(_) => return Err(io::ErrorKind::InvalidData.into()),
                None => Some(before - bytes.len()),
            };
        }
        Ok(())
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
        let before = into.filled().len();
        ready!(this.poll_bytes(cx, into))?;
        Poll::Ready(this.judge_first(&into.filled()[before..]))
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

/// Where the kind of a frame stands in it (RFC 9113 §4.1).
const KIND_AT: usize = 3;
/// The kind of SETTINGS (RFC 9113 §6.5).
const SETTINGS: u8 = 4;
