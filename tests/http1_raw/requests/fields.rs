//! Field lines of requests (RFC 9112 §5, RFC 9110 §5).

use crate::bench::case::{Case, GET, request};
use crate::shared::{BAD_FIELDS, GOOD_FIELDS};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for ((name, section, line), token) in BAD_FIELDS {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n");
        cases.push(request(name, section, bytes).refused(400, token));
    }
    for (name, section, line) in GOOD_FIELDS {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n");
        cases.push(request(name, section, bytes));
    }
    for &(name, section, bytes, token) in MALFORMED {
        cases.push(request(name, section, bytes).refused(400, token));
    }
    for &(name, section, line) in DROPPED {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n");
        cases.push(request(name, section, bytes).reaches(GET));
    }
    let between = "GET / HTTP/1.1\r\nX-A: 1\r\nA_B: 2\r\nHost: a\r\nProxy: 3\r\nX-B: 4\r\n\r\n";
    cases.push(
        request("what goes leaves no gap", "RFC 9110 §5.3", between)
            .reaches("GET / HTTP/1.1\r\nX-A: 1\r\nHost: a\r\nX-B: 4\r\n\r\n"),
    );
    cases
}

const MALFORMED: &[(&str, &str, &str, &str)] = &[
    (
        "space before the first field",
        "RFC 9112 §2.2",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "head_invalid",
    ),
    (
        "tab before the first field",
        "RFC 9112 §2.2",
        "GET / HTTP/1.1\r\n\tX: b\r\nHost: a\r\n\r\n",
        "head_invalid",
    ),
    (
        "the head ends in two LF",
        "RFC 9112 §2.2",
        "GET / HTTP/1.1\r\nHost: a\n\n",
        "bare_lf",
    ),
    (
        "the head ends in a bare LF",
        "RFC 9112 §2.2",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "bare_lf",
    ),
    (
        "all lines end in LF",
        "RFC 9112 §2.2",
        "GET / HTTP/1.1\nHost: a\n\n",
        "bare_lf",
    ),
    (
        "two lines in one",
        "RFC 9112 §2.2",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "head_invalid",
    ),
];

const DROPPED: &[(&str, &str, &str)] = &[
    (
        "underscore in a name",
        "RFC 9110 §5.1",
        "X_Real_IP: 1.2.3.4\r\n",
    ),
    ("Content_Length", "RFC 9110 §5.1", "Content_Length: 5\r\n"),
    (
        "Transfer_Encoding",
        "RFC 9110 §5.1",
        "Transfer_Encoding: chunked\r\n",
    ),
    (
        "X_Forwarded_For",
        "RFC 9110 §5.1",
        "X_Forwarded_For: 1.2.3.4\r\n",
    ),
    (
        "Proxy, that CGI takes for a setting",
        "RFC 9110 §5.1",
        "Proxy: http://b/\r\n",
    ),
    (
        "several that go",
        "RFC 9110 §5.1",
        "_: 1\r\nPROXY: 2\r\nA_B: 3\r\n",
    ),
];
