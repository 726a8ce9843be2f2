//! What the system does not give us: descriptors, memory, ports. It says nothing about a backend or
//! a client.
//!
//! Every operation that may meet a shortage asks here whether an error is one, and notes it: the
//! log hears of each operation once a minute, and the status shows the last minute. Nobody is
//! blamed for it.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where a shortage was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// A client's connection was not accepted.
    Accept,
    /// A connection to a backend was not opened.
    Connect,
    /// A backend was not probed.
    Probe,
}

/// What was short everywhere, and when.
#[derive(Debug, Default)]
pub(super) struct Shortages {
    seen: [Seen; OPERATIONS.len()],
}

#[derive(Debug, Default)]
struct Seen {
    /// Since the proxy began.
    count: AtomicU64,
    /// Milliseconds of the common clock, one more; 0: never.
    last_at_ms: AtomicU64,
    logged_at_ms: AtomicU64,
    errno: AtomicU64,
}

/// Returns whether a connection could not be opened for want of something of ours.
///
/// "Cannot assign requested address" means that no port is left, or that this machine has no
/// address at all from which that one can be reached; then the backend is out of reach, and nothing
/// is short. A socket that sends nothing tells.
pub(super) fn is_shortage_towards(address: SocketAddr, error: &io::Error) -> bool {
    if error.raw_os_error() != Some(libc::EADDRNOTAVAIL) {
        return is_shortage(error);
    }
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let tried = UdpSocket::bind(any).and_then(|socket| socket.connect(address));
    tried.is_ok()
}

/// Returns whether an error of a system call is a shortage of this machine or process.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    const CODES: [i32; 7] = [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOBUFS,
        libc::ENOMEM,
        // Of connect: no port is left, or no room in a table.
        libc::EADDRNOTAVAIL,
        libc::EAGAIN,
        // Of epoll: too many watches of one user.
        libc::ENOSPC,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| CODES.contains(&code))
}

impl Shortages {
    /// Notes a shortage; logs it where the operation has been quiet for a minute.
    pub(super) fn note(&self, operation: Operation, error: &io::Error, now_ms: u64) {
        let seen = &self.seen[operation as usize];
        let count = seen.count.fetch_add(1, Relaxed) + 1;
        let code = error.raw_os_error().unwrap_or_default();
        seen.errno.store(u64::from(code.unsigned_abs()), Relaxed);
        seen.last_at_ms.store(now_ms + 1, Relaxed);
        let logged = seen.logged_at_ms.load(Relaxed);
        let due = logged == 0 || now_ms + 1 >= logged + PERIOD_MS;
        // Of several threads one writes the line.
        if due
            && seen
                .logged_at_ms
                .compare_exchange(logged, now_ms + 1, Relaxed, Relaxed)
                .is_ok()
        {
            tracing::warn!(cause = %operation, %error, count, "the system gives too little");
        }
    }

    /// Returns what was short within the last minute, for people.
    pub(super) fn warnings(&self, now_ms: u64) -> Vec<String> {
        let recent = OPERATIONS.iter().filter_map(|operation| {
            let seen = &self.seen[*operation as usize];
            let last_at_ms = seen.last_at_ms.load(Relaxed);
            let recent = last_at_ms > 0 && now_ms < last_at_ms + PERIOD_MS;
            let code = i32::try_from(seen.errno.load(Relaxed)).unwrap_or_default();
            let error = io::Error::from_raw_os_error(code);
            let count = seen.count.load(Relaxed);
            recent.then(|| format!("{operation}: {error}, {count} times so far"))
        });
        recent.collect()
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "a client was not accepted",
            Self::Connect => "a backend was not connected to",
            Self::Probe => "a backend was not probed",
        })
    }
}

const OPERATIONS: [Operation; 3] = [Operation::Accept, Operation::Connect, Operation::Probe];
/// How often the log hears of a operation, and how long the status shows it.
const PERIOD_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortages_are_ours_and_refusals_are_not() {
        for (code, hoped) in [
            (libc::EMFILE, true),
            (libc::ENFILE, true),
            (libc::ENOMEM, true),
            (libc::ENOBUFS, true),
            (libc::EADDRNOTAVAIL, true),
            (libc::ECONNREFUSED, false),
            (libc::ETIMEDOUT, false),
            (libc::EHOSTUNREACH, false),
            (libc::ENETUNREACH, false),
            (libc::ECONNRESET, false),
        ] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(is_shortage(&error), hoped, "{error}");
        }
        assert!(!is_shortage(&io::Error::other("no")));
    }

    #[test]
    fn an_address_that_cannot_be_reached_from_here_is_no_shortage() {
        let error = io::Error::from_raw_os_error(libc::EADDRNOTAVAIL);
        let here = "127.0.0.1:80".parse().expect("an address");
        assert!(is_shortage_towards(here, &error), "only ports can be short");
        // A link-local address needs a link, which none is named here.
        let nowhere = "[fe80::1]:80".parse().expect("an address");
        assert!(!is_shortage_towards(nowhere, &error));
        let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        assert!(!is_shortage_towards(here, &refused));
    }

    #[test]
    fn the_status_shows_a_minute() {
        let shortages = Shortages::default();
        assert!(shortages.warnings(0).is_empty());
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        shortages.note(Operation::Probe, &error, 0);
        shortages.note(Operation::Probe, &error, 500);
        let hoped = "a backend was not probed: Too many open files (os error 24), 2 times so far";
        assert_eq!(shortages.warnings(60_499), [hoped]);
        assert!(shortages.warnings(60_501).is_empty());
    }
}
