//! Either side may end, or half-end, or answer while the other still speaks.

use std::io::Write;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::{Backend, Visit, Wire, wait_until};
use crate::rig::{GET, OK, WEBSOCKET, rig, setup};

/// How answers that fall silent begin, by their framing.
const SILENT: [&str; 3] = [
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\ndata: 1\n\n",
];

#[derive(Clone, Copy, Debug)]
enum Leaves {
    Ends,
    Resets,
}

fn leave(client: Wire, leaves: Leaves) {
    match leaves {
        Leaves::Ends => {}
        Leaves::Resets => {
            let socket = socket2::SockRef::from(&client.stream);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
}

/// A first request, and one on a kept connection.
fn clients(rig: &crate::rig::Rig) -> [Wire; 2] {
    let mut kept = rig.client();
    kept.ask(&GET.replacen('/', "/first", 1));
    [rig.client(), kept]
}

#[test]
fn backends_hear_of_clients_that_leave_a_silent_answer() {
    for answer in SILENT {
        for leaves in [Leaves::Resets, Leaves::Ends] {
            for which in 0..2 {
                let ended: Arc<AtomicUsize> = Arc::default();
                let seen = Arc::clone(&ended);
                let backend = Backend::scripted(move |mut visit| {
                    while let Some(request) = visit.request() {
                        if request.line().contains("/first") {
                            visit.wire.send(OK);
                            continue;
                        }
                        visit.wire.send(answer);
                        visit.wire.rest();
                        seen.fetch_add(1, SeqCst);
                    }
                });
                let rig = setup(&[backend.address])
                    .pool(|pool| pool.backends[0].requests = Some(1))
                    .start();
                let [first, kept] = clients(&rig);
                let mut client = if which == 0 { first } else { kept };
                client.send(GET);
                client.head().unwrap();
                client.take(9);
                let left_at = Instant::now();
                leave(client, leaves);
                wait_until("the backend hears of it", || ended.load(SeqCst) == 1);
                let after = left_at.elapsed();
                assert!(
                    after < Duration::from_millis(1000),
                    "{leaves:?}, {answer:?}, {which}: after {after:?}"
                );
                wait_until("its room is free", || {
                    rig.pool().backends[0].active_requests == 0
                });
            }
        }
    }
}

/// Of a client that has sent more than is read, nothing is read that would say that it has gone.
#[test]
fn backends_hear_of_clients_that_reset_while_they_are_not_read() {
    let body = 30_000_000;
    let stuck = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {body}\r\n\r\n");
    let ahead = GET.repeat(3000);
    for (request, more) in [(stuck.as_str(), body), (ahead.as_str(), 0)] {
        for answer in ["", SILENT[2]] {
            let backend = Backend::scripted(move |mut visit| {
                visit.wire.head();
                visit.wire.send(answer);
                std::thread::sleep(Duration::from_secs(20));
            });
            let rig = setup(&[backend.address])
                .pool(|pool| pool.timeouts.response_head = Duration::from_secs(60))
                .start();
            let client = rig.client();
            client.stream.set_nonblocking(true).unwrap();
            let _ = (&client.stream).write(request.as_bytes());
            let piece = vec![b'x'; 1_000_000];
            let mut written_at = Instant::now();
            while more > 0 && written_at.elapsed() < Duration::from_millis(300) {
                match (&client.stream).write(&piece) {
                    Ok(1..) => written_at = Instant::now(),
                    Ok(_) | Err(_) => std::thread::sleep(Duration::from_millis(10)),
                }
            }
            wait_until("the request is there", || {
                rig.pool().backends[0].active_requests == 1
            });
            let left_at = Instant::now();
            leave(client, Leaves::Resets);
            wait_until("its room is free", || {
                rig.pool().backends[0].active_requests == 0
            });
            let after = left_at.elapsed();
            assert!(
                after < Duration::from_millis(1500),
                "{more}, {answer:?}: after {after:?}"
            );
        }
    }
}

/// RFC 9112 §9.6: the end of one direction is not the end of the other.
#[test]
fn half_closed_clients_get_all_of_an_answer_that_goes_on() {
    let half_closed: Arc<AtomicUsize> = Arc::default();
    let seen = Arc::clone(&half_closed);
    let backend = Backend::scripted(move |mut visit| {
        visit.request();
        wait_until("the client ends its direction", || seen.load(SeqCst) == 1);
        visit
            .wire
            .send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
        for piece in ["a", "b", "c", "d", "e", "f"] {
            std::thread::sleep(Duration::from_millis(600));
            visit.wire.send(piece);
        }
        visit.wire.rest();
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send(GET);
    client.stream.shutdown(Shutdown::Write).unwrap();
    half_closed.store(1, SeqCst);
    assert_eq!(client.response().text(), "abcdef");
}

/// Nobody who has begun to read ends its direction and reads on, but a reader may be slow to end
/// it: what flows is not cut.
#[test]
fn clients_that_end_their_direction_in_an_answer_get_all_that_flows() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit
            .wire
            .send("HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nx");
        for _ in 1..60 {
            std::thread::sleep(Duration::from_millis(20));
            visit.wire.send("x");
        }
        visit.wire.rest();
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send(GET);
    client.head().unwrap();
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.take(60).len(), 60);
}

/// Answers at the head, then reads the rest; says how much came.
fn answers_early(visit: &mut Visit, answer: &str, came: &Mutex<Vec<usize>>) {
    visit.wire.head();
    visit.wire.send(answer);
    let body = visit.wire.take(100_000);
    came.lock().unwrap().push(body.len());
    visit.wire.rest();
}

#[test]
fn early_success_says_that_it_closes_and_the_upload_goes_on() {
    let came: Arc<Mutex<Vec<usize>>> = Arc::default();
    let seen = Arc::clone(&came);
    let backend = Backend::scripted(move |mut visit| answers_early(&mut visit, OK, &seen));
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    client.send(vec![b'x'; 50_000]);
    let response = client.response();
    assert_eq!(response.status(), 200);
    assert_eq!(response.field("connection").as_deref(), Some("close"));
    client.send(vec![b'x'; 50_000]);
    assert!(client.is_ended());
    wait_until("the whole body has come", || {
        *came.lock().unwrap() == [100_000]
    });
    assert_eq!(backend.accepted(), 1, "nothing else was sent on it");
}

#[test]
fn the_rest_of_a_request_that_was_answered_is_waited_for_no_longer_than_it_may() {
    let came: Arc<Mutex<Vec<usize>>> = Arc::default();
    let seen = Arc::clone(&came);
    let backend = Backend::scripted(move |mut visit| answers_early(&mut visit, OK, &seen));
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx");
    assert_eq!(client.response().status(), 200);
    let since = Instant::now();
    std::thread::sleep(Duration::from_millis(3500));
    client.send("x");
    assert!(client.is_ended());
    let lasted = since.elapsed();
    let hoped = Duration::from_millis(8500)..Duration::from_millis(9900);
    assert!(hoped.contains(&lasted), "after {lasted:?}");
    wait_until("the backend hears of it", || *came.lock().unwrap() == [2]);
}

/// A backend that takes the body for a request of its own answers that, too: to nobody.
#[test]
fn connections_on_which_a_backend_has_answered_early_are_not_used_again() {
    for answer in [OK, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"] {
        let backend = Backend::scripted(move |mut visit| {
            while let Some(head) = visit.wire.head() {
                visit.wire.send(if head.contains("POST") {
                    answer
                } else {
                    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
                });
            }
        });
        let rig = rig(&[&backend]);
        let mut client = rig.client();
        let body = "GET /stray HTTP/1.1\r\nHost: a\r\n\r\n";
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.send(head);
        client.response();
        let _ = client.stream.write_all(body.as_bytes());
        client.rest();
        assert_eq!(rig.ask(GET).status(), 200);
        assert_eq!(backend.accepted(), 2, "{answer:?}: a fresh connection");
    }
}

#[test]
fn refusals_are_read_by_clients_that_still_upload_slowly() {
    let backend = Backend::saying(OK);
    let rig = setup(&[backend.address])
        .listener(|listener| listener.limits.body_bytes = Some(1_000_000))
        .start();
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
    for _ in 0..35 {
        client.send([b'x'; 20_000]);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(client.response().status(), 413);
}

#[test]
fn tunnels_that_one_side_has_ended_end_in_the_time_of_the_other() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        if visit.number == 0 {
            visit.wire.stream.shutdown(Shutdown::Write).unwrap();
        }
        visit.wire.rest();
        std::thread::sleep(Duration::from_secs(15));
    });
    let (client_fin, backend_fin) = (Duration::from_secs(1), Duration::from_secs(3));
    let rig = setup(&[backend.address])
        .listener(|listener| listener.timeouts.client_fin = client_fin)
        .pool(|pool| pool.timeouts.backend_fin = backend_fin)
        .start();
    let mut open = Vec::new();
    let began_at = Instant::now();
    for number in 0..2 {
        let mut client = rig.client();
        client.send(WEBSOCKET);
        assert_eq!(client.try_response("GET").unwrap().status(), 101);
        if number == 1 {
            client.stream.shutdown(Shutdown::Write).unwrap();
        }
        open.push(client);
    }
    for (left, within) in [(1, client_fin), (0, backend_fin)] {
        wait_until("one has ended", || {
            rig.pool().backends[0].active_requests == left
        });
        assert!(began_at.elapsed() >= within, "{left} left");
        assert!(began_at.elapsed() < 2 * within + Duration::from_secs(1));
    }
}
