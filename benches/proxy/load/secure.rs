//! The load generator for TLS, by rustls, in a closed loop: connections that are kept are driven by
//! one thread on epoll, which costs less than the proxy; handshakes by a thread each.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use crate::conn::Failure;
use crate::histogram::Histogram;
use crate::load::{Plan, Seen, Shared, THREAD};
use crate::measure::pin;
use crate::wire::{TOKEN_LEN, head_end, is_body_at, parse_head, token_text};

/// How connections of TLS begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secure {
    /// Once, and they are used again and again.
    Kept,
    /// For each request, with everything.
    Full,
    /// For each request, with the session of before.
    Resumed,
    /// As `Full`, by HTTP/2.
    Multiplexed,
}

/// The certificate of all proxies, and its key.
pub(crate) struct Certified {
    pub(crate) certificate: String,
    pub(crate) key: String,
    der: rustls::pki_types::CertificateDer<'static>,
}

/// Returns the certificate of all proxies: ECDSA with P-256, as most sites have one.
pub(crate) fn certified() -> &'static Certified {
    static CERTIFIED: OnceLock<Certified> = OnceLock::new();
    CERTIFIED.get_or_init(|| {
        let names = vec![NAME.to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
        Certified {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            der: made.cert.der().clone(),
        }
    })
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Asks until it is stopped; returns what was seen.
pub(crate) fn run(plan: &Plan, secure: Secure, shared: &Arc<Shared>) -> io::Result<Seen> {
    let idle = open_idle(plan, secure, shared)?;
    let seen = Mutex::new(Seen {
        latencies: Histogram::new(),
        failures: BTreeMap::new(),
    });
    if secure == Secure::Kept {
        let mut latencies = Histogram::new();
        let failures = Kept::new(plan, shared)?.run(&mut latencies);
        drop(idle);
        return Ok(Seen {
            latencies,
            failures,
        });
    }
    std::thread::scope(|scope| {
        for _ in 0..plan.busy {
            let (plan, seen) = (plan.clone(), &seen);
            let started = std::thread::Builder::new()
                .name(THREAD.into())
                .spawn_scoped(scope, move || {
                    pin(plan.place);
                    Asker::new(plan, secure, Arc::clone(shared)).run(seen);
                });
            if let Err(error) = started {
                shared.stop.store(true, Relaxed);
                return Err(error);
            }
        }
        while !shared.stop.load(Relaxed) {
            std::thread::sleep(STOP_POLL);
        }
        Ok(())
    })?;
    drop(idle);
    Ok(seen
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Opens the connections that make one request and are idle from then on.
fn open_idle(plan: &Plan, secure: Secure, shared: &Arc<Shared>) -> io::Result<Vec<Stream>> {
    let mut asker = Asker::new(plan.clone(), secure, Arc::clone(shared));
    let mut all = Vec::with_capacity(plan.idle);
    while all.len() < plan.idle && !shared.stop.load(Relaxed) {
        let mut stream = asker.connect()?;
        asker
            .ask(&mut stream)
            .map_err(|failure| io::Error::other(format!("{failure:?}")))?;
        all.push(stream);
        shared.idle.fetch_add(1, Relaxed);
    }
    Ok(all)
}

/// Connections that are kept, each with a request that waits for its answer.
struct Kept {
    plan: Plan,
    shared: Arc<Shared>,
    epoll: Epoll,
    all: Vec<Waiting>,
    token: u64,
    buffer: Vec<u8>,
}

struct Waiting {
    stream: Stream,
    token: u64,
    due_at: Instant,
    answer: Vec<u8>,
}

impl Kept {
    fn new(plan: &Plan, shared: &Arc<Shared>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let asker = Asker::new(plan.clone(), Secure::Kept, Arc::clone(shared));
        let mut all = Vec::with_capacity(plan.busy);
        for index in 0..plan.busy as u64 {
            let stream = asker.connect()?;
            stream.sock.set_nonblocking(true)?;
            epoll.add(&stream.sock, EpollEvent::new(EpollFlags::EPOLLIN, index))?;
            all.push(Waiting {
                stream,
                token: 0,
                due_at: Instant::now(),
                answer: Vec::new(),
            });
        }
        Ok(Self {
            plan: plan.clone(),
            shared: Arc::clone(shared),
            epoll,
            all,
            token: 1 << 40,
            buffer: vec![0; 64 << 10],
        })
    }

    fn run(&mut self, latencies: &mut Histogram) -> BTreeMap<Failure, u64> {
        let mut failures = BTreeMap::new();
        let mut events = vec![EpollEvent::empty(); 256];
        for index in 0..self.all.len() {
            if let Err(failure) = self.send(index) {
                *failures.entry(failure).or_insert(0) += 1;
            }
        }
        while !self.shared.stop.load(Relaxed) {
            let count = self.epoll.wait(&mut events, 20_u16).unwrap_or(0);
            for event in &events[..count] {
                let index = event.data() as usize;
                match self.turn(index) {
                    Ok(false) => continue,
                    Ok(true) => {
                        self.shared.answered.fetch_add(1, Relaxed);
                        if self.shared.measuring.load(Relaxed) {
                            let took = self.all[index].due_at.elapsed();
                            latencies.add(took.as_nanos() as u64);
                        }
                    }
                    Err(failure) => *failures.entry(failure).or_insert(0) += 1,
                }
                if let Err(failure) = self.send(index) {
                    *failures.entry(failure).or_insert(0) += 1;
                    let _ = self.epoll.delete(&self.all[index].stream.sock);
                }
            }
        }
        failures
    }

    /// Sends the next request of a connection; it is short, and nothing waits before it.
    fn send(&mut self, index: usize) -> Result<(), Failure> {
        self.token += 1;
        let waiting = &mut self.all[index];
        (waiting.token, waiting.due_at) = (self.token, Instant::now());
        waiting.answer.clear();
        let request = self.plan.template.with(self.token);
        waiting.stream.write_all(request).map_err(|_| Failure::Lost)
    }

    /// Reads what has come; true where the answer is whole and right.
    fn turn(&mut self, index: usize) -> Result<bool, Failure> {
        let waiting = &mut self.all[index];
        loop {
            match waiting.stream.read(&mut self.buffer) {
                Ok(0) => return Err(Failure::Lost),
                Ok(len) => waiting.answer.extend_from_slice(&self.buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(Failure::Lost),
            }
        }
        let Some(head_len) = head_end(&waiting.answer) else {
            return Ok(false);
        };
        let (head, body) = waiting.answer.split_at(head_len);
        let head = parse_head(head).ok_or(Failure::Malformed)?;
        let total = self.plan.template.response_bytes();
        if head.status != 200 {
            return Err(Failure::Status(head.status));
        }
        if head.body_bytes != Some(total) {
            return Err(Failure::Length);
        }
        match is_body_at(body, 0, total, &token_text(waiting.token)) {
            true => Ok(body.len() == total),
            false => Err(Failure::Body),
        }
    }
}

/// One connection after another.
struct Asker {
    plan: Plan,
    secure: Secure,
    shared: Arc<Shared>,
    config: Arc<ClientConfig>,
    buffer: Vec<u8>,
}

impl Asker {
    fn new(plan: Plan, secure: Secure, shared: Arc<Shared>) -> Self {
        let mut roots = RootCertStore::empty();
        // Ours, and no other.
        let _ = roots.add(certified().der.clone());
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider speaks it")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = match secure {
            Secure::Resumed => Resumption::in_memory_sessions(4),
            Secure::Kept | Secure::Full | Secure::Multiplexed => Resumption::disabled(),
        };
        if secure == Secure::Multiplexed {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        Self {
            plan,
            secure,
            shared,
            config: Arc::new(config),
            buffer: vec![0; 64 << 10],
        }
    }

    fn connect(&self) -> io::Result<Stream> {
        let name = NAME.try_into().map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(&self.config), name);
        let connection = connection.map_err(io::Error::other)?;
        let socket = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.plan.port)))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(STALL))?;
        socket.set_write_timeout(Some(STALL))?;
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    fn run(mut self, seen: &Mutex<Seen>) {
        let mut latencies = Histogram::new();
        let mut failures = BTreeMap::new();
        let mut is_first = true;
        while !self.shared.stop.load(Relaxed) {
            let due_at = Instant::now();
            let asked = match self.connect() {
                Ok(mut stream) => self.ask(&mut stream).map(|()| stream),
                Err(_) => Err(Failure::Connect),
            };
            match asked {
                Ok(stream) => {
                    let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
                    if self.secure == Secure::Resumed && !resumed && !is_first {
                        *failures.entry(Failure::NotResumed).or_insert(0) += 1;
                    }
                    is_first = false;
                    self.shared.answered.fetch_add(1, Relaxed);
                    if self.shared.measuring.load(Relaxed) {
                        latencies.add(due_at.elapsed().as_nanos() as u64);
                    }
                }
                Err(failure) => {
                    *failures.entry(failure).or_insert(0) += 1;
                    std::thread::sleep(STOP_POLL);
                }
            }
        }
        let mut seen = seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.latencies.merge(&latencies);
        for (failure, count) in failures {
            *seen.failures.entry(failure).or_default() += count;
        }
    }

    /// Asks once, and compares the answer.
    fn ask(&mut self, stream: &mut Stream) -> Result<(), Failure> {
        static TOKENS: AtomicU64 = AtomicU64::new(1);
        let token = TOKENS.fetch_add(1, Relaxed);
        if self.secure == Secure::Multiplexed {
            let template = &self.plan.template;
            return super::frames::ask(stream, template.path(), template.response_bytes());
        }
        let request = self.plan.template.with(token);
        stream.write_all(request).map_err(|_| Failure::Lost)?;
        let mut filled = 0;
        let head_len = loop {
            if let Some(len) = head_end(&self.buffer[..filled]) {
                break len;
            }
            let read = stream.read(&mut self.buffer[filled..]);
            match read.map_err(|_| Failure::Lost)? {
                0 => return Err(Failure::Lost),
                read => filled += read,
            }
        };
        let head = parse_head(&self.buffer[..head_len]).ok_or(Failure::Malformed)?;
        if head.status != 200 {
            return Err(Failure::Status(head.status));
        }
        let total = self.plan.template.response_bytes();
        if head.body_bytes != Some(total) {
            return Err(Failure::Length);
        }
        let token: [u8; TOKEN_LEN] = token_text(token);
        let mut from = head_len;
        let mut offset = 0;
        loop {
            let part = &self.buffer[from..filled];
            if !is_body_at(part, offset, total, &token) {
                return Err(Failure::Body);
            }
            offset += part.len();
            if offset == total {
                return Ok(());
            }
            from = 0;
            filled = match stream.read(&mut self.buffer).map_err(|_| Failure::Lost)? {
                0 => return Err(Failure::Short),
                read => read,
            };
        }
    }
}

const NAME: &str = "www.example.org";
const STOP_POLL: Duration = Duration::from_millis(20);
/// An answer that takes longer has failed.
const STALL: Duration = Duration::from_secs(2);
