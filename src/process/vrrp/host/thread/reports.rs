//! Reports of multicast groups (MLD, RFC 9777), which the kernel sends from a virtual MAC by
//! itself: when the macvlan is made, when its addresses come, change and go, and when somebody
//! asks.
//!
//! A switch learns from every frame where a hardware address is. So none may leave a router that
//! is not Active (RFC 9568 §7.3): for IPv6, an nftables chain drops those of all others. The
//! macvlans of IPv4 have no IPv6, and are in no group that is reported.
//!
//! ```text
//! table ip6 evenkeel_report { set idle { type ifname }   chain output { oifname @idle MLD: drop } }
//! ```

use tracing::warn;

use super::link_set::{self, LinkSet};
use super::router::Router;
use crate::model::Family;
use crate::process::vrrp::host::monitor::View;
use crate::process::vrrp::host::nftables::{Change, META_OIFNAME, Rule, Set, Table};

/// Who reports its groups.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// `None` where nobody has a virtual MAC with IPv6, or the kernel does not let us.
    idle: Option<LinkSet>,
    /// What went wrong last, as reported.
    trouble: Option<String>,
}

impl Reports {
    /// Begins to drop the reports from virtual MACs of IPv6, if there are any.
    pub(super) fn open<'r>(routers: impl Iterator<Item = &'r Router>) -> Self {
        let mut reports = Self::default();
        reports.provide(routers);
        reports
    }

    /// Begins to drop the reports from virtual MACs of IPv6, if there are or are to be any by now.
    pub(super) fn provide<'r>(&mut self, mut routers: impl Iterator<Item = &'r Router>) {
        if self.idle.is_some() || !routers.any(Router::needs_virtual_mac_of_ipv6) {
            return;
        }
        let opened = LinkSet::open(&TABLE, &SETS[0]);
        if let Err(error) = &opened {
            warn!(%error, "no table of nftables: a switch may learn the virtual MAC from a Backup");
        }
        self.idle = opened.ok();
    }

    /// Drops the reports of a macvlan, which need not be there yet.
    pub(super) fn end_of(&mut self, macvlan: &str) {
        self.change_name(Change::Add, macvlan);
    }

    /// Forgets the macvlans that are deleted: others may have their names now.
    pub(super) fn forget_gone(&mut self, view: &View) {
        let outcome = self.idle.as_mut().map(|idle| idle.forget_gone(view));
        if let Some(Err(error)) = outcome {
            warn!(%error, "a virtual MAC that is gone is still dropped");
        }
    }

    /// Lets the macvlan of a virtual router report its groups, which is to be Active.
    pub(super) fn begin(&mut self, router: &Router, view: &View) {
        self.change(Change::Remove, router, view);
    }

    /// Ends that; addresses may still be there.
    pub(super) fn end(&mut self, router: &Router, view: &View) {
        self.change(Change::Add, router, view);
    }

    fn change(&mut self, change: Change, router: &Router, view: &View) {
        if let (true, Some((_, link))) = (
            router.has_virtual_mac_of(Family::Ipv6),
            router.held_place(view),
        ) {
            self.change_name(change, &link.name);
        }
    }

    fn change_name(&mut self, change: Change, macvlan: &str) {
        let Some(idle) = &mut self.idle else {
            return;
        };
        let trouble = idle.change(change, macvlan).err();
        let trouble = trouble.map(|error| error.to_string());
        if let (Some(error), true) = (&trouble, self.trouble != trouble) {
            warn!(interface = %macvlan, %error, "what a virtual MAC reports cannot be set");
        }
        self.trouble = trouble;
    }
}

static SETS: [Set; 1] = [link_set::names("idle")];
/// NFPROTO_IPV6, NF_INET_LOCAL_OUT.
static TABLE: Table = Table {
    family: 10,
    name: "evenkeel_report",
    sets: &SETS,
    chain: "output",
    hook: 3,
    rules: &[
        |rule| drop_reports(rule, MLD_REPORT),
        |rule| drop_reports(rule, MLD_DONE),
        |rule| drop_reports(rule, MLD2_REPORT),
    ],
};

fn drop_reports(rule: &mut Rule<'_>, kind: u8) {
    rule.load_meta(META_OIFNAME);
    rule.expect_in(&SETS[0]);
    rule.expect_icmpv6(kind);
    rule.drop_packet();
}

/// ICMPv6 types (RFC 2710 §3.1, RFC 9777 §5.2).
const MLD_REPORT: u8 = 131;
const MLD_DONE: u8 = 132;
const MLD2_REPORT: u8 = 143;
