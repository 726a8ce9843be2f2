//! A thousand connections of which one side ends and the other never does.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::time::{Duration, Instant};

use evenkeel::config::{AccessLogConfig, AccessLogTarget, Format};

use crate::common::{PATIENCE, Wire, wait_until};
use crate::{active, alone, carrying, reset};

/// How one of them stands when one of its sides ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// Nothing is under way.
    Idle,
    /// Something has gone both ways.
    Used,
    /// What the backend has said waits for a client that reads nothing.
    Unread,
}

/// They are gone, with all that they held, though nobody else does anything; others are served.
#[test]
fn a_thousand_of_which_one_side_has_ended_are_gone_in_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rig = carrying(&[listener.local_addr().unwrap()])
        .listener(|listener| listener.timeouts.client_fin = FIN)
        .pool(|pool| pool.timeouts.backend_fin = FIN)
        .start();
    let before = descriptors();
    let mut open = Vec::new();
    for number in 0..COUNT {
        let client = rig.client();
        let backend = Wire::new(listener.accept().unwrap().0);
        open.push((stand(client, backend, number), number));
    }
    assert_eq!(active(&rig), COUNT as u64);
    let began_at = Instant::now();
    for ((client, backend), number) in &open {
        let ends = match number % 2 {
            0 => client,
            _ => backend,
        };
        ends.stream.shutdown(Shutdown::Write).unwrap();
    }
    // Somebody else is served all the while.
    let mut asked = 0;
    while active(&rig) > 0 {
        let mut wire = rig.client();
        let backend = listener.accept().unwrap().0;
        let serving = std::thread::spawn(move || echo_once(backend));
        wire.send("word");
        assert_eq!(wire.take(4), b"word");
        drop(wire);
        serving.join().unwrap();
        asked += 1;
        assert!(began_at.elapsed() < PATIENCE, "{} are left", active(&rig));
    }
    assert!(began_at.elapsed() >= FIN, "{:?}", began_at.elapsed());
    assert!(began_at.elapsed() < 5 * FIN, "{:?}", began_at.elapsed());
    assert!(asked > 10, "{asked}");
    // Two sockets of each were the proxy's, and the others are ours.
    wait_until("the sockets are closed", || {
        descriptors() <= before + 2 * COUNT + SLACK
    });
    drop(open);
}

/// More has come than the other takes, and behind it the end: it is heard of nonetheless.
#[test]
fn an_end_behind_bytes_that_nobody_takes_is_bounded() {
    let _alone = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rig = carrying(&[listener.local_addr().unwrap()])
        .listener(|listener| listener.timeouts.client_fin = FIN)
        .pool(|pool| pool.timeouts.backend_fin = FIN)
        .start();
    for ends in ["client", "backend"] {
        let client = rig.client();
        let backend = Wire::new(listener.accept().unwrap().0);
        let (mut ending, mut silent) = match ends {
            "client" => (client, backend),
            _ => (backend, client),
        };
        fill(&mut ending);
        let ended_at = Instant::now();
        ending.stream.shutdown(Shutdown::Write).unwrap();
        // Until there is room for the end, not for all that stands before it.
        while has_unsent(&ending) {
            silent.take(64 * 1024);
        }
        let heard_at = Instant::now();
        wait_until("it is over", || active(&rig) == 0);
        assert!(ended_at.elapsed() >= FIN, "{ends}");
        assert!(heard_at.elapsed() < 3 * FIN, "{ends}");
        // What it had not got is no whole.
        let error = std::io::copy(&mut silent.stream, &mut std::io::sink()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{ends}");
    }
}

/// The client has taken less than there was, but the backend is to blame.
#[test]
fn a_backend_that_fails_behind_bytes_that_nobody_takes_is_named() {
    let _alone = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for (fails, termination, by) in [
        (true, "response_truncated", "backend"),
        (false, "client_fin_timeout", "client"),
    ] {
        let mut setup = carrying(&[listener.local_addr().unwrap()])
            .listener(|listener| listener.timeouts.client_fin = FIN);
        setup.config.access_log = Some(AccessLogConfig {
            to: AccessLogTarget::StandardOutput,
            format: Format::parse("json").unwrap(),
        });
        let rig = setup.start();
        let log = tempfile::NamedTempFile::new().unwrap();
        rig.proxy.set_access_log(log.reopen().unwrap().into());
        let mut client = rig.client();
        let mut backend = Wire::new(listener.accept().unwrap().0);
        fill(&mut backend);
        if fails {
            reset(backend);
        } else {
            backend.stream.shutdown(Shutdown::Write).unwrap();
            while has_unsent(&backend) {
                client.take(64 * 1024);
            }
        }
        let lines = || std::fs::read_to_string(log.path()).unwrap();
        wait_until("it is over", || lines().ends_with('\n'));
        let line: serde_json::Value = serde_json::from_str(&lines()).unwrap();
        assert_eq!(
            (&line["termination"], &line["ended_by"]),
            (&termination.into(), &by.into()),
            "{line}"
        );
    }
}

/// What has been written stands in the kernel's buffers, whose size is megabytes: a side that takes
/// some of it again and again is not silent, however long it takes after the other has ended.
#[test]
fn a_side_that_takes_what_is_left_without_haste_gets_all_of_it() {
    let _alone = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rig = carrying(&[listener.local_addr().unwrap()])
        .listener(|listener| listener.timeouts.client_fin = FIN / 2)
        .pool(|pool| pool.timeouts.backend_fin = FIN / 2)
        .start();
    for ends in ["client", "backend"] {
        let client = rig.client();
        let backend = Wire::new(listener.accept().unwrap().0);
        let (mut ending, mut slow) = match ends {
            "client" => (client, backend),
            _ => (backend, client),
        };
        let socket = socket2::SockRef::from(&slow.stream);
        socket.set_recv_buffer_size(RECEIVE_BYTES).unwrap();
        let writing = std::thread::spawn(move || {
            ending.send(vec![b'x'; SLOW_BYTES]);
            ending.stream.shutdown(Shutdown::Write).unwrap();
            ending
        });
        let began_at = Instant::now();
        let (mut got, mut buffer) = (0, vec![0; SLOW_BYTES / 60]);
        loop {
            match slow.stream.read(&mut buffer).unwrap() {
                0 => break,
                len => got += len,
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(got, SLOW_BYTES, "{ends}");
        assert!(began_at.elapsed() > 2 * FIN, "{ends}: nobody had to wait");
        drop(writing.join().unwrap());
    }
}

/// Writes until nothing more fits on the whole way.
fn fill(wire: &mut Wire) {
    let socket = socket2::SockRef::from(&wire.stream);
    socket.set_send_buffer_size(SEND_BYTES).unwrap();
    wire.stream.set_write_timeout(Some(FULL_AFTER)).unwrap();
    while wire.stream.write(&[b'x'; 64 * 1024]).is_ok() {}
}

/// Returns whether the kernel has something of it, or its end, that the proxy's has not.
fn has_unsent(wire: &Wire) -> bool {
    let port = wire.stream.local_addr().unwrap().port();
    let peer = wire.stream.peer_addr().unwrap().port();
    let ends = format!("0100007F:{port:04X} 0100007F:{peer:04X} ");
    let sockets = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let line = sockets.lines().find(|line| line.contains(&ends)).unwrap();
    !line.contains(" 00000000:")
}

/// Brings a connection to where it is when one of its sides ends.
fn stand(mut client: Wire, mut backend: Wire, number: usize) -> (Wire, Wire) {
    let stands = [Stands::Idle, Stands::Used, Stands::Unread][number / 2 % 3];
    match stands {
        Stands::Idle => {}
        Stands::Used => {
            client.send("question");
            assert_eq!(backend.take(8), b"question");
            backend.send("answer");
            assert_eq!(client.take(6), b"answer");
        }
        Stands::Unread => backend.send(vec![b'x'; UNREAD_BYTES]),
    }
    (client, backend)
}

/// Says back one word.
fn echo_once(backend: std::net::TcpStream) {
    let mut wire = Wire::new(backend);
    let word = wire.take(4);
    wire.send(word);
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

const RECEIVE_BYTES: usize = 64 * 1024;
const SLOW_BYTES: usize = 3_000_000;
const SEND_BYTES: usize = 4 * 1024;
const FULL_AFTER: Duration = Duration::from_millis(300);
const COUNT: usize = 1_000;
const FIN: Duration = Duration::from_secs(2);
const UNREAD_BYTES: usize = 100_000;
/// What the others have open.
const SLACK: usize = 50;
