//! The thread that serves: it accepts on the sockets that it was last passed, a task a connection.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinSet, LocalSet};

use super::asking::Line;
use super::desk::Desk;
use super::watched;
use crate::ipc::message::AdminSettings;

/// What the supervisor says.
#[derive(Debug)]
pub(super) enum Told {
    /// Over which it is asked: first what is shown, then what is changed.
    Lines(Vec<OwnedFd>),
    /// Answer there, so.
    Serve(AdminSettings, Vec<OwnedFd>),
}

/// Grows as long as the thread makes progress.
#[derive(Debug, Default)]
pub(super) struct Pulse(AtomicU64);

impl Pulse {
    /// Returns how far it has come.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Serves until nothing more is told.
pub(super) fn run(told: Receiver<Told>, pulse: &Pulse) -> io::Result<()> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(told, pulse))
}

async fn serve(mut told: Receiver<Told>, pulse: &Pulse) -> io::Result<()> {
    let mut pulse_tick = tokio::time::interval(PULSE);
    let desk = Rc::new(Desk::default());
    let permits = Rc::new(Semaphore::new(CONNECTIONS_MAX));
    // Whoever listened before is dropped, with its sockets.
    let mut accepting: JoinSet<()>;
    let mut watching = JoinSet::new();
    loop {
        let next = tokio::select! {
            _ = pulse_tick.tick() => {
                pulse.beat();
                continue;
            }
            Some(ended) = watching.join_next() => {
                // The supervisor does not answer: there is nothing to show.
                return ended.unwrap_or(Ok(()));
            }
            next = told.recv() => next,
        };
        match next {
            None => return Ok(()),
            Some(Told::Lines(lines)) => {
                let mut lines = lines.into_iter().map(Line::new);
                if let (Some(Ok(shown)), Some(Ok(changed))) = (lines.next(), lines.next()) {
                    desk.changes.connect(changed);
                    watching.spawn_local(watched::follow(Rc::clone(&desk.watched), shown));
                }
            }
            Some(Told::Serve(settings, sockets)) => {
                desk.settings.replace(Rc::new(settings));
                accepting = JoinSet::new();
                for socket in sockets {
                    let listener = TcpListener::from_std(StdListener::from(socket))?;
                    let (desk, permits) = (Rc::clone(&desk), Rc::clone(&permits));
                    accepting.spawn_local(accept(listener, desk, permits));
                }
            }
        }
    }
}

async fn accept(listener: TcpListener, desk: Rc<Desk>, permits: Rc<Semaphore>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (desk, permits) = (Rc::clone(&desk), Rc::clone(&permits));
                tokio::task::spawn_local(async move {
                    // One too many is closed: who waited here would hold a descriptor for it.
                    if let Ok(_permit) = permits.try_acquire() {
                        answer(stream, peer, &desk).await;
                    }
                });
            }
            Err(error) => {
                tracing::debug!(%error, "failed to accept on the admin listener");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, peer: SocketAddr, desk: &Rc<Desk>) {
    let service = service_fn(|request| {
        let desk = Rc::clone(desk);
        async move { Ok::<_, std::convert::Infallible>(desk.answer(request, peer).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    // Who does not read, or asks for ever, does not keep a place for longer.
    let served = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
    if let Ok(Err(error)) = served {
        tracing::debug!(%peer, %error, "connection to the admin listener failed");
    }
}

const PULSE: Duration = Duration::from_millis(250);
/// Connections at a time; more are closed at once.
const CONNECTIONS_MAX: usize = 256;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const HEADERS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Pages that are open come back by themselves.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(600);
/// After an accept that failed, so that a lack of descriptors is not a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
