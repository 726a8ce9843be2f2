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

use std::collections::BTreeSet;
use std::io;

use tracing::warn;

use super::router::{Held, Router};
use crate::model::Family;
use crate::process::vrrp::host::attachment;
use crate::process::vrrp::host::macvlan::PREFIX_V6;
use crate::process::vrrp::host::monitor::View;
use crate::process::vrrp::host::nftables::{Change, META_IIFNAME, Set, Table, Tables};

/// What is forwarded from virtual MACs.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    /// `None` where nobody has a virtual MAC with IPv6, or the kernel does not let us.
    tables: Option<Tables>,
    /// The macvlans in the set.
    active: BTreeSet<String>,
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

    /// Begins to drop what arrives at virtual MACs of IPv6, if there are any by now.
    pub(super) fn provide<'r>(&mut self, mut routers: impl Iterator<Item = &'r Router>) {
        let is_ipv6 = |router: &Router| {
            router
                .virtual_mac
                .is_some_and(|virtual_mac| virtual_mac.family == Family::Ipv6)
        };
        if self.tables.is_some() || !routers.any(is_ipv6) {
            return;
        }
        let opened = Tables::open().and_then(|mut tables| {
            tables.make(&TABLE)?;
            Ok(tables)
        });
        if let Err(error) = &opened {
            warn!(%error, "no nftables: a Backup with a virtual MAC forwards what is flooded to it");
        }
        self.tables = opened.ok();
    }

    /// Forgets a macvlan that is deleted.
    pub(super) fn forget(&mut self, macvlan: &str) {
        if let Err(error) = self.deny(macvlan) {
            warn!(interface = %macvlan, %error, "forwarding from a virtual MAC cannot be set");
        }
    }

    /// Has the macvlan of a virtual router forward, or not.
    pub(super) fn settle(&mut self, router: &Router, view: &View) {
        let (Some(virtual_mac), Some((_, link))) = (router.virtual_mac, router.place(view)) else {
            return;
        };
        let macvlan = &link.name;
        let serves = router.held != Held::Absent;
        let allowed = match virtual_mac.family {
            Family::Ipv4 => Ok(()),
            Family::Ipv6 if serves => self.allow(macvlan),
            Family::Ipv6 => self.deny(macvlan),
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

    fn allow(&mut self, macvlan: &str) -> io::Result<()> {
        if self.active.insert(macvlan.to_owned()) {
            self.change(Change::Add, macvlan)?;
        }
        Ok(())
    }

    fn deny(&mut self, macvlan: &str) -> io::Result<()> {
        if self.active.remove(macvlan) {
            self.change(Change::Remove, macvlan)?;
        }
        Ok(())
    }

    fn change(&mut self, change: Change, macvlan: &str) -> io::Result<()> {
        let Some(tables) = &mut self.tables else {
            return Ok(());
        };
        let mut key = macvlan.as_bytes().to_vec();
        key.resize(NAME_LEN, 0);
        tables.change_keys(change, (TABLE.family, TABLE.name, SETS[0].name), &[key])
    }
}

static SETS: [Set; 1] = [Set {
    name: "active",
    id: 1,
    key_type: 41,
    key_len: NAME_LEN as u32,
}];
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
/// IFNAMSIZ.
const NAME_LEN: usize = 16;
