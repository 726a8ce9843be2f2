//! What integration tests share: waiting with a deadline, scripted backends and a client of raw
//! bytes.
//!
//! All blocking, on threads, so that nothing here shares a runtime (or its bugs) with what is
//! tested.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Asks `ask` until it says something, or fails with `hope`.
pub(crate) fn poll<T>(hope: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline_at = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline_at, "hoped in vain that {hope}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `ask` says yes, or fails with `hope`.
pub(crate) fn wait_until(hope: &str, mut ask: impl FnMut() -> bool) {
    poll(hope, || ask().then_some(()));
}

/// One HTTP message as it was on the wire, its body decoded.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// From the first line to the empty one.
    pub head: String,
    /// Without chunk framing.
    pub body: Vec<u8>,
}

impl Message {
    /// Returns all values of a field, joined by `|`; `None` where it is missing.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect();
        (!values.is_empty()).then(|| values.join("|"))
    }

    /// Returns the status of a response.
    pub(crate) fn status(&self) -> u16 {
        let status = self
            .head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no status in {:?}", self.head))
    }

    /// Returns the first line.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or("")
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One end of a TCP connection that reads messages and writes bytes.
pub(crate) struct Wire {
    /// The socket.
    pub stream: TcpStream,
    read_ahead: Vec<u8>,
}

impl Wire {
    /// Wraps a connection; no read waits longer than `PATIENCE`.
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout can be set");
        stream.set_nodelay(true).expect("nodelay can be set");
        Self {
            stream,
            read_ahead: Vec::new(),
        }
    }

    /// Connects.
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::new(TcpStream::connect(to).expect("the proxy accepts"))
    }

    /// Writes.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("the peer takes bytes");
    }

    fn fill(&mut self) -> std::io::Result<usize> {
        let mut buf = [0; 16 * 1024];
        let read = self.stream.read(&mut buf)?;
        self.read_ahead.extend_from_slice(&buf[..read]);
        Ok(read)
    }

    /// Reads up to and with the next empty line; `None` where the connection ends first.
    pub(crate) fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self
                .read_ahead
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
            {
                let head: Vec<u8> = self.read_ahead.drain(..at + 4).collect();
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if self.fill().ok()? == 0 {
                return None;
            }
        }
    }

    /// Reads exactly so many bytes; fewer where the connection ends first.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        while self.read_ahead.len() < count {
            if !matches!(self.fill(), Ok(1..)) {
                break;
            }
        }
        let count = count.min(self.read_ahead.len());
        self.read_ahead.drain(..count).collect()
    }

    /// Reads to the end of the connection; a reset is an end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while matches!(self.fill(), Ok(1..)) {}
        std::mem::take(&mut self.read_ahead)
    }

    /// Returns whether the peer has ended the connection, without a byte more.
    pub(crate) fn is_ended(&mut self) -> bool {
        self.rest().is_empty()
    }

    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Some(body);
            }
            let chunk = self.take(size);
            if chunk.len() < size {
                return None;
            }
            body.extend(chunk);
            self.line()?;
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.read_ahead.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.read_ahead.drain(..at + 2).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if self.fill().ok()? == 0 {
                return None;
            }
        }
    }

    /// Reads a request; `None` where there is none or it breaks off.
    pub(crate) fn request(&mut self) -> Option<Message> {
        let mut message = Message {
            head: self.head()?,
            body: Vec::new(),
        };
        if message.field("transfer-encoding").is_some() {
            message.body = self.chunks()?;
        } else if let Some(length) = message.field("content-length") {
            let length = length.parse().ok()?;
            message.body = self.take(length);
            if message.body.len() < length {
                return None;
            }
        }
        Some(message)
    }

    /// Reads the response to a request by `method`; `None` where there is none or it breaks off.
    pub(crate) fn try_response(&mut self, method: &str) -> Option<Message> {
        let mut message = Message {
            head: self.head()?,
            body: Vec::new(),
        };
        let bodyless = method == "HEAD" || matches!(message.status(), 100..=199 | 204 | 304);
        if bodyless {
            return Some(message);
        }
        if message.field("transfer-encoding").is_some() {
            message.body = self.chunks()?;
        } else if let Some(length) = message.field("content-length") {
            let length = length.parse().ok()?;
            message.body = self.take(length);
            if message.body.len() < length {
                return None;
            }
        } else {
            message.body = self.rest();
        }
        Some(message)
    }

    /// Reads a response that must come whole.
    pub(crate) fn response(&mut self) -> Message {
        self.try_response("GET").expect("a whole response comes")
    }

    /// Sends a request and reads its response.
    pub(crate) fn ask(&mut self, request: &str) -> Message {
        self.send(request);
        self.response()
    }
}

/// A backend whose every connection runs a script.
pub(crate) struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Message>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    stopped: Arc<AtomicUsize>,
}

/// What a script may use: the connection and the list of requests to record in.
pub(crate) struct Visit {
    /// The connection from the proxy.
    pub wire: Wire,
    /// 0 for the first connection of this backend.
    pub number: usize,
    requests: Arc<Mutex<Vec<Message>>>,
}

impl Visit {
    /// Reads and records a request; `None` where the proxy has closed.
    pub(crate) fn request(&mut self) -> Option<Message> {
        let request = self.wire.request()?;
        self.requests
            .lock()
            .expect("no panic")
            .push(request.clone());
        Some(request)
    }
}

impl Backend {
    /// Starts a backend on a free port of 127.0.0.1.
    pub(crate) fn scripted(script: impl Fn(Visit) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::on(listener, script)
    }

    /// Starts a backend on a listening socket.
    pub(crate) fn on(
        listener: TcpListener,
        script: impl Fn(Visit) + Send + Sync + 'static,
    ) -> Self {
        let backend = Self {
            address: listener.local_addr().expect("it is bound"),
            accepted: Arc::default(),
            requests: Arc::default(),
            open: Arc::default(),
            stopped: Arc::default(),
        };
        let (accepted, requests) = (Arc::clone(&backend.accepted), Arc::clone(&backend.requests));
        let (open, stopped) = (Arc::clone(&backend.open), Arc::clone(&backend.stopped));
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) > 0 {
                    return;
                }
                let Ok(stream) = stream else { continue };
                open.lock()
                    .expect("no panic")
                    .push(stream.try_clone().expect("a clone"));
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                let wire = Wire::new(stream);
                let visit = Visit {
                    wire,
                    number,
                    requests: Arc::clone(&requests),
                };
                let script = Arc::clone(&script);
                std::thread::spawn(move || {
                    let closing = visit.wire.stream.try_clone();
                    script(visit);
                    // The clone in `open` would keep it open otherwise.
                    let _ = closing.map(|stream| stream.shutdown(Shutdown::Both));
                });
            }
        });
        backend
    }

    /// Starts a backend that answers every request with `response`, as it is.
    pub(crate) fn saying(response: &'static str) -> Self {
        Self::scripted(move |mut visit| {
            while visit.request().is_some() {
                visit.wire.send(response);
            }
        })
    }

    /// Starts a backend that answers 200 with `name` as its body.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::scripted(move |mut visit| {
            while visit.request().is_some() {
                let length = name.len();
                visit.wire.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}"
                ));
            }
        })
    }

    /// Returns how many connections it has accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Returns the requests it has read.
    pub(crate) fn requests(&self) -> Vec<Message> {
        self.requests.lock().expect("no panic").clone()
    }

    /// Returns the last request it has read.
    pub(crate) fn last_request(&self) -> Message {
        self.requests().pop().expect("a request has come")
    }

    /// Closes its open connections, as a restart would.
    pub(crate) fn hang_up(&self) {
        for stream in self.open.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stopped.fetch_add(1, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.hang_up();
    }
}

/// Returns an address where nobody listens: bound and kept, so that nobody else gets it either.
pub(crate) fn refusing_address() -> (socket2::Socket, SocketAddr) {
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a free port");
    let address = socket
        .local_addr()
        .expect("it is bound")
        .as_socket()
        .expect("it is IP");
    (socket, address)
}
