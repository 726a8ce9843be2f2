//! A virtual MAC as the next hop of others: an Active forwards what arrives there as its interface
//! does, and nobody else forwards it (RFC 9568 §6.4.2, §6.4.3).
//!
//! For IPv4 that is a setting of the macvlan. For IPv6 the setting only says whether the machine is
//! a router on that link, for the router flag of neighbor advertisements, and forwarding is on or
//! off for all interfaces; so an nftables chain drops what came by the macvlan of another state:
//!
//! ```text
//! table ip6 evenkeel_forward { set idle { type ifname }   chain forward { iifname @idle drop } }
//! ```

use std::io;

use tracing::warn;

use super::link_set::{self, LinkSet};
use super::router::{Held, Router};
use crate::model::Family;
use crate::process::vrrp::host::attachment;
use crate::process::vrrp::host::monitor::View;
use crate::process::vrrp::host::nftables::{Change, META_IIFNAME, Set, Table};

/// What is forwarded from virtual MACs.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    /// `None` where nobody has a virtual MAC with IPv6, or the kernel does not let us.
    idle: Option<LinkSet>,
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
        if self.idle.is_some() || !routers.any(Router::needs_virtual_mac_of_ipv6) {
            return;
        }
        let opened = LinkSet::open(&TABLE, &SETS[0]);
        if let Err(error) = &opened {
            warn!(%error, "no table of nftables: a Backup with a virtual MAC forwards what is flooded to it");
        }
        self.idle = opened.ok();
    }

    /// Drops what arrives at a macvlan, which need not be there yet.
    pub(super) fn end(&mut self, macvlan: &str) {
        if let Err(error) = self.change(Change::Add, macvlan) {
            warn!(interface = %macvlan, %error, "forwarding from a virtual MAC cannot be set");
        }
    }

    /// Forgets the macvlans that are deleted: others may have their names now.
    pub(super) fn forget_gone(&mut self, view: &View) {
        let outcome = self.idle.as_mut().map(|idle| idle.forget_gone(view));
        if let Some(Err(error)) = outcome {
            warn!(%error, "a virtual MAC that is gone is still dropped");
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
            Family::Ipv6 if serves => self.change(Change::Remove, macvlan),
            Family::Ipv6 => self.change(Change::Add, macvlan),
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
        let idle = self.idle.as_mut();
        idle.map_or(Ok(()), |idle| idle.change(change, macvlan))
    }
}

static SETS: [Set; 1] = [link_set::names("idle")];
/// NFPROTO_IPV6, NF_INET_FORWARD.
static TABLE: Table = Table {
    family: 10,
    name: "evenkeel_forward",
    sets: &SETS,
    chain: "forward",
    hook: 2,
    rules: &[|rule| {
        rule.load_meta(META_IIFNAME);
        rule.expect_in(&SETS[0]);
        rule.drop_packet();
    }],
};
