//! The moment when a new configuration is that of the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::belief::Belief;
use super::{Daemon, plan};
use crate::config::{Config, PoolConfig, VirtualRouterConfig};
use crate::ipc::message::{ToProxy, ToVrrp};
use crate::logic::track::Source;
use crate::process::role::Role;
use crate::process::supervisor::SupervisorError;
use crate::process::supervisor::child::Child;
use crate::process::supervisor::passed::access_log::AccessLog;
use crate::process::supervisor::reload::next::{Next, renamed};
use crate::process::supervisor::runtime_dir;
use crate::process::supervisor::tracking::{Fallbacks, entries, tracked};

impl Daemon {
    /// Opens sockets, starts observers, takes the lock of the network: all that can be refused.
    pub(super) fn open_what_is_needed(&mut self, next: &mut Next) -> Result<(), SupervisorError> {
        next.sockets = Some(self.setup.sockets.prepare(&next.config)?);
        next.admin = Some(self.admin.prepare(&next.config, next.admin_token.take())?);
        let observers = self.observers.prepare(&next.config);
        next.observers = Some(observers.map_err(|source| SupervisorError::System {
            what: "start a thread",
            source,
        })?);
        if self.setup.network_lock.is_none() && !next.config.virtual_routers.is_empty() {
            next.network_lock = runtime_dir::try_lock_network()?;
        }
        if next.overrides != self.setup.overrides {
            let saved = self.setup.store.save(&next.overrides);
            saved.map_err(|source| SupervisorError::System {
                what: "keep what was changed by command",
                source,
            })?;
        }
        Ok(())
    }

    /// Until all children have followed, they may speak of what is in either configuration.
    pub(super) fn widen_bounds(&mut self, next: &Config) {
        self.believe(Belief::of_either(&self.setup.config, next));
    }

    /// They have, or will not.
    pub(super) fn forget_the_old(&mut self) {
        self.notify_programs.forget_the_old();
        self.believe(Belief::new(&self.setup.config));
    }

    /// What was kept for a configuration that does not follow is not to come with the next start.
    pub(super) fn forget_next(&mut self, next: &Next) {
        if next.overrides != self.setup.overrides
            && let Err(error) = self.setup.store.save(&self.setup.overrides)
        {
            tracing::error!(%error, "a change by command that failed may come with the next start");
        }
        self.forget_the_old();
    }

    fn believe(&mut self, belief: Belief) {
        self.belief = belief;
        let bounds = (self.belief.vrrp_bounds(), self.belief.proxy_bounds());
        for (child, bounds) in [(&mut self.vrrp, bounds.0), (&mut self.proxy, bounds.1)] {
            if let Some(child) = child {
                child.set_bounds(bounds);
            }
        }
    }

    /// From here on the new configuration is that of the daemon. Nothing in it fails.
    pub(super) fn commit(&mut self, next: Next, is_reload: bool) {
        let now = Instant::now();
        let threads = next.threads();
        let before = std::mem::replace(&mut self.setup.config, next.config);
        let changed = before != self.setup.config;
        self.setup.running = next.running;
        self.setup.base = next.base;
        self.setup.yaml = next.yaml;
        self.setup.overrides = next.overrides;
        if next.network_lock.is_some() {
            self.setup.network_lock = next.network_lock;
        }
        // Also where nothing else has changed: another secret may be in the same file.
        if let (Some(keys), Some(secrets)) = (&mut self.keys, next.secrets) {
            keys.follow(secrets);
        }
        // Also where nothing else has changed, for the same reason.
        if let Some(admin) = next.admin {
            self.admin.commit(&self.setup.config, admin);
        }
        if !changed {
            return;
        }
        let config = &self.setup.config;
        if let Some(sockets) = next.sockets {
            self.setup.sockets.commit(config, sockets);
        }
        self.threads = threads;
        self.fallbacks = Fallbacks::of(config);
        self.lifecycle.set_plan(plan::of_stop(config));
        self.notify_programs
            .follow(Some(&before), config, next.users.notify);
        if let Some(observers) = next.observers {
            self.observers
                .commit(config, observers, &next.users.track_scripts);
        }
        self.unrunnable
            .retain(|script, _| self.observers.run_script(script));
        self.follow_tracked(&before);
        self.observe_all_pools(now);
        self.follow_access_log(next.log);
        match next.spool {
            _ if !self.setup.config.needs_spool() => self.setup.spool = None,
            Some(opened) => self.setup.spool = Some(opened),
            None => {}
        }
        if let (Some(keys), Some(held)) = (&mut self.keys, next.held) {
            keys.hold(held);
        }
        self.follow_keys();
        self.follow_names();
        self.follow_what_is_found();
        self.tell_children(now, is_reload);
        self.note_lacking_programs();
    }

    /// Tells the tracker of all pools.
    fn observe_all_pools(&mut self, now: Instant) {
        let pools = self.setup.config.pools.iter();
        self.observe_pools(now, pools.map(|pool| pool.name.clone()).collect());
    }

    /// Tells the tracker of a pool that changed, and of those in whose place it may answer.
    pub(super) fn observe_pool(&mut self, now: Instant, pool: &str) {
        let pools = self.fallbacks.with_those_before(pool).into_iter();
        self.observe_pools(now, pools.map(str::to_owned).collect());
    }

    fn observe_pools(&mut self, now: Instant, pools: Vec<String>) {
        for pool in pools {
            if let Some(observed) = self.fallbacks.observed(&pool, &self.health) {
                self.tracker.observe(now, Source::Pool(pool), observed);
            }
        }
    }

    /// What is tracked goes on under its name, or a new one.
    fn follow_tracked(&mut self, before: &Config) {
        let config = &self.setup.config;
        let pools: BTreeMap<&str, &PoolConfig> = (config.pools.iter())
            .map(|pool| (pool.name.as_str(), pool))
            .collect();
        self.health.retain(|pool, health| {
            let Some(of_config) = pools.get(pool.as_str()) else {
                return false;
            };
            let known: BTreeSet<&str> = (of_config.backends.iter())
                .map(|backend| backend.name.as_str())
                .collect();
            health
                .backends
                .retain(|name, _| known.contains(name.as_str()));
            true
        });
        let renamed = renamed(before, config);
        for role in &mut self.active {
            let of_router = |router: &&VirtualRouterConfig| {
                let mut olds = before.virtual_routers.iter();
                let old = olds.find(|old| old.name == role.router);
                old.is_some_and(|old| old.is_same(router))
            };
            if let Some(router) = config.virtual_routers.iter().find(of_router) {
                role.router = router.name.clone();
            }
        }
        let old_fitness = std::mem::take(&mut self.fitness);
        for entry in entries(config) {
            let old = renamed.get(entry).map_or(entry, String::as_str);
            if let Some(fitness) = old_fitness.get(old) {
                self.fitness.insert(entry.to_owned(), fitness.clone());
            }
        }
        let exists = |source: &Source| match source {
            Source::Pool(name) => pools.contains_key(name.as_str()),
            Source::Script(name) => self.observers.run_script(name),
            Source::Proxy
            | Source::Interface(_)
            | Source::File(_)
            | Source::Process(_)
            | Source::Gateway(_) => true,
        };
        self.tracker.update(tracked(config), &renamed, exists);
    }

    fn follow_access_log(&mut self, opened: Option<AccessLog>) {
        match (&self.setup.config.access_log, opened) {
            (None, _) => self.setup.access_log = None,
            (Some(_), Some(mut opened)) => {
                opened.begin_passing();
                self.setup.access_log = Some(opened);
            }
            (Some(_), None) => {}
        }
    }

    fn tell_children(&mut self, now: Instant, is_reload: bool) {
        let (vrrp, proxy) = (self.belief.vrrp_bounds(), self.belief.proxy_bounds());
        let config = &self.setup.config;
        if self.vrrp.is_none() && !config.virtual_routers.is_empty() {
            self.vrrp = Some(Child::new(Role::Vrrp, vrrp, now));
        }
        if self.proxy.is_none() && !config.listeners.is_empty() {
            self.proxy = Some(Child::new(Role::Proxy, proxy, now));
        }
        // Not by themselves: an Active whose priority is lowered by the file is none that is ill.
        self.take_verdicts();
        let generation = self.reloads.number;
        let fitness = self.fitness.clone();
        if let Some(child) = &mut self.vrrp.as_mut().filter(|_| is_reload) {
            child.send(&ToVrrp::Commit {
                generation,
                fitness,
            });
        }
        if let Some(child) = &mut self.proxy {
            child.expect_sources(usize::from(self.threads) + 1);
            if let Some(log) = self
                .setup
                .access_log
                .as_mut()
                .filter(|log| log.is_pending())
            {
                log.pass(child);
            }
            if let Some(spool) = self.setup.spool.as_mut().filter(|it| it.is_pending()) {
                spool.pass(child);
            }
            child.send(&ToProxy::Commit { generation });
        }
    }
}
