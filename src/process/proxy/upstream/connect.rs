//! Opening a connection to a backend.

pub(in crate::process::proxy) mod http2;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use tokio::net::TcpStream;

use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::io::deadline::{Deadline, Interrupt};
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::io::tls::{HandshakeError, Session};
use crate::process::proxy::shortage::{Operation, is_shortage_towards};
use crate::process::proxy::tls::connector::{Connector, Secure};
use crate::process::proxy::tls::signing;

/// Opens a connection that is ready for requests, in the time that `deadline` gives; `first` is
/// said before anything else. Where nobody has signed for us it begins again, once: whoever signs
/// may have been replaced.
pub(in crate::process::proxy) async fn open(
    context: &WorkerContext,
    address: SocketAddr,
    connector: Option<&Connector>,
    first: &[u8],
    deadline: &Deadline,
) -> Result<Stream, OpenError> {
    match open_once(context, address, connector, first, deadline).await {
        Err(OpenError::Unsigned) => open_once(context, address, connector, first, deadline).await,
        result => result,
    }
}

async fn open_once(
    context: &WorkerContext,
    address: SocketAddr,
    connector: Option<&Connector>,
    first: &[u8],
    deadline: &Deadline,
) -> Result<Stream, OpenError> {
    let mut stream = connect_or_close_kept(context, address, deadline).await?;
    say_first(&mut stream, first, deadline).await?;
    if let Some(connector) = connector {
        secure(context, &mut stream, connector.to(address), deadline).await?;
    }
    Ok(stream)
}

/// Connects. Where something of ours is short, a kept connection gives way.
async fn connect_or_close_kept(
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
            return Poll::Ready(Err(interrupt.into()));
        }
        connecting.as_mut().poll(cx).map_err(of)
    })
    .await?;
    stream.set_nodelay(true).map_err(of)?;
    Ok(Stream::registered(stream))
}

/// Says this before anything else.
async fn say_first(
    stream: &mut Stream,
    mut first: &[u8],
    deadline: &Deadline,
) -> Result<(), OpenError> {
    while !first.is_empty() {
        let written = poll_fn(|cx| {
            if let Poll::Ready(interrupt) = deadline.poll_interrupt(cx) {
                return Poll::Ready(Err(interrupt.into()));
            }
            let slices = &[IoSlice::new(first)];
            stream.poll_write(cx, slices).map_err(OpenError::Refused)
        });
        first = &first[written.await?..];
    }
    Ok(())
}

/// Has TLS spoken on a connection, in the time that is left of its opening.
async fn secure(
    context: &WorkerContext,
    stream: &mut Stream,
    secure: Option<&Secure>,
    deadline: &Deadline,
) -> Result<(), OpenError> {
    // Without a word on whom the backend must be nothing is said to it.
    let unknown = || OpenError::Refused(io::ErrorKind::NotFound.into());
    let secure = secure.ok_or_else(unknown)?;
    let session = Session::client(&secure.config, secure.name.clone(), &context.scratch);
    stream.secure(session.map_err(HandshakeError::of)?);
    let line = secure.needs_signature().then(signing::line);
    poll_fn(|cx| {
        let is_unsigned = line
            .as_ref()
            .is_some_and(|line| line.poll_answering(cx).is_pending());
        if let Poll::Ready(interrupt) = deadline.poll_interrupt(cx) {
            return Poll::Ready(Err(match interrupt {
                Interrupt::Overdue if is_unsigned => OpenError::Unsigned,
                Interrupt::Overdue | Interrupt::Drain | Interrupt::Cut => interrupt.into(),
            }));
        }
        if is_unsigned {
            return Poll::Pending;
        }
        stream.poll_handshake(cx).map_err(OpenError::from)
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
    /// Nobody has signed for us in time; it says nothing about the backend.
    Unsigned,
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

impl From<Interrupt> for OpenError {
    fn from(interrupt: Interrupt) -> Self {
        match interrupt {
            Interrupt::Overdue => Self::TimedOut,
            Interrupt::Drain | Interrupt::Cut => Self::Cut,
        }
    }
}

impl From<HandshakeError> for OpenError {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Unsigned => Self::Unsigned,
            HandshakeError::Gone | HandshakeError::Tls(_) | HandshakeError::Plain => {
                Self::Refused(io::Error::other(error))
            }
        }
    }
}
