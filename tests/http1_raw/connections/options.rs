//! Fields that belong to the client's connection (RFC 9110 §7.6.1, RFC 9112 §9), and what the proxy
//! says of the client.

use crate::bench::case::{Case, ClientAfter, GET, request};

const CLOSING: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
const KEPT_1_0: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(name, section, lines) in DROPPED {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        cases.push(request(name, section, bytes).reaches(GET));
    }
    for &(name, section, line) in CLOSING_LINES {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n");
        let case = request(name, section, bytes).reaches(GET);
        cases.push(case.sees(CLOSING).client(ClientAfter::Closed));
    }
    for &(name, section, lines, sees, after) in OLD {
        let bytes = format!("GET / HTTP/1.0\r\nHost: a\r\n{lines}\r\n");
        cases.push(
            request(name, section, bytes)
                .reaches(GET)
                .sees(sees)
                .client(after),
        );
    }
    cases.extend(protected());
    cases.extend(forwarding());
    cases
}

/// What Connection cannot take away.
fn protected() -> Vec<Case> {
    vec![
        request(
            "Content-Length cannot be named",
            "RFC 9110 §7.6.1",
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 3\r\n\r\nabc",
        )
        .reaches("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
        request(
            "Transfer-Encoding cannot be named",
            "RFC 9110 §7.6.1",
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        )
        .reaches("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        request(
            "Trailer cannot be named",
            "RFC 9110 §7.6.1",
            "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X\r\nConnection: trailer\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        )
        .reaches("POST / HTTP/1.1\r\nHost: a\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        request(
            "X-Forwarded-For cannot be named",
            "RFC 9110 §7.6.1",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host\r\n\r\n",
        )
        .reaches(GET)
        .has("\r\nX-Forwarded-For: 127.0.0.1\r\n")
        .has("\r\nX-Forwarded-Proto: http\r\n")
        .has("\r\nX-Forwarded-Host: a\r\n"),
        request(
            "trailers are wanted on",
            "RFC 9110 §10.1.4",
            "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers, gzip;q=0.5\r\nConnection: TE\r\n\r\n",
        )
        .reaches("GET / HTTP/1.1\r\nHost: a\r\nConnection: te\r\nTE: trailers\r\n\r\n"),
    ]
}

/// What the client says of itself is not what the backend is told.
fn forwarding() -> Vec<Case> {
    vec![
        request("the client's address is told", "RFC 7239 §4", GET)
            .has("\r\nX-Forwarded-For: 127.0.0.1\r\n")
            .has("\r\nX-Forwarded-Proto: http\r\n")
            .has("\r\nX-Forwarded-Host: a\r\n"),
        request(
            "a claimed scheme goes",
            "RFC 7239 §8.1",
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n",
        )
        .reaches(GET)
        .has("\r\nX-Forwarded-Proto: http\r\n")
        .lacks("https"),
        request(
            "a claimed host goes",
            "RFC 7239 §8.1",
            "GET / HTTP/1.1\r\nx-forwarded-host: evil\r\nHost: a\r\n\r\n",
        )
        .reaches(GET)
        .has("\r\nX-Forwarded-Host: a\r\n")
        .lacks("evil"),
        request(
            "what only proxies say goes, in any disguise",
            "RFC 7239 §8.1",
            "GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: evil\r\nX-Forwarded-Prefix: evil\r\n\
             x-forwarded-ssl: evil\r\nTrue-Client-IP: evil\r\nX-Original-URL: evil\r\n\
             X.Forwarded.For: evil\r\nX-Forwarded-User: evil\r\nX_Real_IP: evil\r\n\r\n",
        )
        .reaches(GET)
        .lacks("evil"),
    ]
}

const DROPPED: &[(&str, &str, &str)] = &[
    ("Keep-Alive", "RFC 9110 §7.6.1", "Keep-Alive: timeout=5\r\n"),
    (
        "Proxy-Connection",
        "RFC 9110 §7.6.1",
        "Proxy-Connection: keep-alive\r\n",
    ),
    ("TE", "RFC 9110 §10.1.4", "TE: gzip\r\n"),
    ("Upgrade", "RFC 9110 §7.8", "Upgrade: foo/1\r\n"),
    (
        "Proxy-Authorization",
        "RFC 9110 §11.7.2",
        "Proxy-Authorization: Basic eA==\r\n",
    ),
    (
        "keep-alive",
        "RFC 9110 §7.6.1",
        "Connection: keep-alive\r\n",
    ),
    (
        "named field",
        "RFC 9110 §7.6.1",
        "X-Mine: 1\r\nConnection: X-Mine\r\n",
    ),
    (
        "named in other letters",
        "RFC 9110 §7.6.1",
        "X-Mine: 1\r\nConnection: x-mINE\r\n",
    ),
    (
        "named before it comes",
        "RFC 9110 §7.6.1",
        "Connection: X-Mine\r\nX-Mine: 1\r\nX-Mine: 2\r\n",
    ),
    (
        "named in a list",
        "RFC 9110 §7.6.1",
        "Connection: keep-alive, X-A ,,X-B\r\nX-A: 1\r\nX-B: 2\r\n",
    ),
    (
        "named in two lines",
        "RFC 9110 §7.6.1",
        "Connection: X-A\r\nX-A: 1\r\nConnection: X-B\r\nX-B: 2\r\n",
    ),
    (
        "named cookie",
        "RFC 9110 §7.6.1",
        "Cookie: a\r\nConnection: cookie\r\n",
    ),
    (
        "names nothing that is there",
        "RFC 9110 §7.6.1",
        "Connection: X-Other\r\n",
    ),
    ("empty Connection", "RFC 9110 §5.6.1", "Connection:\r\n"),
    (
        "Connection names itself",
        "RFC 9110 §7.6.1",
        "Connection: connection\r\n",
    ),
];

const CLOSING_LINES: &[(&str, &str, &str)] = &[
    ("close", "RFC 9112 §9.6", "Connection: close\r\n"),
    (
        "close in other letters",
        "RFC 9110 §7.6.1",
        "Connection: Close\r\n",
    ),
    (
        "close and keep-alive",
        "RFC 9112 §9.3",
        "Connection: keep-alive, close\r\n",
    ),
    (
        "close and keep-alive in two lines",
        "RFC 9112 §9.3",
        "Connection: close\r\nConnection: keep-alive\r\n",
    ),
    (
        "close among empty elements",
        "RFC 9110 §5.6.1",
        "Connection: ,, close ,\r\n",
    ),
];

const OLD: &[(&str, &str, &str, &str, ClientAfter)] = &[
    (
        "HTTP/1.0",
        "RFC 9112 §9.3",
        "",
        CLOSING,
        ClientAfter::Closed,
    ),
    (
        "HTTP/1.0 with keep-alive",
        "RFC 9112 §9.3",
        "Connection: keep-alive\r\n",
        KEPT_1_0,
        ClientAfter::Open,
    ),
    (
        "HTTP/1.0 with keep-alive in capitals",
        "RFC 9112 §9.3",
        "Connection: Keep-Alive\r\n",
        KEPT_1_0,
        ClientAfter::Open,
    ),
    (
        "HTTP/1.0 with close",
        "RFC 9112 §9.3",
        "Connection: close\r\n",
        CLOSING,
        ClientAfter::Closed,
    ),
    (
        "HTTP/1.0 with both",
        "RFC 9112 §9.3",
        "Connection: keep-alive, close\r\n",
        CLOSING,
        ClientAfter::Closed,
    ),
    (
        "HTTP/1.0 with Proxy-Connection",
        "RFC 9112 §9.3",
        "Proxy-Connection: keep-alive\r\n",
        CLOSING,
        ClientAfter::Closed,
    ),
];
