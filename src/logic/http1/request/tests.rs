//! Requests by table: what is refused with which word, and what a backend is sent instead.

use std::net::IpAddr;

use super::*;
use crate::logic::http1::forwarding::Trust;

const ARRIVAL: ForwardingContext<'static> = ForwardingContext {
    peer: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9)),
    trust: Trust::Untrusted,
    scheme: "http",
    port: 80,
    fallback_host: "192.0.2.100:80",
    proxy_fields: &[],
    forwarded: OptionalField::Omit,
    via: OptionalField::Omit,
    request_id: None,
};

fn limits() -> HeadLimits {
    HeadLimits {
        head_bytes: 2000,
        fields: 20,
        target_bytes: 300,
    }
}

fn refused(text: &[u8]) -> Option<&'static str> {
    let mut slots = Slots::new();
    match RequestHead::parse(text, &mut slots, &limits()) {
        Ok(Some(_)) => Some("accepted"),
        Ok(None) => None,
        Err(refusal) => Some(refusal.token()),
    }
}

/// Returns the head that a backend is sent, without the fields that say where it came from.
fn sent(text: &str) -> String {
    let mut slots = Slots::new();
    let head = RequestHead::parse(text.as_bytes(), &mut slots, &limits())
        .unwrap_or_else(|refusal| panic!("{text:?} is refused: {refusal}"))
        .expect("it is whole");
    let mut out = Vec::new();
    head.write(&ARRIVAL, &mut out);
    String::from_utf8(out).expect("it is text")
}

/// Returns the values of a field in what a backend is sent, joined by `|`.
fn sent_field(lines: &str, name: &str) -> Option<String> {
    let text = sent(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
    field_of(&text, name)
}

fn field_of(text: &str, name: &str) -> Option<String> {
    let values: Vec<&str> = text
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect();
    (!values.is_empty()).then(|| values.join("|"))
}

/// RFC 9112 §2.2, §2.3, §3, §5.
#[test]
fn malformed_heads_follow_the_table() {
    for (text, hoped) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "accepted"),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "accepted"),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bare_lf"),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", "bare_lf"),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", "bare_lf"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", "bare_lf"),
        ("GET / HTTP/1.1\r\nX:\nHost: a\r\n\r\n", "bare_lf"),
        ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", "head_invalid"),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", "head_invalid"),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "head_invalid"),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "head_invalid"),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "head_invalid"),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "head_invalid"),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "head_invalid"),
        ("GET /\r\nHost: a\r\n\r\n", "head_invalid"),
        ("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", "head_invalid"),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "head_invalid"),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", "head_invalid"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "version_unknown"),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "version_unknown"),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", "version_unknown"),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", "head_invalid"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "head_invalid"),
        ("GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", "head_invalid"),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "head_invalid"),
        ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "head_invalid"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n", "head_invalid"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "head_invalid"),
        ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", "head_invalid"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX Y: x\r\n\r\n",
            "head_invalid",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nX(: x\r\n\r\n", "head_invalid"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", "head_invalid"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
            "head_invalid",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
            "head_invalid",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n", "accepted"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: é\r\n\r\n", "accepted"),
        ("GET / HTTP/1.1\r\nHost: a\r\nÉ: x\r\n\r\n", "head_invalid"),
        ("\x16\x03\x01\x02", "head_invalid"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version_unknown"),
    ] {
        assert_eq!(refused(text.as_bytes()), Some(hoped), "{text:?}");
    }
}

/// RFC 9110 §15.5.15, RFC 6585 §5.
#[test]
fn limits_follow_the_table() {
    let long = "x".repeat(400);
    let many = "X: y\r\n".repeat(20);
    let huge = "x".repeat(2000);
    for (text, hoped) in [
        (
            format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
            Some("target_too_long"),
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
            Some("too_many_fields"),
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {huge}\r\n\r\n"),
            Some("head_too_large"),
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {huge}"),
            Some("head_too_large"),
        ),
        (format!("GET /{huge}"), Some("target_too_long")),
        (
            format!("GET /{huge} HTTP/1.1\r\nHost: a\r\n\r\n"),
            Some("target_too_long"),
        ),
        (
            format!("GET /{long} HTTP/1.1\r\nHost: a\r\nX: {huge}"),
            Some("target_too_long"),
        ),
        ("GET / HTTP/2".to_owned(), None),
        ("GET / HTTP/2.0".to_owned(), None),
        (format!("GET /{long}"), None),
        (String::new(), None),
    ] {
        assert_eq!(refused(text.as_bytes()), hoped, "{:.40}", text);
    }
}

/// RFC 9112 §3.2, §3.2.1 to §3.2.4, RFC 9110 §7.2.
#[test]
fn targets_and_hosts_follow_the_table() {
    for (line, hosts, hoped) in [
        ("GET / HTTP/1.1", "", "host_missing"),
        ("GET / HTTP/1.0", "", "accepted"),
        ("GET / HTTP/1.1", "Host: a\r\nHost: a\r\n", "host_repeated"),
        ("GET / HTTP/1.1", "Host: a\r\nhOST: b\r\n", "host_repeated"),
        ("GET / HTTP/1.0", "Host: a\r\nHost: b\r\n", "host_repeated"),
        ("GET / HTTP/1.1", "Host:\r\n", "host_invalid"),
        ("GET / HTTP/1.1", "Host: a b\r\n", "host_invalid"),
        ("GET / HTTP/1.1", "Host: a,b\r\n", "host_invalid"),
        ("GET / HTTP/1.1", "Host: u@a\r\n", "host_invalid"),
        ("GET / HTTP/1.1", "Host: a/b\r\n", "host_invalid"),
        ("GET / HTTP/1.1", "Host: a:99999\r\n", "host_invalid"),
        ("GET / HTTP/1.1", "Host: [::1]:80\r\n", "accepted"),
        ("GET http://a/x HTTP/1.1", "Host: a\r\n", "accepted"),
        ("GET HTTP://A/x HTTP/1.1", "Host: a\r\n", "accepted"),
        ("GET http://a?x HTTP/1.1", "Host: a\r\n", "accepted"),
        ("GET http://b/ HTTP/1.1", "Host: a\r\n", "host_mismatch"),
        ("GET http://a:80/ HTTP/1.1", "Host: a\r\n", "accepted"),
        ("GET http://a:81/ HTTP/1.1", "Host: a\r\n", "host_mismatch"),
        ("GET http://a/ HTTP/1.1", "", "host_missing"),
        ("GET http://a/ HTTP/1.0", "", "accepted"),
        ("GET http:/// HTTP/1.1", "Host: a\r\n", "target_invalid"),
        ("GET http://u@a/ HTTP/1.1", "Host: a\r\n", "target_invalid"),
        ("GET ftp://a/ HTTP/1.1", "Host: a\r\n", "target_invalid"),
        ("GET a HTTP/1.1", "Host: a\r\n", "target_invalid"),
        ("GET a:80 HTTP/1.1", "Host: a\r\n", "target_invalid"),
        ("GET ?x HTTP/1.1", "Host: a\r\n", "target_invalid"),
        ("GET * HTTP/1.1", "Host: a\r\n", "target_invalid"),
        ("OPTIONS * HTTP/1.1", "Host: a\r\n", "accepted"),
        ("OPTIONS ** HTTP/1.1", "Host: a\r\n", "target_invalid"),
        (
            "CONNECT a:443 HTTP/1.1",
            "Host: a:443\r\n",
            "connect_refused",
        ),
        ("CONNECT / HTTP/1.1", "Host: a\r\n", "connect_refused"),
        ("GET /a#b HTTP/1.1", "Host: a\r\n", "target_invalid"),
        ("GET /a\\b HTTP/1.1", "Host: a\r\n", "target_invalid"),
        ("GET /a<b HTTP/1.1", "Host: a\r\n", "target_invalid"),
        ("GET /é HTTP/1.1", "Host: a\r\n", "target_invalid"),
        ("GET /a%20b?c=[d]|{e} HTTP/1.1", "Host: a\r\n", "accepted"),
        ("GET //a HTTP/1.1", "Host: a\r\n", "accepted"),
    ] {
        let text = format!("{line}\r\n{hosts}\r\n");
        assert_eq!(refused(text.as_bytes()), Some(hoped), "{text:?}");
    }
}

/// RFC 9112 §6.1, §6.2, §6.3.
const FRAMINGS: &[(&str, &str, &str)] = &[
    ("1.1", "Content-Length: 5\r\n", "accepted"),
    ("1.1", "Content-Length: 0\r\n", "accepted"),
    ("1.1", "Content-Length: 005\r\n", "accepted"),
    (
        "1.1",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "content_length",
    ),
    (
        "1.1",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "content_length",
    ),
    ("1.1", "Content-Length: 5, 5\r\n", "content_length"),
    ("1.1", "Content-Length: +5\r\n", "content_length"),
    ("1.1", "Content-Length: -5\r\n", "content_length"),
    ("1.1", "Content-Length: 0x5\r\n", "content_length"),
    ("1.1", "Content-Length: 5 6\r\n", "content_length"),
    ("1.1", "Content-Length: 5.0\r\n", "content_length"),
    ("1.1", "Content-Length:\r\n", "content_length"),
    (
        "1.1",
        "Content-Length: 18446744073709551616\r\n",
        "content_length",
    ),
    ("1.1", "Transfer-Encoding: chunked\r\n", "accepted"),
    ("1.1", "Transfer-Encoding: Chunked\r\n", "accepted"),
    (
        "1.1",
        "Transfer-Encoding: gzip, chunked\r\n",
        "transfer_coding",
    ),
    (
        "1.1",
        "Transfer-Encoding: chunked, chunked\r\n",
        "transfer_coding",
    ),
    (
        "1.1",
        "Transfer-Encoding: chunked, identity\r\n",
        "transfer_coding",
    ),
    ("1.1", "Transfer-Encoding: identity\r\n", "transfer_coding"),
    ("1.1", "Transfer-Encoding: gzip\r\n", "transfer_coding"),
    ("1.1", "Transfer-Encoding: xchunked\r\n", "transfer_coding"),
    ("1.1", "Transfer-Encoding: \x0bchunked\r\n", "head_invalid"),
    (
        "1.1",
        "Transfer-Encoding: chunked;q=1\r\n",
        "transfer_coding",
    ),
    (
        "1.1",
        "Transfer-Encoding: \"chunked\"\r\n",
        "transfer_coding",
    ),
    ("1.1", "Transfer-Encoding:\r\n", "transfer_coding"),
    (
        "1.1",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "transfer_coding",
    ),
    (
        "1.1",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "transfer_coding",
    ),
    (
        "1.1",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "both_framings",
    ),
    (
        "1.1",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "both_framings",
    ),
    (
        "1.0",
        "Transfer-Encoding: chunked\r\n",
        "coding_in_http_1_0",
    ),
    ("1.0", "Content-Length: 5\r\n", "accepted"),
];

#[test]
fn framings_follow_the_table() {
    for (version, lines, hoped) in FRAMINGS {
        let text = format!("POST / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(refused(text.as_bytes()), Some(*hoped), "{text:?}");
    }
}

/// RFC 9110 §7.6.1, RFC 9112 §9.6.
#[test]
fn fields_of_the_connection_follow_the_table() {
    for (lines, name, hoped) in [
        ("Connection: close\r\n", "connection", None),
        ("Connection: x-a, X-B\r\nX-A: 1\r\n", "x-a", None),
        (
            "Connection: x-a\r\nConnection: x-b\r\nX-B: 1\r\n",
            "x-b",
            None,
        ),
        ("X-B: 1\r\nConnection: x-b\r\nX-B: 2\r\n", "x-b", None),
        ("Connection: host, content-length\r\n", "host", Some("a")),
        (
            "Connection: content-length\r\nContent-Length: 3\r\n",
            "content-length",
            Some("3"),
        ),
        (
            "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
            "transfer-encoding",
            Some("chunked"),
        ),
        (
            "Connection: x-forwarded-for\r\nX-Forwarded-For: 10.0.0.1\r\n",
            "x-forwarded-for",
            Some("192.0.2.9"),
        ),
        (
            "Connection: x-forwarded-proto\r\n",
            "x-forwarded-proto",
            Some("http"),
        ),
        (
            "Connection: forwarded\r\nForwarded: for=b\r\n",
            "forwarded",
            None,
        ),
        ("Keep-Alive: timeout=5\r\n", "keep-alive", None),
        ("Proxy-Connection: keep-alive\r\n", "proxy-connection", None),
        (
            "Proxy-Authorization: Basic eA==\r\n",
            "proxy-authorization",
            None,
        ),
        ("TE: gzip\r\n", "te", None),
        ("TE: gzip, trailers\r\n", "te", Some("trailers")),
        ("TE: trailers\r\n", "connection", Some("te")),
        (
            "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n",
            "upgrade",
            None,
        ),
        (
            "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n",
            "http2-settings",
            None,
        ),
        ("Connection: close,,\t, x-a ,\r\nX-A: 1\r\n", "x-a", None),
        ("Connection: cookie\r\nCookie: a\r\n", "cookie", None),
    ] {
        assert_eq!(
            sent_field(lines, name).as_deref(),
            hoped,
            "{lines:?} {name}"
        );
    }
}

#[test]
fn fields_that_mislead_follow_the_table() {
    for (lines, name, hoped) in [
        ("Proxy: http://evil\r\n", "proxy", None),
        ("X_Forwarded_For: 1.1.1.1\r\n", "x_forwarded_for", None),
        ("Content_Length: 5\r\n", "content_length", None),
        ("_: 5\r\n", "_", None),
        ("Expect: 100-Continue\r\n", "expect", None),
        ("Content-Length: 005\r\n", "content-length", Some("5")),
        ("Content-Length: 00\r\n", "content-length", Some("0")),
        ("X-A: 1\r\n", "x-forwarded-for", Some("192.0.2.9")),
        (
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n",
            "x-forwarded-for",
            Some("192.0.2.9"),
        ),
        (
            "X-Forwarded-Proto: https\r\n",
            "x-forwarded-proto",
            Some("http"),
        ),
        ("X-Forwarded-Host: evil\r\n", "x-forwarded-host", Some("a")),
        ("Cookie: a=1\r\nCookie: b=2\r\n", "cookie", Some("a=1|b=2")),
        ("X-Empty:\r\n", "x-empty", Some("")),
    ] {
        assert_eq!(
            sent_field(lines, name).as_deref(),
            hoped,
            "{lines:?} {name}"
        );
    }
}

#[test]
fn heads_go_on_in_their_order_and_case() {
    let forwarded = "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: http\r\n";
    for (text, hoped) in [
        (
            "GET /a?b HTTP/1.1\r\nhOsT: a\r\nConnection: close\r\nX-One:  1 \r\nKeep-Alive: 5\r\nX-Two:2\r\n\r\n",
            format!(
                "GET /a?b HTTP/1.1\r\nhOsT: a\r\nX-One:  1 \r\nX-Two:2\r\n{forwarded}X-Forwarded-Host: a\r\nX-Forwarded-Port: 80\r\n\r\n"
            ),
        ),
        (
            "GET http://b HTTP/1.0\r\n\r\n",
            format!(
                "GET / HTTP/1.1\r\nHost: b\r\n{forwarded}X-Forwarded-Host: b\r\nX-Forwarded-Port: 80\r\n\r\n"
            ),
        ),
        (
            "GET http://b?x HTTP/1.0\r\n\r\n",
            format!(
                "GET /?x HTTP/1.1\r\nHost: b\r\n{forwarded}X-Forwarded-Host: b\r\nX-Forwarded-Port: 80\r\n\r\n"
            ),
        ),
        (
            "GET / HTTP/1.0\r\n\r\n",
            format!(
                "GET / HTTP/1.1\r\nHost: 192.0.2.100:80\r\n{forwarded}X-Forwarded-Host: 192.0.2.100:80\r\nX-Forwarded-Port: 80\r\n\r\n"
            ),
        ),
        (
            "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
            format!(
                "OPTIONS * HTTP/1.1\r\nHost: a\r\n{forwarded}X-Forwarded-Host: a\r\nX-Forwarded-Port: 80\r\n\r\n"
            ),
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            format!(
                "OPTIONS * HTTP/1.1\r\nHost: a\r\n{forwarded}X-Forwarded-Host: a\r\nX-Forwarded-Port: 80\r\n\r\n"
            ),
        ),
    ] {
        assert_eq!(sent(text), hoped);
    }
}

const WEBSOCKET: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";

/// RFC 9110 §7.8, RFC 9112 §9.3, RFC 9110 §10.1.1.
const WANTS: &[(&str, &str, Persistence, Upgrade, Expectation)] = &[
    (
        "GET / HTTP/1.1",
        "",
        Persistence::Keep,
        Upgrade::None,
        Expectation::None,
    ),
    (
        "GET / HTTP/1.1",
        "Connection: Close\r\n",
        Persistence::Close,
        Upgrade::None,
        Expectation::None,
    ),
    (
        "GET / HTTP/1.1",
        "Connection: keep-alive, close\r\n",
        Persistence::Close,
        Upgrade::None,
        Expectation::None,
    ),
    (
        "GET / HTTP/1.0",
        "",
        Persistence::Close,
        Upgrade::None,
        Expectation::None,
    ),
    (
        "GET / HTTP/1.0",
        "Connection: Keep-Alive\r\n",
        Persistence::Keep,
        Upgrade::None,
        Expectation::None,
    ),
    (
        "GET / HTTP/1.0",
        "Connection: keep-alive, close\r\n",
        Persistence::Close,
        Upgrade::None,
        Expectation::None,
    ),
    (
        "GET / HTTP/1.1",
        WEBSOCKET,
        Persistence::Keep,
        Upgrade::WebSocket,
        Expectation::None,
    ),
    (
        "POST / HTTP/1.1",
        WEBSOCKET,
        Persistence::Keep,
        Upgrade::None,
        Expectation::None,
    ),
    (
        "GET / HTTP/1.0",
        WEBSOCKET,
        Persistence::Keep,
        Upgrade::None,
        Expectation::None,
    ),
    (
        "GET / HTTP/1.1",
        "Upgrade: websocket\r\n",
        Persistence::Keep,
        Upgrade::None,
        Expectation::None,
    ),
    (
        "GET / HTTP/1.1",
        "Connection: upgrade\r\nUpgrade: WEBSOCKET, h2c\r\n",
        Persistence::Keep,
        Upgrade::None,
        Expectation::None,
    ),
    (
        "GET / HTTP/1.1",
        "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        Persistence::Keep,
        Upgrade::None,
        Expectation::None,
    ),
    (
        "GET / HTTP/1.1",
        "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
        Persistence::Keep,
        Upgrade::None,
        Expectation::None,
    ),
    (
        "POST / HTTP/1.1",
        "Expect: 100-Continue\r\nContent-Length: 5\r\n",
        Persistence::Keep,
        Upgrade::None,
        Expectation::Continue,
    ),
    (
        "POST / HTTP/1.0",
        "Expect: 100-continue\r\nContent-Length: 5\r\n",
        Persistence::Close,
        Upgrade::None,
        Expectation::None,
    ),
];

#[test]
fn what_a_request_wants_follows_the_table() {
    for (line, lines, persistence, upgrade, expectation) in WANTS {
        let text = format!("{line}\r\nHost: a\r\n{lines}\r\n");
        let mut slots = Slots::new();
        let head = RequestHead::parse(text.as_bytes(), &mut slots, &limits());
        let head = head.expect("it is accepted").expect("it is whole");
        let got = (head.persistence, head.upgrade, head.expectation);
        assert_eq!(got, (*persistence, *upgrade, *expectation), "{text:?}");
        assert_eq!(head.len, text.len());
    }
}

/// RFC 9110 §7.6.2: how often OPTIONS and TRACE may be forwarded is counted down; other methods do
/// not count it.
#[test]
fn forwards_follow_the_table() {
    for (method, lines, hoped) in [
        ("OPTIONS", "Max-Forwards: 7\r\n", Ok(Some("6"))),
        ("TRACE", "max-forwards: 010\r\n", Ok(Some("9"))),
        ("TRACE", "Max-Forwards: 1\r\n", Ok(Some("0"))),
        (
            "TRACE",
            "Max-Forwards: 99999999999999999999\r\n",
            Ok(Some("18446744073709551614")),
        ),
        (
            "OPTIONS",
            "Connection: max-forwards\r\nMax-Forwards: 2\r\n",
            Ok(Some("1")),
        ),
        ("OPTIONS", "", Ok(None)),
        ("GET", "Max-Forwards: 0\r\n", Ok(Some("0"))),
        ("POST", "Max-Forwards: x\r\n", Ok(Some("x"))),
        ("options", "Max-Forwards: 0\r\n", Ok(Some("0"))),
        ("OPTIONS", "Max-Forwards: 0\r\n", Err("options_end")),
        ("TRACE", "Max-Forwards: 00\r\n", Err("trace_end")),
        (
            "TRACE",
            "Connection: max-forwards\r\nMax-Forwards: 0\r\n",
            Err("trace_end"),
        ),
        ("OPTIONS", "Max-Forwards:\r\n", Err("max_forwards")),
        ("OPTIONS", "Max-Forwards: -1\r\n", Err("max_forwards")),
        ("TRACE", "Max-Forwards: 1, 1\r\n", Err("max_forwards")),
        (
            "TRACE",
            "Max-Forwards: 1\r\nMax-Forwards: 1\r\n",
            Err("max_forwards"),
        ),
    ] {
        let text = format!("{method} / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let got = match refused(text.as_bytes()) {
            Some("accepted") => Ok(field_of(&sent(&text), "max-forwards")),
            other => Err(other.expect("it is whole")),
        };
        let hoped = hoped.map(|value| value.map(str::to_owned));
        assert_eq!(got, hoped, "{text:?}");
    }
}

/// RFC 9110 §7.6.3: the version that was received, behind what others have written.
#[test]
fn the_proxy_is_the_last_in_via_where_it_is_asked_for() {
    for (version, came, hoped) in [
        ("HTTP/1.1", "", "1.1 evenkeel"),
        ("HTTP/1.0", "", "1.0 evenkeel"),
        (
            "HTTP/1.1",
            "Via: 1.0 a, 2 b\r\nvia: 1.1 c\r\n",
            "1.0 a, 2 b|1.1 c|1.1 evenkeel",
        ),
    ] {
        let text = format!("GET / {version}\r\nHost: a\r\n{came}\r\n");
        let mut slots = Slots::new();
        let head = RequestHead::parse(text.as_bytes(), &mut slots, &limits());
        let head = head.expect("it is good").expect("it is whole");
        let mut out = Vec::new();
        let via = OptionalField::Send;
        head.write(&ForwardingContext { via, ..ARRIVAL }, &mut out);
        let out = String::from_utf8(out).expect("it is text");
        assert_eq!(field_of(&out, "via").as_deref(), Some(hoped));
    }
    assert_eq!(
        sent_field("Via: 1.0 a\r\n", "via").as_deref(),
        Some("1.0 a")
    );
}

/// What the manual says at the limit of fields.
const FIELDS_ADDED_MAX: usize = 9;

#[test]
fn backends_get_so_many_fields_more_at_most() {
    let arrival = ForwardingContext {
        forwarded: OptionalField::Send,
        via: OptionalField::Send,
        request_id: Some([b'a'; 32]),
        ..ARRIVAL
    };
    let added = |text: &str| {
        let mut slots = Slots::new();
        let head = RequestHead::parse(text.as_bytes(), &mut slots, &limits());
        let head = head.expect("it is good").expect("it is whole");
        let mut out = Vec::new();
        head.write(&arrival, &mut out);
        let lines = |text: &[u8]| text.split(|&byte| byte == b'\n').count();
        lines(&out) - lines(text.as_bytes())
    };
    // Host, Connection, Via, four of X-Forwarded, Forwarded and X-Request-Id.
    let most = added("GET / HTTP/1.0\r\nTE: trailers\r\n\r\n");
    assert_eq!(most, FIELDS_ADDED_MAX);
    assert_eq!(added("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 7);
    for body in ["Content-Length: 007\r\n", "Transfer-Encoding: chunked\r\n"] {
        let text = format!("POST http://a/ HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n{body}\r\n");
        assert_eq!(added(&text), 8);
    }
    let websocket = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    let text = format!("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n{websocket}\r\n");
    assert_eq!(added(&text), 6);
}
