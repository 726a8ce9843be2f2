//! Opening a connection to a backend that speaks HTTP/2, or a stream on one that is there.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use h2::client::Builder;
use http::uri::Scheme;

use super::{OpenError, open};
use crate::process::proxy::context::WorkerContext;
use crate::process::proxy::context::steps::in_steps;
use crate::process::proxy::io::buffers::Held;
use crate::process::proxy::io::deadline::Deadline;
use crate::process::proxy::io::frames::client::Standing;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::io::tls::Session;
use crate::process::proxy::tls::acceptor::HTTP2;
use crate::process::proxy::tls::connector::Connector;
use crate::process::proxy::transfer::wire::Wire;
use crate::process::proxy::upstream::connections::multiplexed::Multiplexed;

/// Returns a stream for one request, in the time that `deadline` gives.
pub(in crate::process::proxy) async fn lease(
    kept: &Multiplexed,
    context: &Rc<WorkerContext>,
    address: std::net::SocketAddr,
    connector: Option<&Connector>,
    deadline: &Deadline,
) -> Result<Stream, OpenError> {
    loop {
        let now_ms = context.clock.get();
        if let Some(stream) = kept.take(now_ms) {
            return Ok(stream);
        }
        if let Some(_turn) = kept.turn() {
            let begun = match open(context, address, connector, b"", deadline).await {
                Ok(stream) => begin(kept, context, stream, (deadline, now_ms)).await,
                Err(error) => Err(error),
            };
            if let Err(OpenError::TimedOut | OpenError::Refused(_)) = begun {
                kept.handle_failed();
            }
            return begun;
        }
        let failed = kept.failed();
        let mut opened = pin!(kept.opened());
        poll_fn(|cx| {
            if let Poll::Ready(interrupt) = deadline.poll_interrupt(cx) {
                return Poll::Ready(Err(OpenError::from(interrupt)));
            }
            opened.as_mut().poll(cx).map(Ok)
        })
        .await?;
        if kept.failed() > failed {
            return Err(OpenError::Refused(std::io::Error::other(NotOpened)));
        }
    }
}

/// Has HTTP/2 spoken on a connection, driven by a task of its own; returns its first stream, once
/// the backend has said what it takes: how many streams, and whether WebSockets (RFC 9113 §3.4).
async fn begin(
    kept: &Multiplexed,
    context: &Rc<WorkerContext>,
    stream: Stream,
    (deadline, now_ms): (&Deadline, u64),
) -> Result<Stream, OpenError> {
    let scheme = match stream.session().map(Session::protocol) {
        Some(Some(HTTP2)) => Scheme::HTTPS,
        Some(_) => return Err(OpenError::Refused(std::io::Error::other(NotSpoken))),
        None => Scheme::HTTP,
    };
    let wire = Wire::new(stream, Rc::clone(context), Held::default(), 0);
    let shaken = settings().handshake(wire).await;
    let refused = |error| OpenError::Refused(std::io::Error::other(error));
    let (sender, mut connection) = shaken.map_err(refused)?;
    poll_fn(|cx| {
        if let Poll::Ready(interrupt) = deadline.poll_interrupt(cx) {
            return Poll::Ready(Err(OpenError::from(interrupt)));
        }
        match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(refused(error))),
            Poll::Ready(Ok(())) => Poll::Ready(Err(OpenError::Refused(
                std::io::ErrorKind::UnexpectedEof.into(),
            ))),
            Poll::Pending if sender.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await?;
    let standing = Rc::<Standing>::default();
    let own = Rc::new(Deadline::new(Rc::clone(&context.clock)));
    let told = Rc::clone(&standing);
    let drive = move || async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to a backend failed");
        }
        told.end();
    };
    let steps = in_steps(Rc::clone(context), UPSTREAM, own, Rc::default(), drive);
    tokio::task::spawn_local(steps);
    Ok(kept.add(sender, scheme, standing, &context.buffers, now_ms))
}

/// Why there is no stream.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection that was being opened has failed")]
struct NotOpened;

/// Why a connection over TLS is not used.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it does not agree to speak HTTP/2")]
struct NotSpoken;

fn settings() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEAD_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES);
    builder
}

/// Of a response's body, what may come before it goes on.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// The same of all streams of a connection together.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// What the head of a response may hold, as `h2` counts it.
const HEAD_BYTES: u32 = 64 * 1024;
/// Of one request's body, what may wait for the connection.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// What is written beside a step that belongs to no listener.
const UPSTREAM: usize = 0;
