//! The listening sockets: opened here, kept here, passed to every proxy process.
//!
//! One socket a worker and address, in one SO_REUSEPORT group, under one user id. IP_FREEBIND
//! lets a Backup listen on addresses it does not hold, so that taking over needs no bind. A proxy
//! that dies leaves its backlog here, and the next one finds it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::config::{Config, check};
use crate::ipc::channel;
use crate::process::supervisor::error::SupervisorError;

/// The sockets of one bind address of one listener.
#[derive(Debug)]
pub(crate) struct BoundListener {
    /// The key under `listeners`.
    pub listener: String,
    /// The address.
    pub bind: SocketAddr,
    /// One for each worker.
    pub sockets: Vec<OwnedFd>,
}

/// Returns the number of workers that this configuration means on this machine.
pub(crate) fn threads(config: &Config) -> u16 {
    config.proxy.threads.unwrap_or_else(|| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        u16::try_from(cores).unwrap_or(THREADS_MAX).min(THREADS_MAX)
    })
}

/// The listening sockets, by bind address.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    all: Vec<BoundListener>,
}

/// What a configuration needs beside the sockets that there are. Where nobody listens yet these
/// listen already; those that join a group that does are only bound, so that no client has come to
/// one that is closed again.
#[derive(Debug)]
pub(crate) struct Additional {
    /// Those that are opened now, by bind address.
    pub opened: Vec<BoundListener>,
}

impl Bound {
    /// Opens every listening socket, or says which cannot be opened and why.
    pub(crate) fn open(config: &Config) -> Result<Self, SupervisorError> {
        let Additional { opened } = Self::default().prepare(config)?;
        Ok(Self { all: opened })
    }

    /// Returns all.
    pub(crate) fn all(&self) -> &[BoundListener] {
        &self.all
    }

    /// Closes all.
    pub(crate) fn close(&mut self) {
        self.all.clear();
    }

    /// Opens what a configuration needs beside these, or says what cannot be opened and why.
    pub(crate) fn prepare(&self, config: &Config) -> Result<Additional, SupervisorError> {
        let threads = usize::from(threads(config));
        let mut opened = Vec::new();
        for listener in &config.listeners {
            for &bind in &listener.binds {
                let there = self.of(bind).map_or(0, |bound| bound.sockets.len());
                let open = |_| match there {
                    0 => listen(bind),
                    _ => bound(bind),
                };
                let sockets: io::Result<Vec<OwnedFd>> = (there..threads).map(open).collect();
                let sockets = sockets.map_err(|source| SupervisorError::Listen {
                    listener: listener.name.clone(),
                    bind,
                    help: help(&source),
                    source,
                })?;
                if !sockets.is_empty() {
                    opened.push(BoundListener {
                        listener: listener.name.clone(),
                        bind,
                        sockets,
                    });
                }
            }
        }
        Ok(Additional { opened })
    }

    /// Follows a configuration for which `additional` was opened. What it does not have any more is
    /// closed here; sockets that are too many for its threads are kept, because closing one resets
    /// what waits in it.
    pub(crate) fn commit(&mut self, config: &Config, additional: Additional) {
        let mut before = std::mem::take(&mut self.all);
        before.extend(additional.opened);
        for listener in &config.listeners {
            for &bind in &listener.binds {
                let of_bind = before.extract_if(.., |bound| bound.bind == bind);
                let sockets: Vec<OwnedFd> = of_bind.flat_map(|bound| bound.sockets).collect();
                for socket in &sockets {
                    // Of one that listens this changes nothing. It is one of a group that does: if
                    // it is refused nevertheless, the others of the group serve.
                    if let Err(error) = SockRef::from(socket).listen(BACKLOG) {
                        tracing::error!(listener = %listener.name, address = %bind, %error, "socket does not listen");
                    }
                }
                self.all.push(BoundListener {
                    listener: listener.name.clone(),
                    bind,
                    sockets,
                });
            }
        }
    }

    fn of(&self, bind: SocketAddr) -> Option<&BoundListener> {
        self.all.iter().find(|bound| bound.bind == bind)
    }
}

fn listen(bind: SocketAddr) -> io::Result<OwnedFd> {
    let socket = bound(bind)?;
    SockRef::from(&socket).listen(BACKLOG)?;
    Ok(socket)
}

/// Listens at an address alone: no other process may join.
pub(crate) fn listen_alone(bind: SocketAddr, listener: &str) -> Result<OwnedFd, SupervisorError> {
    let listen = || {
        let socket = open(bind)?;
        socket.bind(&bind.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    listen().map_err(|source| SupervisorError::Listen {
        listener: listener.to_owned(),
        bind,
        help: help(&source),
        source,
    })
}

fn bound(bind: SocketAddr) -> io::Result<OwnedFd> {
    let socket = open(bind)?;
    socket.set_reuse_port(true)?;
    socket.bind(&bind.into())?;
    Ok(socket.into())
}

fn open(bind: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(bind), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    match bind {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    // Inherited by every accepted connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn help(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::AddrInUse {
        "another program listens there; `ss -ltnp` shows which"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "ports below 1024 need CAP_NET_BIND_SERVICE; see config/systemd/evenkeel.service"
    } else {
        "check the address and port of this listener"
    }
}

/// Connections the kernel keeps for a thread that has not accepted them yet; more are refused by
/// the kernel, which also caps this at net.core.somaxconn.
const BACKLOG: i32 = 4_096;
/// By itself; more than any machine of this kind needs.
const THREADS_MAX: u16 = 128;
/// The sockets of a listener fit into one message, however many threads are configured.
const _: () = assert!(check::THREADS_MAX as usize <= channel::DESCRIPTORS_MAX);
const _: () = assert!((THREADS_MAX as u32) < check::THREADS_MAX);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn address_that_this_machine_does_not_have_can_be_listened_on() {
        assert!(listen("192.0.2.100:0".parse().unwrap()).is_ok());
        assert!(listen("[2001:db8::100]:0".parse().unwrap()).is_ok());
    }

    fn config(threads: u16, binds: &str) -> Config {
        let yaml = format!(
            "proxy: {{threads: {threads}}}\nlisteners: {{http: {{bind: [{binds}], pool: a}}}}\n\
             pools: {{a: {{backends: {{a: \"127.0.0.1:9\"}}}}}}\n"
        );
        crate::config::parse("t.yaml", &yaml, crate::config::NodeName::Given("lb1")).unwrap()
    }

    fn free_port() -> u16 {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    }

    #[test]
    fn sockets_are_added_and_none_is_closed_while_its_address_is_configured() {
        let (one, other) = (free_port(), free_port());
        let (one, other) = (
            format!("\"127.0.0.1:{one}\""),
            format!("\"127.0.0.1:{other}\""),
        );
        let mut bound = Bound::open(&config(1, &one)).unwrap();
        let counts = |bound: &Bound| -> Vec<usize> {
            let all = bound.all().iter();
            all.map(|bound| bound.sockets.len()).collect()
        };
        let listening = |socket: &OwnedFd| SockRef::from(socket).is_listener().unwrap();
        let more = config(3, &format!("{one}, {other}"));
        let additional = bound.prepare(&more).unwrap();
        let opened: Vec<Vec<bool>> = (additional.opened.iter())
            .map(|bound| bound.sockets.iter().map(listening).collect())
            .collect();
        assert_eq!(
            opened,
            [vec![false; 2], vec![true; 3]],
            "a group that has clients waits"
        );
        bound.commit(&more, additional);
        assert_eq!(counts(&bound), [3, 3]);
        assert!(
            bound
                .all()
                .iter()
                .all(|bound| bound.sockets.iter().all(listening))
        );
        let fewer = config(1, &one);
        let additional = bound.prepare(&fewer).unwrap();
        assert!(additional.opened.is_empty());
        bound.commit(&fewer, additional);
        assert_eq!(counts(&bound), [3], "all of it stay, the other is closed");
    }

    #[test]
    fn port_that_another_program_holds_is_refused() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let error = listen(other.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
