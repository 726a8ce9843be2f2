//! A virtual MAC as the next hop of others: an Active forwards what arrives there as its interface
//! does, and nobody else forwards it (RFC 9568 §6.4.2, §6.4.3).
//!
//! For IPv4 that is a setting of the macvlan. For IPv6 the setting only says whether the machine is
//! a router on that link, for the router flag of neighbor advertisements, and forwarding is on or
//! off for all interfaces; so an nftables chain drops what came by the macvlan of another state:
//!
//! ```text
//! table ip6 evenkeel_forward { set active { type ifname }   chain forward { iifname @active accept
//!                                                                           iifname "ek6.*" drop } }
//! ```

use std::io;

use tracing::warn;

use super::link_set::{self, LinkSet};
use super::router::{Held, Router};
use crate::model::Family;
use crate::process::vrrp::host::attachment;
use crate::process::vrrp::host::macvlan::PREFIX_V6;
use crate::process::vrrp::host::monitor::View;
use crate::process::vrrp::host::nftables::{Change, META_IIFNAME, Set, Table};

/// What is forwarded from virtual MACs.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    /// `None` where nobody has a virtual MAC with IPv6, or the kernel does not let us.
    active: Option<LinkSet>,
    /// What went wrong last, as reported.
    trouble: Option<String>,
}

impl Forwarding {
    /// Begins to drop what arrives at virtual MACs of IPv6, if there are any.
    pub(super) fn open<'r>(routers: impl Iterator<Item = &'r Router>) -> Self {
        let mut forwarding = Self::default();
        forwarding.provide(routers);
        forwarding
    }

    /// Begins to drop what arrives at virtual MACs of IPv6, if there are or are to be any by now.
    pub(super) fn provide<'r>(&mut self, mut routers: impl Iterator<Item = &'r Router>) {
        if self.active.is_some() || !routers.any(Router::needs_virtual_mac_of_ipv6) {
            return;
        }
        let opened = LinkSet::open(&TABLE, &SETS[0]);
        if let Err(error) = &opened {
            warn!(%error, "no nftables: a Backup with a virtual MAC forwards what is flooded to it");
        }
        self.active = opened.ok();
    }

    /// Forgets a macvlan that is deleted.
    pub(super) fn forget(&mut self, macvlan: &str) {
        if let Err(error) = self.change(Change::Remove, macvlan) {
            warn!(interface = %macvlan, %error, "forwarding from a virtual MAC cannot be set");
        }
    }

    /// Has the macvlan of a virtual router forward, or not.
    pub(super) fn settle(&mut self, router: &Router, view: &View) {
        let (Some(virtual_mac), Some((_, link))) = (router.virtual_mac, router.held_place(view))
        else {
            return;
        };
        let macvlan = &link.name;
        let serves = router.held != Held::Absent;
        let allowed = match virtual_mac.family {
            Family::Ipv4 => Ok(()),
            Family::Ipv6 if serves => self.change(Change::Add, macvlan),
            Family::Ipv6 => self.change(Change::Remove, macvlan),
        };
        let like = serves.then_some(router.interface.as_str());
        let set = attachment::set_forwarding(macvlan, virtual_mac.family, like);
        let trouble = set
            .err()
            .or_else(|| allowed.err().map(|error| error.to_string()));
        if let (Some(error), true) = (&trouble, self.trouble != trouble) {
            warn!(interface = %macvlan, %error, "forwarding from a virtual MAC cannot be set");
        }
        self.trouble = trouble;
    }

    fn change(&mut self, change: Change, macvlan: &str) -> io::Result<()> {
        let active = self.active.as_mut();
        active.map_or(Ok(()), |active| active.change(change, macvlan))
    }
}

static SETS: [Set; 1] = [link_set::names("active")];
/// NFPROTO_IPV6, NF_INET_FORWARD.
static TABLE: Table = Table {
    family: 10,
    name: "evenkeel_forward",
    sets: &SETS,
    chain: "forward",
    hook: 2,
    rules: &[
        |rule| {
            rule.load_meta(META_IIFNAME);
            rule.expect_in(&SETS[0]);
            rule.accept_packet();
        },
        |rule| {
            rule.load_meta(META_IIFNAME);
            rule.expect(PREFIX_V6.as_bytes());
            rule.drop_packet();
        },
    ],
};
