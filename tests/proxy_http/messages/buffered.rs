//! Bodies of requests that are read whole before a backend is asked: in memory, then on the disk.
//!
//! The bytes of a body say where they stand, so that one that is lost, doubled or moved is found.

mod crowd;

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use evenkeel::config::RequestBuffering;
use evenkeel::ipc::message::Secrets;
use evenkeel::process::proxy::Given;

use crate::common::{Backend, Message, Wire, wait_until};
use crate::rig::{Rig, Setup, setup};

/// Says how long the body was that it got, and how it was framed; wrong ones are not answered.
fn counting() -> Backend {
    Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            assert!(request.body == body(request.body.len()), "another body");
            let framing = ["content-length", "transfer-encoding"];
            let framing = framing.map(|name| request.field(name).unwrap_or_default());
            visit.wire.send(ok(&format!(
                "{} by {}",
                request.body.len(),
                framing.concat()
            )));
        }
    })
}

fn ok(text: &str) -> String {
    let len = text.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{text}")
}

/// Bytes that say where they are.
fn body(len: usize) -> Vec<u8> {
    let words = (0..len.div_ceil(8)).flat_map(|at| (at as u64).to_be_bytes());
    words.take(len).collect()
}

fn buffering(memory: usize, disk: u64, backends: &[&Backend]) -> Setup {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    let buffering = RequestBuffering { memory, disk };
    setup(&addresses).pool(|pool| pool.buffer_requests = Some(buffering))
}

/// A proxy with a file for bodies, and that file.
fn start(setup: Setup) -> (Rig, File) {
    let file = tempfile::tempfile().unwrap();
    let seen = file.try_clone().unwrap();
    (start_with(setup, Some(file.into())), seen)
}

fn start_with(setup: Setup, file: Option<OwnedFd>) -> Rig {
    setup.start_with(Given::new(Secrets::default(), Vec::new(), file))
}

fn rig(backends: &[&Backend]) -> (Rig, File) {
    start(buffering(64 * KIB, 16 * MIB, backends))
}

fn head(method: &str, framing: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")
}

fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for chunk in body.chunks(size) {
        text.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        text.extend(chunk);
        text.extend(b"\r\n");
    }
    text.extend(b"0\r\nX-Trailer: 1\r\n\r\n");
    text
}

/// Waits until nothing is kept any more, in memory or on the disk.
fn is_empty(rig: &Rig, file: &File) {
    wait_until("nothing is kept", || {
        let pool = rig.pool();
        pool.buffered_requests == 0
            && pool.buffered_disk_bytes == 0
            && file.metadata().unwrap().len() == 0
    });
}

#[test]
fn bodies_of_all_sizes_come_whole_with_their_length_and_nothing_is_left() {
    let backend = counting();
    let (rig, file) = rig(&[&backend]);
    let sizes = [
        1,
        100,
        64 * KIB - 1,
        64 * KIB,
        64 * KIB + 1,
        128 * KIB,
        300_001,
        3_000_000,
    ];
    let mut client = rig.client();
    for size in sizes {
        let body = body(size);
        client.send(head("POST", &format!("Content-Length: {size}")));
        client.send(&body);
        assert_eq!(client.response().text(), format!("{size} by {size}"));
        for chunk in [1021, 70_000] {
            client.send(head(
                "POST",
                "Transfer-Encoding: chunked\r\nTrailer: X-Trailer",
            ));
            client.send(chunks(&body, chunk));
            assert_eq!(client.response().text(), format!("{size} by {size}"));
        }
    }
    client.send(head("POST", "Transfer-Encoding: chunked"));
    client.send(chunks(b"", 1));
    assert_eq!(client.response().text(), "0 by 0");
    let trailers = |request: &Message| request.head.contains("railer");
    assert!(!backend.requests().iter().any(trailers));
    is_empty(&rig, &file);
    assert_eq!(rig.pool().unbuffered_total, 0);
}

#[test]
fn no_backend_is_asked_before_the_body_is_whole() {
    let backend = counting();
    let (rig, file) = rig(&[&backend]);
    let body = body(200_000);
    let mut client = rig.client();
    client.send(head("POST", "Content-Length: 200000"));
    for piece in body[..199_999].chunks(40_000) {
        client.send(piece);
    }
    wait_until("most of it is on the disk", || {
        rig.pool().buffered_disk_bytes >= 128 * KIB as u64
    });
    assert_eq!(rig.pool().buffered_requests, 1);
    assert_eq!((backend.accepted(), active(&rig)), (0, 0));
    client.send(&body[199_999..]);
    assert_eq!(client.response().text(), "200000 by 200000");
    is_empty(&rig, &file);
}

#[test]
fn what_is_sent_behind_a_body_is_the_next_request() {
    let backend = counting();
    let (rig, file) = rig(&[&backend]);
    let mut client = rig.client();
    let mut text = Vec::new();
    for (size, chunked) in [(100_000, false), (10, true), (70_000, true), (5, false)] {
        let framing = match chunked {
            true => "Transfer-Encoding: chunked".to_owned(),
            false => format!("Content-Length: {size}"),
        };
        text.extend(head("PUT", &framing).into_bytes());
        text.extend(match chunked {
            true => chunks(&body(size), 999),
            false => body(size),
        });
    }
    text.extend(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send(&text);
    for hoped in [
        "100000 by 100000",
        "10 by 10",
        "70000 by 70000",
        "5 by 5",
        "0 by ",
    ] {
        assert_eq!(client.response().text(), hoped);
    }
    is_empty(&rig, &file);
}

/// What is kept can be sent twice: a PUT that is lost goes to another backend, whole.
#[test]
fn a_put_that_is_lost_goes_to_another_backend_and_a_post_does_not() {
    let losing = Backend::scripted(|mut visit| {
        visit.request();
    });
    let good = counting();
    for (method, hoped) in [("PUT", 200), ("POST", 502)] {
        for size in [10, 64 * KIB, 500_000] {
            let (rig, file) = rig(&[&losing, &good]);
            let framing = format!("Content-Length: {size}");
            let mut client = rig.client();
            client.send(head(method, &framing));
            client.send(body(size));
            // What the client sends behind it waits for both.
            client.send(head(method, &framing));
            let answer = client.response();
            assert_eq!(answer.status(), hoped, "{method} {size}");
            if hoped == 200 {
                assert_eq!(answer.text(), format!("{size} by {size}"));
            }
            client.send(body(size));
            let answer = client.response();
            assert_eq!(answer.text(), format!("{size} by {size}"), "{method}");
            drop(client);
            is_empty(&rig, &file);
        }
    }
}

#[test]
fn a_client_that_leaves_within_its_body_leaves_nothing() {
    let backend = counting();
    let (rig, file) = rig(&[&backend]);
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        for size in [10, 300_000] {
            let mut client = rig.client();
            client.send(head("POST", framing));
            match framing.contains("chunked") {
                true => client.send(&chunks(&body(size), 5000)[..size]),
                false => client.send(body(size)),
            }
            wait_until("it has begun", || rig.pool().buffered_requests == 1);
            drop(client);
            is_empty(&rig, &file);
        }
    }
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn leave_to_send_a_body_is_given_before_a_backend_is_asked() {
    let backend = counting();
    let (rig, _file) = rig(&[&backend]);
    let mut client = rig.client();
    client.send(head(
        "POST",
        "Content-Length: 100000\r\nExpect: 100-continue",
    ));
    assert_eq!(client.head().unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(backend.accepted(), 0);
    client.send(body(100_000));
    assert_eq!(client.response().text(), "100000 by 100000");
    assert_eq!(backend.last_request().field("expect"), None);
}

#[test]
fn bodies_that_can_never_be_kept_are_too_large() {
    let backend = counting();
    let (rig, file) = start(buffering(64 * KIB, MIB, &[&backend]));
    let most = 64 * KIB + MIB as usize;
    let answer = rig.ask(&head("POST", &format!("Content-Length: {}", most + 1)));
    assert_eq!(answer.status(), 413);
    assert!(answer.text().starts_with("body_too_large: "), "{answer:?}");
    let mut client = rig.client();
    client.send(head("POST", "Transfer-Encoding: chunked"));
    let text = chunks(&body(most + 1), 60_000);
    // It may be answered before all of it is read.
    let _ = std::io::Write::write_all(&mut client.stream, &text);
    assert_eq!(client.response().status(), 413);
    let mut client = rig.client();
    client.send(head("POST", &format!("Content-Length: {most}")));
    client.send(body(most));
    assert_eq!(client.response().text(), format!("{most} by {most}"));
    is_empty(&rig, &file);
    assert_eq!(rig.pool().unbuffered_total, 0);
}

/// The limit of the listener holds as well.
#[test]
fn bodies_beyond_the_limit_are_too_large_before_a_backend_is_asked() {
    let backend = counting();
    let setup = buffering(64 * KIB, 16 * MIB, &[&backend]);
    let (rig, file) = start(setup.listener(|it| it.limits.body_bytes = Some(100_000)));
    let mut client = rig.client();
    client.send(head("POST", "Transfer-Encoding: chunked"));
    let _ = std::io::Write::write_all(&mut client.stream, &chunks(&body(100_001), 3000));
    assert_eq!(client.response().status(), 413);
    is_empty(&rig, &file);
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn a_pool_has_so_much_of_the_disk_and_the_next_may_have_it_afterwards() {
    let backend = counting();
    let (rig, file) = start(buffering(64 * KIB, MIB, &[&backend]));
    let mut first = rig.client();
    first.send(head("POST", "Content-Length: 1000000"));
    first.send(body(999_999));
    wait_until("it is on the disk", || {
        rig.pool().buffered_disk_bytes >= 14 * 64 * KIB as u64
    });
    let mut second = rig.client();
    second.send(head("POST", "Content-Length: 400000"));
    let _ = std::io::Write::write_all(&mut second.stream, &body(400_000));
    let answer = second.response();
    assert_eq!(answer.status(), 507);
    assert!(answer.text().starts_with("disk_full: "), "{answer:?}");
    assert_eq!(rig.pool().unbuffered_total, 1);
    // What fits into memory needs no disk.
    let mut small = rig.client();
    small.send(head("POST", "Content-Length: 65536"));
    small.send(body(65_536));
    assert_eq!(small.response().text(), "65536 by 65536");
    first.send(&body(1_000_000)[999_999..]);
    assert_eq!(first.response().text(), "1000000 by 1000000");
    is_empty(&rig, &file);
    let mut third = rig.client();
    third.send(head("POST", "Content-Length: 400000"));
    third.send(body(400_000));
    assert_eq!(third.response().text(), "400000 by 400000");
}

/// A full disk, one that fails, and none at all.
#[test]
fn a_disk_that_does_not_take_a_body_has_a_word_and_costs_nobody_else() {
    let full = File::options().read(true).write(true).open("/dev/full");
    let read_only = File::open("/dev/null");
    for (file, status, word) in [
        (Some(full.unwrap()), 507, "disk_full: "),
        (Some(read_only.unwrap()), 500, "disk_failed: "),
        (None, 500, "disk_failed: "),
    ] {
        let backend = counting();
        let setup = buffering(64 * KIB, 16 * MIB, &[&backend]);
        let rig = start_with(setup, file.map(OwnedFd::from));
        for _ in 0..3 {
            let mut client = rig.client();
            client.send(head("POST", "Content-Length: 300000"));
            let _ = std::io::Write::write_all(&mut client.stream, &body(300_000));
            let answer = client.response();
            assert_eq!(answer.status(), status);
            assert!(answer.text().starts_with(word), "{answer:?}");
            let mut small = rig.client();
            small.send(head("POST", "Content-Length: 60000"));
            small.send(body(60_000));
            assert_eq!(small.response().text(), "60000 by 60000");
        }
        wait_until("nothing is kept", || {
            let pool = rig.pool();
            (pool.buffered_requests, pool.buffered_disk_bytes) == (0, 0)
        });
        assert_eq!(backend.requests().len(), 3);
    }
}

#[test]
fn without_a_disk_what_does_not_fit_into_memory_is_too_large() {
    let backend = counting();
    let rig = start_with(buffering(256 * KIB, 0, &[&backend]), None);
    let most = 256 * KIB;
    let mut client = rig.client();
    client.send(head("POST", &format!("Content-Length: {most}")));
    client.send(body(most));
    assert_eq!(client.response().text(), format!("{most} by {most}"));
    client.send(head("POST", &format!("Content-Length: {}", most + 1)));
    assert_eq!(client.response().status(), 413);
}

#[test]
fn a_client_that_does_not_go_on_is_told_so() {
    let backend = counting();
    let setup = buffering(64 * KIB, 16 * MIB, &[&backend]);
    let (rig, file) = start(setup.client_timeouts(30_000, 300));
    let mut client = rig.client();
    client.send(head("POST", "Content-Length: 300000"));
    client.send(body(200_000));
    let answer = client.response();
    assert_eq!(answer.status(), 408);
    drop(client);
    is_empty(&rig, &file);
    assert_eq!(backend.accepted(), 0);
}

/// It may be answered before the body has come, and it may never end.
#[test]
fn calls_of_grpc_are_asked_as_they_come() {
    let backend = Backend::scripted(|mut visit| {
        while visit.wire.head().is_some() {
            visit.wire.send(ok("early"));
        }
    });
    let (rig, _file) = rig(&[&backend]);
    let mut client = rig.client();
    client.send(head(
        "POST",
        "Transfer-Encoding: chunked\r\nContent-Type: application/grpc+proto",
    ));
    assert_eq!(client.response().text(), "early");
}

/// Its body was read to its end: the connection is kept, whatever the backend has taken.
#[test]
fn an_early_answer_keeps_the_connection_of_the_client() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    let backend = Backend::scripted(|mut visit| {
        while visit.wire.head().is_some() {
            SEEN.fetch_add(1, SeqCst);
            visit
                .wire
                .send("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
            visit
                .wire
                .stream
                .set_read_timeout(Some(Duration::from_millis(50)))
                .unwrap();
            visit.wire.take(10);
        }
    });
    let (rig, file) = rig(&[&backend]);
    let mut client = rig.client();
    for round in 1..=3 {
        client.send(head("PUT", "Content-Length: 5000000"));
        client.send(body(5_000_000));
        let answer = client.response();
        assert_eq!((answer.status(), SEEN.load(SeqCst)), (403, round));
        assert_eq!(answer.field("connection"), None, "{answer:?}");
    }
    is_empty(&rig, &file);
}

/// While no backend has room, the body is kept and the client may leave.
#[test]
fn whole_requests_wait_for_room_and_leave_with_their_clients() {
    let backend = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            if request.head.starts_with("GET") {
                visit.wire.stream.set_read_timeout(None).unwrap();
                std::thread::sleep(Duration::from_millis(700));
            }
            visit.wire.send(ok(&request.body.len().to_string()));
        }
    });
    let setup = buffering(64 * KIB, 16 * MIB, &[&backend]);
    let (rig, file) = start(setup.pool(|pool| pool.backends[0].requests = Some(1)));
    let mut slow = rig.client();
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the backend is busy", || active(&rig) == 1);
    let waiting = |rig: &Rig| -> Wire {
        let mut client = rig.client();
        client.send(head("POST", "Content-Length: 200000"));
        client.send(body(200_000));
        client
    };
    let leaves = waiting(&rig);
    let mut stays = waiting(&rig);
    wait_until("both wait", || rig.pool().queued_requests == 2);
    assert_eq!(rig.pool().buffered_requests, 2);
    drop(leaves);
    wait_until("one has left", || rig.pool().buffered_requests == 1);
    assert_eq!(slow.response().text(), "0");
    assert_eq!(stays.response().text(), "200000");
    is_empty(&rig, &file);
}

/// One that was to go to a backend which cannot be connected to waits for another then.
#[test]
fn what_is_sent_while_a_request_waits_again_is_the_next_request() {
    let (_socket, refusing) = crate::common::refusing_address();
    for size in [10, 200_000] {
        let told = Arc::new(AtomicBool::new(false));
        let wait_for = Arc::clone(&told);
        let busy = Backend::scripted(move |mut visit| {
            while let Some(request) = visit.request() {
                if request.line().starts_with("GET") {
                    wait_until("it is told", || wait_for.load(SeqCst));
                }
                assert!(request.body == body(request.body.len()), "another body");
                visit.wire.send(ok(&request.body.len().to_string()));
            }
        });
        let limited = setup(&[busy.address, refusing]).pool(|pool| {
            pool.buffer_requests = Some(RequestBuffering::default());
            let backends = pool.backends.iter_mut();
            backends.for_each(|backend| backend.requests = Some(1));
        });
        let (rig, file) = start(limited);
        let mut first = rig.client();
        first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_until("there is no room", || active(&rig) == 1);
        let mut client = rig.client();
        client.send(head("PUT", &format!("Content-Length: {size}")));
        client.send(body(size));
        wait_until("it waits", || rig.pool().queued_requests == 1);
        assert_eq!(
            rig.pool().backends[1].failures_total,
            1,
            "it was tried there"
        );
        client.send(head("POST", "Content-Length: 41"));
        wait_until("that has been read", || unread(&client.stream) == 0);
        told.store(true, SeqCst);
        assert_eq!(first.response().text(), "0");
        assert_eq!(client.response().text(), size.to_string());
        client.send(body(41));
        assert_eq!(client.response().text(), "41");
        is_empty(&rig, &file);
    }
}

/// Returns how much of what was sent the other end has not read.
fn unread(stream: &TcpStream) -> u64 {
    let (own, peer) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let hex = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => {
            let ip = u32::from_ne_bytes(ip.octets());
            format!("{ip:08X}:{:04X}", address.port())
        }
        IpAddr::V6(_) => panic!("this is IPv4"),
    };
    let ends = format!("{} {}", hex(peer), hex(own));
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let line = table.lines().find(|line| line.contains(&ends)).unwrap();
    let queues = line.split_whitespace().nth(4).unwrap();
    u64::from_str_radix(queues.split(':').nth(1).unwrap(), 16).unwrap()
}

/// Only the backend is waited for, and not for long.
#[test]
fn an_early_yes_keeps_nobody_waiting_for_what_its_backend_does_not_take() {
    let backend = Backend::scripted(|mut visit| {
        while visit.wire.head().is_some() {
            visit.wire.send(ok("early"));
            visit.wire.stream.set_read_timeout(None).unwrap();
            if visit.number == 0 {
                std::thread::sleep(Duration::from_secs(20));
            }
        }
    });
    let (rig, file) = rig(&[&backend]);
    let mut client = rig.client();
    client.send(head("POST", "Content-Length: 12000000"));
    client.send(body(12_000_000));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "early");
    let answered_at = Instant::now();
    assert_eq!(client.response().text(), "early");
    assert!(answered_at.elapsed() < Duration::from_secs(4));
    is_empty(&rig, &file);
}

#[test]
fn a_client_that_ends_its_direction_while_its_backend_takes_nothing_is_let_go() {
    let backend = Backend::scripted(|mut visit| {
        visit.wire.head();
        std::thread::sleep(Duration::from_secs(20));
    });
    let setup = buffering(64 * KIB, 16 * MIB, &[&backend]);
    let (rig, file) =
        start(setup.pool(|pool| pool.timeouts.response_head = Duration::from_secs(60)));
    let mut client = rig.client();
    client.send(head("POST", "Content-Length: 12000000"));
    client.send(body(12_000_000));
    wait_until("it is being sent", || active(&rig) == 1);
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    wait_until("it is let go", || active(&rig) == 0);
    is_empty(&rig, &file);
}

fn active(rig: &Rig) -> u64 {
    rig.pool().backends[0].active_requests
}

const KIB: usize = 1024;
const MIB: u64 = 1024 * 1024;
