//! The configuration, and the host thread: what it has found and done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tracing::{error, warn};

use super::{Error, Phase, Process};
use crate::config::track::Source;
use crate::config::{GatewayConfig, VirtualRouterConfig};
use crate::ipc::message::{ActiveRole, Followed, FromVrrp, Overrides};
use crate::logic::vrrp::router::Failure;
use crate::model::{Fitness, Priority};
use crate::process::vrrp::boundary::Supervisor;
use crate::process::vrrp::host::{
    Acceptance, Answer, Event, Host, Leftovers, Ownership, RouterSpec, VirtualMac, What,
};
use crate::process::vrrp::router::RouterRuntime;
use crate::process::vrrp::routers::{RouterId, Routers};

impl<S: Supervisor> Process<S> {
    /// Begins; a second configuration of a running process is not a thing, and is ignored.
    pub(in crate::process::vrrp::run) fn configure(
        &mut self,
        yaml: &str,
        node: &str,
        adopt: Vec<ActiveRole>,
        overrides: &Overrides,
    ) -> Result<(), Error> {
        let Phase::Waiting = self.phase else {
            warn!("a second configuration was ignored");
            return Ok(());
        };
        let routers = (self.read_config)(yaml, node, overrides)?;
        let now = Instant::now();
        let routers = Routers::first(routers);
        let specs = routers.map(|(_, router)| {
            let adopted = adopt.iter().any(|role| role.router == router.name);
            host_spec(
                router,
                if adopted {
                    Leftovers::Keep
                } else {
                    Leftovers::Remove
                },
            )
        });
        let (interfaces, gateways) = followed(routers.values());
        self.note_followed(&interfaces, &gateways);
        let host = Host::start(specs, interfaces, gateways);
        self.host = Some(host.map_err(|source| Error::System {
            what: "start a thread",
            source,
        })?);
        let groups = groups(routers.iter());
        self.runtimes = routers.map(|(id, router)| {
            let group = Arc::clone(&groups[&router.sync_group]);
            RouterRuntime::new(id, router.clone(), group, now)
        });
        for runtime in self.runtimes.values_mut() {
            if let Some(fitness) = self.fitness.get(&runtime.config.name.entry) {
                runtime.machine.set_fitness(now, fitness.clone());
            }
        }
        let addresses = self.virtual_addresses();
        self.listen_for_claims(&addresses, now);
        self.adopt = adopt;
        self.phase = Phase::Surveying;
        Ok(())
    }

    pub(in crate::process::vrrp::run) fn set_fitness(&mut self, entry: String, fitness: &Fitness) {
        let now = Instant::now();
        let concerned = |runtime: &&mut RouterRuntime| runtime.config.name.entry == entry;
        for runtime in self.runtimes.values_mut().filter(concerned) {
            runtime.machine.set_fitness(now, fitness.clone());
        }
        self.perform_all(now);
        self.fitness.insert(entry, fitness.clone());
    }

    pub(in crate::process::vrrp::run) fn read_host(&mut self) -> Result<(), Error> {
        if let Some(host) = &self.host {
            host.clear_wakening();
        }
        for _ in 0..EVENTS_PER_TURN {
            let Some(event) = self.host.as_ref().and_then(Host::event) else {
                break;
            };
            self.handle_host_event(event)?;
        }
        Ok(())
    }

    pub(in crate::process::vrrp::run) fn handle_host_event(
        &mut self,
        event: Event,
    ) -> Result<(), Error> {
        let now = Instant::now();
        match event {
            Event::Link { router, link } => self.set_link(router, link, now),
            Event::Surveyed(kept) => self.begin(&kept, now),
            Event::Applied(answer) => {
                self.handle_answer(answer, now, |runtime| runtime.machine.handle_applied(now));
            }
            Event::ApplyFailed(answer, what) => self.handle_answer(answer, now, |runtime| {
                let router = &runtime.config.name;
                error!(%router, error = %what, "the addresses cannot be held");
                runtime.machine.handle_apply_failed(now, Failure { what });
            }),
            Event::Renewed(answer) | Event::Removed(answer) => {
                self.handle_answer(answer, now, |_| {})
            }
            Event::Added { router } => self.start_added(router, now),
            Event::Moved { router } => self.reinstall_moved(router, now),
            Event::AddressesLost { router } => self.reinstall(router, now),
            Event::AttachmentRefused { router, why } => {
                if let Some(runtime) = self.runtimes.get(router) {
                    let router = &runtime.config.name;
                    error!(%router, error = %why, "the virtual MAC cannot be had");
                }
            }
            Event::Carrier { interface, up } => self.observe(Followed::Interface(interface), up),
            Event::Gateway { label, there } => self.observe(Followed::Gateway(label), there),
            Event::SuppressionRefused(why) => warn!(
                error = %why,
                "no table of nftables: addresses that are given up are released at once, not suppressed"
            ),
            Event::Ended(why) => return Err(Error::Host(why.unwrap_or_default())),
        }
        Ok(())
    }

    fn observe(&mut self, what: Followed, well: bool) {
        // What was said before a reload may be followed no more.
        if self.followed.contains(&what) {
            self.outbox.push(FromVrrp::Observed { what, well });
        }
    }

    /// Notes what is followed from now on; returns whether that is new.
    pub(super) fn note_followed(
        &mut self,
        interfaces: &[String],
        gateways: &[GatewayConfig],
    ) -> bool {
        let names = interfaces.iter().cloned().map(Followed::Interface);
        let labels = gateways
            .iter()
            .map(|it| Followed::Gateway(it.label.clone()));
        let followed = names.chain(labels).collect();
        let is_new = followed != self.followed || gateways != self.gateways;
        self.followed = followed;
        self.gateways = gateways.to_vec();
        is_new
    }

    pub(in crate::process::vrrp::run) fn handle_answer(
        &mut self,
        answer: Answer,
        now: Instant,
        then: impl FnOnce(&mut RouterRuntime),
    ) {
        if let Some(runtime) = self.runtimes.get_mut(answer.router)
            && runtime.accept(answer)
        {
            then(runtime);
            self.perform(answer.router, now);
        }
    }

    /// Installs addresses that somebody else removed, if they should still be here: a router that
    /// has slept notices that first.
    pub(in crate::process::vrrp::run) fn reinstall(&mut self, id: RouterId, now: Instant) {
        let Some(runtime) = self.runtimes.get_mut(id) else {
            return;
        };
        runtime.machine.handle_timeout(now);
        self.perform(id, now);
        let runtime = &mut self.runtimes[id];
        if runtime.is_active() {
            runtime.put_back += 1;
            let router = &runtime.config.name;
            warn!(%router, "addresses were removed by somebody else; putting them back");
            self.command(id, What::Install(self.runtimes[id].config.lease), now);
        }
    }

    /// The survey is over: every router adopts its role or starts.
    pub(in crate::process::vrrp::run) fn begin(&mut self, kept: &Routers<bool>, now: Instant) {
        let Phase::Surveying = self.phase else {
            return;
        };
        self.phase = Phase::Running;
        let adopt = std::mem::take(&mut self.adopt);
        for (id, runtime) in self.runtimes.iter_mut() {
            let role = adopt.iter().find(|role| role.router == runtime.config.name);
            let advertised_at = role.and_then(|role| self.clock.instant(role.advertised_at_ns));
            match advertised_at.filter(|_| kept[id]) {
                Some(at) => {
                    runtime.advertised_at = Some(at);
                    runtime.machine.handle_adoption(now, at);
                }
                None => runtime.machine.handle_startup(now),
            }
        }
        // What was said while nobody listened comes before anything that an adopted role would say.
        self.drain_sockets();
        self.perform_all(now);
        self.kept.clear();
        self.outbox.push(FromVrrp::Ready);
        self.prepare_postponed();
    }

    /// A virtual router whose leases nobody renews is not Active.
    pub(in crate::process::vrrp::run) fn fail_if_host_silent(
        &mut self,
        id: RouterId,
        now: Instant,
    ) {
        let runtime = &mut self.runtimes[id];
        if runtime.host_is_silent(now) {
            let what = "the host thread does not answer".to_owned();
            error!(router = %runtime.config.name, error = %what, "the addresses cannot be held");
            runtime.machine.handle_apply_failed(now, Failure { what });
            self.perform(id, now);
        }
    }
}

/// Returns by name the virtual routers that move together, by rising identity; one that moves alone
/// is with none.
pub(super) fn groups<'c>(
    routers: impl Iterator<Item = (RouterId, &'c VirtualRouterConfig)>,
) -> BTreeMap<String, Arc<[RouterId]>> {
    let mut groups: BTreeMap<&str, Vec<RouterId>> = BTreeMap::new();
    for (id, router) in routers {
        groups.entry(&router.sync_group).or_default().push(id);
    }
    let group = |(name, mut ids): (&str, Vec<RouterId>)| {
        ids.sort_unstable();
        if ids.len() == 1 {
            ids.clear();
        }
        (name.to_owned(), ids.into())
    };
    groups.into_iter().map(group).collect()
}

/// Returns what virtual routers follow that is observed here: interfaces, and gateways.
pub(super) fn followed<'c>(
    routers: impl Iterator<Item = &'c VirtualRouterConfig>,
) -> (Vec<String>, Vec<GatewayConfig>) {
    let (mut interfaces, mut gateways) = (Vec::new(), Vec::new());
    for router in routers {
        for condition in &router.track.conditions {
            if let Source::Interface(name) = &condition.source
                && !interfaces.contains(name)
            {
                interfaces.push(name.clone());
            }
        }
        for gateway in &router.track.gateways {
            if !gateways.contains(gateway) {
                gateways.push(gateway.clone());
            }
        }
    }
    (interfaces, gateways)
}

/// Says what the host thread must know of a virtual router.
pub(super) fn host_spec(router: &VirtualRouterConfig, leftovers: Leftovers) -> RouterSpec {
    let virtual_mac = VirtualMac {
        family: router.name.family,
        vrid: router.vrid,
    };
    RouterSpec {
        interface: router.interface.clone(),
        address_interface: router.address_interface.clone(),
        virtual_mac: router.virtual_mac.then_some(virtual_mac),
        addresses: router.addresses.clone().into(),
        peers: router.peers.clone().into(),
        ownership: if router.priority == Priority::OWNER {
            Ownership::Owner
        } else {
            Ownership::Lease
        },
        acceptance: if router.accept || router.priority == Priority::OWNER {
            Acceptance::Accept
        } else {
            Acceptance::Refuse
        },
        leftovers,
    }
}

/// From the host thread in one turn.
const EVENTS_PER_TURN: usize = 1024;
