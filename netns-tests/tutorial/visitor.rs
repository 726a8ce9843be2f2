//! A visitor: one connection that is kept as long as it lasts, a cookie, and distrust.
//!
//! Every page says its own number, and the web server says which cookie it saw, so that an answer
//! to somebody else's question is noticed. A request without a whole answer has failed; an answer
//! that does not fit is wrong.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use evenkeel::lab::namespace::host::Host;

/// A thread on a host that asks for one page after the other.
#[derive(Debug)]
pub(super) struct Visitor {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What a visitor has seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Right answers.
    pub served: usize,
    /// Connections that were made.
    pub connections: usize,
    /// Requests without a whole answer, or with an error's: what went wrong.
    pub failed: Vec<String>,
    /// Answers that do not fit their requests.
    pub wrong: Vec<String>,
    /// The cookie that the site has set.
    pub cookie: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    leaves: AtomicBool,
    tally: Mutex<Tally>,
}

/// An answer as it came.
struct Answer {
    status: u16,
    cookie_set: Option<String>,
    cookie_seen: Option<String>,
    body: String,
}

impl Visitor {
    /// Begins to ask for these pages, in turn.
    pub(super) fn enter(host: &Host, door: SocketAddr, pages: Vec<usize>) -> Self {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = host
            .thread("visitor", move || visit(&own, door, &pages))
            .expect("a thread");
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Returns what it has seen so far.
    pub(super) fn tally(&self) -> Tally {
        self.shared.tally().clone()
    }

    /// Stops asking, and returns all it has seen.
    pub(super) fn leave(mut self) -> Tally {
        self.end();
        self.tally()
    }

    fn end(&mut self) {
        self.shared.leaves.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // One that panicked has ended too, and its tally stands still.
            let _ = thread.join();
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks until the visitor leaves.
fn visit(shared: &Shared, door: SocketAddr, pages: &[usize]) {
    let mut connection = None;
    let mut cookie: Option<String> = None;
    for page in pages.iter().cycle() {
        if shared.leaves.load(Ordering::Relaxed) {
            return;
        }
        let answer = connected(&mut connection, door, shared)
            .and_then(|stream| ask(stream, door, *page, cookie.as_deref()));
        let mut tally = shared.tally();
        match answer {
            Err(error) => {
                connection = None;
                tally.failed.push(format!("page {page}: {error}"));
            }
            Ok(answer) if answer.status >= 500 => {
                let status = answer.status;
                tally.failed.push(format!("page {page}: status {status}"));
            }
            Ok(answer) => match wrong(&answer, *page, cookie.as_deref()) {
                Some(what) => tally.wrong.push(format!("page {page}: {what}")),
                None => {
                    tally.served += 1;
                    cookie = cookie.or(answer.cookie_set);
                    tally.cookie.clone_from(&cookie);
                }
            },
        }
        drop(tally);
        std::thread::sleep(BETWEEN);
    }
}

/// Returns the connection, a new one if there is none.
fn connected<'a>(
    connection: &'a mut Option<BufReader<TcpStream>>,
    door: SocketAddr,
    shared: &Shared,
) -> io::Result<&'a mut BufReader<TcpStream>> {
    match connection {
        Some(stream) => Ok(stream),
        None => {
            let stream = TcpStream::connect_timeout(&door, LIMIT)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.set_write_timeout(Some(LIMIT))?;
            shared.tally().connections += 1;
            Ok(connection.insert(BufReader::new(stream)))
        }
    }
}

/// Sends a request and reads its answer to the end.
fn ask(
    stream: &mut BufReader<TcpStream>,
    door: SocketAddr,
    page: usize,
    cookie: Option<&str>,
) -> io::Result<Answer> {
    let cookie = cookie.map_or(String::new(), |cookie| format!("Cookie: {cookie}\r\n"));
    let request = format!(
        "GET /{page}.txt HTTP/1.1\r\nHost: {}\r\n{cookie}\r\n",
        door.ip()
    );
    stream.get_mut().write_all(request.as_bytes())?;
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let status = line(stream)?
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| broken("no status line"))?;
    let mut answer = Answer {
        status,
        cookie_set: None,
        cookie_seen: None,
        body: String::new(),
    };
    let mut length = None;
    loop {
        let line = line(stream)?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok(),
            "set-cookie" => answer.cookie_set = value.split(';').next().map(str::to_owned),
            "x-seen-cookie" => answer.cookie_seen = Some(value.to_owned()),
            _ => {}
        }
    }
    let length: usize = length.ok_or_else(|| broken("no length"))?;
    let mut body = vec![0; length.min(BODY_BYTES_MAX)];
    stream.read_exact(&mut body)?;
    answer.body = String::from_utf8(body).map_err(|_| broken("a body that is no text"))?;
    Ok(answer)
}

/// Reads a line, without its end.
fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.take(LINE_BYTES_MAX).read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Returns what does not fit the question.
fn wrong(answer: &Answer, page: usize, cookie: Option<&str>) -> Option<String> {
    let number = answer.body.split(' ').next().unwrap_or_default();
    if answer.status != 200 || number != page.to_string() {
        return Some(format!("status {}, body {:?}", answer.status, answer.body));
    }
    let (seen, set) = (answer.cookie_seen.as_deref(), answer.cookie_set.as_deref());
    (seen != cookie || set.is_some() == cookie.is_some())
        .then(|| format!("sent cookie {cookie:?}, it saw {seen:?} and set {set:?}"))
}

/// Between an answer and the next request.
const BETWEEN: Duration = Duration::from_millis(5);
/// What connecting may take, and each silence while waiting for an answer.
const LIMIT: Duration = Duration::from_millis(500);
const LINE_BYTES_MAX: u64 = 8 << 10;
const BODY_BYTES_MAX: usize = 64 << 10;
