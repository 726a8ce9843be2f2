//! Clients and responses that fall silent.

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
