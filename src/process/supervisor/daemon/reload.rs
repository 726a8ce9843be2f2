//! A change of the configuration while the daemon runs: one at a time, whole or not at all.
//!
//! ```text
//!          read and checked            both children can           both children have
//!  Reading ────────────────▶ Preparing ───────────────▶ Committing ──────────────────▶ done
//!     │                          │ refused, dead, late        (dead or late: killed, and
//!     └─ wrong ──▶ nothing       └──▶ nothing changes          back with the new one)
//! ```
//!
//! What can fail is done before the commit; from there on the new configuration is that of the
//! daemon, also for a child that dies. A change by command goes the same way with the same text.
//! Read `commit` next.

mod finding;

use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};

use super::Daemon;
use crate::config::diff::diff;
use crate::config::overrides::Overrides;
use crate::ipc::control::unix_ms;
use crate::ipc::control::{FailureStatus, Refusal, Response};
use crate::ipc::message::{Found, ToProxy, ToVrrp};
use crate::logic::lifecycle::Phase;
use crate::model::Chain;
use crate::process::role::Role;
use crate::process::supervisor::SupervisorError;
use crate::process::supervisor::aside::Aside;
use crate::process::supervisor::child::Child;
use crate::process::supervisor::reload::commanded;
use crate::process::supervisor::reload::next::Next;
use crate::process::supervisor::reload::prepared::{Read, Wanted};
use crate::process::supervisor::reload::renewal::Renewal;
use crate::process::supervisor::reload::source::{Checked, ConfigSource};
use crate::process::supervisor::reload::stages::{
    Asker, Awaited, Change, Committing, Order, Preparing, Stage, answer, refuse,
};

impl Daemon {
    /// SIGHUP: the file that the daemon was started with is read again.
    pub(super) fn handle_reload_signal(&mut self) {
        let path = self.setup.path.clone();
        self.take_order(Order {
            change: Change::File(ConfigSource::Path(path)),
            asker: Asker {
                dry_run: false,
                reply: None,
            },
        });
    }

    /// Takes an order of an operator; answers at once where it cannot be carried out.
    pub(super) fn take_order(&mut self, order: Order) {
        if self.lifecycle.phase() != Phase::Running {
            return refuse(order.asker.reply, "the daemon is stopping");
        }
        if let Err(order) = self.reloads.enqueue(order) {
            return refuse(
                order.asker.reply,
                "too many changes wait already: ask again later",
            );
        }
        self.begin_next_order();
    }

    pub(super) fn begin_next_order(&mut self) {
        while let Stage::Idle = self.reloads.stage
            && let Some(order) = self.reloads.next_order()
        {
            if !order.asker.dry_run {
                let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
                let now_us = now.unwrap_or_default().as_micros();
                self.tell_manager(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}"));
            }
            self.begin(order);
        }
        if let Stage::Idle = self.reloads.stage {
            self.begin_renewal();
        }
    }

    fn begin(&mut self, Order { change, asker }: Order) {
        let setup = &self.setup;
        let at_ms = unix_ms(SystemTime::now());
        let overrides = match change {
            Change::File(source) => {
                let wanted = Wanted {
                    source,
                    node: setup.node.clone(),
                    log: setup.access_log.as_ref().map(|log| log.to().clone()),
                    cache_dir: setup.spool.is_none().then(|| setup.cache_dir.clone()),
                    dry_run: asker.dry_run,
                };
                return match Aside::begin("reload", move || wanted.read()) {
                    Ok(reading) => self.reloads.stage = Stage::Reading(asker, reading),
                    Err(source) => {
                        let what = "read the configuration";
                        let error = SupervisorError::System { what, source };
                        self.fail(asker, &error);
                    }
                };
            }
            Change::Backend {
                pool,
                backend,
                change,
            } => {
                let name = (pool.as_str(), backend.as_str());
                commanded::with_backend(&setup.overrides, &setup.base, name, change, at_ms)
            }
            Change::Router { entry, priority } => {
                let (overrides, base) = (&setup.overrides, &setup.base);
                commanded::with_priority(overrides, base, &entry, priority, at_ms)
            }
            Change::Maintenance { listener, change } => {
                let (overrides, base) = (&setup.overrides, &setup.base);
                commanded::with_maintenance(overrides, base, &listener, change, at_ms)
            }
        };
        match overrides {
            Ok(overrides) => {
                let checked = Checked {
                    name: setup.running.file.clone(),
                    yaml: setup.yaml.clone(),
                    config: setup.base.clone(),
                };
                let last_failure = setup.running.last_failure.clone();
                let read = Read::unchanged(checked, last_failure);
                self.consider(asker, read, overrides, None);
            }
            // Somebody has misspelled something: that is no failure of the daemon.
            Err(text) => {
                self.tell_manager("READY=1");
                let bad_config = false;
                answer(asker.reply, Response::Refused(Refusal { text, bad_config }));
            }
        }
    }

    /// A file was read, or could not be.
    pub(super) fn handle_read(&mut self, read: Result<Read, SupervisorError>) {
        let Stage::Reading(asker, _) = std::mem::take(&mut self.reloads.stage) else {
            return;
        };
        match read {
            Ok(read) if Self::is_unfound(&read) => return self.begin_finding(asker, read),
            Ok(read) => {
                let overrides = self.setup.overrides.clone();
                self.consider(asker, read, overrides, None);
            }
            Err(error) => self.fail(asker, &error),
        }
        self.begin_next_order();
    }

    /// Finds out what changes, and has the children prepare for it.
    fn consider(
        &mut self,
        asker: Asker,
        read: Read,
        overrides: Overrides,
        renewal: Option<Renewal>,
    ) {
        let mut next = {
            let generation = self.setup.running.generation + 1;
            Next::new(&self.setup.base, generation, read, &overrides)
        };
        if renewal.is_some() {
            next.running = self.setup.running.clone();
        }
        let steps = match diff(&self.setup.config, &next.config) {
            Ok(steps) => steps.iter().map(ToString::to_string).collect(),
            Err(error) => return self.fail(asker, &error.into()),
        };
        next.steps = steps;
        if asker.dry_run {
            let report = next.report(self.setup.running.generation, true);
            return answer(asker.reply, Response::Changed(report));
        }
        if let Err(error) = self.open_what_is_needed(&mut next) {
            return self.fail(asker, &error);
        }
        self.reloads.number += 1;
        next.number = self.reloads.number;
        let unchanged = next.config == self.setup.config;
        let preparing = Preparing {
            asker,
            next,
            children: Awaited {
                // What was found is the proxy's alone.
                vrrp: !unchanged && self.vrrp.is_some() && renewal.is_none(),
                proxy: !unchanged && self.proxy.is_some(),
            },
            until: Instant::now() + PREPARE_TIMEOUT,
            renewal,
        };
        self.widen_bounds(&preparing.next.config);
        self.reloads.stage = Stage::Preparing(Box::new(preparing));
        // One that does not run now is asked when it has been started.
        for role in [Role::Vrrp, Role::Proxy] {
            self.have_prepared(role);
        }
        self.commit_if_all_can();
    }

    /// Has a child that runs prepare for what is to follow, if anything is.
    pub(super) fn have_prepared(&mut self, role: Role) {
        let Stage::Preparing(preparing) = &self.reloads.stage else {
            return;
        };
        if !preparing.children.has(role) {
            return;
        }
        let next = &preparing.next;
        let (yaml, node) = (next.yaml.clone(), next.config.node.clone());
        let (generation, overrides) = (next.number, next.overrides.clone());
        let failed = match (role, &mut self.vrrp, &mut self.proxy) {
            (Role::Vrrp, Some(child), _) if child.is_running() => {
                child.send(&ToVrrp::Prepare {
                    generation,
                    yaml,
                    node,
                    overrides,
                });
                None
            }
            (Role::Proxy, _, Some(child)) if child.is_running() => {
                let passed = next.pass_to(child);
                let threads = next.threads();
                child.send(&ToProxy::Prepare {
                    generation,
                    yaml,
                    node,
                    threads,
                    overrides,
                    found: Found::of(&next.config),
                });
                passed.err()
            }
            (
                Role::Vrrp
                | Role::Proxy
                | Role::Keys
                | Role::Names
                | Role::Admin
                | Role::Supervisor,
                _,
                _,
            ) => None,
        };
        if let Some(errno) = failed {
            self.abandon(&format!(
                "the sockets cannot be passed to the proxy: {errno}"
            ));
        }
    }

    /// A child says that it can, or cannot, follow.
    pub(super) fn handle_prepared(&mut self, role: Role, number: u64, refused: Option<String>) {
        let Stage::Preparing(preparing) = &mut self.reloads.stage else {
            return;
        };
        if preparing.next.number != number {
            return;
        }
        if let Some(why) = refused {
            // It would be refused again.
            preparing.renewal = None;
            let name = role.profile().name;
            return self.abandon(&format!("{name}: {why}"));
        }
        preparing.children.answered(role);
        self.commit_if_all_can();
    }

    /// A child follows the new configuration.
    pub(super) fn handle_committed(&mut self, role: Role, number: u64) {
        if let Stage::Committing(committing) = &mut self.reloads.stage
            && number == self.reloads.number
        {
            committing.children.answered(role);
            self.finish_if_all_have();
        }
    }

    /// A child has ended, and is started again: with the old configuration where both are not yet
    /// able to follow the new one, otherwise with that.
    pub(super) fn handle_end_during_reload(&mut self, role: Role) {
        match &mut self.reloads.stage {
            Stage::Preparing(preparing) if preparing.children.has(role) => {
                let name = role.profile().name;
                self.abandon(&format!("{name} has died meanwhile"));
            }
            // It had prepared and is asked again: the text is the same.
            Stage::Preparing(preparing) => match role {
                Role::Vrrp => preparing.children.vrrp = preparing.renewal.is_none(),
                Role::Proxy => preparing.children.proxy = true,
                Role::Supervisor | Role::Keys | Role::Names | Role::Admin => {}
            },
            Stage::Committing(committing) => {
                committing.children.answered(role);
                self.finish_if_all_have();
            }
            Stage::Idle | Stage::Reading(..) => {}
        }
    }

    /// Nobody is waited for without end.
    pub(super) fn watch_reload(&mut self, now: Instant) {
        // Who stops has no time to follow.
        let running = self.lifecycle.phase() == Phase::Running;
        match &self.reloads.stage {
            Stage::Preparing(preparing) if preparing.until <= now => {
                let late = preparing.children.names();
                self.abandon(&format!("{late} did not answer in time"));
            }
            Stage::Committing(committing) if committing.until <= now && running => {
                let late = committing.children;
                for (late, child) in [(late.vrrp, &mut self.vrrp), (late.proxy, &mut self.proxy)] {
                    if let Some(child) = child.as_mut().filter(|_| late) {
                        let name = child.name();
                        tracing::error!(child = name, "process does not follow, killing it");
                        child.kill();
                    }
                }
                // They come back with the new configuration.
                if let Stage::Committing(committing) = &mut self.reloads.stage {
                    committing.children = Awaited {
                        vrrp: false,
                        proxy: false,
                    };
                }
                self.finish_if_all_have();
            }
            Stage::Idle | Stage::Reading(..) | Stage::Preparing(_) | Stage::Committing(_) => {}
        }
    }

    fn commit_if_all_can(&mut self) {
        let Stage::Preparing(preparing) = &self.reloads.stage else {
            return;
        };
        if !preparing.children.nobody() {
            return;
        }
        let stage = std::mem::take(&mut self.reloads.stage);
        let Stage::Preparing(preparing) = stage else {
            return;
        };
        let Preparing {
            asker,
            next,
            renewal,
            ..
        } = *preparing;
        let is_reload = renewal.is_none();
        let changed = next.config != self.setup.config;
        let report = next.report(next.running.generation, false);
        let running =
            |child: &Option<Child>| changed && child.as_ref().is_some_and(Child::is_running);
        let children = Awaited {
            vrrp: is_reload && running(&self.vrrp),
            proxy: running(&self.proxy),
        };
        self.commit(next, is_reload);
        self.reloads.stage = Stage::Committing(Committing {
            reply: asker.reply,
            report,
            children,
            until: Instant::now() + COMMIT_TIMEOUT,
            is_reload,
        });
        self.finish_if_all_have();
    }

    fn finish_if_all_have(&mut self) {
        let Stage::Committing(committing) = &self.reloads.stage else {
            return;
        };
        if !committing.children.nobody() {
            return;
        }
        let stage = std::mem::take(&mut self.reloads.stage);
        let Stage::Committing(committing) = stage else {
            return;
        };
        self.forget_the_old();
        for step in &committing.report.steps {
            tracing::info!(cause = step.as_str(), "configuration changed");
        }
        if committing.is_reload {
            let generation = committing.report.generation;
            tracing::info!(generation, "configuration in use");
            self.tell_manager("READY=1");
        }
        answer(committing.reply, Response::Changed(committing.report));
        self.begin_next_order();
    }

    /// Nothing changes, and this is why.
    fn abandon(&mut self, why: &str) {
        let stage = std::mem::take(&mut self.reloads.stage);
        let Stage::Preparing(preparing) = stage else {
            self.reloads.stage = stage;
            return;
        };
        let generation = preparing.next.number;
        if let Some(child) = &mut self.vrrp {
            child.send(&ToVrrp::Forget { generation });
        }
        if let Some(child) = &mut self.proxy {
            child.send(&ToProxy::Forget { generation });
        }
        self.forget_next(&preparing.next);
        match preparing.renewal {
            // With the next tick, and what was found since.
            Some(mut renewal) => {
                if let Some(newer) = self.reloads.renewal.take() {
                    renewal.add(newer);
                }
                self.reloads.renewal = Some(renewal);
            }
            None => self.fail_with(preparing.asker, why.to_owned(), false),
        }
        if self.reloads.renewal.is_none() {
            self.begin_next_order();
        }
    }

    /// The daemon stops: what has not begun to be true will not be.
    pub(super) fn abandon_all(&mut self) {
        let why = "the daemon is stopping";
        for order in std::mem::take(&mut self.reloads.waiting) {
            refuse(order.asker.reply, why);
        }
        match std::mem::take(&mut self.reloads.stage) {
            Stage::Idle => {}
            Stage::Reading(asker, _) => refuse(asker.reply, why),
            Stage::Preparing(preparing) => {
                self.forget_next(&preparing.next);
                refuse(preparing.asker.reply, why);
            }
            // That is true already, also for the next start.
            committing @ Stage::Committing(_) => self.reloads.stage = committing,
        }
    }

    /// Tells the service manager how a change goes; one that comes while the daemon starts or stops
    /// is no matter of its own there.
    fn tell_manager(&self, assignments: &str) {
        if self.announced_ready && self.lifecycle.phase() == Phase::Running {
            self.notifier.send(assignments);
        }
    }

    fn fail(&mut self, asker: Asker, error: &SupervisorError) {
        let bad_config = error.is_bad_config();
        self.fail_with(asker, Chain(error).to_string(), bad_config);
    }

    fn fail_with(&mut self, asker: Asker, text: String, bad_config: bool) {
        if !asker.dry_run {
            for line in text.trim_end().lines() {
                tracing::error!(error = line, "the configuration stays as it is");
            }
            self.setup.running.last_failure = Some(FailureStatus {
                at_ms: unix_ms(SystemTime::now()),
                text: text.clone(),
            });
            self.tell_manager("READY=1");
        }
        let refusal = Refusal { text, bad_config };
        answer(asker.reply, Response::Refused(refusal));
    }
}

/// How long the children may take to be able to follow.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long they may take to follow; one that is late is killed, and comes back with the new
/// configuration. One that hangs is found by its silence, long before; one that waits for the
/// processor is not to blame.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
