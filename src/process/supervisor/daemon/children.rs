//! What the children say and how they end, and what follows for the daemon.

mod admin;
mod keys;
mod names;

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};

use super::Daemon;
use super::asked::ProxyPart;
use super::belief::{LACKING_MAX, keep_sockets};
use crate::ipc::message::{Followed, FromProxy, FromVrrp, StateName, ToVrrp};
use crate::logic::lifecycle::Phase;
use crate::logic::track::{Observed, Source};
use crate::model::{Fitness, RouterName};
use crate::process::role::Role;
use crate::process::supervisor::scripts::track::Observation;

impl Daemon {
    pub(super) fn handle_vrrp(&mut self, message: FromVrrp, descriptors: Vec<OwnedFd>) {
        match message {
            FromVrrp::Beat { active } => {
                // One that was on its way has the names of before; the next process must know the
                // roles by those of now.
                if !self.reloads.await_commitment_of(Role::Vrrp) {
                    self.active = active;
                }
                if let Some(child) = &mut self.vrrp {
                    child.handle_beat(0);
                }
            }
            FromVrrp::KeepSockets { sockets, more } => {
                if !more {
                    self.kept_sockets.clear();
                }
                keep_sockets(&mut self.kept_sockets, sockets, descriptors);
            }
            FromVrrp::Lacking(what) => self.note_lacking(Role::Vrrp, what),
            FromVrrp::Ready => self.vrrp_ready = true,
            FromVrrp::Prepared {
                generation,
                refused,
            } => self.handle_prepared(Role::Vrrp, generation, refused),
            FromVrrp::Committed { generation } => self.handle_committed(Role::Vrrp, generation),
            FromVrrp::Transition(report) => {
                if report.to != StateName::Active {
                    // A role that was given up is not adopted by the next process.
                    self.active.retain(|role| role.router != report.router);
                }
                self.notifier.send(&format!(
                    "STATUS={} is {}",
                    report.router,
                    report.to.as_str()
                ));
                let priority = self.priority_of(&report.router);
                let ago = age(report.at_ns);
                let event = self.event_log.note(SystemTime::now(), ago, report);
                self.notify_programs.handle_event(&event, priority);
            }
            FromVrrp::Status {
                id,
                routers,
                statistics,
            } => self.fill(id, |asked| asked.routers = Some((routers, statistics))),
            FromVrrp::Observed { what, well } => {
                let (source, failed) = match what {
                    Followed::Interface(name) => (Source::Interface(name), "has no carrier"),
                    Followed::Gateway(label) => (Source::Gateway(label), "does not answer"),
                };
                let observed = match well {
                    true => Observed::Well,
                    false => Observed::Failed(failed.into()),
                };
                self.tracker.observe(Instant::now(), source, observed);
            }
            FromVrrp::Log(line) => self.print(Role::Vrrp, line),
            FromVrrp::HandedOver | FromVrrp::Stopped => {
                let running = self.running();
                self.lifecycle.handle_handed_over(Instant::now(), running);
                self.follow_lifecycle();
            }
        }
    }

    pub(super) async fn handle_vrrp_end(&mut self) {
        if let Some(child) = &mut self.vrrp {
            let pid = child.pid();
            let ended = child.handle_end(Instant::now()).await;
            self.vrrp_ended(pid, &ended);
        }
    }

    fn vrrp_ended(&mut self, pid: Option<u32>, ended: &str) {
        self.vrrp_ready = false;
        self.handle_end_during_reload(Role::Vrrp);
        if self.lifecycle.phase() == Phase::Running {
            let child = Role::Vrrp.profile().name;
            tracing::error!(child, pid, %ended, "process died, restarting it");
        }
        let running = self.running();
        self.lifecycle.handle_vrrp_end(Instant::now(), running);
        self.follow_lifecycle();
    }

    /// Goes on without children that were killed and do not end: whatever holds them in the kernel
    /// may do so for ever.
    pub(super) fn leave_undead_behind(&mut self, now: Instant) {
        if let Some(child) = self.vrrp.as_mut().filter(|child| child.is_undead()) {
            let pid = child.pid();
            let ended = child.leave_behind(now);
            self.vrrp_ended(pid, ended);
        }
        if let Some(child) = self.proxy.as_mut().filter(|child| child.is_undead()) {
            let pid = child.pid();
            let ended = child.leave_behind(now);
            self.proxy_ended(pid, ended);
        }
        let keys = self.keys.as_mut().map(|keys| &mut keys.child);
        if let Some(child) = keys.filter(|child| child.is_undead()) {
            let pid = child.pid();
            let ended = child.leave_behind(now);
            self.keys_ended(pid, ended);
        }
        let names = self.names.as_mut().map(|names| &mut names.child);
        if let Some(child) = names.filter(|child| child.is_undead()) {
            let pid = child.pid();
            let ended = child.leave_behind(now);
            self.names_ended(pid, ended);
        }
        if let Some(child) = self.admin.child_mut().filter(|child| child.is_undead()) {
            let pid = child.pid();
            let ended = child.leave_behind(now);
            self.admin_ended(pid, ended);
        }
    }

    pub(super) fn handle_proxy(&mut self, message: FromProxy) {
        let now = Instant::now();
        match message {
            FromProxy::Beat { thread } => {
                if let Some(child) = &mut self.proxy {
                    child.handle_beat(usize::from(thread));
                }
            }
            FromProxy::Stuck { thread, doing } => {
                if let Some(child) = &mut self.proxy {
                    child.handle_stuck(usize::from(thread), doing);
                }
            }
            FromProxy::Lacking(what) => self.note_lacking(Role::Proxy, what),
            FromProxy::Ready => {
                self.proxy_ready = true;
                self.tracker.observe(now, Source::Proxy, Observed::Well);
            }
            FromProxy::Health(health) => {
                self.followers.note_health(&health);
                let pool = health.pool.clone();
                self.health.insert(pool.clone(), health);
                self.observe_pool(now, &pool);
            }
            FromProxy::Status {
                id,
                listeners,
                pools,
                access_log,
                warnings,
            } => {
                let part = ProxyPart {
                    listeners,
                    pools,
                    access_log,
                    warnings,
                };
                self.fill(id, |asked| asked.proxy = Some(part));
            }
            FromProxy::Log(line) => self.print(Role::Proxy, line),
            FromProxy::Prepared {
                generation,
                refused,
            } => self.handle_prepared(Role::Proxy, generation, refused),
            FromProxy::Committed { generation } => self.handle_committed(Role::Proxy, generation),
            FromProxy::Drained => {}
        }
    }

    pub(super) async fn handle_proxy_end(&mut self, now: Instant) {
        let Some(child) = &mut self.proxy else { return };
        let pid = child.pid();
        let ended = child.handle_end(now).await;
        self.proxy_ended(pid, &ended);
    }

    fn proxy_ended(&mut self, pid: Option<u32>, ended: &str) {
        self.proxy_ready = false;
        self.handle_end_during_reload(Role::Proxy);
        let child = Role::Proxy.profile().name;
        match self.lifecycle.phase() {
            Phase::Running => {
                tracing::error!(child, pid, %ended, "process died, restarting it");
                // To reap it may have taken longer than a restart may.
                self.tracker.observe(
                    Instant::now(),
                    Source::Proxy,
                    Observed::Failed(ended.to_owned()),
                );
            }
            Phase::HandingOver { .. } => {
                tracing::error!(child, pid, %ended, "process died while stopping");
            }
            Phase::Draining { .. } | Phase::Releasing { .. } | Phase::Over => {}
        }
        let running = self.running();
        self.lifecycle.handle_proxy_end(Instant::now(), running);
        self.follow_lifecycle();
    }

    /// Returns the priority a virtual router has after tracking, 0 in fault.
    fn priority_of(&self, router: &RouterName) -> u8 {
        let of_router = self
            .setup
            .config
            .virtual_routers
            .iter()
            .find(|r| r.name == *router);
        let well = of_router.map_or(0, |router| router.rank.well().get());
        match self
            .tracker
            .verdict(&router.entry)
            .map(|verdict| &verdict.fitness)
        {
            Some(Fitness::Fault(_)) => 0,
            Some(Fitness::Ready(priority)) => priority.get(),
            Some(Fitness::Unready) | None => well,
        }
    }

    pub(super) fn note_lacking(&mut self, role: Role, what: Vec<String>) {
        for what in what {
            let child = role.profile().name;
            // A restarted process lacks what the one before lacked; once is loud enough.
            let same_role = self.lacking.iter().filter(|(other, _)| *other == role);
            if same_role.count() < LACKING_MAX && !self.lacking.contains(&(role, what.clone())) {
                tracing::warn!(
                    child,
                    cause = what,
                    "process works without what it should have"
                );
                self.lacking.push((role, what));
            }
        }
    }

    pub(super) fn take_observation(&mut self, observation: Observation) {
        match observation {
            // Of one that was in the configuration before: it would be known if it came back.
            Observation::Of(Source::Script(name), _) | Observation::Unrunnable(name, _)
                if !self.observers.run_script(&name) => {}
            Observation::Of(source, observed) => {
                self.tracker.observe(Instant::now(), source, observed);
            }
            Observation::Unrunnable(script, Some(why)) => {
                self.unrunnable.insert(script, why);
            }
            Observation::Unrunnable(script, None) => drop(self.unrunnable.remove(&script)),
        }
    }

    /// Tells the vrrp process what has changed in the fitness of its virtual routers.
    pub(super) fn spread_verdicts(&mut self) {
        for (entry, fitness) in self.take_verdicts() {
            if let Some(child) = &mut self.vrrp {
                child.send(&ToVrrp::Fitness { entry, fitness });
            }
        }
    }

    /// Takes the verdicts of tracking over; returns what has changed in the fitness of entries.
    pub(super) fn take_verdicts(&mut self) -> Vec<(String, Fitness)> {
        let mut all = Vec::new();
        while let Some((entry, verdict)) = self.tracker.poll_change() {
            let fitness = verdict.fitness;
            let before = self.fitness.insert(entry.clone(), fitness.clone());
            let changed = before.as_ref() != Some(&fitness);
            // At the start the reason changes with everything that becomes known.
            if changed || fitness != Fitness::Unready {
                let (cause, fitness) = (verdict.reason, &fitness);
                tracing::info!(entry, %fitness, cause, "fitness changed");
            }
            if changed {
                all.push((entry, fitness));
            }
        }
        all
    }

    /// Tells the service manager once that every child serves.
    pub(super) fn announce_ready(&mut self) {
        let vrrp = self.vrrp.is_none() || self.vrrp_ready;
        let proxy = self.proxy.is_none() || self.proxy_ready;
        if vrrp && proxy && !self.announced_ready {
            self.announced_ready = true;
            self.notifier.send("READY=1");
            tracing::info!("ready");
        }
    }
}

/// Returns how long ago a time of CLOCK_MONOTONIC was.
fn age(at_ns: u64) -> Duration {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(Duration::from)
        .unwrap_or_default();
    now.saturating_sub(Duration::from_nanos(at_ns))
}
