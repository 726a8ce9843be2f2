//! A client: asks on a virtual address every few milliseconds, and every node answers there.
//!
//! UDP, so that nothing but the link and who holds the address decides whether an answer comes: no
//! retransmission hides a loss, no connection outlives a move.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evenkeel::lab::LabError;
use evenkeel::lab::namespace::host::Host;

use super::capture::now;

/// A thread on a host that ends when this is dropped.
struct Worker {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(
        host: &Host,
        name: &str,
        port: u16,
        mut turn: impl FnMut(&UdpSocket) + Send + 'static,
    ) -> Result<Self, LabError> {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let socket = host.try_run("open a UDP socket", move || {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
            socket.set_read_timeout(Some(TURN))?;
            Ok(socket)
        })?;
        let thread = host.thread(name, move || {
            while !until.load(Ordering::Relaxed) {
                turn(&socket);
            }
        })?;
        Ok(Self {
            over,
            thread: Some(thread),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Says back what it hears on any address of its host, until it is dropped.
pub(crate) struct Echo(#[expect(dead_code, reason = "it is only kept")] Worker);

impl Echo {
    /// Begins to answer.
    pub(crate) fn start(host: &Host) -> Result<Self, LabError> {
        let mut buf = [0; 64];
        let answer = move |socket: &UdpSocket| {
            if let Ok((len, from)) = socket.recv_from(&mut buf) {
                // Who asked will notice.
                let _ = socket.send_to(&buf[..len], from);
            }
        };
        Worker::start(host, "echo", PORT, answer).map(Self)
    }
}

/// Asks every 5 ms, until it is dropped.
pub(crate) struct Client {
    answered: Arc<Mutex<Vec<Duration>>>,
    _worker: Worker,
}

impl Client {
    /// Begins to ask.
    pub(crate) fn start(host: &Host, address: Ipv4Addr) -> Result<Self, LabError> {
        let answered = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&answered);
        let to = SocketAddr::from((address, PORT));
        let ask = move |socket: &UdpSocket| {
            let until = Instant::now() + EVERY;
            let asked_at = u64::try_from(now().as_nanos()).unwrap_or(0);
            // A host that knows no way says so here; that is no answer either.
            let _ = socket.send_to(&asked_at.to_be_bytes(), to);
            while let Some(left) = until
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())
            {
                let mut buf = [0; 8];
                let _ = socket.set_read_timeout(Some(left));
                if let Ok((8, _)) = socket.recv_from(&mut buf) {
                    let mut answered = into.lock().unwrap_or_else(PoisonError::into_inner);
                    answered.push(Duration::from_nanos(u64::from_be_bytes(buf)));
                }
            }
        };
        Ok(Self {
            answered,
            _worker: Worker::start(host, "client", 0, ask)?,
        })
    }

    /// Returns the longest time between two questions that were answered, asked in this span; both
    /// its ends count as answered.
    pub(crate) fn longest_blackout(&self, from: Duration, to: Duration) -> Duration {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        super::capture::longest_gap(&answered, from, to)
    }
}

const PORT: u16 = 7;
const EVERY: Duration = Duration::from_millis(5);
const TURN: Duration = Duration::from_millis(20);
