//! Starting the children, for the first time and again, and killing those that do not stop in time.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::Daemon;
use super::shortage::Shortage;
use crate::ipc::message::{Found, ToProxy, ToVrrp};
use crate::logic::lifecycle::Phase;
use crate::model::Chain;
use crate::process::role::Role;
use crate::process::supervisor::SupervisorError;
use crate::process::supervisor::child::Child;
use crate::process::supervisor::reload::prepared::Users;
use crate::process::supervisor::tracking::entries;

impl Daemon {
    /// Starts every child for the first time, or says why that cannot be.
    pub(super) fn start_first(&mut self) -> Result<(), SupervisorError> {
        let now = Instant::now();
        self.start_observers()?;
        self.start_vrrp(now)?;
        self.start_proxy(now)?;
        self.follow_what_is_found();
        Ok(())
    }

    /// Starts what observes for the tracker beside the children.
    fn start_observers(&mut self) -> Result<(), SupervisorError> {
        let config = &self.setup.config;
        let users = Users::of(config);
        self.notify_programs.follow(None, config, users.notify);
        let new = self.observers.prepare(config);
        let new = new.map_err(|source| SupervisorError::System {
            what: "start a thread",
            source,
        })?;
        self.observers.commit(config, new, &users.track_scripts);
        self.note_lacking_programs();
        Ok(())
    }

    /// Notes what programs should have and do not.
    pub(super) fn note_lacking_programs(&mut self) {
        let mut lacking = self.notify_programs.shortcomings().to_vec();
        lacking.extend(self.observers.shortcomings());
        self.note_lacking(Role::Supervisor, lacking);
    }

    /// Starts the children that are due again; one that cannot be started now is put off.
    pub(super) fn start_children(&mut self) {
        let now = Instant::now();
        let running = self.lifecycle.phase() == Phase::Running;
        if running && wants_start(&self.vrrp, now) {
            let started = self.start_vrrp(now);
            self.put_off(Role::Vrrp, started, now);
        }
        if running && wants_start(&self.proxy, now) {
            let started = self.start_proxy(now);
            self.put_off(Role::Proxy, started, now);
        }
        if running {
            self.start_keys_again(now);
            self.start_names_again(now);
            self.start_admin(now);
        }
        self.lifecycle.handle_timeout(now);
        self.follow_lifecycle();
    }

    /// A shortage passes: the child is started again later, with the pause of one that dies at
    /// once.
    fn put_off(&mut self, role: Role, started: Result<(), SupervisorError>, now: Instant) {
        let Err(error) = started else { return };
        self.shortages
            .note(now, Shortage::Start(role), &Chain(&error));
        let child = match role {
            Role::Vrrp => &mut self.vrrp,
            Role::Proxy | Role::Keys | Role::Names | Role::Admin | Role::Supervisor => {
                &mut self.proxy
            }
        };
        if let Some(child) = child {
            child.put_off(now);
        }
    }

    fn start_vrrp(&mut self, now: Instant) -> Result<(), SupervisorError> {
        let Some(child) = &mut self.vrrp else {
            return Ok(());
        };
        child.start(now, 1)?;
        for part in self.kept_sockets.chunks(DESCRIPTORS_A_MESSAGE) {
            let keys = part.iter().map(|(key, _)| key.clone()).collect();
            let sockets: Vec<BorrowedFd<'_>> = part.iter().map(|(_, fd)| fd.as_fd()).collect();
            // It opens sockets of its own where it gets none, and misses what was said meanwhile.
            if let Err(errno) = child.pass(&ToVrrp::KeptSockets(keys), &sockets) {
                let short = Shortage::Send(Role::Vrrp);
                self.shortages.note(now, short, &errno);
            }
        }
        child.send(&ToVrrp::Configure {
            yaml: self.setup.yaml.clone(),
            node: self.setup.config.node.clone(),
            adopt: self.active.clone(),
            overrides: self.setup.overrides.clone(),
        });
        child.offer(&ToVrrp::Beat);
        for entry in entries(&self.setup.config) {
            if let Some(verdict) = self.tracker.verdict(entry) {
                let (entry, fitness) = (entry.to_owned(), verdict.fitness.clone());
                child.send(&ToVrrp::Fitness { entry, fitness });
            }
        }
        self.have_prepared(Role::Vrrp);
        Ok(())
    }

    fn start_proxy(&mut self, now: Instant) -> Result<(), SupervisorError> {
        let Some(child) = &mut self.proxy else {
            return Ok(());
        };
        // Every worker beats, and the thread that probes backends.
        child.start(now, usize::from(self.threads) + 1)?;
        for bound in self.setup.sockets.all() {
            let sockets: Vec<BorrowedFd<'_>> = bound.sockets.iter().map(AsFd::as_fd).collect();
            let message = ToProxy::PassListener {
                listener: bound.listener.clone(),
                bind: bound.bind,
            };
            if let Err(errno) = child.pass(&message, &sockets) {
                // A proxy that misses a socket is of no use; the next one gets all of them.
                self.shortages
                    .note(now, Shortage::Send(Role::Proxy), &errno);
                child.kill();
                return Ok(());
            }
        }
        if let Some(log) = &mut self.setup.access_log {
            log.pass(child);
        }
        if let Some(spool) = &mut self.setup.spool {
            spool.pass(child);
        }
        if let Some(secrets) = self.keys.as_ref().and_then(|keys| keys.secrets.as_ref()) {
            child.send(&ToProxy::Secrets(secrets.clone()));
        }
        if self.reading_again.is_none() {
            self.lend_lines();
        }
        let Some(child) = &mut self.proxy else {
            return Ok(());
        };
        child.send(&ToProxy::Configure {
            yaml: self.setup.yaml.clone(),
            node: self.setup.config.node.clone(),
            threads: self.threads,
            health: self.health.values().cloned().collect(),
            overrides: self.setup.overrides.clone(),
            found: Found::of(&self.setup.config),
        });
        self.have_prepared(Role::Proxy);
        Ok(())
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
