//! Hostile and greedy clients: legal bytes, in amounts and at moments that hurt.
//!
//! Each attack runs in a thread on a host, bounded in connections and time, and ends by itself.
//! Beside it stand [`Bystanders`], the other clients, whose answers are timed; behind the proxy a
//! [`Glutton`], a backend that sends and takes as fast as it can.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::LabError;
use super::namespace::host::Host;

/// What a hostile client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// So many heads of 32 kB that are whole but for their last byte, and then whole in the same
    /// moment; again and again.
    LateHeads(usize),
    /// The same, with as many Connection options as are allowed.
    LateOptions(usize),
    /// So many connections on which requests are pipelined as fast as answers come.
    Pipelines(usize),
    /// So many downloads, as fast as they come.
    Downloads(usize),
    /// So many uploads in chunks of so many bytes.
    Uploads(usize, usize),
}

/// An attack that goes on.
#[derive(Debug)]
pub struct Attacker {
    outcome: Receiver<u64>,
    within: Duration,
}

impl Attack {
    /// Begins; the attack ends by itself after `within`.
    ///
    /// # Errors
    /// When the host does not start the thread.
    pub fn start(
        self,
        host: &Host,
        target: SocketAddr,
        within: Duration,
    ) -> Result<Attacker, LabError> {
        let (told, outcome) = sync_channel(1);
        host.thread("attacker", move || {
            let rounds = run(self.waged(target, Instant::now() + within));
            let _ = told.send(rounds.unwrap_or(0));
        })?;
        Ok(Attacker { outcome, within })
    }

    async fn waged(self, target: SocketAddr, until: Instant) -> u64 {
        let mut rounds = 0;
        while Instant::now() < until {
            rounds += match self {
                Self::LateHeads(count) => late(target, count, &long_head(false)).await,
                Self::LateOptions(count) => late(target, count, &long_head(true)).await,
                Self::Pipelines(count) => many(count, |_| pipeline(target, until)).await,
                Self::Downloads(count) => many(count, |_| download(target, until)).await,
                Self::Uploads(count, bytes) => many(count, |_| upload(target, until, bytes)).await,
            };
        }
        rounds
    }
}

impl Attacker {
    /// Waits for the end; returns how often the client has had its way: heads, answers, or
    /// mebibytes.
    pub fn wait(self) -> u64 {
        let patience = self.within + STOP_TIMEOUT;
        self.outcome.recv_timeout(patience).unwrap_or(0)
    }
}

/// The other clients: one that connects anew for each request, and one that keeps its connection.
#[derive(Debug)]
pub struct Bystanders {
    reports: Receiver<Waits>,
    within: Duration,
}

/// How long they waited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Of the requests that were answered with 200 or 503, shortest first.
    pub answered: Vec<Duration>,
    /// Requests that were not.
    pub failed: u64,
}

impl Bystanders {
    /// Begins; both ask 50 times a second at most, for `within`.
    ///
    /// # Errors
    /// When the host does not start the thread.
    pub fn start(host: &Host, target: SocketAddr, within: Duration) -> Result<Self, LabError> {
        let (told, reports) = sync_channel(1);
        host.thread("bystanders", move || {
            let until = Instant::now() + within;
            let both = async {
                let (mut fresh, kept) = tokio::join!(
                    ask_on(target, until, "close"),
                    ask_on(target, until, "keep-alive")
                );
                fresh.answered.extend(kept.answered);
                fresh.failed += kept.failed;
                fresh.answered.sort_unstable();
                fresh
            };
            let _ = told.send(run(both).unwrap_or_default());
        })?;
        Ok(Self { reports, within })
    }

    /// Waits for the end.
    pub fn wait(self) -> Waits {
        let patience = self.within + STOP_TIMEOUT;
        self.reports.recv_timeout(patience).unwrap_or_default()
    }
}

impl Waits {
    /// Returns the wait that so many hundredths did not exceed; a very long one where nothing was
    /// answered.
    pub fn percentile(&self, hundredths: usize) -> Duration {
        let index = (self.answered.len() * hundredths / 100).min(self.answered.len().max(1) - 1);
        self.answered.get(index).copied().unwrap_or(ANSWER_TIMEOUT)
    }
}

/// A backend that sends and takes as fast as it can; it ends with its host.
#[derive(Debug)]
pub struct Glutton;

impl Glutton {
    /// Listens; returns where. GET of `/download` has no end, POST is read for ever, all else is
    /// answered briefly.
    ///
    /// # Errors
    /// When the host does not start the thread, or the address cannot be listened on.
    pub fn start(host: &Host, address: SocketAddr) -> Result<SocketAddr, LabError> {
        let (told, listening) = sync_channel(1);
        host.thread("glutton", move || {
            let _ = run(async move {
                match listen(address) {
                    Ok(listener) => {
                        let _ = told.send(listener.local_addr());
                        serve(listener).await;
                    }
                    Err(error) => drop(told.send(Err(error))),
                }
            });
        })?;
        listening
            .recv_timeout(STOP_TIMEOUT)
            .map_err(|_| LabError::HostSilent(host.name().to_owned()))?
            .map_err(LabError::system(format!("listen on {address}")))
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Runs a future on a runtime of this thread's own.
fn run<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime: Runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(tokio::task::LocalSet::new().block_on(&runtime, future))
}

/// Runs so many of a kind at once; returns the sum of what they return.
async fn many<F: Future<Output = u64> + 'static>(count: usize, one: impl Fn(usize) -> F) -> u64 {
    let mut all = JoinSet::new();
    for number in 0..count {
        all.spawn_local(one(number));
    }
    let mut sum = 0;
    while let Some(ended) = all.join_next().await {
        sum += ended.unwrap_or(0);
    }
    sum
}

/// Returns a legal head of about 32 kB.
fn long_head(options: bool) -> Vec<u8> {
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    if options {
        head.extend_from_slice(b"Connection: ");
        head.extend_from_slice(&b"a,".repeat(31));
        head.extend_from_slice(b"a\r\n");
    }
    for number in 0..90 {
        head.extend_from_slice(format!("a: {number:0>340}\r\n").as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Sends so many heads but for the last byte, then that; returns how many were answered.
async fn late(target: SocketAddr, count: usize, head: &[u8]) -> u64 {
    let mut staged = Vec::with_capacity(count);
    for _ in 0..count {
        let Ok(Ok(mut stream)) = timeout(ANSWER_TIMEOUT, TcpStream::connect(target)).await else {
            continue;
        };
        let sent = stream.write_all(&head[..head.len() - 1]);
        if let Ok(Ok(())) = timeout(ANSWER_TIMEOUT, sent).await {
            staged.push(stream);
        }
    }
    for stream in &mut staged {
        let _ = stream.write_all(&head[head.len() - 1..]).await;
    }
    let mut answered = 0;
    for stream in &mut staged {
        if let Ok(Ok(1..)) = timeout(ANSWER_TIMEOUT, stream.read(&mut [0; 64])).await {
            answered += 1;
        }
    }
    answered
}

async fn pipeline(target: SocketAddr, until: Instant) -> u64 {
    let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    let mut mebibytes = 0;
    while let (Ok(stream), true) = (TcpStream::connect(target).await, Instant::now() < until) {
        let (mut reader, mut writer) = stream.into_split();
        let asking = async { while writer.write_all(&requests).await.is_ok() {} };
        let hearing = drain(&mut reader);
        let both = async { tokio::join!(asking, hearing).1 };
        mebibytes += timeout(until - Instant::now(), both).await.unwrap_or(1);
    }
    mebibytes
}

async fn download(target: SocketAddr, until: Instant) -> u64 {
    let Ok(mut stream) = TcpStream::connect(target).await else {
        return 0;
    };
    let asked = stream.write_all(b"GET /download HTTP/1.1\r\nHost: a\r\n\r\n");
    if asked.await.is_err() {
        return 0;
    }
    let left = until.saturating_duration_since(Instant::now());
    timeout(left, drain(&mut stream)).await.unwrap_or(1)
}

async fn upload(target: SocketAddr, until: Instant, bytes: usize) -> u64 {
    let Ok(mut stream) = TcpStream::connect(target).await else {
        return 0;
    };
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    if stream.write_all(head).await.is_err() {
        return 0;
    }
    let mut chunk = format!("{bytes:x}\r\n").into_bytes();
    chunk.resize(chunk.len() + bytes, b'x');
    chunk.extend_from_slice(b"\r\n");
    let chunks = chunk.repeat((64 * 1024 / chunk.len()).max(1));
    let mut sent = 0;
    let sending = async {
        while stream.write_all(&chunks).await.is_ok() {
            sent += chunks.len();
        }
    };
    let left = until.saturating_duration_since(Instant::now());
    let _ = timeout(left, sending).await;
    (sent >> 20) as u64
}

/// Reads to the end; returns the mebibytes.
async fn drain(reader: &mut (impl AsyncReadExt + Unpin)) -> u64 {
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    while let Ok(len @ 1..) = reader.read(&mut buffer).await {
        bytes += len as u64;
    }
    bytes >> 20
}

/// Asks again and again; a connection that is kept is opened anew when it has ended.
async fn ask_on(target: SocketAddr, until: Instant, connection: &str) -> Waits {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n");
    let mut waits = Waits::default();
    let mut kept = None;
    while Instant::now() < until {
        let began_at = Instant::now();
        match timeout(ANSWER_TIMEOUT, ask_once(target, &mut kept, &request)).await {
            Ok(Ok(())) => waits.answered.push(began_at.elapsed()),
            Ok(Err(_)) | Err(_) => {
                kept = None;
                waits.failed += 1;
            }
        }
        if connection == "close" {
            kept = None;
        }
        tokio::time::sleep(ASK_PAUSE).await;
    }
    waits
}

async fn ask_once(
    target: SocketAddr,
    kept: &mut Option<TcpStream>,
    request: &str,
) -> io::Result<()> {
    let stream = match kept {
        Some(stream) => stream,
        None => kept.insert(TcpStream::connect(target).await?),
    };
    stream.write_all(request.as_bytes()).await?;
    let mut text = Vec::new();
    loop {
        if stream.read_buf(&mut text).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if text.starts_with(b"HTTP/1.1 200") && text.ends_with(b"\r\n\r\nok") {
            return Ok(());
        }
    }
}

async fn serve(listener: TcpListener) {
    let mut serving = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        serving.spawn_local(serve_one(stream));
        while serving.try_join_next().is_some() {}
    }
}

async fn serve_one(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
            if head.starts_with(b"POST") {
                drain(&mut stream).await;
                return Ok(());
            }
        }
        if head.starts_with(b"GET /download") {
            let endless = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40);
            stream.write_all(endless.as_bytes()).await?;
            let block = vec![b'x'; 256 * 1024];
            loop {
                stream.write_all(&block).await?;
            }
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await?;
    }
}

/// How long a client waits for anything.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of a thread may take beyond its time.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two requests of a bystander.
const ASK_PAUSE: Duration = Duration::from_millis(20);
/// Connections that wait for the glutton.
const BACKLOG: u32 = 4096;
