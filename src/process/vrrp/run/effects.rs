//! What virtual routers ask for, done: advertisements, announcements, commands to the host thread.
//!
//! A virtual router that moves with others is not at rest before its group is.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use tracing::warn;

use super::Process;
use crate::logic::vrrp::sync_group::{self, GroupCommand};
use crate::logic::vrrp::{Action, Advertisement};
use crate::model::Priority;
use crate::process::vrrp::boundary::Supervisor;
use crate::process::vrrp::host::{Command, What};
use crate::process::vrrp::routers::RouterId;

impl<S: Supervisor> Process<S> {
    /// Does all that every virtual router asks for.
    pub(super) fn perform_all(&mut self, now: Instant) {
        let ids = self.runtimes.ids();
        self.perform_each(ids.iter().copied(), now);
    }

    /// Does all that these virtual routers ask for, and then what follows for each group once.
    pub(super) fn perform_each(&mut self, ids: impl Iterator<Item = RouterId>, now: Instant) {
        let mut groups: BTreeMap<RouterId, Arc<[RouterId]>> = BTreeMap::new();
        for id in ids {
            self.perform_alone(id, now);
            let group = &self.runtimes[id].sync_group;
            if let Some(first) = group.first() {
                groups.entry(*first).or_insert_with(|| Arc::clone(group));
            }
        }
        for group in groups.values() {
            self.settle_group(group, now);
        }
    }

    /// Does all that a virtual router asks for, and what follows for those that move with it.
    pub(super) fn perform(&mut self, id: RouterId, now: Instant) {
        self.perform_alone(id, now);
        let group = Arc::clone(&self.runtimes[id].sync_group);
        if !group.is_empty() {
            self.settle_group(&group, now);
        }
    }

    /// Has a group come to rest.
    fn settle_group(&mut self, members: &[RouterId], now: Instant) {
        let states = members
            .iter()
            .map(|member| self.runtimes[*member].machine.member_state());
        let wholeness = sync_group::wholeness(states);
        for member in members {
            wholeness.apply(&mut self.runtimes[*member].machine, now);
            self.perform_alone(*member, now);
        }
        for _ in 0..sync_group::COMMANDS_MAX {
            let states = members
                .iter()
                .map(|member| self.runtimes[*member].machine.member_state());
            let command = sync_group::decide(states);
            if command == GroupCommand::Nothing {
                return;
            }
            for member in members {
                command.apply(&mut self.runtimes[*member].machine, now);
                self.perform_alone(*member, now);
            }
        }
    }

    fn perform_alone(&mut self, id: RouterId, now: Instant) {
        while let Some(action) = self.runtimes[id].machine.poll_action() {
            let lease = self.runtimes[id].machine.parameters().lease;
            match action {
                Action::SendAdvertisement { priority } => self.advertise(id, priority, now),
                Action::InstallAddresses => self.command(id, What::Install(lease), now),
                Action::RenewAddresses => self.command(id, What::Renew(lease), now),
                Action::SuppressAddresses => self.withdraw(id, What::Suppress, now),
                Action::RemoveAddresses => self.withdraw(id, What::Remove, now),
                Action::Announce { rounds } => self.runtimes[id].begin_announcing(rounds, now),
                Action::Report(transition) => self.report_transition(id, transition, now),
                Action::Warn { anomaly, source } => {
                    let (router, cause) = (&self.runtimes[id].config.name, anomaly.as_str());
                    warn!(%router, peer = %source, cause, "odd advertisements, accepted");
                }
            }
        }
    }

    fn advertise(&mut self, id: RouterId, priority: Priority, now: Instant) {
        let link_socket = self.link_socket_of(id);
        let runtime = &mut self.runtimes[id];
        let parameters = runtime.machine.parameters();
        let advertisement = Advertisement {
            vrid: parameters.vrid,
            priority,
            interval: parameters.advertisement_interval,
            addresses: parameters.addresses.clone(),
        };
        let (Some(link_socket), Some(source)) = (link_socket, runtime.machine.source()) else {
            runtime.send_failures += 1;
            return runtime.note_sent(now, Err(io::ErrorKind::NotConnected.into()));
        };
        let mut outlet = runtime.outlet.take();
        // A macvlan has no neighbors to ask for the hardware address of a peer: unicast leaves by
        // the interface.
        let socket = match &mut outlet {
            Some(outlet) if runtime.config.peers.is_empty() => outlet,
            Some(_) | None => &mut self.link_sockets[link_socket].socket,
        };
        // Its own address among the peers is what lets all nodes have the same list.
        let peers = runtime
            .config
            .peers
            .iter()
            .copied()
            .filter(|peer| *peer != source);
        let group = runtime.config.peers.is_empty().then(|| socket.group());
        let mut outcome = Ok(());
        let mut taken = false;
        for destination in group.into_iter().chain(peers) {
            runtime.build(&advertisement, source, destination, &mut self.message);
            match socket.send(source, destination, &self.message) {
                Ok(()) => {
                    taken = true;
                    if priority != Priority::LEAVING {
                        runtime.advertised_at = Some(now);
                    }
                }
                Err(error) => {
                    runtime.send_failures += 1;
                    outcome = Err(error);
                }
            }
        }
        runtime.outlet = outlet;
        // One peer that cannot be reached says nothing about the others.
        runtime.note_sent(now, if taken { Ok(()) } else { outcome });
    }

    /// Sends announcements that are due, of every virtual router in turn, and no more than fit in
    /// one turn.
    pub(super) fn announce_what_is_due(&mut self) {
        let now = Instant::now();
        let mut frames = FRAMES_PER_TURN;
        let ids = self.runtimes.ids();
        for step in 0..ids.len() {
            let at = (self.announced_first + step) % ids.len();
            let id = ids[at];
            frames = self.runtimes[id].announce(&mut self.announcers, now, frames);
            if frames == 0 {
                self.announced_first = at + 1;
                return;
            }
        }
    }

    /// What is given up is not announced any more.
    fn withdraw(&mut self, id: RouterId, what: What, now: Instant) {
        self.runtimes[id].end_announcing();
        self.command(id, what, now);
    }

    pub(super) fn command(&mut self, id: RouterId, what: What, now: Instant) {
        if let Some(command) = self.runtimes[id].command(what, now) {
            self.submit(id, command);
        }
    }

    /// Tries again what did not fit in the host's queue.
    pub(super) fn retry_deferred(&mut self) {
        self.hand_changes_over();
        for &id in self.runtimes.ids().iter() {
            if let Some(command) = self.runtimes[id].take_deferred() {
                self.submit(id, command);
            }
        }
    }

    fn submit(&mut self, id: RouterId, command: Command) {
        // No command overtakes what makes its virtual router what it is.
        if !self.changes.is_empty() {
            return self.runtimes[id].defer(command);
        }
        if let Some(Err(command)) = self.host.as_ref().map(|host| host.command(command)) {
            self.runtimes[id].defer(command);
        }
    }
}

/// So many announcements are sent before sockets and timers have their turn again: about half a
/// millisecond.
const FRAMES_PER_TURN: usize = 128;
