//! What virtual routers ask for, done: advertisements, announcements, commands to the host thread.
//!
//! A virtual router that moves with others is not at rest before its group is.

use std::time::Instant;

use tracing::debug;

use super::Process;
use crate::logic::vrrp::group::{self, Order};
use crate::logic::vrrp::{Action, Advertisement};
use crate::model::Priority;
use crate::process::vrrp::boundary::Supervisor;
use crate::process::vrrp::host::{Command, What};

impl<S: Supervisor> Process<S> {
    /// Does all that every virtual router asks for.
    pub(super) fn perform_all(&mut self, now: Instant) {
        for index in 0..self.stations.len() {
            self.perform(index, now);
        }
    }

    /// Does all that a virtual router asks for, and what follows for those that move with it.
    pub(super) fn perform(&mut self, index: usize, now: Instant) {
        self.perform_alone(index, now);
        if self.stations[index].mates.is_empty() {
            return;
        }
        let mut members = self.stations[index].mates.clone();
        members.push(index);
        members.sort_unstable();
        for _ in 0..group::ORDERS_MAX {
            let wishes = members
                .iter()
                .map(|member| self.stations[*member].machine.wish());
            let order = group::decide(wishes);
            if order == Order::Nothing {
                return;
            }
            for member in &members {
                order.tell(&mut self.stations[*member].machine, now);
                self.perform_alone(*member, now);
            }
        }
    }

    fn perform_alone(&mut self, index: usize, now: Instant) {
        while let Some(action) = self.stations[index].machine.poll_action() {
            let lease = self.stations[index].machine.parameters().lease;
            match action {
                Action::SendAdvertisement { priority } => self.advertise(index, priority, now),
                Action::InstallAddresses => self.command(index, What::Install(lease), now),
                Action::RenewAddresses => self.command(index, What::Renew(lease), now),
                Action::SilenceAddresses => self.give_up(index, What::Silence, now),
                Action::RemoveAddresses => self.give_up(index, What::Remove, now),
                Action::Announce { rounds } => self.stations[index].begin_announcing(rounds, now),
                Action::Report(transition) => self.tell(index, transition, now),
            }
        }
    }

    fn advertise(&mut self, index: usize, priority: Priority, now: Instant) {
        let port = self.port_of(index);
        let station = &mut self.stations[index];
        let parameters = station.machine.parameters();
        let advertisement = Advertisement {
            vrid: parameters.vrid,
            priority,
            interval: parameters.advertisement_interval,
            addresses: parameters.addresses.clone(),
        };
        let (Some(port), Some(source)) = (port, station.primary()) else {
            station.send_failures += 1;
            return;
        };
        let mut outlet = station.outlet.take();
        // A macvlan has no neighbors to ask for the hardware address of a peer: unicast leaves by the interface.
        let socket = match &mut outlet {
            Some(outlet) if station.config.peers.is_empty() => outlet,
            Some(_) | None => &mut self.ports[port].socket,
        };
        // Its own address among the peers is what lets all nodes have the same list.
        let peers = station
            .config
            .peers
            .iter()
            .copied()
            .filter(|peer| *peer != source);
        let group = station.config.peers.is_empty().then(|| socket.group());
        for destination in group.into_iter().chain(peers) {
            station.build(&advertisement, source, destination, &mut self.message);
            match socket.send(source, destination, &self.message) {
                Ok(()) if priority == Priority::LEAVING => {}
                Ok(()) => station.advertised_at = Some(now),
                Err(error) => {
                    station.send_failures += 1;
                    debug!(router = %station.config.name, %error, "advertisement not sent");
                }
            }
        }
        station.outlet = outlet;
    }

    /// Sends announcements that are due, of every virtual router in turn, and no more than fit in one turn.
    pub(super) fn announce_what_is_due(&mut self) {
        let now = Instant::now();
        let mut frames = FRAMES_PER_TURN;
        let count = self.stations.len();
        for step in 0..count {
            let index = (self.announced_first + step) % count;
            frames = self.stations[index].announce(&mut self.announcers, now, frames);
            if frames == 0 {
                self.announced_first = index + 1;
                return;
            }
        }
    }

    /// What is given up is not announced any more.
    fn give_up(&mut self, index: usize, what: What, now: Instant) {
        self.stations[index].end_announcing();
        self.command(index, what, now);
    }

    pub(super) fn command(&mut self, index: usize, what: What, now: Instant) {
        if let Some(command) = self.stations[index].command(what, now) {
            self.hand_over(index, command);
        }
    }

    /// Tries again what did not fit in the host's queue.
    pub(super) fn pay_owed(&mut self) {
        for index in 0..self.stations.len() {
            if let Some(command) = self.stations[index].take_owed() {
                self.hand_over(index, command);
            }
        }
    }

    fn hand_over(&mut self, index: usize, command: Command) {
        if let Some(Err(command)) = self.host.as_ref().map(|host| host.command(command)) {
            self.stations[index].owe(command);
        }
    }
}

/// So many announcements are sent before sockets and timers have their turn again: about half a millisecond.
const FRAMES_PER_TURN: usize = 128;
