//! A connection, of a client or to a backend: a socket, and TLS over it where it is spoken; or a
//! stream of HTTP/2, which stands for one.
//!
//! What is written into TLS is taken at once and may wait for the socket encrypted: who writes asks
//! `has_unsent`, and has that sent before anything else. Where there is nothing but a socket this
//! costs a look at a tag.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ServerConfig;
use tokio::net::TcpStream;

use crate::process::proxy::io::frames::Frames;
use crate::process::proxy::io::socket::{Ended, Socket, Unread};
use crate::process::proxy::io::tls::{HandshakeError, Session};

/// A connection; nothing blocks on it.
pub(in crate::process::proxy) struct Stream {
    socket: Socket,
    layer: Layer,
}

/// What is between a connection and its socket.
enum Layer {
    None,
    Tls(Box<Session>),
    /// It is one of many streams on a connection that others drive: it has no socket.
    Frames(Frames),
}

impl Stream {
    /// Returns one without TLS.
    pub(in crate::process::proxy) const fn plain(socket: Socket) -> Self {
        Self {
            socket,
            layer: Layer::None,
        }
    }

    /// Returns what stands for a connection that is elsewhere: everything fails on it.
    pub(in crate::process::proxy) const fn none() -> Self {
        Self::plain(Socket::none())
    }

    /// Takes a stream of HTTP/2.
    pub(in crate::process::proxy) const fn framed(frames: Frames) -> Self {
        Self {
            socket: Socket::none(),
            layer: Layer::Frames(frames),
        }
    }

    /// Returns the stream of HTTP/2 that it is, where it is one.
    pub(in crate::process::proxy) const fn frames(&self) -> Option<&Frames> {
        match &self.layer {
            Layer::Frames(frames) => Some(frames),
            Layer::None | Layer::Tls(_) => None,
        }
    }

    /// Returns the same, to be changed.
    pub(in crate::process::proxy) const fn frames_mut(&mut self) -> Option<&mut Frames> {
        match &mut self.layer {
            Layer::Frames(frames) => Some(frames),
            Layer::None | Layer::Tls(_) => None,
        }
    }

    /// Returns whether it is a client's stream of HTTP/2 whose answer has begun and is not whole:
    /// where it is reset, what its connection has not written yet is lost.
    pub(in crate::process::proxy) const fn is_within_answer(&self) -> bool {
        match self.frames() {
            Some(Frames::Server(server)) => server.is_within_answer(),
            Some(Frames::Client(_)) | None => false,
        }
    }

    /// Takes a connection that the runtime knows.
    pub(in crate::process::proxy) fn registered(stream: TcpStream) -> Self {
        Self::plain(Socket::registered(stream))
    }

    /// Speaks TLS from now on, which begins with a handshake.
    pub(in crate::process::proxy) fn secure(&mut self, session: Session) {
        self.layer = Layer::Tls(Box::new(session));
    }

    /// Begins a handshake again of which nothing is answered; returns whether it could.
    pub(in crate::process::proxy) fn begin_again(&mut self, config: &Arc<ServerConfig>) -> bool {
        match &mut self.layer {
            Layer::Tls(session) => session.begin_again(config).is_ok(),
            Layer::None | Layer::Frames(_) => false,
        }
    }

    /// Speaks no TLS any more: there was none.
    pub(in crate::process::proxy) fn expose(&mut self) {
        self.layer = Layer::None;
    }

    /// Returns its TLS, where it is spoken.
    pub(in crate::process::proxy) fn session(&self) -> Option<&Session> {
        match &self.layer {
            Layer::Tls(session) => Some(session),
            Layer::None | Layer::Frames(_) => None,
        }
    }

    /// Goes on with the handshake; ready when it is over.
    pub(in crate::process::proxy) fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), HandshakeError>> {
        match &mut self.layer {
            Layer::None | Layer::Frames(_) => Poll::Ready(Ok(())),
            Layer::Tls(session) => session.poll_handshake(&mut self.socket, cx),
        }
    }

    /// Returns its socket, known to the runtime, where nothing is between it and what it carries.
    pub(super) fn register(&mut self) -> io::Result<&mut TcpStream> {
        match self.layer {
            Layer::None => self.socket.register(),
            Layer::Tls(_) | Layer::Frames(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Returns whether what it carries is what its socket carries.
    #[inline]
    pub(in crate::process::proxy) const fn is_plain(&self) -> bool {
        matches!(self.layer, Layer::None)
    }

    /// Returns whether the runtime can say when something comes; it learns to when that is waited
    /// for.
    #[inline]
    pub(in crate::process::proxy) fn is_registered(&self) -> bool {
        self.socket.is_registered()
    }

    /// Reads once; 0 is the end.
    #[inline]
    pub(in crate::process::proxy) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.layer {
            Layer::None => self.socket.poll_read(cx, into),
            Layer::Tls(session) => session.poll_read(&mut self.socket, cx, into),
            Layer::Frames(frames) => frames.poll_read(cx, into),
        }
    }

    /// Looks at what has come, before TLS is spoken; ready with more than `seen` bytes, or none at
    /// the end.
    pub(in crate::process::proxy) fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        match &self.layer {
            Layer::None => self.socket.poll_peek(cx, into, seen),
            Layer::Tls(_) | Layer::Frames(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Writes once, at least a byte.
    #[inline]
    pub(in crate::process::proxy) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.layer {
            Layer::None => self.socket.poll_write(cx, slices),
            Layer::Tls(session) => session.poll_write(&mut self.socket, cx, slices),
            Layer::Frames(frames) => frames.poll_write(cx, slices),
        }
    }

    /// Returns whether something that was written waits for the socket.
    #[inline]
    pub(in crate::process::proxy) fn has_unsent(&self) -> bool {
        match &self.layer {
            Layer::Tls(session) => session.has_unsent(),
            Layer::None | Layer::Frames(_) => false,
        }
    }

    /// Sends some of that; ready with its bytes, or none where there is nothing.
    pub(in crate::process::proxy) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match &mut self.layer {
            Layer::None | Layer::Frames(_) => Poll::Ready(Ok(0)),
            Layer::Tls(session) => session.poll_send(&mut self.socket, cx),
        }
    }

    /// Writes what fits at once: few bytes to a connection on which nothing is waiting.
    pub(in crate::process::proxy) fn try_write(&mut self, bytes: &[u8]) {
        match &mut self.layer {
            Layer::None => self.socket.try_write(bytes),
            Layer::Tls(session) => session.try_write(&self.socket, bytes),
            Layer::Frames(frames) => frames.try_write(bytes),
        }
    }

    /// Ends our direction.
    pub(in crate::process::proxy) fn shut(&mut self) {
        self.say_end();
        if self.frames().is_none() {
            self.socket.shut();
        }
    }

    /// Says that nothing more comes, where that is said in TLS; before the connection is closed.
    pub(in crate::process::proxy) fn say_end(&mut self) {
        match &mut self.layer {
            Layer::None => {}
            Layer::Tls(session) => session.say_end(&self.socket),
            Layer::Frames(frames) => frames.end(),
        }
    }

    /// Returns whether the backend has said that it has done nothing for what it was sent.
    pub(in crate::process::proxy) fn is_unprocessed(&self) -> bool {
        match self.frames() {
            Some(Frames::Client(client)) => client.is_unprocessed(),
            Some(Frames::Server(_)) | None => false,
        }
    }

    /// Has the connection reset when it is closed, and nothing more sent.
    pub(in crate::process::proxy) fn reset_on_close(&mut self) {
        match &mut self.layer {
            Layer::None | Layer::Tls(_) => self.socket.reset_on_close(),
            Layer::Frames(frames) => frames.reset(),
        }
    }

    /// Returns what has come on a connection that should be quiet, by what the runtime knows of it:
    /// no system call where nothing has happened. A byte of what has come may be lost.
    #[inline]
    pub(in crate::process::proxy) fn unread(&mut self) -> Unread {
        match &mut self.layer {
            Layer::None => self.socket.unread(),
            Layer::Tls(session) => session.unread(&self.socket, Socket::read_if_ready),
            Layer::Frames(_) => Unread::Nothing,
        }
    }

    /// Asks the kernel the same.
    pub(in crate::process::proxy) fn unread_in_the_kernel(&mut self) -> Unread {
        match &mut self.layer {
            Layer::None => self.socket.unread_in_the_kernel(),
            Layer::Tls(session) => session.unread(&self.socket, Socket::read_now),
            Layer::Frames(_) => Unread::Nothing,
        }
    }

    /// Returns whether the peer has reset the connection, or it has failed otherwise.
    pub(in crate::process::proxy) fn has_failed(&mut self) -> bool {
        match &mut self.layer {
            Layer::None | Layer::Tls(_) => self.socket.has_failed(),
            Layer::Frames(frames) => frames.has_failed(),
        }
    }

    /// Returns how the connection has ended, where nothing more comes than what can be read, as far
    /// as that is known. A failure is told of once: behind it a read may find an end.
    pub(in crate::process::proxy) fn ended(&mut self, cx: &mut Context<'_>) -> Option<Ended> {
        match &mut self.layer {
            Layer::None | Layer::Tls(_) => self.socket.ended(cx),
            Layer::Frames(frames) => frames.ended(cx),
        }
    }

    /// Returns how many bytes that were written on its connection the peer has not acknowledged.
    pub(in crate::process::proxy) fn unacknowledged(&self) -> u32 {
        match &self.layer {
            Layer::None | Layer::Tls(_) => self.socket.unacknowledged(),
            Layer::Frames(_) => 0,
        }
    }

    /// Returns the number of its descriptor; a stream of HTTP/2 has none.
    pub(in crate::process::proxy) fn number(&self) -> Option<RawFd> {
        self.socket.number()
    }

    /// Returns its own address.
    pub(in crate::process::proxy) fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr()
    }
}
