//! A virtual router as the host thread knows it: where its addresses belong, and whether they are
//! there.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Family, VirtualAddress};
use crate::process::vrrp::host::addresses;
use crate::process::vrrp::host::attachment;
use crate::process::vrrp::host::macvlan::VirtualMac;
use crate::process::vrrp::host::messages::{Acceptance, Ownership, RouterLink, RouterSpec};
use crate::process::vrrp::host::monitor::{Link, View};
use crate::process::vrrp::host::routes::{self, Connected};

/// A virtual router as the host has it.
pub(super) struct Router {
    pub(super) interface: String,
    /// The interface that has its addresses.
    pub(super) address_interface: String,
    pub(super) virtual_mac: Option<VirtualMac>,
    pub(super) addresses: Vec<IpAddr>,
    /// The same, with their networks.
    networks: Arc<[VirtualAddress]>,
    /// Why the routes of its addresses cannot be had, as last reported.
    pub(super) no_route: Option<String>,
    pub(super) peers: Arc<[IpAddr]>,
    pub(super) ownership: Ownership,
    pub(super) acceptance: Acceptance,
    pub(super) held: Held,
    /// The link that was given its addresses, whatever its name has become since.
    pub(super) held_at: Option<u32>,
    /// The last that was reported.
    pub(super) link: Option<RouterLink>,
    /// Why it has no place, as last reported.
    pub(super) no_attachment: Option<String>,
}

impl Router {
    pub(super) fn new(spec: &RouterSpec) -> Self {
        Self {
            addresses: spec
                .addresses
                .iter()
                .map(|virtual_| virtual_.address)
                .collect(),
            networks: Arc::clone(&spec.addresses),
            no_route: None,
            peers: Arc::clone(&spec.peers),
            interface: spec.interface.clone(),
            address_interface: spec.address_interface.clone(),
            virtual_mac: spec.virtual_mac,
            ownership: spec.ownership,
            acceptance: spec.acceptance,
            held: Held::Absent,
            held_at: None,
            link: None,
            no_attachment: None,
        }
    }

    /// Returns where its addresses belong, if that is there.
    pub(super) fn place<'v>(&self, view: &'v View) -> Option<(u32, &'v Link)> {
        attachment::find(view, &self.address_interface, self.virtual_mac)
    }

    /// Returns where its addresses are, or else belong: a link that was renamed has them still.
    pub(super) fn held_place<'v>(&self, view: &'v View) -> Option<(u32, &'v Link)> {
        let held = self
            .held_at
            .and_then(|ifindex| Some((ifindex, view.link(ifindex)?)));
        held.or_else(|| self.place(view))
    }

    /// Returns whether it has a virtual MAC with addresses of a family.
    pub(super) fn has_virtual_mac_of(&self, family: Family) -> bool {
        self.virtual_mac
            .is_some_and(|virtual_mac| virtual_mac.family == family)
    }

    /// Returns the routes without which its addresses cannot be reached from their networks.
    pub(super) fn routes(&self, view: &View) -> Vec<Connected> {
        let interface = self.held_place(view).and_then(|(_, link)| {
            let parent = self.virtual_mac.and(link.parent);
            parent.map_or(Some(link), |parent| view.link(parent))
        });
        interface.map_or_else(Vec::new, |link| routes::missing(link, &self.networks))
    }

    /// Returns those of its addresses that the host has from somebody else, and that stay: it is
    /// their owner.
    pub(super) fn own_of_host(&self, view: &View) -> Vec<IpAddr> {
        let place = match self.ownership {
            Ownership::Lease => None,
            Ownership::Owner => self.held_place(view),
        };
        let addresses = self.addresses.iter().copied();
        let kept =
            |address: &IpAddr| place.is_some_and(|(_, link)| addresses::is_of_host(link, *address));
        addresses.filter(kept).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Absent,
    Present,
    /// Present, but lost to somebody else; reported, and not again until the next installation.
    Lost,
}
