//! Who gets the next request, and how probes decide who can.

use std::sync::{Arc, Mutex};

use evenkeel::config::{Balance, ProbeKind};
use evenkeel::ipc::message::PoolHealth;

use crate::common::{Backend, Wire, poll, refusing_address, wait_until};
use crate::rig::{GET, OK, http_check, rig, setup};

#[test]
fn round_robin_gives_everybody_its_share() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let rig = setup(&[one.address, two.address])
        .pool(|pool| pool.backends[1].weight = 3)
        .start();
    let mut client = rig.client();
    for _ in 0..20 {
        assert_eq!(client.ask(GET).status(), 200);
    }
    assert_eq!((one.requests().len(), two.requests().len()), (5, 15));
}

#[test]
fn random_of_two_avoids_the_busy() {
    let busy = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.rest();
    });
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let rig = setup(&[busy.address, one.address, two.address])
        .pool(|pool| pool.balance = Balance::RandomOfTwo)
        .start();
    let mut stuck: Vec<Wire> = Vec::new();
    while busy.requests().is_empty() {
        let mut client = rig.client();
        client.send(GET);
        stuck.push(client);
        let asked = stuck.len();
        wait_until("the request has arrived somewhere", || {
            [&busy, &one, &two]
                .iter()
                .map(|backend| backend.requests().len())
                .sum::<usize>()
                == asked
        });
    }
    wait_until("only the busy one is busy", || {
        rig.pool().backends[1].active_requests + rig.pool().backends[2].active_requests == 0
    });
    let mut client = rig.client();
    for _ in 0..40 {
        assert_eq!(
            client.ask(GET).status(),
            200,
            "the busy one is never the less busy of two"
        );
    }
    assert!(!one.requests().is_empty() && !two.requests().is_empty());
}

#[test]
fn health_follows_the_probes() {
    let status: Arc<Mutex<u16>> = Arc::new(Mutex::new(200));
    let says = Arc::clone(&status);
    let backend = Backend::scripted(move |mut visit| {
        while visit.request().is_some() {
            let status = *says.lock().unwrap();
            visit
                .wire
                .send(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let rig = setup(&[backend.address]).check(http_check(), 2, 2).start();
    let state = |wanted: &str| {
        wait_until(wanted, || rig.pool().backends[0].state == wanted);
    };
    state("up");
    *status.lock().unwrap() = 500;
    state("down");
    assert!(
        rig.pool().backends[0].check.contains("500"),
        "{:?}",
        rig.pool()
    );
    assert_eq!(rig.ask(GET).status(), 503);
    *status.lock().unwrap() = 302;
    state("up");
    let up: Vec<bool> = rig
        .healths()
        .iter()
        .map(|health| health.backends["b0"])
        .collect();
    assert_eq!(up, [true, false, true]);
    assert!(rig.healths().iter().all(|health| health.probed));
    let probe = backend
        .requests()
        .into_iter()
        .find(|r| r.line().contains("/health"))
        .unwrap();
    assert_eq!(probe.line(), "GET /health HTTP/1.1");
    assert_eq!(probe.field("host"), Some(backend.address.to_string()));
    assert_eq!(probe.field("connection").as_deref(), Some("close"));
}

#[test]
fn expected_statuses_and_hosts_are_used() {
    let backend = Backend::saying("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let kind = ProbeKind::Http {
        path: "/".to_owned(),
        host: Some("check.example".to_owned()),
        expect: vec![(404, 404)],
    };
    let rig = setup(&[backend.address]).check(kind, 1, 1).start();
    wait_until("the backend is up", || rig.pool().backends[0].state == "up");
    assert_eq!(
        backend.last_request().field("host").as_deref(),
        Some("check.example")
    );
}

#[test]
fn probes_that_take_too_long_have_failed() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.rest();
    });
    let rig = setup(&[backend.address]).check(http_check(), 1, 1).start();
    wait_until("the backend is down", || {
        rig.pool().backends[0].state == "down"
    });
}

#[test]
fn requests_avoid_backends_that_are_down() {
    let (_held, refusing) = refusing_address();
    let backend = Backend::saying(OK);
    let rig = setup(&[refusing, backend.address])
        .check(ProbeKind::Tcp, 1, 1)
        .start();
    poll("the pool is probed", || {
        rig.healths().into_iter().find(|health| health.probed)
    });
    for _ in 0..4 {
        assert_eq!(rig.ask(GET).status(), 200);
    }
    assert_eq!(rig.pool().retries_total, 0);
}

#[test]
fn pools_without_checks_are_up_and_known_at_once() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    let health = poll("health is told", || rig.healths().pop());
    assert!(health.probed && health.backends["b0"]);
    assert_eq!(rig.pool().backends[0].state, "up");
}

#[test]
fn health_known_before_is_taken_over() {
    let (_held, refusing) = refusing_address();
    let mut setup = setup(&[refusing]).check(ProbeKind::Tcp, 1, 1_000_000);
    setup.health = vec![PoolHealth {
        pool: "web".to_owned(),
        backends: [("b0".to_owned(), true)].into(),
        probed: true,
    }];
    let rig = setup.start();
    let health = poll("health is told", || rig.healths().pop());
    assert!(health.probed && health.backends["b0"]);
    wait_until("a probe has failed", || {
        rig.pool().backends[0].check.contains("cannot connect")
    });
    assert_eq!(
        rig.pool().backends[0].state,
        "up",
        "until it has failed often enough"
    );
}
