//! What connections cost the proxy in memory, and that it gives it back: the real program, its
//! resident memory.
//!
//! Floods come one after another upon the same process, so that what the allocator hands out has
//! been used before; the bounds are computed from the constants that the code works with and the
//! manual prints. One test in a binary of its own: it needs thousands of descriptors and a quiet
//! process.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use evenkeel::process::proxy::memory::{
    CONNECTION_BYTES, REQUEST_BYTES, SMALL_BYTES, process_bytes_max, taken,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What the clients of a flood do, how many there are, and what each may cost.
struct Flood {
    name: &'static str,
    clients: usize,
    bytes_min: usize,
    bytes_max: usize,
    begin: fn(&Proxy) -> Connections,
}

/// The test's ends of all connections.
type Connections = Vec<TcpStream>;

#[test]
fn memory_is_bounded_by_what_connections_hold_and_is_given_back() {
    let clients = 3000;
    raise_descriptors();
    let proxy = Proxy::start();
    let request = CONNECTION_BYTES + REQUEST_BYTES + SMALL_BYTES;
    let floods = [
        Flood {
            name: "idle",
            clients,
            bytes_min: 500,
            bytes_max: CONNECTION_BYTES,
            begin: |proxy| proxy.clients(3000, b"", b""),
        },
        Flood {
            name: "half heads",
            clients,
            bytes_min: HALF_BYTES,
            bytes_max: CONNECTION_BYTES + taken(HALF_BYTES),
            begin: |proxy| proxy.clients(3000, &half_head(), b""),
        },
        Flood {
            name: "half heads in two pieces",
            clients,
            bytes_min: HALF_BYTES,
            bytes_max: CONNECTION_BYTES + taken(HALF_BYTES),
            begin: |proxy| {
                let head = half_head();
                let (one, two) = head.split_at(6000);
                proxy.clients(3000, one, two)
            },
        },
        Flood {
            name: "half responses",
            clients: 1000,
            bytes_min: HALF_BYTES,
            bytes_max: request + UPSTREAM_BYTES + taken(HALF_BYTES),
            begin: |proxy| {
                let clients = proxy.clients(1000, GET, b"");
                let response = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &half_head()[20..]].concat();
                proxy.answered(clients, |mut backend| backend.write_all(&response).unwrap())
            },
        },
        Flood {
            name: "what is sent ahead of an answer",
            clients: 1000,
            bytes_min: HALF_BYTES,
            bytes_max: request + UPSTREAM_BYTES + taken(HALF_BYTES),
            begin: |proxy| {
                let ahead = [GET, &half_head()].concat();
                proxy.answered(proxy.clients(1000, &ahead, b""), |_| {})
            },
        },
        Flood {
            name: "readers that do not read",
            clients: 300,
            bytes_min: 8 * 1024,
            bytes_max: request + UPSTREAM_BYTES + taken(DIRECTION_BYTES),
            begin: |proxy| proxy.answered(proxy.clients(300, GET, b""), fill),
        },
    ];
    let before = proxy.resident();
    // What answers streams is left for a while, and the others do not use it.
    for flood in floods.iter().chain(&floods[1..2]).chain([&STREAMS]) {
        proxy.hold(flood, before);
    }
}

struct Proxy {
    daemon: Child,
    pid: u32,
    address: SocketAddr,
    /// Where the proxy connects to.
    backend: TcpListener,
    _directory: tempfile::TempDir,
}

impl Proxy {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let backend = listener();
        // Free once it is dropped, and nobody else is told of it.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let config = format!(
            "listeners:\n  http:\n    bind: [\"{address}\"]\n    pool: web\n    \
             http2: {{prior_knowledge: true, memory_bytes: {HTTP2_BYTES}}}\n    \
             timeouts: {{request_head: 1h, idle: 1h}}\n\
             pools:\n  web:\n    backends: {{one: {{address: \"{}\"}}}}\n    health_check: none\n    \
             timeouts: {{connect: 30s, response_head: 1h}}\n\
             proxy: {{threads: 2, limits: {{connection_bytes: {DIRECTION_BYTES}}}}}\n",
            backend.local_addr().unwrap()
        );
        let path = directory.path().join("evenkeel.yaml");
        fs::write(&path, config).unwrap();
        let daemon = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .arg("run")
            .arg("--config")
            .arg(path)
            .args(["--node", "lb1", "--runtime-dir"])
            .arg(directory.path().join("run"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut proxy = Self {
            daemon,
            pid: 0,
            address,
            backend,
            _directory: directory,
        };
        wait_until("it serves", || {
            proxy.pid = proxy.process().unwrap_or_default();
            proxy.pid > 0
        });
        wait_until("it listens", || TcpStream::connect(address).is_ok());
        // Every part of it has been used once.
        let warm = proxy.answered(proxy.clients(20, GET, b""), |mut backend| {
            backend
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                .unwrap();
        });
        drop(warm);
        proxy
    }

    /// Returns the process that serves.
    fn process(&self) -> Option<u32> {
        let pid = self.daemon.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        let is_proxy = |pid: &&str| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline"));
            line.is_ok_and(|line| line.starts_with("evenkeel-proxy"))
        };
        let proxy = children.split_whitespace().find(is_proxy)?;
        proxy.parse().ok()
    }

    /// Returns its resident memory.
    fn resident(&self) -> usize {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.pid)).unwrap();
        let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    /// Connects so many clients, each of which sends `one`, and when all have done so `two`.
    fn clients(&self, count: usize, one: &[u8], two: &[u8]) -> Connections {
        let mut clients: Connections = (0..count)
            .map(|_| {
                let client =
                    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
                        .unwrap();
                // The kernel is to keep little.
                client.set_recv_buffer_size(4096).unwrap();
                client.connect(&self.address.into()).unwrap();
                let mut client = TcpStream::from(client);
                client.write_all(one).unwrap();
                client
            })
            .collect();
        for (index, client) in clients.iter_mut().enumerate() {
            pace(index);
            client.write_all(two).unwrap();
        }
        clients
    }

    /// Takes the request of each client at the backend, and answers it.
    fn answered(&self, clients: Connections, answer: impl Fn(&TcpStream)) -> Connections {
        let count = clients.len();
        self.answer_each(clients, count, answer)
    }

    /// Takes so many requests of all clients at the backend, and answers them.
    fn answer_each(
        &self,
        clients: Connections,
        count: usize,
        answer: impl Fn(&TcpStream),
    ) -> Connections {
        let mut connections = clients;
        for index in 0..count {
            pace(index);
            let (mut backend, _) = self.backend.accept().unwrap();
            let mut head = Vec::new();
            let mut bytes = [0; 4096];
            while !head.ends_with(b"\r\n\r\n") {
                let len = backend.read(&mut bytes).unwrap();
                assert!(
                    len > 0,
                    "the proxy sends a request: {} have come",
                    connections.len()
                );
                head.extend_from_slice(&bytes[..len]);
            }
            answer(&backend);
            connections.push(backend);
        }
        connections
    }

    /// Holds the memory of a flood to its bound, and what is left after it to what there was
    /// before.
    fn hold(&self, flood: &Flood, before: usize) {
        let (least, most) = (
            flood.clients * flood.bytes_min,
            flood.clients * flood.bytes_max,
        );
        let connections = (flood.begin)(self);
        wait_until(flood.name, || self.resident() >= before + least);
        let until_at = Instant::now() + Duration::from_secs(1);
        let mut peak = 0;
        while Instant::now() < until_at {
            peak = peak.max(self.resident());
            thread::sleep(Duration::from_millis(20));
        }
        let each = (peak - before) / flood.clients;
        println!(
            "{}: {each} bytes each, of {} to {}",
            flood.name, flood.bytes_min, flood.bytes_max
        );
        assert!(
            peak <= before + most + SLACK_BYTES,
            "{}: {each} bytes a connection, not {}",
            flood.name,
            flood.bytes_max
        );
        let all = process_bytes_max(2, flood.clients, flood.bytes_max);
        assert!(
            peak <= all,
            "{}: {peak} bytes, of {all} at most",
            flood.name
        );
        for (index, connection) in connections.into_iter().enumerate() {
            pace(index);
            drop(connection);
        }
        wait_until("memory is given back", || {
            self.resident() <= before + LEFT_BYTES_MAX
        });
        self.forget_repeats();
        assert_eq!(Some(self.pid), self.process(), "it has survived");
    }

    /// Takes the connections on which requests were repeated whose backend left before the proxy
    /// knew that their client had.
    fn forget_repeats(&self) {
        self.backend.set_nonblocking(true).unwrap();
        while self.backend.accept().is_ok() {}
        self.backend.set_nonblocking(false).unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.daemon.id()).unwrap());
        let _ = kill(pid, Signal::SIGTERM);
        let _ = self.daemon.wait();
    }
}

/// Sends an answer that does not end until nobody takes more of it.
fn fill(mut backend: &TcpStream) {
    backend
        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    backend.set_nonblocking(true).unwrap();
    let chunk = [b"1000\r\n".as_slice(), &[b'x'; 4096], b"\r\n"].concat();
    let mut at = 0;
    let mut last_at = Instant::now();
    while last_at.elapsed() < Duration::from_millis(5) {
        match backend.write(&chunk[at..]) {
            Ok(count) => {
                at = (at + count) % chunk.len();
                last_at = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => panic!("the proxy does not take bytes: {error}"),
        }
    }
}

/// Returns the beginning of HTTP/2, whose client takes nothing of a body, and so many requests.
fn streams(count: u32) -> Vec<u8> {
    let mut text = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE is 0 (RFC 9113 §6.5.2).
    text.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    for number in 0..count {
        // HEADERS with END_STREAM and END_HEADERS: GET, http, /, and the authority `a`.
        text.extend([0, 0, 6, 1, 5]);
        text.extend((2 * number + 1).to_be_bytes());
        text.extend([0x82, 0x86, 0x84, 0x01, 0x01, b'a']);
    }
    text
}

/// Returns the beginning of a head.
fn half_head() -> Vec<u8> {
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    head.resize(HALF_BYTES, b'x');
    head
}

fn listener() -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(4096).unwrap();
    TcpListener::from(socket)
}

/// Lets this process and its children have so many descriptors as they need.
fn raise_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(
        hard >= 8000,
        "this test needs 8000 descriptors, the hard limit is {hard}"
    );
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// Leaves the proxy time: how much it can do at once is not what is measured here.
fn pace(index: usize) {
    if index.is_multiple_of(8) {
        thread::sleep(Duration::from_millis(2));
    }
}

fn wait_until(hope: &str, mut ask: impl FnMut() -> bool) {
    let deadline_at = Instant::now() + Duration::from_secs(60);
    while !ask() {
        assert!(Instant::now() < deadline_at, "waited in vain: {hope}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Many requests of each client, nothing of whose answers is read.
const STREAMS: Flood = Flood {
    name: "streams of HTTP/2 that are not read",
    clients: 10,
    bytes_min: 100 * 12 * 1024,
    bytes_max: HTTP2_BYTES,
    begin: |proxy| {
        let asking = proxy.clients(10, &streams(100), b"");
        proxy.answer_each(asking, 10 * 100, fill)
    },
};
/// What a connection in HTTP/2 and all its requests may hold.
const HTTP2_BYTES: usize = 2 * 1024 * 1024;
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// What was held in 256 KiB once.
const HALF_BYTES: usize = 17_000;
/// What a connection to a backend costs besides.
const UPSTREAM_BYTES: usize = 1024;
/// What is configured for one direction.
const DIRECTION_BYTES: usize = 65_536;
/// What does not grow with the connections: a large buffer for each thread, their tables, and what
/// the allocator keeps of heads that grew (3.9 to 5.3 MB seen).
const SLACK_BYTES: usize = 6 * 1024 * 1024;
/// What may be left a while after a flood.
const LEFT_BYTES_MAX: usize = 20 * 1024 * 1024;
