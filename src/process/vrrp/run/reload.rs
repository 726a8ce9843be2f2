//! A reload: another configuration in the place of the one before, while all that it does not
//! change goes on.
//!
//! A virtual router that the new one has too, by interface, VRID and family, keeps everything else.
//! One that it has not gives its addresses up as at a stop: out of its group and of the status at
//! once, it is driven until nothing is held any more, and comes back if it is wanted again before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tracing::warn;

use super::hosting::{followed, groups, host_spec};
use super::packets::OPEN_AGAIN;
use super::preparation::{Prepared, Ready};
use super::{Phase, Process};
use crate::config::VirtualRouterConfig;
use crate::ipc::message::FromVrrp;
use crate::model::Fitness;
use crate::process::vrrp::boundary::Supervisor;
use crate::process::vrrp::host::{Change, Leftovers, What};
use crate::process::vrrp::link::socket::VrrpSocket;
use crate::process::vrrp::link::sockets::LinkSocket;
use crate::process::vrrp::router::{RouterRuntime, Standing, identity};
use crate::process::vrrp::routers::RouterId;
use crate::process::vrrp::status::of_nobody;

impl<S: Supervisor> Process<S> {
    /// Puts the configuration in place that was prepared under this number.
    pub(super) fn commit(&mut self, generation: u64, fitness: BTreeMap<String, Fitness>) {
        let prepared = self.prepared.take_if(|it| it.generation == generation);
        let (Some(Prepared { ready, .. }), Phase::Running) = (prepared, self.phase) else {
            warn!("a configuration that is not prepared was not put in place");
            return;
        };
        let now = Instant::now();
        self.fitness = fitness;
        self.put_in_place(ready, now);
        self.outbox.push(FromVrrp::Committed { generation });
        // Whoever takes over from this process must know its roles by their new names.
        self.beat_at = now;
    }

    fn put_in_place(&mut self, ready: Ready, now: Instant) {
        let plan = self.plan(ready.routers);
        let mut change = Change::default();
        let mut concerned: BTreeSet<RouterId> = BTreeSet::new();
        for id in plan.removed {
            self.begin_to_leave(id, now);
            concerned.insert(id);
        }
        let addresses_before = self.virtual_addresses();
        let mut added = Vec::new();
        for (id, config) in plan.wanted {
            let group = Arc::clone(&plan.groups[&config.sync_group]);
            if let Some(runtime) = self.runtimes.get_mut(id) {
                let fitness = fitness_of(&self.fitness, &config);
                let before = host_spec(&runtime.config, Leftovers::Remove);
                let after = host_spec(&config, Leftovers::Remove);
                let regrouped = runtime.sync_group != group;
                let is_back = !runtime.is_configured();
                runtime.standing = Standing::Configured;
                let is_other_spec = before != after;
                runtime.change(config, group, &fitness, now);
                if is_other_spec {
                    change.changed.push((id, after));
                }
                if is_back {
                    runtime.made_at = now;
                    runtime.machine.handle_startup(now);
                    runtime.machine.join();
                }
                if is_other_spec || is_back || regrouped || runtime.machine.has_actions() {
                    concerned.insert(id);
                }
            } else {
                change
                    .added
                    .push((id, host_spec(&config, Leftovers::Remove)));
                let mut runtime = RouterRuntime::new(id, config, group, now);
                let fitness = fitness_of(&self.fitness, &runtime.config);
                runtime.machine.set_fitness(now, fitness);
                added.push((id, runtime));
            }
        }
        self.runtimes.extend(added);
        self.runtimes.arrange(&plan.order);
        let other_specs: Vec<RouterId> = change.changed.iter().map(|(id, _)| *id).collect();
        let addresses = self.virtual_addresses();
        self.follow(&mut change, &addresses, addresses != addresses_before);
        self.change_host(change);
        self.exchange_sockets(ready.sockets);
        if addresses != addresses_before {
            self.listen_for_claims(&addresses, now);
        }
        self.perform_each(concerned.into_iter(), now);
        // What else of it is on the host by now comes with an installation, which changes nothing
        // where everything is there.
        for id in other_specs {
            if self.runtimes.get(id).is_some_and(RouterRuntime::is_active) {
                let lease = self.runtimes[id].config.lease;
                self.command(id, What::Install(lease), now);
            }
        }
        self.dismiss_released();
    }

    /// A virtual router that was added can start.
    pub(super) fn start_added(&mut self, id: RouterId, now: Instant) {
        if let Phase::Running = self.phase
            && let Some(runtime) = self.runtimes.get_mut(id)
            && runtime.is_configured()
        {
            runtime.machine.handle_startup(now);
            runtime.machine.join();
            self.perform(id, now);
        }
    }

    /// The addresses of a virtual router have another place.
    pub(super) fn reinstall_moved(&mut self, id: RouterId, now: Instant) {
        if let Some(runtime) = self.runtimes.get_mut(id) {
            runtime.machine.handle_moved(now);
            self.perform(id, now);
        }
    }

    /// Forgets those that left, and hold nothing any more.
    pub(super) fn dismiss_released(&mut self) {
        let is_gone = |runtime: &RouterRuntime| !runtime.is_configured() && runtime.is_released();
        let all = self.runtimes.iter();
        let gone: Vec<RouterId> = all
            .filter(|(_, runtime)| is_gone(runtime))
            .map(|(id, _)| id)
            .collect();
        if gone.is_empty() {
            return;
        }
        for id in &gone {
            let Some(runtime) = self.runtimes.remove(*id) else {
                continue;
            };
            self.departed.add(runtime.machine.counters());
            if let Some(outlet) = &runtime.link.outlet {
                self.close_announcer(outlet);
            }
        }
        self.change_host(Change {
            removed: gone,
            ..Change::default()
        });
        self.exchange_sockets(Vec::new());
    }

    /// Hands a change to the host thread, now or when there is room.
    pub(super) fn change_host(&mut self, change: Change) {
        if !change.is_empty() {
            self.changes.push_back(Box::new(change));
            self.hand_changes_over();
        }
    }

    /// Hands over the changes that wait.
    pub(super) fn hand_changes_over(&mut self) {
        while let Some(change) = self.changes.pop_front() {
            if let Some(Err(change)) = self.host.as_ref().map(|host| host.change(change)) {
                self.changes.push_front(change);
                return;
            }
        }
    }

    fn begin_to_leave(&mut self, id: RouterId, now: Instant) {
        let runtime = &mut self.runtimes[id];
        runtime.standing = Standing::Leaving;
        self.sockets_changed = true;
        runtime.sync_group = Arc::default();
        runtime.machine.handle_shutdown(now);
    }

    /// Opens what is new, and closes what nobody uses any more.
    fn exchange_sockets(&mut self, new: Vec<VrrpSocket>) {
        let used: BTreeSet<_> = self
            .runtimes
            .values()
            .map(|runtime| (runtime.config.interface.clone(), runtime.family()))
            .collect();
        let mut closing = Vec::new();
        let open = std::mem::take(&mut self.link_sockets);
        for link_socket in open {
            let key = link_socket.socket.key();
            if used.contains(&(key.interface.clone(), key.family)) {
                self.link_sockets.push(link_socket);
            } else {
                self.departed.add(of_nobody(&link_socket.rejections));
                closing.push(link_socket.socket);
            }
        }
        let known = self.link_sockets.len();
        for socket in new {
            let key = socket.key();
            let is_open = self.link_sockets.iter().any(|it| {
                let open = it.socket.key();
                (&open.interface, open.family) == (&key.interface, key.family)
            });
            if is_open {
                closing.push(socket);
            } else {
                self.link_sockets.push(LinkSocket::new(socket));
            }
        }
        self.sockets_changed |= known != self.link_sockets.len() || !closing.is_empty();
        if !closing.is_empty() {
            self.change_host(Change {
                closing,
                ..Change::default()
            });
        }
    }

    /// Follows what the virtual routers of the configuration follow.
    fn follow(
        &mut self,
        change: &mut Change,
        addresses: &BTreeSet<IpAddr>,
        addresses_changed: bool,
    ) {
        let configs = self.runtimes.values().filter(|it| it.is_configured());
        let (interfaces, gateways) = followed(configs.map(|runtime| &runtime.config));
        let is_new = self.note_followed(&interfaces, &gateways);
        if is_new {
            change.interfaces = Some(interfaces);
        }
        if let (true, Some(host)) = (is_new || addresses_changed, &self.host) {
            host.follow_gateways((gateways, addresses.iter().copied().collect()));
        }
    }

    pub(super) fn virtual_addresses(&self) -> BTreeSet<IpAddr> {
        let configured = self.runtimes.values().filter(|it| it.is_configured());
        configured
            .flat_map(|runtime| runtime.machine.parameters().addresses.iter().copied())
            .collect()
    }

    /// Hears what is said about these addresses; what cannot be heard is tried again.
    pub(super) fn listen_for_claims(&mut self, addresses: &BTreeSet<IpAddr>, now: Instant) {
        let addresses: Vec<IpAddr> = addresses.iter().copied().collect();
        let trouble = self.claims.listen_for(&addresses).err();
        let was_deaf = std::mem::replace(&mut self.is_deaf, trouble.is_some());
        if let Some(error) = trouble {
            if !was_deaf {
                warn!(%error, "machines that claim virtual addresses are not heard");
            }
            self.open_at.get_or_insert(now + OPEN_AGAIN);
        }
    }

    /// Finds out who stays, who comes and who goes.
    fn plan(&mut self, configs: Vec<VirtualRouterConfig>) -> Plan {
        let mut known: BTreeMap<_, RouterId> = self
            .runtimes
            .iter()
            .map(|(id, runtime)| (identity(&runtime.config), id))
            .collect();
        let found: Vec<Option<RouterId>> = configs
            .iter()
            .map(|config| known.remove(&identity(config)))
            .collect();
        let removed = known.into_values();
        let removed = removed.filter(|id| self.runtimes[*id].is_configured());
        let removed = removed.collect();
        let id_of = |found: Option<RouterId>| found.unwrap_or_else(|| self.runtimes.new_id());
        let wanted: Vec<_> = found.into_iter().map(id_of).zip(configs).collect();
        Plan {
            order: wanted.iter().map(|(id, _)| *id).collect(),
            groups: groups(wanted.iter().map(|(id, config)| (*id, config))),
            wanted,
            removed,
        }
    }
}

/// What a configuration makes of the virtual routers.
struct Plan {
    /// In the order of the file.
    wanted: Vec<(RouterId, VirtualRouterConfig)>,
    order: Vec<RouterId>,
    /// As of `hosting::groups`.
    groups: BTreeMap<String, Arc<[RouterId]>>,
    removed: Vec<RouterId>,
}

/// An entry of which nothing is said is not ready.
fn fitness_of(said: &BTreeMap<String, Fitness>, config: &VirtualRouterConfig) -> Fitness {
    let said = said.get(&config.name.entry);
    said.cloned().unwrap_or(Fitness::Unready)
}
