//! What probes say and look for, where and how often.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evenkeel::config::{HealthCheckConfig, HttpProbe, ProbeConfig, ProbeKind, TcpProbe};

use crate::common::{Backend, wait_until};
use crate::rig::{Rig, http_check, setup};

/// Waits until a backend has been probed so that it has this state, and says this.
fn becomes(rig: &Rig, state: &str, check: &str) {
    wait_until(&format!("{state}: {check}"), || {
        let backend = rig.pool().backends.remove(0);
        backend.state == state && backend.check.contains(check)
    });
}

fn http(body: &str) -> ProbeKind {
    ProbeKind::Http(HttpProbe {
        body: Some(body.to_owned()),
        ..HttpProbe::default()
    })
}

fn tcp(send: &str, receive: &str) -> ProbeKind {
    ProbeKind::Tcp(TcpProbe {
        send: send.to_owned(),
        receive: receive.to_owned(),
    })
}

#[test]
fn a_text_is_looked_for_in_the_body() {
    for (answer, body, state, check) in [
        (
            "Content-Length: 8\r\n\r\nI am OK.",
            "am OK",
            "up",
            "status 200",
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n4\r\nI am\r\n4\r\n OK.\r\n0\r\n\r\n",
            "am OK",
            "up",
            "status 200",
        ),
        ("\r\nI am OK.", "am OK.", "up", "status 200"),
        (
            "Content-Length: 8\r\n\r\nI am OK.",
            "ready",
            "down",
            "`ready` is not in the first 64 KiB",
        ),
        (
            "Content-Length: 0\r\n\r\n",
            "ready",
            "down",
            "`ready` is not",
        ),
        (
            "X-Said: ready\r\nContent-Length: 1\r\n\r\n.",
            "ready",
            "down",
            "`ready` is not",
        ),
    ] {
        let backend = Backend::scripted(move |mut visit| {
            visit.request();
            visit.wire.send(format!("HTTP/1.1 200 OK\r\n{answer}"));
        });
        let rig = setup(&[backend.address]).check(http(body), 1, 1).start();
        becomes(&rig, state, check);
    }
}

#[test]
fn a_status_goes_before_what_the_body_says() {
    let backend = Backend::saying("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nOK");
    let rig = setup(&[backend.address]).check(http("OK"), 1, 1).start();
    becomes(&rig, "down", "status 503 No");
}

#[test]
fn probes_have_the_fields_they_are_given() {
    let backend = Backend::saying(crate::rig::OK);
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let kind = ProbeKind::Http(HttpProbe {
        headers: vec![
            field("Authorization", "Basic eA=="),
            field("user-agent", "probe"),
        ],
        ..HttpProbe::default()
    });
    let rig = setup(&[backend.address]).check(kind, 1, 1).start();
    becomes(&rig, "up", "status 200");
    let probe = backend.last_request();
    assert_eq!(probe.field("authorization").as_deref(), Some("Basic eA=="));
    assert_eq!(probe.field("user-agent").as_deref(), Some("probe"));
}

#[test]
fn bytes_are_sent_and_must_come() {
    for (kind, state, check) in [
        (tcp("PING\r\n", "+PONG"), "up", "received what it should"),
        (tcp("PING\r\n", ""), "up", "connected"),
        (tcp("", "220 "), "up", "received what it should"),
        (
            tcp("PING\r\n", "-ERR"),
            "down",
            "the connection ended before the answer did",
        ),
        (
            tcp("", "x".repeat(7).as_str()),
            "down",
            "`xxxxxxx` is not in the first 64 KiB",
        ),
    ] {
        let asks = kind != tcp("", "220 ") && kind != tcp("", "xxxxxxx");
        let floods = kind == tcp("", "xxxxxxx");
        let backend = Backend::scripted(move |mut visit| {
            visit.wire.send("220 here\r\n");
            if floods {
                visit.wire.send("xxxxx ".repeat(12_000));
            }
            if asks && visit.wire.take(6) == b"PING\r\n" {
                visit.wire.send("+PONG\r\n");
            }
        });
        let rig = setup(&[backend.address]).check(kind, 1, 1).start();
        becomes(&rig, state, check);
    }
}

#[test]
fn probes_go_to_a_port_of_their_own() {
    let (backend, checker) = (Backend::named("b0"), Backend::named("checker"));
    let rig = setup(&[backend.address])
        .check(http_check(), 1, 1)
        .pool(|pool| {
            if let HealthCheckConfig::Probe(probe) = &mut pool.health_check {
                probe.port = Some(checker.address.port());
            }
        })
        .start();
    becomes(&rig, "up", "status 200");
    assert_eq!(rig.ask(crate::rig::GET).text(), "b0");
    assert!(checker.last_request().line().contains("/health"));
    assert_eq!(backend.last_request().line(), "GET / HTTP/1.1");
}

/// Two failures, then good again: those are soon behind each other, the others are not.
#[test]
fn probes_come_faster_while_a_verdict_is_changing() {
    let came: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let times = Arc::clone(&came);
    let backend = Backend::scripted(move |mut visit| {
        visit.request();
        let number = {
            let mut times = times.lock().unwrap();
            times.push(Instant::now());
            times.len()
        };
        let status = if (3..=4).contains(&number) { 500 } else { 200 };
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        visit.wire.send(answer);
    });
    let rig = setup(&[backend.address])
        .pool(|pool| {
            pool.health_check = HealthCheckConfig::Probe(ProbeConfig {
                kind: http_check(),
                interval: Duration::from_millis(400),
                interval_changing: Duration::from_millis(10),
                port: None,
                tls: false,
                timeout: Duration::from_secs(5),
                rise: 2,
                fall: 3,
            });
        })
        .start();
    wait_until("it is probed", || came.lock().unwrap().len() >= 6);
    let came = came.lock().unwrap().clone();
    let gaps: Vec<_> = came.windows(2).map(|two| two[1] - two[0]).collect();
    let slow = [0, 1, 4].map(|at| gaps[at] >= Duration::from_millis(380));
    let fast = [2, 3].map(|at| gaps[at] < Duration::from_millis(300));
    assert_eq!((slow, fast), ([true; 3], [true; 2]), "{gaps:?}");
    assert_eq!(rig.pool().backends[0].state, "up");
}
