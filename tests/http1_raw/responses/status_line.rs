//! Status lines (RFC 9112 §4).

use crate::bench::case::{Case, Then, UpstreamAfter, response};
use crate::bench::hope::Part;

pub(super) fn cases() -> Vec<Case> {
    let rest = "\r\nContent-Length: 2\r\n\r\nok";
    let mut cases = Vec::new();
    for &(name, section, line) in GOOD {
        cases.push(response(name, section, format!("{line}{rest}")));
    }
    cases.push(
        response("no reason", "RFC 9112 §4", format!("HTTP/1.1 200{rest}"))
            .sees(format!("HTTP/1.1 200 {rest}")),
    );
    cases.push(
        response(
            "HTTP/1.0",
            "RFC 9112 §2.3",
            format!("HTTP/1.0 200 OK{rest}"),
        )
        .sees(format!("HTTP/1.1 200 OK{rest}"))
        .upstream(UpstreamAfter::Closed),
    );
    for &(name, section, line) in BAD {
        cases.push(response(name, section, format!("{line}{rest}")).bad());
    }
    for &(name, section, bytes) in BROKEN_OFF {
        cases.push(
            response(name, section, bytes)
                .to("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
                .then(Then::Close)
                .sees_parts([Part::kept(502, "connection_lost")])
                .upstream(UpstreamAfter::Closed),
        );
    }
    cases
}

const GOOD: &[(&str, &str, &str)] = &[
    ("plain", "RFC 9112 §4", "HTTP/1.1 200 OK"),
    ("empty reason", "RFC 9112 §4", "HTTP/1.1 200 "),
    (
        "reason of several words",
        "RFC 9112 §4",
        "HTTP/1.1 200 All is\twell (so far)",
    ),
    ("another success", "RFC 9110 §15", "HTTP/1.1 299 X"),
    (
        "status of an unknown class",
        "RFC 9110 §15",
        "HTTP/1.1 799 X",
    ),
    ("highest status", "RFC 9110 §15", "HTTP/1.1 999 X"),
    ("error of the server", "RFC 9110 §15.6", "HTTP/1.1 500 X"),
];

const BAD: &[(&str, &str, &str)] = &[
    ("four digits", "RFC 9112 §4", "HTTP/1.1 2000 OK"),
    ("two digits", "RFC 9112 §4", "HTTP/1.1 20 OK"),
    ("letters", "RFC 9112 §4", "HTTP/1.1 2xx OK"),
    ("sign", "RFC 9112 §4", "HTTP/1.1 +20 OK"),
    ("below 100", "RFC 9110 §15", "HTTP/1.1 099 X"),
    ("zero", "RFC 9110 §15", "HTTP/1.1 000 X"),
    ("no status", "RFC 9112 §4", "HTTP/1.1  OK"),
    ("version alone", "RFC 9112 §4", "HTTP/1.1"),
    (
        "two spaces before the status",
        "RFC 9112 §4",
        "HTTP/1.1  200 OK",
    ),
    ("tab before the status", "RFC 9112 §4", "HTTP/1.1\t200 OK"),
    ("tab behind the status", "RFC 9112 §4", "HTTP/1.1 200\tOK"),
    (
        "space before the version",
        "RFC 9112 §4",
        " HTTP/1.1 200 OK",
    ),
    ("empty line before", "RFC 9112 §2.2", "\r\nHTTP/1.1 200 OK"),
    ("NUL in the reason", "RFC 9112 §4", "HTTP/1.1 200 O\0K"),
    (
        "control byte in the reason",
        "RFC 9112 §4",
        "HTTP/1.1 200 O\x1bK",
    ),
    (
        "bare CR in the reason",
        "RFC 9112 §2.2",
        "HTTP/1.1 200 OK\rX: y",
    ),
    (
        "bare LF behind the reason",
        "RFC 9112 §2.2",
        "HTTP/1.1 200 OK\nX: y",
    ),
    ("HTTP/2.0", "RFC 9112 §2.3", "HTTP/2.0 200 OK"),
    ("HTTP/1.2", "RFC 9112 §2.3", "HTTP/1.2 200 OK"),
    ("HTTP/0.9", "RFC 9112 §2.3", "HTTP/0.9 200 OK"),
    ("version in lower case", "RFC 9112 §2.3", "http/1.1 200 OK"),
    ("another protocol", "RFC 9112 §2.3", "ICY 200 OK"),
    (
        "a body without a head",
        "RFC 9112 §2.3",
        "<html>hello</html>",
    ),
    ("a request", "RFC 9112 §2.1", "GET / HTTP/1.1"),
];

const BROKEN_OFF: &[(&str, &str, &str)] = &[
    ("nothing", "RFC 9112 §8", ""),
    ("a beginning of a line", "RFC 9112 §8", "HTTP/1.1 20"),
    (
        "a beginning of a head",
        "RFC 9112 §8",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
    ),
];
