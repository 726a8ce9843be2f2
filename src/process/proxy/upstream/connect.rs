//! Opening a connection to a backend.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Poll, ready};

use tokio::net::TcpStream;

use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::io::deadline::{Deadline, Interrupt};
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::io::tls::{HandshakeError, Session};
use crate::process::proxy::shortage::{Operation, is_shortage_towards};
use crate::process::proxy::tls::connector::Secure;
use crate::process::proxy::tls::signing;

/// Opens a connection, in the time that `deadline` gives. Where something of ours is short, a kept
/// connection gives way.
pub(in crate::process::proxy) async fn open(
    context: &WorkerContext,
    address: SocketAddr,
    deadline: &Deadline,
) -> Result<Stream, OpenError> {
    let result = connect(address, deadline).await;
    let Err(OpenError::Shortage(error)) = &result else {
        return result;
    };
    let shared = &context.shared;
    shared
        .shortages
        .note(Operation::Connect, error, shared.now_ms());
    if context.close_kept() {
        return connect(address, deadline).await;
    }
    result
}

async fn connect(address: SocketAddr, deadline: &Deadline) -> Result<Stream, OpenError> {
    let of = |error| OpenError::of(address, error);
    let mut connecting = pin!(TcpStream::connect(address));
    let stream = poll_fn(|cx| {
        if let Poll::Ready(interrupt) = deadline.poll_interrupt(cx) {
            return Poll::Ready(Err(match interrupt {
                Interrupt::Overdue => OpenError::TimedOut,
                Interrupt::Drain | Interrupt::Cut => OpenError::Cut,
            }));
        }
        connecting.as_mut().poll(cx).map_err(of)
    })
    .await?;
    stream.set_nodelay(true).map_err(of)?;
    Ok(Stream::registered(stream))
}

/// Has TLS spoken on a connection, in the time that is left of its opening.
pub(in crate::process::proxy) async fn secure(
    context: &WorkerContext,
    stream: &mut Stream,
    secure: Option<&Secure>,
    deadline: &Deadline,
) -> Result<(), OpenError> {
    // Without a word on whom the backend must be nothing is said to it.
    let unknown = || OpenError::Refused(io::ErrorKind::NotFound.into());
    let secure = secure.ok_or_else(unknown)?;
    let refused = |error: HandshakeError| OpenError::Refused(io::Error::other(error));
    let session = Session::client(&secure.config, secure.name.clone(), &context.scratch);
    stream.secure(session.map_err(|error| refused(HandshakeError::Tls(error)))?);
    let line = secure
        .config
        .client_auth_cert_resolver
        .has_certs()
        .then(signing::line);
    poll_fn(|cx| {
        if let Poll::Ready(interrupt) = deadline.poll_interrupt(cx) {
            return Poll::Ready(Err(match interrupt {
                Interrupt::Overdue => OpenError::TimedOut,
                Interrupt::Drain | Interrupt::Cut => OpenError::Cut,
            }));
        }
        if let Some(line) = &line {
            ready!(line.poll_answering(cx));
        }
        stream.poll_handshake(cx).map_err(refused)
    })
    .await
}

/// Why there is no connection.
#[derive(Debug)]
pub(in crate::process::proxy) enum OpenError {
    /// Not in time.
    TimedOut,
    /// The system said no.
    Refused(io::Error),
    /// The system had nothing left to make one of.
    Shortage(io::Error),
    /// Everything ends.
    Cut,
}

impl OpenError {
    fn of(address: SocketAddr, error: io::Error) -> Self {
        if is_shortage_towards(address, &error) {
            Self::Shortage(error)
        } else {
            Self::Refused(error)
        }
    }
}
