//! What virtual routers ask for, done: advertisements, announcements, commands to the host thread.
//!
//! A virtual router that moves with others is not at rest before its group is.

use std::time::Instant;

use tracing::debug;

use super::Process;
use crate::logic::vrrp::sync_group::{self, GroupCommand};
use crate::logic::vrrp::{Action, Advertisement};
use crate::model::Priority;
use crate::process::vrrp::boundary::Supervisor;
use crate::process::vrrp::host::{Command, What};

impl<S: Supervisor> Process<S> {
    /// Does all that every virtual router asks for.
    pub(super) fn perform_all(&mut self, now: Instant) {
        for index in 0..self.runtimes.len() {
            self.perform(index, now);
        }
    }

    /// Does all that a virtual router asks for, and what follows for those that move with it.
    pub(super) fn perform(&mut self, index: usize, now: Instant) {
        self.perform_alone(index, now);
        if self.runtimes[index].sync_group.is_empty() {
            return;
        }
        let mut members = self.runtimes[index].sync_group.clone();
        members.push(index);
        members.sort_unstable();
        for _ in 0..sync_group::COMMANDS_MAX {
            let states = members
                .iter()
                .map(|member| self.runtimes[*member].machine.member_state());
            let command = sync_group::decide(states);
            if command == GroupCommand::Nothing {
                return;
            }
            for member in &members {
                command.apply(&mut self.runtimes[*member].machine, now);
                self.perform_alone(*member, now);
            }
        }
    }

    fn perform_alone(&mut self, index: usize, now: Instant) {
        while let Some(action) = self.runtimes[index].machine.poll_action() {
            let lease = self.runtimes[index].machine.parameters().lease;
            match action {
                Action::SendAdvertisement { priority } => self.advertise(index, priority, now),
                Action::InstallAddresses => self.command(index, What::Install(lease), now),
                Action::RenewAddresses => self.command(index, What::Renew(lease), now),
                Action::SuppressAddresses => self.withdraw(index, What::Suppress, now),
                Action::RemoveAddresses => self.withdraw(index, What::Remove, now),
                Action::Announce { rounds } => self.runtimes[index].begin_announcing(rounds, now),
                Action::Report(transition) => self.report_transition(index, transition, now),
            }
        }
    }

    fn advertise(&mut self, index: usize, priority: Priority, now: Instant) {
        let link_socket = self.link_socket_of(index);
        let runtime = &mut self.runtimes[index];
        let parameters = runtime.machine.parameters();
        let advertisement = Advertisement {
            vrid: parameters.vrid,
            priority,
            interval: parameters.advertisement_interval,
            addresses: parameters.addresses.clone(),
        };
        let (Some(link_socket), Some(source)) = (link_socket, runtime.primary()) else {
            runtime.send_failures += 1;
            return;
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
        for destination in group.into_iter().chain(peers) {
            runtime.build(&advertisement, source, destination, &mut self.message);
            match socket.send(source, destination, &self.message) {
                Ok(()) if priority == Priority::LEAVING => {}
                Ok(()) => runtime.advertised_at = Some(now),
                Err(error) => {
                    runtime.send_failures += 1;
                    debug!(router = %runtime.config.name, %error, "advertisement not sent");
                }
            }
        }
        runtime.outlet = outlet;
    }

    /// Sends announcements that are due, of every virtual router in turn, and no more than fit in
    /// one turn.
    pub(super) fn announce_what_is_due(&mut self) {
        let now = Instant::now();
        let mut frames = FRAMES_PER_TURN;
        let count = self.runtimes.len();
        for step in 0..count {
            let index = (self.announced_first + step) % count;
            frames = self.runtimes[index].announce(&mut self.announcers, now, frames);
            if frames == 0 {
                self.announced_first = index + 1;
                return;
            }
        }
    }

    /// What is given up is not announced any more.
    fn withdraw(&mut self, index: usize, what: What, now: Instant) {
        self.runtimes[index].end_announcing();
        self.command(index, what, now);
    }

    pub(super) fn command(&mut self, index: usize, what: What, now: Instant) {
        if let Some(command) = self.runtimes[index].command(what, now) {
            self.submit(index, command);
        }
    }

    /// Tries again what did not fit in the host's queue.
    pub(super) fn retry_deferred(&mut self) {
        for index in 0..self.runtimes.len() {
            if let Some(command) = self.runtimes[index].take_deferred() {
                self.submit(index, command);
            }
        }
    }

    fn submit(&mut self, index: usize, command: Command) {
        if let Some(Err(command)) = self.host.as_ref().map(|host| host.command(command)) {
            self.runtimes[index].defer(command);
        }
    }
}

/// So many announcements are sent before sockets and timers have their turn again: about half a
/// millisecond.
const FRAMES_PER_TURN: usize = 128;
