//! Who is asked next where a connection was lost with a request: how often, and what a request that
//! ends whatever it comes to may cost.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use evenkeel::config::{BackendMode, Balance, HashOn, Tier};

use crate::common::{Backend, Wire, refusing_address, wait_until};
use crate::rig::{GET, OK, Rig, rig, setup};

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

fn get(path: &str) -> String {
    GET.replace("GET /", &format!("GET {path}"))
}

/// Ends each connection with whatever request comes on it, but for `/first`.
fn ends() -> Backend {
    Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            if !request.line().contains("/first") {
                return;
            }
            visit.wire.send(OK);
        }
    })
}

/// As `ends`, but it answers again once it has lost so many requests.
fn ends_at_first(count: usize) -> Backend {
    let lost = Arc::new(AtomicUsize::new(0));
    Backend::scripted(move |mut visit| {
        while let Some(request) = visit.request() {
            let is_first = request.line().contains("/first");
            if !is_first && lost.fetch_add(1, SeqCst) < count {
                return;
            }
            visit.wire.send(OK);
        }
    })
}

fn of(backends: &[&Backend]) -> Vec<SocketAddr> {
    backends.iter().map(|backend| backend.address).collect()
}

/// Returns how many requests have come but for `/first`.
fn asked(backend: &Backend) -> usize {
    let requests = backend.requests().into_iter();
    requests.filter(|it| !it.line().contains("/first")).count()
}

#[test]
fn a_request_that_ends_all_it_comes_to_is_lost_on_two_backends_at_most() {
    let backends = [(); 4].map(|()| ends());
    let rig = setup(&of(&backends.each_ref())).start();
    let lost = || backends.each_ref().map(asked);
    assert_eq!(rig.ask(GET).status(), 502);
    let mut fresh = lost();
    fresh.sort_unstable();
    assert_eq!(
        fresh,
        [0, 0, 1, 1],
        "once each on two, on fresh connections"
    );
    let before = lost();
    for _ in 0..4 {
        assert_eq!(rig.ask(&get("/first")).status(), 200);
    }
    let answer = rig.ask(GET);
    assert_eq!(answer.status(), 502);
    assert!(answer.text().starts_with("connection_lost"));
    let after = lost();
    let mut kept = [0, 1, 2, 3].map(|index| after[index] - before[index]);
    kept.sort_unstable();
    assert_eq!(
        kept,
        [0, 0, 1, 2],
        "on a kept connection, its successor, and another backend"
    );
    assert_eq!(rig.pool().retries_total, 2);
}

#[test]
fn a_backend_that_ends_each_connection_costs_no_answer_that_may_be_repeated() {
    let (ending, well) = (ends(), Backend::saying(OK));
    let rig = rig(&[&ending, &well]);
    for _ in 0..10 {
        assert_eq!(rig.ask(GET).status(), 200);
    }
    assert_eq!((asked(&ending), asked(&well)), (5, 10));
    let pool = rig.pool();
    let failures = pool.backends.iter().map(|it| it.failures_total);
    assert_eq!((pool.retries_total, failures.collect()), (5, vec![5, 0]));
    let posts: Vec<u16> = (0..4).map(|_| rig.ask(POST).status()).collect();
    assert_eq!(
        posts.iter().filter(|&&it| it == 502).count(),
        2,
        "{posts:?}"
    );
    assert_eq!(
        (asked(&ending), asked(&well)),
        (7, 12),
        "no POST came twice"
    );
}

#[test]
fn a_kept_connection_is_replaced_on_its_backend_and_the_next_backend_asked_then() {
    for lost in [1, 2] {
        let (ending, well) = (ends_at_first(lost), Backend::saying(OK));
        let rig = rig(&[&ending, &well]);
        for _ in 0..2 {
            assert_eq!(rig.ask(&get("/first")).status(), 200);
        }
        assert_eq!(rig.ask(GET).status(), 200, "{lost} lost");
        let hoped = (2, usize::from(lost == 2));
        assert_eq!((asked(&ending), asked(&well)), hoped, "{lost} lost");
        let pool = rig.pool();
        assert_eq!(pool.retries_total, lost as u64 - 1);
        assert_eq!(pool.backends[0].failures_total, lost as u64 - 1);
    }
}

/// Its keys stay on a backend that has only ended idle connections.
#[test]
fn a_kept_connection_that_was_lost_moves_no_key() {
    let backends = [(); 3].map(|()| {
        Backend::scripted(|mut visit| {
            visit.request();
            visit.wire.send(OK);
            visit.request();
        })
    });
    let on = Balance::Hash(HashOn::Path);
    let rig = setup(&of(&backends.each_ref()))
        .pool(|pool| pool.balance = on)
        .start();
    for _ in 0..6 {
        assert_eq!(rig.ask(&get("/key")).status(), 200);
    }
    let mut came = backends.map(|backend| backend.requests().len());
    came.sort_unstable();
    assert!(came[..2] == [0, 0] && came[2] > 6, "{came:?}");
}

#[test]
fn the_same_backend_is_asked_again_where_no_other_is_there() {
    let alone = ends_at_first(1);
    let rig = rig(&[&alone]);
    assert_eq!(rig.ask(GET).status(), 200);
    assert_eq!((asked(&alone), rig.pool().retries_total), (2, 0));
    let alone = ends();
    let rig = self::rig(&[&alone]);
    assert_eq!(rig.ask(GET).status(), 502);
    assert_eq!(asked(&alone), 2);
    assert_eq!(rig.ask(POST).status(), 502);
    assert_eq!(asked(&alone), 3);
}

/// It is for when no primary can be given a request.
#[test]
fn a_backup_is_asked_only_where_its_primary_has_lost_a_request_twice() {
    for lost in [1, 2] {
        let (ill, backup) = (ends_at_first(lost), Backend::saying(OK));
        let rig = setup(&of(&[&ill, &backup]))
            .pool(|pool| pool.backends[1].tier = Tier::Backup)
            .start();
        assert_eq!(rig.ask(GET).status(), 200, "{lost} lost");
        assert_eq!((asked(&ill), asked(&backup)), (2, lost - 1), "{lost} lost");
    }
}

/// Another one that cannot be connected to, is drained, or full is not there for it.
#[test]
fn the_same_backend_is_asked_again_where_no_other_can_take_the_request() {
    let (_held, refusing) = refusing_address();
    let ill = ends_at_first(1);
    // It meets the refusing one first, which is left out from then on.
    let rig = setup(&[refusing, ill.address]).start();
    assert_eq!(rig.ask(&get("/first")).status(), 200);
    assert_eq!(rig.ask(GET).status(), 200);
    assert_eq!(asked(&ill), 2);
    assert_eq!(rig.pool().backends[0].requests_total, 1);

    let (ill, drained) = (ends_at_first(1), Backend::saying(OK));
    let rig = setup(&of(&[&ill, &drained]))
        .pool(|pool| pool.backends[1].mode = BackendMode::Drained)
        .start();
    assert_eq!(rig.ask(GET).status(), 200);
    assert_eq!((asked(&ill), asked(&drained)), (2, 0));

    let full = Backend::scripted(|mut visit| drop(visit.wire.rest()));
    let ill = ends_at_first(1);
    let rig = setup(&of(&[&full, &ill]))
        .pool(|pool| pool.backends[0].requests = Some(1))
        .start();
    let mut first = rig.client();
    first.send(GET);
    wait_until("it is full", || rig.pool().backends[0].active_requests == 1);
    assert_eq!(rig.ask(GET).status(), 200);
    assert_eq!((asked(&ill), rig.pool().queued_total), (2, 0));
}

/// A drained backend gets no request a second time that another can take.
#[test]
fn a_drained_backend_that_loses_a_request_is_left() {
    let (draining, well) = (
        Backend::scripted(|mut visit| {
            visit.request();
            visit.wire.send(OK);
            visit.request();
            visit.wire.rest();
        }),
        Backend::saying(OK),
    );
    let rig = rig(&[&draining, &well]);
    for _ in 0..2 {
        assert_eq!(rig.ask(&get("/first")).status(), 200);
    }
    let mut client = rig.client();
    client.send(GET);
    wait_until("it is there", || asked(&draining) == 1);
    rig.reload(|config| config.pools[0].backends[0].mode = BackendMode::Drained);
    draining.hang_up();
    assert_eq!(client.response().status(), 200);
    assert_eq!((asked(&draining), asked(&well)), (1, 1));
}

#[test]
fn what_was_to_be_asked_again_and_could_not_be_connected_to_is_paid_for_once() {
    let mortal = Mortal::new();
    let well = Backend::saying(OK);
    let rig = setup(&[mortal.address, well.address]).start();
    let mut clients = in_flight(&rig, &mortal, &well, 90);
    mortal.die();
    let statuses = statuses(&mut clients);
    // Each came to be repeated, was refused, and went on: of the budget of 100 that takes 90.
    assert!(statuses.iter().all(|&it| it == 200), "{statuses:?}");
}

/// As a killed process leaves its connections: reset, and refused from then on.
#[test]
fn a_backend_that_is_killed_under_many_requests_costs_none_that_may_be_repeated() {
    let mortal = Mortal::new();
    let well = Backend::saying(OK);
    let mut setup = setup(&[mortal.address, well.address]);
    setup.threads = 2;
    let rig = setup.start();
    let mut clients = in_flight(&rig, &mortal, &well, 50);
    let held = mortal.held();
    let mut posting: Vec<Wire> = (0..20).map(|_| rig.client()).collect();
    for client in &mut posting {
        client.send(POST);
    }
    wait_until("the others have come", || {
        mortal.held() + asked(&well) >= 120
    });
    let posts = mortal.held() - held;
    assert!((5..=15).contains(&posts), "{posts} of the POSTs are there");
    mortal.die();
    let died_at = Instant::now();
    let answered = statuses(&mut clients);
    assert!(answered.iter().all(|&it| it == 200), "{answered:?}");
    let answered = statuses(&mut posting);
    let lost = answered.iter().filter(|&&it| it == 502).count();
    assert_eq!(lost, posts, "{answered:?}");
    assert!(
        died_at.elapsed() < Duration::from_secs(2),
        "all of it at once"
    );
    let came = well.requests();
    let came = came
        .iter()
        .filter(|it| it.line().starts_with("POST"))
        .count();
    assert_eq!(came, 20 - posts, "none came twice");
}

/// Returns clients twice as many as that, the requests of half of whom the mortal holds, on kept
/// connections; the other backend has answered the others.
fn in_flight(rig: &Rig, mortal: &Mortal, well: &Backend, count: usize) -> Vec<Wire> {
    // As many connections are kept then.
    let mut clients: Vec<Wire> = (0..2 * count).map(|_| rig.client()).collect();
    clients
        .iter_mut()
        .for_each(|client| client.send(get("/first")));
    assert!(statuses(&mut clients).iter().all(|&it| it == 200));
    clients.iter_mut().for_each(|client| client.send(GET));
    wait_until("all of them are there", || {
        mortal.held() + asked(well) == 2 * count
    });
    assert!(mortal.held().abs_diff(count) <= 2, "half of them are held");
    clients
}

fn statuses(clients: &mut [Wire]) -> Vec<u16> {
    let answers = clients.iter_mut().map(|client| client.response().status());
    answers.collect()
}

/// A backend that answers `/first`, holds all else, and may be killed.
struct Mortal {
    address: SocketAddr,
    listener: TcpListener,
    held: Arc<AtomicUsize>,
    is_dead: Arc<AtomicBool>,
}

impl Mortal {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mortal = Self {
            address: listener.local_addr().expect("it is bound"),
            listener: listener.try_clone().expect("a clone"),
            held: Arc::default(),
            is_dead: Arc::default(),
        };
        let (held, is_dead) = (Arc::clone(&mortal.held), Arc::clone(&mortal.is_dead));
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (held, is_dead) = (Arc::clone(&held), Arc::clone(&is_dead));
                std::thread::spawn(move || serve_mortally(stream, &held, &is_dead));
            }
        });
        mortal
    }

    /// Returns how many requests it holds.
    fn held(&self) -> usize {
        self.held.load(SeqCst)
    }

    /// Refuses connections from now on, and resets those that there are.
    fn die(&self) {
        let listening = socket2::SockRef::from(&self.listener);
        let _ = listening.shutdown(std::net::Shutdown::Both);
        self.is_dead.store(true, SeqCst);
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.die();
    }
}

fn serve_mortally(mut stream: TcpStream, held: &AtomicUsize, is_dead: &AtomicBool) {
    let socket = socket2::SockRef::from(&stream);
    socket.set_linger(Some(Duration::ZERO)).expect("linger");
    let turn = Some(Duration::from_millis(10));
    stream.set_read_timeout(turn).expect("a timeout");
    let mut bytes = [0; 4096];
    while !is_dead.load(SeqCst) {
        match stream.read(&mut bytes) {
            Ok(0) => return,
            Ok(_) if bytes.starts_with(b"GET /first") => {
                std::io::Write::write_all(&mut stream, OK.as_bytes()).expect("it is taken");
            }
            Ok(_) if bytes.starts_with(b"GET") || bytes.starts_with(b"POST") => {
                held.fetch_add(1, SeqCst);
                bytes.fill(0);
            }
            // The body of a POST, or nothing yet.
            Ok(_) | Err(_) => {}
        }
    }
}
