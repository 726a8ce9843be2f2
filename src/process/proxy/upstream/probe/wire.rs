//! The connection of one probe, over TLS where it is spoken to the pool.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::io::tls::{HandshakeError, Scratch, Session};
use crate::process::proxy::tls::connector::Secure;
use crate::process::proxy::tls::signing;

/// Why there is no connection.
#[derive(Debug, Error)]
pub(in crate::process::proxy) enum WireError {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("TLS handshake failed")]
    Handshake(#[source] HandshakeError),
    /// What the backend is to be shown nobody signs now.
    #[error("the process that signs does not answer")]
    Unsigned,
}

/// A connection; who lets it go says so before.
pub(in crate::process::proxy) struct Wire(Stream);

impl Wire {
    /// Opens one; `first` is said before anything else.
    pub(super) async fn open(
        address: SocketAddr,
        first: &[u8],
        secure: Option<&Secure>,
        scratch: &Rc<Scratch>,
    ) -> Result<Self, WireError> {
        let connected = TcpStream::connect(address).await;
        let mut wire = Self(Stream::registered(connected.map_err(WireError::Connect)?));
        wire.write_all(first).await.map_err(WireError::Connect)?;
        if let Some(secure) = secure {
            wire.shake_hands(secure, scratch).await?;
        }
        Ok(wire)
    }

    async fn shake_hands(
        &mut self,
        secure: &Secure,
        scratch: &Rc<Scratch>,
    ) -> Result<(), WireError> {
        let is_signed = || !secure.needs_signature() || signing::line().is_answering();
        if !is_signed() {
            return Err(WireError::Unsigned);
        }
        let session = Session::client(&secure.config, secure.name.clone(), scratch);
        let session = session.map_err(|error| WireError::Handshake(HandshakeError::of(error)))?;
        self.0.secure(session);
        let shaken = poll_fn(|cx| self.0.poll_handshake(cx)).await;
        if shaken.is_err() && !is_signed() {
            return Err(WireError::Unsigned);
        }
        shaken.map_err(WireError::Handshake)?;
        let gone = |_| WireError::Handshake(HandshakeError::Gone);
        self.flush().await.map_err(gone)
    }

    /// Sends what waits for the socket.
    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *self).poll_flush(cx)).await
    }

    /// Sends all of this.
    pub(super) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| self.0.poll_write(cx, &[IoSlice::new(bytes)])).await?;
            bytes = &bytes[written..];
            self.flush().await?;
        }
        Ok(())
    }

    /// Reads once; 0 is the end.
    pub(super) async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.0.poll_read(cx, into)).await
    }

    /// Returns whether TLS is spoken on it.
    pub(super) fn is_secure(&self) -> bool {
        self.0.session().is_some()
    }

    /// Says that nothing more comes.
    pub(super) fn close(&mut self) {
        self.0.say_end();
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = ready!(self.0.poll_read(cx, buffer.initialize_unfilled()))?;
        buffer.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.0.has_unsent() {
            ready!(self.0.poll_send(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

/// Probes whose end is waited for; each has a descriptor.
pub(super) static ENDS: Semaphore = Semaphore::const_new(ENDS_MAX);
const ENDS_MAX: usize = 64;
/// How long the end of a probe's connection is waited for behind it.
pub(super) const END_TIMEOUT: Duration = Duration::from_millis(200);
