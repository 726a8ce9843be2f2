//! Backends that fail at every point of an exchange, and clients that leave.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evenkeel::config::{ProbeKind, Reuse, TcpProbe};
use evenkeel::model::Network;

use crate::common::{Backend, refusing_address, wait_until};
use crate::rig::{GET, OK, rig, setup};

#[test]
fn what_comes_behind_an_answer_is_nobodys_answer_and_is_counted() {
    let backend = Backend::scripted(|mut visit| {
        while visit.request().is_some() {
            visit.wire.send(format!("{OK}{OTHER}"));
        }
    });
    let rig = rig(&[&backend]);
    for _ in 0..2 {
        assert_eq!(rig.ask(GET).text(), "ok");
    }
    assert_eq!(backend.accepted(), 2, "no connection is used again");
    // The client has its answer before the proxy looks at what came behind it.
    wait_until("both are counted", || {
        rig.pool().backends[0].unsolicited_total == 2
    });
}

#[test]
fn what_comes_between_requests_is_nobodys_answer_and_is_counted() {
    let backend = Backend::scripted(|mut visit| {
        while visit.request().is_some() {
            visit.wire.send(OK);
            // By now the proxy has the answer and keeps the connection.
            std::thread::sleep(Duration::from_millis(100));
            visit.wire.send(OTHER);
        }
    });
    let rig = rig(&[&backend]);
    for count in 1..=3 {
        assert_eq!(rig.ask(GET).text(), "ok");
        wait_until("the unsolicited answer to be counted", || {
            rig.pool().backends[0].unsolicited_total == count
        });
    }
    assert_eq!(backend.accepted(), 3);
}

/// Answers the first request of a connection, reads the second and closes without a byte.
fn ends_at_the_second() -> Backend {
    Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.send(OK);
        visit.request();
    })
}

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

#[test]
fn first_requests_that_may_not_be_repeated_are_not_sent_on_a_kept_connection() {
    for (reuse, hoped) in [
        (Reuse::Safe, 200),
        (Reuse::Always, 502),
        (Reuse::Never, 200),
    ] {
        let backend = ends_at_the_second();
        let rig = setup(&[backend.address])
            .pool(|pool| pool.keep_alive.reuse = reuse)
            .start();
        assert_eq!(rig.ask(GET).status(), 200);
        assert_eq!(rig.ask(POST).status(), hoped, "{reuse:?}");
    }
}

#[test]
fn later_requests_that_may_not_be_repeated_are_left_to_the_client_where_they_are_lost() {
    for (reuse, hoped) in [
        (Reuse::Safe, None),
        (Reuse::Always, Some(502)),
        (Reuse::Never, Some(200)),
    ] {
        let backend = ends_at_the_second();
        let rig = setup(&[backend.address])
            .pool(|pool| pool.keep_alive.reuse = reuse)
            .start();
        let mut client = rig.client();
        assert_eq!(client.ask(GET).status(), 200);
        client.send(POST);
        let answer = client.try_response("POST");
        assert_eq!(answer.map(|answer| answer.status()), hoped, "{reuse:?}");
    }
}

#[test]
fn refused_connections_go_to_another_backend() {
    let (_held, refusing) = refusing_address();
    let backend = Backend::saying(OK);
    let rig = setup(&[refusing, backend.address]).start();
    let mut client = rig.client();
    // Half of them would be retries, and the budget has a fifth.
    for _ in 0..40 {
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(
            client.ask(post).status(),
            200,
            "nothing was sent, so even a POST goes on"
        );
    }
    assert_eq!(backend.last_request().text(), "abc", "with its body");
    let pool = rig.pool();
    assert!(
        (1..=3).contains(&pool.retries_total),
        "who cannot be connected to is asked last for a second: {pool:?}"
    );
    assert_eq!(pool.backends[0].failures_total, pool.retries_total);
    assert_eq!(pool.backends[1].failures_total, 0);
}

#[test]
fn each_backend_is_tried_once_and_three_at_most() {
    let addresses: Vec<_> = (0..5).map(|_| refusing_address()).collect();
    let backends: Vec<_> = addresses.iter().map(|(_, address)| *address).collect();
    let rig = setup(&backends).start();
    let response = rig.ask(GET);
    assert_eq!(response.status(), 502);
    assert!(response.text().starts_with("connect_failed: "));
    let tried: Vec<u64> = rig
        .pool()
        .backends
        .iter()
        .map(|b| b.failures_total)
        .collect();
    assert_eq!(tried.iter().sum::<u64>(), 3);
    assert!(tried.iter().all(|&times| times <= 1));
}

#[test]
fn backends_that_stay_away_cost_fewer_and_fewer_requests_a_try() {
    let (_held, refusing) = refusing_address();
    let backend = Backend::saying(OK);
    let rig = setup(&[refusing, backend.address]).start();
    let mut client = rig.client();
    let began_at = Instant::now();
    while began_at.elapsed() < Duration::from_millis(4500) {
        assert_eq!(client.ask(GET).status(), 200);
        std::thread::sleep(Duration::from_millis(10));
    }
    // At the beginning, after one second, and two seconds later.
    let tries = rig.pool().backends[0].failures_total;
    assert!((2..=3).contains(&tries), "{tries} tries");
}

#[test]
fn what_is_behind_the_proxy_is_told_to_trusted_proxies_alone() {
    let (_held, refusing) = refusing_address();
    let closes = Backend::scripted(|mut visit| drop(visit.request()));
    let nonsense = Backend::saying("nonsense\r\n\r\n");
    let silent = Backend::scripted(|mut visit| drop(visit.wire.rest()));
    for (address, word) in [
        (refusing, "connect_failed"),
        (closes.address, "connection_lost"),
        (nonsense.address, "invalid_response"),
        (silent.address, "response_timeout"),
    ] {
        for prefix_len in [32, 8] {
            let rig = setup(&[address])
                .pool(|pool| pool.timeouts.response_head = Duration::from_millis(100))
                .listener(|listener| {
                    listener.forwarding.trusted_proxies = vec![Network {
                        address: "127.0.0.0".parse().unwrap(),
                        prefix_len,
                    }];
                })
                .start();
            let text = rig.ask(GET).text();
            let (told, why) = text.split_once(": ").unwrap();
            assert_eq!(told, word);
            if prefix_len == 8 {
                let named = format!("backend b0 ({address}) of pool web ");
                assert!(why.starts_with(&named), "{why}");
            } else {
                assert!(why.starts_with("request "), "{why}");
                assert_eq!(why.trim_end().len(), "request ".len() + 32, "{why}");
            }
        }
    }
}

#[test]
fn requests_fail_fast_where_no_backend_is_up() {
    let (_held, refusing) = refusing_address();
    let rig = setup(&[refusing])
        .check(ProbeKind::Tcp(TcpProbe::default()), 1, 1)
        .start();
    wait_until("the backend is down", || {
        rig.pool().backends[0].state == "down"
    });
    let began_at = Instant::now();
    let response = rig.ask(GET);
    assert_eq!(response.status(), 503);
    assert!(
        response.text().starts_with("no_backend_up"),
        "{:?}",
        response.text()
    );
    assert_eq!(response.field("cache-control").as_deref(), Some("no-store"));
    assert!(began_at.elapsed() < Duration::from_secs(1));
}

#[test]
fn answers_that_do_not_come_become_504() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.rest();
    });
    let rig = setup(&[backend.address])
        .pool(|pool| pool.timeouts.response_head = Duration::from_millis(200))
        .start();
    let response = rig.ask(GET);
    assert_eq!(response.status(), 504);
    assert!(
        response.text().starts_with("response_timeout"),
        "{:?}",
        response.text()
    );
    assert_eq!(
        backend.requests().len(),
        1,
        "a slow backend is not asked twice"
    );
}

/// The kernel of a frozen backend accepts connections, and nobody reads what comes on them.
#[test]
fn frozen_backends_cost_no_second_request_a_second() {
    let frozen = Backend::scripted(|mut visit| {
        visit.wire.rest();
    });
    let backend = Backend::saying(OK);
    let rig = setup(&[frozen.address, backend.address])
        .pool(|pool| pool.timeouts.response_head = Duration::from_millis(100))
        .start();
    let mut client = rig.client();
    let statuses: Vec<u16> = (0..40).map(|_| client.ask(GET).status()).collect();
    let late = statuses.iter().filter(|&&status| status == 504).count();
    assert_eq!(late, 1, "{statuses:?}");
    assert_eq!(rig.pool().backends[0].requests_total, 1);
}

/// One answer that takes too long says nothing against a backend that gives others.
#[test]
fn backends_that_answer_others_meanwhile_are_not_left_out() {
    let backends = [(); 2].map(|()| {
        Backend::scripted(|mut visit| {
            while let Some(request) = visit.request() {
                if request.line().contains("/slow") {
                    visit.wire.rest();
                    return;
                }
                visit.wire.send(OK);
            }
        })
    });
    let rig = setup(&[backends[0].address, backends[1].address])
        .pool(|pool| pool.timeouts.response_head = Duration::from_millis(500))
        .start();
    let mut slow = rig.client();
    slow.send(GET.replacen('/', "/slow", 1));
    wait_until("it is there", || {
        rig.pool().backends[0].active_requests == 1
    });
    let mut client = rig.client();
    let asked_at = Instant::now();
    let mut asked = 0;
    while asked_at.elapsed() < Duration::from_millis(300) {
        assert_eq!(client.ask(GET).status(), 200);
        asked += 1;
    }
    assert_eq!(slow.response().status(), 504);
    for _ in 0..10 {
        assert_eq!(client.ask(GET).status(), 200);
    }
    let requests = rig.pool().backends[0].requests_total;
    assert!(requests >= asked / 2 + 5, "{requests} of {asked}");
}

#[test]
fn slow_uploads_do_not_use_up_the_response_timeout() {
    let backend = Backend::saying(OK);
    let rig = setup(&[backend.address])
        .pool(|pool| pool.timeouts.response_head = Duration::from_millis(200))
        .start();
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    for byte in b"abcdefgh" {
        client.send([*byte]);
        // The pace of a slow client, not a wait for anything.
        std::thread::sleep(Duration::from_millis(60));
    }
    assert_eq!(client.response().status(), 200);
}

#[test]
fn connections_that_died_while_kept_are_not_used() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    for method in ["GET", "POST", "GET", "POST"] {
        let mut client = rig.client();
        assert_eq!(client.ask(GET).status(), 200);
        backend.hang_up();
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.ask(&request).status(), 200, "{method}");
    }
}

#[test]
fn reused_connections_that_end_unanswered_are_replaced_for_harmless_requests() {
    let backend = Backend::scripted(|mut visit| {
        let answers = if visit.number == 0 { 1 } else { usize::MAX };
        for _ in 0..answers {
            if visit.request().is_none() {
                return;
            }
            visit.wire.send(OK);
        }
        visit.request();
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    assert_eq!(client.ask(GET).status(), 200);
    assert_eq!(
        client.ask(GET).status(),
        200,
        "asked again on a fresh connection"
    );
    assert_eq!(backend.requests().len(), 3);
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn requests_that_may_have_been_acted_on_are_not_repeated() {
    let backend = Backend::scripted(|mut visit| drop(visit.request()));
    let rig = setup(&[backend.address, backend.address]).start();
    let response = rig.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(response.status(), 502);
    assert!(
        response.text().starts_with("connection_lost"),
        "{:?}",
        response.text()
    );
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn backend_learns_that_the_client_has_gone() {
    let gone: Arc<Mutex<bool>> = Arc::default();
    let seen = Arc::clone(&gone);
    let backend = Backend::scripted(move |mut visit| {
        visit.request();
        visit.wire.rest();
        *seen.lock().unwrap() = true;
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send(GET);
    wait_until("the request arrives", || !backend.requests().is_empty());
    drop(client);
    wait_until("the upstream connection is closed", || {
        *gone.lock().unwrap()
    });
    assert_eq!(rig.pool().backends[0].active_requests, 0);
}

#[test]
fn abandoned_bodies_are_not_reused() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit
            .wire
            .send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        let chunk = vec![b'x'; 100_000];
        while std::io::Write::write_all(&mut visit.wire.stream, &chunk).is_ok() {}
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send(GET);
    client.head().unwrap();
    drop(client);
    wait_until("the exchange ends", || {
        rig.pool().backends[0].active_requests == 0
    });
    let mut client = rig.client();
    client.send(GET);
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn backends_that_do_not_accept_in_time_become_504() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    socket2::SockRef::from(&listener).listen(0).unwrap();
    let filling: Vec<_> = (0..4)
        .map(|_| {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            socket
        })
        .collect();
    let rig = setup(&[address])
        .pool(|pool| pool.timeouts.connect = Duration::from_millis(200))
        .start();
    let response = rig.ask(GET);
    assert_eq!(response.status(), 504);
    assert!(
        response.text().starts_with("connect_timeout"),
        "{:?}",
        response.text()
    );
    drop(filling);
}

#[test]
fn retries_have_a_budget() {
    let dying = Backend::scripted(|mut visit| drop(visit.request()));
    let rig = setup(&[dying.address, dying.address]).start();
    for _ in 0..300 {
        assert_eq!(rig.ask(GET).status(), 502);
    }
    let retries = rig.pool().retries_total;
    // A burst of 100, a fifth of 300, and three a second.
    assert!((100..200).contains(&retries), "{retries} retries");
    assert_eq!(dying.requests().len() as u64, 300 + retries);
}

const OTHER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno";
