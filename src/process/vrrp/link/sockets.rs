//! The sockets of one interface and family, and what arrived there for nobody.

use std::net::IpAddr;
use std::time::Instant;

use tracing::warn;

use crate::logic::vrrp::Rejection;
use crate::process::vrrp::link::socket::VrrpSocket;
use crate::process::vrrp::router::Rejections;

/// Where the virtual routers of one interface and family meet their link.
pub struct LinkSocket {
    /// Advertisements in and out.
    pub socket: VrrpSocket,
    /// Refused packets that bore no VRID of ours.
    pub rejections: Rejections,
}

impl LinkSocket {
    /// Puts a socket to use.
    pub fn new(socket: VrrpSocket) -> Self {
        Self {
            socket,
            rejections: Rejections::default(),
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
}
