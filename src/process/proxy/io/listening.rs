//! Accepting connections, without waiting.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::{SockAddr, SockRef};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::process::proxy::io::socket::Socket;
use crate::process::proxy::io::stream::Stream;

/// Returns whether a socket listens, and is not only bound.
pub(in crate::process::proxy) fn is_listening(socket: &TcpListener) -> bool {
    SockRef::from(socket).is_listener().unwrap_or(false)
}

/// A listening socket that the runtime knows.
pub(in crate::process::proxy) struct Listening(AsyncFd<Arc<TcpListener>>);

impl Listening {
    /// Takes a socket that listens already, and that others may have too.
    ///
    /// # Errors
    /// When it does not listen, or the system refuses.
    pub(in crate::process::proxy) fn new(socket: Arc<TcpListener>) -> io::Result<Self> {
        // The runtime would take it for one that is always ready.
        if !is_listening(&socket) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        // Accepted sockets inherit it: one system call less for each.
        SockRef::from(&*socket).set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        // SAFETY: a `TcpListener` owns its descriptor, and keeps the same one until it is dropped,
        // which is not before all who share it have let it go.
        let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self(registered?))
    }

    /// Accepts a connection, or has the runtime say when there is one.
    pub(in crate::process::proxy) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Stream, SocketAddr)>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            if let Ok(accepted) = ready.try_io(|_| self.accept()) {
                return Poll::Ready(accepted);
            }
        }
    }

    /// Accepts a connection that waits.
    pub(in crate::process::proxy) fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let listener = self.0.as_raw_fd();
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: the address and its length are valid for the call, which writes no more than
        // fits; the descriptor it returns is new and owned by nothing else.
        let accepted = unsafe {
            SockAddr::try_init(|address, len| {
                match libc::accept4(listener, address.cast(), len, flags) {
                    -1 => Err(io::Error::last_os_error()),
                    descriptor => Ok(OwnedFd::from_raw_fd(descriptor)),
                }
            })
        };
        let (socket, address) = accepted?;
        let address = address.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok((Stream::plain(Socket::unregistered(socket)), address))
    }
}
