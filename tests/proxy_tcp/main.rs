//! Connections that carry bytes through the real proxy, on loopback: both directions and their
//! ends, names in TLS that is not ended, and what happens where there is no backend. TLS that the
//! proxy ends is in `proxy_tls`; curl, nginx and openssl are in `netns-tests/clients/bytes.rs`.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "not all of it is needed")]
mod common;
#[path = "../proxy_http/rig.rs"]
#[expect(dead_code, reason = "not all of it is needed")]
mod rig;
mod crowd;
mod names;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use evenkeel::config::{Mode, PoolProtocol};

use common::{Backend, Visit, Wire, wait_until};
use rig::{Rig, Setup, setup};

/// One that carries bytes.
fn carrying(backends: &[SocketAddr]) -> Setup {
    let setup = setup(backends).listener(|listener| listener.mode = Mode::Tcp);
    setup.pool(|pool| pool.protocol = PoolProtocol::Tcp)
}

/// Says back what it hears, to the end of that.
fn echo(mut visit: Visit) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(len @ 1..) = visit.wire.stream.read(&mut buffer) {
        if visit.wire.stream.write_all(&buffer[..len]).is_err() {
            return;
        }
    }
    let _ = visit.wire.stream.shutdown(Shutdown::Write);
}

/// Held by those that count the pipes of this process, and those that have much flow.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn active(rig: &Rig) -> u64 {
    rig.pool().backends[0].active_requests
}

#[test]
fn who_speaks_first_is_nobodys_business() {
    let backend = Backend::scripted(|mut visit| {
        visit.wire.send("220 ready\r\n");
        echo(visit);
    });
    let rig = carrying(&[backend.address]).start();
    let mut wire = rig.client();
    assert_eq!(wire.take(11), b"220 ready\r\n");
    // Whatever it is: no byte of it is looked at.
    for said in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\0\xff\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        wire.send(said);
        assert_eq!(wire.take(said.len()), said);
    }
    let status = rig.proxy.status();
    assert_eq!(status.0[0].requests_total, 1, "a connection counts as one");
    assert_eq!(active(&rig), 1);
    drop(wire);
    wait_until("it is over", || active(&rig) == 0);
}

#[test]
fn much_comes_whole_both_ways_at_once_and_the_ends_are_passed_on() {
    let _alone = alone();
    let backend = Backend::scripted(echo);
    let rig = carrying(&[backend.address]).start();
    for len in [0, 1, 65_535, 65_536, 65_537, 20_000_000] {
        let bytes: Vec<u8> = (0..len).map(|at: u32| (at / 7) as u8).collect();
        let mut wire = rig.client();
        let mut writer = wire.stream.try_clone().unwrap();
        let sent = bytes.clone();
        let writing = std::thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        assert!(wire.rest() == bytes, "{len}");
        writing.join().unwrap();
    }
    wait_until("all are over", || active(&rig) == 0);
}

/// Who asks and ends its direction still hears the answer, and the other way round.
#[test]
fn one_direction_goes_on_when_the_other_has_ended() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let backend = Backend::scripted(move |mut visit| {
        if visit.number == 0 {
            assert_eq!(visit.wire.rest(), b"question");
            std::thread::sleep(Duration::from_millis(300));
            visit.wire.send("answer");
        } else {
            visit.wire.send("word");
            visit.wire.stream.shutdown(Shutdown::Write).unwrap();
            let rest = visit.wire.rest();
            hears.lock().unwrap().extend(rest);
        }
    });
    let rig = carrying(&[backend.address]).start();
    let mut asking = rig.client();
    asking.send("question");
    asking.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(asking.rest(), b"answer");
    let mut answering = rig.client();
    assert_eq!(answering.rest(), b"word");
    answering.send("and more");
    drop(answering);
    wait_until("it is heard", || *heard.lock().unwrap() == b"and more");
}

#[test]
fn silence_is_bounded_before_and_after_an_end() {
    let backend = Backend::scripted(|mut visit| {
        if visit.number == 1 {
            visit.wire.stream.shutdown(Shutdown::Write).unwrap();
        }
        visit.wire.rest();
        std::thread::sleep(Duration::from_secs(8));
    });
    let [client_fin, backend_fin, tunnel] = [1, 2, 3].map(Duration::from_secs);
    let rig = carrying(&[backend.address])
        .listener(|listener| {
            listener.timeouts.tunnel = tunnel;
            listener.timeouts.client_fin = client_fin;
        })
        .pool(|pool| pool.timeouts.backend_fin = backend_fin)
        .start();
    let began_at = Instant::now();
    let open: Vec<Wire> = (0..3)
        .map(|number| {
            let wire = rig.client();
            wait_until("it is there", || active(&rig) == number + 1);
            if number == 2 {
                wire.stream.shutdown(Shutdown::Write).unwrap();
            }
            wire
        })
        .collect();
    for (left, within) in [(2, client_fin), (1, backend_fin), (0, tunnel)] {
        wait_until("one has ended", || active(&rig) == left);
        assert!(began_at.elapsed() >= within, "{left} left");
        assert!(
            began_at.elapsed() < within + Duration::from_secs(1),
            "{left} left"
        );
    }
    drop(open);
}

/// Nobody may take what has come for the whole.
#[test]
fn a_side_that_fails_has_the_other_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rig = carrying(&[listener.local_addr().unwrap()]).start();
    for fails in ["backend", "client"] {
        let mut client = rig.client();
        let mut backend = Wire::new(listener.accept().unwrap().0);
        backend.send("half");
        assert_eq!(client.take(4), b"half");
        client.send("half");
        assert_eq!(backend.take(4), b"half");
        let mut left = match fails {
            "backend" => {
                reset(backend);
                client
            }
            _ => {
                reset(client);
                backend
            }
        };
        let error = left.stream.read(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{fails}");
    }
}

/// Resets a connection.
fn reset(wire: Wire) {
    let socket = socket2::SockRef::from(&wire.stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn another_backend_is_tried_and_where_there_is_none_the_client_is_reset() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let backend = Backend::scripted(echo);
    let rig = carrying(&[gone, backend.address]).start();
    for _ in 0..4 {
        let mut wire = rig.client();
        wire.send("hello");
        assert_eq!(wire.take(5), b"hello");
    }
    let rig = carrying(&[gone]).start();
    let mut wire = rig.client();
    let error = wire.stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// A client that has asked and ended its direction waits for its answer like any other.
#[test]
fn connections_wait_for_room_in_order_also_half_closed_ones() {
    let backend = Backend::scripted(echo);
    let rig = carrying(&[backend.address])
        .pool(|pool| pool.backends[0].requests = Some(1))
        .start();
    let mut first = rig.client();
    first.send("a");
    assert_eq!(first.take(1), b"a");
    let mut second = rig.client();
    second.send("b");
    second.stream.shutdown(Shutdown::Write).unwrap();
    wait_until("it waits", || rig.pool().queued_requests == 1);
    drop(first);
    assert_eq!(second.rest(), b"b");
    // One that has failed does not wait on.
    let mut first = rig.client();
    first.send("a");
    assert_eq!(first.take(1), b"a");
    let third = rig.client();
    wait_until("it waits", || rig.pool().queued_requests == 1);
    reset(third);
    wait_until("it has gone", || rig.pool().queued_requests == 0);
}

#[test]
fn one_too_many_is_closed_without_a_word() {
    let backend = Backend::scripted(echo);
    let rig = carrying(&[backend.address])
        .listener(|listener| listener.limits.connections_per_client = Some(1))
        .start();
    let mut first = rig.client();
    first.send("a");
    assert_eq!(first.take(1), b"a");
    assert_eq!(rig.client().rest(), b"");
    wait_until("it is counted", || {
        rig.proxy.status().0[0].connections_refused_total == 1
    });
}

/// Pipes are descriptors: idle connections have none, however much they have carried.
#[test]
fn pipes_are_held_only_while_much_comes() {
    let _alone = alone();
    let pipes = || {
        let entries = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links
            .filter(|link| link.to_string_lossy().starts_with("pipe:"))
            .count()
    };
    let backend = Backend::scripted(echo);
    let rig = carrying(&[backend.address]).start();
    let before = pipes();
    let bytes = vec![b'x'; 8_000_000];
    let mut most = 0;
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut wire = rig.client();
        let mut writer = wire.stream.try_clone().unwrap();
        let sent = bytes.clone();
        let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(wire.take(bytes.len()).len(), bytes.len());
        writing.join().unwrap();
        most = most.max(pipes() - before);
        wire.send("a");
        assert_eq!(wire.take(1), b"a");
        open.push(wire);
    }
    assert!(
        (2..=4).contains(&most),
        "two ends of one pipe or two: {most}"
    );
    assert_eq!(active(&rig), 10);
}

#[test]
fn connections_go_on_over_a_reload_whatever_the_listener_is_then() {
    let backend = Backend::scripted(echo);
    let rig = carrying(&[backend.address]).start();
    let mut wire = rig.client();
    wire.send("a");
    assert_eq!(wire.take(1), b"a");
    rig.reload(|config| {
        config.listeners[0].mode = Mode::Http;
        config.pools[0].protocol = PoolProtocol::Http1;
    });
    wire.send("b");
    assert_eq!(wire.take(1), b"b");
    let mut asked = rig.client();
    asked.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // The backend says the request back, which is no answer.
    assert_eq!(asked.response().status(), 502);
}

/// A client that goes on sending to a backend that has ended and gone still gets all of its answer.
#[test]
fn what_a_backend_has_said_comes_whole_though_its_client_still_sends() {
    let _alone = alone();
    let backend = Backend::scripted(|mut visit| {
        visit.wire.take(1);
        visit.wire.send(vec![b'x'; 3_000_000]);
        // Unread bytes make it a reset.
        visit.wire.stream.shutdown(Shutdown::Both).unwrap();
    });
    let rig = carrying(&[backend.address]).start();
    for _ in 0..5 {
        let mut wire = rig.client();
        let mut writer = wire.stream.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            for _ in 0..50 {
                if writer.write_all(&[b'y'; 1000]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(wire.rest().len(), 3_000_000);
        sending.join().unwrap();
    }
}

/// A client that has asked and ended its direction does not take half an answer for the whole.
#[test]
fn half_an_answer_is_not_taken_for_the_whole_by_who_has_ended_its_direction() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rig = carrying(&[listener.local_addr().unwrap()]).start();
    let mut client = rig.client();
    client.send("question");
    client.stream.shutdown(Shutdown::Write).unwrap();
    let mut backend = Wire::new(listener.accept().unwrap().0);
    assert_eq!(backend.rest(), b"question");
    backend.send("half");
    assert_eq!(client.take(4), b"half");
    reset(backend);
    let error = client.stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// The same of what a client has sent, to a backend that has ended its direction.
#[test]
fn half_an_upload_is_not_taken_for_the_whole_by_who_has_ended_its_direction() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rig = carrying(&[listener.local_addr().unwrap()]).start();
    let mut client = rig.client();
    let mut backend = Wire::new(listener.accept().unwrap().0);
    backend.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.is_ended());
    client.send("half");
    assert_eq!(backend.take(4), b"half");
    reset(client);
    let error = backend.stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// Nobody reads from a client whose backend takes nothing; that it has failed is noticed all the
/// same.
#[test]
fn a_client_that_fails_before_a_backend_that_takes_nothing_leaves_its_room() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rig = carrying(&[listener.local_addr().unwrap()]).start();
    let client = rig.client();
    let _backend = listener.accept().unwrap();
    client.stream.set_nonblocking(true).unwrap();
    let mut writer = &client.stream;
    wait_until("it is taken no more", || {
        std::thread::sleep(Duration::from_millis(50));
        let mut taken = 0;
        while let Ok(len @ 1..) = writer.write(&[b'x'; 65_536]) {
            taken += len;
        }
        taken == 0
    });
    assert_eq!(active(&rig), 1);
    reset(client);
    wait_until("it has left", || active(&rig) == 0);
}

/// Their requests are none of what the listener carries now.
#[test]
fn connections_that_asked_are_told_so_when_their_listener_carries_tcp() {
    let backend = Backend::saying(rig::OK);
    let rig = setup(&[backend.address]).start();
    let mut kept = rig.client();
    assert_eq!(kept.ask(rig::GET).status(), 200);
    let mut idle = rig.client();
    rig.reload(|config| {
        config.listeners[0].mode = Mode::Tcp;
        config.pools[0].protocol = PoolProtocol::Tcp;
    });
    for wire in [&mut kept, &mut idle] {
        assert_eq!(wire.ask(rig::GET).status(), 421);
        assert!(wire.is_ended());
    }
    let mut fresh = rig.client();
    fresh.send(rig::GET);
    assert_eq!(fresh.response().status(), 200, "as its backend says");
    assert_eq!(backend.requests().len(), 2);
}
