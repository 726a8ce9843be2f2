//! Bodies of responses: by length, by chunks, by the end of the connection, and none (RFC 9112
//! §6.3, §7.1, §8).

use crate::bench::case::{Case, ClientAfter, Then, UpstreamAfter, response};
use crate::bench::hope::Part;
use crate::shared::{BAD_CHUNKS, BAD_TRAILERS, BROKEN_OFF_CHUNKS, GOOD_CHUNKS, TRAILED};

const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const ASKS_HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for ((name, section, body), goes_on) in GOOD_CHUNKS {
        let case = response(name, section, format!("{HEAD}{body}"));
        cases.push(case.sees(format!("{HEAD}{goes_on}")));
    }
    for ((name, section, body), begins) in BAD_CHUNKS {
        let case = response(name, section, format!("{HEAD}{body}"));
        cases.push(case.malformed(format!("{HEAD}{begins}")));
    }
    for (name, section, trailers) in BAD_TRAILERS {
        let case = response(name, section, format!("{HEAD}{TRAILED}{trailers}"));
        cases.push(case.malformed(format!("{HEAD}{TRAILED}")));
    }
    for (name, section, body) in BROKEN_OFF_CHUNKS {
        let bytes = format!("{HEAD}{body}");
        cases.push(
            response(name, section, &bytes)
                .then(Then::Close)
                .breaks(&bytes),
        );
    }
    cases.extend(lengths());
    cases.extend(none());
    cases.extend(until_close());
    cases.extend(old_clients());
    cases
}

fn lengths() -> Vec<Case> {
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc";
    vec![
        response(
            "length",
            "RFC 9112 §6.3",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ),
        response(
            "length of zero",
            "RFC 9112 §6.3",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        response(
            "205",
            "RFC 9110 §15.3.6",
            "HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n",
        ),
        response("broken off", "RFC 9112 §8", part)
            .then(Then::Close)
            .breaks(part),
        response("reset", "RFC 9112 §8", part)
            .then(Then::Reset)
            .breaks(part),
        response(
            "surplus byte",
            "RFC 9112 §6.3",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokx",
        )
        .sees("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .upstream(UpstreamAfter::Closed),
        response(
            "a second answer",
            "RFC 9112 §6.3",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        )
        .sees("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .upstream(UpstreamAfter::Closed),
        response(
            "surplus behind chunks",
            "RFC 9112 §7.1",
            format!("{HEAD}0\r\n\r\nx"),
        )
        .sees(format!("{HEAD}0\r\n\r\n"))
        .upstream(UpstreamAfter::Closed),
    ]
}

/// Responses that never have a body.
fn none() -> Vec<Case> {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    vec![
        response("HEAD", "RFC 9110 §9.3.2", head).to(ASKS_HEAD),
        response("HEAD with chunks", "RFC 9112 §6.3", HEAD)
            .to(ASKS_HEAD)
            .sees("HTTP/1.1 200 OK\r\n\r\n"),
        response(
            "HEAD without a length",
            "RFC 9112 §6.3",
            "HTTP/1.1 200 OK\r\n\r\n",
        )
        .to(ASKS_HEAD)
        .upstream(UpstreamAfter::Closed),
        response("HEAD with a body", "RFC 9112 §6.3", format!("{head}x"))
            .to(ASKS_HEAD)
            .sees(head)
            .upstream(UpstreamAfter::Closed),
        response(
            "HEAD with both framings",
            "RFC 9112 §6.1",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .to(ASKS_HEAD)
        .bad()
        .sees_parts([Part::bodiless(502)]),
        response("204", "RFC 9110 §15.3.5", "HTTP/1.1 204 No Content\r\n\r\n"),
        response(
            "204 with a length",
            "RFC 9110 §8.6",
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        )
        .sees("HTTP/1.1 204 No Content\r\n\r\n"),
        response(
            "204 with chunks",
            "RFC 9112 §6.1",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .sees("HTTP/1.1 204 No Content\r\n\r\n"),
        response(
            "204 with a body",
            "RFC 9112 §6.3",
            "HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\nx",
        )
        .sees("HTTP/1.1 204 No Content\r\n\r\n")
        .upstream(UpstreamAfter::Closed),
        response(
            "304 with a length",
            "RFC 9110 §15.4.5",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ),
        response(
            "304 with chunks",
            "RFC 9112 §6.1",
            "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .sees("HTTP/1.1 304 Not Modified\r\n\r\n"),
        response(
            "304 without a length",
            "RFC 9110 §15.4.5",
            "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
        ),
    ]
}

/// Bodies that end with the connection.
fn until_close() -> Vec<Case> {
    let chunked = |name, bytes: &str, body| {
        response(name, "RFC 9112 §6.3", bytes)
            .then(Then::Close)
            .sees_parts([Part::Chunked { head: HEAD, body }])
            .upstream(UpstreamAfter::Closed)
    };
    let no_length = "HTTP/1.1 200 OK\r\n\r\nhello";
    vec![
        chunked("until close", no_length, "hello"),
        chunked(
            "until close in HTTP/1.0",
            "HTTP/1.0 200 OK\r\n\r\nhello",
            "hello",
        ),
        chunked("until close and empty", "HTTP/1.1 200 OK\r\n\r\n", ""),
        chunked(
            "what looks like chunks",
            "HTTP/1.1 200 OK\r\n\r\n0\r\n\r\n",
            "0\r\n\r\n",
        ),
        response("until close, reset", "RFC 9112 §8", no_length)
            .then(Then::Reset)
            .sees_parts([Part::BrokenChunks {
                head: HEAD,
                body: "hello",
            }])
            .client(ClientAfter::Cut)
            .upstream(UpstreamAfter::Closed),
    ]
}

/// What HTTP/1.0 understands of it.
fn old_clients() -> Vec<Case> {
    let old = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let new = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello";
    vec![
        response(
            "length for HTTP/1.0",
            "RFC 9112 §9.3",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        )
        .to(old)
        .reaches(new)
        .sees("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"),
        response(
            "chunks for HTTP/1.0",
            "RFC 9112 §7.1",
            format!("{HEAD}2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n"),
        )
        .to(old)
        .reaches(new)
        .sees(closing)
        .client(ClientAfter::Closed),
        response(
            "until close for HTTP/1.0",
            "RFC 9112 §6.3",
            "HTTP/1.1 200 OK\r\n\r\nhello",
        )
        .to(old)
        .reaches(new)
        .then(Then::Close)
        .sees(closing)
        .client(ClientAfter::Closed)
        .upstream(UpstreamAfter::Closed),
        response(
            "chunks for HTTP/1.0, broken off",
            "RFC 9112 §8",
            format!("{HEAD}5\r\nhello\r\n"),
        )
        .to(old)
        .reaches(new)
        .then(Then::Close)
        .breaks(closing)
        .client(ClientAfter::Reset),
        response(
            "bad chunks for HTTP/1.0",
            "RFC 9112 §7.1",
            format!("{HEAD}5\r\nhello\r\nx\r\n"),
        )
        .to(old)
        .reaches(new)
        .malformed(closing)
        .client(ClientAfter::Reset),
        response(
            "until close for HTTP/1.0, reset",
            "RFC 9112 §8",
            "HTTP/1.1 200 OK\r\n\r\nhello",
        )
        .to(old)
        .reaches(new)
        .then(Then::Reset)
        .breaks(closing)
        .client(ClientAfter::Reset),
    ]
}
