//! What reaches the other side, and that connections outlive it.

use crate::common::Backend;
use crate::rig::{GET, OK, rig};

#[test]
fn connections_are_kept_on_both_sides() {
    let backend = Backend::named("one");
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    for _ in 0..5 {
        assert_eq!(client.ask(GET).text(), "one");
    }
    assert_eq!(backend.accepted(), 1, "one upstream connection serves all");
    assert_eq!(rig.ask(GET).text(), "one");
    assert_eq!(backend.accepted(), 1, "also for another client");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            let path = request.line().to_owned();
            let length = path.len();
            visit.wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}"
            ));
        }
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send("POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /4 HTTP/1.1\r\nHost: a\r\n\r\n");
    for path in ["GET /1 ", "GET /2 ", "POST /3 ", "GET /4 "] {
        assert!(client.response().text().starts_with(path));
    }
}

#[test]
fn bodies_go_to_the_backend_as_they_came() {
    let backend = Backend::named("one");
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(backend.last_request().text(), "hello");
    assert_eq!(
        backend.last_request().field("content-length").as_deref(),
        Some("5")
    );
    client.ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!(backend.last_request().text(), "abcde");
    assert_eq!(
        backend.last_request().field("transfer-encoding").as_deref(),
        Some("chunked")
    );
    client.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nget\r\n0\r\n\r\n",
    );
    assert_eq!(
        backend.last_request().text(),
        "get",
        "a GET's chunked body is not lost"
    );
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn large_bodies_pass_both_ways() {
    let backend = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            let length = request.body.len();
            visit.wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
            ));
            visit.wire.send(&request.body);
        }
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    let body: Vec<u8> = (0..4_000_000u32).map(|n| (n % 251) as u8).collect();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head);
    client.send(&body);
    assert_eq!(client.response().body, body);
}

#[test]
fn chunked_responses_stay_chunked_and_the_connection_is_kept() {
    let backend = Backend::saying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    );
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    for _ in 0..2 {
        let response = client.ask(GET);
        assert_eq!(
            response.field("transfer-encoding").as_deref(),
            Some("chunked")
        );
        assert_eq!(response.text(), "abcdef");
    }
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn answers_without_bodies_are_framed_rightly() {
    for (method, answer, status) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 200),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
            304,
        ),
    ] {
        let backend = Backend::saying(answer);
        let rig = rig(&[&backend]);
        let mut client = rig.client();
        for _ in 0..2 {
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(
                client.try_response(method).unwrap().status(),
                status,
                "{answer:?}"
            );
        }
        if method == "HEAD" {
            client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
            let response = client.try_response(method).unwrap();
            assert_eq!(response.field("content-length").as_deref(), Some("10"));
        }
    }
}

#[test]
fn close_delimited_responses_end_where_they_end() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.send("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    for _ in 0..2 {
        let response = client.ask(GET);
        assert_eq!(response.line(), "HTTP/1.1 200 OK");
        assert_eq!(response.text(), "until the end");
    }
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn backend_closing_its_connection_does_not_close_the_clients() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit
            .wire
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    for _ in 0..3 {
        let response = client.ask(GET);
        assert_eq!(response.text(), "ok");
        assert_eq!(response.field("connection"), None);
    }
    assert_eq!(backend.accepted(), 3);
}

#[test]
fn informational_answers_go_on_to_those_who_understand_them() {
    let backend = Backend::saying(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    let early = client.ask(GET);
    assert_eq!(early.line(), "HTTP/1.1 103 Early Hints");
    assert_eq!(early.field("link").as_deref(), Some("</a>"));
    assert_eq!(client.response().text(), "ok");
    assert_eq!(rig.ask("GET / HTTP/1.0\r\n\r\n").text(), "ok");
}

#[test]
fn clients_of_http_1_0_are_served() {
    let backend = Backend::saying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    let plain = Backend::saying(OK);
    let rig1 = rig(&[&backend]);
    let mut client = rig1.client();
    let response = client.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(response.text(), "abc", "no chunks for HTTP/1.0");
    assert_eq!(response.field("transfer-encoding"), None);
    let host = backend.last_request().field("host");
    assert_eq!(
        host,
        Some(rig1.address.to_string()),
        "HTTP/1.1 needs a Host"
    );
    let rig2 = rig(&[&plain]);
    let mut client = rig2.client();
    for _ in 0..2 {
        let response = client.ask("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(response.text(), "ok", "as ab -k asks");
    }
    assert_eq!(client.ask("GET / HTTP/1.0\r\n\r\n").text(), "ok");
    assert!(client.is_ended());
}

#[test]
fn date_is_added_only_where_it_is_missing() {
    let with = Backend::saying("HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        rig(&[&with]).ask(GET).field("date").as_deref(),
        Some("then")
    );
    let without = Backend::saying(OK);
    assert!(
        rig(&[&without])
            .ask(GET)
            .field("date")
            .unwrap()
            .ends_with("GMT")
    );
}
