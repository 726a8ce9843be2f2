//! The service manager's side: readiness, status and watchdog, by sd_notify(3)'s protocol.
//!
//! One datagram to the socket that `NOTIFY_SOCKET` names; without it, nothing happens.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells the service manager.
#[derive(Debug)]
pub(super) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// Returns the notifier of this process, silent where no service manager asked for it.
    pub(super) fn from_environment() -> Self {
        Self {
            socket: std::env::var("NOTIFY_SOCKET")
                .ok()
                .and_then(|name| connect(&name)),
        }
    }

    /// Sends assignments such as `READY=1`, separated by newlines. A manager that does not read is
    /// not waited for.
    pub(super) fn send(&self, assignments: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(assignments.as_bytes(), address);
        }
    }
}

fn connect(name: &str) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name).ok()?,
        None => SocketAddr::from_pathname(name).ok()?,
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    Some((socket, address))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn assignments_reach_the_manager() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier {
            socket: connect(path.to_str().unwrap()),
        };
        notifier.send("READY=1\nSTATUS=serving");
        let mut buf = [0; 64];
        let len = manager.recv(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"READY=1\nSTATUS=serving");
    }
}
