//! Limits: what just fits is relayed whole, and one more is refused with its word.
//!
//! Each message is sent on a fresh connection and on a kept one, at once and in pieces, and in a
//! drain.

use std::time::Duration;

use evenkeel::process::proxy::Drained;

use crate::common::{Backend, Message, PATIENCE, Wire, wait_until};
use crate::rig::{GET, OK, Rig, Setup, setup};

/// A request, and what becomes of it.
struct Case {
    bound: &'static str,
    /// One inside, one outside, with the status and the word.
    inside: String,
    outside: String,
    status: u16,
    word: &'static str,
}

const HEAD_BYTES: usize = 1500;
const FIELDS: usize = 40;
const TARGET_BYTES: usize = 300;
const BODY_BYTES: usize = 100;

fn limited(backend: &Backend) -> Setup {
    setup(&[backend.address]).listener(|listener| {
        listener.limits.head_bytes = u32::try_from(HEAD_BYTES).unwrap();
        listener.limits.fields = u32::try_from(FIELDS).unwrap();
        listener.limits.target_bytes = u32::try_from(TARGET_BYTES).unwrap();
        listener.limits.body_bytes = Some(u32::try_from(BODY_BYTES).unwrap());
    })
}

/// A head of so many bytes.
fn head_of(bytes: usize) -> String {
    let empty = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(bytes - empty)
    )
}

fn fields_of(count: usize) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: y\r\n".repeat(count - 1)
    )
}

fn target_of(bytes: usize) -> String {
    format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes - 1))
}

fn stated(bytes: usize) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n{}",
        "x".repeat(bytes)
    )
}

fn chunked(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

/// A body of two chunks.
fn chunks_of(bytes: usize) -> String {
    let rest = bytes - 10;
    format!(
        "a\r\nxxxxxxxxxx\r\n{rest:x}\r\n{}\r\n0\r\n\r\n",
        "x".repeat(rest)
    )
}

/// Two chunks with extensions of so many bytes together, each semicolon among them.
fn extensions_of(bytes: usize) -> String {
    format!("1;{}\r\nx\r\n1;e\r\nx\r\n0\r\n\r\n", "e".repeat(bytes - 3))
}

fn trailers_of(bytes: usize) -> String {
    // The empty line that ends them is one of them.
    format!(
        "1\r\nx\r\n0\r\nX: {}\r\n\r\n",
        "y".repeat(bytes - "X: \r\n\r\n".len())
    )
}

fn trailer_fields_of(count: usize) -> String {
    format!("1\r\nx\r\n0\r\n{}\r\n", "X: y\r\n".repeat(count))
}

fn options_of(count: usize) -> String {
    let options: Vec<String> = (0..count).map(|number| format!("o{number}")).collect();
    format!("Connection: close, {}\r\n", options.join(","))
}

fn requests() -> Vec<Case> {
    let case = |bound, of: &dyn Fn(usize) -> String, max, status, word| Case {
        bound,
        inside: of(max),
        outside: of(max + 1),
        status,
        word,
    };
    let body = |of: fn(usize) -> String| move |count| chunked(&of(count));
    let options = |count| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", options_of(count));
    vec![
        case(
            "listener head_bytes",
            &head_of,
            HEAD_BYTES,
            431,
            "head_too_large",
        ),
        case(
            "listener fields",
            &fields_of,
            FIELDS,
            431,
            "too_many_fields",
        ),
        case(
            "listener target_bytes",
            &target_of,
            TARGET_BYTES,
            414,
            "target_too_long",
        ),
        case(
            "listener body_bytes",
            &stated,
            BODY_BYTES,
            413,
            "body_too_large",
        ),
        case(
            "listener body_bytes",
            &body(chunks_of),
            BODY_BYTES,
            413,
            "body_too_large",
        ),
        case(
            "extensions of chunks",
            &body(extensions_of),
            4096,
            400,
            "body_invalid",
        ),
        case("trailers", &body(trailers_of), 8192, 400, "body_invalid"),
        case(
            "fields of trailers",
            &body(trailer_fields_of),
            32,
            400,
            "body_invalid",
        ),
        case(
            "options of Connection",
            &options,
            32,
            400,
            "connection_options",
        ),
    ]
}

fn response_head_of(bytes: usize) -> String {
    let empty = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: \r\n\r\n".len();
    let filling = "x".repeat(bytes - empty);
    format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: {filling}\r\n\r\nok")
}

fn response_fields_of(count: usize) -> String {
    let many = "X: y\r\n".repeat(count - 1);
    format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{many}\r\nok")
}

fn interim_of(count: usize) -> String {
    format!("{}{OK}", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(count))
}

fn responses() -> Vec<Case> {
    let case = |bound, of: &dyn Fn(usize) -> String, max| Case {
        bound,
        inside: of(max),
        outside: of(max + 1),
        status: 502,
        word: "invalid_response",
    };
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = |of: fn(usize) -> String| move |count| format!("{head}{}", of(count));
    let options = |count| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{}\r\nok",
            options_of(count)
        )
    };
    vec![
        case("head of a response", &response_head_of, 64 * 1024),
        case("fields of a response", &response_fields_of, 128),
        case("interim answers", &interim_of, 16),
        case("extensions of chunks", &body(extensions_of), 4096),
        case("trailers", &body(trailers_of), 8192),
        case("fields of trailers", &body(trailer_fields_of), 32),
        case("options of Connection", &options, 32),
    ]
}

/// The bounds that are tried here, as the manual's tables name them.
pub(super) fn bounds() -> Vec<&'static str> {
    let cases = requests().into_iter().chain(responses());
    cases.map(|case| case.bound).collect()
}

/// Reads answers until one is final.
fn last(client: &mut Wire) -> Option<Message> {
    loop {
        match client.try_response("GET") {
            Some(answer) if answer.status() < 200 => {}
            answer => return answer,
        }
    }
}

/// In how many pieces a message is sent.
fn send(client: &mut Wire, message: &str, pieces: usize) {
    let bytes = message.as_bytes();
    for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
        client.send(piece);
        if pieces > 1 {
            wait_until("it has been read", || {
                crate::queues::towards(&client.stream) == 0
            });
        }
    }
}

/// Sends a request in every way, and requires its answer.
fn in_every_way(rig: &Rig, request: &str, require: &dyn Fn(Option<Message>)) {
    for pieces in [1, 3] {
        let mut fresh = rig.client();
        send(&mut fresh, request, pieces);
        require(last(&mut fresh));
        let mut kept = rig.client();
        assert_eq!(kept.ask(GET).status(), 200);
        send(&mut kept, request, pieces);
        require(last(&mut kept));
        // In one write with the request before it.
        let mut ahead = rig.client();
        ahead.send(format!("{GET}{request}"));
        assert_eq!(ahead.response().status(), 200);
        require(last(&mut ahead));
    }
}

/// The same, begun before a drain and ended in it.
fn at_a_stop(rig: &Rig, request: &str, require: &dyn Fn(Option<Message>)) {
    let mut client = rig.client();
    let (first, rest) = request.split_at(3);
    client.send(first);
    std::thread::scope(|scope| {
        let drain = scope.spawn(|| rig.drain(PATIENCE));
        wait_until("the socket is closed", || {
            std::net::TcpStream::connect(rig.address).is_err()
        });
        client.send(rest);
        require(last(&mut client));
        drop(client);
        assert_eq!(drain.join().unwrap(), Drained { cut: 0 });
    });
}

fn require(case: &Case, side: &str, answer: Option<Message>) {
    let answer = answer.unwrap_or_else(|| panic!("{}, {side}: no answer", case.bound));
    match side {
        "inside" => assert_eq!(answer.status(), 200, "{}: {}", case.bound, answer.text()),
        _ => {
            assert_eq!(
                answer.status(),
                case.status,
                "{}: {}",
                case.bound,
                answer.text()
            );
            assert!(
                answer.text().starts_with(case.word),
                "{}: {}",
                case.bound,
                answer.text()
            );
        }
    }
}

fn require_all_given_back(rig: &Rig) {
    wait_until("connections and room are given back", || {
        rig.proxy.status().0[0].connections == 0 && rig.pool().backends[0].active_requests == 0
    });
}

#[test]
fn requests_just_inside_their_limits_are_relayed_and_those_just_outside_are_not() {
    for case in requests() {
        for (side, request) in [("inside", &case.inside), ("outside", &case.outside)] {
            let backend = Backend::saying(OK);
            let rig = limited(&backend).start();
            in_every_way(&rig, request, &|answer| require(&case, side, answer));
            at_a_stop(&rig, request, &|answer| require(&case, side, answer));
            require_all_given_back(&rig);
        }
    }
}

#[test]
fn responses_just_inside_their_limits_are_relayed_and_those_just_outside_are_not() {
    for case in responses() {
        for (side, response) in [("inside", &case.inside), ("outside", &case.outside)] {
            let said = response.clone();
            let backend = Backend::scripted(move |mut visit| {
                while let Some(request) = visit.request() {
                    let special = request.line().contains("/it");
                    visit.wire.send(if special { said.as_str() } else { OK });
                }
            });
            let rig = setup(&[backend.address]).start();
            let request = GET.replacen('/', "/it", 1);
            in_every_way(&rig, &request, &|answer| require(&case, side, answer));
            at_a_stop(&rig, &request, &|answer| require(&case, side, answer));
            require_all_given_back(&rig);
        }
    }
}

/// What breaks a limit when the head has gone is cut, so that it does not look whole.
#[test]
fn bodies_of_responses_that_pass_a_limit_later_are_cut() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for case in responses() {
        for (side, response) in [("inside", &case.inside), ("outside", &case.outside)] {
            let Some(body) = response.strip_prefix(head).map(str::to_owned) else {
                continue;
            };
            let backend = Backend::scripted(move |mut visit| {
                while visit.request().is_some() {
                    visit.wire.send(head);
                    // The head goes first.
                    std::thread::sleep(Duration::from_millis(50));
                    visit.wire.send(&body);
                }
            });
            let rig = setup(&[backend.address]).start();
            let whole = last(&mut {
                let mut client = rig.client();
                client.send(GET);
                client
            });
            assert_eq!(whole.is_some(), side == "inside", "{}", case.bound);
            require_all_given_back(&rig);
        }
    }
}
