//! Messages that are not relayed, from either side.

use evenkeel::model::Network;

use crate::common::Backend;
use crate::rig::{GET, OK, rig, setup};

#[test]
fn ambiguous_requests_are_refused() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    for (request, status, token) in [
        ("GET / HTTP/1.1\r\n\r\n", 400, "host_missing"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            400,
            "host_repeated",
        ),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "host_invalid"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "host_invalid"),
        (
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
            "host_mismatch",
        ),
        (
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
            405,
            "connect_refused",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
            "transfer_coding",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            501,
            "transfer_coding",
        ),
    ] {
        let mut client = rig.client();
        let response = client.ask(request);
        assert_eq!(response.status(), status, "{request:?}");
        assert!(
            response.text().starts_with(token),
            "{:?} for {request:?}",
            response.text()
        );
        assert_eq!(
            response.field("connection").as_deref(),
            Some("close"),
            "{request:?}"
        );
        assert!(client.is_ended(), "{request:?}");
    }
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n",
        "GET  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\na",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut client = rig.client();
        client.send(request);
        if let Some(response) = client.try_response("GET") {
            assert_eq!(response.status(), 400, "{request:?}");
        }
        assert!(client.is_ended(), "{request:?}");
    }
    assert_eq!(
        backend.accepted(),
        0,
        "none of them has reached the backend"
    );
}

#[test]
fn requests_with_both_framings_never_carry_a_second_request() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let backend = Backend::saying(OK);
        let rig = rig(&[&backend]);
        let mut client = rig.client();
        let response = client.ask(request);
        assert_eq!(response.status(), 400, "{request:?}");
        assert!(
            response.text().starts_with("both_framings"),
            "{:?}",
            response.text()
        );
        assert!(client.is_ended());
        assert_eq!(backend.requests().len(), 0);
    }
}

#[test]
fn malformed_chunks_end_the_request() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    );
    if let Some(response) = client.try_response("POST") {
        assert_eq!(response.status(), 400);
    }
    assert!(client.is_ended());
    assert_eq!(backend.requests().len(), 0);
}

#[test]
fn heads_too_large_are_refused() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    let response = client.ask(&format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(70_000)
    ));
    assert_eq!(response.status(), 431);
    let many: String = (0..150).map(|n| format!("X-{n}: 1\r\n")).collect();
    let response = rig.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"));
    assert_eq!(response.status(), 431);
}

#[test]
fn invalid_responses_become_502() {
    for (answer, why) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "both",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "coding",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabc",
            "invalid_response",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "without being asked",
        ),
        ("garbage garbage garbage\r\n\r\n", "invalid_response"),
        ("HTTP/1.1 99999 OK\r\n\r\n", "invalid_response"),
        ("HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n", "invalid_response"),
    ] {
        let backend = Backend::saying(answer);
        let rig = setup(&[backend.address])
            .listener(|listener| {
                listener.forwarding.trusted_proxies = vec![Network {
                    address: "127.0.0.0".parse().unwrap(),
                    prefix_len: 8,
                }];
            })
            .start();
        let mut client = rig.client();
        let response = client.ask(GET);
        assert_eq!(response.status(), 502, "{answer:?}");
        assert!(
            response.text().contains(why),
            "{:?} for {answer:?}",
            response.text()
        );
        assert!(response.text().contains("b0"), "the backend is named");
        assert_eq!(response.field("cache-control").as_deref(), Some("no-store"));
        assert_eq!(
            client.ask(GET).status(),
            502,
            "the client's connection is kept"
        );
    }
}

#[test]
fn equal_lengths_written_twice_are_written_once() {
    let backend = Backend::saying("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok");
    let response = rig(&[&backend]).ask(GET);
    assert_eq!(response.field("content-length").as_deref(), Some("2"));
}

#[test]
fn truncated_bodies_are_seen_to_be_truncated() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
    ] {
        let backend = Backend::scripted(move |mut visit| {
            visit.request();
            visit.wire.send(answer);
        });
        let rig = rig(&[&backend]);
        let mut client = rig.client();
        client.send(GET);
        assert!(
            client.try_response("GET").is_none(),
            "{answer:?} must not look whole"
        );
    }
}
