//! The interface that carries a virtual MAC: a macvlan of our own on the interface of the virtual
//! router.
//!
//! It is made once, is up as long as the daemon lives, and has addresses only while its virtual
//! router is Active. Its mode is `bridge`: a macvlan in mode `private` swallows every multicast
//! frame whose source is its own hardware address, so that a Backup would never hear the
//! advertisements of the Active, which has the same one.
//!
//! What the parent's ARP settings were before is written into the macvlan's alias: the kernel keeps
//! it, so that whoever finds the macvlan after a crash can put them back. This file writes
//! requests; `attachment` decides.

use std::io;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};

use super::monitor::Link;
use super::netlink::Netlink;
use crate::model::{Family, Vrid};

/// Which virtual MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualMac {
    /// The family of the virtual router.
    pub family: Family,
    /// Its identifier, the last byte.
    pub vrid: Vrid,
}

impl VirtualMac {
    /// Returns 00:00:5e:00:01:VRID, or 00:00:5e:00:02:VRID for IPv6 (RFC 9568 §7.3).
    pub const fn octets(self) -> [u8; 6] {
        let family = match self.family {
            Family::Ipv4 => 1,
            Family::Ipv6 => 2,
        };
        [0, 0, 0x5e, 0, family, self.vrid.get()]
    }

    /// Returns the name of its macvlan on the interface with this index: at most 15 bytes, the same
    /// after a restart.
    pub fn name(self, parent: u32) -> String {
        let prefix = match self.family {
            Family::Ipv4 => PREFIX_V4,
            Family::Ipv6 => PREFIX_V6,
        };
        name(prefix, self.vrid.get(), parent)
    }
}

/// Returns whether a link is a macvlan that we or a process before us have made: it bears our mark,
/// or is as it is before it gets that. A name alone makes nothing ours.
pub fn is_ours(link: &Link) -> bool {
    let Some(parent) = link.parent else {
        return false;
    };
    let named = link.name.starts_with(PREFIX_V4) || link.name.starts_with(PREFIX_V6);
    let is_new = link.alias.is_empty() && !link.set_up && link.addresses.is_empty();
    let as_made = || match link.mac {
        Some([0, 0, 0x5e, 0, 1, vrid]) => link.name == name(PREFIX_V4, vrid, parent),
        Some([0, 0, 0x5e, 0, 2, vrid]) => link.name == name(PREFIX_V6, vrid, parent),
        Some(_) | None => false,
    };
    named && (link.alias.starts_with(MARK) || is_new && as_made())
}

fn name(prefix: &str, vrid: u8, parent: u32) -> String {
    format!("{prefix}{vrid:02x}.{parent:x}")
}

/// Makes a macvlan, down and without an address.
///
/// # Errors
/// When the kernel refuses, as where the link exists.
pub fn create(netlink: &mut Netlink, parent: u32, virtual_mac: VirtualMac) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.attributes = vec![
        LinkAttribute::IfName(virtual_mac.name(parent)),
        LinkAttribute::Link(parent),
        LinkAttribute::Address(virtual_mac.octets().to_vec()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::MacVlan),
            LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(
                MacVlanMode::Bridge,
            )])),
        ]),
    ];
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    netlink.execute_one((RouteNetlinkMessage::NewLink(link), flags))
}

/// Writes beside a link what shall be known when it is found again.
///
/// # Errors
/// When the kernel refuses, as where the link is gone.
pub fn set_alias(netlink: &mut Netlink, ifindex: u32, alias: &str) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = ifindex;
    link.attributes = vec![LinkAttribute::IfAlias(alias.to_owned())];
    netlink.execute_one((RouteNetlinkMessage::SetLink(link), 0))
}

/// Sets a link up.
///
/// # Errors
/// When the kernel refuses, as where the link is gone.
pub fn set_up(netlink: &mut Netlink, ifindex: u32) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = ifindex;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    netlink.execute_one((RouteNetlinkMessage::SetLink(link), 0))
}

/// Deletes a link.
///
/// # Errors
/// When the kernel refuses, as where the link is gone.
pub fn delete(netlink: &mut Netlink, ifindex: u32) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = ifindex;
    netlink.execute_one((RouteNetlinkMessage::DelLink(link), 0))
}

/// How the alias of a macvlan of ours begins.
pub(super) const MARK: &str = "evenkeel ";
const PREFIX_V4: &str = "ek4.";
/// How the names of macvlans with IPv6 addresses begin.
pub(super) const PREFIX_V6: &str = "ek6.";

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn name_fits_whatever_the_numbers_are() {
        for family in [Family::Ipv4, Family::Ipv6] {
            let vrid = Vrid::new(255).unwrap();
            let name = VirtualMac { family, vrid }.name(u32::MAX);
            assert!(name.len() <= 15, "{name} is a name the kernel takes");
        }
    }

    #[test]
    fn what_only_has_a_name_of_ours_is_not_ours() {
        let vrid = Vrid::new(0x33).unwrap();
        let family = Family::Ipv4;
        let made = VirtualMac { family, vrid };
        let link = |change: fn(&mut Link)| {
            let mut link = Link {
                name: made.name(2),
                mac: Some(made.octets()),
                parent: Some(2),
                ..Link::default()
            };
            change(&mut link);
            link
        };
        let ours = [
            link(|_| {}),
            link(|link| {
                link.alias = format!("{MARK}arp_ignore=0 arp_announce=0");
                (link.set_up, link.mac) = (true, Some([2, 0, 0, 0, 0, 1]));
            }),
        ];
        let foreign = [
            link(|link| (link.name, link.alias) = ("vrrp4".into(), MARK.into())),
            link(|link| link.mac = Some([2, 0, 0, 0, 0, 1])),
            // As FRR has one.
            link(|link| link.set_up = true),
            link(|link| link.alias = "uplink".into()),
            link(|link| link.name = "ek4.foo".into()),
            link(|link| link.parent = Some(3)),
            link(|link| link.parent = None),
        ];
        for link in ours {
            assert!(is_ours(&link), "new, or marked: {link:?}");
        }
        for link in foreign {
            assert!(!is_ours(&link), "{link:?}");
        }
    }

    /// RFC 9568 §7.3.
    #[test]
    fn virtual_mac_has_the_family_and_the_vrid() {
        let vrid = Vrid::new(51).unwrap();
        let octets = |family| VirtualMac { family, vrid }.octets();
        assert_eq!(octets(Family::Ipv4), [0, 0, 0x5e, 0, 1, 51], "of IPv4");
        assert_eq!(octets(Family::Ipv6), [0, 0, 0x5e, 0, 2, 51], "of IPv6");
    }
}
