//! Starting the children, for the first time and again, and killing those that do not stop in time.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::{Daemon, HAND_OVER_SPARE, Phase};
use crate::ipc::message::{ToProxy, ToVrrp};
use crate::process::supervisor::SupervisorError;
use crate::process::supervisor::child::Child;
use crate::process::supervisor::tracking::entries;

impl Daemon {
    pub(super) fn start_children(&mut self) -> Result<(), SupervisorError> {
        let now = Instant::now();
        let running = self.phase == Phase::Running;
        if running && wants_start(&self.vrrp, now) {
            self.start_vrrp(now)?;
        }
        if running && wants_start(&self.proxy, now) {
            self.start_proxy(now)?;
        }
        let late = match &mut self.phase {
            Phase::HandingOver { until } if now >= *until => Some((until, &mut self.vrrp)),
            Phase::Draining { until } if now >= *until => Some((until, &mut self.proxy)),
            Phase::Running | Phase::HandingOver { .. } | Phase::Draining { .. } | Phase::Over => {
                None
            }
        };
        if let Some((until, Some(child))) = late {
            tracing::warn!(
                child = child.name(),
                "process did not stop in time, killing it"
            );
            child.kill();
            *until = now + HAND_OVER_SPARE;
        }
        Ok(())
    }

    fn start_vrrp(&mut self, now: Instant) -> Result<(), SupervisorError> {
        let Some(child) = &mut self.vrrp else {
            return Ok(());
        };
        child.start(now, 1)?;
        for part in self.kept_sockets.chunks(DESCRIPTORS_A_MESSAGE) {
            let keys = part.iter().map(|(key, _)| key.clone()).collect();
            let sockets: Vec<BorrowedFd<'_>> = part.iter().map(|(_, fd)| fd.as_fd()).collect();
            child.send(&ToVrrp::KeptSockets(keys), &sockets)?;
        }
        let (yaml, node) = (self.setup.yaml.clone(), self.setup.config.node.clone());
        child.send(
            &ToVrrp::Configure {
                yaml,
                node,
                adopt: self.active.clone(),
            },
            &[],
        )?;
        for entry in entries(&self.setup.config) {
            if let Some(verdict) = self.tracker.verdict(entry) {
                let fitness = verdict.fitness.clone();
                child.send(
                    &ToVrrp::Fitness {
                        entry: entry.to_owned(),
                        fitness,
                    },
                    &[],
                )?;
            }
        }
        Ok(())
    }

    fn start_proxy(&mut self, now: Instant) -> Result<(), SupervisorError> {
        let Some(child) = &mut self.proxy else {
            return Ok(());
        };
        // Every data thread beats, and the thread that probes backends.
        child.start(now, usize::from(self.threads) + 1)?;
        for bound in &self.setup.sockets {
            let sockets: Vec<BorrowedFd<'_>> = bound.sockets.iter().map(AsFd::as_fd).collect();
            let message = ToProxy::Lend {
                listener: bound.listener.clone(),
                bind: bound.bind,
            };
            child.send(&message, &sockets)?;
        }
        if let Some(log) = &self.setup.access_log {
            log.lend(child)?;
        }
        let configure = ToProxy::Configure {
            yaml: self.setup.yaml.clone(),
            node: self.setup.config.node.clone(),
            threads: self.threads,
            health: self.health.values().cloned().collect(),
        };
        child.send(&configure, &[])
    }
}

fn wants_start(child: &Option<Child>, now: Instant) -> bool {
    child
        .as_ref()
        .and_then(Child::start_at)
        .is_some_and(|at| at <= now)
}

/// How many kept sockets go into one message.
const DESCRIPTORS_A_MESSAGE: usize = 200;
