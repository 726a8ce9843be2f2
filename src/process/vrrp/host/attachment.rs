//! Where the addresses of a virtual router belong: on its interface, or on a macvlan with the
//! virtual MAC.
//!
//! Settings that make a virtual MAC the only one that anybody learns (measured; see
//! evenkeel.yaml(5)):
//!
//! | where | setting | why |
//! |---|---|---|
//! | the interface | `arp_ignore` 1 | it would answer ARP for the macvlan's addresses with its own hardware address |
//! | the interface | `arp_announce` 2 | it would ask with a virtual address as the sender, and its own hardware address |
//! | the macvlan | `arp_ignore` 1 | a macvlan would answer for the addresses of the interface and of its siblings |
//! | the macvlan | `rp_filter` 2 | replies leave by the interface; loose wins over a strict `all.rp_filter` |
//! | the macvlan | `forwarding` as the interface while Active, else 0 | others may have a virtual address as their gateway |
//! | the macvlan | `accept_ra` 0, ... | it serves an address, it is not a second way into the network |
//!
//! The interface's settings are put back when its last macvlan goes; a crash cannot lose them, see
//! `macvlan`.

use std::fs;
use std::io;

use tracing::warn;

use super::macvlan::{self, MARK, VirtualMac};
use super::monitor::{Link, Monitor, View};
use super::netlink::Netlink;
use crate::model::Family;

/// Returns the link on which addresses belong, with its index, if it is there.
pub(super) fn find<'v>(
    view: &'v View,
    interface: &str,
    virtual_mac: Option<VirtualMac>,
) -> Option<(u32, &'v Link)> {
    let (parent, link) = view.named(interface)?;
    match virtual_mac {
        None => Some((parent, link)),
        Some(virtual_mac) => view
            .named(&virtual_mac.name(parent))
            .filter(|(_, link)| is_as_made(link, parent, virtual_mac)),
    }
}

fn is_as_made(link: &Link, parent: u32, virtual_mac: VirtualMac) -> bool {
    let mac = Some(virtual_mac.octets());
    macvlan::is_ours(link) && (link.parent, link.mac) == (Some(parent), mac)
}

/// Returns the name of the macvlan of a virtual MAC on an interface, there or not, unless somebody
/// else has an interface of that name.
pub(super) fn name_of(view: &View, interface: &str, virtual_mac: VirtualMac) -> Option<String> {
    let (parent, _) = view.named(interface)?;
    let name = virtual_mac.name(parent);
    let there = view.named(&name);
    there
        .is_none_or(|(_, link)| macvlan::is_ours(link))
        .then_some(name)
}

/// Makes the macvlan of a virtual MAC on an interface, or puts the one in order that a former
/// process left.
pub(super) fn make(
    netlink: &mut Netlink,
    monitor: &mut Monitor,
    interface: &str,
    virtual_mac: VirtualMac,
) -> Result<(), String> {
    let Some((parent, _)) = monitor.view().named(interface) else {
        return Ok(());
    };
    let name = virtual_mac.name(parent);
    let failed = |error: io::Error| format!("no macvlan {name} on {interface}: {error}");
    if find(monitor.view(), interface, Some(virtual_mac)).is_none() {
        if let Some((ifindex, link)) = monitor.view().named(&name) {
            if !macvlan::is_ours(link) {
                return Err(format!(
                    "{name}, as the macvlan on {interface} is to be called, is an interface of \
                     somebody else: rename that one, or leave out virtual_mac"
                ));
            }
            // One whose hardware address somebody has changed, or of another interface before.
            macvlan::delete(netlink, ifindex).map_err(failed)?;
        }
        macvlan::create(netlink, parent, virtual_mac).map_err(failed)?;
        monitor.read_all(netlink).map_err(failed)?;
    }
    let view = monitor.view();
    let Some((ifindex, link)) = find(view, interface, Some(virtual_mac)) else {
        return Err(format!("the macvlan {name} is gone again"));
    };
    // One that a former process left is in order as a rule: reading everything for each would be
    // too late for a lease.
    let in_order = link.set_up && Originals::parse(&link.alias).is_some();
    if Originals::parse(&link.alias).is_none() {
        let alias = originals(view, parent, interface)?.alias();
        macvlan::set_alias(netlink, ifindex, &alias).map_err(failed)?;
    }
    settle(interface, &name, virtual_mac.family)?;
    if in_order {
        return Ok(());
    }
    macvlan::set_up(netlink, ifindex).map_err(failed)?;
    monitor.read_all(netlink).map_err(failed)
}

/// Deletes every macvlan of ours that `wanted` does not hold for, and puts back the settings of
/// interfaces that have none any more.
pub(super) fn clear(
    netlink: &mut Netlink,
    monitor: &mut Monitor,
    wanted: impl Fn(u32, &Link) -> bool,
) {
    let view = monitor.view();
    let ours = |(_, link): &(u32, &Link)| macvlan::is_ours(link);
    let (stay, go): (Vec<_>, Vec<_>) = view
        .links()
        .filter(ours)
        .partition(|(index, link)| wanted(*index, link));
    let mut last_records: Vec<(u32, Originals)> = Vec::new();
    for (_, link) in &go {
        let Some(parent) = link.parent else { continue };
        let still_used = stay.iter().any(|(_, other)| other.parent == Some(parent));
        if let (false, Some(originals)) = (still_used, Originals::parse(&link.alias)) {
            last_records.push((parent, originals));
        }
    }
    for (parent, originals) in last_records {
        if let Some(link) = view.link(parent) {
            originals.restore(&link.name);
        }
    }
    // Each takes a while: with many of them whoever waits for us may not wait to the end.
    for (ifindex, link) in go {
        if let Err(error) = macvlan::delete(netlink, ifindex) {
            warn!(interface = %link.name, %error, "a macvlan remains");
        }
    }
    if let Err(error) = monitor.read_all(netlink) {
        warn!(%error, "links cannot be read");
    }
}

/// What the interface had before the first macvlan: another macvlan of ours knows, or the interface
/// itself.
fn originals(view: &View, parent: u32, interface: &str) -> Result<Originals, String> {
    let siblings = view
        .links()
        .filter(|(_, link)| link.parent == Some(parent) && macvlan::is_ours(link));
    match siblings
        .filter_map(|(_, link)| Originals::parse(&link.alias))
        .next()
    {
        Some(known) => Ok(known),
        None => Originals::read(interface),
    }
}

/// The settings of the interface and of the macvlan.
fn settle(interface: &str, macvlan: &str, family: Family) -> Result<(), String> {
    for (setting, value) in MACVLAN_IPV4 {
        write("ipv4", macvlan, setting, value)?;
    }
    match family {
        Family::Ipv4 => {
            // Where the kernel has no IPv6 at all there is nothing to forbid.
            let _ = write("ipv6", macvlan, "disable_ipv6", 1);
            for (setting, ours) in INTERFACE {
                if must_raise(setting, read("ipv4", interface, setting)?) {
                    write("ipv4", interface, setting, ours)?;
                }
            }
        }
        Family::Ipv6 => {
            // Nothing of IPv4 is there to be a gateway.
            write("ipv4", macvlan, "forwarding", 0)?;
            for (setting, value) in MACVLAN_IPV6 {
                write("ipv6", macvlan, setting, value)?;
            }
        }
    }
    Ok(())
}

/// Has a macvlan forward as an interface does, or not at all.
///
/// The kernel sets all interfaces when the setting of the whole machine changes, ours as well.
pub(super) fn set_forwarding(
    macvlan: &str,
    family: Family,
    like: Option<&str>,
) -> Result<(), String> {
    let family = match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    };
    let wanted = match like {
        Some(interface) => read(family, interface, "forwarding")?,
        None => 0,
    };
    if read(family, macvlan, "forwarding")? != wanted {
        write(family, macvlan, "forwarding", wanted)?;
    }
    Ok(())
}

/// Returns whether the machine is a router on the link of an interface, for IPv6.
pub(super) fn is_ipv6_router(interface: &str) -> bool {
    read("ipv6", interface, "forwarding").is_ok_and(|forwarding| forwarding > 0)
}

/// Returns whether the kernel answers ARP on an interface for the addresses of all others.
pub(super) fn answers_for_all(interface: &str) -> bool {
    let none = |of: &str| read("ipv4", of, "arp_ignore").is_ok_and(|now| now == 0);
    none("all") && none(interface)
}

/// What an interface had before us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Originals {
    arp_ignore: u8,
    arp_announce: u8,
}

impl Originals {
    fn read(interface: &str) -> Result<Self, String> {
        Ok(Self {
            arp_ignore: read("ipv4", interface, "arp_ignore")?,
            arp_announce: read("ipv4", interface, "arp_announce")?,
        })
    }

    fn alias(self) -> String {
        let Self {
            arp_ignore,
            arp_announce,
        } = self;
        format!("{MARK}arp_ignore={arp_ignore} arp_announce={arp_announce}")
    }

    fn parse(alias: &str) -> Option<Self> {
        let (ignore, announce) = alias.strip_prefix(MARK)?.split_once(' ')?;
        Some(Self {
            arp_ignore: ignore.strip_prefix("arp_ignore=")?.parse().ok()?,
            arp_announce: announce.strip_prefix("arp_announce=")?.parse().ok()?,
        })
    }

    /// Puts back what still is as we set it; what somebody has changed since is theirs.
    fn restore(self, interface: &str) {
        let originals = [self.arp_ignore, self.arp_announce];
        for ((setting, ours), original) in INTERFACE.into_iter().zip(originals) {
            let outcome = read("ipv4", interface, setting).and_then(|now| {
                if now == ours && must_raise(setting, original) {
                    write("ipv4", interface, setting, original)
                } else {
                    Ok(())
                }
            });
            if let Err(error) = outcome {
                warn!(%interface, %error, "a setting of the interface is not put back");
            }
        }
    }
}

/// Stricter settings of an administrator stay.
fn must_raise(setting: &str, now: u8) -> bool {
    match setting {
        // 3 answers for every address but those of scope host.
        "arp_ignore" => now == 0 || now == 3,
        _ => now < 2,
    }
}

fn read(family: &str, interface: &str, setting: &str) -> Result<u8, String> {
    let path = path(family, interface, setting);
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    text.trim()
        .parse()
        .map_err(|_| format!("{path} holds `{}`", text.trim()))
}

fn write(family: &str, interface: &str, setting: &str, value: u8) -> Result<(), String> {
    let path = path(family, interface, setting);
    fs::write(&path, value.to_string()).map_err(|error| {
        let read_only = error.kind() == io::ErrorKind::ReadOnlyFilesystem;
        let help = if read_only {
            "; virtual_mac needs /proc/sys to be writable"
        } else {
            ""
        };
        format!("{path}: {error}{help}")
    })
}

fn path(family: &str, interface: &str, setting: &str) -> String {
    format!("/proc/sys/net/{family}/conf/{interface}/{setting}")
}

/// Of the interface, in the order of [`Originals`].
const INTERFACE: [(&str, u8); 2] = [("arp_ignore", 1), ("arp_announce", 2)];
/// Of every macvlan: one with IPv6 addresses would answer ARP as well.
const MACVLAN_IPV4: [(&str, u8); 3] = [("arp_ignore", 1), ("arp_announce", 2), ("rp_filter", 2)];
/// `addr_gen_mode` 1 is none: no address is ever made from a virtual MAC (RFC 9568 §7.4).
const MACVLAN_IPV6: [(&str, u8); 4] = [
    ("addr_gen_mode", 1),
    ("accept_ra", 0),
    ("accept_dad", 0),
    ("router_solicitations", 0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn originals_survive_in_the_alias() {
        let originals = Originals {
            arp_ignore: 0,
            arp_announce: 1,
        };
        let alias = originals.alias();
        assert!(alias.len() < 256, "{alias} fits");
        assert_eq!(
            Originals::parse(&alias),
            Some(originals),
            "read as it was written"
        );
        for foreign in [
            "",
            "uplink",
            "evenkeel ",
            "evenkeel arp_ignore=x arp_announce=1",
        ] {
            assert_eq!(Originals::parse(foreign), None, "{foreign:?} is not ours");
        }
    }

    #[test]
    fn stricter_settings_of_an_administrator_stay() {
        let raised = |setting| (0..=8).filter(move |now| must_raise(setting, *now));
        assert!(
            raised("arp_ignore").eq([0, 3]),
            "these answer for any address"
        );
        assert!(raised("arp_announce").eq([0, 1]), "2 is the strictest");
    }
}
