//! Content-Length and Transfer-Encoding of requests (RFC 9112 §6).

use crate::bench::case::{Case, ClientAfter, Step, UpstreamAfter, request};
use crate::shared::{BAD_CODINGS, BAD_LENGTHS};

const WHOLE: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, section, value) in BAD_LENGTHS {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n\r\nab");
        cases.push(request(name, section, bytes).refused(400, "content_length"));
    }
    for (name, section, lines) in BAD_CODINGS {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n0\r\n\r\n");
        cases.push(request(name, section, bytes).refused(501, "transfer_coding"));
    }
    for &(name, section, lines, token) in REFUSED {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\nab");
        cases.push(request(name, section, bytes).refused(400, token));
    }
    for &(name, section, lines, token) in OLD {
        let bytes = format!("POST / HTTP/1.0\r\nHost: a\r\n{lines}\r\n0\r\n\r\n");
        cases.push(request(name, section, bytes).refused(400, token));
    }
    cases.extend(relayed());
    cases
}

fn relayed() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(name, section, bytes, reaches) in RELAYED {
        cases.push(request(name, section, bytes).reaches(reaches));
    }
    cases.push(
        request(
            "HEAD with chunks",
            "RFC 9112 §6.3",
            "HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        )
        .answers(["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"])
        .sees("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
    );
    cases.push(
        request(
            "length in HTTP/1.0",
            "RFC 9112 §6.3",
            "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        )
        .reaches(WHOLE)
        .sees("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        .client(ClientAfter::Closed),
    );
    for &(name, section, body) in BROKEN_OFF {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{body}");
        let case = request(name, section, &bytes).step(Step::Shut);
        cases.push(case.body_refused(&bytes).upstream(UpstreamAfter::Closed));
    }
    cases
}

const REFUSED: &[(&str, &str, &str, &str)] = &[
    (
        "equal lengths in two lines",
        "RFC 9112 §6.3",
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "content_length",
    ),
    (
        "unequal lengths in two lines",
        "RFC 9112 §6.3",
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "content_length",
    ),
    (
        "list of equal lengths",
        "RFC 9112 §6.3",
        "Content-Length: 2, 2\r\n",
        "content_length",
    ),
    (
        "zero and a length",
        "RFC 9112 §6.3",
        "Content-Length: 0\r\nContent-Length: 2\r\n",
        "content_length",
    ),
    (
        "length before chunked",
        "RFC 9112 §6.1",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "both_framings",
    ),
    (
        "chunked before length",
        "RFC 9112 §6.1",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "both_framings",
    ),
    (
        "length of zero with chunked",
        "RFC 9112 §6.1",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "both_framings",
    ),
    (
        "space before the length's colon",
        "RFC 9112 §5.1",
        "Content-Length : 2\r\n",
        "head_invalid",
    ),
    (
        "folded length",
        "RFC 9112 §5.2",
        "Content-Length:\r\n 2\r\n",
        "head_invalid",
    ),
    (
        "space before the coding's colon",
        "RFC 9112 §5.1",
        "Transfer-Encoding : chunked\r\n",
        "head_invalid",
    ),
    (
        "folded coding",
        "RFC 9112 §5.2",
        "Transfer-Encoding:\r\n chunked\r\n",
        "head_invalid",
    ),
    (
        "control byte before chunked",
        "RFC 9110 §5.5",
        "Transfer-Encoding: \x0bchunked\r\n",
        "head_invalid",
    ),
];

const OLD: &[(&str, &str, &str, &str)] = &[
    (
        "chunked in HTTP/1.0",
        "RFC 9112 §6.1",
        "Transfer-Encoding: chunked\r\n",
        "coding_in_http_1_0",
    ),
    (
        "both in HTTP/1.0",
        "RFC 9112 §6.1",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "both_framings",
    ),
];

const RELAYED: &[(&str, &str, &str, &str)] = &[
    ("length", "RFC 9112 §6.2", WHOLE, WHOLE),
    (
        "length of zero",
        "RFC 9112 §6.2",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "length with zeros before",
        "RFC 9110 §8.6",
        "POST / HTTP/1.1\r\nContent-Length: 0003\r\nHost: a\r\n\r\nabc",
        WHOLE,
    ),
    (
        "several zeros",
        "RFC 9110 §8.6",
        "POST / HTTP/1.1\r\nContent-Length: 000\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "space around the length",
        "RFC 9112 §5.1",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \t 3 \r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \t 3 \r\n\r\nabc",
    ),
    (
        "no body",
        "RFC 9112 §6.3",
        "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        "GET with a body",
        "RFC 9110 §9.3.1",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    ),
    (
        "coding in other letters",
        "RFC 9112 §7",
        "POST / HTTP/1.1\r\nhost: a\r\nTRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "space around the coding",
        "RFC 9112 §5.1",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked \r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "GET with chunks",
        "RFC 9112 §6.3",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ),
];

const BROKEN_OFF: &[(&str, &str, &str)] = &[
    ("broken off before the body", "RFC 9112 §8", ""),
    ("broken off in the body", "RFC 9112 §8", "ab"),
];
