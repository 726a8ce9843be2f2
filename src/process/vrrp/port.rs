//! The sockets of one interface and family, and what arrived there for nobody.

use std::io;
use std::net::IpAddr;
use std::time::Instant;

use tracing::{debug, warn};

use super::frames::{Announcer, Mac};
use super::socket::VrrpSocket;
use super::station::Rejections;
use crate::logic::vrrp::Rejection;

/// Where the virtual routers of one interface and family meet their link.
pub struct Port {
    /// Advertisements in and out.
    pub socket: VrrpSocket,
    /// Refused packets that bore no VRID of ours.
    pub rejections: Rejections,
    announcer: Option<(Mac, Announcer)>,
}

impl Port {
    /// Puts a socket to use.
    pub fn new(socket: VrrpSocket) -> Self {
        Self {
            socket,
            rejections: Rejections::default(),
            announcer: None,
        }
    }

    /// Counts a packet that is for none of our virtual routers.
    pub fn reject(&mut self, now: Instant, source: Option<IpAddr>, reason: Rejection) {
        if self.rejections.count(now, source, reason) {
            let interface = &self.socket.key().interface;
            let peer = source
                .map(|address| address.to_string())
                .unwrap_or_default();
            warn!(%interface, %peer, cause = %reason, "packets for no virtual router of ours");
        }
    }

    /// Announces addresses once, with this hardware address; after a failure the rest of the round is left out.
    pub fn announce(&mut self, mac: Mac, addresses: &[IpAddr]) {
        let interface = self.socket.key().interface.clone();
        let outcome = self.announcer(mac).and_then(|announcer| {
            addresses
                .iter()
                .try_for_each(|address| announcer.announce(*address))
        });
        if let Err(error) = outcome {
            debug!(%interface, %error, "announcement not sent");
        }
    }

    fn announcer(&mut self, mac: Mac) -> io::Result<&mut Announcer> {
        let open = match self.announcer.take() {
            Some(open) if open.0 == mac => open,
            Some(_) | None => {
                let key = self.socket.key();
                (mac, Announcer::open(&key.interface, key.ifindex, mac)?)
            }
        };
        Ok(&mut self.announcer.insert(open).1)
    }
}
