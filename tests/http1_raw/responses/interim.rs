//! 1xx (RFC 9110 §15.2), and 101 that nobody asked for (§7.8).

use crate::bench::case::{Case, ClientAfter, GET, OK, response};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const OLD: &str = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
const CLOSING: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
const ASKS: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = interim();
    cases.extend([
        response("too many", "RFC 9110 §15.2", CONTINUE.repeat(17)).bad(),
        response(
            "100 and a bad answer",
            "RFC 9112 §4",
            format!("{CONTINUE}HTTP/1.1 2000 OK\r\n\r\n"),
        )
        .bad(),
    ]);
    for &(name, section, bytes) in UNASKED {
        cases.push(response(name, section, bytes).bad());
    }
    for &(name, section, bytes) in OTHERWISE {
        cases.push(response(name, section, bytes).to(ASKS).bad());
    }
    cases
}

fn interim() -> Vec<Case> {
    vec![
        response("103", "RFC 9110 §15.2", format!("{HINTS}{OK}")),
        response(
            "several",
            "RFC 9110 §15.2",
            format!("{HINTS}HTTP/1.1 102 Processing\r\n\r\n{HINTS}{OK}"),
        ),
        response(
            "199",
            "RFC 9110 §15.2",
            format!("HTTP/1.1 199 X\r\n\r\n{OK}"),
        ),
        response(
            "100 that nobody waits for",
            "RFC 9110 §15.2.1",
            format!("{CONTINUE}{OK}"),
        )
        .sees(OK),
        response(
            "100 twice",
            "RFC 9110 §15.2.1",
            format!("{CONTINUE}{CONTINUE}{OK}"),
        )
        .sees(OK),
        response("103 for HTTP/1.0", "RFC 9110 §15.2", format!("{HINTS}{OK}"))
            .to(OLD)
            .reaches(GET)
            .sees(CLOSING)
            .client(ClientAfter::Closed),
        response(
            "100 for HTTP/1.0",
            "RFC 9110 §15.2",
            format!("{CONTINUE}{OK}"),
        )
        .to(OLD)
        .reaches(GET)
        .sees(CLOSING)
        .client(ClientAfter::Closed),
        response(
            "103 with fields of the connection",
            "RFC 9110 §7.6.1",
            format!(
                "HTTP/1.1 103 X\r\nConnection: X-A\r\nX-A: 1\r\nKeep-Alive: 5\r\nX-B: 2\r\n\r\n{OK}"
            ),
        )
        .sees(format!("HTTP/1.1 103 X\r\nX-B: 2\r\n\r\n{OK}")),
        response(
            "103 with a length",
            "RFC 9110 §8.6",
            format!("HTTP/1.1 103 X\r\nContent-Length: 5\r\n\r\n{OK}"),
        )
        .sees(format!("HTTP/1.1 103 X\r\n\r\n{OK}")),
        response(
            "103 with chunks",
            "RFC 9112 §6.1",
            format!("HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n{OK}"),
        )
        .sees(format!("HTTP/1.1 103 X\r\n\r\n{OK}")),
        response(
            "103 before HEAD's answer",
            "RFC 9110 §15.2",
            format!("{HINTS}HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        )
        .to("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ]
}

const UNASKED: &[(&str, &str, &str)] = &[
    (
        "101 unasked",
        "RFC 9110 §15.2.2",
        "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ),
    (
        "101 to h2c unasked",
        "RFC 9110 §15.2.2",
        "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    ),
    (
        "101 to nothing",
        "RFC 9110 §15.2.2",
        "HTTP/1.1 101 X\r\n\r\n",
    ),
];

const OTHERWISE: &[(&str, &str, &str)] = &[
    (
        "101 to another protocol",
        "RFC 9110 §7.8",
        "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    ),
    (
        "101 to several protocols",
        "RFC 9110 §7.8",
        "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket, foo\r\n\r\n",
    ),
    (
        "101 without Upgrade",
        "RFC 9110 §7.8",
        "HTTP/1.1 101 X\r\nConnection: upgrade\r\n\r\n",
    ),
    (
        "101 that Connection does not name",
        "RFC 9110 §7.8",
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n",
    ),
];
