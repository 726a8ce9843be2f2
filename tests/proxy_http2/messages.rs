//! Requests and answers of every shape, to backends of HTTP/1.1.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};

use crate::client::{ask, connect, get, request, run};
use crate::common::Backend;
use crate::{http2, rig_of};

#[test]
fn requests_reach_a_backend_as_those_of_http1() {
    let backend = Backend::saying("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello");
    let rig = rig_of(&backend);
    run(async {
        let sender = connect(rig.address).await;
        let mut asked = request("GET", "/a?b=c");
        asked
            .headers_mut()
            .append("cookie", HeaderValue::from_static("a=b"));
        asked
            .headers_mut()
            .append("cookie", HeaderValue::from_static("c=d"));
        let answer = ask(&sender, asked, None, None).await.unwrap();
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (StatusCode::OK, "hello")
        );
        assert_eq!(answer.fields["x-a"], "b");
        assert_eq!(answer.fields["content-length"], "5");
        assert!(!answer.fields.contains_key("connection"));
    });
    let seen = backend.last_request();
    assert_eq!(seen.line(), "GET /a?b=c HTTP/1.1");
    assert_eq!(seen.field("host").as_deref(), Some("example.org"));
    assert_eq!(seen.field("cookie").as_deref(), Some("a=b; c=d"));
    assert_eq!(seen.field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(seen.field("connection"), None);
}

#[test]
fn bodies_go_both_ways_with_a_length_and_without() {
    let backend = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            let body = request.body;
            match request.head.starts_with("POST /chunks ") {
                true => {
                    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                    visit.wire.send(head);
                    for piece in body.chunks(7_001) {
                        visit.wire.send(format!("{:x}\r\n", piece.len()));
                        visit.wire.send(piece);
                        visit.wire.send("\r\n");
                    }
                    visit.wire.send("0\r\nX-End: yes\r\n\r\n");
                }
                false => {
                    let len = body.len();
                    visit
                        .wire
                        .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n"));
                    visit.wire.send(body);
                }
            }
        }
    });
    let rig = rig_of(&backend);
    let body: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    run(async {
        let sender = connect(rig.address).await;
        for (path, stated) in [
            ("/a", true),
            ("/a", false),
            ("/chunks", true),
            ("/chunks", false),
        ] {
            let mut asked = request("POST", path);
            if stated {
                asked
                    .headers_mut()
                    .insert("content-length", body.len().into());
            }
            let answer = ask(&sender, asked, Some(&body), None).await.unwrap();
            assert!(
                answer.body == body,
                "{path} {stated}: {} bytes",
                answer.body.len()
            );
            let trailers = answer.trailers.unwrap_or_default();
            let hoped = (path == "/chunks").then_some("yes");
            let said = trailers.get("x-end").map(|it| it.to_str().unwrap());
            assert_eq!(said, hoped, "{path} {stated}");
        }
    });
    let framings: Vec<_> = backend
        .requests()
        .iter()
        .map(|it| it.field("transfer-encoding"))
        .collect();
    let chunked = || Some("chunked".to_owned());
    assert_eq!(framings, [None, chunked(), None, chunked()]);
}

#[test]
fn trailers_of_a_request_reach_the_backend() {
    let backend = Backend::scripted(|mut visit| {
        let head = visit.wire.head().unwrap();
        assert!(head.contains("Transfer-Encoding: chunked\r\n"), "{head}");
        let body = visit.wire.head().unwrap();
        assert_eq!(body, "2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n");
        visit.wire.send("HTTP/1.1 204 No Content\r\n\r\n");
    });
    let rig = rig_of(&backend);
    run(async {
        let sender = connect(rig.address).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        let answer = ask(&sender, request("POST", "/"), Some(b"hi"), Some(trailers)).await;
        assert_eq!(answer.unwrap().status, StatusCode::NO_CONTENT);
    });
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    for (method, text, status) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            304,
        ),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
        (
            "GET",
            "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            404,
        ),
    ] {
        let backend = Backend::saying(text);
        let rig = rig_of(&backend);
        run(async {
            let sender = connect(rig.address).await;
            let answer = ask(&sender, request(method, "/"), None, None)
                .await
                .unwrap();
            assert_eq!(
                (answer.status.as_u16(), answer.body.len()),
                (status, 0),
                "{text}"
            );
            assert!(answer.trailers.is_none(), "{text}");
        });
    }
}

#[test]
fn a_body_that_ends_with_its_connection_ends_with_its_stream() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    });
    let rig = rig_of(&backend);
    run(async {
        let sender = connect(rig.address).await;
        for _ in 0..3 {
            assert_eq!(get(&sender, "/").await.unwrap().text(), "until the end");
        }
    });
}

#[test]
fn a_hundred_requests_of_a_connection_are_answered_at_a_time() {
    let (arrived, wait) = (std::sync::Barrier::new(100), std::time::Duration::ZERO);
    let arrived = std::sync::Arc::new(arrived);
    let backend = Backend::scripted(move |mut visit| {
        let arrived = std::sync::Arc::clone(&arrived);
        let request = visit.request();
        if let Some(request) = request {
            // None is answered before all have come.
            arrived.wait();
            std::thread::sleep(wait);
            let path = request.line().split(' ').nth(1).unwrap().to_owned();
            let len = path.len();
            visit.wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{path}"
            ));
        }
    });
    let rig = rig_of(&backend);
    run(async {
        let sender = connect(rig.address).await;
        let asked = (0..100).map(|number| {
            let sender = sender.clone();
            tokio::task::spawn_local(async move {
                let path = format!("/{number}");
                (get(&sender, &path).await.unwrap().text(), path)
            })
        });
        for asked in asked.collect::<Vec<_>>() {
            let (text, path) = asked.await.unwrap();
            assert_eq!(text, path);
        }
    });
}

/// RFC 8441.
#[test]
fn a_websocket_is_an_upgrade_to_the_backend() {
    let backend = Backend::scripted(|mut visit| {
        let head = visit.wire.head().unwrap();
        assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
        assert!(
            head.contains("Connection: upgrade\r\nUpgrade: websocket\r\n"),
            "{head}"
        );
        assert!(head.contains("sec-websocket-key: "), "{head}");
        visit.wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n");
        let said = visit.wire.take(4);
        visit.wire.send([b"got ".to_vec(), said].concat());
        assert!(visit.wire.is_ended());
    });
    let rig = rig_of(&backend);
    run(async {
        let sender = connect(rig.address).await;
        // What the proxy allows is known when its settings have come.
        let mut sender = sender.ready().await.unwrap();
        while !sender.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let mut asked = Request::new(());
        *asked.method_mut() = Method::CONNECT;
        *asked.uri_mut() = "http://example.org/chat".parse().unwrap();
        asked
            .extensions_mut()
            .insert(h2::ext::Protocol::from("websocket"));
        asked
            .headers_mut()
            .insert("sec-websocket-version", HeaderValue::from_static("13"));
        let (response, mut stream) = sender.send_request(asked, false).unwrap();
        let (head, mut body) = response.await.unwrap().into_parts();
        assert_eq!(head.status, StatusCode::OK);
        assert!(!head.headers.contains_key("sec-websocket-accept"));
        stream
            .send_data(Bytes::from_static(b"ping"), false)
            .unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), "got ping");
        stream.send_data(Bytes::new(), true).unwrap();
        assert!(
            body.data()
                .await
                .is_none_or(|data| data.unwrap().is_empty())
        );
        let mut other = Request::new(());
        *other.method_mut() = Method::CONNECT;
        *other.uri_mut() = "http://example.org/chat".parse().unwrap();
        other
            .extensions_mut()
            .insert(h2::ext::Protocol::from("connect-udp"));
        let answer = ask(&sender, other, None, None).await.unwrap();
        assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED);
        assert!(
            answer.text().contains("protocol_unknown: "),
            "{}",
            answer.text()
        );
    });
}

#[test]
fn what_is_refused_of_http1_is_refused() {
    let backend = Backend::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let rig = http2(&[backend.address])
        .listener(|it| it.limits.fields = 10)
        .start();
    run(async {
        let sender = connect(rig.address).await;
        let mut many = request("GET", "/");
        for number in 0..20 {
            let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
            many.headers_mut()
                .insert(name, HeaderValue::from_static("1"));
        }
        let mut expects = request("GET", "/");
        expects
            .headers_mut()
            .insert("expect", HeaderValue::from_static("magic"));
        for (asked, status, token) in [
            (many, 431, "too_many_fields: "),
            (expects, 417, "expectation: "),
            (request("GET", "/a%00"), 200, ""),
            (request("TRACE", "/"), 200, ""),
        ] {
            let answer = ask(&sender, asked, None, None).await.unwrap();
            assert_eq!(answer.status.as_u16(), status, "{token}");
            assert!(answer.text().starts_with(token), "{}", answer.text());
        }
    });
}

#[test]
fn http1_is_spoken_beside_it() {
    let backend = Backend::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let rig = rig_of(&backend);
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI /a HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(rig.ask(request).status(), 200, "{request}");
    }
    let plain = crate::rig::setup(&[backend.address]).start();
    let mut client = plain.client();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(client.response().status(), 505, "unless it is allowed");
}
