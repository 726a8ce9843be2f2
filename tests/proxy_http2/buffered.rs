//! Bodies that are read whole before a backend is asked, over HTTP/2.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use evenkeel::config::{PoolProtocol, RequestBuffering};
use evenkeel::ipc::message::Secrets;
use evenkeel::process::proxy::Given;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::backends::Framed;
use crate::client::{ask, connect, request, run};
use crate::common::{Backend, wait_until};
use crate::http2;
use crate::rig::{Rig, Setup};

fn start(setup: Setup) -> Rig {
    let setup = setup.pool(|pool| {
        pool.buffer_requests = Some(RequestBuffering {
            memory: 64 * 1024,
            // Little more than what is asked for at once below.
            disk: 12 * 1024 * 1024,
        });
    });
    let file = tempfile::tempfile().unwrap().into();
    setup.start_with(Given::new(Secrets::default(), Vec::new(), Some(file)))
}

/// What they keep is more than the connection may hold: it goes to the disk early, and none fails.
#[test]
fn many_bodies_on_a_connection_come_whole() {
    let backend = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            let first = request.body.first().copied().unwrap_or_default();
            assert!(request.body.iter().all(|byte| *byte == first));
            let text = format!("{first} {}", request.body.len());
            let len = text.len();
            visit.wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{text}"
            ));
        }
    });
    let least = |it: &mut evenkeel::config::ListenerConfig| it.http2.memory_bytes = 2 * 1024 * 1024;
    let rig = start(http2(&[backend.address]).listener(least));
    run(async {
        let sender = connect(rig.address).await;
        let asked: Vec<_> = (0..60_u8)
            .map(|number| {
                let sender = sender.clone();
                tokio::task::spawn_local(async move {
                    let body = vec![number; 150_000 + usize::from(number)];
                    let mut trailers = HeaderMap::new();
                    trailers.insert("x-mine", HeaderValue::from_static("1"));
                    let trailers = Some(trailers).filter(|_| number % 2 == 0);
                    ask(&sender, request("POST", "/"), Some(&body), trailers).await
                })
            })
            .collect();
        for (number, asked) in asked.into_iter().enumerate() {
            let answer = asked.await.unwrap().unwrap();
            assert_eq!(answer.text(), format!("{number} {}", 150_000 + number));
        }
    });
    wait_until("nothing is kept", || {
        let pool = rig.pool();
        (pool.buffered_requests, pool.buffered_disk_bytes) == (0, 0)
    });
    assert_eq!(rig.pool().unbuffered_total, 0);
}

/// RFC 9113 §8.7: what the backend has had of the body is there to be sent again.
#[test]
fn what_a_backend_refuses_within_its_body_is_sent_again_whole() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    async fn refuses_first(
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        _: usize,
    ) {
        let length = request.headers().get("content-length").cloned();
        let mut body = request.into_body();
        let is_first = ASKED.fetch_add(1, SeqCst) == 0;
        let mut text = Vec::new();
        while let Some(Ok(bytes)) = body.data().await {
            let _ = body.flow_control().release_capacity(bytes.len());
            text.extend(bytes);
            if is_first {
                respond.send_reset(Reason::REFUSED_STREAM);
                return;
            }
        }
        assert!(text == numbered(500_000));
        let mut response = Response::new(());
        let length = length.unwrap_or(HeaderValue::from_static("none"));
        response.headers_mut().insert("x-length", length);
        respond.send_response(response, true).unwrap();
    }
    let backend = Framed::new(refuses_first);
    let rig = start(http2(&[backend.address]).pool(|it| it.protocol = PoolProtocol::Http2));
    run(async {
        let sender = connect(rig.address).await;
        let body = numbered(500_000);
        let answer = ask(&sender, request("POST", "/"), Some(&body), None).await;
        let answer = answer.unwrap();
        assert_eq!((answer.status.as_u16(), ASKED.load(SeqCst)), (200, 2));
        assert_eq!(answer.fields["x-length"], "500000");
    });
}

fn numbered(len: usize) -> Vec<u8> {
    (0..len).map(|at| at.to_le_bytes()[at % 3]).collect()
}
