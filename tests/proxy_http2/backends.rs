//! Backends that speak HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use evenkeel::config::PoolProtocol;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use tokio::sync::Semaphore;

use crate::client::{ask, connect, get, request, run};
use crate::common::{Backend, PATIENCE, wait_until};
use crate::frames::{PING, SETTINGS};
use crate::rig::{http_check, setup};
use crate::{http2, rig};

/// A backend with a script for each request, and how many connections it has had.
pub(crate) struct Framed {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Framed {
    pub(crate) fn new<F>(script: fn(Request<RecvStream>, SendResponse<Bytes>, usize) -> F) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        Self::start(Builder::new(), Stays::Always, script)
    }

    pub(crate) fn start<F>(
        speaks: Builder,
        stays: Stays,
        script: fn(Request<RecvStream>, SendResponse<Bytes>, usize) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&connections);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let number = counted.fetch_add(1, SeqCst);
                    let speaks = speaks.clone();
                    tokio::task::spawn_local(async move {
                        let Ok(mut connection) = speaks.handshake(stream).await else {
                            return;
                        };
                        while let Some(Ok((request, respond))) = connection.accept().await {
                            tokio::task::spawn_local(script(request, respond, number));
                            if (stays, number) == (Stays::NotFirst, 0) {
                                connection.graceful_shutdown();
                            }
                        }
                    });
                }
            });
        });
        Self {
            address,
            connections,
        }
    }
}

/// Whether a connection stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stays {
    Always,
    /// But for the first, which is to end once it has a request (RFC 9113 §6.8).
    NotFirst,
}

/// Answers with the number of its connection.
pub(crate) async fn tell_number(
    _: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    number: usize,
) {
    let mut response = Response::new(());
    response.headers_mut().insert("x-number", number.into());
    respond.send_response(response, true).unwrap();
}

/// Answers with what has come, and trailers.
async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize) {
    let (parts, mut body) = request.into_parts();
    let mut response = Response::new(());
    let seen = format!("{} {} {:?}", parts.method, parts.uri, parts.version);
    response
        .headers_mut()
        .insert("x-seen", seen.parse().unwrap());
    if let Some(te) = parts.headers.get("te") {
        response.headers_mut().insert("x-te", te.clone());
    }
    let mut stream = respond.send_response(response, false).unwrap();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        stream.send_data(data, false).unwrap();
    }
    let mut trailers = body.trailers().await.unwrap().unwrap_or_default();
    trailers.insert("x-end", HeaderValue::from_static("yes"));
    stream.send_trailers(trailers).unwrap();
}

/// Starts a proxy of a backend that speaks HTTP/2, or should.
pub(crate) fn rig(backend: SocketAddr) -> rig::Rig {
    setup_of(backend).start()
}

/// The same, to be begun.
pub(crate) fn setup_of(backend: SocketAddr) -> rig::Setup {
    http2(&[backend]).pool(|pool| pool.protocol = PoolProtocol::Http2)
}

/// Gets so many times at once; returns what they were answered.
async fn get_at_once(from: SocketAddr, count: usize) -> Vec<u16> {
    let sender = connect(from).await;
    let asked: Vec<_> = (0..count)
        .map(|_| {
            let sender = sender.clone();
            tokio::task::spawn_local(async move { get(&sender, "/").await })
        })
        .collect();
    let mut statuses = Vec::new();
    for asked in asked {
        statuses.push(asked.await.unwrap().unwrap().status.as_u16());
    }
    statuses
}

/// Returns the status that a POST without a body is answered with.
fn posted(backend: &Framed) -> u16 {
    let rig = rig(backend.address);
    run(async {
        let sender = connect(rig.address).await;
        let answer = ask(&sender, request("POST", "/"), None, None).await;
        answer.unwrap().status.as_u16()
    })
}

#[test]
fn requests_share_a_connection_and_keep_their_trailers() {
    let backend = Framed::new(echo);
    let rig = rig(backend.address);
    run(async {
        let sender = connect(rig.address).await;
        let body = vec![b'a'; 300_000];
        let mut asked = request("POST", "/t/m");
        asked
            .headers_mut()
            .insert("te", HeaderValue::from_static("trailers"));
        let mut trailers = HeaderMap::new();
        trailers.insert("x-mine", HeaderValue::from_static("1"));
        let answer = ask(&sender, asked, Some(&body), Some(trailers))
            .await
            .unwrap();
        assert_eq!(
            answer.fields["x-seen"],
            "POST http://example.org/t/m HTTP/2.0"
        );
        assert_eq!(answer.fields["x-te"], "trailers");
        assert!(answer.body == body);
        let trailers = answer.trailers.unwrap();
        assert_eq!(
            (&trailers["x-end"], &trailers["x-mine"]),
            (&"yes".parse().unwrap(), &"1".parse().unwrap())
        );
        let many = (0..50).map(|_| {
            let sender = sender.clone();
            tokio::task::spawn_local(async move { get(&sender, "/").await.unwrap().status })
        });
        for one in many.collect::<Vec<_>>() {
            assert_eq!(one.await.unwrap(), 200);
        }
    });
    let mut plain = rig.client();
    let answer = plain.ask("POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "hi"));
    assert_eq!(
        answer.field("x-seen").as_deref(),
        Some("POST http://h/b HTTP/2.0")
    );
    assert_eq!(
        answer.field("transfer-encoding").as_deref(),
        Some("chunked")
    );
    assert_eq!(backend.connections.load(SeqCst), 1);
}

/// RFC 9113 §8.7: it is as good as not sent, whatever its method.
#[test]
fn what_a_backend_refuses_is_sent_again() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    async fn refuses_first(_: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize) {
        if ASKED.fetch_add(1, SeqCst) == 0 {
            respond.send_reset(Reason::REFUSED_STREAM);
            return;
        }
        respond.send_response(Response::new(()), true).unwrap();
    }
    assert_eq!(posted(&Framed::new(refuses_first)), 200);
    assert_eq!(ASKED.load(SeqCst), 2);
}

/// It may have done nothing, but nobody has the beginning of the body any more: sent again, it
/// would be another one.
#[test]
fn what_a_backend_refuses_within_its_body_is_not_sent_again_in_part() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    async fn refuses_first(
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        _: usize,
    ) {
        let mut body = request.into_body();
        let is_first = ASKED.fetch_add(1, SeqCst) == 0;
        while let Some(Ok(bytes)) = body.data().await {
            let _ = body.flow_control().release_capacity(bytes.len());
            if is_first {
                respond.send_reset(Reason::REFUSED_STREAM);
                return;
            }
        }
        respond.send_response(Response::new(()), true).unwrap();
    }
    let backend = Framed::new(refuses_first);
    let rig = rig(backend.address);
    for framing in ["Content-Length: 200000", "Transfer-Encoding: chunked"] {
        ASKED.store(0, SeqCst);
        let mut client = rig.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\nc350\r\n"
        ));
        client.send("a".repeat(50_000));
        assert_eq!(client.response().status(), 502, "{framing}");
        assert_eq!(ASKED.load(SeqCst), 1, "{framing}");
    }
}

#[test]
fn what_a_backend_has_taken_is_not_sent_again() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    async fn fails(_: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize) {
        ASKED.fetch_add(1, SeqCst);
        respond.send_reset(Reason::INTERNAL_ERROR);
    }
    assert_eq!(posted(&Framed::new(fails)), 502);
    assert_eq!(ASKED.load(SeqCst), 1);
}

#[test]
fn a_backend_that_goes_away_gets_another_connection() {
    let backend = Framed::new(tell_number);
    let rig = rig(backend.address);
    run(async {
        let sender = connect(rig.address).await;
        assert_eq!(get(&sender, "/").await.unwrap().fields["x-number"], "0");
        assert_eq!(get(&sender, "/").await.unwrap().fields["x-number"], "0");
    });
    // Unused for the time of `keep_alive` it is closed.
    let setup = setup_of(backend.address).pool(|pool| {
        pool.keep_alive.timeout = std::time::Duration::from_millis(100);
    });
    let other = setup.start();
    run(async {
        let sender = connect(other.address).await;
        assert_eq!(get(&sender, "/").await.unwrap().fields["x-number"], "1");
        tokio::time::sleep(std::time::Duration::from_millis(800)).await;
        assert_eq!(get(&sender, "/").await.unwrap().fields["x-number"], "2");
    });
}

/// A restart that is graceful: what is under way ends where it is, and nothing more goes there.
#[test]
fn a_connection_that_is_to_end_gets_no_more_while_the_last_is_answered() {
    static SLOW: Semaphore = Semaphore::const_new(0);
    async fn slow(request: Request<RecvStream>, respond: SendResponse<Bytes>, number: usize) {
        if request.uri().path() == "/slow" {
            let _ = SLOW.acquire().await;
        }
        tell_number(request, respond, number).await;
    }
    let backend = Framed::start(Builder::new(), Stays::NotFirst, slow);
    let rig = rig(backend.address);
    run(async {
        let sender = connect(rig.address).await;
        let first = sender.clone();
        let first = tokio::task::spawn_local(async move { get(&first, "/slow").await });
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asked_at = Instant::now();
            let answer = get(&sender, "/").await.unwrap();
            assert_eq!(answer.status, 200);
            assert!(asked_at.elapsed() < PATIENCE / 2, "it was lost at first");
            // Until the first has said so.
            if answer.fields["x-number"] == "1" {
                break;
            }
            assert!(Instant::now() < deadline);
        }
        SLOW.add_permits(1);
        let answer = first.await.unwrap().unwrap();
        assert_eq!(
            (answer.status, &answer.fields["x-number"]),
            (StatusCode::OK, &"0".parse().unwrap())
        );
    });
}

/// Whoever comes while a connection is being opened waits for it.
#[test]
fn those_that_come_at_once_share_one_connection() {
    let backend = Framed::new(tell_number);
    let rig = rig(backend.address);
    for round in 1..=3 {
        assert_eq!(run(get_at_once(rig.address, 90)), [200; 90]);
        assert_eq!(backend.connections.load(SeqCst), 1, "round {round}");
    }
}

/// Of those that wait for a connection which cannot be opened, none tries for itself what has just
/// failed.
#[test]
fn those_that_wait_for_a_connection_that_fails_are_answered_at_once() {
    let backend = Backend::scripted(|visit| {
        std::thread::sleep(Duration::from_millis(300));
        drop(visit);
    });
    let rig = rig(backend.address);
    let began_at = Instant::now();
    assert_eq!(run(get_at_once(rig.address, 60)), [502; 60]);
    assert!(
        began_at.elapsed() < Duration::from_secs(5),
        "{:?}",
        began_at.elapsed()
    );
    assert!(backend.accepted() <= 12, "{}", backend.accepted());
}

/// Those that come at once do not take all what a backend has not said that it gives.
#[test]
fn a_backend_that_takes_one_request_a_connection_gets_no_more() {
    static TOGETHER: Semaphore = Semaphore::const_new(0);
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    async fn together(request: Request<RecvStream>, respond: SendResponse<Bytes>, number: usize) {
        if ASKED.fetch_add(1, SeqCst) + 1 == 4 {
            TOGETHER.add_permits(4);
        }
        TOGETHER.acquire().await.unwrap().forget();
        tell_number(request, respond, number).await;
    }
    let mut one = Builder::new();
    one.max_concurrent_streams(1);
    let backend = Framed::start(one, Stays::Always, together);
    let rig = rig(backend.address);
    assert_eq!(run(get_at_once(rig.address, 4)), [200; 4]);
    assert_eq!(backend.connections.load(SeqCst), 4);
}

/// RFC 8441 §3: whether it knows WebSockets is known before the first request is sent.
#[test]
fn a_websocket_is_asked_for_where_the_backend_knows_them() {
    async fn accepts(_: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize) {
        respond.send_response(Response::new(()), false).unwrap();
    }
    for (knows, status) in [(true, 101), (false, 501)] {
        let mut speaks = Builder::new();
        if knows {
            speaks.enable_connect_protocol();
        }
        let backend = Framed::start(speaks, Stays::Always, accepts);
        let rig = rig(backend.address);
        let began_at = Instant::now();
        let mut client = rig.client();
        client.send(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        let head = client.head().unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(began_at.elapsed() < PATIENCE, "{knows}");
        // What a client asks for is not the backend's fault.
        assert_eq!(rig.pool().backends[0].state, "up", "{knows}");
    }
}

/// RFC 9113 §3.4.
#[test]
fn a_backend_that_does_not_begin_with_settings_is_left() {
    let backend = Backend::scripted(|mut visit| {
        let ping = [&[0, 0, 8, PING, 0, 0, 0, 0, 0][..], &[0; 8]].concat();
        visit
            .wire
            .send([&ping[..], &[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]].concat());
        visit.wire.rest();
    });
    let rig = rig(backend.address);
    run(async {
        let sender = connect(rig.address).await;
        assert_eq!(get(&sender, "/").await.unwrap().status, 502);
    });
}

#[test]
fn health_is_asked_for_in_http2() {
    let backend = Framed::new(echo);
    let setup = setup(&[backend.address]).check(http_check(), 2, 2);
    let rig = setup
        .pool(|pool| pool.protocol = PoolProtocol::Http2)
        .start();
    wait_until("it is up", || rig.pool().backends[0].state == "up");
    assert_eq!(rig.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").status(), 200);
}
