//! A configuration that is to follow: read, and what it needs opened, on a thread of its own, while
//! everything goes on under the one before.
//!
//! To read a long text and to join a group take longer than an advertisement may be late.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use nix::net::if_::if_nametoindex;
use tracing::warn;

use super::{Phase, Process, ReadConfig};
use crate::config::VirtualRouterConfig;
use crate::ipc::message::{FromVrrp, Overrides, SocketKey};
use crate::model::{Chain, Family};
use crate::process::vrrp::boundary::Supervisor;
use crate::process::vrrp::host::Change;
use crate::process::vrrp::link::socket::VrrpSocket;
use crate::process::vrrp::realtime;

/// A configuration as the supervisor sent it.
pub(super) struct Text {
    pub(super) generation: u64,
    pub(super) yaml: String,
    pub(super) node: String,
    pub(super) overrides: Overrides,
}

/// One that is being read; dropped, it is not wanted any more.
pub(super) struct Preparing {
    generation: u64,
    /// Closed when the thread ends.
    woken: UnixStream,
    outcome: Receiver<Result<Ready, String>>,
}

impl AsFd for Preparing {
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

impl<S: Supervisor> Process<S> {
    /// Begins to prepare a configuration; another one that was prepared is forgotten.
    pub(super) fn prepare(&mut self, text: Text) {
        self.forget_prepared();
        let generation = text.generation;
        let refused = match self.phase {
            Phase::Running => match self.begin_to_prepare(text) {
                Ok(preparing) => {
                    self.preparing = Some(preparing);
                    return;
                }
                Err(error) => format!("no thread can be started: {error}"),
            },
            Phase::Waiting | Phase::Surveying => "the process is still starting".to_owned(),
            Phase::Stopping { .. } | Phase::Over => "the process is stopping".to_owned(),
        };
        self.answer(generation, Some(refused));
    }

    /// Drops a configuration that will not follow.
    pub(super) fn forget(&mut self, generation: u64) {
        let preparing = self.preparing.as_ref().map(|it| it.generation);
        let prepared = self.prepared.as_ref().map(|it| it.generation);
        if preparing.or(prepared) == Some(generation) {
            self.forget_prepared();
        }
    }

    /// Drops what is prepared.
    pub(super) fn forget_prepared(&mut self) {
        self.preparing = None;
        if let Some(prepared) = self.prepared.take() {
            self.change_host(Change {
                closing: prepared.ready.sockets,
                ..Change::default()
            });
        }
    }

    /// Takes the outcome, once it is there, and says it.
    pub(super) fn read_preparation(&mut self) {
        let Some(preparing) = &self.preparing else {
            return;
        };
        let outcome = match preparing.outcome.try_recv() {
            Ok(outcome) => outcome,
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => Err("the thread that reads it has died".to_owned()),
        };
        let generation = preparing.generation;
        self.preparing = None;
        let outcome = outcome.and_then(|ready| {
            self.provide_for_gateways(&ready.routers)?;
            Ok(ready)
        });
        let refused = match outcome {
            Ok(ready) => {
                self.prepared = Some(Prepared { generation, ready });
                None
            }
            Err(why) => Some(why),
        };
        self.answer(generation, refused);
    }

    fn begin_to_prepare(&self, text: Text) -> io::Result<Preparing> {
        let generation = text.generation;
        let (report, outcome) = sync_channel(1);
        let (wake, woken) = UnixStream::pair()?;
        let read_config = self.read_config;
        let open = self.link_sockets.iter();
        let open = open.map(|it| it.socket.key().clone()).collect();
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
        Ok(Preparing {
            generation,
            woken,
            outcome,
        })
    }

    fn provide_for_gateways(&mut self, routers: &[VirtualRouterConfig]) -> Result<(), String> {
        let mut gateways = routers.iter().flat_map(|router| &router.track.gateways);
        match (&mut self.host, gateways.next()) {
            (Some(host), Some(_)) => host
                .provide_for_gateways(None)
                .map_err(|error| format!("no thread for gateways: {error}")),
            (Some(_) | None, _) => Ok(()),
        }
    }

    fn answer(&mut self, generation: u64, refused: Option<String>) {
        self.outbox.push(FromVrrp::Prepared {
            generation,
            refused,
        });
    }
}

/// Reads a configuration, and opens the sockets that are not open yet. That an interface is missing,
/// or has no such family, is no obstacle at a start either; a shortage of ours is one.
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
