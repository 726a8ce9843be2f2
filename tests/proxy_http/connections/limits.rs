//! How much clients may send, how many there may be, and how long each phase may take.

use std::time::Duration;

use crate::common::{Backend, wait_until};
use crate::rig::{GET, OK, WEBSOCKET, setup};

#[test]
fn limits_of_requests_have_their_statuses() {
    let backend = Backend::saying(OK);
    let rig = setup(&[backend.address])
        .listener(|listener| {
            listener.limits.head_bytes = 500;
            listener.limits.fields = 5;
            listener.limits.target_bytes = 100;
            listener.limits.body_bytes = Some(10);
        })
        .start();
    let long = "x".repeat(150);
    let huge = "x".repeat(600);
    let many = "X: y\r\n".repeat(5);
    for (request, status, token) in [
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {huge}\r\n\r\n"), 431, "head_too_large"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431, "too_many_fields"),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414, "target_too_long"),
        (format!("GET /{huge}"), 414, "target_too_long"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n".to_owned(),
            413,
            "body_too_large",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n5\r\nabcde\r\n0\r\n\r\n"
                .to_owned(),
            413,
            "body_too_large",
        ),
    ] {
        let mut client = rig.client();
        let response = client.ask(&request);
        assert_eq!(response.status(), status, "{request:.60}");
        assert!(response.text().starts_with(token), "{:?}", response.text());
        assert!(client.is_ended());
    }
    let fits = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n5\r\nabcde\r\n0\r\n\r\n";
    assert_eq!(rig.ask(fits).status(), 200);
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn one_connection_too_many_is_answered_503() {
    let whole = |setup: crate::rig::Setup| {
        let mut setup = setup;
        setup.config.proxy.connections = 2;
        setup
    };
    let of_listener =
        |setup: crate::rig::Setup| setup.listener(|listener| listener.limits.connections = Some(2));
    let of_client = |setup: crate::rig::Setup| {
        setup.listener(|listener| listener.limits.connections_per_client = Some(2))
    };
    let limits: [&dyn Fn(crate::rig::Setup) -> crate::rig::Setup; 3] =
        [&whole, &of_listener, &of_client];
    for limit in limits {
        let backend = Backend::saying(OK);
        let rig = limit(setup(&[backend.address])).start();
        let (mut one, mut two) = (rig.client(), rig.client());
        assert_eq!((one.ask(GET).status(), two.ask(GET).status()), (200, 200));
        // Neither is idle any more, or its place would be had.
        one.send("GET / HTTP/1.1\r\n");
        two.send("GET / HTTP/1.1\r\n");
        std::thread::sleep(Duration::from_millis(50));
        let mut three = rig.client();
        let response = three.response();
        assert_eq!(response.status(), 503);
        assert!(response.text().starts_with("connections_exhausted"));
        let listener = rig.proxy.status().0.remove(0);
        let counts = (listener.connections, listener.connections_refused_total);
        assert_eq!(counts, (2, 1), "and counted");
        drop(one);
        wait_until("a connection has ended", || {
            rig.proxy.status().0[0].connections == 1
        });
        assert_eq!(rig.ask(GET).status(), 200);
        let refused = rig.proxy.status().0[0].connections_refused_total;
        assert_eq!(refused, 1, "nobody else was turned away");
    }
}

#[test]
fn every_phase_has_its_own_time() {
    let backend = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            if request.field("upgrade").is_some() {
                visit
                    .wire
                    .send("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
                visit.wire.rest();
                return;
            }
            visit.wire.send(OK);
        }
    });
    let short = Duration::from_millis(100);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc";

    let rig = setup(&[backend.address])
        .listener(|listener| listener.timeouts.request_body = short)
        .start();
    assert_eq!(rig.ask(post).status(), 408);

    let rig = setup(&[backend.address])
        .listener(|listener| listener.timeouts.keep_alive = short)
        .start();
    let mut fresh = rig.client();
    let mut used = rig.client();
    assert_eq!(used.ask(GET).status(), 200);
    assert!(used.is_ended(), "after a request, by keep_alive");
    assert_eq!(fresh.ask(GET).status(), 200, "before, by request_head");

    let rig = setup(&[backend.address])
        .listener(|listener| listener.timeouts.tunnel = short)
        .start();
    let mut client = rig.client();
    client.send(WEBSOCKET);
    assert_eq!(client.try_response("GET").unwrap().status(), 101);
    assert!(client.is_ended());
}
