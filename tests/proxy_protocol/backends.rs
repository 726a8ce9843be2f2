//! Whom backends are told of.

use evenkeel::config::ProxyProtocol;
use evenkeel::logic::proxy_protocol::{Carries, parse};

use crate::common::{Backend, Visit, wait_until};
use crate::rig::{GET, Rig, http_check, setup};
use crate::{V1, begun, network};

/// Answers each request with the header that its connection has begun with.
fn with_headers(mut visit: Visit) {
    let mut header = Vec::new();
    let carries = loop {
        match parse(&header).unwrap() {
            Some(header) => break header.carries,
            None => match visit.wire.take(1) {
                byte if byte.is_empty() => return,
                byte => header.extend(byte),
            },
        }
    };
    let said = match carries {
        Carries::Own => "nobody".to_owned(),
        Carries::Client {
            source,
            destination,
        } => format!("{source} {destination}"),
    };
    while let Some(request) = visit.request() {
        let id = request.field("x-request-id").unwrap_or_default();
        let has_id = header
            .windows(id.len().max(1))
            .any(|it| it == id.as_bytes());
        let body = format!("{} {said} {has_id}", visit.number);
        let length = body.len();
        visit.wire.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    }
}

fn rig(version: ProxyProtocol, backend: &Backend) -> Rig {
    let setup = setup(&[backend.address]).pool(|pool| pool.proxy_protocol = Some(version));
    setup.start()
}

#[test]
fn a_backend_hears_whose_its_connections_are_and_no_client_gets_another_ones() {
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        let backend = Backend::scripted(with_headers);
        let rig = rig(version, &backend);
        let mut clients = [rig.client(), rig.client()];
        for round in 0..3 {
            for (number, client) in clients.iter_mut().enumerate() {
                let own = client.stream.local_addr().unwrap();
                let text = client.ask(GET).text();
                let has_id = version == ProxyProtocol::V2 && round == 0;
                let hoped = format!("{number} {own} {} {has_id}", rig.address);
                assert_eq!(text, hoped, "a connection each, {version}");
            }
        }
    }
}

#[test]
fn a_backend_hears_of_the_client_that_others_have_announced() {
    let backend = Backend::scripted(with_headers);
    let setup = setup(&[backend.address])
        .pool(|pool| pool.proxy_protocol = Some(ProxyProtocol::V2))
        .listener(|listener| {
            listener.proxy_protocol = vec![network([127, 0, 0, 1], 32)];
            listener.forwarding.trusted_proxies = vec![network([192, 0, 2, 7], 32)];
        });
    let rig = setup.start();
    let text = begun(&rig, V1).ask(GET).text();
    assert!(text.contains("192.0.2.7:40000 192.0.2.100:443"), "{text}");
    // One that it trusts says who is behind it; which port that has nobody knows.
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.9\r\n\r\n";
    let text = begun(&rig, V1).ask(request).text();
    assert!(text.contains("198.51.100.9:0 192.0.2.100:443"), "{text}");
}

#[test]
fn probes_are_nobodys() {
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        let backend = Backend::scripted(with_headers);
        let setup = setup(&[backend.address])
            .pool(|pool| pool.proxy_protocol = Some(version))
            .check(http_check(), 1, 1);
        let rig = setup.start();
        wait_until("it is up", || rig.pool().backends[0].state == "up");
        assert!(rig.ask(GET).text().contains(&rig.address.to_string()));
    }
}

#[test]
fn what_was_kept_without_a_header_is_not_used_with_one_nor_the_other_way_round() {
    // A line of version 1 reads as the first of a head.
    let backend = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            let is_announced = request.head.starts_with("PROXY TCP4 127.0.0.1 ");
            let body = format!("{} {is_announced:5}", visit.number);
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
            visit.wire.send(format!("{head}{body}"));
        }
    });
    let rig = setup(&[backend.address]).start();
    let mut client = rig.client();
    assert_eq!(client.ask(GET).text(), "0 false");
    assert_eq!(client.ask(GET).text(), "0 false", "it is kept");
    rig.reload(|config| config.pools[0].proxy_protocol = Some(ProxyProtocol::V1));
    assert_eq!(client.ask(GET).text(), "1 true ");
    rig.reload(|config| config.pools[0].proxy_protocol = None);
    assert_eq!(client.ask(GET).text(), "0 false");
}
