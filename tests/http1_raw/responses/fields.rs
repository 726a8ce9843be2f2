//! Field lines of responses (RFC 9112 §5, RFC 9110 §5): nothing is repaired but the space
//! before a colon.

use crate::bench::case::{Case, response};
use crate::shared::{BAD_FIELDS, GOOD_FIELDS};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let repaired = |name: &str| name.ends_with("before the colon");
    for ((name, section, line), _) in BAD_FIELDS {
        if repaired(name) {
            continue;
        }
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{line}\r\n");
        cases.push(response(name, section, bytes).bad());
    }
    for (name, section, line) in GOOD_FIELDS {
        let bytes = format!("HTTP/1.1 200 OK\r\n{line}Content-Length: 0\r\n\r\n");
        cases.push(response(name, section, bytes));
    }
    for &(name, line, hoped) in SPACED {
        let bytes = format!("HTTP/1.1 200 OK\r\n{line}\r\nA: b\r\n\r\nok");
        let sees = format!("HTTP/1.1 200 OK\r\nA: b\r\n{hoped}\r\n\r\nok");
        cases.push(response(name, "RFC 9112 §5.1", bytes).sees(sees));
    }
    let offers = "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n";
    let relayed = "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    cases.push(response("what 426 offers", "RFC 9110 §15.5.22", offers).sees(relayed));
    for &(name, section, bytes) in BAD {
        cases.push(response(name, section, bytes).bad());
    }
    let many: String = (0..130).map(|n| format!("X-{n}: 1\r\n")).collect();
    cases.push(
        response(
            "too many fields",
            "RFC 9110 §5.4",
            format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        )
        .bad(),
    );
    let options = ["a"; 33].join(",");
    let options = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: {options}\r\n\r\n");
    cases.push(response("too many options", "RFC 9110 §7.6.1", options).bad());
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(66_000));
    cases.push(response("too long a value", "RFC 9110 §5.4", long).bad());
    let underscore = "HTTP/1.1 200 OK\r\nX_A: 1\r\nContent-Length: 0\r\n\r\n";
    cases.push(response(
        "underscore in a name",
        "RFC 9110 §5.1",
        underscore,
    ));
    let own = "HTTP/1.1 200 OK\r\nDate: then\r\nServer: s\r\nContent-Length: 0\r\n\r\n";
    cases.push(response(
        "the backend's Date is kept",
        "RFC 9110 §6.6.1",
        own,
    ));
    cases
}

/// What the backend says, and what the client is told behind the other fields.
const SPACED: &[(&str, &str, &str)] = &[
    (
        "space before the colon of a length",
        "Content-Length : 2",
        "Content-Length: 2",
    ),
    (
        "space before the colons",
        "Content-Length: 2\r\nX-XSS-Protection : 1\r\nC\t : d",
        "X-XSS-Protection: 1\r\nC: d\r\nContent-Length: 2",
    ),
    (
        "space before the colon of a field that is named away",
        "Connection: X-Mine\r\nX-Mine : 1\r\nContent-Length: 2",
        "Content-Length: 2",
    ),
];

const BAD: &[(&str, &str, &str)] = &[
    (
        "space before the first field",
        "RFC 9112 §2.2",
        "HTTP/1.1 200 OK\r\n X: y\r\n\r\n",
    ),
    (
        "the head ends in two LF",
        "RFC 9112 §2.2",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\n\n",
    ),
    (
        "the head ends in a bare LF",
        "RFC 9112 §2.2",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
    ),
    (
        "all lines end in LF",
        "RFC 9112 §2.2",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    ),
];
