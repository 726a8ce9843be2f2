//! Fields that belong to the backend's connection (RFC 9110 §7.6.1, RFC 9112 §9).

use crate::bench::case::{Case, UpstreamAfter, response};

const SEEN: &str = "HTTP/1.1 200 OK\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(name, section, lines, after) in LINES {
        let bytes = format!("HTTP/1.1 200 OK\r\n{lines}X-End: 1\r\nContent-Length: 2\r\n\r\nok");
        cases.push(response(name, section, bytes).sees(SEEN).upstream(after));
    }
    let chunked = "HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    cases.push(
        response(
            "Transfer-Encoding cannot be named",
            "RFC 9110 §7.6.1",
            chunked,
        )
        .sees("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    );
    let old =
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok";
    cases.push(response("keep-alive in HTTP/1.0", "RFC 9112 §9.3", old).sees(SEEN));
    cases
}

const LINES: &[(&str, &str, &str, UpstreamAfter)] = &[
    (
        "Keep-Alive",
        "RFC 9110 §7.6.1",
        "Keep-Alive: timeout=5\r\n",
        UpstreamAfter::Kept,
    ),
    (
        "keep-alive",
        "RFC 9110 §7.6.1",
        "Connection: keep-alive\r\n",
        UpstreamAfter::Kept,
    ),
    (
        "Proxy-Connection",
        "RFC 9110 §7.6.1",
        "Proxy-Connection: close\r\n",
        UpstreamAfter::Kept,
    ),
    (
        "Proxy-Authenticate",
        "RFC 9110 §11.7.1",
        "Proxy-Authenticate: Basic\r\n",
        UpstreamAfter::Kept,
    ),
    (
        "Upgrade",
        "RFC 9110 §7.8",
        "Upgrade: h2c\r\nConnection: upgrade\r\n",
        UpstreamAfter::Kept,
    ),
    (
        "TE",
        "RFC 9110 §10.1.4",
        "TE: trailers\r\n",
        UpstreamAfter::Kept,
    ),
    (
        "named field",
        "RFC 9110 §7.6.1",
        "X-Mine: 1\r\nConnection: x-mine\r\n",
        UpstreamAfter::Kept,
    ),
    (
        "named in a list",
        "RFC 9110 §7.6.1",
        "Connection: X-A,, X-B\r\nX-A: 1\r\nX-B: 2\r\n",
        UpstreamAfter::Kept,
    ),
    (
        "named cookie",
        "RFC 9110 §7.6.1",
        "Connection: Set-Cookie\r\nSet-Cookie: a=b\r\n",
        UpstreamAfter::Kept,
    ),
    (
        "Content-Length cannot be named",
        "RFC 9110 §7.6.1",
        "Connection: Content-Length\r\n",
        UpstreamAfter::Kept,
    ),
    (
        "close",
        "RFC 9112 §9.6",
        "Connection: close\r\n",
        UpstreamAfter::Closed,
    ),
    (
        "close in other letters",
        "RFC 9112 §9.6",
        "connection: CLOSE\r\n",
        UpstreamAfter::Closed,
    ),
    (
        "close and keep-alive",
        "RFC 9112 §9.3",
        "Connection: close, keep-alive\r\n",
        UpstreamAfter::Closed,
    ),
    (
        "close in another line",
        "RFC 9112 §9.3",
        "Connection: keep-alive\r\nConnection: close\r\n",
        UpstreamAfter::Closed,
    ),
];
