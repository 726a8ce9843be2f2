//! Clients and responses that fall silent.

use std::time::{Duration, Instant};

use crate::common::Backend;
use crate::rig::{GET, OK, setup};

#[test]
fn heads_that_do_not_end_are_answered_408() {
    let backend = Backend::saying(OK);
    let rig = setup(&[backend.address])
        .client_timeouts(300, 30_000)
        .start();
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost:");
    let response = client.response();
    assert_eq!(response.status(), 408);
    assert!(response.text().starts_with("request_timeout"));
    assert!(client.is_ended());
}

#[test]
fn idle_connections_are_closed_without_a_word() {
    let backend = Backend::saying(OK);
    let rig = setup(&[backend.address])
        .client_timeouts(300, 30_000)
        .start();
    let mut client = rig.client();
    assert_eq!(client.ask(GET).status(), 200);
    assert!(client.is_ended());
    assert!(rig.client().is_ended(), "also where nothing was ever asked");
}

#[test]
fn bodies_that_stop_are_answered_408() {
    let backend = Backend::saying(OK);
    let rig = setup(&[backend.address])
        .client_timeouts(30_000, 300)
        .start();
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.response().status(), 408);
    assert!(client.is_ended());
}

#[test]
fn responses_that_stop_are_cut() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit
            .wire
            .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        visit.wire.rest();
    });
    let rig = setup(&[backend.address])
        .client_timeouts(30_000, 300)
        .start();
    let mut client = rig.client();
    client.send(GET);
    assert!(client.try_response("GET").is_none());
}

/// Begun at every moment between two looks at them.
#[test]
fn no_timeout_ends_before_its_time() {
    let backend = Backend::saying(OK);
    let rig = setup(&[backend.address])
        .client_timeouts(100, 30_000)
        .start();
    let lasted: Vec<Duration> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..60)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(5));
                let began_at = Instant::now();
                let mut client = rig.client();
                scope.spawn(move || {
                    assert!(client.is_ended());
                    began_at.elapsed()
                })
            })
            .collect();
        let ended = clients.into_iter().map(|client| client.join().unwrap());
        ended.collect()
    });
    let least = lasted.iter().min().unwrap();
    assert!(
        *least >= Duration::from_millis(100),
        "ended after {least:?}"
    );
}
