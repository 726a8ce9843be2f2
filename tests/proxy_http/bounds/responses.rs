//! Timeouts of backends that answer, clients that read, and tunnels.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use evenkeel::config::{ListenerConfig, PoolConfig};
use serde_json::{Value, json};

use super::stage::{Case, Side::Inside, Side::Outside, T, drip, serve, tenths};
use crate::common::{Visit, Wire};
use crate::rig::{GET, OK, WEBSOCKET};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(heads_that_do_not_come());
    cases.extend(heads_that_come_too_slowly());
    cases.extend(heads_that_come());
    cases.extend(clients_that_end_their_direction());
    cases.extend(answers_that_stop());
    cases.extend(large_and_early_answers_that_stop());
    cases.extend(answers_that_go_on());
    cases.extend(slow_and_early_answers_that_go_on());
    cases.extend(silent_tunnels());
    cases.extend(tunnels());
    cases
}

const REQUESTS: [(&str, &str); 4] = [
    ("GET", GET),
    ("GET, HTTP/1.0", "GET / HTTP/1.0\r\n\r\n"),
    (
        "POST",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "POST, chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
];

fn answer(_: &mut ListenerConfig, pool: &mut PoolConfig) {
    pool.timeouts.response_head = T;
}

/// Answers with pieces, a pause before each, for as long as they are taken.
fn paused(visit: Visit, pause: Duration, pieces: &[&str]) {
    serve(visit, |visit, _| {
        let mut next_at = Instant::now();
        for piece in pieces {
            next_at += pause;
            std::thread::sleep(next_at.saturating_duration_since(Instant::now()));
            if visit.wire.stream.write_all(piece.as_bytes()).is_err() {
                return;
            }
        }
    });
}

/// Answers with what is there at once, and then with nothing.
fn stopped(visit: Visit, begin: &str) {
    serve(visit, |visit, _| {
        visit.wire.send(begin);
        visit.wire.rest();
    });
}

fn late() -> Value {
    json!({"status": 504, "termination": "response_head_timeout", "phase": "response_head",
        "ended_by": "backend"})
}

fn heads_that_do_not_come() -> Vec<Case> {
    let at = ("pool response_head", Outside);
    let mut cases = Vec::new();
    for (name, request) in REQUESTS {
        cases.push(Case::new(
            at,
            name,
            answer,
            |visit| stopped(visit, ""),
            move |stage| {
                stage.each(request, |client, since| {
                    assert!(client.response().text().starts_with("response_timeout"));
                    stage.require_timeout(since, T);
                    stage.require_logged(client, &late());
                });
            },
        ));
    }
    cases
}

fn heads_that_come_too_slowly() -> Vec<Case> {
    let at = ("pool response_head", Outside);
    let mut cases = Vec::new();
    let drips = |visit| {
        paused(
            visit,
            tenths(T, 2),
            &["HTTP/1.1 200 OK\r\nX: ", "y", "y", "y", "y", "y"],
        )
    };
    cases.push(Case::new(
        at,
        "it comes byte by byte",
        answer,
        drips,
        move |stage| {
            stage.each(GET, |client, since| {
                assert_eq!(client.response().status(), 504);
                stage.require_timeout(since, T);
                stage.require_logged(client, &late());
            });
        },
    ));
    let interim = |visit| {
        paused(
            visit,
            tenths(T, 5),
            &["HTTP/1.1 103 Early Hints\r\n\r\n"; 15],
        )
    };
    cases.push(Case::new(
        at,
        "only interim answers come",
        answer,
        interim,
        move |stage| {
            stage.each(GET, |client, since| {
                let mut interim = 0;
                let last = loop {
                    match client.response() {
                        answer if answer.status() == 103 => interim += 1,
                        answer => break answer.status(),
                    }
                };
                assert_eq!((last, interim > 0), (504, true));
                stage.require_timeout(since, T);
                stage.require_logged(client, &late());
            });
        },
    ));
    let ends = |visit| stopped(visit, "");
    cases.push(Case::new(
        at,
        "the client has ended its direction",
        answer,
        ends,
        move |stage| {
            stage.each(GET, |client, since| {
                client.stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(
                    client.response().status(),
                    504,
                    "the backend is late, not the client"
                );
                stage.require_timeout(since, T);
                stage.require_logged(client, &late());
            });
        },
    ));
    cases
}

fn whole() -> Value {
    json!({"status": 200, "termination": "complete"})
}

fn heads_that_come() -> Vec<Case> {
    let at = ("pool response_head", Inside);
    let mut cases = Vec::new();
    for (name, request) in REQUESTS {
        let late = |visit| paused(visit, tenths(T, 8), &[OK]);
        cases.push(Case::new(at, name, answer, late, move |stage| {
            stage.each(request, |client, _| {
                assert_eq!(client.response().text(), "ok");
                stage.require_logged(client, &whole());
            });
        }));
    }
    let drips = |visit| {
        let pieces = [
            "HTTP/1.1 200 OK\r\nX: ",
            "y",
            "y\r\nContent-Length: 2\r\n",
            "\r\nok",
        ];
        paused(visit, tenths(T, 2), &pieces);
    };
    cases.push(Case::new(
        at,
        "it comes bit by bit",
        answer,
        drips,
        move |stage| {
            stage.each(GET, |client, _| {
                assert_eq!(client.response().text(), "ok");
                stage.require_logged(client, &whole());
            });
        },
    ));
    let interim = |visit| {
        paused(
            visit,
            tenths(T, 4),
            &["HTTP/1.1 103 Early Hints\r\n\r\n", OK],
        )
    };
    cases.push(Case::new(
        at,
        "an interim answer comes before",
        answer,
        interim,
        move |stage| {
            stage.each(GET, |client, _| {
                assert_eq!(client.response().status(), 103);
                assert_eq!(client.response().text(), "ok");
                stage.require_logged(client, &whole());
            });
        },
    ));
    let late = |visit| paused(visit, tenths(T, 7), &[OK]);
    cases.push(Case::new(
        at,
        "its time begins behind the request",
        answer,
        late,
        move |stage| {
            let begin = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
            stage.each(begin, |client, since| {
                drip(&mut client.stream, since, tenths(T, 7), ["a", "b", "c"]);
                assert_eq!(client.response().text(), "ok");
                stage.require_logged(client, &whole());
            });
        },
    ));
    cases
}

fn clients_that_end_their_direction() -> Vec<Case> {
    let bound = "client that has ended its direction";
    let tune = |_: &mut ListenerConfig, pool: &mut PoolConfig| {
        pool.timeouts.response_head = Duration::from_secs(30);
    };
    let grace = Duration::from_secs(2);
    let mut cases = Vec::new();
    for (name, request) in REQUESTS {
        let late = move |visit| paused(visit, tenths(grace, 7), &[OK]);
        cases.push(Case::new((bound, Inside), name, tune, late, move |stage| {
            stage.each(request, |client, _| {
                client.stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(client.response().text(), "ok");
                assert!(client.is_ended());
            });
        }));
        let never = |visit| {
            paused(
                visit,
                tenths(T, 7),
                &["HTTP/1.1 103 Early Hints\r\n\r\n"; 14],
            )
        };
        cases.push(Case::new(
            (bound, Outside),
            name,
            tune,
            never,
            move |stage| {
                stage.each(request, |client, since| {
                    client.stream.shutdown(Shutdown::Write).unwrap();
                    while let Some(interim) = client.head() {
                        assert!(interim.starts_with("HTTP/1.1 103"), "{interim}");
                    }
                    stage.require_timeout(since, grace);
                    let hoped = json!({"status": null, "termination": "client_gone",
                    "phase": "response_head", "ended_by": "client"});
                    stage.require_logged(client, &hoped);
                });
            },
        ));
    }
    cases
}

fn idle(listener: &mut ListenerConfig, _: &mut PoolConfig) {
    listener.timeouts.idle = T;
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
/// How an answer of `abcdef` may come: what comes at once, and what comes bit by bit.
const ANSWERS: [(&str, &str, &str, [&str; 3]); 6] = [
    (
        "stated",
        GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc",
        ["d", "e", "f"],
    ),
    (
        "chunked",
        GET,
        CHUNKED,
        ["1\r\nd\r\n", "2\r\nef", "\r\n0\r\n\r\n"],
    ),
    (
        "to its end",
        GET,
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc",
        ["d", "e", "f"],
    ),
    (
        "chunked, to HTTP/1.0",
        "GET / HTTP/1.0\r\n\r\n",
        CHUNKED,
        ["1\r\nd\r\n", "2\r\nef", "\r\n0\r\n\r\n"],
    ),
    (
        "from HTTP/1.0",
        GET,
        "HTTP/1.0 200 OK\r\n\r\nabc",
        ["d", "e", "f"],
    ),
    (
        "to a POST",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc",
        ["d", "e", "f"],
    ),
];

fn cut(by: &str) -> Value {
    json!({"status": 200, "termination": "idle_timeout", "phase": "response_body", "ended_by": by})
}

fn answers_that_stop() -> Vec<Case> {
    let at = ("listener idle", Outside);
    let mut cases = Vec::new();
    for (name, request, begin, _) in ANSWERS {
        cases.push(Case::new(
            at,
            name,
            idle,
            move |visit| stopped(visit, begin),
            move |stage| {
                stage.each(request, |client, since| {
                    let head = client.head().unwrap();
                    let framed = ["Content-Length", "Transfer-Encoding"]
                        .iter()
                        .any(|name| head.contains(name));
                    let end = loop {
                        match client.stream.read(&mut [0; 100]) {
                            Ok(1..) => {}
                            Ok(0) => break None,
                            Err(error) => break Some(error.kind()),
                        }
                    };
                    stage.require_timeout(since, T);
                    // Nothing else says that it is not the whole.
                    assert_eq!(
                        end,
                        (!framed).then_some(ErrorKind::ConnectionReset),
                        "{head}"
                    );
                    stage.require_logged(client, &cut("backend"));
                });
            },
        ));
    }
    cases
}

fn large_and_early_answers_that_stop() -> Vec<Case> {
    let at = ("listener idle", Outside);
    let mut cases = Vec::new();
    let large = |visit| {
        let body = "x".repeat(200_000);
        stopped(
            visit,
            &format!("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{body}"),
        );
    };
    cases.push(Case::new(at, "large", idle, large, move |stage| {
        stage.each(GET, |client, since| {
            client.head();
            assert_eq!(client.rest().len(), 200_000);
            stage.require_timeout(since, T);
            stage.require_logged(client, &cut("backend"));
        });
    }));
    cases.push(Case::new(
        at,
        "the client does not take it",
        idle,
        much,
        move |stage| {
            stage.each(GET, |client, since| {
                stage.require_logged(client, &cut("client"));
                stage.require_timeout(since, T);
                let mut byte = [0; 65536];
                let end = loop {
                    match client.stream.read(&mut byte) {
                        Ok(1..) => {}
                        end => break end.map_err(|error| error.kind()),
                    }
                };
                assert_eq!(end, Err(ErrorKind::ConnectionReset));
            });
        },
    ));
    let early = |mut visit: Visit| {
        while let Some(head) = visit.wire.head() {
            match head.contains("/first") {
                true => visit.wire.send(OK),
                false => {
                    visit
                        .wire
                        .send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
                    visit.wire.rest();
                }
            }
        }
    };
    cases.push(Case::new(
        at,
        "an early answer and its request",
        idle,
        early,
        move |stage| {
            let begin = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc";
            stage.each(begin, |client, since| {
                assert!(client.try_response("POST").is_none());
                stage.require_timeout(since, T);
                stage.require_logged(client, &cut("backend"));
            });
        },
    ));
    cases
}

/// More than all buffers on the way take: with small ones the kernel itself waits longer than the
/// pauses.
const MUCH: usize = 24_000_000;

fn much(visit: Visit) {
    serve(visit, |visit, _| {
        visit
            .wire
            .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n"));
        let _ = visit.wire.stream.write_all(&vec![b'x'; MUCH]);
    });
}

fn answers_that_go_on() -> Vec<Case> {
    let at = ("listener idle", Inside);
    let mut cases = Vec::new();
    for (name, request, begin, rest) in ANSWERS {
        let drips = move |visit| {
            serve(visit, |visit, _| {
                let since = Instant::now();
                visit.wire.send(begin);
                drip(&mut visit.wire.stream, since, tenths(T, 7), rest);
                if !begin.contains("ing: ch") && !begin.contains("th: 6") {
                    visit.wire.stream.shutdown(Shutdown::Both).unwrap();
                }
            });
        };
        cases.push(Case::new(at, name, idle, drips, move |stage| {
            stage.each(request, |client, _| {
                assert_eq!(client.response().text(), "abcdef");
                stage.require_logged(client, &whole());
            });
        }));
    }
    cases
}

fn slow_and_early_answers_that_go_on() -> Vec<Case> {
    let at = ("listener idle", Inside);
    let mut cases = Vec::new();
    cases.push(Case::new(
        at,
        "the client takes it with pauses",
        |listener, _| listener.timeouts.idle = 3 * T,
        much,
        move |stage| {
            stage.each(GET, |client, _| {
                client.head();
                for _ in 0..3 {
                    std::thread::sleep(tenths(3 * T, 7));
                    assert_eq!(client.take(MUCH / 8).len(), MUCH / 8);
                }
                assert_eq!(client.take(MUCH / 8 * 5).len(), MUCH / 8 * 5);
                stage.require_logged(client, &whole());
            });
        },
    ));
    // The answer stands still, and lives by what the client sends.
    let early = |mut visit: Visit| {
        while let Some(head) = visit.wire.head() {
            if head.contains("/first") {
                visit.wire.send(OK);
                continue;
            }
            visit
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
            assert_eq!(visit.wire.take(4), b"wxyz");
            visit.wire.send("def");
        }
    };
    cases.push(Case::new(
        at,
        "an early answer whose request goes on",
        idle,
        early,
        move |stage| {
            let begin = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
            stage.each(begin, |client, since| {
                drip(
                    &mut client.stream,
                    since,
                    tenths(T, 7),
                    ["w", "x", "y", "z"],
                );
                assert_eq!(client.response().text(), "abcdef");
                stage.require_logged(client, &whole());
            });
        },
    ));
    cases
}

fn tunnel(listener: &mut ListenerConfig, _: &mut PoolConfig) {
    listener.timeouts.tunnel = T;
}

const SWITCHED: &str = "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

fn switched(client: &mut Wire) {
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101"));
}

fn silent_tunnels() -> Vec<Case> {
    let outside = ("listener tunnel", Outside);
    let silent = || json!({"status": 101, "termination": "tunnel_timeout", "phase": "tunnel"});
    let stops = |visit| stopped(visit, SWITCHED);
    vec![
        Case::new(outside, "both are silent", tunnel, stops, move |stage| {
            stage.each(WEBSOCKET, |client, since| {
                switched(client);
                assert!(client.is_ended());
                stage.require_timeout(since, T);
                stage.require_logged(client, &silent());
            });
        }),
        Case::new(
            outside,
            "one has ended its direction",
            tunnel,
            stopped_open,
            move |stage| {
                stage.each(WEBSOCKET, |client, since| {
                    switched(client);
                    client.stream.shutdown(Shutdown::Write).unwrap();
                    assert!(client.is_ended());
                    stage.require_timeout(since, T);
                    stage.require_logged(client, &silent());
                });
            },
        ),
    ]
}

fn echoes(visit: Visit) {
    serve(visit, |visit, _| {
        visit.wire.send(SWITCHED);
        loop {
            match visit.wire.take(1) {
                byte if byte.is_empty() => break,
                byte => visit.wire.send(byte),
            }
        }
    });
}

fn speaks(visit: Visit) {
    serve(visit, |visit, _| {
        let since = Instant::now();
        visit.wire.send(SWITCHED);
        drip(
            &mut visit.wire.stream,
            since,
            tenths(T, 7),
            ["a", "b", "c", "d"],
        );
        let _ = visit.wire.stream.shutdown(Shutdown::Both);
    });
}

fn tunnels() -> Vec<Case> {
    let inside = ("listener tunnel", Inside);
    let ended = || json!({"status": 101, "termination": "complete"});
    vec![
        Case::new(
            inside,
            "both speak now and then",
            tunnel,
            echoes,
            move |stage| {
                stage.each(WEBSOCKET, |client, since| {
                    switched(client);
                    for round in 1..5 {
                        drip(&mut client.stream, since, tenths(T, 7) * round, ["x"]);
                        assert_eq!(client.take(1), b"x");
                    }
                    client.stream.shutdown(Shutdown::Write).unwrap();
                    assert!(client.is_ended());
                    stage.require_logged(client, &ended());
                });
            },
        ),
        Case::new(
            inside,
            "only the backend speaks",
            tunnel,
            speaks,
            move |stage| {
                stage.each(WEBSOCKET, |client, _| {
                    switched(client);
                    assert_eq!(client.take(4), b"abcd");
                    client.stream.shutdown(Shutdown::Write).unwrap();
                    assert!(client.is_ended());
                    stage.require_logged(client, &ended());
                });
            },
        ),
        Case::new(
            inside,
            "one has ended its direction",
            tunnel,
            speaks,
            move |stage| {
                stage.each(WEBSOCKET, |client, _| {
                    client.stream.shutdown(Shutdown::Write).unwrap();
                    switched(client);
                    assert_eq!(client.rest(), b"abcd");
                    stage.require_logged(client, &ended());
                });
            },
        ),
    ]
}

/// Switches, and stays open when the client has ended its direction.
fn stopped_open(visit: Visit) {
    serve(visit, |visit, _| {
        visit.wire.send(SWITCHED);
        visit.wire.rest();
        std::thread::sleep(5 * T);
    });
}
