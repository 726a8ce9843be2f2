//! What the proxy holds of a connection whose reader is slower than its writer: a bounded number of
//! bytes, however long the writer goes on.
//!
//! The writers here never stop and the readers never read. What is held is counted to the byte:
//! what was written, less what the kernel has of it.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::common::{Backend, PATIENCE, Wire};
use crate::queues::{between, towards};
use crate::rig::{GET, Rig, setup};

#[test]
fn no_more_than_connection_bytes_is_held_of_an_answer_that_nobody_reads() {
    let (rig, client, listener) = start();
    let (client, backend) = ask(client, &listener, GET);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n";
    let held = held_of_an_answer(&client, &backend, head);
    assert!(held <= CONNECTION_BYTES, "{held} bytes are held");
    drop(rig);
}

#[test]
fn no_more_than_connection_bytes_is_held_of_a_request_that_nobody_reads() {
    let (rig, client, listener) = start();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000\r\n\r\n";
    let (client, backend) = ask(client, &listener, head);
    let written = write_until_it_stalls(&client.stream, b"", &[b'x'; 1000]);
    let held = written - between(&client.stream) - between(&backend.stream);
    assert!(
        (1..=CONNECTION_BYTES).contains(&held),
        "{held} bytes are held"
    );
    drop(rig);
}

/// Sixteen may come; nothing is read behind one that the client has not taken.
#[test]
fn one_interim_head_is_held_of_those_that_nobody_reads_and_the_beginning_of_the_next() {
    let (rig, client, listener) = start();
    let (client, backend) = ask(client, &listener, GET);
    let interim = format!("HTTP/1.1 103 X\r\nX: {}\r\n\r\n", "x".repeat(60_000));
    let heads = interim.repeat(15) + "HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n";
    let held = held_of_an_answer(&client, &backend, heads.as_bytes());
    assert!(
        (1..=2 * HEAD_READ_BYTES).contains(&held),
        "{held} bytes are held"
    );
    drop(rig);
}

#[test]
fn little_is_read_ahead_of_a_client_that_asks_and_asks() {
    let (rig, client, listener) = start();
    let (client, _backend) = ask(client, &listener, GET);
    let written = write_until_it_stalls(&client.stream, b"", GET.as_bytes());
    let ahead = written - between(&client.stream);
    // The last read begins below the bound, and is no larger than it.
    assert!(
        (AHEAD_BYTES_MAX..2 * AHEAD_BYTES_MAX).contains(&ahead),
        "{ahead} bytes are read ahead"
    );
    drop(rig);
}

#[test]
fn little_is_read_ahead_of_a_client_that_is_answered_and_does_not_read() {
    let backend = Backend::scripted(|mut visit| {
        let answer = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n".as_slice(),
            &[b'x'; 10_000],
        ]
        .concat();
        while visit.request().is_some() && visit.wire.stream.write_all(&answer).is_ok() {}
    });
    let (rig, client) = before(backend.address);
    let written = write_until_it_stalls(&client.stream, b"", GET.as_bytes());
    let relayed = backend.requests().len();
    let ahead = written - towards(&client.stream) - relayed * GET.len();
    assert!(relayed > 1, "answers come until there is no room for them");
    assert!(
        (1..=HEAD_READ_BYTES + 2 * AHEAD_BYTES_MAX).contains(&ahead),
        "{ahead} bytes are read ahead"
    );
    drop(rig);
}

/// Starts a proxy before a backend that is played by the test itself; returns it, a client, and
/// where the proxy will connect to.
fn start() -> (Rig, Wire, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (rig, client) = before(listener.local_addr().unwrap());
    (rig, client, listener)
}

/// Starts a proxy before this backend, and a client for whom the kernel keeps little.
fn before(backend: SocketAddr) -> (Rig, Wire) {
    let mut setup = setup(&[backend]);
    setup.config.proxy.connection_bytes = u32::try_from(CONNECTION_BYTES).unwrap();
    let rig = setup.start();
    let client = narrow(&rig);
    (rig, client)
}

/// Returns a client for whom the kernel keeps little.
pub(crate) fn narrow(rig: &Rig) -> Wire {
    let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    client.set_recv_buffer_size(KERNEL_BYTES).unwrap();
    client.connect(&rig.address.into()).unwrap();
    Wire::new(TcpStream::from(client))
}

/// Sends an answer without end from `backend`; returns what is held of it on its way to `client`,
/// which does not read.
pub(crate) fn held_of_an_answer(client: &Wire, backend: &Wire, head: &[u8]) -> usize {
    let written = write_until_it_stalls(&backend.stream, head, &[b'x'; 1000]);
    let in_the_kernel = between(&client.stream) + between(&backend.stream);
    // The head grows on its way, by less than a byte for every hundred that may be held.
    written.saturating_sub(in_the_kernel)
}

/// Asks, and reads the head of the request at the other end.
fn ask(mut client: Wire, listener: &TcpListener, request: &str) -> (Wire, Wire) {
    client.send(request);
    let mut backend = Wire::new(listener.accept().unwrap().0);
    backend.head().unwrap();
    (client, backend)
}

/// Writes `first`, then `again` without end, until nobody takes a byte any more; returns how many
/// were taken.
fn write_until_it_stalls(mut stream: &TcpStream, first: &[u8], again: &[u8]) -> usize {
    stream.set_nonblocking(true).unwrap();
    let deadline_at = Instant::now() + PATIENCE;
    let mut last_at = Instant::now();
    let (mut written, mut rest) = (0, first);
    while last_at.elapsed() < AT_REST {
        if rest.is_empty() {
            rest = again;
        }
        match stream.write(rest) {
            Ok(count) => {
                written += count;
                rest = &rest[count..];
                last_at = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("the proxy does not take bytes: {error}"),
        }
        assert!(Instant::now() < deadline_at, "{written} bytes are taken");
    }
    written
}

const CONNECTION_BYTES: usize = 16 * 1024;
/// As in `exchange`.
const AHEAD_BYTES_MAX: usize = 16 * 1024;
/// As in `connection`.
const HEAD_READ_BYTES: usize = 64 * 1024;
/// Small, so that a test soon has what it needs.
const KERNEL_BYTES: usize = 8 * 1024;
/// Where no byte went for so long, none will: nothing else goes on here.
const AT_REST: Duration = Duration::from_millis(400);
