//! Threads, counters and the end of a proxy.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evenkeel::ipc::message::FromProxy;
use evenkeel::process::proxy::{Drained, LentSocket, Proxy};

use crate::common::{Backend, PATIENCE, wait_until};
use crate::rig::{GET, OK, Setup, WEBSOCKET, rig, setup};

#[test]
fn every_thread_beats_and_ready_is_said_once() {
    let backend = Backend::saying(OK);
    let mut setup = setup(&[backend.address]);
    setup.threads = 3;
    let rig = setup.start();
    wait_until("all threads beat twice", || {
        let events = rig.events.lock().unwrap();
        (0..3).all(|thread| {
            events
                .iter()
                .filter(|e| **e == FromProxy::Beat { thread })
                .count()
                >= 2
        })
    });
    let events = rig.events.lock().unwrap();
    assert_eq!(
        events
            .iter()
            .filter(|event| **event == FromProxy::Ready)
            .count(),
        1
    );
}

#[test]
fn all_threads_serve_and_count_together() {
    let backend = Backend::saying(OK);
    let mut setup = setup(&[backend.address]);
    setup.threads = 2;
    let rig = setup.start();
    for _ in 0..20 {
        assert_eq!(rig.ask(GET).status(), 200);
    }
    assert_eq!(rig.ask("GET / HTTP/1.1\r\n\r\n").status(), 400);
    let (listeners, pools) = rig.proxy.status();
    assert_eq!(listeners[0].requests_total, 21);
    assert_eq!(listeners[0].responses_total["2xx"], 20);
    assert_eq!(listeners[0].responses_total["4xx"], 1);
    assert_eq!(pools[0].backends[0].requests_total, 20);
    wait_until("all connections are closed", || {
        rig.proxy.status().0[0].connections == 0
    });
}

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

#[test]
fn sockets_must_fit_the_threads_and_the_listeners() {
    let backend = Backend::saying(OK);
    let Setup { config, .. } = setup(&[backend.address]);
    for (listener, threads, hoped) in [
        ("http", 2, "needs 2 sockets, 1 were lent"),
        ("x", 1, "listener x"),
    ] {
        let sockets = crate::rig::sockets(1);
        let bind = sockets[0].local_addr().unwrap();
        let lent = vec![LentSocket {
            listener: listener.to_owned(),
            bind,
            sockets,
        }];
        let error = Proxy::start(&config, threads, lent, &[], Arc::new(drop))
            .err()
            .unwrap();
        assert!(error.to_string().contains(hoped), "{error}");
    }
}

#[test]
fn dropping_the_proxy_ends_everything() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    assert_eq!(client.ask(GET).status(), 200);
    let address = rig.address;
    drop(rig);
    assert!(client.is_ended());
    wait_until("the socket is closed", || {
        std::net::TcpStream::connect(address).is_err()
    });
}
