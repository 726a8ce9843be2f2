//! The proxy on loopback: raw bytes in, raw bytes out, against scripted backends.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Backend, Message, PATIENCE, Wire, poll, refusing_address, wait_until};
use evenkeel::config::{
    BackendConfig, Balance, Config, HealthCheckConfig, ListenerConfig, ListenerTimeouts,
    PoolConfig, PoolTimeouts, ProbeConfig, ProbeKind, ProxyConfig,
};
use evenkeel::ipc::control::PoolStatus;
use evenkeel::ipc::message::{FromProxy, PoolHealth};
use evenkeel::process::proxy::{Drained, LentSocket, Proxy};

struct Rig {
    proxy: Proxy,
    address: SocketAddr,
    events: Arc<Mutex<Vec<FromProxy>>>,
}

struct Setup {
    config: Config,
    threads: u16,
    health: Vec<PoolHealth>,
}

fn setup(backends: &[SocketAddr]) -> Setup {
    let backends = backends
        .iter()
        .enumerate()
        .map(|(index, &address)| BackendConfig {
            name: format!("b{index}"),
            address,
            weight: 1,
        });
    let pool = PoolConfig {
        name: "web".to_owned(),
        backends: backends.collect(),
        balance: Balance::RoundRobin,
        health_check: HealthCheckConfig::None,
        timeouts: PoolTimeouts {
            connect: Duration::from_secs(2),
            response_head: Duration::from_secs(5),
        },
    };
    let listener = ListenerConfig {
        name: "http".to_owned(),
        virtual_router: None,
        binds: Vec::new(),
        pool: "web".to_owned(),
        timeouts: ListenerTimeouts {
            request_head: Duration::from_secs(30),
            idle: Duration::from_secs(30),
        },
    };
    let config = Config {
        node: "lb1".to_owned(),
        virtual_routers: Vec::new(),
        listeners: vec![listener],
        pools: vec![pool],
        proxy: ProxyConfig { threads: None },
    };
    Setup {
        config,
        threads: 1,
        health: Vec::new(),
    }
}

impl Setup {
    fn pool(mut self, change: impl FnOnce(&mut PoolConfig)) -> Setup {
        change(&mut self.config.pools[0]);
        self
    }

    fn client_timeouts(mut self, request_head_ms: u64, idle_ms: u64) -> Setup {
        self.config.listeners[0].timeouts = ListenerTimeouts {
            request_head: Duration::from_millis(request_head_ms),
            idle: Duration::from_millis(idle_ms),
        };
        self
    }

    fn check(self, kind: ProbeKind, rise: u32, fall: u32) -> Setup {
        self.pool(|pool| {
            pool.health_check = HealthCheckConfig::Probe(ProbeConfig {
                kind,
                interval: Duration::from_millis(30),
                timeout: Duration::from_millis(500),
                rise,
                fall,
            });
        })
    }

    fn start(self) -> Rig {
        let Setup {
            mut config,
            threads,
            health,
        } = self;
        let sockets = sockets(threads);
        let address = sockets[0].local_addr().unwrap();
        config.listeners[0].binds = vec![address];
        let events: Arc<Mutex<Vec<FromProxy>>> = Arc::default();
        let sink = Arc::clone(&events);
        let lent = vec![LentSocket {
            listener: "http".to_owned(),
            bind: address,
            sockets,
        }];
        let sink = Arc::new(move |event| sink.lock().unwrap().push(event));
        let proxy = Proxy::start(&config, threads, lent, &health, sink).unwrap();
        Rig {
            proxy,
            address,
            events,
        }
    }
}

/// Opens one SO_REUSEPORT group, as the supervisor does.
fn sockets(count: u16) -> Vec<TcpListener> {
    let mut at: SocketAddr = "127.0.0.1:0".parse().unwrap();
    (0..count)
        .map(|_| {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.bind(&at.into()).unwrap();
            socket.listen(128).unwrap();
            let listener = TcpListener::from(socket);
            at = listener.local_addr().unwrap();
            listener
        })
        .collect()
}

fn rig(backends: &[&Backend]) -> Rig {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    setup(&addresses).start()
}

impl Rig {
    fn client(&self) -> Wire {
        Wire::connect(self.address)
    }

    fn ask(&self, request: &str) -> Message {
        self.client().ask(request)
    }

    fn pool(&self) -> PoolStatus {
        self.proxy.status().1.remove(0)
    }

    fn healths(&self) -> Vec<PoolHealth> {
        let events = self.events.lock().unwrap();
        let healths = events.iter().filter_map(|event| match event {
            FromProxy::Health(health) => Some(health.clone()),
            FromProxy::Beat { .. }
            | FromProxy::Ready
            | FromProxy::Status { .. }
            | FromProxy::Log(_)
            | FromProxy::Drained => None,
        });
        healths.collect()
    }

    fn drain(&self, within: Duration) -> Drained {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(self.proxy.drain(within))
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// Relaying.

#[test]
fn connections_are_kept_on_both_sides() {
    let backend = Backend::named("one");
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    for _ in 0..5 {
        assert_eq!(client.ask(GET).text(), "one");
    }
    assert_eq!(backend.accepted(), 1, "one upstream connection serves all");
    assert_eq!(rig.ask(GET).text(), "one");
    assert_eq!(backend.accepted(), 1, "also for another client");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            let path = request.line().to_owned();
            let length = path.len();
            visit.wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}"
            ));
        }
    });
    let mut client = rig(&[&backend]).client_and_keep();
    client
        .1
        .send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.1.send("POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /4 HTTP/1.1\r\nHost: a\r\n\r\n");
    for path in ["GET /1 ", "GET /2 ", "POST /3 ", "GET /4 "] {
        assert!(client.1.response().text().starts_with(path));
    }
}

impl Rig {
    fn client_and_keep(self) -> (Rig, Wire) {
        let client = self.client();
        (self, client)
    }
}

#[test]
fn bodies_go_to_the_backend_as_they_came() {
    let backend = Backend::named("one");
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(backend.last_request().text(), "hello");
    assert_eq!(
        backend.last_request().field("content-length").as_deref(),
        Some("5")
    );
    client.ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!(backend.last_request().text(), "abcde");
    assert_eq!(
        backend.last_request().field("transfer-encoding").as_deref(),
        Some("chunked")
    );
    client.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nget\r\n0\r\n\r\n",
    );
    assert_eq!(
        backend.last_request().text(),
        "get",
        "a GET's chunked body is not lost"
    );
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn large_bodies_pass_both_ways() {
    let backend = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            let length = request.body.len();
            visit.wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
            ));
            visit.wire.send(&request.body);
        }
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    let body: Vec<u8> = (0..4_000_000u32).map(|n| (n % 251) as u8).collect();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head);
    client.send(&body);
    assert_eq!(client.response().body, body);
}

#[test]
fn chunked_responses_stay_chunked_and_the_connection_is_kept() {
    let backend = Backend::saying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    );
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    for _ in 0..2 {
        let response = client.ask(GET);
        assert_eq!(
            response.field("transfer-encoding").as_deref(),
            Some("chunked")
        );
        assert_eq!(response.text(), "abcdef");
    }
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn answers_without_bodies_are_framed_rightly() {
    for (method, answer, status) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 200),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
            304,
        ),
    ] {
        let backend = Backend::saying(answer);
        let rig = rig(&[&backend]);
        let mut client = rig.client();
        for _ in 0..2 {
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(
                client.try_response(method).unwrap().status(),
                status,
                "{answer:?}"
            );
        }
        if method == "HEAD" {
            client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
            let response = client.try_response(method).unwrap();
            assert_eq!(response.field("content-length").as_deref(), Some("10"));
        }
    }
}

#[test]
fn close_delimited_responses_end_where_they_end() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.send("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    for _ in 0..2 {
        let response = client.ask(GET);
        assert_eq!(response.line(), "HTTP/1.1 200 OK");
        assert_eq!(response.text(), "until the end");
    }
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn backend_closing_its_connection_does_not_close_the_clients() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit
            .wire
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    for _ in 0..3 {
        let response = client.ask(GET);
        assert_eq!(response.text(), "ok");
        assert_eq!(response.field("connection"), None);
    }
    assert_eq!(backend.accepted(), 3);
}

#[test]
fn informational_answers_do_not_disturb() {
    let backend = Backend::saying(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    assert_eq!(rig(&[&backend]).ask(GET).text(), "ok");
}

#[test]
fn clients_of_http_1_0_are_served() {
    let backend = Backend::saying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    let plain = Backend::saying(OK);
    let rig1 = rig(&[&backend]);
    let mut client = rig1.client();
    let response = client.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(response.text(), "abc", "no chunks for HTTP/1.0");
    assert_eq!(response.field("transfer-encoding"), None);
    let host = backend.last_request().field("host");
    assert_eq!(
        host,
        Some(rig1.address.to_string()),
        "HTTP/1.1 needs a Host"
    );
    let rig2 = rig(&[&plain]);
    let mut client = rig2.client();
    for _ in 0..2 {
        let response = client.ask("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(response.text(), "ok", "as ab -k asks");
    }
    assert_eq!(client.ask("GET / HTTP/1.0\r\n\r\n").text(), "ok");
    assert!(client.is_ended());
}

#[test]
fn date_is_added_only_where_it_is_missing() {
    let with = Backend::saying("HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        rig(&[&with]).ask(GET).field("date").as_deref(),
        Some("then")
    );
    let without = Backend::saying(OK);
    assert!(
        rig(&[&without])
            .ask(GET)
            .field("date")
            .unwrap()
            .ends_with("GMT")
    );
}

// Fields.

#[test]
fn hop_by_hop_fields_do_not_reach_the_backend() {
    let backend = Backend::saying(OK);
    rig(&[&backend]).ask(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Mine, Host\r\nX-Mine: 1\r\n\
         Keep-Alive: 5\r\nProxy-Connection: x\r\nProxy: evil\r\nX_Real: 1\r\nTE: gzip\r\nX-End: 1\r\n\r\n",
    );
    let request = backend.last_request();
    for gone in [
        "connection",
        "x-mine",
        "keep-alive",
        "proxy-connection",
        "proxy",
        "x_real",
        "te",
    ] {
        assert_eq!(request.field(gone), None, "{gone} in {request:?}");
    }
    assert_eq!(request.field("x-end").as_deref(), Some("1"));
    assert_eq!(
        request.field("host").as_deref(),
        Some("a"),
        "Connection cannot name Host away"
    );
}

#[test]
fn hop_by_hop_fields_do_not_reach_the_client() {
    let backend = Backend::saying(
        "HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nUpgrade: h2\r\n\
         Proxy-Authenticate: Basic\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n",
    );
    let response = rig(&[&backend]).ask(GET);
    for gone in [
        "connection",
        "x-mine",
        "keep-alive",
        "upgrade",
        "proxy-authenticate",
    ] {
        assert_eq!(response.field(gone), None, "{gone} in {response:?}");
    }
    assert_eq!(response.field("x-end").as_deref(), Some("1"));
}

#[test]
fn forwarding_fields_tell_the_backend_who_asks() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    rig.ask("GET / HTTP/1.1\r\nHost: a:80\r\n\r\n");
    let request = backend.last_request();
    assert_eq!(
        request.field("x-forwarded-for").as_deref(),
        Some("127.0.0.1")
    );
    assert_eq!(request.field("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(request.field("x-forwarded-host").as_deref(), Some("a:80"));
    rig.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: evil\r\nConnection: X-Forwarded-For\r\n\r\n",
    );
    let request = backend.last_request();
    assert_eq!(
        request.field("x-forwarded-for").as_deref(),
        Some("10.1.1.1, 127.0.0.1")
    );
    assert_eq!(request.field("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(request.field("x-forwarded-host").as_deref(), Some("a"));
}

#[test]
fn absolute_targets_become_paths() {
    let backend = Backend::saying(OK);
    rig(&[&backend]).ask("GET http://a/x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(backend.last_request().line(), "GET /x?y=1 HTTP/1.1");
}

// Refusals.

#[test]
fn ambiguous_requests_are_refused() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    for (request, status, token) in [
        ("GET / HTTP/1.1\r\n\r\n", 400, "host_missing"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            400,
            "host_repeated",
        ),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "host_invalid"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "host_invalid"),
        (
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
            "host_mismatch",
        ),
        (
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
            405,
            "connect_refused",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
            "transfer_coding",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            501,
            "transfer_coding",
        ),
    ] {
        let mut client = rig.client();
        let response = client.ask(request);
        assert_eq!(response.status(), status, "{request:?}");
        assert!(
            response.text().starts_with(token),
            "{:?} for {request:?}",
            response.text()
        );
        assert_eq!(
            response.field("connection").as_deref(),
            Some("close"),
            "{request:?}"
        );
        assert!(client.is_ended(), "{request:?}");
    }
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n",
        "GET  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\na",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut client = rig.client();
        client.send(request);
        if let Some(response) = client.try_response("GET") {
            assert_eq!(response.status(), 400, "{request:?}");
        }
        assert!(client.is_ended(), "{request:?}");
    }
    assert_eq!(
        backend.accepted(),
        0,
        "none of them has reached the backend"
    );
}

#[test]
fn requests_with_both_framings_never_carry_a_second_request() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let backend = Backend::saying(OK);
        let rig = rig(&[&backend]);
        let mut client = rig.client();
        let response = client.ask(request);
        assert_eq!(response.status(), 400, "{request:?}");
        assert!(
            response.text().starts_with("both_framings"),
            "{:?}",
            response.text()
        );
        assert!(client.is_ended());
        assert_eq!(backend.requests().len(), 0);
    }
}

#[test]
fn malformed_chunks_end_the_request() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    );
    if let Some(response) = client.try_response("POST") {
        assert_eq!(response.status(), 400);
    }
    assert!(client.is_ended());
    assert_eq!(backend.requests().len(), 0);
}

#[test]
fn heads_too_large_are_refused() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    let response = client.ask(&format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(70_000)
    ));
    assert_eq!(response.status(), 431);
    let many: String = (0..150).map(|n| format!("X-{n}: 1\r\n")).collect();
    let response = rig.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"));
    assert_eq!(response.status(), 431);
}

#[test]
fn bad_answers_become_502() {
    for (answer, why) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "both",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "coding",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabc",
            "bad_answer",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "without being asked",
        ),
        ("garbage garbage garbage\r\n\r\n", "bad_answer"),
        ("HTTP/1.1 99999 OK\r\n\r\n", "bad_answer"),
        ("HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n", "bad_answer"),
    ] {
        let backend = Backend::saying(answer);
        let rig = rig(&[&backend]);
        let mut client = rig.client();
        let response = client.ask(GET);
        assert_eq!(response.status(), 502, "{answer:?}");
        assert!(
            response.text().contains(why),
            "{:?} for {answer:?}",
            response.text()
        );
        assert!(response.text().contains("b0"), "the backend is named");
        assert_eq!(response.field("cache-control").as_deref(), Some("no-store"));
        assert_eq!(
            client.ask(GET).status(),
            502,
            "the client's connection is kept"
        );
    }
}

#[test]
fn equal_lengths_written_twice_are_written_once() {
    let backend = Backend::saying("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok");
    let response = rig(&[&backend]).ask(GET);
    assert_eq!(response.field("content-length").as_deref(), Some("2"));
}

#[test]
fn truncated_bodies_are_seen_to_be_truncated() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
    ] {
        let backend = Backend::scripted(move |mut visit| {
            visit.request();
            visit.wire.send(answer);
        });
        let rig = rig(&[&backend]);
        let mut client = rig.client();
        client.send(GET);
        assert!(
            client.try_response("GET").is_none(),
            "{answer:?} must not look whole"
        );
    }
}

// Uploads and upgrades.

#[test]
fn expecting_clients_are_told_to_continue() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 100 "));
    client.send("abc");
    assert_eq!(client.response().status(), 200);
    assert_eq!(backend.last_request().text(), "abc");
    assert_eq!(backend.last_request().field("expect"), None);
}

#[test]
fn early_answers_are_not_lost_while_the_client_still_sends() {
    let backend = Backend::scripted(|mut visit| {
        visit.wire.head();
        visit.wire.send(
            "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig",
        );
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
    for _ in 0..30 {
        client.send(vec![b'x'; 100_000]);
    }
    let response = client.response();
    assert_eq!((response.status(), response.text().as_str()), (413, "big"));
}

#[test]
fn websockets_are_tunnelled() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhi");
        while let bytes @ [_, ..] = visit.wire.take(4).as_slice() {
            visit.wire.stream.set_nodelay(true).unwrap();
            let bytes = bytes.to_vec();
            visit.wire.send(bytes);
        }
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send(WEBSOCKET);
    let head = client.try_response("GET").unwrap();
    assert_eq!(head.status(), 101);
    assert_eq!(head.field("upgrade").as_deref(), Some("websocket"));
    assert_eq!(head.field("connection").as_deref(), Some("upgrade"));
    assert_eq!(head.field("sec-websocket-accept").as_deref(), Some("x"));
    assert_eq!(
        client.take(2),
        b"hi",
        "bytes right behind the head are not lost"
    );
    for _ in 0..3 {
        client.send("ping");
        assert_eq!(client.take(4), b"ping");
    }
    assert_eq!(
        backend.last_request().field("upgrade").as_deref(),
        Some("websocket")
    );
    assert_eq!(rig.pool().backends[0].active_requests, 1);
    drop(client);
    wait_until("the tunnel ends with its client", || {
        rig.pool().backends[0].active_requests == 0
    });
}

const WEBSOCKET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[test]
fn refused_upgrades_are_plain_answers() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    assert_eq!(client.ask(WEBSOCKET).text(), "ok");
    assert_eq!(client.ask(GET).text(), "ok");
}

#[test]
fn other_upgrades_are_not_forwarded() {
    let backend = Backend::saying(OK);
    let response = rig(&[&backend]).ask(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
    );
    assert_eq!(response.status(), 200);
    for gone in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(backend.last_request().field(gone), None);
    }
}

#[test]
fn silent_tunnels_are_cut() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        visit.wire.rest();
    });
    let rig = setup(&[backend.address])
        .client_timeouts(30_000, 300)
        .start();
    let mut client = rig.client();
    client.send(WEBSOCKET);
    assert_eq!(client.try_response("GET").unwrap().status(), 101);
    assert!(client.is_ended());
}

// Failures and retries.

#[test]
fn refused_connections_go_to_another_backend() {
    let (_held, refusing) = refusing_address();
    let backend = Backend::saying(OK);
    let rig = setup(&[refusing, backend.address]).start();
    let mut client = rig.client();
    for _ in 0..4 {
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(
            client.ask(post).status(),
            200,
            "nothing was sent, so even a POST goes on"
        );
    }
    assert_eq!(backend.last_request().text(), "abc", "with its body");
    let pool = rig.pool();
    assert!(pool.retries_total >= 2, "{pool:?}");
    assert_eq!(pool.backends[0].failures_total, pool.retries_total);
    assert_eq!(pool.backends[1].failures_total, 0);
}

#[test]
fn each_backend_is_tried_once_and_three_at_most() {
    let addresses: Vec<_> = (0..5).map(|_| refusing_address()).collect();
    let backends: Vec<_> = addresses.iter().map(|(_, address)| *address).collect();
    let rig = setup(&backends).start();
    let response = rig.ask(GET);
    assert_eq!(response.status(), 502);
    assert!(
        response.text().starts_with("connect_failed: backend b"),
        "{:?}",
        response.text()
    );
    assert!(
        response.text().contains("pool web"),
        "{:?}",
        response.text()
    );
    let tried: Vec<u64> = rig
        .pool()
        .backends
        .iter()
        .map(|b| b.failures_total)
        .collect();
    assert_eq!(tried.iter().sum::<u64>(), 3);
    assert!(tried.iter().all(|&times| times <= 1));
}

#[test]
fn requests_fail_fast_where_no_backend_is_up() {
    let (_held, refusing) = refusing_address();
    let rig = setup(&[refusing]).check(ProbeKind::Tcp, 1, 1).start();
    wait_until("the backend is down", || {
        rig.pool().backends[0].state == "down"
    });
    let began_at = Instant::now();
    let response = rig.ask(GET);
    assert_eq!(response.status(), 503);
    assert!(
        response.text().starts_with("no_backend_up"),
        "{:?}",
        response.text()
    );
    assert_eq!(response.field("cache-control").as_deref(), Some("no-store"));
    assert!(began_at.elapsed() < Duration::from_secs(1));
}

#[test]
fn answers_that_do_not_come_become_504() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.rest();
    });
    let rig = setup(&[backend.address])
        .pool(|pool| pool.timeouts.response_head = Duration::from_millis(200))
        .start();
    let response = rig.ask(GET);
    assert_eq!(response.status(), 504);
    assert!(
        response.text().starts_with("response_timeout"),
        "{:?}",
        response.text()
    );
    assert_eq!(
        backend.requests().len(),
        1,
        "a slow backend is not asked twice"
    );
}

#[test]
fn slow_uploads_do_not_use_up_the_response_timeout() {
    let backend = Backend::saying(OK);
    let rig = setup(&[backend.address])
        .pool(|pool| pool.timeouts.response_head = Duration::from_millis(200))
        .start();
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    for byte in b"abcdefgh" {
        client.send([*byte]);
        // The pace of a slow client, not a wait for anything.
        std::thread::sleep(Duration::from_millis(60));
    }
    assert_eq!(client.response().status(), 200);
}

#[test]
fn connections_that_died_while_kept_are_not_used() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    for method in ["GET", "POST", "GET", "POST"] {
        let mut client = rig.client();
        assert_eq!(client.ask(GET).status(), 200);
        backend.hang_up();
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.ask(&request).status(), 200, "{method}");
    }
}

#[test]
fn reused_connections_that_end_unanswered_are_replaced_for_harmless_requests() {
    let backend = Backend::scripted(|mut visit| {
        let answers = if visit.number == 0 { 1 } else { usize::MAX };
        for _ in 0..answers {
            if visit.request().is_none() {
                return;
            }
            visit.wire.send(OK);
        }
        visit.request();
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    assert_eq!(client.ask(GET).status(), 200);
    assert_eq!(
        client.ask(GET).status(),
        200,
        "asked again on a fresh connection"
    );
    assert_eq!(backend.requests().len(), 3);
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn requests_that_may_have_been_acted_on_are_not_repeated() {
    let backend = Backend::scripted(|mut visit| drop(visit.request()));
    let rig = setup(&[backend.address, backend.address]).start();
    let response = rig.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(response.status(), 502);
    assert!(
        response.text().starts_with("connection_lost"),
        "{:?}",
        response.text()
    );
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn harmless_requests_go_elsewhere_when_a_backend_dies_under_them() {
    let dying = Backend::scripted(|mut visit| drop(visit.request()));
    let living = Backend::saying(OK);
    let rig = rig(&[&dying, &living]);
    for _ in 0..4 {
        assert_eq!(rig.ask(GET).status(), 200);
    }
    assert!(!dying.requests().is_empty());
}

#[test]
fn backend_learns_that_the_client_has_gone() {
    let gone: Arc<Mutex<bool>> = Arc::default();
    let seen = Arc::clone(&gone);
    let backend = Backend::scripted(move |mut visit| {
        visit.request();
        visit.wire.rest();
        *seen.lock().unwrap() = true;
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send(GET);
    wait_until("the request arrives", || !backend.requests().is_empty());
    drop(client);
    wait_until("the upstream connection is closed", || {
        *gone.lock().unwrap()
    });
    assert_eq!(rig.pool().backends[0].active_requests, 0);
}

#[test]
fn abandoned_bodies_are_not_reused() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit
            .wire
            .send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        let chunk = vec![b'x'; 100_000];
        while std::io::Write::write_all(&mut visit.wire.stream, &chunk).is_ok() {}
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send(GET);
    client.head().unwrap();
    drop(client);
    wait_until("the exchange ends", || {
        rig.pool().backends[0].active_requests == 0
    });
    let mut client = rig.client();
    client.send(GET);
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(backend.accepted(), 2);
}

// Timeouts of clients.

#[test]
fn heads_that_do_not_end_are_answered_408() {
    let backend = Backend::saying(OK);
    let rig = setup(&[backend.address])
        .client_timeouts(300, 30_000)
        .start();
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost:");
    let response = client.response();
    assert_eq!(response.status(), 408);
    assert!(response.text().starts_with("request_timeout"));
    assert!(client.is_ended());
}

#[test]
fn idle_connections_are_closed_without_a_word() {
    let backend = Backend::saying(OK);
    let rig = setup(&[backend.address])
        .client_timeouts(300, 30_000)
        .start();
    let mut client = rig.client();
    assert_eq!(client.ask(GET).status(), 200);
    assert!(client.is_ended());
    assert!(rig.client().is_ended(), "also where nothing was ever asked");
}

#[test]
fn bodies_that_stop_are_answered_408() {
    let backend = Backend::saying(OK);
    let rig = setup(&[backend.address])
        .client_timeouts(30_000, 300)
        .start();
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.response().status(), 408);
    assert!(client.is_ended());
}

#[test]
fn responses_that_stop_are_cut() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit
            .wire
            .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        visit.wire.rest();
    });
    let rig = setup(&[backend.address])
        .client_timeouts(30_000, 300)
        .start();
    let mut client = rig.client();
    client.send(GET);
    assert!(client.try_response("GET").is_none());
}

// Balance.

#[test]
fn round_robin_gives_everybody_its_share() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let rig = setup(&[one.address, two.address])
        .pool(|pool| pool.backends[1].weight = 3)
        .start();
    let mut client = rig.client();
    for _ in 0..20 {
        assert_eq!(client.ask(GET).status(), 200);
    }
    assert_eq!((one.requests().len(), two.requests().len()), (5, 15));
}

#[test]
fn random_of_two_avoids_the_busy() {
    let busy = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.rest();
    });
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let rig = setup(&[busy.address, one.address, two.address])
        .pool(|pool| pool.balance = Balance::RandomOfTwo)
        .start();
    let mut stuck: Vec<Wire> = Vec::new();
    while busy.requests().is_empty() {
        let mut client = rig.client();
        client.send(GET);
        stuck.push(client);
        let asked = stuck.len();
        wait_until("the request has arrived somewhere", || {
            [&busy, &one, &two]
                .iter()
                .map(|backend| backend.requests().len())
                .sum::<usize>()
                == asked
        });
    }
    wait_until("only the busy one is busy", || {
        rig.pool().backends[1].active_requests + rig.pool().backends[2].active_requests == 0
    });
    let mut client = rig.client();
    for _ in 0..40 {
        assert_eq!(
            client.ask(GET).status(),
            200,
            "the busy one is never the less busy of two"
        );
    }
    assert!(!one.requests().is_empty() && !two.requests().is_empty());
}

// Health.

fn http_check() -> ProbeKind {
    ProbeKind::Http {
        path: "/health".to_owned(),
        host: None,
        expect: Vec::new(),
    }
}

#[test]
fn health_follows_the_probes() {
    let status: Arc<Mutex<u16>> = Arc::new(Mutex::new(200));
    let says = Arc::clone(&status);
    let backend = Backend::scripted(move |mut visit| {
        while visit.request().is_some() {
            let status = *says.lock().unwrap();
            visit
                .wire
                .send(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let rig = setup(&[backend.address]).check(http_check(), 2, 2).start();
    let state = |wanted: &str| {
        wait_until(wanted, || rig.pool().backends[0].state == wanted);
    };
    state("up");
    *status.lock().unwrap() = 500;
    state("down");
    assert!(
        rig.pool().backends[0].check.contains("500"),
        "{:?}",
        rig.pool()
    );
    assert_eq!(rig.ask(GET).status(), 503);
    *status.lock().unwrap() = 302;
    state("up");
    let up: Vec<bool> = rig
        .healths()
        .iter()
        .map(|health| health.backends["b0"])
        .collect();
    assert_eq!(up, [true, false, true]);
    assert!(rig.healths().iter().all(|health| health.probed));
    let probe = backend
        .requests()
        .into_iter()
        .find(|r| r.line().contains("/health"))
        .unwrap();
    assert_eq!(probe.line(), "GET /health HTTP/1.1");
    assert_eq!(probe.field("host"), Some(backend.address.to_string()));
    assert_eq!(probe.field("connection").as_deref(), Some("close"));
}

#[test]
fn expected_statuses_and_hosts_are_used() {
    let backend = Backend::saying("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let kind = ProbeKind::Http {
        path: "/".to_owned(),
        host: Some("check.example".to_owned()),
        expect: vec![(404, 404)],
    };
    let rig = setup(&[backend.address]).check(kind, 1, 1).start();
    wait_until("the backend is up", || rig.pool().backends[0].state == "up");
    assert_eq!(
        backend.last_request().field("host").as_deref(),
        Some("check.example")
    );
}

#[test]
fn probes_that_take_too_long_have_failed() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.rest();
    });
    let rig = setup(&[backend.address]).check(http_check(), 1, 1).start();
    wait_until("the backend is down", || {
        rig.pool().backends[0].state == "down"
    });
}

#[test]
fn requests_avoid_backends_that_are_down() {
    let (_held, refusing) = refusing_address();
    let backend = Backend::saying(OK);
    let rig = setup(&[refusing, backend.address])
        .check(ProbeKind::Tcp, 1, 1)
        .start();
    poll("the pool is probed", || {
        rig.healths().into_iter().find(|health| health.probed)
    });
    for _ in 0..4 {
        assert_eq!(rig.ask(GET).status(), 200);
    }
    assert_eq!(rig.pool().retries_total, 0);
}

#[test]
fn pools_without_checks_are_up_and_known_at_once() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    let health = poll("health is told", || rig.healths().pop());
    assert!(health.probed && health.backends["b0"]);
    assert_eq!(rig.pool().backends[0].state, "up");
}

#[test]
fn health_known_before_is_taken_over() {
    let (_held, refusing) = refusing_address();
    let mut setup = setup(&[refusing]).check(ProbeKind::Tcp, 1, 1_000_000);
    setup.health = vec![PoolHealth {
        pool: "web".to_owned(),
        backends: [("b0".to_owned(), true)].into(),
        probed: true,
    }];
    let rig = setup.start();
    let health = poll("health is told", || rig.healths().pop());
    assert!(health.probed && health.backends["b0"]);
    wait_until("a probe has failed", || {
        rig.pool().backends[0].check.contains("cannot connect")
    });
    assert_eq!(
        rig.pool().backends[0].state,
        "up",
        "until it has failed often enough"
    );
}

// Threads, status, drain.

#[test]
fn every_thread_beats_and_ready_is_said_once() {
    let backend = Backend::saying(OK);
    let mut setup = setup(&[backend.address]);
    setup.threads = 3;
    let rig = setup.start();
    wait_until("all threads beat twice", || {
        let events = rig.events.lock().unwrap();
        (0..3).all(|thread| {
            events
                .iter()
                .filter(|e| **e == FromProxy::Beat { thread })
                .count()
                >= 2
        })
    });
    let events = rig.events.lock().unwrap();
    assert_eq!(
        events
            .iter()
            .filter(|event| **event == FromProxy::Ready)
            .count(),
        1
    );
}

#[test]
fn all_threads_serve_and_count_together() {
    let backend = Backend::saying(OK);
    let mut setup = setup(&[backend.address]);
    setup.threads = 2;
    let rig = setup.start();
    for _ in 0..20 {
        assert_eq!(rig.ask(GET).status(), 200);
    }
    assert_eq!(rig.ask("GET / HTTP/1.1\r\n\r\n").status(), 400);
    let (listeners, pools) = rig.proxy.status();
    assert_eq!(listeners[0].requests_total, 21);
    assert_eq!(listeners[0].responses_total["2xx"], 20);
    assert_eq!(listeners[0].responses_total["4xx"], 1);
    assert_eq!(pools[0].backends[0].requests_total, 20);
    wait_until("all connections are closed", || {
        rig.proxy.status().0[0].connections == 0
    });
}

#[test]
fn drain_finishes_what_is_in_flight() {
    let go: Arc<Mutex<bool>> = Arc::default();
    let may = Arc::clone(&go);
    let backend = Backend::scripted(move |mut visit| {
        visit.request();
        wait_until("the test goes on", || *may.lock().unwrap());
        visit.wire.send(OK);
    });
    let rig = rig(&[&backend]);
    let (mut busy, mut idle) = (rig.client(), rig.client());
    busy.send(GET);
    wait_until("the request arrives", || !backend.requests().is_empty());
    std::thread::scope(|scope| {
        let drain = scope.spawn(|| rig.drain(PATIENCE));
        assert!(idle.is_ended(), "idle connections are closed");
        wait_until("the socket is closed", || {
            std::net::TcpStream::connect(rig.address).is_err()
        });
        assert!(!drain.is_finished());
        *go.lock().unwrap() = true;
        let response = busy.response();
        assert_eq!(response.text(), "ok");
        assert_eq!(response.field("connection").as_deref(), Some("close"));
        assert!(busy.is_ended());
        drop(busy);
        assert_eq!(drain.join().unwrap(), Drained { cut: 0 });
    });
}

#[test]
fn drain_cuts_tunnels_at_its_deadline() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        visit.wire.rest();
    });
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    client.send(WEBSOCKET);
    assert_eq!(client.try_response("GET").unwrap().status(), 101);
    let began_at = Instant::now();
    assert_eq!(rig.drain(Duration::from_millis(300)), Drained { cut: 1 });
    assert!(began_at.elapsed() >= Duration::from_millis(300));
    assert!(client.is_ended());
}

#[test]
fn drain_of_an_idle_proxy_is_quick() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    let began_at = Instant::now();
    assert_eq!(rig.drain(PATIENCE), Drained { cut: 0 });
    assert!(began_at.elapsed() < Duration::from_secs(2));
}
