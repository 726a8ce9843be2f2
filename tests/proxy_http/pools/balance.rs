//! Who gets the next request, and how probes decide who can.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel::config::{Balance, HttpProbe, ProbeKind, ProbeMethod, TcpProbe};
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

/// What is in progress is counted over all workers: requests that stay on their backend are shared
/// exactly, by weight.
#[test]
fn least_connections_fills_evenly_over_all_threads() {
    let hold = || {
        Backend::scripted(|mut visit| {
            visit.request();
            visit.wire.rest();
        })
    };
    let (light, heavy) = (hold(), hold());
    let mut setup = setup(&[light.address, heavy.address]).pool(|pool| {
        pool.balance = Balance::LeastConnections;
        pool.backends[1].weight = 3;
    });
    setup.threads = 2;
    let rig = setup.start();
    let mut held: Vec<Wire> = Vec::new();
    for asked in 1..=16 {
        let mut client = rig.client();
        client.send(GET);
        held.push(client);
        wait_until("the request has arrived somewhere", || {
            light.requests().len() + heavy.requests().len() == asked
        });
    }
    assert_eq!((light.requests().len(), heavy.requests().len()), (4, 12));
}

#[test]
fn least_connections_leaves_the_slow_alone() {
    let slow = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.rest();
    });
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let rig = setup(&[slow.address, one.address, two.address])
        .pool(|pool| pool.balance = Balance::LeastConnections)
        .start();
    let mut stuck = rig.client();
    stuck.send(GET);
    wait_until("the slow one has it", || slow.requests().len() == 1);
    let mut client = rig.client();
    for _ in 0..20 {
        assert_eq!(client.ask(GET).status(), 200);
    }
    let given = [&slow, &one, &two].map(|backend| backend.requests().len());
    assert_eq!(given, [1, 10, 10], "the idle ones take turns");
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
    let kind = ProbeKind::Http(HttpProbe {
        host: Some("check.example".to_owned()),
        expect: vec![(404, 404)],
        ..HttpProbe::default()
    });
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

/// What is relayed is healthy, and what is refused is not, whichever rule it breaks.
#[test]
fn probes_read_answers_as_traffic_is_read() {
    let links = |count: usize| {
        let links = "Link: </a>; rel=preload\r\n".repeat(count);
        format!("HTTP/1.1 200 OK\r\n{links}Content-Length: 2\r\n\r\nok")
    };
    let answers = [
        OK.to_owned(),
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok".to_owned(),
        "HTTP/1.1 200 OK\r\nX-XSS-Protection : 1\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        "HTTP/1.1 200 OK\r\nBad Name: 1\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_owned(),
        format!("HTTP/1.1 103 Early Hints\r\n\r\n{OK}"),
        format!("{}{OK}", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17)),
        links(120),
        links(140),
    ];
    let (mut ups, mut downs) = (0, 0);
    for answer in answers {
        let told = answer.clone();
        let backend = Backend::scripted(move |mut visit| {
            while visit.request().is_some() {
                visit.wire.send(&told);
            }
        });
        let rig = setup(&[backend.address]).start();
        let mut client = rig.client();
        client.send(GET);
        let mut status = 103;
        while status == 103 {
            status = client.try_response("GET").unwrap().status();
        }
        drop(rig);
        let hoped = if status == 200 { "up" } else { "down" };
        let rig = setup(&[backend.address]).check(http_check(), 1, 1).start();
        let probed = poll("it is probed", || {
            let state = rig.pool().backends[0].state.clone();
            (state != "unprobed").then_some(state)
        });
        assert_eq!(
            probed,
            hoped,
            "{answer:?}: {}",
            rig.pool().backends[0].check
        );
        ups += usize::from(hoped == "up");
        downs += usize::from(hoped == "down");
    }
    assert_eq!((ups, downs), (5, 6), "both are among them");
}

/// A backend that is cut in the middle of its answer logs an error for each probe.
#[test]
fn probes_read_a_body_that_comes_behind_its_head() {
    let failed = Arc::new(Mutex::new((0, 0)));
    let seen = Arc::clone(&failed);
    let backend = Backend::scripted(move |mut visit| {
        visit.request();
        visit
            .wire
            .send("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n");
        std::thread::sleep(Duration::from_millis(100));
        let mut written = Ok(());
        for _ in 0..20 {
            written = written.and_then(|()| visit.wire.stream.write_all(&[b'x'; 10_000]));
        }
        let mut counts = seen.lock().unwrap();
        counts.0 += 1;
        counts.1 += usize::from(written.is_err());
    });
    let rig = setup(&[backend.address]).check(http_check(), 1, 1).start();
    wait_until("many probes have ended", || failed.lock().unwrap().0 >= 20);
    assert_eq!(rig.pool().backends[0].state, "up");
    assert_eq!(failed.lock().unwrap().1, 0, "no write has failed");
}

#[test]
fn probes_ask_by_head_where_they_are_told_to() {
    let backend = Backend::saying("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n");
    let kind = ProbeKind::Http(HttpProbe {
        method: ProbeMethod::Head,
        path: "/up".to_owned(),
        ..HttpProbe::default()
    });
    let rig = setup(&[backend.address]).check(kind, 1, 1).start();
    wait_until("the backend is up", || rig.pool().backends[0].state == "up");
    assert_eq!(backend.last_request().line(), "HEAD /up HTTP/1.1");
}

#[test]
fn probes_that_fail_with_the_default_host_say_so() {
    let backend = Backend::saying("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let rig = setup(&[backend.address]).check(http_check(), 1, 1).start();
    wait_until("the backend is down", || {
        rig.pool().backends[0].state == "down"
    });
    let hoped = format!(
        "status 400 Bad Request; the Host was {}, `host` sets another",
        backend.address
    );
    assert_eq!(rig.pool().backends[0].check, hoped);
}

#[test]
fn requests_avoid_backends_that_are_down() {
    let (_held, refusing) = refusing_address();
    let backend = Backend::saying(OK);
    let rig = setup(&[refusing, backend.address])
        .check(ProbeKind::Tcp(TcpProbe::default()), 1, 1)
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
    let mut setup = setup(&[refusing]).check(ProbeKind::Tcp(TcpProbe::default()), 1, 1_000_000);
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
