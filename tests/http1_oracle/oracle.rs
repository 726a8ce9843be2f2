//! Reads messages with hyper, over a connection in memory.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::Meaning;

fn run<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(what)
}

fn meaning(what: String, path: String, fields: &HeaderMap) -> Meaning {
    let mut fields: Vec<(String, Vec<u8>)> = fields
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    fields.sort_by(|(one, _), (two, _)| one.cmp(two));
    Meaning {
        what,
        path,
        fields,
        body: Vec::new(),
    }
}

/// Returns what hyper reads as the first request; `None` where it refuses it.
pub fn read_request(text: &[u8]) -> Option<Meaning> {
    let asks_the_server = asks_the_server(text);
    let first: Rc<RefCell<Option<Option<Meaning>>>> = Rc::default();
    let heard = Rc::clone(&first);
    let service = service_fn(move |request: Request<Incoming>| {
        let heard = Rc::clone(&heard);
        async move {
            let (parts, body) = request.into_parts();
            let path = parts.uri.path_and_query();
            let path = match path {
                Some(_) if asks_the_server => "*".to_owned(),
                Some(path) => path.to_string(),
                None => "/".to_owned(),
            };
            let mut meaning = meaning(parts.method.to_string(), path, &parts.headers);
            let read = collected(body).await;
            heard.borrow_mut().get_or_insert_with(|| {
                meaning.body = read?;
                Some(meaning)
            });
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    run(async {
        let (mut ours, theirs) = duplex(1 << 20);
        ours.write_all(text).await.unwrap();
        ours.shutdown().await.unwrap();
        let serving = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(theirs), service);
        // How the connection ended tells nothing of its first request.
        let _ = serving.await;
    });
    first.take().flatten()
}

/// Returns whether it is OPTIONS of a URL without a path, which means `*` (RFC 9112 §3.2.4); hyper
/// gives such a URL the path `/`.
fn asks_the_server(text: &[u8]) -> bool {
    let line = text.trim_ascii_start().split(|&byte| byte == b'\r').next();
    let line = std::str::from_utf8(line.unwrap_or_default()).unwrap_or_default();
    let url = line
        .strip_prefix("OPTIONS ")
        .and_then(|rest| rest.split_once(' '));
    let rest = url.and_then(|(url, _)| url.split_once("://"));
    rest.is_some_and(|(_, rest)| !rest.contains(['/', '?']))
}

/// Returns what hyper reads as the response to GET or HEAD; `None` where it refuses it.
pub fn read_response(text: &[u8], to_head: bool) -> Option<Meaning> {
    run(async {
        let (ours, theirs) = duplex(1 << 20);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(theirs))
            .await
            .unwrap();
        let method = if to_head { "HEAD" } else { "GET" };
        let request = Request::builder()
            .method(method)
            .header("host", "a")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let exchange = async {
            let response = sender.send_request(request).await.ok()?;
            let (parts, body) = response.into_parts();
            let mut meaning = meaning(
                parts.status.as_u16().to_string(),
                String::new(),
                &parts.headers,
            );
            meaning.body = collected(body).await?;
            Some(meaning)
        };
        let (_, _, meaning) = tokio::join!(answer(ours, text), connection, exchange);
        meaning
    })
}

async fn answer(mut stream: DuplexStream, text: &[u8]) {
    let mut request = [0; 1024];
    // hyper writes its short head at once.
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(text).await;
    let _ = stream.shutdown().await;
}

async fn collected<B: Body<Data = Bytes>>(body: B) -> Option<Vec<u8>> {
    let body = body.collect().await.ok()?;
    Some(body.to_bytes().to_vec())
}
