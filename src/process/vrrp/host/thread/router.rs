//! A virtual router as the host thread knows it: where its addresses belong, and whether they are
//! there.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::model::{Family, VirtualAddress};
use crate::process::vrrp::host::addresses;
use crate::process::vrrp::host::attachment;
use crate::process::vrrp::host::macvlan::VirtualMac;
use crate::process::vrrp::host::messages::{Acceptance, Ownership, RouterLink, RouterSpec};
use crate::process::vrrp::host::monitor::{Link, View};
use crate::process::vrrp::host::routes::{self, Connected};
use crate::process::vrrp::routers::RouterId;

/// A virtual router as the host has it.
pub(super) struct Router {
    pub(super) interface: String,
    /// The interface that has its addresses.
    pub(super) address_interface: String,
    pub(super) virtual_mac: Option<VirtualMac>,
    pub(super) addresses: Vec<IpAddr>,
    /// The same, with their networks.
    pub(super) networks: Arc<[VirtualAddress]>,
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
    /// Where its addresses are to be, as soon as that is there.
    pub(super) moving_to: Option<Place>,
    /// What is still elsewhere until the next installation.
    pub(super) former: Option<Former>,
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
            moving_to: None,
            former: None,
        }
    }

    /// Makes it another, which holds what it holds until it is told otherwise.
    pub(super) fn change(&mut self, spec: &RouterSpec) {
        let new = Self::new(spec);
        let next = new.belongs();
        self.moving_to = (next != self.belongs()).then_some(next);
        let is_more = new
            .addresses
            .iter()
            .any(|address| !self.addresses.contains(address));
        if self.held == Held::Present && is_more {
            // The next installation is on its way: nobody has taken anything away.
            self.held = Held::Lost;
        }
        self.addresses = new.addresses;
        self.networks = new.networks;
        self.peers = new.peers;
        self.ownership = new.ownership;
        self.acceptance = new.acceptance;
    }

    /// Returns where its addresses belong.
    pub(super) fn belongs(&self) -> Place {
        Place {
            interface: self.address_interface.clone(),
            virtual_mac: self.virtual_mac,
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

    /// Returns whether it has a virtual MAC with IPv6 addresses, or is to have one.
    pub(super) fn needs_virtual_mac_of_ipv6(&self) -> bool {
        let next = self.moving_to.as_ref().and_then(|next| next.virtual_mac);
        let mut both = self.virtual_mac.into_iter().chain(next);
        both.any(|virtual_mac| virtual_mac.family == Family::Ipv6)
    }

    /// Returns the routes without which its addresses cannot be reached from their networks.
    pub(super) fn routes(&self, view: &View) -> Vec<Connected> {
        let place = self.held_place(view);
        let interface = place.and_then(|(at, _)| interface_of(view, at, self.virtual_mac));
        interface.map_or_else(Vec::new, |link| routes::missing(link, &self.networks))
    }

    /// Returns those of its addresses that the host has from somebody else, and that stay: it is
    /// their owner.
    pub(super) fn own_of_host(&self, view: &View) -> Vec<IpAddr> {
        let place = self.held_place(view);
        place.map_or_else(Vec::new, |(_, link)| self.own_among(link, &self.addresses))
    }

    /// Returns those of these addresses on a link that the host has from somebody else, and that
    /// stay.
    pub(super) fn own_among(&self, link: &Link, addresses: &[IpAddr]) -> Vec<IpAddr> {
        match self.ownership {
            Ownership::Lease => Vec::new(),
            Ownership::Owner => {
                let of_host = |address: &IpAddr| addresses::is_of_host(link, *address);
                addresses.iter().copied().filter(of_host).collect()
            }
        }
    }
}

/// Returns the interface that has the networks of addresses on a link: itself, or where that is
/// the macvlan of a virtual MAC, the one that it is on.
pub(super) fn interface_of(
    view: &View,
    ifindex: u32,
    virtual_mac: Option<VirtualMac>,
) -> Option<&Link> {
    let link = view.link(ifindex)?;
    let parent = virtual_mac.and(link.parent);
    parent.map_or(Some(link), |parent| view.link(parent))
}

/// A link for addresses: an interface, or the macvlan on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) interface: String,
    pub(super) virtual_mac: Option<VirtualMac>,
}

impl Place {
    /// Returns it, if it is there.
    pub(super) fn find<'v>(&self, view: &'v View) -> Option<(u32, &'v Link)> {
        attachment::find(view, &self.interface, self.virtual_mac)
    }
}

/// A virtual router whose place is waited for, not longer than this.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    pub(super) router: RouterId,
    /// From then on it goes on without, and its link says what is missing.
    pub(super) until: Instant,
}

/// Addresses that are at another place than they belong by now.
#[derive(Clone, Debug)]
pub(super) struct Former {
    /// The link that has them, whatever its name has become since.
    pub(super) at: u32,
    pub(super) virtual_mac: Option<VirtualMac>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) networks: Arc<[VirtualAddress]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Absent,
    Present,
    /// Present, but lost to somebody else; reported, and not again until the next installation.
    Lost,
}
