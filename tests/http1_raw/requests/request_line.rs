//! Request lines (RFC 9112 §3) and what stands before them.

use crate::bench::case::{Case, ClientAfter, GET, request};

const REST: &str = "HTTP/1.1\r\nHost: a\r\n\r\n";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = changed();
    cases.push(
        request(
            "one empty line before",
            "RFC 9112 §2.2",
            format!("\r\n{GET}"),
        )
        .reaches(GET),
    );
    for &(name, section, method) in METHODS {
        cases.push(request(name, section, format!("{method} / {REST}")));
    }
    for &(name, section, target) in TARGETS {
        cases.push(request(name, section, format!("GET {target} {REST}")));
    }
    cases.extend(counted());
    cases.extend(refused());
    cases
}

/// What becomes of lines that are not relayed as they are.
fn changed() -> Vec<Case> {
    vec![
        request("plain", "RFC 9112 §3", GET),
        request(
            "four empty lines before",
            "RFC 9112 §2.2",
            format!("\r\n\r\n\r\n\r\n{GET}"),
        )
        .reaches(GET),
        request(
            "absolute-form",
            "RFC 9112 §3.2.2",
            format!("GET http://a/x?y=1 {REST}"),
        )
        .reaches(format!("GET /x?y=1 {REST}")),
        request(
            "absolute-form without a path",
            "RFC 9112 §3.2.2",
            format!("GET http://a {REST}"),
        )
        .reaches(GET),
        request(
            "absolute-form with a query alone",
            "RFC 9112 §3.2.2",
            format!("GET http://a?y {REST}"),
        )
        .reaches(format!("GET /?y {REST}")),
        request(
            "absolute-form in capitals",
            "RFC 9110 §4.2.3",
            format!("GET HTTP://A/x {REST}"),
        )
        .reaches("GET /x HTTP/1.1\r\nHost: A\r\n\r\n"),
        request(
            "asterisk-form",
            "RFC 9112 §3.2.4",
            format!("OPTIONS * {REST}"),
        ),
        request(
            "asterisk from absolute-form",
            "RFC 9112 §3.2.4",
            format!("OPTIONS http://a {REST}"),
        )
        .reaches(format!("OPTIONS * {REST}")),
        request(
            "OPTIONS of a root",
            "RFC 9112 §3.2.4",
            format!("OPTIONS http://a/ {REST}"),
        )
        .reaches(format!("OPTIONS / {REST}")),
        request(
            "OPTIONS of a query",
            "RFC 9112 §3.2.4",
            format!("OPTIONS http://a?q {REST}"),
        )
        .reaches(format!("OPTIONS /?q {REST}")),
        request("TRACE", "RFC 9110 §9.3.8", format!("TRACE / {REST}")),
        request(
            "HTTP/1.0",
            "RFC 9112 §2.3",
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        )
        .reaches(GET)
        .sees("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        .client(ClientAfter::Closed),
    ]
}

/// How often requests may be forwarded.
fn counted() -> Vec<Case> {
    vec![
        request(
            "OPTIONS counted down",
            "RFC 9110 §7.6.2",
            "OPTIONS * HTTP/1.1\r\nMax-Forwards: 10\r\nHost: a\r\n\r\n",
        )
        .reaches("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 9\r\n\r\n"),
        request(
            "TRACE counted down",
            "RFC 9110 §7.6.2",
            "TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\n\r\n",
        )
        .reaches("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n"),
        request(
            "OPTIONS at its end",
            "RFC 9110 §7.6.2",
            "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
        )
        .refused(200, "options_end"),
        request(
            "TRACE at its end reflects nothing",
            "RFC 9110 §9.3.8",
            "TRACE / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nMax-Forwards: 0\r\n\r\n",
        )
        .refused(405, "trace_end"),
        request(
            "Max-Forwards twice",
            "RFC 9110 §7.6.2",
            "TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n",
        )
        .refused(400, "max_forwards"),
        request(
            "Max-Forwards of others is not counted",
            "RFC 9110 §7.6.2",
            "GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
        ),
    ]
}

fn refused() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(name, section, line) in MALFORMED {
        let bytes = format!("{line}\r\nHost: a\r\n\r\n");
        cases.push(request(name, section, bytes).refused(400, "head_invalid"));
    }
    for &(name, section, line, status, token) in REFUSED {
        let bytes = format!("{line}\r\nHost: a\r\n\r\n");
        cases.push(request(name, section, bytes).refused(status, token));
    }
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    cases.push(
        request("HTTP/2's preface", "RFC 9113 §3.4", preface).refused(505, "version_unknown"),
    );
    let tls = b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03";
    cases.push(request("TLS", "RFC 9112 §2.2", tls).refused(400, "head_invalid"));
    let simple = "GET /\r\n\r\n";
    cases.push(
        request("a simple request of HTTP/0.9", "RFC 9112 §2.3", simple)
            .refused(400, "head_invalid"),
    );
    cases
}

const METHODS: &[(&str, &str, &str)] = &[
    ("unknown method", "RFC 9110 §9.1", "PURGE"),
    ("method in lower case", "RFC 9110 §9.1", "get"),
    (
        "method of all token bytes",
        "RFC 9110 §5.6.2",
        "!#$%&'*+-.^_`|~9a",
    ),
    (
        "long method",
        "RFC 9112 §3",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ",
    ),
];

const TARGETS: &[(&str, &str, &str)] = &[
    ("query", "RFC 9112 §3.2.1", "/a/b?c=d&e"),
    ("empty query", "RFC 9112 §3.2.1", "/?"),
    ("escapes", "RFC 9110 §4.2.3", "/%2e%2e/%00%0d%0a?%20"),
    ("dots are not resolved", "RFC 9110 §4.2.3", "/a/../b/./c"),
    ("two slashes", "RFC 9112 §3.2.1", "//b/c"),
    ("URL within a path", "RFC 9112 §3.2.1", "/http://b/c"),
    ("sub-delimiters", "RFC 9112 §3.2.1", "/!$&'()*+,;=:@-._~"),
];

const MALFORMED: &[(&str, &str, &str)] = &[
    ("no method", "RFC 9112 §3", " / HTTP/1.1"),
    ("no target", "RFC 9112 §3", "GET HTTP/1.1"),
    ("empty target", "RFC 9112 §3", "GET  HTTP/1.1"),
    (
        "two spaces before the target",
        "RFC 9112 §3",
        "GET  / HTTP/1.1",
    ),
    (
        "two spaces behind the target",
        "RFC 9112 §3",
        "GET /  HTTP/1.1",
    ),
    ("tab before the target", "RFC 9112 §3", "GET\t/ HTTP/1.1"),
    ("tab behind the target", "RFC 9112 §3", "GET /\tHTTP/1.1"),
    ("space before the method", "RFC 9112 §3", " GET / HTTP/1.1"),
    ("space behind the version", "RFC 9112 §3", "GET / HTTP/1.1 "),
    (
        "space within the target",
        "RFC 9112 §3.2",
        "GET /a b HTTP/1.1",
    ),
    (
        "separator in the method",
        "RFC 9110 §5.6.2",
        "G(T / HTTP/1.1",
    ),
    ("colon in the method", "RFC 9110 §5.6.2", "GET: / HTTP/1.1"),
    ("non-ASCII method", "RFC 9110 §9.1", "GÉT / HTTP/1.1"),
    ("NUL in the method", "RFC 9110 §9.1", "G\0T / HTTP/1.1"),
    ("NUL in the target", "RFC 9112 §3.2", "GET /\0 HTTP/1.1"),
    (
        "control byte in the target",
        "RFC 9112 §3.2",
        "GET /\x01 HTTP/1.1",
    ),
    ("DEL in the target", "RFC 9112 §3.2", "GET /\x7f HTTP/1.1"),
    ("CR in the target", "RFC 9112 §2.2", "GET /\rx HTTP/1.1"),
    ("CR before the method", "RFC 9112 §2.2", "\rGET / HTTP/1.1"),
    ("two CR", "RFC 9112 §2.2", "GET / HTTP/1.1\r"),
    ("no version", "RFC 9112 §2.3", "GET /"),
    ("version in lower case", "RFC 9112 §2.3", "GET / http/1.1"),
    ("version without a minor", "RFC 9112 §2.3", "GET / HTTP/1"),
    (
        "version with two digits",
        "RFC 9112 §2.3",
        "GET / HTTP/1.10",
    ),
    (
        "version with a zero before",
        "RFC 9112 §2.3",
        "GET / HTTP/01.1",
    ),
    ("version with a comma", "RFC 9112 §2.3", "GET / HTTP/1,1"),
    ("space in the version", "RFC 9112 §2.3", "GET / HTTP/ 1.1"),
    ("another protocol", "RFC 9112 §2.3", "GET / HTCPCP/1.0"),
    (
        "letters behind the version",
        "RFC 9112 §2.3",
        "GET / HTTP/1.1x",
    ),
    ("two versions", "RFC 9112 §3", "GET / HTTP/1.1 HTTP/1.1"),
];

const REFUSED: &[(&str, &str, &str, u16, &str)] = &[
    (
        "HTTP/2.0",
        "RFC 9110 §15.6.6",
        "GET / HTTP/2.0",
        505,
        "version_unknown",
    ),
    (
        "HTTP/1.2",
        "RFC 9110 §15.6.6",
        "GET / HTTP/1.2",
        505,
        "version_unknown",
    ),
    (
        "HTTP/0.9 with its name",
        "RFC 9110 §15.6.6",
        "GET / HTTP/0.9",
        505,
        "version_unknown",
    ),
    (
        "HTTP/3.0",
        "RFC 9110 §15.6.6",
        "GET / HTTP/3.0",
        505,
        "version_unknown",
    ),
    (
        "CONNECT",
        "RFC 9110 §9.3.6",
        "CONNECT a:443 HTTP/1.1",
        405,
        "connect_refused",
    ),
    (
        "CONNECT of a path",
        "RFC 9112 §3.2.3",
        "CONNECT / HTTP/1.1",
        405,
        "connect_refused",
    ),
    (
        "authority-form for GET",
        "RFC 9112 §3.2.3",
        "GET a:80 HTTP/1.1",
        400,
        "target_invalid",
    ),
    (
        "asterisk for GET",
        "RFC 9112 §3.2.4",
        "GET * HTTP/1.1",
        400,
        "target_invalid",
    ),
    (
        "asterisk and more",
        "RFC 9112 §3.2.4",
        "OPTIONS *x HTTP/1.1",
        400,
        "target_invalid",
    ),
    (
        "relative path",
        "RFC 9112 §3.2",
        "GET a/b HTTP/1.1",
        400,
        "target_invalid",
    ),
    (
        "query alone",
        "RFC 9112 §3.2.1",
        "GET ?a HTTP/1.1",
        400,
        "target_invalid",
    ),
    (
        "fragment",
        "RFC 9112 §3.2",
        "GET /a#b HTTP/1.1",
        400,
        "target_invalid",
    ),
    (
        "backslash",
        "RFC 9112 §3.2",
        "GET /a\\..\\b HTTP/1.1",
        400,
        "target_invalid",
    ),
    (
        "angle brackets",
        "RFC 9112 §3.2",
        "GET /<a> HTTP/1.1",
        400,
        "target_invalid",
    ),
    (
        "another scheme",
        "RFC 9112 §3.2.2",
        "GET ftp://a/ HTTP/1.1",
        400,
        "target_invalid",
    ),
    (
        "javascript",
        "RFC 9112 §3.2.2",
        "GET javascript:a HTTP/1.1",
        400,
        "target_invalid",
    ),
    (
        "scheme without slashes",
        "RFC 9110 §4.2.1",
        "GET http:a/ HTTP/1.1",
        400,
        "target_invalid",
    ),
    (
        "URL without a host",
        "RFC 9110 §4.2.1",
        "GET http:///a HTTP/1.1",
        400,
        "target_invalid",
    ),
    (
        "URL with a user",
        "RFC 9110 §4.2.4",
        "GET http://u:p@a/ HTTP/1.1",
        400,
        "target_invalid",
    ),
    (
        "URL with a bad port",
        "RFC 9110 §4.2.1",
        "GET http://a:x/ HTTP/1.1",
        400,
        "target_invalid",
    ),
    (
        "bare LF behind the line",
        "RFC 9112 §2.2",
        "GET / HTTP/1.1\nX: a",
        400,
        "bare_lf",
    ),
    (
        "LF before the line",
        "RFC 9112 §2.2",
        "\nGET / HTTP/1.1",
        400,
        "bare_lf",
    ),
];
