//! Sinks that are late, full, slow, broken, replaced: no request waits, no line is torn, what is
//! lost is counted.

use std::io::{PipeReader, PipeWriter, Read};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use evenkeel::config::AccessLogTarget;

use crate::common::{Backend, PATIENCE, Wire, wait_until};
use crate::logged::{Logged, read, status, with_log};
use crate::rig::{GET, OK, Rig, setup};

const STDOUT: AccessLogTarget = AccessLogTarget::StandardOutput;

fn logging(backend: &Backend) -> Rig {
    with_log(setup(&[backend.address]), STDOUT, "json").start()
}

fn pipe() -> (PipeReader, PipeWriter) {
    std::io::pipe().unwrap()
}

/// Returns a request whose line has more than 4 KB, so that all there is is full soon.
fn long(number: usize) -> String {
    let (query, quotes) = ("q".repeat(1900), "\"".repeat(1000));
    format!("GET /{number}?{query} HTTP/1.1\r\nHost: a\r\nReferer: {quotes}\r\n\r\n")
}

/// Asks so often, and returns how long the slowest answer took.
fn ask(client: &mut Wire, request: &str, times: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..times {
        let began_at = Instant::now();
        assert_eq!(client.ask(request).status(), 200);
        slowest = slowest.max(began_at.elapsed());
    }
    slowest
}

#[test]
fn pipes_that_nobody_reads_stop_no_request_and_what_is_lost_is_counted() {
    let backend = Backend::saying(OK);
    let rig = logging(&backend);
    let (mut reader, writer) = pipe();
    rig.proxy.set_access_log(writer.into());
    let mut client = rig.client();
    let request = long(0);
    let mut asked = 0;
    while status(&rig).lines_dropped_total < 100 {
        let slowest = ask(&mut client, &request, 50);
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        asked += 50;
        assert!(asked < 5_000, "nothing is dropped: {:?}", status(&rig));
    }
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    rig.drain(PATIENCE);
    let log = status(&rig);
    drop(rig);
    let text = reading.join().unwrap().unwrap();
    assert_eq!(
        log.lines_written_total + log.lines_dropped_total,
        asked as u64
    );
    assert_eq!(text.lines().count() as u64, log.lines_written_total);
    for line in text.lines() {
        let _: serde_json::Value = serde_json::from_str(line).expect("no line is torn");
    }
    assert_eq!(log.error, "", "a slow reader is no error");
}

#[test]
fn lines_wait_for_a_sink_and_are_all_written_at_the_end() {
    let backend = Backend::saying(OK);
    let rig = logging(&backend);
    ask(&mut rig.client(), GET, 3);
    let (reader, writer) = pipe();
    rig.proxy.set_access_log(writer.into());
    let lines = read(reader);
    assert!(
        lines.recv_timeout(PATIENCE).is_ok(),
        "the first comes by itself"
    );
    ask(&mut rig.client(), GET, 2);
    rig.drain(PATIENCE);
    assert_eq!(status(&rig).lines_written_total, 5);
    drop(rig);
    assert_eq!(lines.iter().count(), 4);
}

#[test]
fn sinks_are_replaced_between_two_lines_even_if_the_old_one_is_stuck() {
    let backend = Backend::saying(OK);
    let rig = logging(&backend);
    let (old_reader, old_writer) = pipe();
    rig.proxy.set_access_log(old_writer.into());
    let mut client = rig.client();
    let request = long;
    let mut asked = 0;
    // More than a pipe holds, less than the buffers do.
    while asked < 60 {
        ask(&mut client, &request(asked), 1);
        asked += 1;
    }
    let (new_reader, new_writer) = pipe();
    rig.proxy.set_access_log(new_writer.into());
    let old = read(old_reader);
    let new = read(new_reader);
    ask(&mut client, &request(asked), 1);
    rig.drain(PATIENCE);
    assert_eq!(status(&rig).lines_dropped_total, 0);
    drop(rig);
    let whole = |line: String| serde_json::from_str::<serde_json::Value>(&line).ok();
    let old: Vec<_> = old.iter().filter_map(whole).collect();
    let new: Vec<_> = new
        .iter()
        .map(|line| whole(line).expect("no line is torn"))
        .collect();
    assert!(
        !old.is_empty() && !new.is_empty(),
        "{} {}",
        old.len(),
        new.len()
    );
    let paths = old
        .iter()
        .chain(&new)
        .map(|line| line["path"].as_str().unwrap());
    let numbers = paths.map(|path| path[1..].split('?').next().unwrap().parse().unwrap());
    assert_eq!(
        numbers.collect::<Vec<usize>>(),
        (0..=60).collect::<Vec<_>>(),
        "each once, in order"
    );
}

#[test]
fn sinks_that_break_are_said_and_mended() {
    let backend = Backend::saying(OK);
    let rig = logging(&backend);
    let (reader, writer) = pipe();
    rig.proxy.set_access_log(writer.into());
    drop(reader);
    let mut client = rig.client();
    ask(&mut client, GET, 1);
    wait_until("the loss is counted", || {
        status(&rig).lines_dropped_total == 1
    });
    assert!(
        status(&rig).error.contains("Broken pipe"),
        "{:?}",
        status(&rig)
    );
    let (reader, writer) = pipe();
    let lines = read(reader);
    rig.proxy.set_access_log(writer.into());
    ask(&mut client, GET, 1);
    lines.recv_timeout(PATIENCE).unwrap();
    wait_until("the error is over", || status(&rig).error.is_empty());
    assert_eq!(status(&rig).lines_written_total, 1);
}

#[test]
fn full_disks_are_said_and_stop_no_request() {
    let backend = Backend::saying(OK);
    let file = AccessLogTarget::File("/dev/full".into());
    let rig = with_log(setup(&[backend.address]), file, "json").start();
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    rig.proxy.set_access_log(full.into());
    ask(&mut rig.client(), GET, 10);
    wait_until("the loss is counted", || {
        status(&rig).lines_dropped_total == 10
    });
    assert!(
        status(&rig).error.contains("No space left"),
        "{:?}",
        status(&rig)
    );
}

#[test]
fn journald_is_sent_a_datagram_a_line() {
    let backend = Backend::saying(OK);
    let rig = with_log(
        setup(&[backend.address]),
        AccessLogTarget::Journald,
        "{path} {status}",
    )
    .start();
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    rig.proxy.set_access_log(theirs.into());
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = rig.client();
    ask(&mut client, GET, 2);
    for _ in 0..2 {
        let mut datagram = [0; 1000];
        let len = ours.recv(&mut datagram).unwrap();
        assert_eq!(
            std::str::from_utf8(&datagram[..len]),
            Ok("PRIORITY=6\nSYSLOG_IDENTIFIER=evenkeel-access\nMESSAGE=/ 200\n")
        );
    }
    wait_until("both are counted", || status(&rig).lines_written_total == 2);
}

#[test]
fn proxies_that_end_do_not_wait_for_readers_that_do_not_read() {
    let backend = Backend::saying(OK);
    let rig = logging(&backend);
    let (reader, writer) = pipe();
    rig.proxy.set_access_log(writer.into());
    let request = long(0);
    ask(&mut rig.client(), &request, 60);
    let began_at = Instant::now();
    rig.drain(PATIENCE);
    assert!(began_at.elapsed() < Duration::from_secs(5));
    drop((rig, reader));
}

#[test]
fn lines_of_several_threads_do_not_mix() {
    let backend = Backend::saying(OK);
    let mut setup = setup(&[backend.address]);
    setup.threads = 2;
    let logged = Logged::start(setup);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = logged.rig.client();
            std::thread::spawn(move || ask(&mut client, GET, 50))
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    let lines = logged.rest();
    assert_eq!(lines.len(), 400);
    for line in lines {
        let _: serde_json::Value = serde_json::from_str(&line).expect("no line is torn");
    }
}
