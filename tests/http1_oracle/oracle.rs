//! Reads messages with hyper, over a connection in memory and without a runtime, so that a fuzzer
//! can afford it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use evenkeel::logic::http1::head::FIELDS_MAX;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};

use crate::meaning::Meaning;
use crate::wire::Wire;

/// Polls for as long as somebody asks for it: there is no time and nobody else to wait for.
fn run<T>(what: impl Future<Output = T>) -> T {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut what = pin!(what);
    loop {
        if let Poll::Ready(result) = what.as_mut().poll(&mut context) {
            return result;
        }
        let again = woken.0.swap(false, Ordering::Relaxed);
        assert!(again, "hyper waits for something that never comes");
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
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
pub(crate) fn read_request(text: &[u8]) -> Option<Meaning> {
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
    let serving = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .keep_alive(false)
        .max_headers(FIELDS_MAX)
        .serve_connection(Wire::from_client(text), service);
    // How the connection ended tells nothing of its first request.
    let _ = run(serving);
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
    let parts = url.and_then(|(url, _)| url.split_once("://"));
    parts.is_some_and(|(scheme, rest)| !scheme.contains('/') && !rest.contains(['/', '?']))
}

/// Returns what hyper reads as the response to GET or HEAD; `None` where it refuses it.
pub(crate) fn read_response(text: &[u8], to_head: bool) -> Option<Meaning> {
    run(async {
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .allow_spaces_after_header_name_in_responses(true)
            .max_headers(FIELDS_MAX)
            .handshake(Wire::from_server(text))
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
        let (mut connection, mut exchange) = (pin!(connection), pin!(exchange));
        let mut lives = true;
        poll_fn(|context| {
            // How the connection ended tells nothing of the exchange.
            lives = lives && connection.as_mut().poll(context).is_pending();
            exchange.as_mut().poll(context)
        })
        .await
    })
}

async fn collected<B: Body<Data = Bytes>>(body: B) -> Option<Vec<u8>> {
    let body = body.collect().await.ok()?;
    Some(body.to_bytes().to_vec())
}
