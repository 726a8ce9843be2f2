//! Threads and counters, and how a proxy begins and ends.

use std::sync::Arc;

use evenkeel::ipc::message::FromProxy;
use evenkeel::process::proxy::{Drained, PassedSocket, Proxy};

use crate::common::{Backend, PATIENCE, wait_until};
use crate::rig::{GET, OK, Setup, rig, setup};

#[test]
fn every_thread_beats_and_ready_is_said_once() {
    let backend = Backend::saying(OK);
    let mut setup = setup(&[backend.address]);
    setup.threads = 3;
    let rig = setup.start();
    // Three workers and the health checks.
    wait_until("all threads beat twice", || {
        rig.proxy.beat();
        let beats = rig.count(|thread| FromProxy::Beat { thread });
        (0..4).all(|thread| beats(thread) >= 2)
    });
    assert_eq!(rig.count(|_| FromProxy::Ready)(0), 1);
}

/// Who has nothing left to do is not hung.
#[test]
fn threads_that_have_ended_in_order_beat_on() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    assert_eq!(rig.drain(PATIENCE), Drained { cut: 0 });
    rig.proxy.beat();
    let before = rig.count(|thread| FromProxy::Beat { thread });
    let before = [before(0), before(1)];
    for _ in 0..3 {
        rig.proxy.beat();
    }
    let beats = rig.count(|thread| FromProxy::Beat { thread });
    assert_eq!([beats(0), beats(1)], before.map(|count| count + 3));
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
fn sockets_must_fit_the_threads_and_the_listeners() {
    let backend = Backend::saying(OK);
    let Setup { mut config, .. } = setup(&[backend.address]);
    for (listener, threads, hoped) in [
        ("http", 2, "needs 2 sockets, 1 were passed"),
        ("x", 1, "listener x"),
    ] {
        let sockets = crate::rig::sockets(1);
        let bind = sockets[0].local_addr().unwrap();
        config.listeners[0].binds = vec![bind];
        if listener == "x" {
            config.listeners[0].binds.clear();
        }
        let passed = vec![PassedSocket {
            listener: listener.to_owned(),
            bind,
            sockets,
        }];
        let error = Proxy::start(&config, threads, passed, &[], Arc::new(drop))
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
