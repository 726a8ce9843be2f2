//! Requests and responses that cross, both ways.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::request::{self, Follows, Framed};
use super::response::{self, Answers, Then};
use super::{read_trailers, write_trailers};
use crate::logic::http1::head::{Framing, HeadLimits, Slots, Upgrade};
use crate::logic::http1::refusal::RequestRefusal;
use crate::logic::http1::request::RequestHead;
use crate::logic::http1::response::AskedMethod;

fn asked(method: &str, uri: &str, fields: &[(&str, &str)]) -> http::request::Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn text_of(
    parts: &http::request::Parts,
    follows: Follows,
) -> Result<(Framing, String), RequestRefusal> {
    let framed = Framed {
        follows,
        protocol: None,
        websocket_key: "",
    };
    let mut out = Vec::new();
    let framing = request::write(parts, &framed, &mut out)?;
    Ok((framing, String::from_utf8(out).expect("text")))
}

/// RFC 9113 §8.3.1, §8.2.3, §8.1.1.
#[test]
fn requests_are_written_as_a_client_of_http1_would() {
    use Follows::{Body, Nothing};
    let uri = "https://example.org/a?b=%2e";
    let of_body = [("content-length", "3")];
    let cookies = [("cookie", "a=b"), ("x", "1"), ("cookie", "c=d")];
    for (method, fields, follows, framing, rest) in [
        ("GET", &[][..], Nothing, Framing::None, ""),
        (
            "GET",
            &[("te", "trailers")],
            Nothing,
            Framing::None,
            "te: trailers\r\n",
        ),
        (
            "GET",
            &cookies,
            Nothing,
            Framing::None,
            "x: 1\r\ncookie: a=b; c=d\r\n",
        ),
        (
            "GET",
            &[],
            Body,
            Framing::Chunked,
            "transfer-encoding: chunked\r\n",
        ),
        ("POST", &[], Nothing, Framing::None, "content-length: 0\r\n"),
        (
            "POST",
            &of_body,
            Body,
            Framing::None,
            "content-length: 3\r\n",
        ),
        (
            "POST",
            &[("host", "EXAMPLE.org")],
            Body,
            Framing::Chunked,
            "transfer-encoding: chunked\r\n",
        ),
    ] {
        let hoped = format!("{method} /a?b=%2e HTTP/1.1\r\nhost: example.org\r\n{rest}\r\n");
        let parts = asked(method, uri, fields);
        assert_eq!(text_of(&parts, follows), Ok((framing, hoped)), "{fields:?}");
    }
}

/// RFC 9113 §8.3.1.
#[test]
fn a_request_says_one_host() {
    let refused = |uri: &str, fields: &[(&str, &str)]| {
        text_of(&asked("GET", uri, fields), Follows::Nothing).map(drop)
    };
    let other = [("host", "example.com")];
    assert_eq!(
        refused("https://example.org/", &other),
        Err(RequestRefusal::HostMismatch)
    );
    assert_eq!(refused("/", &[]), Err(RequestRefusal::HostMissing));
    assert_eq!(
        refused("/", &[("host", "a"), ("host", "a")]),
        Err(RequestRefusal::HostRepeated)
    );
    assert_eq!(refused("/", &[("host", "a")]), Ok(()));
}

/// RFC 9113 §8.2.1.
#[test]
fn a_value_neither_begins_nor_ends_with_a_space() {
    for (value, is_malformed) in [
        ("", false),
        ("a", false),
        ("a \tb", false),
        (" ", true),
        (" a", true),
        ("a ", true),
        ("\ta", true),
        ("a\t", true),
    ] {
        let parts = asked("GET", "https://example.org/", &[("x", "a"), ("x", value)]);
        let refusal = text_of(&parts, Follows::Nothing).err();
        let is_refused = matches!(refusal, Some(RequestRefusal::Syntax(_)));
        assert_eq!(is_refused, is_malformed, "{value:?}");
    }
}

/// RFC 8441 §5.
#[test]
fn a_websocket_becomes_an_upgrade_and_that_a_websocket() {
    let fields = [
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "other"),
    ];
    let parts = asked("CONNECT", "https://example.org/chat", &fields);
    let framed = Framed {
        follows: Follows::Body,
        protocol: Some("websocket"),
        websocket_key: "a2V5",
    };
    let mut text = Vec::new();
    let framing = request::write(&parts, &framed, &mut text);
    assert_eq!(framing, Ok(Framing::None));
    let mut slots = Slots::new();
    let head = RequestHead::parse(&text, &mut slots, &HeadLimits::default());
    let head = head.expect("it is right").expect("it is whole");
    assert_eq!((head.method, head.upgrade), ("GET", Upgrade::WebSocket));
    let keys: Vec<_> = head.fields.values("sec-websocket-key").collect();
    assert_eq!(keys, [b"a2V5"]);
    let sent = request::read(&text, http::uri::Scheme::HTTPS).expect("a head");
    assert_eq!(sent.request.method(), Method::CONNECT);
    assert_eq!(sent.protocol.as_deref(), Some("websocket"));
    assert_eq!(sent.websocket_key.as_deref(), Some(&b"a2V5"[..]));
    assert_eq!(sent.request.uri(), "https://example.org/chat");
    let names: Vec<_> = sent.request.headers().keys().collect();
    assert_eq!(names, ["sec-websocket-version"]);
}

/// RFC 9113 §8.2.2.
#[test]
fn requests_are_read_without_what_is_of_a_connection() {
    let text = b"POST /a HTTP/1.1\r\nHost: b:80\r\nX-A: 1\r\nConnection: te\r\nTE: trailers\r\n\
                 Keep-Alive: 5\r\nTransfer-Encoding: chunked\r\nx-a: 2\r\n\r\n";
    let sent = request::read(text, http::uri::Scheme::HTTP).expect("a head");
    assert_eq!(sent.framing, Framing::Chunked);
    assert_eq!(sent.request.method(), Method::POST);
    assert_eq!(sent.request.uri(), "http://b:80/a");
    let fields = sent.request.headers();
    assert_eq!(fields.len(), 3, "{fields:?}");
    let all: Vec<_> = fields.get_all("x-a").iter().collect();
    assert_eq!(all, ["1", "2"]);
    assert_eq!(fields["te"], "trailers");
    for bad in ["", "GET", "GET /a HTTP/1.1\r\nA: b\r\n", "\r\n\r\n"] {
        assert!(
            request::read(bad.as_bytes(), http::uri::Scheme::HTTP).is_none(),
            "{bad:?}"
        );
    }
}

#[test]
fn responses_are_read_with_what_follows_them() {
    for (text, method, status, framing, then) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3",
            AskedMethod::Other,
            200,
            Framing::Length(3),
            Then::Body,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3",
            AskedMethod::Head,
            200,
            Framing::None,
            Then::Body,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
            AskedMethod::Other,
            200,
            Framing::Chunked,
            Then::Body,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close",
            AskedMethod::Other,
            200,
            Framing::UntilClose,
            Then::Body,
        ),
        (
            "HTTP/1.1 204 No Content\r\nA: b",
            AskedMethod::Other,
            204,
            Framing::None,
            Then::Body,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 3",
            AskedMethod::Other,
            304,
            Framing::None,
            Then::Body,
        ),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: a",
            AskedMethod::Other,
            103,
            Framing::None,
            Then::Head,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket",
            AskedMethod::Other,
            200,
            Framing::None,
            Then::Tunnel,
        ),
    ] {
        let sent = response::read(format!("{text}\r\n\r\n").as_bytes(), method).expect(text);
        let hoped = (
            StatusCode::from_u16(status).expect("a status"),
            framing,
            then,
        );
        assert_eq!((sent.status, sent.framing, sent.then), hoped, "{text}");
        for name in ["connection", "upgrade", "transfer-encoding"] {
            assert!(!sent.fields.contains_key(name), "{text}");
        }
    }
    assert!(response::read(b"HTTP/1.1 200 OK\r\n", AskedMethod::Other).is_none());
}

fn answered(status: u16, fields: &[(&str, &str)]) -> http::response::Parts {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(()).expect("a response").into_parts().0
}

#[test]
fn responses_are_written_as_a_backend_of_http1_would() {
    use Follows::{Body, Nothing};
    let stated = [("content-length", "3")];
    for (status, fields, method, follows, framing, text) in [
        (
            200,
            &stated[..],
            AskedMethod::Other,
            Body,
            Framing::Length(3),
            "200 OK\r\ncontent-length: 3\r\n",
        ),
        (
            200,
            &[],
            AskedMethod::Other,
            Body,
            Framing::Chunked,
            "200 OK\r\ntransfer-encoding: chunked\r\n",
        ),
        (
            200,
            &[],
            AskedMethod::Other,
            Nothing,
            Framing::None,
            "200 OK\r\ncontent-length: 0\r\n",
        ),
        (
            200,
            &[],
            AskedMethod::Head,
            Nothing,
            Framing::None,
            "200 OK\r\n",
        ),
        (
            304,
            &stated,
            AskedMethod::Other,
            Nothing,
            Framing::None,
            "304 Not Modified\r\ncontent-length: 3\r\n",
        ),
        (
            599,
            &[],
            AskedMethod::Other,
            Nothing,
            Framing::None,
            "599 \r\ncontent-length: 0\r\n",
        ),
    ] {
        let mut out = Vec::new();
        let answers = Answers {
            method,
            protocol: None,
        };
        let got = response::write(&answered(status, fields), follows, answers, &mut out);
        let hoped = format!("HTTP/1.1 {text}\r\n");
        assert_eq!(
            (got, String::from_utf8(out).expect("text")),
            (framing, hoped)
        );
    }
}

/// RFC 8441 §5: a refusal is an answer like any other.
#[test]
fn a_websocket_that_is_granted_is_proven() {
    let answers = Answers {
        method: AskedMethod::Other,
        protocol: Some(("websocket", "proof")),
    };
    let mut out = Vec::new();
    let framing = response::write(&answered(200, &[]), Follows::Body, answers, &mut out);
    assert_eq!(framing, Framing::UntilClose);
    let hoped = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-accept: proof\r\n\r\n";
    assert_eq!(String::from_utf8(out), Ok(hoped.to_owned()));
    let mut out = Vec::new();
    let framing = response::write(&answered(403, &[]), Follows::Nothing, answers, &mut out);
    assert_eq!(framing, Framing::None);
}

#[test]
fn trailers_cross_both_ways() {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.append("x", HeaderValue::from_static("1"));
    trailers.append("x", HeaderValue::from_static("2"));
    let mut text = Vec::new();
    write_trailers(&trailers, &mut text);
    assert_eq!(text, b"grpc-status: 0\r\nx: 1\r\nx: 2\r\n\r\n");
    assert_eq!(read_trailers(&text), trailers);
    assert_eq!(read_trailers(b"\r\n"), HeaderMap::new());
    assert_eq!(read_trailers(b"connection: a\r\nx: 1\r\n\r\n").len(), 1);
}
