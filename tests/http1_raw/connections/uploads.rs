//! Bodies that are awaited, answered before they have come, or broken off; clients that end their
//! direction or leave (RFC 9110 §10.1.1, RFC 9112 §9).

use crate::bench::case::{Case, ClientAfter, GET, OK, Step, Then, UpstreamAfter, When, request};
use crate::bench::hope::Part;

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig";
const TOO_LARGE_CLOSING: &str =
    "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = expecting();
    cases.extend(early());
    cases.extend(ending());
    cases
}

fn expecting() -> Vec<Case> {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let chunked =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let expects =
        |line: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n{line}\r\n");
    let granted = || [Part::Bytes(CONTINUE.into()), Part::Bytes(OK.into())];
    let body = || Step::Send("abc".into());
    vec![
        request("leave is given", "RFC 9110 §10.1.1", expects("Expect: 100-continue\r\n"))
            .step(Step::Await(CONTINUE))
            .step(body())
            .reaches(post)
            .sees_parts(granted()),
        request("leave is given in other letters", "RFC 9110 §10.1.1", expects("expect: 100-Continue\r\n"))
            .step(Step::Await(CONTINUE))
            .step(body())
            .reaches(post)
            .sees_parts(granted()),
        request(
            "leave is given for chunks",
            "RFC 9110 §10.1.1",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        )
        .step(Step::Await(CONTINUE))
        .step(Step::Send("3\r\nabc\r\n0\r\n\r\n".into()))
        .reaches(chunked)
        .sees_parts(granted()),
        request("no leave is waited for", "RFC 9110 §10.1.1", format!("{}abc", expects("Expect: 100-continue\r\n")))
            .reaches(post)
            .sees_parts([Part::Maybe(CONTINUE), Part::Bytes(OK.into())]),
        request("no leave is needed", "RFC 9110 §10.1.1", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n")
            .reaches(GET),
        request(
            "an expectation in HTTP/1.0",
            "RFC 9110 §10.1.1",
            "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
        )
        .reaches(post)
        .sees("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        .client(ClientAfter::Closed),
        request("another expectation", "RFC 9110 §10.1.1", format!("{}abc", expects("Expect: cookies\r\n")))
            .refused(417, "expectation"),
        request("something before it", "RFC 9110 §10.1.1", format!("{}abc", expects("Expect: y 100-continue\r\n")))
            .refused(417, "expectation"),
        request("a list of expectations", "RFC 9110 §10.1.1", format!("{}abc", expects("Expect: 100-continue, x\r\n")))
            .refused(417, "expectation"),
        request("an empty expectation", "RFC 9110 §10.1.1", format!("{}abc", expects("Expect:\r\n")))
            .refused(417, "expectation"),
        request("the backend gives leave too", "RFC 9110 §15.2.1", expects("Expect: 100-continue\r\n"))
            .step(Step::Await(CONTINUE))
            .step(body())
            .reaches(post)
            .answers([&format!("{CONTINUE}{OK}")])
            .sees_parts(granted()),
        request("refused and not awaited", "RFC 9110 §10.1.1", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\nExpect: 100-continue\r\n\r\n")
            .refused(400, "content_length"),
    ]
}

fn early() -> Vec<Case> {
    let part = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
    let chunk = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let waiting =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    vec![
        request("refused while it comes", "RFC 9112 §9.5", part)
            .reaches_at_most(part)
            .answers([TOO_LARGE])
            .when(When::Head)
            .sees(TOO_LARGE_CLOSING)
            .client(ClientAfter::Closed)
            .upstream(UpstreamAfter::Closed),
        request("refused while chunks come", "RFC 9112 §9.5", chunk)
            .reaches_at_most(chunk)
            .answers([TOO_LARGE])
            .when(When::Head)
            .sees(TOO_LARGE_CLOSING)
            .client(ClientAfter::Closed)
            .upstream(UpstreamAfter::Closed),
        request("refused instead of leave", "RFC 9110 §10.1.1", waiting)
            .reaches("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
            .answers([TOO_LARGE])
            .when(When::Head)
            .sees_parts([Part::Maybe(CONTINUE), Part::Bytes(TOO_LARGE_CLOSING.into())])
            .client(ClientAfter::Closed)
            .upstream(UpstreamAfter::Closed),
        request("refused, the backend closes", "RFC 9112 §9.6", part)
            .reaches_at_most(part)
            .answers([
                "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            ])
            .when(When::Head)
            .then(Then::Close)
            .sees("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .client(ClientAfter::Closed)
            .upstream(UpstreamAfter::Closed),
        request("answered while it comes", "RFC 9112 §9.5", part)
            .step(Step::Await("ok"))
            .step(Step::Shut)
            .reaches_at_most(part)
            .answers([OK])
            .when(When::Head)
            .sees("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            .client(ClientAfter::Closed)
            .upstream(UpstreamAfter::Closed),
    ]
}

fn ending() -> Vec<Case> {
    let silent = "";
    vec![
        request("half-closed behind a request", "RFC 9112 §9.6", GET)
            .step(Step::Shut)
            .client(ClientAfter::Closed),
        request(
            "half-closed behind a body",
            "RFC 9112 §9.6",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        )
        .step(Step::Shut)
        .client(ClientAfter::Closed),
        request("half-closed while it waits", "RFC 9112 §9.6", GET)
            .step(Step::AwaitBackend("\r\n\r\n"))
            .step(Step::Shut)
            .client(ClientAfter::Closed),
        request(
            "half-closed within a head",
            "RFC 9112 §8",
            "GET / HTTP/1.1\r\nHost: a\r\n",
        )
        .step(Step::Shut)
        .reaches("")
        .sees("")
        .client(ClientAfter::Closed)
        .upstream(UpstreamAfter::Never),
        request("half-closed before anything", "RFC 9112 §9.5", "")
            .step(Step::Shut)
            .sees("")
            .client(ClientAfter::Closed)
            .upstream(UpstreamAfter::Never),
        request("gone while it waits", "RFC 9112 §9.5", GET)
            .step(Step::AwaitBackend("\r\n\r\n"))
            .step(Step::Leave)
            .answers([silent])
            .sees("")
            .client(ClientAfter::Gone)
            .upstream(UpstreamAfter::Closed),
        request(
            "gone within a body",
            "RFC 9112 §8",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        )
        .step(Step::AwaitBackend("\r\n\r\n"))
        .step(Step::Leave)
        .reaches_at_most("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        .sees("")
        .client(ClientAfter::Gone)
        .upstream(UpstreamAfter::Closed),
    ]
}
