//! Clients that ask all the time, each time on a fresh connection or always on the same.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use evenkeel::lab::namespace::host::Host;

use super::PATIENCE;

/// Both kinds, until they are stopped.
pub(super) struct Clients {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// Fresh, kept.
    asked: [AtomicU64; 2],
    failures: Mutex<Vec<String>>,
}

impl Clients {
    pub(super) fn start(host: &Host, target: SocketAddr) -> Self {
        let shared = Arc::<Shared>::default();
        let thread = |is_kept: bool| {
            let shared = Arc::clone(&shared);
            host.thread("client", move || ask_until(&shared, target, is_kept))
                .unwrap()
        };
        let threads = vec![thread(false), thread(true)];
        Self { shared, threads }
    }

    /// Sends requests that are answered after so long, each on a connection of its own; what fails
    /// of them is among the failures.
    pub(super) fn wait_long(&mut self, host: &Host, target: SocketAddr, delay: Duration) {
        let path = format!("/?delay_ms={}", delay.as_millis());
        for _ in 0..SLOW {
            let (shared, path) = (Arc::clone(&self.shared), path.clone());
            let thread = host.thread("slow", move || {
                match connect(target).and_then(|stream| ask(stream, &path)) {
                    Ok((status, _)) if status.contains(" 200 ") => {}
                    Ok((status, _)) => shared.fail(status),
                    Err(error) => shared.fail(error.to_string()),
                }
            });
            self.threads.push(thread.unwrap());
        }
    }

    /// Returns how many were answered, fresh and kept.
    pub(super) fn asked(&self) -> [u64; 2] {
        self.shared.asked.each_ref().map(|it| it.load(Relaxed))
    }

    pub(super) fn failures(&self) -> Vec<String> {
        self.shared.failures.lock().unwrap().clone()
    }

    /// Has them end; returns what has failed.
    pub(super) fn stop(&mut self) -> Vec<String> {
        self.shared.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        self.failures()
    }
}

impl Shared {
    fn fail(&self, why: String) {
        self.failures.lock().unwrap().push(why);
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
    }
}

fn ask_until(shared: &Shared, target: SocketAddr, is_kept: bool) {
    let mut kept: Option<BufReader<TcpStream>> = None;
    while !shared.stop.load(Relaxed) {
        let stream = kept.take();
        let answered = stream
            .map_or_else(|| connect(target), Ok)
            .and_then(|stream| ask(stream, "/"));
        match answered {
            Ok((status, stream)) if status.contains(" 200 ") => {
                kept = is_kept.then_some(stream);
                shared.asked[usize::from(is_kept)].fetch_add(1, Relaxed);
            }
            Ok((status, _)) => shared.fail(status),
            Err(error) => shared.fail(error.to_string()),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn connect(target: SocketAddr) -> std::io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// Returns the status line.
fn ask(
    mut stream: BufReader<TcpStream>,
    path: &str,
) -> std::io::Result<(String, BufReader<TcpStream>)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: web.lab\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes())?;
    let mut status = String::new();
    stream.read_line(&mut status)?;
    let (mut length, mut line) = (0, String::new());
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((status.trim_end().to_owned(), stream))
}

/// So many that not all are with a backend that stays.
const SLOW: usize = 8;
