//! Several requests on one connection (RFC 9112 §9.3.2).

use crate::bench::case::{Case, ClientAfter, GET, OK, Step, UpstreamAfter, request};
use crate::bench::hope::Part;

const SECTION: &str = "RFC 9112 §9.3.2";
const A: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
const B: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
const CHUNKED: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
const BAD: &str = "GET / HTTP/1.1\r\n\r\n";

pub(super) fn cases() -> Vec<Case> {
    let in_order = |name, requests: &str, answers: [&str; 2]| {
        request(name, SECTION, requests)
            .answers(answers)
            .sees(answers.concat())
    };
    let mut cases = vec![
        in_order("two", &format!("{GET}{GET}"), [A, B]),
        in_order("two, the chunks first", &format!("{GET}{GET}"), [B, A]),
        in_order("behind a length", &format!("{POST}{GET}"), [A, B]),
        in_order("behind chunks", &format!("{CHUNKED}{GET}"), [B, A]),
        in_order("before a body", &format!("{GET}{POST}"), [A, B]),
        in_order("two bodies", &format!("{CHUNKED}{POST}"), [A, A]),
        in_order(
            "behind a 204",
            &format!("{GET}{GET}"),
            ["HTTP/1.1 204 No Content\r\n\r\n", A],
        ),
        in_order(
            "behind HEAD",
            &format!("{HEAD}{GET}"),
            ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", A],
        ),
        request(
            "an empty line between",
            "RFC 9112 §2.2",
            format!("{POST}\r\n{GET}"),
        )
        .reaches(format!("{POST}{GET}"))
        .sees(format!("{OK}{OK}")),
        request("five", SECTION, GET.repeat(5)).sees(OK.repeat(5)),
        request("half-closed behind them", "RFC 9112 §9.6", GET.repeat(2))
            .step(Step::Shut)
            .sees(OK.repeat(2))
            .client(ClientAfter::Closed),
        request("behind 502", SECTION, format!("{GET}{GET}"))
            .answers(["HTTP/1.1 2000 OK\r\n\r\n", A])
            .sees_parts([Part::kept(502, "invalid_response"), Part::Bytes(A.into())]),
    ];
    cases.extend(behind_the_last());
    cases.extend(refused());
    cases
}

/// What follows the last request is not answered; where it comes after the connection was closed
/// the kernel says so with a reset.
fn behind_the_last() -> Vec<Case> {
    let mut cases = vec![
        request(
            "nothing behind close",
            "RFC 9112 §9.6",
            format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{GET}"),
        )
        .reaches(GET)
        .sees("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        .client(ClientAfter::Cut),
        request(
            "nothing behind HTTP/1.0",
            "RFC 9112 §9.3",
            format!("GET / HTTP/1.0\r\nHost: a\r\n\r\n{GET}"),
        )
        .reaches(GET)
        .sees("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        .client(ClientAfter::Cut),
    ];
    // All of it is sent while the answer is on its way, and more than is read ahead.
    let much = "x".repeat(200_000);
    cases.push(
        request(
            "much behind close does not destroy the answer",
            "RFC 9112 §9.6",
            format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{much}"),
        )
        .reaches(GET)
        .sees("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        .client(ClientAfter::Closed),
    );
    cases
}

/// What is refused behind a good request ends the connection; what follows is lost with it.
fn refused() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(name, section, bad, status, token) in REFUSED {
        cases.push(
            request(name, section, format!("{GET}{bad}{GET}"))
                .reaches(GET)
                .and(Part::own(status, token))
                .client(ClientAfter::Closed),
        );
    }
    let broken = format!(
        "{GET}POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n{GET}"
    );
    let most = format!("{GET}POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    cases.push(
        request("a broken body in the middle", "RFC 9112 §7.1", broken)
            .reaches_at_most(most)
            .and(Part::own(400, "body_invalid"))
            .client(ClientAfter::Closed)
            .upstream(UpstreamAfter::Closed),
    );
    cases
}

const REFUSED: &[(&str, &str, &str, u16, &str)] = &[
    ("refusal in the middle", SECTION, BAD, 400, "host_missing"),
    (
        "CONNECT in the middle",
        "RFC 9110 §9.3.6",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        405,
        "connect_refused",
    ),
    (
        "both framings in the middle",
        "RFC 9112 §6.1",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "both_framings",
    ),
    (
        "garbage in the middle",
        "RFC 9112 §2.2",
        "\0\0\0\0\r\n\r\n",
        400,
        "head_invalid",
    ),
];
