//! A configuration that is read, and what it needs opened, on a thread of its own, while everything
//! goes on under the one before.
//!
//! To read a long text and to join a group take longer than an advertisement may be late.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use nix::net::if_::if_nametoindex;
use tracing::warn;

use crate::config::{ConfigErrors, VirtualRouterConfig};
use crate::ipc::message::{Overrides, SocketKey};
use crate::model::{Chain, Family};
use crate::process::vrrp::link::socket::VrrpSocket;
use crate::process::vrrp::realtime;

/// Reads the virtual routers of a node from the text of a configuration, with what operators have
/// changed by command.
pub type ReadConfig = fn(&str, &str, &Overrides) -> Result<Vec<VirtualRouterConfig>, ConfigErrors>;

/// A configuration as the supervisor sent it.
pub(super) struct Text {
    pub(super) generation: u64,
    pub(super) yaml: String,
    pub(super) node: String,
    pub(super) overrides: Overrides,
}

/// One that is being read; dropped, it is not wanted any more.
pub(super) struct Preparation {
    pub(super) generation: u64,
    /// Closed when the thread ends.
    woken: UnixStream,
    outcome: Receiver<Result<Ready, String>>,
}

impl Preparation {
    /// Begins; these sockets are open already.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn begin(
        text: Text,
        read_config: ReadConfig,
        open: BTreeSet<SocketKey>,
    ) -> io::Result<Self> {
        let generation = text.generation;
        let (report, outcome) = sync_channel(1);
        let (wake, woken) = UnixStream::pair()?;
        std::thread::Builder::new()
            .name("evenkeel-prepare".into())
            .spawn(move || {
                // It shall not compete with what must be in time.
                if let Err(error) = realtime::leave() {
                    warn!(%error, "a configuration is read with realtime scheduling");
                }
                // Nobody listens where it is not wanted any more.
                let _ = report.send(make_ready(read_config, &text, &open));
                let _ = (&wake).write(&[1]);
            })?;
        Ok(Self {
            generation,
            woken,
            outcome,
        })
    }

    /// Returns what became of it, without waiting.
    pub(super) fn outcome(&self) -> Result<Result<Ready, String>, TryRecvError> {
        self.outcome.try_recv()
    }
}

impl AsFd for Preparation {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }
}

/// One that can be put in place.
pub(super) struct Prepared {
    pub(super) generation: u64,
    pub(super) ready: Ready,
}

/// What a configuration needs.
pub(super) struct Ready {
    pub(super) routers: Vec<VirtualRouterConfig>,
    /// Of interfaces that had none.
    pub(super) sockets: Vec<VrrpSocket>,
}

/// Reads a configuration, and opens the sockets that are not open yet. That an interface is missing
/// or has no such family is no obstacle at a start either; a shortage of ours is one.
fn make_ready(
    read_config: ReadConfig,
    text: &Text,
    open: &BTreeSet<SocketKey>,
) -> Result<Ready, String> {
    let routers = read_config(&text.yaml, &text.node, &text.overrides)
        .map_err(|error| Chain(&error).to_string())?;
    let places: BTreeSet<(&str, Family)> = routers
        .iter()
        .map(|router| (router.interface.as_str(), router.name.family))
        .collect();
    let mut sockets = Vec::new();
    for (interface, family) in places {
        let Ok(ifindex) = if_nametoindex(interface) else {
            continue;
        };
        let key = SocketKey {
            interface: interface.to_owned(),
            ifindex,
            family,
        };
        if open.contains(&key) {
            continue;
        }
        match VrrpSocket::open(key) {
            Ok(socket) => sockets.push(socket),
            Err(error) if is_shortage(&error) => {
                return Err(format!("no VRRP socket on {interface}: {error}"));
            }
            Err(_) => {}
        }
    }
    Ok(Ready { routers, sockets })
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, NodeName};

    fn text(yaml: &str) -> Text {
        Text {
            generation: 1,
            yaml: yaml.to_owned(),
            node: "lb1".to_owned(),
            overrides: Overrides::default(),
        }
    }

    fn read(
        yaml: &str,
        node: &str,
        _overrides: &Overrides,
    ) -> Result<Vec<VirtualRouterConfig>, ConfigErrors> {
        Ok(config::parse("file", yaml, NodeName::Given(node))?.virtual_routers)
    }

    #[test]
    fn interface_that_is_missing_is_no_obstacle_and_an_error_of_the_text_is() {
        let yaml = "virtual_routers:\n  web:\n    interface: absent0\n    vrid: 51\n    \
                    addresses: [192.0.2.100/24]\n";
        let ready = make_ready(read, &text(yaml), &BTreeSet::new());
        let counts = ready.map(|ready| (ready.routers.len(), ready.sockets.len()));
        assert_eq!(counts, Ok((1, 0)));
        let broken = make_ready(read, &text("virtual_routers: 5"), &BTreeSet::new());
        let why = broken.err().unwrap_or_default();
        assert!(why.contains("virtual_routers"), "{why}");
    }

    #[test]
    fn shortage_of_ours_is_told_from_what_a_link_lacks() {
        for (errno, hoped) in [
            (libc::EMFILE, true),
            (libc::ENFILE, true),
            (libc::ENOBUFS, true),
            (libc::ENOMEM, true),
            (libc::ENODEV, false),
            (libc::EAFNOSUPPORT, false),
            (libc::EADDRNOTAVAIL, false),
        ] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(is_shortage(&error), hoped, "{error}");
        }
    }
}
