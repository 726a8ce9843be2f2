//! Large bodies, which go from socket to socket through a pipe: whole, in order, and bounded.
//!
//! The bytes of a body say where they stand, so that one that is lost, doubled or moved is found.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::common::{Backend, Wire, wait_until};
use crate::rig::{GET, rig, setup};

#[test]
fn large_answers_come_whole_to_slow_readers_and_the_connections_live_on() {
    let backend = Backend::scripted(|mut visit| {
        while visit.request().is_some() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
            write_in_pieces(&visit.wire.stream, head.as_bytes(), 7_001);
        }
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    for _ in 0..3 {
        client.send(GET);
        client.head().unwrap();
        read_slowly(&mut client, 0..BODY_BYTES);
    }
    assert_eq!(backend.accepted(), 1, "the connection is used again");
}

/// What stands in the kernel's buffers takes longer than `idle`, and none of ours moves meanwhile.
#[test]
fn a_client_that_reads_without_haste_is_not_silent() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        let body = vec![b'x'; SLOW_BYTES];
        visit.wire.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {SLOW_BYTES}\r\n\r\n"
        ));
        visit.wire.send(body);
    });
    let rig = setup(&[backend.address])
        .client_timeouts(30_000, 1_000)
        .start();
    let mut client = rig.client();
    let socket = socket2::SockRef::from(&client.stream);
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    client.send(GET);
    client.head().unwrap();
    for _ in 0..60 {
        assert_eq!(client.take(SLOW_BYTES / 240).len(), SLOW_BYTES / 240);
        thread::sleep(Duration::from_millis(100));
    }
    let left = SLOW_BYTES / 4 * 3;
    assert_eq!(client.take(left).len(), left);
}

#[test]
fn large_answers_that_are_ended_by_close_come_whole() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        write_in_pieces(&visit.wire.stream, b"HTTP/1.0 200 OK\r\n\r\n", 100_003);
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    client.head().unwrap();
    read_slowly(&mut client, 0..BODY_BYTES);
    assert!(client.is_ended());
}

#[test]
fn large_requests_come_whole_to_slow_backends() {
    let backend = Backend::scripted(|mut visit| {
        while visit.wire.head().is_some() {
            read_slowly(&mut visit.wire, 0..BODY_BYTES);
            visit
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
    for _ in 0..2 {
        write_in_pieces(&client.stream, head.as_bytes(), 50_021);
        assert_eq!(client.response().status(), 200);
    }
}

#[test]
fn an_answer_that_breaks_off_in_its_pipe_is_not_taken_for_whole() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            2 * BODY_BYTES
        );
        write_in_pieces(&visit.wire.stream, head.as_bytes(), 60_000);
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send(GET);
    client.head().unwrap();
    read_slowly(&mut client, 0..BODY_BYTES);
    assert!(client.is_ended(), "nothing is made up for what is missing");
}

/// Whoever finds no pipe has its body copied. The backend holds all of them up half-way, so that
/// all pipes are in use at once.
#[test]
fn more_large_answers_than_there_are_pipes_come_whole() {
    let (go_on, held_up) = (Arc::new(AtomicBool::new(false)), BODY_BYTES / 2);
    let leave = Arc::clone(&go_on);
    let backend = Backend::scripted(move |mut visit| {
        visit.request();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
        let body = body();
        visit.wire.send(head);
        visit.wire.send(&body[..held_up]);
        wait_until("leave to go on", || leave.load(SeqCst));
        visit.wire.send(&body[held_up..]);
    });
    let rig = rig(&[&backend]);
    let mut clients: Vec<Wire> = (0..PIPES_MAX + 16).map(|_| rig.client()).collect();
    // All at once, so that the backend need not wait for the pauses of one after another.
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| {
                client.send(GET);
                client.head().unwrap();
                read_slowly(client, 0..held_up);
            });
        }
    });
    // Other tests have theirs in this process: at least so many, not exactly.
    assert!(pipes() >= PIPES_MAX, "{} pipes", pipes());
    go_on.store(true, SeqCst);
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| read_slowly(client, held_up..BODY_BYTES));
        }
    });
}

#[test]
fn a_pipe_holds_no_more_than_a_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rig = setup(&[listener.local_addr().unwrap()]).start();
    let mut client = crate::connections::held::narrow(&rig);
    client.send(GET);
    let backend = Wire::new(listener.accept().unwrap().0);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n";
    let held = crate::connections::held::held_of_an_answer(&client, &backend, head);
    assert!(held <= PIPE_BYTES, "{held} bytes are held");
}

/// Returns how many pipes this process has.
fn pipes() -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let ends = targets.filter(|target| target.to_string_lossy().starts_with("pipe:"));
    ends.count() / 2
}

/// Writes a head and the body, `piece` bytes at a time, as fast as they are taken; a reader that
/// has gone shows in what it says.
fn write_in_pieces(mut stream: &TcpStream, head: &[u8], piece: usize) {
    let _ = stream.write_all(head);
    for piece in body().chunks(piece) {
        let _ = stream.write_all(piece);
    }
}

fn body() -> Vec<u8> {
    (0..BODY_BYTES).map(byte_at).collect()
}

/// Reads these bytes of a body, with pauses, and looks at each.
fn read_slowly(wire: &mut Wire, places: Range<usize>) {
    let mut at = places.start;
    while at < places.end {
        let some = wire.take((places.end - at).min(PAUSE_BYTES));
        assert!(!some.is_empty(), "the body ends after {at} bytes");
        let wrong = some
            .iter()
            .zip(at..)
            .find(|(byte, at)| **byte != byte_at(*at));
        assert_eq!(wrong, None);
        at += some.len();
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A prime's worth of bytes before they begin again: no size of a read or of a pipe is a multiple.
fn byte_at(place: usize) -> u8 {
    u8::try_from(place % 251).unwrap()
}

/// Some pipes full, and no multiple of one.
const BODY_BYTES: usize = 1_300_021;
const PAUSE_BYTES: usize = 200_000;
/// As in `pipes`.
const PIPE_BYTES: usize = 256 * 1024;
const PIPES_MAX: usize = 64;

const SLOW_BYTES: usize = 9_000_000;
