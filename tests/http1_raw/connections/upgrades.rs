//! Connections that stop being HTTP, and those that do not (RFC 9110 §7.8).

use crate::bench::case::{Case, ClientAfter, GET, OK, Step, Then, UpstreamAfter, When, request};

const ASKS: &str = "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
const ASKED: &str = "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
const PLAIN: &str = "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\n\r\n";
const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        tunnel("bytes both ways", Step::Await("\r\n\r\n")),
        tunnel(
            "bytes before leave is given",
            Step::AwaitBackend("\r\n\r\n"),
        ),
        tunnel("bytes right behind the request", Step::Send(Vec::new())),
        request(
            "a client that ends its direction first",
            "RFC 9110 §7.8",
            ASKS,
        )
        .step(Step::Await("\r\n\r\n"))
        .step(Step::Send("ping".into()))
        .step(Step::Shut)
        .reaches(format!("{ASKED}ping"))
        .answers([SWITCHES])
        .and_answers(When::Tunnelled(4), "pong")
        .then(Then::Close)
        .sees(format!("{SWITCHED}pong"))
        .client(ClientAfter::Closed)
        .upstream(UpstreamAfter::Closed),
        request("bytes right behind the switch", "RFC 9110 §7.8", ASKS)
            .reaches(ASKED)
            .answers([&format!("{SWITCHES}hello")])
            .then(Then::Close)
            .step(Step::Await("hello"))
            .step(Step::Shut)
            .sees(format!("{SWITCHED}hello"))
            .client(ClientAfter::Closed)
            .upstream(UpstreamAfter::Closed),
        request("the backend does not switch", "RFC 9110 §7.8", ASKS).reaches(ASKED),
        request(
            "what follows is a request where nothing is switched",
            "RFC 9110 §7.8",
            format!("{ASKS}{GET}"),
        )
        .reaches(format!("{ASKED}{GET}"))
        .sees(format!("{OK}{OK}")),
    ];
    for &(name, section, lines) in IGNORED {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\n{lines}\r\n");
        cases.push(request(name, section, bytes).reaches(PLAIN));
    }
    cases.extend(with_a_body());
    let post = "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nab";
    cases.push(
        request("websocket for POST", "RFC 6455 §4.1", post)
            .reaches("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"),
    );
    let old = "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    cases.push(
        request("websocket in HTTP/1.0", "RFC 9110 §7.8", old)
            .reaches(GET)
            .sees("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            .client(ClientAfter::Closed),
    );
    cases
}

/// Other protocols, of other methods, as `docker exec` asks for them; and `h2c`, as Java does.
fn with_a_body() -> Vec<Case> {
    let fields = "Connection: upgrade\r\nUpgrade: tcp\r\n\r\nab";
    let asks = format!("POST /exec HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n{fields}");
    let switches = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    let switched = "HTTP/1.1 101 UPGRADED\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n";
    let other = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let h2c = "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nContent-Length: 2\r\n\r\nab";
    vec![
        request("POST to another protocol", "RFC 9110 §7.8", &asks)
            .step(Step::Await("\r\n\r\n"))
            .step(Step::Send("ping".into()))
            .step(Step::Await("pong"))
            .step(Step::Shut)
            .reaches(format!("{asks}ping"))
            .answers([switches])
            .and_answers(When::Tunnelled(4), "pong")
            .then(Then::Close)
            .sees(format!("{switched}pong"))
            .client(ClientAfter::Closed)
            .upstream(UpstreamAfter::Closed),
        request("POST that is not switched", "RFC 9110 §7.8", &asks).reaches(&asks),
        request("a switch to what was not asked for", "RFC 9110 §7.8", &asks)
            .reaches(&asks)
            .answers([other])
            .bad(),
        request("h2c of a POST", "RFC 9113 §3.1", h2c)
            .reaches("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"),
    ]
}

/// The client asks, the backend switches and answers `pong` to `ping`.
fn tunnel(name: &'static str, before: Step) -> Case {
    request(name, "RFC 9110 §7.8", ASKS)
        .step(before)
        .step(Step::Send("ping".into()))
        .step(Step::Await("pong"))
        .step(Step::Shut)
        .reaches(format!("{ASKED}ping"))
        .answers([SWITCHES])
        .and_answers(When::Tunnelled(4), "pong")
        .then(Then::Close)
        .sees(format!("{SWITCHED}pong"))
        .client(ClientAfter::Closed)
        .upstream(UpstreamAfter::Closed)
}

const IGNORED: &[(&str, &str, &str)] = &[
    (
        "h2c",
        "RFC 9113 §3.1",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n",
    ),
    (
        "h2c beside websocket",
        "RFC 9110 §7.8",
        "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
    ),
    (
        "h2c in another line",
        "RFC 9110 §7.8",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
    ),
    (
        "TLS",
        "RFC 9110 §7.8",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
    ),
    (
        "websocket that Connection does not name",
        "RFC 9110 §7.8",
        "Upgrade: websocket\r\n",
    ),
    (
        "Connection that names nothing",
        "RFC 9110 §7.8",
        "Connection: upgrade\r\n",
    ),
    (
        "websocket with a version",
        "RFC 9110 §7.8",
        "Connection: Upgrade\r\nUpgrade: websocket/13\r\n",
    ),
];
