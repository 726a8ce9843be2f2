//! The deadline of the drain: what ends before it ends whole, what is left at it is cut and says
//! so.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::process::proxy::Drained;
use serde_json::{Value, json};

use super::full::Full;
use super::stage::{LATE, SLACK, tenths};
use crate::common::{Backend, Visit, Wire, poll, wait_until};
use crate::rig::{GET, OK, Rig, WEBSOCKET, setup};

/// The time between the beginning of the drain and its deadline.
const WITHIN: Duration = Duration::from_millis(2500);

/// What is in flight when the drain begins: what has been sent by then, and the phase it is cut in.
const KINDS: [(&str, &str, &str); 6] = [
    ("/wait", GET, "response_head"),
    ("/down", GET, "response_body"),
    ("/old", "GET / HTTP/1.0\r\n\r\n", "response_body"),
    (
        "/up",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc",
        "request_body",
    ),
    (
        "/chunks",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "request_body",
    ),
    ("/tunnel", WEBSOCKET, "tunnel"),
];

/// Begins an answer at once where there is something to begin, and ends it after `after`, or behind
/// the request.
fn answer(mut visit: Visit, after: Duration) {
    let Some(head) = visit.wire.head() else {
        return;
    };
    let is = |path: &str| head.contains(path);
    let begin = match () {
        () if is("/tunnel") => {
            "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nabc"
        }
        () if is("/down") => "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc",
        () if is("/old") => "HTTP/1.1 200 OK\r\n\r\nabc",
        () => "",
    };
    visit.wire.send(begin);
    let up = is("/up") || is("/chunks");
    if up {
        let length = if is("/up") {
            6
        } else {
            "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n".len()
        };
        if visit.wire.take(length).len() < length {
            return;
        }
    } else {
        std::thread::sleep(after);
    }
    let rest = if begin.is_empty() { OK } else { "def" };
    let _ = visit.wire.stream.write_all(rest.as_bytes());
}

/// A proxy with everything in flight.
struct Flight {
    rig: Arc<Rig>,
    clients: Vec<Wire>,
    log: tempfile::NamedTempFile,
    _backend: Backend,
}

impl Flight {
    fn start(after: Duration) -> Self {
        let backend = Backend::scripted(move |visit| answer(visit, after));
        let mut setup = setup(&[backend.address]);
        let log = tempfile::NamedTempFile::new().unwrap();
        log_to(&mut setup);
        let rig = Arc::new(setup.start());
        rig.proxy.set_access_log(log.reopen().unwrap().into());
        let clients = KINDS.map(|(path, request, _)| {
            let mut client = rig.client();
            client.send(request.replacen('/', path, 1));
            client
        });
        wait_until("all are in flight", || {
            rig.pool().backends[0].active_requests == KINDS.len() as u64
        });
        let mut clients = Vec::from(clients);
        for (client, (path, ..)) in clients.iter_mut().zip(KINDS) {
            if ["/down", "/old", "/tunnel"].contains(&path) {
                client.head().unwrap();
                assert_eq!(client.take(3), b"abc");
            }
        }
        Self {
            rig,
            clients,
            log,
            _backend: backend,
        }
    }

    fn lines(&self) -> Vec<Value> {
        lines_of(&self.log)
    }
}

fn log_to(setup: &mut crate::rig::Setup) {
    use evenkeel::config::{AccessLogConfig, AccessLogTarget, Format};
    setup.config.access_log = Some(AccessLogConfig {
        to: AccessLogTarget::StandardOutput,
        format: Format::parse("json").unwrap(),
    });
}

fn lines_of(log: &tempfile::NamedTempFile) -> Vec<Value> {
    let text = std::fs::read_to_string(log.path()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[test]
fn what_ends_before_the_deadline_of_the_drain_ends_whole() {
    let after = tenths(WITHIN, 6);
    let mut flight = Flight::start(after);
    let rig = Arc::clone(&flight.rig);
    let drain = std::thread::spawn(move || rig.drain(WITHIN));
    let since = Instant::now();
    for ((path, ..), client) in KINDS.iter().zip(&mut flight.clients) {
        let rest = match *path {
            "/up" => "def",
            "/chunks" => "3\r\ndef\r\n0\r\n\r\n",
            _ => "",
        };
        if !rest.is_empty() {
            std::thread::sleep((after / 2 + after / 4).saturating_sub(since.elapsed()));
            client.send(rest);
        }
    }
    for ((path, ..), mut client) in KINDS.iter().zip(flight.clients.drain(..)) {
        match *path {
            "/down" | "/old" | "/tunnel" => assert_eq!(client.rest(), b"def", "{path}"),
            _ => assert_eq!(client.response().text(), "ok", "{path}"),
        }
    }
    assert_eq!(drain.join().unwrap(), Drained { cut: 0 });
    let lines = flight.lines();
    assert_eq!(lines.len(), KINDS.len());
    for line in lines {
        assert_eq!(line["termination"], "complete", "{line}");
    }
}

#[test]
fn what_is_left_at_the_deadline_of_the_drain_is_cut_and_says_so() {
    let within = tenths(WITHIN, 3);
    let flight = Flight::start(tenths(WITHIN, 20));
    let since = Instant::now();
    let drained = flight.rig.drain(within);
    let lasted = since.elapsed();
    assert_eq!(
        drained,
        Drained {
            cut: KINDS.len() as u64
        }
    );
    assert!(
        lasted >= within && lasted <= within + LATE + SLACK,
        "{lasted:?}"
    );
    let lines = flight.lines();
    assert_eq!(lines.len(), KINDS.len());
    for (path, _, phase) in KINDS {
        let line = lines.iter().find(|line| line["path"] == path).unwrap();
        let hoped = json!(["drain_timeout", phase, "proxy"]);
        assert_eq!(
            json!([line["termination"], line["phase"], line["ended_by"]]),
            hoped
        );
    }
    assert_eq!(flight.rig.proxy.status().0[0].connections, 0);
    assert_eq!(flight.rig.pool().backends[0].active_requests, 0);
}

/// A request that waits for room, inside and outside.
#[test]
fn the_deadline_of_the_drain_holds_for_those_that_wait_for_room() {
    for (hold, within, cut, hoped) in [
        (tenths(WITHIN, 2), WITHIN, 0, ["complete", "complete"]),
        (
            tenths(WITHIN, 20),
            tenths(WITHIN, 3),
            2,
            ["drain_timeout", "drain_timeout"],
        ),
    ] {
        let backend = Backend::scripted(move |mut visit| {
            while visit.request().is_some() {
                std::thread::sleep(hold);
                if visit.wire.stream.write_all(OK.as_bytes()).is_err() {
                    return;
                }
            }
        });
        let mut setup = setup(&[backend.address]).pool(|pool| pool.backends[0].requests = Some(1));
        let log = tempfile::NamedTempFile::new().unwrap();
        log_to(&mut setup);
        let rig = setup.start();
        rig.proxy.set_access_log(log.reopen().unwrap().into());
        let (mut first, mut second) = (rig.client(), rig.client());
        first.send(GET.replacen('/', "/first", 1));
        wait_until("it has the room", || {
            rig.pool().backends[0].active_requests == 1
        });
        second.send(GET.replacen('/', "/second", 1));
        wait_until("another waits", || rig.pool().queued_requests == 1);
        std::thread::scope(|scope| {
            let drain = scope.spawn(|| {
                let since = Instant::now();
                (rig.drain(within), since.elapsed())
            });
            for client in [&mut first, &mut second] {
                match cut {
                    0 => assert_eq!(client.response().text(), "ok"),
                    _ => assert!(client.is_ended()),
                }
            }
            drop((first, second));
            let (drained, lasted) = drain.join().unwrap();
            assert_eq!(drained, Drained { cut });
            assert!(lasted <= within + LATE + SLACK, "{lasted:?}");
            assert!(cut == 0 || lasted >= within, "{lasted:?}");
        });
        let lines = lines_of(&log);
        for (path, termination) in ["/first", "/second"].into_iter().zip(hoped) {
            let line = lines.iter().find(|line| line["path"] == path).unwrap();
            assert_eq!(line["termination"], termination, "{line}");
        }
        assert_eq!(rig.pool().queued_requests, 0);
        assert_eq!(rig.pool().backends[0].active_requests, 0);
    }
}

/// A request whose backend has not accepted yet. The kernel tries again after a second.
#[test]
fn the_deadline_of_the_drain_holds_for_connections_that_are_being_opened() {
    let second = Duration::from_secs(1);
    for (full, within, cut, hoped) in [
        (second / 2, 2 * WITHIN, 0, "complete"),
        (20 * second, tenths(WITHIN, 2), 1, "drain_timeout"),
    ] {
        let full = Full::new(full);
        full.begin();
        let mut setup = setup(&[full.address]).pool(|pool| pool.timeouts.connect = 10 * second);
        let log = tempfile::NamedTempFile::new().unwrap();
        log_to(&mut setup);
        let rig = setup.start();
        rig.proxy.set_access_log(log.reopen().unwrap().into());
        let mut client = rig.client();
        client.send(GET);
        wait_until("it is in flight", || {
            rig.pool().backends[0].active_requests == 1
        });
        std::thread::scope(|scope| {
            let since = Instant::now();
            let drain = scope.spawn(|| rig.drain(within));
            match cut {
                0 => assert_eq!(client.response().text(), "ok"),
                _ => assert!(client.is_ended()),
            }
            let lasted = since.elapsed();
            assert!(cut == 0 || lasted >= within, "{lasted:?}");
            drop(client);
            assert_eq!(drain.join().unwrap(), Drained { cut });
        });
        let lines = lines_of(&log);
        assert_eq!(lines[0]["termination"], hoped, "{lines:?}");
        assert_eq!(rig.pool().backends[0].active_requests, 0);
    }
}

/// A client that has its last answer and goes on sending.
#[test]
fn the_deadline_of_the_drain_holds_for_clients_that_send_behind_their_last_answer() {
    let backend = Backend::saying(OK);
    for (within, cut) in [(WITHIN, 0), (tenths(WITHIN, 2), 1)] {
        let rig = setup(&[backend.address]).start();
        let mut client = rig.client();
        assert_eq!(client.ask("GET / HTTP/1.1\r\n\r\n").status(), 400);
        assert!(client.is_ended());
        let since = Instant::now();
        assert_eq!(rig.drain(within), Drained { cut });
        let lasted = since.elapsed();
        // It is listened to for a second.
        let hoped = Duration::from_millis(900).min(within);
        assert!(
            (hoped..hoped + LATE + SLACK).contains(&lasted),
            "{lasted:?}"
        );
        poll("all is given back", || {
            (rig.proxy.status().0[0].connections == 0).then_some(())
        });
    }
}

/// A head that has begun, and idle connections, which do not wait for a deadline.
#[test]
fn heads_have_until_the_deadline_of_the_drain_and_idle_connections_have_not() {
    let backend = Backend::saying(OK);
    for cut in [0, 1] {
        let rig = setup(&[backend.address]).start();
        let (mut begun, mut fresh, mut kept) = (rig.client(), rig.client(), rig.client());
        assert_eq!(kept.ask(GET).text(), "ok");
        let (first, rest) = GET.split_at(9);
        begun.send(first);
        let within = tenths(WITHIN, 4);
        std::thread::scope(|scope| {
            let since = Instant::now();
            let drain = scope.spawn(|| rig.drain(within));
            assert!(fresh.is_ended() && kept.is_ended());
            assert!(since.elapsed() < within, "idle connections end at once");
            drop((fresh, kept));
            if cut == 0 {
                begun.send(rest);
                assert_eq!(begun.response().text(), "ok");
            }
            assert!(begun.is_ended());
            assert!(cut == 0 || since.elapsed() >= within);
            drop(begun);
            assert_eq!(drain.join().unwrap(), Drained { cut });
        });
    }
}
