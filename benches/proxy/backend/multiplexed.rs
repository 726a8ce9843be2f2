//! The backend that speaks HTTP/2: it answers a GET with as many bytes as its path says, and a call
//! of gRPC with the message that it was sent.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};

use super::Shared;
use crate::wire::{filler, path_bytes};

/// Answers until it is stopped.
pub(super) fn serve(listener: TcpListener, shared: &Arc<Shared>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut stop = tokio::time::interval(STOP_POLL);
        while !shared.stop.load(Relaxed) {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    stream.set_nodelay(true)?;
                    tokio::spawn(connection(stream, Arc::clone(shared)));
                }
                _ = stop.tick() => {}
            }
        }
        Ok(())
    })
}

async fn connection(stream: tokio::net::TcpStream, shared: Arc<Shared>) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1_000);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        // Its frames go on with those of the connection.
        let answered = answer(request, respond);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if answered.await.is_none() {
                shared.bad.fetch_add(1, Relaxed);
            }
        });
    }
}

/// Answers a request; `None` where it was none of ours.
async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Option<()> {
    let is_call = request.method() == http::Method::POST;
    let path_bytes = path_bytes(request.uri().path())?;
    let mut body = request.into_body();
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        body.flow_control().release_capacity(data.len()).ok()?;
        message.extend_from_slice(&data);
    }
    let mut response = Response::new(());
    let kind = match is_call {
        true => "application/grpc",
        false => "application/octet-stream",
    };
    let fields = response.headers_mut();
    fields.insert("content-type", HeaderValue::from_static(kind));
    if !is_call {
        fields.insert("content-length", path_bytes.into());
        let stream = respond.send_response(response, false).ok()?;
        return send(stream, filler().get(..path_bytes)?, None);
    }
    let stream = respond.send_response(response, false).ok()?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    (message.len() == path_bytes).then_some(())?;
    send(stream, &message, Some(trailers))
}

fn send(mut stream: SendStream<Bytes>, body: &[u8], trailers: Option<HeaderMap>) -> Option<()> {
    let body = Bytes::copy_from_slice(body);
    stream.send_data(body, trailers.is_none()).ok()?;
    trailers.map_or(Some(()), |trailers| stream.send_trailers(trailers).ok())
}

const STOP_POLL: std::time::Duration = std::time::Duration::from_millis(100);
