//! A probe over HTTP/2: one stream on a connection of its own.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::uri::Scheme;

use super::failure::{ProbeError, text};
use super::judge::{Search, judged, request};
use super::wire::{END_TIMEOUT, ENDS, Wire};
use crate::config::HttpProbe;
use crate::logic::http1::crossing::request::read;
use crate::process::proxy::transfer::exchange::RESPONSE_LIMITS;

/// Sends a request, and judges the answer.
pub(super) async fn ask(
    wire: Wire,
    address: SocketAddr,
    http: &HttpProbe,
) -> Result<String, ProbeError> {
    let scheme = match wire.is_secure() {
        true => Scheme::HTTPS,
        false => Scheme::HTTP,
    };
    let invalid = || ProbeError::Lost(std::io::ErrorKind::InvalidInput.into());
    let sent = read(request(address, http).as_bytes(), scheme).ok_or_else(invalid)?;
    converse(wire, |send| call(send, sent.request, address, http)).await
}

async fn call(
    send: SendRequest<Bytes>,
    request: http::Request<()>,
    address: SocketAddr,
    http: &HttpProbe,
) -> Result<String, ProbeError> {
    let mut send = send.ready().await?;
    let (response, _) = send.send_request(request, true)?;
    let (head, mut body) = response.await?.into_parts();
    let status = head.status.as_u16();
    let reason = head.status.canonical_reason().unwrap_or_default();
    let said = judged(status, text(status, reason), address, http)?;
    let Some(wanted) = &http.body else {
        return Ok(said);
    };
    let mut search = Search::new(wanted);
    loop {
        match search.is_found() {
            Some(true) => return Ok(said),
            Some(false) => return Err(ProbeError::Without(wanted.clone())),
            None => {}
        }
        match body.data().await {
            Some(data) => {
                let data = data?;
                body.flow_control().release_capacity(data.len())?;
                search.handle(&data);
            }
            None if search.is_found() == Some(true) => return Ok(said),
            None => return Err(ProbeError::Without(wanted.clone())),
        }
    }
}

/// Speaks HTTP/2 until a call has its verdict.
pub(super) async fn converse<F>(
    wire: Wire,
    call: impl FnOnce(SendRequest<Bytes>) -> F,
) -> Result<String, ProbeError>
where
    F: Future<Output = Result<String, ProbeError>>,
{
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .max_header_list_size(HEAD_BYTES_MAX);
    let (send, mut connection) = builder.handshake::<_, Bytes>(wire).await?;
    let mut call = Box::pin(call(send));
    // What has come before the end of the connection is an answer too.
    let mut has_ended = false;
    let verdict = poll_fn(|cx| {
        loop {
            if let Poll::Ready(verdict) = call.as_mut().poll(cx) {
                return Poll::Ready(verdict);
            }
            if has_ended {
                return Poll::Ready(Err(ProbeError::Ended));
            }
            has_ended = match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            };
        }
    })
    .await;
    drop(call);
    // As with HTTP/1: the verdict does not wait for it.
    if !has_ended && let Ok(place) = ENDS.try_acquire() {
        tokio::task::spawn_local(async move {
            let _place = place;
            let _ = tokio::time::timeout(END_TIMEOUT, connection).await;
        });
    }
    verdict
}

/// What a head may hold, as `h2` counts it: what one of HTTP/1 may.
const HEAD_BYTES_MAX: u32 = RESPONSE_LIMITS.head_bytes as u32;
