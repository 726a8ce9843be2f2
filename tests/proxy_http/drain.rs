//! The drain: what is in flight comes to its end, what is idle ends in order, and what is left at
//! the deadline is cut and counted.

use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evenkeel::process::proxy::Drained;

use crate::common::{Backend, PATIENCE, wait_until};
use crate::rig::{GET, OK, WEBSOCKET, rig, setup};

#[test]
fn drain_finishes_what_is_in_flight() {
    let go: Arc<Mutex<bool>> = Arc::default();
    let may = Arc::clone(&go);
    let backend = Backend::scripted(move |mut visit| {
        visit.request();
        wait_until("the test goes on", || *may.lock().unwrap());
        visit.wire.send(OK);
    });
    let rig = rig(&[&backend]);
    let (mut busy, mut idle) = (rig.client(), rig.client());
    busy.send(GET);
    wait_until("the request arrives", || !backend.requests().is_empty());
    std::thread::scope(|scope| {
        let drain = scope.spawn(|| rig.drain(PATIENCE));
        assert!(idle.is_ended(), "idle connections are closed");
        wait_until("the socket is closed", || {
            std::net::TcpStream::connect(rig.address).is_err()
        });
        assert!(!drain.is_finished());
        *go.lock().unwrap() = true;
        let response = busy.response();
        assert_eq!(response.text(), "ok");
        assert_eq!(response.field("connection").as_deref(), Some("close"));
        assert!(busy.is_ended());
        drop(busy);
        assert_eq!(drain.join().unwrap(), Drained { cut: 0 });
    });
}

#[test]
fn drain_cuts_tunnels_at_its_deadline() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        visit.wire.rest();
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send(WEBSOCKET);
    assert_eq!(client.try_response("GET").unwrap().status(), 101);
    let began_at = Instant::now();
    assert_eq!(rig.drain(Duration::from_millis(300)), Drained { cut: 1 });
    assert!(began_at.elapsed() >= Duration::from_millis(300));
    assert!(client.is_ended());
}

#[test]
fn drain_of_an_idle_proxy_is_quick() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    let began_at = Instant::now();
    assert_eq!(rig.drain(PATIENCE), Drained { cut: 0 });
    assert!(began_at.elapsed() < Duration::from_secs(2));
}

/// A reset would tell the client that its last answer may have been lost.
#[test]
fn idle_connections_end_in_order_also_where_a_request_is_on_its_way() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    assert_eq!(client.ask(GET).status(), 200);
    std::thread::scope(|scope| {
        let drain = scope.spawn(|| rig.drain(PATIENCE));
        let mut byte = [0];
        assert_eq!(client.stream.read(&mut byte).unwrap(), 0);
        // It has crossed the end of the connection.
        client.stream.write_all(GET.as_bytes()).unwrap();
        wait_until("the request has arrived", || {
            crate::queues::towards(&client.stream) == 0
        });
        assert_eq!(client.stream.read(&mut byte).map_err(|e| e.kind()), Ok(0));
        drop(client);
        assert_eq!(drain.join().unwrap(), Drained { cut: 0 });
    });
    assert_eq!(backend.requests().len(), 1, "nothing new is begun");
}

#[test]
fn answers_of_the_proxy_itself_say_close_during_the_drain() {
    let go: Arc<Mutex<bool>> = Arc::default();
    let may = Arc::clone(&go);
    let backend = Backend::scripted(move |mut visit| {
        visit.request();
        wait_until("the test goes on", || *may.lock().unwrap());
    });
    let rig = rig(&[&backend]);
    let mut busy = rig.client();
    busy.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    wait_until("the request arrives", || !backend.requests().is_empty());
    std::thread::scope(|scope| {
        let drain = scope.spawn(|| rig.drain(PATIENCE));
        wait_until("the socket is closed", || {
            std::net::TcpStream::connect(rig.address).is_err()
        });
        *go.lock().unwrap() = true;
        let response = busy.response();
        assert_eq!(response.status(), 502);
        assert_eq!(response.field("connection").as_deref(), Some("close"));
        assert!(busy.is_ended());
        drop(busy);
        assert_eq!(drain.join().unwrap(), Drained { cut: 0 });
    });
}

/// One waits for its answer, one has half of it, one does not know its end, one is a tunnel, and
/// one is idle.
#[test]
fn the_deadline_cuts_what_is_left_and_says_how_many() {
    let backend = Backend::scripted(|mut visit| {
        let request = visit.request().unwrap();
        match request.line().split(' ').nth(1).unwrap() {
            "/half" => visit
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
            "/unknown" => visit.wire.send("HTTP/1.1 200 OK\r\n\r\nabc"),
            "/tunnel" => visit
                .wire
                .send("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
            "/idle" => visit.wire.send(OK),
            _ => {}
        }
        visit.wire.rest();
    });
    let rig = setup(&[backend.address]).start();
    let ask = |request: String| {
        let mut client = rig.client();
        client.send(request);
        client
    };
    let mut waiting = ask(GET.replacen('/', "/waiting", 1));
    let mut half = ask(GET.replacen('/', "/half", 1));
    let mut unknown = ask("GET /unknown HTTP/1.0\r\n\r\n".to_owned());
    let mut tunnel = ask(WEBSOCKET.replacen('/', "/tunnel", 1));
    let mut idle = ask(GET.replacen('/', "/idle", 1));
    assert_eq!(idle.response().status(), 200);
    for client in [&mut half, &mut unknown, &mut tunnel] {
        assert!(client.head().is_some());
    }
    assert_eq!(
        (half.take(3), unknown.take(3)),
        (b"abc".to_vec(), b"abc".to_vec())
    );
    wait_until("all have arrived", || backend.requests().len() == 5);
    let within = Duration::from_millis(400);
    let (began_at, drained) = std::thread::scope(|scope| {
        let began_at = Instant::now();
        let drain = scope.spawn(|| rig.drain(within));
        assert!(idle.is_ended());
        drop(idle);
        (began_at, drain.join().unwrap())
    });
    assert_eq!(drained, Drained { cut: 4 });
    assert!(began_at.elapsed() >= within);
    assert!(waiting.is_ended() && half.is_ended() && tunnel.is_ended());
    let end = unknown.stream.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset), "it is not the whole");
}
