//! Uploads that are answered early or expectantly, and connections that stop being HTTP.

use evenkeel::logic::http1::head::Protocol;

use crate::common::{Backend, wait_until};
use crate::rig::{GET, OK, WEBSOCKET, rig, setup};

#[test]
fn expecting_clients_are_told_to_continue() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 100 "));
    client.send("abc");
    assert_eq!(client.response().status(), 200);
    assert_eq!(backend.last_request().text(), "abc");
    assert_eq!(backend.last_request().field("expect"), None);
}

#[test]
fn early_answers_are_not_lost_while_the_client_still_sends() {
    let backend = Backend::scripted(|mut visit| {
        visit.wire.head();
        visit.wire.send(
            "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig",
        );
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
    for _ in 0..30 {
        client.send(vec![b'x'; 100_000]);
    }
    let response = client.response();
    assert_eq!((response.status(), response.text().as_str()), (413, "big"));
}

#[test]
fn websockets_are_tunnelled() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhi");
        while let bytes @ [_, ..] = visit.wire.take(4).as_slice() {
            visit.wire.stream.set_nodelay(true).unwrap();
            let bytes = bytes.to_vec();
            visit.wire.send(bytes);
        }
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send(WEBSOCKET);
    let head = client.try_response("GET").unwrap();
    assert_eq!(head.status(), 101);
    assert_eq!(head.field("upgrade").as_deref(), Some("websocket"));
    assert_eq!(head.field("connection").as_deref(), Some("upgrade"));
    assert_eq!(head.field("sec-websocket-accept").as_deref(), Some("x"));
    assert_eq!(
        client.take(2),
        b"hi",
        "bytes right behind the head are not lost"
    );
    for _ in 0..3 {
        client.send("ping");
        assert_eq!(client.take(4), b"ping");
    }
    assert_eq!(
        backend.last_request().field("upgrade").as_deref(),
        Some("websocket")
    );
    assert_eq!(rig.pool().backends[0].active_requests, 1);
    drop(client);
    wait_until("the tunnel ends with its client", || {
        rig.pool().backends[0].active_requests == 0
    });
}

#[test]
fn refused_upgrades_are_plain_answers() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    assert_eq!(client.ask(WEBSOCKET).text(), "ok");
    assert_eq!(client.ask(GET).text(), "ok");
}

#[test]
fn other_upgrades_are_not_forwarded() {
    let backend = Backend::saying(OK);
    let response = rig(&[&backend]).ask(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
    );
    assert_eq!(response.status(), 200);
    for gone in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(backend.last_request().field(gone), None);
    }
}

#[test]
fn only_what_is_listed_is_tunnelled() {
    let backend = Backend::saying(OK);
    let asked = WEBSOCKET.replace("websocket", "tcp");
    for (name, hoped) in [("tcp", Some("tcp")), ("websocket", None)] {
        let rig = setup(&[backend.address])
            .listener(|listener| {
                listener.upgrades = vec![Protocol::new(name.as_bytes()).unwrap()];
            })
            .start();
        assert_eq!(rig.ask(&asked).status(), 200);
        assert_eq!(backend.last_request().field("upgrade").as_deref(), hoped);
    }
}

#[test]
fn switches_before_the_request_has_ended_are_not_relayed() {
    let backend = Backend::scripted(|mut visit| {
        visit.wire.head();
        visit
            .wire
            .send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
        visit.wire.rest();
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 9\r\n\r\nabc");
    assert_eq!(client.response().status(), 502);
}

#[test]
fn limits_of_a_body_are_none_of_a_tunnel() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        let bytes = visit.wire.take(1000);
        visit.wire.send(bytes);
    });
    let rig = setup(&[backend.address])
        .listener(|listener| listener.limits.body_bytes = Some(10))
        .start();
    let mut client = rig.client();
    client.send(WEBSOCKET);
    assert_eq!(client.try_response("GET").unwrap().status(), 101);
    client.send([b'x'; 1000]);
    assert_eq!(client.take(1000).len(), 1000);
}

#[test]
fn silent_tunnels_are_cut() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        visit.wire.rest();
    });
    let rig = setup(&[backend.address])
        .client_timeouts(30_000, 300)
        .start();
    let mut client = rig.client();
    client.send(WEBSOCKET);
    assert_eq!(client.try_response("GET").unwrap().status(), 101);
    assert!(client.is_ended());
}
