//! A client that speaks HTTP/2, on a runtime of its own.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, StatusCode};
use tokio::net::TcpStream;

use crate::common::PATIENCE;

/// What a client has been answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub fields: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Runs a test on a runtime of its own, for as long as any may take.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async {
        let limited = tokio::time::timeout(PATIENCE + Duration::from_secs(10), test);
        limited.await.expect("it ends in time")
    }))
}

/// Connects.
pub(crate) async fn connect(to: SocketAddr) -> SendRequest<Bytes> {
    connect_with(to, &Builder::new()).await
}

pub(crate) async fn connect_with(to: SocketAddr, builder: &Builder) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    tokio::task::spawn_local(async move {
        // Its streams say what becomes of it.
        let _ = connection.await;
    });
    sender
}

/// Returns a request for a path.
pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    let uri = format!("http://example.org{path}");
    let request = Request::builder().method(method).uri(uri);
    request.body(()).unwrap()
}

/// Asks, with a body and trailers where they are given.
pub(crate) async fn ask(
    sender: &SendRequest<Bytes>,
    request: Request<()>,
    body: Option<&[u8]>,
    trailers: Option<HeaderMap>,
) -> Result<Answer, Reason> {
    let mut sender = sender.clone().ready().await.map_err(reason)?;
    let ends = body.is_none() && trailers.is_none();
    let (response, mut stream) = sender.send_request(request, ends).map_err(reason)?;
    if let Some(mut rest) = body {
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len());
            let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
            let Some(Ok(room)) = room else { break };
            let (now, later) = rest.split_at(room.min(rest.len()));
            let ends = later.is_empty() && trailers.is_none();
            let sent = stream.send_data(Bytes::copy_from_slice(now), ends);
            sent.map_err(reason)?;
            rest = later;
        }
    }
    if let Some(trailers) = trailers {
        stream.send_trailers(trailers).map_err(reason)?;
    }
    let (head, body) = response.await.map_err(reason)?.into_parts();
    let (body, trailers) = read(body).await?;
    Ok(Answer {
        status: head.status,
        fields: head.headers,
        body,
        trailers,
    })
}

/// Reads a body to its end.
pub(crate) async fn read(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), Reason> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(reason)?;
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, body.trailers().await.map_err(reason)?))
}

/// Gets a path.
pub(crate) async fn get(sender: &SendRequest<Bytes>, path: &str) -> Result<Answer, Reason> {
    ask(sender, request("GET", path), None, None).await
}

pub(crate) fn reason(error: h2::Error) -> Reason {
    error.reason().unwrap_or(Reason::CONNECT_ERROR)
}
