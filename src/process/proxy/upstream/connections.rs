//! Connections to backends that are kept for the next request, and noticed when dead.
//!
//! One set a worker and backend, nothing shared; generations that keep alike have the same set. The
//! runtime hears of the end of a kept connection
//! by itself; it is asked before one is used, and in every sweep. A request that must not be sent
//! twice also has the kernel asked, and so has every request to a backend that has once sent what
//! nobody had asked for: the next might be taken for an answer.

pub(in crate::process::proxy) mod multiplexed;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use self::multiplexed::Multiplexed;
use crate::config::KeepAliveConfig;
use crate::process::proxy::io::deadline::{CoarseClock, millis};
use crate::process::proxy::io::socket::Unread;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::tls::connector::Connector;
use crate::process::proxy::upstream::backend::BackendRuntime;

/// The connections that one worker keeps to a backend.
pub(in crate::process::proxy) struct Kept {
    backend: Arc<BackendRuntime>,
    keep_alive: KeepAliveConfig,
    /// How TLS is spoken on them, where it is.
    connector: Option<Arc<Connector>>,
    idle: RefCell<Vec<Idle>>,
    /// How long one is kept unused.
    idle_ms_max: u64,
    /// How many there may be; the oldest is closed for one more.
    idle_max: usize,
    count: Rc<KeptCount>,
    /// No generation to come has it.
    retired: Cell<bool>,
    /// Those that carry many requests, where the backend speaks HTTP/2.
    pub(in crate::process::proxy) multiplexed: Multiplexed,
}

struct Idle {
    stream: Stream,
    /// Whose it was said to be; it is nobody else's.
    client: Option<SocketAddr>,
    since_ms: u64,
}

/// How many connections one worker keeps, to all backends.
pub(in crate::process::proxy) struct KeptCount {
    clock: CoarseClock,
    /// How many there may be.
    max: Cell<usize>,
    now: Cell<usize>,
}

impl KeptCount {
    pub(in crate::process::proxy) fn new(clock: CoarseClock, max: usize) -> Self {
        Self {
            clock,
            max: Cell::new(max),
            now: Cell::new(0),
        }
    }

    /// Sets how many there may be; those that are too many then end with their time.
    pub(in crate::process::proxy) fn set_max(&self, max: usize) {
        self.max.set(max);
    }

    fn one_more(&self) {
        self.now.set(self.now.get() + 1);
    }

    fn fewer(&self, by: usize) {
        self.now.set(self.now.get() - by);
    }
}

impl Kept {
    pub(in crate::process::proxy) fn new(
        backend: &Arc<BackendRuntime>,
        keep_alive: KeepAliveConfig,
        connector: Option<&Arc<Connector>>,
        count: &Rc<KeptCount>,
    ) -> Self {
        Self {
            backend: Arc::clone(backend),
            keep_alive,
            connector: connector.map(Arc::clone),
            idle: RefCell::default(),
            idle_ms_max: millis(keep_alive.timeout),
            idle_max: usize::try_from(keep_alive.connections).unwrap_or(usize::MAX),
            count: Rc::clone(count),
            retired: Cell::new(false),
            multiplexed: Multiplexed::default(),
        }
    }

    /// Returns whether these are connections to this backend, kept in this way.
    pub(in crate::process::proxy) fn is_of(
        &self,
        backend: &Arc<BackendRuntime>,
        keep_alive: KeepAliveConfig,
        connector: Option<&Arc<Connector>>,
    ) -> bool {
        let speaks_alike = match (&self.connector, connector) {
            (None, None) => true,
            (Some(own), Some(other)) => own.is_like(other),
            (None, Some(_)) | (Some(_), None) => false,
        };
        Arc::ptr_eq(&self.backend, backend) && self.keep_alive == keep_alive && speaks_alike
    }

    /// Closes all that are kept, and keeps none any more: what requests of old generations give
    /// back is closed.
    pub(in crate::process::proxy) fn retire(&self) {
        self.retired.set(true);
        self.clear();
    }

    fn is_old(&self, since_ms: u64) -> bool {
        self.count.clock.get().saturating_sub(since_ms) >= self.idle_ms_max
    }

    /// Closes a kept connection, so that another one can be opened; returns whether there was one.
    pub(in crate::process::proxy) fn close_one(&self) -> bool {
        let mut closed = self.idle.borrow_mut().pop();
        // Its port is free at once, too.
        if let Some(closed) = &mut closed {
            closed.stream.reset_on_close();
        }
        if closed.is_some() {
            self.count.fewer(1);
        }
        closed.is_some()
    }

    /// Returns the connection used last that is still alive, and was said to be this client's.
    pub(in crate::process::proxy) fn take(
        &self,
        liveness: Liveness,
        client: Option<SocketAddr>,
    ) -> Option<Stream> {
        let mut idle = self.idle.borrow_mut();
        while let Some(at) = idle.iter().rposition(|kept| kept.client == client) {
            let Idle {
                mut stream,
                since_ms,
                ..
            } = idle.remove(at);
            self.count.fewer(1);
            if self.is_old(since_ms) {
                // So are those before it.
                self.count.fewer(at);
                idle.drain(..at);
                return None;
            }
            let unread = match (stream.unread(), liveness) {
                (Unread::Nothing, Liveness::Kernel) => stream.unread_in_the_kernel(),
                (unread, Liveness::Runtime | Liveness::Kernel) => unread,
            };
            match unread {
                Unread::Nothing => return Some(stream),
                Unread::Bytes => self.backend.count_unsolicited(),
                Unread::End | Unread::Failure => {}
            }
        }
        None
    }

    /// Keeps a connection on which an exchange has come to its clean end, and which was said to be
    /// this client's.
    pub(in crate::process::proxy) fn keep(&self, stream: Stream, client: Option<SocketAddr>) {
        let is_full = self.count.now.get() >= self.count.max.get();
        if is_full || self.retired.get() || stream.frames().is_some() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.idle_max {
            idle.remove(0);
        } else {
            self.count.one_more();
        }
        let since_ms = self.count.clock.get();
        idle.push(Idle {
            stream,
            client,
            since_ms,
        });
    }

    /// Closes what has ended, has something to say or was not used for a while.
    pub(in crate::process::proxy) fn sweep(&self) {
        self.multiplexed
            .sweep(self.count.clock.get(), self.idle_ms_max);
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain_mut(|kept| {
            let unread = kept.stream.unread();
            if unread == Unread::Bytes {
                self.backend.count_unsolicited();
            }
            unread == Unread::Nothing && !self.is_old(kept.since_ms)
        });
        self.count.fewer(before - idle.len());
    }

    /// Closes all that are kept.
    pub(in crate::process::proxy) fn clear(&self) {
        let mut idle = self.idle.borrow_mut();
        self.count.fewer(idle.len());
        idle.clear();
        self.multiplexed.clear();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Who says that a kept connection is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Liveness {
    /// What the runtime has heard is enough: the request can be sent again.
    Runtime,
    /// The kernel, at one system call more: the request cannot be sent again.
    Kernel,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::net::TcpListener;

    use tokio::net::TcpStream;

    use super::*;
    use crate::config::{BackendConfig, HealthCheckConfig};

    /// What connections are kept by default.
    const IDLE_MS_MAX: u64 = 4000;

    /// Returns a backend at this address.
    fn backend(address: SocketAddr) -> Arc<BackendRuntime> {
        let name = "a".to_owned();
        let config = BackendConfig {
            name,
            address,
            weight: 1,
            requests: None,
            mode: crate::config::BackendMode::Up,
            tier: crate::config::Tier::Primary,
            origin: crate::config::Origin::Written,
        };
        Arc::new(BackendRuntime::new(&config, &HealthCheckConfig::None, None))
    }

    #[test]
    fn kept_connections_are_used_within_their_time_and_closed_after_it() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clock = CoarseClock::default();
        let count = Rc::new(KeptCount::new(Rc::clone(&clock), 10));
        let kept = Kept::new(&backend(address), KeepAliveConfig::default(), None, &count);
        runtime.block_on(async {
            let keep = async || {
                let stream = TcpStream::connect(address).await.unwrap();
                kept.keep(Stream::registered(stream), None);
                listener.accept().unwrap().0
            };
            let take = || kept.take(Liveness::Kernel, None);
            let _peer = keep().await;
            clock.set(IDLE_MS_MAX - 1);
            kept.sweep();
            let stream = take().expect("it is still kept");
            kept.keep(stream, None);
            clock.set(2 * IDLE_MS_MAX - 2);
            kept.sweep();
            assert_eq!(count.now.get(), 1, "being used has given it its time again");
            clock.set(2 * IDLE_MS_MAX - 1);
            kept.sweep();
            assert_eq!(count.now.get(), 0, "closed at the next look");
            let _peer = keep().await;
            clock.set(3 * IDLE_MS_MAX - 1);
            assert!(take().is_none(), "nor used before it");
            assert_eq!(count.now.get(), 0);
            let _peers = [keep().await, {
                kept.retire();
                keep().await
            }];
            assert!(take().is_none(), "closed, and none is kept again");
            assert_eq!(count.now.get(), 0);
        });
    }
}
