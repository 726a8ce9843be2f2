//! Connections that end before their exchange does: a client that ends its direction, a backend
//! that breaks off, a client that does not read.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::{Backend, Wire, wait_until};
use crate::rig::{GET, OK, rig, setup};

/// RFC 9112 §9.6: a client that has ended its direction may still wait for its answer.
#[test]
fn half_closed_clients_get_an_answer_that_comes_within_the_grace() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        // A backend's time to think; the client's end arrives long before it is over.
        std::thread::sleep(Duration::from_millis(500));
        visit.wire.send(OK);
        visit.wire.rest();
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send(GET);
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.response().text(), "ok");
    assert!(client.is_ended(), "nothing else can be asked on it");
}

#[test]
fn requests_of_half_closed_clients_are_aborted_after_the_grace() {
    let aborted_at: Arc<Mutex<Option<Instant>>> = Arc::default();
    let seen = Arc::clone(&aborted_at);
    let backend = Backend::scripted(move |mut visit| {
        visit.request();
        visit.wire.rest();
        *seen.lock().unwrap() = Some(Instant::now());
    });
    let rig = setup(&[backend.address])
        .pool(|pool| pool.timeouts.response_head = Duration::from_secs(60))
        .start();
    let mut client = rig.client();
    client.send(GET);
    let began_at = Instant::now();
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.is_ended(), "without an answer");
    wait_until("the upstream request is aborted", || {
        aborted_at.lock().unwrap().is_some()
    });
    let after = aborted_at.lock().unwrap().unwrap() - began_at;
    let grace = Duration::from_secs(2);
    assert!(
        (grace..grace + Duration::from_secs(2)).contains(&after),
        "aborted after {after:?}"
    );
    wait_until("nothing is in flight", || {
        rig.pool().backends[0].active_requests == 0
    });
}

/// RFC 9112 §8: what a client of HTTP/1.0 takes for the end must not be one where the backend broke
/// off.
#[test]
fn answers_that_break_off_are_reset_where_only_the_end_says_that_they_are_whole() {
    let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    for (case, rest, breaks) in [
        ("by the end, reset", "\r\nabc", Breaks::Resets),
        ("chunked, closed", chunked, Breaks::Closes),
        ("chunked, reset", chunked, Breaks::Resets),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let rig = setup(&[listener.local_addr().unwrap()]).start();
        let mut client = rig.client();
        client.send("GET / HTTP/1.0\r\n\r\n");
        let mut backend = Wire::new(listener.accept().unwrap().0);
        backend.request().unwrap();
        backend.send(format!("HTTP/1.1 200 OK\r\n{rest}"));
        assert!(client.head().unwrap().starts_with("HTTP/1.1 200"), "{case}");
        assert_eq!(client.take(3), b"abc", "{case}");
        match breaks {
            Breaks::Closes => drop(backend),
            Breaks::Resets => reset(backend),
        }
        assert_eq!(end_of(&client), Some(ErrorKind::ConnectionReset), "{case}");
    }
}

enum Breaks {
    Closes,
    Resets,
}

#[test]
fn answers_that_end_in_order_are_not_reset() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.send("HTTP/1.1 200 OK\r\n\r\nabc");
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    client.head().unwrap();
    assert_eq!(client.take(3), b"abc");
    assert_eq!(end_of(&client), None);
}

/// A socket that is closed with bytes nobody takes stays in the kernel, with them, for minutes.
#[test]
fn clients_that_do_not_read_are_reset_so_that_the_kernel_keeps_nothing_of_them() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit
            .wire
            .send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        let piece = vec![b'x'; 100_000];
        while std::io::Write::write_all(&mut visit.wire.stream, &piece).is_ok() {}
    });
    let rig = setup(&[backend.address])
        .client_timeouts(30_000, 300)
        .start();
    let mut client = rig.client();
    client.send(GET);
    wait_until("the client is cut", || {
        rig.proxy.status().0[0].connections == 0 && !backend.requests().is_empty()
    });
    let left = crate::queues::sockets_between(rig.address, client.stream.local_addr().unwrap());
    assert!(left.is_empty(), "the kernel keeps {left:?}");
    assert_eq!(end_of(&client), Some(ErrorKind::ConnectionReset));
}

/// Closes a connection so that the peer sees a reset.
fn reset(wire: Wire) {
    let socket = socket2::SockRef::from(&wire.stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

/// Reads to the end of a connection; returns the error it ends with.
fn end_of(client: &Wire) -> Option<ErrorKind> {
    let mut buffer = [0; 64 * 1024];
    loop {
        match (&client.stream).read(&mut buffer) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => return Some(error.kind()),
        }
    }
}
