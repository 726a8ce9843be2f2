//! The PROXY protocol on both sides of the real proxy, on loopback: who a client is said to be, and
//! whom backends are told of. HAProxy, curl and nginx are in `netns-tests/clients/announced.rs`.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "not all of it is needed")]
mod common;
#[path = "../proxy_http/rig.rs"]
#[expect(dead_code, reason = "not all of it is needed")]
mod rig;
mod backends;

use std::time::Duration;

use evenkeel::config::{ListenerConfig, RateLimit};
use evenkeel::logic::balance::rate::Rate;
use evenkeel::model::Network;

use common::{Backend, Wire, wait_until};
use rig::{GET, OK, Rig, setup};

/// As HAProxy writes it, version 2.
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x64\x9c\x40\x01\xbb";
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.100 40000 443\r\n";
const V1_IPV6: &[u8] = b"PROXY TCP6 2001:db8::7 2001:db8::64 40000 443\r\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

fn network(address: [u8; 4], prefix_len: u8) -> Network {
    Network {
        address: address.into(),
        prefix_len,
    }
}

/// A proxy that is told by everybody on this machine who they are.
fn announced(backend: &Backend, change: impl FnOnce(&mut ListenerConfig)) -> Rig {
    let setup = setup(&[backend.address]).listener(|listener| {
        listener.proxy_protocol = vec![network([127, 0, 0, 0], 8)];
        change(listener);
    });
    setup.start()
}

/// Begins a connection with this.
fn begun(rig: &Rig, header: &[u8]) -> Wire {
    let mut wire = rig.client();
    wire.send(header);
    wire
}

fn failed(rig: &Rig) -> u64 {
    rig.proxy.status().0[0].proxy_headers_failed_total
}

#[test]
fn backends_hear_of_the_client_that_the_header_names() {
    let backend = Backend::saying(OK);
    let rig = announced(&backend, |_| {});
    for (header, client, port) in [
        (V1, "192.0.2.7", "443"),
        (V2, "192.0.2.7", "443"),
        (V1_IPV6, "2001:db8::7", "443"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1", ""),
        (LOCAL, "127.0.0.1", ""),
    ] {
        let mut wire = begun(&rig, header);
        for _ in 0..2 {
            assert_eq!(wire.ask(GET).status(), 200);
        }
        let requests = backend.requests();
        for request in &requests[requests.len() - 2..] {
            assert_eq!(request.field("x-forwarded-for").as_deref(), Some(client));
            let own = rig.address.port().to_string();
            let hoped = if port.is_empty() { &own } else { port };
            assert_eq!(request.field("x-forwarded-port").as_deref(), Some(hoped));
        }
    }
    assert_eq!(failed(&rig), 0);
}

#[test]
fn headers_may_come_cut_at_every_byte_and_with_the_request() {
    let backend = Backend::saying(OK);
    let rig = announced(&backend, |_| {});
    for header in [V1, V2] {
        let whole = [header, GET.as_bytes()].concat();
        for cut in 1..=header.len() {
            let mut wire = begun(&rig, &whole[..cut]);
            wire.send(&whole[cut..]);
            assert_eq!(wire.response().status(), 200, "{cut}");
        }
        let mut wire = rig.client();
        for byte in &whole {
            wire.send([*byte]);
        }
        assert_eq!(wire.response().status(), 200);
    }
    let named = backend.requests();
    let is_named =
        |it: &common::Message| it.field("x-forwarded-for").as_deref() == Some("192.0.2.7");
    assert!(named.iter().all(is_named));
}

#[test]
fn who_must_begin_with_a_header_and_does_not_is_answered_nothing() {
    let backend = Backend::saying(OK);
    let rig = announced(&backend, |_| {});
    for (number, text) in [
        GET.as_bytes(),
        b"PROXY TCP9 ",
        b"PROXY TCP4 a b c d\r\n",
        b"\x16\x03\x01",
    ]
    .into_iter()
    .enumerate()
    {
        let mut wire = begun(&rig, &[text, b"\r\n\r\n".as_slice()].concat());
        assert!(wire.is_ended(), "{text:?}");
        let count = u64::try_from(number).unwrap() + 1;
        wait_until("it is counted", || failed(&rig) == count);
    }
    // Only looking whether somebody listens is no fault.
    drop(rig.client());
    assert_eq!(backend.requests().len(), 0);
    assert_eq!(failed(&rig), 4);
}

/// What has come can still be read, over and over: the end behind it counts.
#[test]
fn who_leaves_within_a_header_has_left() {
    let backend = Backend::saying(OK);
    let rig = announced(&backend, |listener| {
        listener.timeouts.request_head = Duration::from_secs(3600);
    });
    let mut halved = begun(&rig, &V1[..20]);
    halved.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(halved.is_ended());
}

#[test]
fn a_header_that_does_not_come_to_its_end_is_not_waited_for_for_ever() {
    let backend = Backend::saying(OK);
    let rig = announced(&backend, |listener| {
        listener.timeouts.request_head = Duration::from_millis(300);
    });
    let mut silent = rig.client();
    let mut halved = begun(&rig, &V1[..20]);
    assert!(halved.is_ended());
    assert!(silent.is_ended());
    wait_until("one is counted", || failed(&rig) == 1);
}

#[test]
fn a_stranger_cannot_say_who_it_is() {
    let backend = Backend::saying(OK);
    let rig = announced(&backend, |listener| {
        listener.proxy_protocol = vec![network([192, 0, 2, 0], 24)];
    });
    let mut wire = begun(&rig, &[V1, GET.as_bytes()].concat());
    assert_eq!(wire.response().status(), 400);
    assert_eq!(rig.ask(GET).status(), 200, "without one it is a client");
    let requests = backend.requests();
    assert_eq!(requests.len(), 1);
    let field = requests[0].field("x-forwarded-for");
    assert_eq!(field.as_deref(), Some("127.0.0.1"));
}

#[test]
fn limits_are_those_of_the_client_that_the_header_names() {
    let backend = Backend::saying(OK);
    let rig = announced(&backend, |listener| {
        listener.limits.connections_per_client = Some(2);
    });
    let other = b"PROXY TCP4 192.0.2.8 192.0.2.100 40000 443\r\n";
    let mut kept: Vec<Wire> = Vec::new();
    for header in [V1, V2, other, other, LOCAL, LOCAL, LOCAL] {
        let mut wire = begun(&rig, header);
        assert_eq!(wire.ask(GET).status(), 200);
        kept.push(wire);
    }
    let mut one_more = begun(&rig, &[V1, GET.as_bytes()].concat());
    assert_eq!(one_more.response().status(), 503);
    assert_eq!(rig.proxy.status().0[0].connections_refused_total, 1);
    kept.remove(0);
    wait_until("its place is free", || {
        let mut wire = begun(&rig, V1);
        wire.send(GET);
        wire.response().status() == 200
    });
    drop(kept);
    wait_until("all have left", || rig.proxy.status().0[0].connections == 0);
}

#[test]
fn connections_that_come_too_often_are_those_of_the_client_that_the_header_names() {
    let backend = Backend::saying(OK);
    let rig = announced(&backend, |listener| {
        let limit = RateLimit {
            rate: Rate::parse("1/m").unwrap(),
            burst: 2,
        };
        listener.limits.connection_rate_per_client = Some(evenkeel::config::ClientRateLimit {
            limit,
            by: evenkeel::config::ClientKey::Address,
            clients: 1024,
        });
    });
    let ask = |header: &[u8]| {
        begun(&rig, &[header, GET.as_bytes()].concat())
            .response()
            .status()
    };
    let statuses: Vec<u16> = [V1, V1_IPV6, V1, V1_IPV6, V2, V1_IPV6, LOCAL]
        .map(ask)
        .to_vec();
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429, 200]);
    assert_eq!(rig.proxy.status().0[0].connections_rate_limited_total, 2);
}

#[test]
fn connections_go_on_when_a_reload_takes_the_header_away() {
    let backend = Backend::saying(OK);
    let rig = announced(&backend, |listener| {
        listener.limits.connections_per_client = Some(1);
    });
    let mut old = begun(&rig, V1);
    assert_eq!(old.ask(GET).status(), 200);
    rig.reload(|config| config.listeners[0].proxy_protocol.clear());
    assert_eq!(old.ask(GET).status(), 200);
    let mut new = rig.client();
    assert_eq!(new.ask(GET).status(), 200);
    drop((old, new));
    wait_until("all have left", || rig.proxy.status().0[0].connections == 0);
    assert_eq!(rig.ask(GET).status(), 200, "nobody's place was lost");
}
