//! One stream of HTTP/2, used as if it were a connection of HTTP/1.1: what is written on it is a
//! text and goes in frames, and what comes in frames is read as a text.
//!
//! So a request walks one path whatever it came by and wherever it goes. Framing, flow control and
//! the bounds of a connection are those of `h2`; which connection a stream belongs to, and who
//! drives that, is the affair of `downstream` and `upstream`.

pub(in crate::process::proxy) mod data;
mod incoming;
pub(in crate::process::proxy) mod load;
mod outgoing;
mod text;
pub(in crate::process::proxy) mod unsent;
pub(in crate::process::proxy) mod client;
pub(in crate::process::proxy) mod server;

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};

use self::client::ClientFrames;
use self::load::Load;
use self::server::ServerFrames;
use crate::process::proxy::io::socket::Ended;

/// A stream of HTTP/2.
pub(in crate::process::proxy) enum Frames {
    /// A client's, which we answer.
    Server(Box<ServerFrames>),
    /// A backend's, which is to answer us.
    Client(Box<ClientFrames>),
}

impl Frames {
    /// Reads once; 0 is the end of a tunnel.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Server(server) => server.poll_read(cx, into),
            Self::Client(client) => client.poll_read(cx, into),
        }
    }

    /// Writes what the peer has room for, at least a byte.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut written = 0;
        for slice in slices {
            let mut rest = &slice[..];
            while !rest.is_empty() {
                let poll = match self {
                    Self::Server(server) => server.poll_write(cx, rest),
                    Self::Client(client) => client.poll_write(cx, rest),
                };
                match poll {
                    Poll::Ready(Ok(len)) => {
                        written += len;
                        rest = &rest[len..];
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending if written > 0 => return Poll::Ready(Ok(written)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        }
        Poll::Ready(Ok(written))
    }

    /// Writes what fits at once: few bytes on a stream on which nothing is waiting.
    pub(super) fn try_write(&mut self, bytes: &[u8]) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        // It is worth no wait.
        let _ = self.poll_write(&mut cx, &[IoSlice::new(bytes)]);
    }

    /// Has what is left of a body, all of whose stated length has been read, be read as a last
    /// chunk with its trailers; returns whether anything is.
    pub(in crate::process::proxy) fn begin_last_chunk(&mut self) -> bool {
        match self {
            Self::Server(server) => server.begin_last_chunk(),
            Self::Client(client) => client.begin_last_chunk(),
        }
    }

    /// A last chunk is written behind a body whose length is stated: its end is not sent before.
    pub(in crate::process::proxy) fn await_last_chunk(&mut self) {
        match self {
            Self::Server(server) => server.await_last_chunk(),
            Self::Client(client) => client.await_last_chunk(),
        }
    }

    /// Ends our direction: in order where all that was promised has been written.
    pub(super) fn end(&mut self) {
        match self {
            Self::Server(server) => server.end(),
            Self::Client(client) => client.end(),
        }
    }

    /// Says that what was sent is not the whole.
    pub(super) fn reset(&mut self) {
        match self {
            Self::Server(server) => server.reset(),
            Self::Client(client) => client.reset(),
        }
    }

    /// Returns the account of the client's connection, where it is one's.
    pub(in crate::process::proxy) const fn load(&self) -> Option<&Rc<Load>> {
        match self {
            Self::Server(server) => Some(server.load()),
            Self::Client(_) => None,
        }
    }

    /// Returns whether a client's is known to have failed; a backend's is always read.
    pub(super) fn has_failed(&mut self) -> bool {
        match self {
            Self::Server(server) => server.has_failed(),
            Self::Client(_) => false,
        }
    }

    /// Returns how a backend's has ended behind what can be read, as far as that is known.
    pub(super) fn ended(&mut self, cx: &mut Context<'_>) -> Option<Ended> {
        match self {
            Self::Server(_) => None,
            Self::Client(client) => client.ended(cx),
        }
    }
}
