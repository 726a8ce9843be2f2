//! The sockets of the protocol thread: packets in, and sockets that fit the links.

use std::io;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::Process;
use crate::ipc::message::SocketKey;
use crate::logic::vrrp::packet;
use crate::logic::vrrp::{Envelope, LinkState, Rejection};
use crate::process::vrrp::boundary::Supervisor;
use crate::process::vrrp::host::{Outlet, RouterLink};
use crate::process::vrrp::link::socket::{Packet, VrrpSocket};
use crate::process::vrrp::link::sockets::LinkSocket;
use crate::process::vrrp::routers::RouterId;

impl<S: Supervisor> Process<S> {
    /// Takes in what arrived on every socket.
    pub(in crate::process::vrrp::run) fn drain_sockets(&mut self) {
        let mut buf = std::mem::take(&mut self.buf);
        for index in 0..self.link_sockets.len() {
            for _ in 0..PACKETS_PER_TURN {
                match self.link_sockets[index].socket.receive(&mut buf) {
                    Ok(Some(packet)) => self.handle_packet(index, &packet),
                    Ok(None) => break,
                    Err(error) => {
                        // Such as ENETDOWN, once, when the interface goes down.
                        debug!(%error, "nothing received");
                        break;
                    }
                }
            }
        }
        self.buf = buf;
    }

    /// Takes in what others say about the addresses of virtual routers.
    pub(in crate::process::vrrp::run) fn hear_claims(&mut self) {
        let now = Instant::now();
        while let Some(claim) = self.claims.next(now, &mut self.buf) {
            for &id in self.runtimes.ids().iter() {
                if self.runtimes[id].hear_claim(now, claim) {
                    self.perform(id, now);
                }
            }
        }
    }

    /// Takes in one packet: whose is it, is it our own, is it sound.
    pub(in crate::process::vrrp::run) fn handle_packet(
        &mut self,
        socket: usize,
        packet: &Packet<'_>,
    ) {
        let now = Instant::now();
        let link_socket = &mut self.link_sockets[socket];
        let (envelope, message) = match packet {
            Packet::Message { envelope, message } => (envelope, *message),
            Packet::Malformed { source, reason } => {
                return link_socket.reject(now, *source, *reason);
            }
        };
        if packet::is_carp(message) {
            return link_socket.reject(now, Some(envelope.source), Rejection::Carp);
        }
        let Some(vrid) = packet::peek_vrid(message) else {
            return link_socket.reject(now, Some(envelope.source), Rejection::Length);
        };
        let key = link_socket.socket.key();
        let router = self.runtimes.iter().find(|(_, runtime)| {
            runtime.config.vrid.get() == vrid && runtime.hears(&key.interface, key.family)
        });
        match router {
            Some((id, _)) => self.handle_router_packet(id, now, envelope, message),
            None => link_socket.reject(now, Some(envelope.source), Rejection::Vrid),
        }
    }

    pub(in crate::process::vrrp::run) fn handle_router_packet(
        &mut self,
        id: RouterId,
        now: Instant,
        envelope: &Envelope,
        message: &[u8],
    ) {
        let runtime = &mut self.runtimes[id];
        if runtime.link.local.contains(&envelope.source) {
            return runtime.reject(now, envelope.source, Rejection::OwnSource);
        }
        match runtime.parse(envelope, message) {
            Ok((advertisement, form)) => {
                runtime.note_peer(now, envelope.source, &advertisement, form);
                runtime
                    .machine
                    .handle_advertisement(now, envelope.source, &advertisement);
                self.perform(id, now);
            }
            Err(reason) => runtime.reject(now, envelope.source, reason),
        }
    }

    pub(in crate::process::vrrp::run) fn set_link(
        &mut self,
        id: RouterId,
        link: RouterLink,
        now: Instant,
    ) {
        let Some(runtime) = self.runtimes.get_mut(id) else {
            return;
        };
        let before = std::mem::replace(&mut runtime.link, link);
        if let Some(why) = runtime.link.why.as_ref()
            && before.why.as_ref() != Some(why)
        {
            warn!(router = %runtime.config.name, cause = %why, "the interface cannot be used");
        }
        if let Some(other) = runtime.link.also_on.as_ref()
            && before.also_on.as_ref() != Some(other)
        {
            let router = &runtime.config.name;
            warn!(%router, interface = %other, "another interface of this machine has a virtual address");
        }
        if let Some(outlet) = before.outlet
            && self.runtimes[id].link.outlet.as_ref() != Some(&outlet)
        {
            self.close_announcer(&outlet);
        }
        self.connect(id, now);
    }

    /// Closes the announcer of a link that no virtual router uses any more.
    pub(in crate::process::vrrp::run) fn close_announcer(&mut self, outlet: &Outlet) {
        let mut all = self.runtimes.values();
        if !all.any(|other| other.link.outlet.as_ref() == Some(outlet)) {
            self.announcers.close(outlet);
        }
    }

    /// Makes the socket of a router fit its link, and tells the router.
    pub(in crate::process::vrrp::run) fn connect(&mut self, id: RouterId, now: Instant) {
        let runtime = &self.runtimes[id];
        let (interface, family) = (runtime.config.interface.clone(), runtime.family());
        let ifindex = runtime.link.ifindex;
        let before = self.link_sockets.len();
        self.link_sockets.retain(|link_socket| {
            let key = link_socket.socket.key();
            key.interface != interface || key.family != family || Some(key.ifindex) == ifindex
        });
        self.sockets_changed |= before != self.link_sockets.len();
        let mut trouble = None;
        if let (Some(ifindex), None) = (ifindex, self.link_socket_of(id)) {
            match self.open(SocketKey {
                interface,
                ifindex,
                family,
            }) {
                Ok(link_socket) => {
                    self.link_sockets.push(link_socket);
                    self.sockets_changed = true;
                }
                Err(error) => trouble = Some(error),
            }
        }
        let runtime = &mut self.runtimes[id];
        trouble = trouble.or(runtime.open_outlet().err());
        let mut state = runtime.link.state;
        if let Some(error) = trouble {
            // Where the host has not the family, the rest of the group goes on without it.
            state = match state {
                LinkState::Up { .. } | LinkState::NoSource => LinkState::NoSource,
                LinkState::Down => LinkState::Down,
            };
            let why = format!("the VRRP socket cannot be opened: {error}");
            if runtime.link.why.is_none() {
                warn!(router = %runtime.config.name, %error, "the VRRP socket cannot be opened");
                runtime.link.why = Some(why);
            }
            self.open_at = Some(now + OPEN_AGAIN);
        }
        self.runtimes[id].machine.handle_link(now, state);
        self.perform(id, now);
    }

    pub(in crate::process::vrrp::run) fn open(&mut self, key: SocketKey) -> io::Result<LinkSocket> {
        let socket = match self.kept.remove(&key) {
            Some(descriptor) => VrrpSocket::adopt(key, descriptor),
            None => VrrpSocket::open(key)?,
        };
        Ok(LinkSocket::new(socket))
    }

    pub(in crate::process::vrrp::run) fn link_socket_of(&self, id: RouterId) -> Option<usize> {
        let runtime = &self.runtimes[id];
        self.link_sockets.iter().position(|link_socket| {
            let key = link_socket.socket.key();
            runtime.hears(&key.interface, key.family)
        })
    }
}

/// From one socket in one turn; what remains is taken in the next, after the timers that are due.
const PACKETS_PER_TURN: usize = 256;
/// Until a socket that could not be opened is tried again.
pub(super) const OPEN_AGAIN: Duration = Duration::from_secs(1);
