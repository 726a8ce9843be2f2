//! Content-Length and Transfer-Encoding of responses (RFC 9112 §6).

use crate::bench::case::{Case, response};
use crate::shared::{BAD_CODINGS, BAD_LENGTHS};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, section, value) in BAD_LENGTHS {
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n\r\nok");
        cases.push(response(name, section, bytes).bad());
    }
    for (name, section, lines) in BAD_CODINGS {
        let bytes = format!("HTTP/1.1 200 OK\r\n{lines}\r\n0\r\n\r\n");
        cases.push(response(name, section, bytes).bad());
    }
    for &(name, section, bytes) in BAD {
        cases.push(response(name, section, bytes).bad());
    }
    let once = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for &(name, section, bytes) in ONCE {
        cases.push(response(name, section, bytes).sees(once));
    }
    cases.push(
        response(
            "coding in other letters",
            "RFC 9112 §7",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n",
        )
        .sees("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    );
    cases
}

const BAD: &[(&str, &str, &str)] = &[
    (
        "unequal lengths in two lines",
        "RFC 9112 §6.3",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    ),
    (
        "length before chunked",
        "RFC 9112 §6.3",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked before length",
        "RFC 9112 §6.3",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked in HTTP/1.0",
        "RFC 9112 §6.1",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "folded coding",
        "RFC 9112 §5.2",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "both framings of a 304",
        "RFC 9112 §6.1",
        "HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    ),
    (
        "bad length of a 204",
        "RFC 9110 §8.6",
        "HTTP/1.1 204 X\r\nContent-Length: x\r\n\r\n",
    ),
];

const ONCE: &[(&str, &str, &str)] = &[
    (
        "equal lengths in two lines",
        "RFC 9112 §6.3",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "list of equal lengths",
        "RFC 9112 §6.3",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    ),
    (
        "length with zeros before",
        "RFC 9110 §8.6",
        "HTTP/1.1 200 OK\r\nContent-Length: 002\r\n\r\nok",
    ),
    (
        "space around the length",
        "RFC 9112 §5.1",
        "HTTP/1.1 200 OK\r\nContent-Length:\t 2 \r\n\r\nok",
    ),
];
