//! Connections to backends: opened, kept for the next request, and noticed when dead.
//!
//! One set a data thread, nothing shared. A kept connection has a task that reads on it, so its end
//! is seen at once; a request that must not be sent twice also looks at the socket itself before it
//! is entrusted to one.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::message::RequestBody;
use super::shared::{Backend, Table};

/// The kept connections of one data thread, by pool and backend.
pub(super) struct Upstreams {
    idle: Vec<Vec<RefCell<Vec<Idle>>>>,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    probe: Probe,
    since: Instant,
}

/// A second descriptor of an upstream socket; its connection's task takes it away at the end.
type Probe = Rc<RefCell<Option<Socket>>>;

/// A connection in use.
pub(super) struct Lease {
    pub(super) sender: SendRequest<RequestBody>,
    probe: Probe,
    home: Rc<Upstreams>,
    pool: usize,
    backend: usize,
}

impl Upstreams {
    pub(super) fn new(table: &Table) -> Upstreams {
        let idle = table.pools.iter().map(|pool| {
            pool.backends
                .iter()
                .map(|_| RefCell::new(Vec::new()))
                .collect::<Vec<_>>()
        });
        Upstreams {
            idle: idle.collect(),
        }
    }

    /// Returns the connection used last that is still alive; with `looked_at`, its socket is looked
    /// at first.
    pub(super) fn take(
        self: &Rc<Self>,
        pool: usize,
        backend: usize,
        looked_at: LookedAt,
    ) -> Option<Lease> {
        let mut idle = self.idle[pool][backend].borrow_mut();
        while let Some(Idle {
            sender,
            probe,
            since,
        }) = idle.pop()
        {
            if since.elapsed() >= IDLE_TIMEOUT {
                idle.clear();
                return None;
            }
            let alive = sender.is_ready()
                && !sender.is_closed()
                && (looked_at == LookedAt::No || is_quiet(&probe));
            if alive {
                return Some(Lease {
                    sender,
                    probe,
                    home: Rc::clone(self),
                    pool,
                    backend,
                });
            }
        }
        None
    }

    /// Opens a connection.
    pub(super) async fn open(
        self: &Rc<Self>,
        pool: usize,
        backend: usize,
        address: SocketAddr,
        within: Duration,
    ) -> Result<Lease, OpenError> {
        let connecting = tokio::time::timeout(within, TcpStream::connect(address));
        let stream = connecting
            .await
            .map_err(|_| OpenError::TimedOut)?
            .map_err(OpenError::Refused)?;
        stream.set_nodelay(true).map_err(OpenError::Refused)?;
        let probe: Probe = Rc::new(RefCell::new(SockRef::from(&stream).try_clone().ok()));
        let (sender, connection) = Builder::new()
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(BUFFER_BYTES_MAX)
            .handshake::<_, RequestBody>(TokioIo::new(PatientStream {
                stream,
                writes: Writes::Taken,
            }))
            .await
            .map_err(|error| OpenError::Refused(io::Error::other(error)))?;
        let held = Rc::clone(&probe);
        tokio::task::spawn_local(async move {
            // Whoever waits for an answer on it is told the error; nobody else cares how it ended.
            let _ = connection.with_upgrades().await;
            held.borrow_mut().take();
        });
        Ok(Lease {
            sender,
            probe,
            home: Rc::clone(self),
            pool,
            backend,
        })
    }

    /// Closes what was not used for a while.
    pub(super) fn sweep(&self) {
        for idle in self.idle.iter().flatten() {
            idle.borrow_mut()
                .retain(|kept| kept.since.elapsed() < IDLE_TIMEOUT && !kept.sender.is_closed());
        }
    }

    /// Closes all that are kept.
    pub(super) fn clear(&self) {
        for idle in self.idle.iter().flatten() {
            idle.borrow_mut().clear();
        }
    }

    fn keep(&self, pool: usize, backend: usize, kept: Idle) {
        let mut idle = self.idle[pool][backend].borrow_mut();
        if idle.len() >= IDLE_MAX {
            idle.remove(0);
        }
        idle.push(kept);
    }
}

impl Lease {
    /// Keeps the connection for another request, if it is fit for one.
    pub(super) fn give_back(self) {
        let Lease {
            mut sender,
            probe,
            home,
            pool,
            backend,
        } = self;
        if sender.is_closed() {
            return;
        }
        if sender.is_ready() {
            home.keep(
                pool,
                backend,
                Idle {
                    sender,
                    probe,
                    since: Instant::now(),
                },
            );
            return;
        }
        // The end of the response was handed on before its connection's task came to rest.
        tokio::task::spawn_local(async move {
            if let Ok(Ok(())) = tokio::time::timeout(REST_TIMEOUT, sender.ready()).await {
                home.keep(
                    pool,
                    backend,
                    Idle {
                        sender,
                        probe,
                        since: Instant::now(),
                    },
                );
            }
        });
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum OpenError {
    /// Not in time.
    TimedOut,
    /// The system said no.
    Refused(io::Error),
}

/// Whether a kept connection's socket is looked at before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LookedAt {
    /// Its task's word is enough: the request can be sent again.
    No,
    /// One system call more: the request cannot be sent again.
    Yes,
}

fn is_quiet(probe: &Probe) -> bool {
    let probe = probe.borrow();
    let Some(socket) = probe.as_ref() else {
        return false;
    };
    let mut byte = [std::mem::MaybeUninit::uninit()];
    match socket.peek(&mut byte) {
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// A backend's socket whose end is learned by reading alone.
///
/// A backend may answer early, and close, while a request's body is still being sent: the next
/// write fails, though the answer lies in the socket, unread. Here what cannot be written is thrown
/// away, so that hyper comes to read: the answer, or how the connection ended.
struct PatientStream {
    stream: TcpStream,
    writes: Writes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writes {
    Taken,
    ThrownAway,
}

impl PatientStream {
    fn taken(&mut self, wanted: usize, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            Ok(written) => Ok(written),
            Err(_) => {
                self.writes = Writes::ThrownAway;
                Ok(wanted)
            }
        }
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.writes == Writes::ThrownAway {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        Poll::Ready(self.taken(buf.len(), result))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        if self.writes == Writes::ThrownAway {
            return Poll::Ready(Ok(wanted));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs));
        Poll::Ready(self.taken(wanted, result))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A request that a backend is busy with, counted until this is dropped.
pub(super) struct InFlight {
    table: Arc<Table>,
    pool: usize,
    backend: usize,
}

impl InFlight {
    pub(super) fn new(table: Arc<Table>, pool: usize, backend: usize) -> InFlight {
        let this = InFlight {
            table,
            pool,
            backend,
        };
        this.backend().in_flight.fetch_add(1, Relaxed);
        this.backend().requests.fetch_add(1, Relaxed);
        this
    }

    fn backend(&self) -> &Backend {
        &self.table.pools[self.pool].backends[self.backend]
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.backend().in_flight.fetch_sub(1, Relaxed);
    }
}

/// Connections kept for a backend by one data thread; the oldest is closed for one more.
const IDLE_MAX: usize = 64;
/// How long a connection is kept unused; below what backends commonly allow.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may take to be fit for the next request, after an answer that came before
/// its request ended.
const REST_TIMEOUT: Duration = Duration::from_secs(1);
/// A response's head; more is a bad answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Read ahead of a slow client; then the backend waits.
const BUFFER_BYTES_MAX: usize = 256 * 1024;
