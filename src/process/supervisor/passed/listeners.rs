//! The listening sockets: opened here, kept here, passed to every proxy process.
//!
//! One socket a worker and address, in one SO_REUSEPORT group, under one user id. IP_FREEBIND
//! lets a Backup listen on addresses it does not hold, so that taking over needs no bind. A proxy
//! that dies leaves its backlog here, and the next one finds it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Socket, Type};

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

/// Opens every listening socket, or says which cannot be opened and why.
pub(crate) fn open(config: &Config) -> Result<Vec<BoundListener>, SupervisorError> {
    let threads = threads(config);
    let mut bound = Vec::new();
    for listener in &config.listeners {
        for &bind in &listener.binds {
            let sockets: io::Result<Vec<OwnedFd>> = (0..threads).map(|_| listen(bind)).collect();
            let sockets = sockets.map_err(|source| SupervisorError::Listen {
                listener: listener.name.clone(),
                bind,
                help: help(&source),
                source,
            })?;
            bound.push(BoundListener {
                listener: listener.name.clone(),
                bind,
                sockets,
            });
        }
    }
    Ok(bound)
}

fn listen(bind: SocketAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(bind), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
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
    socket.bind(&bind.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
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

    #[test]
    fn port_that_another_program_holds_is_refused() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let error = listen(other.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
