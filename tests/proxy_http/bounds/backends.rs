//! Timeouts of backends that do not accept or have no room, of health checks, and what is kept of
//! connections.

use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use evenkeel::config::{HealthCheckConfig, ListenerConfig, PoolConfig, ProbeConfig};
use serde_json::json;

use super::stage::{Behind, Case, SLACK, Side::Inside, Side::Outside, Stage, T, serve, tenths};
use crate::common::{Backend, PATIENCE, Visit, wait_until};
use crate::rig::{GET, OK, http_check, setup};

pub(super) fn cases() -> Vec<Case> {
    [connects(), queues()].into_iter().flatten().collect()
}

const REQUESTS: [&str; 3] = [
    GET,
    "GET / HTTP/1.0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok",
];

fn connects() -> Vec<Case> {
    let connect = |_: &mut ListenerConfig, pool: &mut PoolConfig| pool.timeouts.connect = T;
    let mut cases = Vec::new();
    for request in REQUESTS {
        let name = format!("{request:.12?}");
        let ends = Case::new(
            ("pool connect", Outside),
            &name,
            connect,
            drop,
            move |stage| {
                let mut client = stage.client();
                let since = Instant::now();
                client.send(request);
                stage.is_in_flight();
                let answer = client.response();
                stage.require_timeout(since, T);
                assert!(
                    answer.text().starts_with("connect_timeout"),
                    "{}",
                    answer.text()
                );
                let hoped = json!({"status": 504, "termination": "connect_timeout", "phase": "connect",
                "ended_by": "backend"});
                stage.require_logged(&client, &hoped);
            },
        );
        cases.push(ends.behind(Behind::Full(PATIENCE)));
        // The kernel tries again after a second.
        let longer = |_: &mut ListenerConfig, pool: &mut PoolConfig| {
            pool.timeouts.connect = Duration::from_millis(1600);
        };
        let accepted = Case::new(
            ("pool connect", Inside),
            &name,
            longer,
            drop,
            move |stage| {
                let mut client = stage.client();
                let since = Instant::now();
                client.send(request);
                stage.is_in_flight();
                assert_eq!(client.response().text(), "ok");
                assert!(
                    since.elapsed() > tenths(T, 5),
                    "it had to wait: {:?}",
                    since.elapsed()
                );
                stage.require_logged(&client, &json!({"status": 200, "termination": "complete"}));
            },
        );
        cases.push(accepted.behind(Behind::Full(tenths(T, 15))));
    }
    cases.push(two_that_do_not_accept());
    cases
}

fn two_that_do_not_accept() -> Case {
    let two = |_: &mut ListenerConfig, pool: &mut PoolConfig| {
        pool.timeouts.connect = T;
        let mut other = pool.backends[0].clone();
        other.name = "other".to_owned();
        pool.backends.push(other);
    };
    let both = Case::new(
        ("pool connect", Outside),
        "each of two backends",
        two,
        drop,
        |stage| {
            let mut client = stage.client();
            let since = Instant::now();
            client.send(GET);
            stage.is_in_flight();
            assert_eq!(client.response().status(), 504);
            stage.require_timeout(since, 2 * T);
            let hoped = json!({"termination": "connect_timeout", "retries": 1, "backend": "other"});
            stage.require_logged(&client, &hoped);
        },
    );
    both.behind(Behind::Full(PATIENCE))
}

/// Holds `/hold` for so long, and answers all others at once.
fn holds(visit: Visit, within: Duration) {
    serve(visit, |visit, request| {
        if request.line().contains("/hold") {
            std::thread::sleep(within);
        }
        visit.wire.send(OK);
    });
}

/// Has one request hold the only room, and another one wait on a fresh and on a kept connection.
fn wait_for_room(
    stage: &Stage,
    request: &str,
    then: impl Fn(&mut crate::common::Wire, Instant) + Sync,
) {
    let mut clients = [stage.kept(), stage.client()];
    wait_until("the first request is over", || stage.requests() == (0, 0));
    let mut holder = stage.client();
    holder.send(GET.replacen('/', "/hold", 1));
    wait_until("the room is taken", || stage.requests() == (1, 0));
    let since = Instant::now();
    for client in &mut clients {
        client.send(request);
    }
    stage.is_in_flight();
    std::thread::scope(|scope| {
        for mut client in clients {
            let then = &then;
            scope.spawn(move || then(&mut client, since));
        }
        assert_eq!(holder.response().text(), "ok");
    });
}

fn queues() -> Vec<Case> {
    let queue = |_: &mut ListenerConfig, pool: &mut PoolConfig| {
        pool.timeouts.queue = T;
        pool.backends[0].requests = Some(1);
    };
    let mut cases = Vec::new();
    for request in REQUESTS {
        let name = format!("{request:.12?}");
        let long = |visit| holds(visit, 10 * T);
        cases.push(Case::new(("pool queue", Outside), &name, queue, long, move |stage| {
            wait_for_room(stage, request, |client, since| {
                let text = client.response().text();
                    assert!(text.starts_with("queue_timeout"), "{text}");
                stage.require_timeout(since, T);
                let hoped = json!({"status": 503, "termination": "queue_timeout", "phase": "queue",
                    "backend": null});
                stage.require_logged(client, &hoped);
            });
        }));
        let short = |visit| holds(visit, tenths(T, 7));
        cases.push(Case::new(
            ("pool queue", Inside),
            &name,
            queue,
            short,
            move |stage| {
                wait_for_room(stage, request, |client, _| {
                    assert_eq!(client.response().text(), "ok");
                    stage
                        .require_logged(client, &json!({"status": 200, "termination": "complete"}));
                });
            },
        ));
    }
    cases
}

/// Starts a proxy whose backend answers probes after `after`, with these times; returns the
/// backend's last word, and when its probes came.
fn probed(after: Duration, interval: Duration, timeout: Duration) -> (String, Vec<Instant>) {
    let came: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let coming = Arc::clone(&came);
    let backend = Backend::scripted(move |mut visit| {
        coming.lock().unwrap().push(Instant::now());
        visit.request();
        std::thread::sleep(after);
        visit.wire.send(OK);
    });
    let rig = setup(&[backend.address])
        .pool(|pool| {
            pool.health_check = HealthCheckConfig::Probe(ProbeConfig {
                kind: http_check(),
                interval,
                interval_changing: interval,
                port: None,
                tls: false,
                timeout,
                rise: 1,
                fall: 1,
            });
        })
        .start();
    wait_until("it is probed some times", || {
        came.lock().unwrap().len() >= 6
    });
    let state = rig.pool().backends[0].state.clone();
    let came = came.lock().unwrap().clone();
    (state, came)
}

#[test]
fn probes_that_are_answered_in_time_bring_a_backend_up() {
    let (state, _) = probed(tenths(T, 7), T, T);
    assert_eq!(state, "up");
}

/// A probe that is given up is followed by the next one at once where the interval is over.
#[test]
fn probes_that_are_answered_too_late_take_a_backend_down() {
    let (state, came) = probed(tenths(T, 14), tenths(T, 1), T);
    assert_eq!(state, "down");
    let gaps = u32::try_from(came.len()).unwrap() - 1;
    // Each is seen when it arrives; that takes a moment, which may differ.
    let mean = (came[came.len() - 1] - came[0]) / gaps;
    assert!(mean >= tenths(T, 9), "given up after {mean:?}");
    assert!(mean <= T + SLACK / gaps, "given up after {mean:?}");
}

#[test]
fn probes_begin_an_interval_apart() {
    let (state, came) = probed(Duration::ZERO, T, tenths(T, 50));
    assert_eq!(state, "up");
    // The second comes up to an interval later: not those of all backends at once.
    let (second, last) = (came[1] - came[0], came[came.len() - 1]);
    assert!(second <= tenths(T, 21) + SLACK, "{second:?}");
    let count = u32::try_from(came.len()).unwrap() - 2;
    let mean = (last - came[1]) / count;
    // Two nodes do not stay in step: a twentieth more or less.
    assert!(mean >= tenths(T, 9), "{mean:?}");
    assert!(mean <= tenths(T, 12) + SLACK / count, "{mean:?}");
}

/// Asks so many times at once; the backend answers when all have come.
fn ask_at_once(rig: &crate::rig::Rig, count: usize) {
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| assert_eq!(rig.ask(GET).text(), "ok"));
        }
    });
}

#[test]
fn so_many_connections_are_kept_and_no_more() {
    const KEPT: usize = 128;
    for (first, opened_again) in [(KEPT, 0), (KEPT + 3, 3)] {
        let all = Arc::new(Barrier::new(first));
        let backend = Backend::scripted(move |mut visit| {
            while visit.request().is_some() {
                all.wait();
                visit.wire.send(OK);
            }
        });
        let rig = setup(&[backend.address]).start();
        ask_at_once(&rig, first);
        wait_until("all have ended", || {
            rig.pool().backends[0].active_requests == 0
        });
        assert_eq!(backend.accepted(), first);
        ask_at_once(&rig, first);
        assert_eq!(backend.accepted(), first + opened_again);
    }
}

/// One more than it takes waits; none is lost, and all room is given back, for the next as many.
#[test]
fn so_many_requests_are_sent_to_a_backend_at_once_and_no_more() {
    const MAX: u32 = 4;
    for count in [MAX, MAX + 1] {
        let busy = Arc::new(Mutex::new((0u32, 0u32)));
        let seen = Arc::clone(&busy);
        let backend = Backend::scripted(move |mut visit| {
            while visit.request().is_some() {
                {
                    let (now, most) = &mut *seen.lock().unwrap();
                    *now += 1;
                    *most = (*most).max(*now);
                }
                std::thread::sleep(T / 2);
                seen.lock().unwrap().0 -= 1;
                visit.wire.send(OK);
            }
        });
        let rig = setup(&[backend.address])
            .pool(|pool| pool.backends[0].requests = Some(MAX))
            .start();
        for round in 1..3 {
            ask_at_once(&rig, usize::try_from(count).unwrap());
            wait_until("all have ended", || {
                rig.pool().backends[0].active_requests == 0
            });
            assert_eq!(busy.lock().unwrap().1, MAX);
            let waited = u64::from((count - MAX) * round);
            assert_eq!(rig.pool().queued_total, waited, "of {count}");
        }
    }
}
