//! Connections to backends that are kept for the next request, and noticed when dead.
//!
//! One set a worker, nothing shared. The runtime hears of the end of a kept connection by
//! itself; it is asked before one is used, and in every sweep. A request that must not be sent
//! twice also has the kernel asked, and so has every request to a backend that has once sent what
//! nobody had asked for: the next might be taken for an answer.

use std::cell::{Cell, RefCell};

use crate::process::proxy::io::deadline::CoarseClock;
use crate::process::proxy::io::stream::{Stream, Unread};
use crate::process::proxy::table::Table;

/// The kept connections of one worker, by pool and backend.
pub(in crate::process::proxy) struct Upstreams {
    clock: CoarseClock,
    idle: Vec<Vec<RefCell<Vec<Idle>>>>,
    /// How many there may be, to all backends.
    kept_max: usize,
    kept: Cell<usize>,
}

struct Idle {
    stream: Stream,
    since_ms: u64,
}

impl Upstreams {
    pub(in crate::process::proxy) fn new(table: &Table, clock: CoarseClock) -> Self {
        let idle = table.pools.iter().map(|pool| {
            pool.backends
                .iter()
                .map(|_| RefCell::new(Vec::new()))
                .collect::<Vec<_>>()
        });
        Self {
            clock,
            idle: idle.collect(),
            kept_max: usize::try_from(table.shares.kept_a_worker).unwrap_or(usize::MAX),
            kept: Cell::new(0),
        }
    }

    /// Closes a kept connection, so that another one can be opened; returns whether there was one.
    pub(in crate::process::proxy) fn close_one(&self) -> bool {
        let mut all = self.idle.iter().flatten();
        let closed = all.any(|idle| {
            let kept = idle.borrow_mut().pop();
            // Its port is free at once, too.
            kept.inspect(|kept| kept.stream.reset_on_close()).is_some()
        });
        if closed {
            self.kept.set(self.kept.get() - 1);
        }
        closed
    }

    /// Returns the connection used last that is still alive.
    pub(in crate::process::proxy) fn take(
        &self,
        table: &Table,
        (pool, backend): (usize, usize),
        liveness: Liveness,
    ) -> Option<Stream> {
        let mut idle = self.idle[pool][backend].borrow_mut();
        while let Some(Idle { stream, since_ms }) = idle.pop() {
            self.kept.set(self.kept.get() - 1);
            if self.is_old(since_ms) {
                self.kept.set(self.kept.get() - idle.len());
                idle.clear();
                return None;
            }
            let unread = match (stream.unread(), liveness) {
                (Unread::Nothing, Liveness::Kernel) => stream.unread_in_the_kernel(),
                (unread, Liveness::Runtime | Liveness::Kernel) => unread,
            };
            match unread {
                Unread::Nothing => return Some(stream),
                Unread::Bytes => table.pools[pool].backends[backend].count_unasked(),
                Unread::End => {}
            }
        }
        None
    }

    /// Keeps a connection on which an exchange has come to its clean end.
    pub(in crate::process::proxy) fn keep(&self, pool: usize, backend: usize, stream: Stream) {
        if self.kept.get() >= self.kept_max {
            return;
        }
        let mut idle = self.idle[pool][backend].borrow_mut();
        if idle.len() >= IDLE_MAX {
            idle.remove(0);
        } else {
            self.kept.set(self.kept.get() + 1);
        }
        let since_ms = self.clock.get();
        idle.push(Idle { stream, since_ms });
    }

    /// Closes what has ended, has something to say or was not used for a while.
    pub(in crate::process::proxy) fn sweep(&self, table: &Table) {
        for (pool, idle) in table.pools.iter().zip(&self.idle) {
            for (backend, idle) in pool.backends.iter().zip(idle) {
                let mut idle = idle.borrow_mut();
                let before = idle.len();
                idle.retain(|kept| {
                    let unread = kept.stream.unread();
                    if unread == Unread::Bytes {
                        backend.count_unasked();
                    }
                    unread == Unread::Nothing && !self.is_old(kept.since_ms)
                });
                self.kept.set(self.kept.get() - (before - idle.len()));
            }
        }
    }

    /// Closes all that are kept.
    pub(in crate::process::proxy) fn clear(&self) {
        for idle in self.idle.iter().flatten() {
            idle.borrow_mut().clear();
        }
        self.kept.set(0);
    }

    fn is_old(&self, since_ms: u64) -> bool {
        self.clock.get().saturating_sub(since_ms) >= IDLE_MS_MAX
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

/// Connections kept for a backend by one worker; the oldest is closed for one more.
const IDLE_MAX: usize = 128;
/// How long a connection is kept unused; below what backends commonly allow.
const IDLE_MS_MAX: u64 = 30_000;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::net::{SocketAddr, TcpListener};
    use std::rc::Rc;

    use tokio::net::TcpStream;

    use super::*;

    /// Returns a table with one pool of one backend.
    fn table(address: SocketAddr) -> Table {
        let yaml = format!(
            "listeners: {{http: {{bind: [\"127.0.0.1:80\"], pool: web}}}}\npools:\n  web:\n    \
             health_check: none\n    backends: {{a: \"{address}\"}}\n"
        );
        Table::of_text(&yaml)
    }

    #[test]
    fn kept_connections_are_used_within_their_time_and_closed_after_it() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let table = table(address);
        let clock = CoarseClock::default();
        let upstreams = Upstreams::new(&table, Rc::clone(&clock));
        runtime.block_on(async {
            let keep = async || {
                let stream = TcpStream::connect(address).await.unwrap();
                upstreams.keep(0, 0, Stream::registered(stream));
                listener.accept().unwrap().0
            };
            let take = || upstreams.take(&table, (0, 0), Liveness::Kernel);
            let _peer = keep().await;
            clock.set(IDLE_MS_MAX - 1);
            upstreams.sweep(&table);
            let stream = take().expect("it is still kept");
            upstreams.keep(0, 0, stream);
            clock.set(2 * IDLE_MS_MAX - 2);
            upstreams.sweep(&table);
            assert_eq!(
                upstreams.kept.get(),
                1,
                "being used has given it its time again"
            );
            clock.set(2 * IDLE_MS_MAX - 1);
            upstreams.sweep(&table);
            assert_eq!(upstreams.kept.get(), 0, "closed at the next look");
            let _peer = keep().await;
            clock.set(3 * IDLE_MS_MAX - 1);
            assert!(take().is_none(), "nor used before it");
            assert_eq!(upstreams.kept.get(), 0);
        });
    }
}
