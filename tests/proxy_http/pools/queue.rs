//! Backends with a limit of requests, and the queue before them: its order, and every way out of
//! it.

use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evenkeel::config::{Balance, HashOn, HealthCheckConfig, ProbeConfig, RouteConfig, RouteLimits};
use evenkeel::ipc::message::PoolHealth;
use evenkeel::logic::balance::queue::Urgency;
use evenkeel::logic::balance::route::Access;
use evenkeel::process::proxy::Drained;

use crate::common::{Backend, Message, PATIENCE, Wire, refusing_address, wait_until};
use crate::rates::route;
use crate::rig::{GET, OK, Rig, Setup, WEBSOCKET, http_check, setup};

/// A backend that answers a request when it is told to; its probes, at once.
struct Gated {
    backend: Backend,
    /// Without the probes.
    requests: Arc<Mutex<Vec<Message>>>,
    leave: Arc<Mutex<usize>>,
    healthy: Arc<Mutex<bool>>,
}

impl Gated {
    fn new() -> Self {
        let (leave, healthy) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(true)));
        let requests: Arc<Mutex<Vec<Message>>> = Arc::default();
        let (may, says) = (Arc::clone(&leave), Arc::clone(&healthy));
        let seen = Arc::clone(&requests);
        let backend = Backend::scripted(move |mut visit| {
            while let Some(request) = visit.wire.request() {
                if request.line().contains("/health") {
                    let status = if *says.lock().unwrap() { 200 } else { 500 };
                    visit
                        .wire
                        .send(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
                    continue;
                }
                seen.lock().unwrap().push(request);
                wait_until("the test lets it answer", || {
                    let mut left = may.lock().unwrap();
                    let some = *left > 0;
                    *left -= usize::from(some);
                    some
                });
                visit.wire.send(OK);
            }
        });
        Self {
            backend,
            requests,
            leave,
            healthy,
        }
    }

    /// Lets so many requests be answered.
    fn answer(&self, count: usize) {
        *self.leave.lock().unwrap() += count;
    }

    fn paths(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let path = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
        requests.iter().map(|r| path(r.line())).collect()
    }

    fn has(&self, count: usize) {
        wait_until("the requests arrive", || {
            self.requests.lock().unwrap().len() == count
        });
    }
}

/// A proxy on two threads whose every backend takes so many requests; who waits has a minute.
fn limited(backends: &[&Gated], requests: u32) -> Setup {
    let addresses: Vec<_> = backends.iter().map(|gated| gated.backend.address).collect();
    let mut setup = setup(&addresses).pool(|pool| {
        pool.timeouts.queue = Duration::from_secs(60);
        for backend in &mut pool.backends {
            backend.requests = Some(requests);
        }
    });
    setup.threads = 2;
    setup
}

fn get(path: &str) -> String {
    GET.replace("GET /", &format!("GET {path}"))
}

fn asking(rig: &Rig, path: &str) -> Wire {
    let mut client = rig.client();
    client.send(get(path));
    client
}

fn wait_for_waiting(rig: &Rig, count: u64) {
    wait_until("so many wait", || rig.pool().queued_requests == count);
}

/// Asks with one who gets the only room, and with one who waits.
fn full(gated: &Gated, rig: &Rig) -> (Wire, Wire) {
    let first = asking(rig, "/first");
    gated.has(1);
    let second = asking(rig, "/second");
    wait_for_waiting(rig, 1);
    (first, second)
}

#[test]
fn limits_are_never_passed_and_no_call_is_lost() {
    let by_path = Balance::Hash(HashOn::Path);
    for balance in [
        Balance::RandomOfTwo,
        Balance::RoundRobin,
        Balance::LeastConnections,
        by_path,
    ] {
        let busy =
            [3, 2].map(|limit| (limit, Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)])));
        let backends = busy.clone().map(|(_, counts)| {
            Backend::scripted(move |mut visit| {
                let [now, most] = &*counts;
                while visit.request().is_some() {
                    most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    std::thread::sleep(Duration::from_millis(1));
                    now.fetch_sub(1, SeqCst);
                    visit.wire.send(OK);
                }
            })
        });
        let mut setup = setup(&[backends[0].address, backends[1].address]).pool(|pool| {
            pool.balance = balance.clone();
            pool.timeouts.queue = Duration::from_secs(60);
            pool.backends[0].requests = Some(3);
            pool.backends[1].requests = Some(2);
        });
        setup.threads = 2;
        let rig = setup.start();
        std::thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| {
                    let mut client = rig.client();
                    for _ in 0..20 {
                        assert_eq!(client.ask(GET).status(), 200);
                    }
                });
            }
        });
        for (limit, counts) in &busy {
            assert_eq!(
                counts[1].load(SeqCst),
                *limit,
                "as many as it may have, {balance:?}"
            );
        }
        wait_until("all room is given back", || {
            let backends = rig.pool().backends;
            backends.iter().all(|b| b.active_requests == 0)
        });
        let pool = rig.pool();
        let served: u64 = pool.backends.iter().map(|b| b.requests_total).sum();
        assert_eq!((served, pool.queued_requests), (1000, 0), "{pool:?}");
        assert!(pool.queued_total > 100, "{pool:?}");
        assert_eq!(pool.queue_timeouts_total, 0);
        assert_eq!(pool.backends[0].requests_max, Some(3));
    }
}

#[test]
fn who_came_first_is_served_first_whatever_its_thread() {
    let gated = Gated::new();
    let rig = limited(&[&gated], 1).start();
    let mut clients = vec![asking(&rig, "/0")];
    gated.has(1);
    for number in 1..12 {
        clients.push(asking(&rig, &format!("/{number}")));
        wait_for_waiting(&rig, number);
    }
    gated.answer(12);
    for client in &mut clients {
        assert_eq!(client.response().status(), 200);
    }
    let hoped: Vec<_> = (0..12).map(|number| format!("/{number}")).collect();
    assert_eq!(gated.paths(), hoped);
}

/// Of routes by the beginning of the path; one slot, and eight may overtake in a row.
#[test]
fn the_urgent_are_served_first_and_the_others_in_their_turn() {
    let gated = Gated::new();
    let rig = limited(&[&gated], 1)
        .listener(|listener| {
            let route = |(path, priority)| RouteConfig {
                priority,
                ..route(path, RouteLimits::default(), Access::Everybody)
            };
            let routes = [("/high", Urgency::High), ("/low", Urgency::Low)];
            listener.routes = routes.map(route).into();
        })
        .start();
    let mut clients = vec![asking(&rig, "/first")];
    gated.has(1);
    let paths = ["/low/0", "/normal/0", "/normal/1", "/low/1"].map(str::to_owned);
    let paths = paths.into_iter();
    let highs = (0..10).map(|number| format!("/high/{number}"));
    for (before, path) in paths.chain(highs).enumerate() {
        clients.push(asking(&rig, &path));
        wait_for_waiting(&rig, 1 + u64::try_from(before).unwrap());
    }
    gated.answer(clients.len());
    for client in &mut clients {
        assert_eq!(client.response().status(), 200);
    }
    let served = gated.paths();
    let highs = |range: std::ops::Range<u32>| range.map(|number| format!("/high/{number}"));
    let mut hoped = vec!["/first".to_owned()];
    hoped.extend(highs(0..8));
    hoped.push("/low/0".to_owned());
    hoped.extend(highs(8..10));
    hoped.extend(["/normal/0", "/normal/1", "/low/1"].map(str::to_owned));
    assert_eq!(served, hoped);
}

#[test]
fn who_waits_too_long_is_told_so_and_no_backend_hears_of_it() {
    let gated = Gated::new();
    let rig = limited(&[&gated], 1)
        .pool(|pool| pool.timeouts.queue = Duration::from_millis(200))
        .start();
    let mut first = asking(&rig, "/first");
    gated.has(1);
    let began_at = Instant::now();
    let mut second = asking(&rig, "/second");
    let answer = second.response();
    assert!(
        began_at.elapsed() >= Duration::from_millis(200),
        "it waited"
    );
    assert_eq!(answer.status(), 503);
    assert_eq!(
        answer
            .text()
            .split_once(": request ")
            .map(|(word, _)| word.to_owned()),
        Some("queue_timeout".to_owned())
    );
    let pool = rig.pool();
    let counts = (
        pool.queued_requests,
        pool.queued_total,
        pool.queue_timeouts_total,
    );
    assert_eq!(counts, (0, 1, 1));
    gated.answer(2);
    assert_eq!(first.response().status(), 200);
    assert_eq!(
        second.ask(&get("/third")).status(),
        200,
        "the connection is kept"
    );
    assert_eq!(gated.paths(), ["/first", "/third"]);
}

#[test]
fn clients_that_leave_leave_the_queue() {
    let gated = Gated::new();
    let rig = limited(&[&gated], 1).start();
    let mut first = asking(&rig, "/first");
    gated.has(1);
    let closed = asking(&rig, "/closed");
    let half_closed = asking(&rig, "/half");
    let mut uploading = rig.client();
    uploading.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    wait_for_waiting(&rig, 3);
    let mut last = asking(&rig, "/last");
    wait_for_waiting(&rig, 4);
    drop(closed);
    wait_for_waiting(&rig, 3);
    half_closed.stream.shutdown(Shutdown::Write).unwrap();
    wait_for_waiting(&rig, 2);
    drop(uploading);
    wait_for_waiting(&rig, 1);
    gated.answer(2);
    assert_eq!(first.response().status(), 200);
    assert_eq!(last.response().status(), 200);
    assert_eq!(gated.paths(), ["/first", "/last"]);
    assert_eq!(rig.pool().queue_timeouts_total, 0);
}

#[test]
fn room_of_clients_that_leave_at_any_moment_is_not_lost() {
    let backend = Backend::saying(OK);
    let mut setup = setup(&[backend.address]).pool(|pool| {
        pool.timeouts.queue = Duration::from_secs(60);
        pool.backends[0].requests = Some(1);
    });
    setup.threads = 2;
    let rig = setup.start();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let rig = &rig;
            scope.spawn(move || {
                let mut chance = fastrand::Rng::with_seed(number);
                for _ in 0..100 {
                    let mut client = asking(rig, "/");
                    if chance.bool() {
                        std::thread::sleep(Duration::from_micros(chance.u64(..1500)));
                    } else {
                        assert_eq!(client.response().status(), 200);
                    }
                }
            });
        }
    });
    assert_eq!(rig.ask(GET).status(), 200, "there still is room");
    wait_until("nobody is left", || {
        let pool = rig.pool();
        (pool.queued_requests, pool.backends[0].active_requests) == (0, 0)
    });
}

#[test]
fn what_clients_send_while_they_wait_is_not_lost() {
    let gated = Gated::new();
    let rig = limited(&[&gated], 1).start();
    let mut first = asking(&rig, "/first");
    gated.has(1);
    let body = "0123456789".repeat(10_000);
    let mut uploading = rig.client();
    let length = body.len();
    uploading.send(format!(
        "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    ));
    wait_for_waiting(&rig, 1);
    uploading.send(&body);
    let mut chunked = rig.client();
    chunked.send("PUT /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na");
    wait_for_waiting(&rig, 2);
    chunked.send(format!("bc\r\n0\r\n\r\n{}", get("/pipelined")));
    gated.answer(4);
    for (client, answers) in [(&mut first, 1), (&mut uploading, 1), (&mut chunked, 2)] {
        for _ in 0..answers {
            assert_eq!(client.response().status(), 200);
        }
    }
    assert_eq!(gated.paths(), ["/first", "/body", "/chunked", "/pipelined"]);
    let requests = gated.requests.lock().unwrap();
    assert_eq!(requests[1].text(), body);
    assert_eq!(requests[2].text(), "abc");
}

#[test]
fn a_backend_that_comes_up_takes_who_waits() {
    let (one, two) = (Gated::new(), Gated::new());
    *two.healthy.lock().unwrap() = false;
    let rig = limited(&[&one, &two], 1).check(http_check(), 1, 1).start();
    wait_until("the probes are done", || {
        let states = rig.pool().backends.into_iter().map(|backend| backend.state);
        states.collect::<Vec<_>>() == ["up", "down"]
    });
    let (_first, mut second) = full(&one, &rig);
    *two.healthy.lock().unwrap() = true;
    two.has(1);
    two.answer(1);
    assert_eq!(second.response().status(), 200);
    assert_eq!(
        (one.paths().len(), two.paths()),
        (1, vec!["/second".to_owned()])
    );
}

#[test]
fn who_waits_is_told_at_once_that_no_backend_is_left() {
    let gated = Gated::new();
    let rig = limited(&[&gated], 1).check(http_check(), 1, 1).start();
    wait_until("it is up", || rig.pool().backends[0].state == "up");
    let (mut first, mut second) = full(&gated, &rig);
    *gated.healthy.lock().unwrap() = false;
    let answer = second.response();
    assert_eq!(answer.status(), 503);
    assert!(answer.text().starts_with("no_backend_up: "), "{answer:?}");
    assert!(rig.ask(GET).text().starts_with("no_backend_up: "));
    gated.answer(1);
    assert_eq!(first.response().status(), 200, "what it has it may finish");
    assert_eq!(rig.pool().queue_timeouts_total, 0);
}

#[test]
fn the_unprobed_are_not_asked_because_others_are_full() {
    let (known, unknown) = (
        Gated::new(),
        Backend::scripted(|mut visit| drop(visit.wire.rest())),
    );
    let mut setup = setup(&[known.backend.address, unknown.address]).pool(|pool| {
        pool.timeouts.queue = Duration::from_millis(600);
        pool.backends[0].requests = Some(1);
        pool.health_check = HealthCheckConfig::Probe(ProbeConfig {
            kind: http_check(),
            interval: Duration::from_secs(60),
            interval_changing: Duration::from_secs(60),
            port: None,
            tls: false,
            timeout: Duration::from_secs(60),
            rise: 1,
            fall: 1,
        });
    });
    setup.health = vec![PoolHealth {
        pool: "web".to_owned(),
        backends: [("b0".to_owned(), true)].into(),
        probed: false,
    }];
    let rig = setup.start();
    let (_first, mut second) = full(&known, &rig);
    assert!(second.response().text().starts_with("queue_timeout: "));
    let pool = rig.pool();
    assert_eq!(pool.backends[1].state, "unprobed");
    assert_eq!(pool.backends[1].requests_total, 0);
}

#[test]
fn a_tunnel_keeps_its_room_for_its_life() {
    let backend = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            if request.field("upgrade").is_none() {
                visit.wire.send(OK);
                continue;
            }
            visit.wire.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            );
            visit.wire.rest();
        }
    });
    let rig = setup(&[backend.address])
        .pool(|pool| pool.backends[0].requests = Some(1))
        .start();
    let mut tunnel = rig.client();
    tunnel.send(WEBSOCKET);
    assert_eq!(tunnel.try_response("GET").unwrap().status(), 101);
    let mut second = asking(&rig, "/second");
    wait_for_waiting(&rig, 1);
    assert_eq!(rig.pool().backends[0].active_requests, 1);
    drop(tunnel);
    assert_eq!(second.response().status(), 200);
}

#[test]
fn a_retry_waits_for_room_before_all_that_are_new() {
    let (_held, refusing) = refusing_address();
    let gated = Gated::new();
    let mut setup = setup(&[refusing, gated.backend.address]).pool(|pool| {
        pool.timeouts.queue = Duration::from_secs(60);
        pool.backends[0].requests = Some(1);
        pool.backends[1].requests = Some(1);
    });
    setup.threads = 2;
    let rig = setup.start();
    // It meets the refusing one first, or second when that has been forgotten.
    let mut clients = vec![asking(&rig, "/0")];
    gated.has(1);
    for number in 1..4 {
        clients.push(asking(&rig, &format!("/{number}")));
        wait_until("it waits", || rig.pool().queued_total >= number);
    }
    let failures = rig.pool().backends[0].failures_total;
    wait_until(
        "the refusing one is asked again when it was avoided for a second",
        || rig.pool().backends[0].failures_total > failures,
    );
    wait_for_waiting(&rig, 3);
    gated.answer(4);
    for client in &mut clients {
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(gated.paths(), ["/0", "/1", "/2", "/3"]);
    assert!(rig.pool().retries_total > failures);
}

#[test]
fn drain_serves_who_waits() {
    let gated = Gated::new();
    let rig = limited(&[&gated], 1).start();
    let (mut first, mut second) = full(&gated, &rig);
    std::thread::scope(|scope| {
        let drain = scope.spawn(|| rig.drain(PATIENCE));
        wait_until("the socket is closed", || {
            std::net::TcpStream::connect(rig.address).is_err()
        });
        gated.answer(2);
        for client in [&mut first, &mut second] {
            assert_eq!(client.response().status(), 200);
        }
        drop((first, second));
        assert_eq!(drain.join().unwrap(), Drained { cut: 0 });
    });
    assert_eq!(gated.paths(), ["/first", "/second"]);
}

#[test]
fn drain_cuts_who_still_waits_at_its_deadline() {
    let gated = Gated::new();
    let rig = limited(&[&gated], 1).start();
    let (mut first, mut second) = full(&gated, &rig);
    assert_eq!(rig.drain(Duration::from_millis(300)), Drained { cut: 2 });
    assert!(first.is_ended() && second.is_ended());
    let pool = rig.pool();
    let left = (pool.queued_requests, pool.backends[0].active_requests);
    assert_eq!(left, (0, 0), "all room is given back");
    assert_eq!(gated.paths(), ["/first"]);
}
