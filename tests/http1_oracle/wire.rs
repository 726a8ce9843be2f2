//! A connection that exists in memory alone: all that the other side says is there at once, and it
//! hears nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use hyper::rt::{Read, ReadBufCursor, Write};

/// Our end of it.
#[derive(Debug)]
pub(crate) struct Wire<'a> {
    left: &'a [u8],
    /// A server speaks when it is asked.
    asked: bool,
    reader: Option<Waker>,
}

impl<'a> Wire<'a> {
    /// Returns a connection whose client says `text` and ends its side.
    pub(crate) fn from_client(text: &'a [u8]) -> Self {
        Wire {
            left: text,
            asked: true,
            reader: None,
        }
    }

    /// Returns a connection whose server hears a request, says `text` and ends its side.
    pub(crate) fn from_server(text: &'a [u8]) -> Self {
        Wire {
            left: text,
            asked: false,
            reader: None,
        }
    }
}

impl Read for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.asked {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let (now, later) = self.left.split_at(self.left.len().min(into.remaining()));
        into.put_slice(now);
        self.left = later;
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
