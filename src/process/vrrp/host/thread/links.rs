//! The link of a virtual router as the protocol thread is told of it: from which address it can
//! advertise, or what is in the way, in words that say how to mend it.
//!
//! Nothing here changes anything on the host.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use netlink_packet_route::address::AddressFlags;

use super::router::{Held, Router};
use crate::logic::vrrp::LinkState;
use crate::model::Family;
use crate::process::vrrp::host::addresses::{self, Wanted};
use crate::process::vrrp::host::attachment;
use crate::process::vrrp::host::messages::{Node, Outlet, Ownership, RouterLink};
use crate::process::vrrp::host::monitor::{Address, Link, View};

/// Describes the link of a virtual router.
pub(super) fn describe(router: &Router, view: &View, moving: &Moving) -> RouterLink {
    let interface = view.named(&router.interface);
    let source = source(router, view, moving);
    RouterLink {
        ifindex: interface.map(|(ifindex, _)| ifindex),
        outlet: router.place(view).and_then(|(ifindex, link)| {
            Some(Outlet {
                interface: link.name.clone(),
                ifindex,
                mac: link.mac?,
                node: node(router),
            })
        }),
        state: match &source {
            Ok(primary) => LinkState::Up { primary: *primary },
            Err((hindrance, _)) => hindrance.state(),
        },
        why: source.err().map(|(hindrance, on)| hindrance.explain(on)),
        local: local(&router.interface, view, moving),
        also_on: also_on(router, view),
    }
}

/// Returns the interface for which the kernel answers ARP on the link of a virtual router, although
/// it is another: an address belongs to the whole host (RFC 1122 §3.3.4.2, the weak model).
fn also_on(router: &Router, view: &View) -> Option<String> {
    let place = router.place(view).map(|(ifindex, _)| ifindex);
    let theirs = |found: &Address| {
        found.protocol != addresses::TAG
            && found.address.is_ipv4()
            && router.addresses.contains(&found.address)
    };
    let mut others = view.links().filter(|(ifindex, _)| Some(*ifindex) != place);
    let (_, other) = others.find(|(_, link)| link.addresses.iter().any(theirs))?;
    attachment::answers_for_all(&router.address_interface).then(|| other.name.clone())
}

/// The virtual addresses of all virtual routers, each with the interface of its link.
pub(super) struct Moving(Vec<(String, IpAddr)>);

impl Moving {
    pub(super) fn of<'r>(routers: impl Iterator<Item = &'r Router>) -> Self {
        let each = |router: &'r Router| {
            let interface = &router.address_interface;
            let addresses = router.addresses.iter();
            addresses.map(move |address| (interface.clone(), *address))
        };
        let mut moving: Vec<(String, IpAddr)> = routers.flat_map(each).collect();
        moving.sort_unstable();
        moving.dedup();
        Self(moving)
    }

    /// Returns those that mean the same address on the link of an interface.
    fn on(&self, interface: &str) -> Vec<IpAddr> {
        let same = |(on, address): &&(String, IpAddr)| {
            on == interface || !addresses::is_link_local(*address)
        };
        self.0
            .iter()
            .filter(same)
            .map(|(_, address)| *address)
            .collect()
    }
}

/// Returns the addresses of the host from which packets on the link of an interface are its own.
fn local(interface: &str, view: &View, moving: &Moving) -> Arc<[IpAddr]> {
    let moving = moving.on(interface);
    let of_link = |link: &Link| {
        let own = link.name == interface;
        move |found: &&Address| own || !addresses::is_link_local(found.address)
    };
    view.links()
        .flat_map(|(_, link)| link.addresses.iter().filter(of_link(link)))
        .filter(|found| found.protocol != addresses::TAG && !moving.contains(&found.address))
        .map(|found| found.address)
        .collect()
}

fn node(router: &Router) -> Node {
    let is_ipv6 = router.addresses.first().is_some_and(IpAddr::is_ipv6);
    match is_ipv6 && attachment::is_ipv6_router(&router.address_interface) {
        true => Node::Router,
        false => Node::Host,
    }
}

/// Why a virtual router cannot advertise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hindrance {
    Missing,
    SetDown,
    NoCarrier,
    /// Its macvlan is not there, and why as far as known.
    NoAttachment(Option<String>),
    /// An address that is to move is the host's own.
    OfHost(Address),
    /// The same, where the address is to have a virtual MAC.
    OfInterface(Address),
    NoSource(Family),
    /// Still, or in vain.
    Tentative,
    Duplicate(Address),
    Ipv6Off,
}

impl Hindrance {
    /// Returns what it means for the virtual router and its group.
    const fn state(&self) -> LinkState {
        match self {
            Self::Missing | Self::SetDown | Self::NoCarrier | Self::NoAttachment(_) => {
                LinkState::Down
            }
            Self::OfHost(_)
            | Self::OfInterface(_)
            | Self::NoSource(_)
            | Self::Tentative
            | Self::Duplicate(_)
            | Self::Ipv6Off => LinkState::NoSource,
        }
    }

    /// Says what it is and how to mend it.
    pub(super) fn explain(&self, interface: &str) -> String {
        match self {
            Self::Missing => format!("there is no interface {interface}"),
            Self::SetDown => format!("{interface} is set down: `ip link set {interface} up`"),
            Self::NoCarrier => {
                format!("{interface} has no carrier: look at its cable and its switch port")
            }
            Self::NoAttachment(Some(why)) => why.clone(),
            Self::NoAttachment(None) => format!("its macvlan on {interface} is not up"),
            Self::OfHost(Address {
                address,
                prefix_len,
                ..
            }) => format!(
                "{address}/{prefix_len} is an address of {interface} itself, which stays: where it is \
                 left over, `ip address del {address}/{prefix_len} dev {interface}`; where this node \
                 owns it, write `owner: true`"
            ),
            Self::OfInterface(Address { address, .. }) => format!(
                "{address} is an address of {interface} itself, which answers for it with its own \
                 hardware address: take it away there, or leave out virtual_mac"
            ),
            Self::NoSource(Family::Ipv4) => format!(
                "{interface} has no IPv4 address to advertise from: give it one, or take the IPv4 \
                 addresses out of this entry"
            ),
            Self::NoSource(Family::Ipv6) => format!(
                "{interface} has no IPv6 address to advertise from, which is a link-local one but \
                 between global peers: give it one, or take the IPv6 addresses out of this entry"
            ),
            Self::Tentative => format!(
                "the IPv6 address of {interface} is not yet known to be its alone (duplicate address \
                 detection)"
            ),
            Self::Duplicate(Address { address, .. }) => {
                format!("another machine on the link of {interface} has its address {address} too")
            }
            Self::Ipv6Off => format!(
                "IPv6 is off on {interface}: set net.ipv6.conf.{interface}.disable_ipv6 to 0, or take \
                 the IPv6 addresses out of this entry"
            ),
        }
    }
}

/// Returns the source of advertisements, or what is in the way of a virtual router.
fn source<'r>(
    router: &'r Router,
    view: &View,
    moving: &Moving,
) -> Result<IpAddr, (Hindrance, &'r str)> {
    let interface = router.interface.as_str();
    let address_interface = router.address_interface.as_str();
    let of_addresses = usable(&router.address_interface, view);
    let link = usable(&router.interface, view).map_err(|hindrance| (hindrance, interface))?;
    of_addresses.map_err(|hindrance| (hindrance, address_interface))?;
    let attached = router.place(view).is_some_and(|(_, link)| link.up);
    if !attached || router.no_attachment.is_some() {
        let hindrance = Hindrance::NoAttachment(router.no_attachment.clone());
        return Err((hindrance, address_interface));
    }
    if let (Held::Absent, Some(hindrance)) = (router.held, conflict_with_host(router, view)) {
        return Err((hindrance, address_interface));
    }
    let in_use = router.link.as_ref().and_then(RouterLink::primary);
    let primary = addresses::primary(
        link,
        &moving.on(&router.interface),
        Wanted {
            addresses: &router.addresses,
            peers: &router.peers,
            ownership: router.ownership,
            in_use,
        },
    );
    primary.ok_or_else(|| (no_source(router, link), interface))
}

/// Returns an interface that is up.
fn usable<'v>(interface: &str, view: &'v View) -> Result<&'v Link, Hindrance> {
    let (_, link) = view.named(interface).ok_or(Hindrance::Missing)?;
    if !link.set_up {
        return Err(Hindrance::SetDown);
    }
    if !link.up {
        return Err(Hindrance::NoCarrier);
    }
    Ok(link)
}

/// Returns the first of the addresses that the host itself has where they belong, and that is not
/// there as ours as well. What the host has is never taken away from it.
pub(super) fn conflict_with_host(router: &Router, view: &View) -> Option<Hindrance> {
    let own = |link: &Link| {
        let mut found = link.addresses.iter();
        let wanted = |found: &&Address| {
            found.protocol != addresses::TAG && router.addresses.contains(&found.address)
        };
        found.find(wanted).copied()
    };
    if router.virtual_mac.is_some() {
        let (_, parent) = view.named(&router.interface)?;
        return own(parent).map(Hindrance::OfInterface);
    }
    match router.ownership {
        Ownership::Owner => None,
        Ownership::Lease => {
            let (_, link) = router.place(view)?;
            own(link)
                .filter(|found| !addresses::is_installed(link, found.address))
                .map(Hindrance::OfHost)
        }
    }
}

/// Says why an interface that is up has no usable address.
fn no_source(router: &Router, link: &Link) -> Hindrance {
    let family = router
        .addresses
        .first()
        .map_or(Family::Ipv4, |address| Family::of(*address));
    match family {
        Family::Ipv4 => Hindrance::NoSource(family),
        Family::Ipv6 => {
            let mut own = link
                .addresses
                .iter()
                .filter(|found| found.address.is_ipv6() && found.protocol != addresses::TAG);
            let has = |flag| move |found: &&Address| found.flags.contains(flag);
            if let Some(duplicate) = own.clone().find(has(AddressFlags::Dadfailed)) {
                Hindrance::Duplicate(*duplicate)
            } else if own.any(|found| has(AddressFlags::Tentative)(&found)) {
                Hindrance::Tentative
            } else if is_ipv6_off(&link.name) {
                Hindrance::Ipv6Off
            } else {
                Hindrance::NoSource(family)
            }
        }
    }
}

/// Where the kernel has no IPv6 at all there is nothing to read.
fn is_ipv6_off(interface: &str) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    fs::read_to_string(path).map_or(true, |text| text.trim() == "1")
}
