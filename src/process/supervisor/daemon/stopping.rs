//! Stopping: what `logic::lifecycle` decides, done with the children, and said to the log and the
//! service manager.

use std::time::{Duration, Instant};

use super::Daemon;
use crate::ipc::message::{ToProxy, ToVrrp};
use crate::logic::lifecycle::{Action, Phase, Running};
use crate::process::supervisor::child::Child;

impl Daemon {
    /// Begins to stop; a second signal does not wait any more.
    pub(super) fn handle_stop_signal(&mut self, signal: &str) {
        match self.lifecycle.phase() {
            Phase::Running => {
                tracing::info!(signal, "stopping");
                self.notifier.send("STOPPING=1");
            }
            Phase::HandingOver { .. } | Phase::Draining { .. } => {
                tracing::warn!(signal, "stopping at once");
            }
            Phase::Releasing { .. } | Phase::Over => {
                tracing::warn!(signal, "stopping without looking back");
            }
        }
        // Before anything of it can become true.
        self.abandon_all();
        let running = self.running();
        self.lifecycle.handle_signal(Instant::now(), running);
        self.follow_lifecycle();
    }

    /// Returns which children run.
    pub(super) fn running(&self) -> Running {
        let runs = |child: &Option<Child>| child.as_ref().is_some_and(Child::is_running);
        Running {
            vrrp: runs(&self.vrrp),
            proxy: runs(&self.proxy),
        }
    }

    /// Does what the lifecycle asks for.
    pub(super) fn follow_lifecycle(&mut self) {
        while let Some(action) = self.lifecycle.poll_action() {
            match action {
                Action::HandOver { hold } => {
                    let hold_ms = millis(hold);
                    send(&mut self.vrrp, &ToVrrp::Stop { hold_ms });
                }
                Action::CloseListeners => self.setup.sockets.close(),
                Action::Drain { within } => {
                    let deadline_ms = millis(within);
                    send(&mut self.proxy, &ToProxy::Drain { deadline_ms });
                }
                Action::Release => send(&mut self.vrrp, &ToVrrp::Release),
                Action::KillLateVrrp => kill_late(&mut self.vrrp),
                Action::KillLateProxy => kill_late(&mut self.proxy),
                Action::KillProxy => {
                    if let Some(child) = &mut self.proxy {
                        child.kill();
                    }
                }
            }
        }
    }

    /// Asks the service manager for the time that the stop may still take, whatever its own limit
    /// is.
    pub(super) fn ask_for_time(&self) {
        if self.lifecycle.is_stopping() {
            let extension_us = TIME_ASKED_FOR.as_micros();
            self.notifier
                .send(&format!("EXTEND_TIMEOUT_USEC={extension_us}"));
        }
    }
}

fn send<T: serde::Serialize>(child: &mut Option<Child>, message: &T) {
    if let Some(child) = child {
        child.send(message);
    }
}

fn kill_late(child: &mut Option<Child>) {
    if let Some(child) = child {
        let name = child.name();
        tracing::warn!(child = name, "process did not stop in time, killing it");
        child.kill();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long the service manager is asked to wait from now on, at each tick of a stop: long enough
/// for the last notify programs and for the kill of a process that does not end.
const TIME_ASKED_FOR: Duration = Duration::from_secs(10);
