//! Reading and writing sockets, without waiting; with `pipes` the only place where the data path
//! calls the kernel for bytes.
//!
//! The runtime hears of a client's connection when it is first waited for: one that has its request
//! sent already and is answered and closed never needs it, and costs two system calls less.

mod queue;

use std::io::{self, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use self::queue::unacknowledged;

pub(in crate::process::proxy) use self::queue::traffic_of;

/// What waits to be read from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Unread {
    Nothing,
    Bytes,
    /// Its end.
    End,
    /// That it has failed; it is not said again.
    Failure,
}

impl Unread {
    #[inline]
    pub(super) fn of(read: io::Result<usize>) -> Self {
        match read {
            Ok(1..) => Self::Bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Self::Nothing,
            Ok(_) => Self::End,
            Err(_) => Self::Failure,
        }
    }
}

/// The socket of a connection; nothing blocks on it.
pub(in crate::process::proxy) struct Socket(Kind);

enum Kind {
    /// The runtime does not know it: it can be tried, not waited for. Empty where the runtime has
    /// refused it.
    Unregistered(Option<std::net::TcpStream>),
    /// The runtime says when it is ready.
    Registered(TcpStream),
}

impl Socket {
    /// Takes a socket that the runtime does not know.
    pub(super) fn unregistered(socket: OwnedFd) -> Self {
        Self(Kind::Unregistered(Some(socket.into())))
    }

    /// Returns what stands for a socket where there is none: everything fails on it.
    pub(super) const fn none() -> Self {
        Self(Kind::Unregistered(None))
    }

    /// Takes a connection that the runtime knows.
    #[inline]
    pub(in crate::process::proxy) fn registered(stream: TcpStream) -> Self {
        Self(Kind::Registered(stream))
    }

    /// Returns whether the runtime can say when something comes; it learns to when that is waited
    /// for.
    #[inline]
    pub(in crate::process::proxy) fn is_registered(&self) -> bool {
        matches!(self.0, Kind::Registered(_))
    }

    /// Has the runtime say when it is ready, from now on.
    #[inline]
    pub(in crate::process::proxy) fn register(&mut self) -> io::Result<&mut TcpStream> {
        if let Kind::Unregistered(socket) = &mut self.0 {
            let socket = socket.take().ok_or(io::ErrorKind::NotConnected)?;
            self.0 = Kind::Registered(TcpStream::from_std(socket)?);
        }
        match &mut self.0 {
            Kind::Registered(stream) => Ok(stream),
            Kind::Unregistered(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Reads once; 0 is the end.
    #[inline]
    pub(in crate::process::proxy) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(read) = self.try_unregistered(|mut socket| socket.read(into)) {
            return Poll::Ready(read);
        }
        let mut buf = ReadBuf::new(into);
        let poll = Pin::new(self.register()?).poll_read(cx, &mut buf);
        poll.map_ok(|()| buf.filled().len())
    }

    /// Looks at what has come and leaves it there; ready with more than `seen` bytes, or none where
    /// nothing more comes.
    pub(super) fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        let stream = &*self.register()?;
        loop {
            ready!(stream.poll_read_ready(cx))?;
            let peeked = stream.try_io(Interest::READABLE, || {
                match recv(stream.as_raw_fd(), into, MsgFlags::MSG_PEEK)? {
                    len if len > 0 && len <= seen => Err(io::ErrorKind::WouldBlock.into()),
                    len => Ok(len),
                }
            });
            match peeked {
                // What has come stays, and so does the word that it can be read.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && has_ended(stream, cx) =>
                {
                    let len = recv(stream.as_raw_fd(), into, MsgFlags::MSG_PEEK)?;
                    return Poll::Ready(Ok(if len > seen { len } else { 0 }));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Writes once, at least a byte.
    #[inline]
    pub(in crate::process::proxy) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = self.try_unregistered(|mut socket| match slices {
            [one] => socket.write(one),
            many => socket.write_vectored(many),
        });
        let poll = match (tried, slices) {
            (Some(written), _) => Poll::Ready(written),
            (None, [one]) => Pin::new(self.register()?).poll_write(cx, one),
            (None, many) => Pin::new(self.register()?).poll_write_vectored(cx, many),
        };
        poll.map(|result| match result {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            result => result,
        })
    }

    /// Writes what fits at once: few bytes to a connection on which nothing is waiting.
    pub(in crate::process::proxy) fn try_write(&self, bytes: &[u8]) {
        let _ = self.socket().map(|socket| socket.send(bytes));
    }

    /// Writes what fits, without waiting.
    pub(super) fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let socket = self.socket().ok_or(io::ErrorKind::NotConnected)?;
        socket.send(bytes)
    }

    /// Reads what is there, as far as the runtime knows that something is.
    pub(super) fn read_if_ready(&self, into: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Kind::Registered(stream) => stream.try_read(into),
            Kind::Unregistered(_) => self.read_now(into),
        }
    }

    /// Reads what is there.
    pub(super) fn read_now(&self, into: &mut [u8]) -> io::Result<usize> {
        let socket = self.socket().ok_or(io::ErrorKind::NotConnected)?;
        (&*socket).read(into)
    }

    /// Returns `None` where the runtime is to be asked.
    #[inline]
    fn try_unregistered<R>(
        &self,
        mut call: impl FnMut(&std::net::TcpStream) -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        let Kind::Unregistered(Some(socket)) = &self.0 else {
            return None;
        };
        loop {
            match call(socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Some(result),
            }
        }
    }

    /// Ends our direction.
    pub(in crate::process::proxy) fn shut(&self) {
        // Where it fails the connection has gone already.
        let _ = self.socket().map(|socket| socket.shutdown(Shutdown::Write));
    }

    /// Has the connection reset when it is closed, and nothing more sent.
    pub(in crate::process::proxy) fn reset_on_close(&self) {
        // The same.
        let _ = self
            .socket()
            .map(|socket| socket.set_linger(Some(Duration::ZERO)));
    }

    /// Returns what has come on a connection that should be quiet, by what the runtime knows of it:
    /// no system call where nothing has happened. A byte of what has come is lost.
    #[inline]
    pub(in crate::process::proxy) fn unread(&self) -> Unread {
        match &self.0 {
            Kind::Registered(stream) => Unread::of(stream.try_read(&mut [0])),
            Kind::Unregistered(_) => self.unread_in_the_kernel(),
        }
    }

    /// Asks the kernel the same.
    pub(in crate::process::proxy) fn unread_in_the_kernel(&self) -> Unread {
        let peeked = self.socket().map(|socket| {
            let mut byte = [MaybeUninit::uninit()];
            socket.peek(&mut byte)
        });
        peeked.map_or(Unread::Failure, Unread::of)
    }

    /// Returns whether the peer has reset the connection, or it has failed otherwise.
    pub(in crate::process::proxy) fn has_failed(&self) -> bool {
        let error = self.socket().map(|socket| socket.take_error());
        !matches!(error, Some(Ok(None)))
    }

    /// Returns how it has ended, where the runtime knows that nothing more comes than what can be
    /// read. A failure is told of once.
    pub(super) fn ended(&self, cx: &mut Context<'_>) -> Option<Ended> {
        let has_ended = match &self.0 {
            Kind::Registered(stream) => has_ended(stream, cx),
            Kind::Unregistered(_) => false,
        };
        has_ended.then(|| {
            let error = self.socket().and_then(|it| it.take_error().ok().flatten());
            // A failure behind an end in order is a broken pipe.
            match error.is_some_and(|error| error.kind() != io::ErrorKind::BrokenPipe) {
                true => Ended::Failed,
                false => Ended::InOrder,
            }
        })
    }

    /// Returns how many bytes that were written the peer has not acknowledged.
    pub(super) fn unacknowledged(&self) -> u32 {
        match &self.0 {
            Kind::Registered(stream) => unacknowledged(stream.as_fd()),
            Kind::Unregistered(Some(socket)) => unacknowledged(socket.as_fd()),
            Kind::Unregistered(None) => 0,
        }
    }

    /// Returns the number of its descriptor.
    pub(super) fn number(&self) -> Option<RawFd> {
        match &self.0 {
            Kind::Registered(stream) => Some(stream.as_raw_fd()),
            Kind::Unregistered(socket) => socket.as_ref().map(AsRawFd::as_raw_fd),
        }
    }

    /// Returns its own address.
    pub(in crate::process::proxy) fn local_addr(&self) -> Option<SocketAddr> {
        self.socket()?.local_addr().ok()?.as_socket()
    }

    /// Returns `None` where handing it over has failed, which has closed it.
    fn socket(&self) -> Option<SockRef<'_>> {
        match &self.0 {
            Kind::Registered(stream) => Some(SockRef::from(stream)),
            Kind::Unregistered(socket) => socket.as_ref().map(SockRef::from),
        }
    }
}

/// How a peer's direction has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Ended {
    InOrder,
    Failed,
}

/// Returns whether the runtime knows that nothing more comes.
fn has_ended(stream: &TcpStream, cx: &mut Context<'_>) -> bool {
    let ready = pin!(stream.ready(Interest::READABLE)).poll(cx);
    matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
}
