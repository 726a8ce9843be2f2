//! The connection of one probe, over TLS where it is spoken to the pool.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, ready};

use thiserror::Error;
use tokio::net::TcpStream;

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
    /// Opens one.
    pub(super) async fn open(
        address: SocketAddr,
        secure: Option<&Secure>,
        scratch: &Rc<Scratch>,
    ) -> Result<Self, WireError> {
        let connected = TcpStream::connect(address).await;
        let mut wire = Self(Stream::registered(connected.map_err(WireError::Connect)?));
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
        let session = session.map_err(|error| WireError::Handshake(HandshakeError::Tls(error)))?;
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
        poll_fn(|cx| {
            while self.0.has_unsent() {
                ready!(self.0.poll_send(cx))?;
            }
            Poll::Ready(Ok(()))
        })
        .await
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

    /// Says that nothing more comes.
    pub(super) fn close(&mut self) {
        self.0.say_end();
    }
}
