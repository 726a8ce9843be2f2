//! Exactly one host, that says the same everywhere (RFC 9112 §3.2, RFC 9110 §7.2).

use crate::bench::case::{Case, ClientAfter, request};

const CLOSING: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(name, section, host) in GOOD {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        cases.push(request(name, section, bytes));
    }
    for &(name, section, host) in INVALID {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        cases.push(request(name, section, bytes).refused(400, "host_invalid"));
    }
    for &(name, section, bytes, token) in REFUSED {
        cases.push(request(name, section, bytes).refused(400, token));
    }
    cases.extend([
        request(
            "tab before the value",
            "RFC 9112 §5.1",
            "GET / HTTP/1.1\r\nHost:\ta\r\n\r\n",
        ),
        request(
            "not named away by Connection",
            "RFC 9110 §7.6.1",
            "GET / HTTP/1.1\r\nConnection: host\r\nHost: a\r\n\r\n",
        )
        .reaches("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        request(
            "missing in HTTP/1.0",
            "RFC 9112 §3.2",
            "GET / HTTP/1.0\r\n\r\n",
        )
        .reaches("GET / HTTP/1.1\r\nHost: {proxy}\r\n\r\n")
        .sees(CLOSING)
        .client(ClientAfter::Closed),
        request(
            "of the target in HTTP/1.0",
            "RFC 9112 §3.2.2",
            "GET http://b:8/c HTTP/1.0\r\n\r\n",
        )
        .reaches("GET /c HTTP/1.1\r\nHost: b:8\r\n\r\n")
        .sees(CLOSING)
        .client(ClientAfter::Closed),
    ]);
    cases.extend(beside_a_target());
    cases
}

/// What says the same as the target, which is sent on.
fn beside_a_target() -> Vec<Case> {
    vec![
        request(
            "as the target in other letters",
            "RFC 9110 §4.2.3",
            "GET http://EXAMPLE/ HTTP/1.1\r\nHost: Example\r\n\r\n",
        )
        .reaches("GET / HTTP/1.1\r\nHost: EXAMPLE\r\n\r\n"),
        request(
            "without the target's port that the scheme says",
            "RFC 9112 §3.2.2",
            "GET http://h.test:80/c HTTP/1.1\r\nHost: h.test\r\n\r\n",
        )
        .reaches("GET /c HTTP/1.1\r\nHost: h.test:80\r\n\r\n")
        .has("\r\nX-Forwarded-Host: h.test:80\r\n"),
        request(
            "with the port that the target's scheme says",
            "RFC 9112 §3.2.2",
            "GET http://h.test/ HTTP/1.1\r\nHost: h.test:80\r\nX: y\r\n\r\n",
        )
        .reaches("GET / HTTP/1.1\r\nX: y\r\nHost: h.test\r\n\r\n"),
        request(
            "of IPv6 with the port that the scheme says",
            "RFC 9110 §4.2.3",
            "GET https://[2001:db8::1]/ HTTP/1.1\r\nHost: [2001:DB8::1]:443\r\n\r\n",
        )
        .reaches("GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n"),
        request(
            "with an empty port",
            "RFC 9110 §4.2.3",
            "GET http://a:/ HTTP/1.1\r\nHost: a:080\r\n\r\n",
        )
        .reaches("GET / HTTP/1.1\r\nHost: a:\r\n\r\n"),
    ]
}

const GOOD: &[(&str, &str, &str)] = &[
    ("name", "RFC 9110 §7.2", "www.example.org"),
    ("name and port", "RFC 9110 §7.2", "a:8080"),
    ("empty port", "RFC 9110 §7.2", "a:"),
    ("IPv4", "RFC 9110 §7.2", "192.0.2.1:80"),
    ("IPv6", "RFC 9110 §7.2", "[2001:db8::1]:80"),
    ("trailing dot", "RFC 9110 §7.2", "example.org."),
    ("underscore", "RFC 9110 §7.2", "a_b.example"),
];

const INVALID: &[(&str, &str, &str)] = &[
    ("empty", "RFC 9112 §3.2", ""),
    ("port alone", "RFC 9110 §7.2", ":80"),
    ("list", "RFC 9112 §3.2", "a, b"),
    ("list without a space", "RFC 9112 §3.2", "a,a"),
    ("two names", "RFC 9112 §3.2", "a b"),
    ("user", "RFC 9110 §7.2", "u@a"),
    ("path", "RFC 9110 §7.2", "a/b"),
    ("URL", "RFC 9110 §7.2", "http://a"),
    ("query", "RFC 9110 §7.2", "a?b"),
    ("fragment", "RFC 9110 §7.2", "a#b"),
    ("backslash", "RFC 9110 §7.2", "a\\b"),
    ("escape", "RFC 9110 §7.2", "a%2eb"),
    ("quotes", "RFC 9110 §7.2", "\"a\""),
    ("non-ASCII name", "RFC 9110 §7.2", "exämple"),
    ("port of letters", "RFC 9110 §7.2", "a:http"),
    ("port with a sign", "RFC 9110 §7.2", "a:+80"),
    ("port out of range", "RFC 9110 §7.2", "a:65536"),
    ("two ports", "RFC 9110 §7.2", "a:80:80"),
    ("open bracket", "RFC 9110 §7.2", "[::1"),
    ("text behind the bracket", "RFC 9110 §7.2", "[::1]a"),
    ("no IPv6 in brackets", "RFC 9110 §7.2", "[a]"),
    ("IPv6 without brackets", "RFC 9110 §7.2", "::1"),
];

const REFUSED: &[(&str, &str, &str, &str)] = &[
    (
        "missing",
        "RFC 9112 §3.2",
        "GET / HTTP/1.1\r\n\r\n",
        "host_missing",
    ),
    (
        "missing in absolute-form",
        "RFC 9112 §3.2",
        "GET http://a/ HTTP/1.1\r\n\r\n",
        "host_missing",
    ),
    (
        "twice the same",
        "RFC 9112 §3.2",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "host_repeated",
    ),
    (
        "two different",
        "RFC 9112 §3.2",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: b\r\n\r\n",
        "host_repeated",
    ),
    (
        "twice in HTTP/1.0",
        "RFC 9112 §3.2",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        "host_repeated",
    ),
    (
        "invalid in HTTP/1.0",
        "RFC 9112 §3.2",
        "GET / HTTP/1.0\r\nHost: a/b\r\n\r\n",
        "host_invalid",
    ),
    (
        "other than the target",
        "RFC 9112 §3.2.2",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "host_mismatch",
    ),
    (
        "other port than the target",
        "RFC 9112 §3.2.2",
        "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "host_mismatch",
    ),
    (
        "the port of another scheme",
        "RFC 9110 §4.2.3",
        "GET https://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n",
        "host_mismatch",
    ),
    (
        "other than the target in HTTP/1.0",
        "RFC 9112 §3.2.2",
        "GET http://b/ HTTP/1.0\r\nHost: a\r\n\r\n",
        "host_mismatch",
    ),
    (
        "empty beside a target",
        "RFC 9112 §3.2.2",
        "GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n",
        "host_invalid",
    ),
    (
        "space before the colon",
        "RFC 9112 §5.1",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "head_invalid",
    ),
    (
        "folded",
        "RFC 9112 §5.2",
        "GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n",
        "head_invalid",
    ),
];
