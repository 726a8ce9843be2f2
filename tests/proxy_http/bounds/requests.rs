//! Timeouts of clients that send: heads, the pause between two requests, bodies.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use evenkeel::config::{ListenerConfig, PoolConfig};
use serde_json::json;

use super::full::take_nothing;
use super::stage::{Case, Side, Side::Inside, Side::Outside, T, drip, echo, serve, tenths};
use crate::common::poll;
use crate::rig::{GET, OK};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(heads_that_do_not_end());
    cases.extend(heads_that_end());
    cases.extend(pauses());
    cases.extend(bodies_that_do_not_end());
    cases.extend(bodies_that_end());
    cases.extend(last_bytes());
    cases.extend(slow_bodies());
    cases
}

const BEGINNINGS: [&str; 5] = [
    "G",
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "GET / HTTP/1.0\r\nX: ",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r",
];

fn head(listener: &mut ListenerConfig, _: &mut PoolConfig) {
    listener.timeouts.request_head = T;
}

fn heads_that_do_not_end() -> Vec<Case> {
    let at = ("listener request_head", Outside);
    let late = || {
        json!({"status": 408, "termination": "request_head_timeout", "phase": "request_head",
            "ended_by": "client"})
    };
    let mut cases = Vec::new();
    for begin in BEGINNINGS {
        let stops = Case::new(
            at,
            format!("stops behind {begin:?}"),
            head,
            echo,
            move |stage| {
                stage.each(begin, |client, since| {
                    let answer = client.response();
                    stage.require_timeout(since, T);
                    assert!(answer.text().starts_with("request_timeout"));
                    assert!(client.is_ended());
                    stage.require_logged(client, &late());
                });
            },
        );
        cases.push(stops);
    }
    cases.push(Case::new(
        at,
        "goes on byte by byte",
        head,
        echo,
        move |stage| {
            stage.each("GET / HTTP/1.1\r\nHost: a\r\nX: ", |client, since| {
                drip(&mut client.stream, since, tenths(T, 2), ["y"; 4]);
                assert_eq!(client.response().status(), 408);
                stage.require_timeout(since, T);
                stage.require_logged(client, &late());
            });
        },
    ));
    // The answer before it says `close` in a drain.
    let pipelined = Case::new(
        at,
        "the head of a request that was sent ahead",
        head,
        echo,
        move |stage| {
            stage.each(
                format!("{}GET / HT", GET.replacen('/', "/first", 1)),
                |client, since| {
                    assert_eq!(client.response().status(), 200);
                    assert_eq!(client.response().status(), 408);
                    stage.require_timeout(since, T);
                    stage.require_logged(client, &late());
                },
            );
        },
    );
    cases.push(pipelined.never_at_a_stop());
    let silent = Case::new(at, "nothing at all", head, echo, |stage| {
        let since = Instant::now();
        assert!(stage.client().is_ended());
        stage.require_timeout(since, T);
        stage.require_nothing_logged();
    });
    cases.push(silent.never_at_a_stop());
    cases
}

fn heads_that_end() -> Vec<Case> {
    let at = ("listener request_head", Inside);
    let mut cases = Vec::new();
    for (begin, rest) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nX: ", "yyyyy\r\n\r\n"),
        ("GET / HTTP/1.0\r\nX: ", "yyyyy\r\n\r\n"),
        ("GET / HTTP/1.1\r\nHost: a\r\n", "X:yy\r\n\r\n"),
        (
            "POST / HTTP/1.1\r\nContent-Length: 2\r\nHost: ",
            "abc\r\n\r\nok",
        ),
    ] {
        let ends = Case::new(
            at,
            format!("{begin:?} goes on byte by byte"),
            head,
            echo,
            move |stage| {
                stage.each(begin, |client, since| {
                    let pieces = rest.as_bytes().chunks(1);
                    drip(&mut client.stream, since, tenths(T, 8) / 9, pieces.take(9));
                    client.send(&rest[rest.len().min(9)..]);
                    assert_eq!(client.response().text(), "ok");
                    stage
                        .require_logged(client, &json!({"termination": "complete", "status": 200}));
                });
            },
        );
        cases.push(ends);
    }
    let later = Case::new(
        at,
        "the first byte comes late, then the last",
        head,
        echo,
        |stage| {
            let mut client = stage.client();
            let (first, rest) = GET.split_at(1);
            drip(
                &mut client.stream,
                Instant::now(),
                tenths(T, 7),
                [first, rest],
            );
            assert_eq!(client.response().text(), "ok");
        },
    );
    cases.push(later.never_at_a_stop());
    cases
}

fn keep(listener: &mut ListenerConfig, _: &mut PoolConfig) {
    listener.timeouts.keep_alive = T;
}

const ASKED: [(&str, &str); 3] = [
    ("GET", GET),
    (
        "POST",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "HTTP/1.0",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ),
];

fn pauses() -> Vec<Case> {
    let key = "listener keep_alive";
    let mut cases = Vec::new();
    for (name, request) in ASKED {
        let ends = Case::new((key, Outside), name, keep, echo, move |stage| {
            stage.each(request, |client, since| {
                assert_eq!(client.response().text(), "ok");
                assert!(client.is_ended(), "nothing is said");
                stage.require_timeout(since, T);
                stage.require_logged(client, &json!({"termination": "complete"}));
            });
        });
        let goes_on = Case::new((key, Inside), name, keep, echo, move |stage| {
            stage.each(request, |client, since| {
                assert_eq!(client.response().text(), "ok");
                for round in 1..5 {
                    drip(&mut client.stream, since, tenths(T, 7) * round, [request]);
                    assert_eq!(client.response().text(), "ok");
                }
            });
        });
        cases.extend([ends.never_at_a_stop(), goes_on.never_at_a_stop()]);
    }
    let fresh = Case::new(
        (key, Inside),
        "a fresh connection has another",
        keep,
        echo,
        |stage| {
            let mut client = stage.client();
            drip(&mut client.stream, Instant::now(), 2 * T, [GET]);
            assert_eq!(client.response().text(), "ok");
        },
    );
    cases.push(fresh.never_at_a_stop());
    cases
}

fn body(listener: &mut ListenerConfig, _: &mut PoolConfig) {
    listener.timeouts.request_body = T;
}

/// How a body of `abcdef` may be sent: what comes at once, and what comes bit by bit.
const BODIES: [(&str, &str, [&str; 3]); 5] = [
    (
        "stated",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc",
        ["d", "e", "f"],
    ),
    (
        "stated, HTTP/1.0",
        "POST / HTTP/1.0\r\nContent-Length: 6\r\n\r\nabc",
        ["d", "e", "f"],
    ),
    (
        "chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ["3\r\nde", "f\r\n", "0\r\n\r\n"],
    ),
    (
        "chunked, in the trailers",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n",
        ["X: ", "y\r", "\n\r\n"],
    ),
    (
        "nothing of it",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n",
        ["ab", "cd", "ef"],
    ),
];

fn bodies_that_do_not_end() -> Vec<Case> {
    let at = ("listener request_body", Outside);
    let late = || {
        json!({"status": 408, "termination": "request_body_timeout", "phase": "request_body",
            "ended_by": "client"})
    };
    let large = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n{}",
        "x".repeat(200_000)
    );
    let bodies = BODIES.map(|(name, begin, _)| (name, begin.to_owned()));
    let mut cases = Vec::new();
    for (name, begin) in bodies.into_iter().chain([("large", large)]) {
        cases.push(Case::new(at, name, body, echo, move |stage| {
            stage.each(&begin, |client, since| {
                assert_eq!(client.response().status(), 408);
                stage.require_timeout(since, T);
                assert!(client.is_ended());
                stage.require_logged(client, &late());
            });
        }));
    }
    let leave = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n";
    cases.push(Case::new(
        at,
        "nothing comes after the leave to send",
        body,
        echo,
        move |stage| {
            stage.each(leave, |client, since| {
                assert!(client.head().unwrap().starts_with("HTTP/1.1 100"));
                assert_eq!(client.response().status(), 408);
                stage.require_timeout(since, T);
                stage.require_logged(client, &late());
            });
        },
    ));
    cases.push(bodies_that_are_not_taken());
    cases
}

fn bodies_that_are_not_taken() -> Case {
    let at = ("listener request_body", Outside);
    let deaf = |mut visit: crate::common::Visit| {
        while let Some(head) = visit.wire.head() {
            match head.contains("/first") {
                true => visit.wire.send(OK),
                false => take_nothing(&mut visit, 10 * T),
            }
        }
    };
    Case::new(at, "the backend does not take it", body, deaf, |stage| {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";
        stage.each(head, |client, since| {
            let mut stream = client.stream.try_clone().unwrap();
            // It ends when the answer has come, and the connection with it.
            let sending = std::thread::spawn(move || {
                let piece = [b'x'; 100_000];
                while stream.write_all(&piece).is_ok() {}
            });
            let answer = client.response();
            assert!(
                answer.text().starts_with("response_timeout"),
                "{}",
                answer.text()
            );
            stage.require_timeout(since, T);
            let hoped = json!({"status": 504, "termination": "response_head_timeout",
                "phase": "request_body", "ended_by": "backend"});
            stage.require_logged(client, &hoped);
            client.stream.shutdown(Shutdown::Both).unwrap();
            sending.join().unwrap();
        });
    })
}

fn bodies_that_end() -> Vec<Case> {
    let at = ("listener request_body", Inside);
    let mut cases = Vec::new();
    for (name, begin, rest) in BODIES {
        cases.push(Case::new(at, name, body, echo, move |stage| {
            stage.each(begin, |client, since| {
                drip(&mut client.stream, since, tenths(T, 7), rest);
                assert_eq!(client.response().text(), "abcdef");
                stage.require_logged(client, &json!({"termination": "complete", "status": 200}));
            });
        }));
    }
    let leave = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    cases.push(Case::new(
        at,
        "late after the leave to send",
        body,
        echo,
        move |stage| {
            stage.each(leave, |client, since| {
                assert!(client.head().unwrap().starts_with("HTTP/1.1 100"));
                drip(&mut client.stream, since, tenths(T, 7), ["a", "b", "c"]);
                assert_eq!(client.response().text(), "abc");
            });
        },
    ));
    let large = |visit: crate::common::Visit| {
        serve(visit, |visit, request| {
            let length = request.body.len();
            visit.wire.send(format!("HTTP/1.1 200 OK\r\n\r\n{length}"));
            let _ = visit.wire.stream.shutdown(Shutdown::Both);
        });
    };
    cases.push(Case::new(at, "large", body, large, |stage| {
        let begin = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n{}",
            "x".repeat(200_000)
        );
        stage.each(begin, |client, since| {
            drip(
                &mut client.stream,
                since,
                tenths(T, 7),
                ["y".repeat(100), "y".repeat(99_900)],
            );
            assert_eq!(client.response().text(), "300000");
        });
    }));
    cases.push(Case::new(
        at,
        "the backend takes it with pauses",
        |listener, _| listener.timeouts.request_body = 3 * T,
        slow_taker,
        |stage| {
            let head =
                format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SLOW_BYTES}\r\n\r\n");
            stage.each(head, |client, _| {
                client.send(vec![b'x'; SLOW_BYTES]);
                assert_eq!(client.response().text(), "ok");
                stage.require_logged(client, &json!({"termination": "complete", "status": 200}));
            });
        },
    ));
    cases
}

/// More than all buffers on the way take: with small ones the kernel itself waits longer than the
/// pauses.
const SLOW_BYTES: usize = 24_000_000;

fn slow_taker(mut visit: crate::common::Visit) {
    while let Some(head) = visit.wire.head() {
        if !head.contains("/first") {
            // A full window is looked at anew by the kernel after 200 ms, then 400.
            let pause = tenths(3 * T, 7);
            for _ in 0..3 {
                std::thread::sleep(pause);
                assert_eq!(visit.wire.take(SLOW_BYTES / 8).len(), SLOW_BYTES / 8);
            }
            assert_eq!(
                visit.wire.take(SLOW_BYTES / 8 * 5).len(),
                SLOW_BYTES / 8 * 5
            );
        }
        visit.wire.send(OK);
    }
}

const REFUSED: &str = "GET / HTTP/1.1\r\n\r\n";

/// What a client sends behind an answer that closes its connection.
fn last_bytes() -> Vec<Case> {
    let tune = |listener: &mut ListenerConfig, _: &mut PoolConfig| {
        listener.timeouts.linger = Duration::from_secs(5);
    };
    let (pause, whole) = (Duration::from_secs(1), Duration::from_secs(5));
    let lingering =
        move |sides: (&'static str, Side), name: &str, count: u32, within: Option<Duration>| {
            Case::new(sides, name, tune, echo, move |stage| {
                let mut client = stage.client();
                let since = Instant::now();
                client.send(REFUSED);
                stage.is_in_flight();
                assert_eq!(client.response().status(), 400);
                assert!(client.is_ended());
                drip(
                    &mut client.stream,
                    since,
                    tenths(pause, 7),
                    (0..count).map(|_| "x"),
                );
                match within {
                    Some(within) => {
                        poll("the connection ends", || {
                            (stage.connections() == 0).then_some(())
                        });
                        stage.require_timeout(since, within);
                    }
                    None => assert_eq!(stage.connections(), 1, "it is still heard"),
                }
            })
        };
    let (short, long) = ("client after its last answer, silent", "listener linger");
    vec![
        lingering((short, Outside), "it is silent", 0, Some(pause)),
        lingering((short, Inside), "it sends now and then", 5, None),
        lingering((long, Inside), "it sends now and then", 6, None),
        // Just behind a byte it would have another second.
        lingering((long, Outside), "it goes on", 7, Some(whole)),
    ]
}

fn rate(listener: &mut ListenerConfig, _: &mut PoolConfig) {
    listener.timeouts.request_body = T;
    listener.limits.body_rate = 20;
}

/// Each piece comes within the time between two bytes. At 20 bytes a second a byte earns 50 ms.
fn slow_bodies() -> Vec<Case> {
    let bound = "listener body_rate";
    let length = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n";
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut cases = Vec::new();
    for (name, begin, piece, earned_ms) in [
        ("a byte now and then", length, "x", 150),
        ("a chunk of a byte now and then", chunked, "1\r\nx\r\n", 150),
        ("an extension that goes on", chunked, "1;x=y", 0),
    ] {
        let pieces = move |first: bool| {
            if first {
                piece
            } else {
                piece.trim_start_matches("1;")
            }
        };
        let slow = Case::new((bound, Outside), name, rate, echo, move |stage| {
            stage.each(begin, |client, since| {
                let some = (0..3).map(|number| pieces(number == 0));
                drip(&mut client.stream, since, tenths(T, 3), some);
                let answer = client.response();
                stage.require_timeout(since, T + Duration::from_millis(earned_ms));
                assert!(answer.text().starts_with("request_timeout"));
                let hoped = json!({"status": 408, "termination": "request_body_timeout",
                    "phase": "request_body", "ended_by": "client"});
                stage.require_logged(client, &hoped);
            });
        });
        cases.push(slow);
    }
    let steady = Case::new(
        (bound, Inside),
        "as much as it must be",
        rate,
        echo,
        move |stage| {
            stage.each(length, |client, since| {
                let pieces = (0..10).map(|_| "xxxxxxxxxx");
                drip(&mut client.stream, since, tenths(T, 8), pieces);
                assert_eq!(client.response().status(), 200);
            });
        },
    );
    cases.push(steady);
    cases
}
