//! The section `virtual_routers`: one entry is one virtual router, or two of both families.

mod scripts;
mod track;

use std::net::IpAddr;
use std::path::PathBuf;

pub(super) use self::scripts::check as check_scripts;
pub(super) use self::track::Known;
use super::addresses::{by_family, check_addresses, derived_link_local};
use super::parameters::{Election, check_election};
use super::synchronize::{self, Wanted};
use super::taken::Taken;
use super::values::{flag, flag_by_node, interface_name, path};
use super::wire::{Wire, check_wire, fits_families, of_family};
use crate::config::VirtualRouterConfig;
use crate::config::file::Kind;
use crate::config::reader::{Fields, Value, check_each};
use crate::config::report::Problems;
use crate::config::track::TrackConfig;
use crate::model::{Family, RouterName, VirtualAddress, Vrid};

/// One entry of the section, as far as it is right.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its key.
    pub(super) name: String,
    /// Its virtual addresses as the virtual routers will have them; `None` if one is wrong.
    pub(super) addresses: Option<Vec<IpAddr>>,
    /// IPv4 first; `None` if anything is wrong.
    pub(super) routers: Option<Vec<VirtualRouterConfig>>,
}

/// Checks the section for `node`, which is `None` if its name is wrong.
pub(super) fn check(
    section: Value<'_>,
    node: Option<&str>,
    known: Known<'_>,
    problems: &mut Problems,
) -> Option<Vec<Entry>> {
    let mut taken = Taken::default();
    let entries = section.entries("virtual routers by name", problems)?;
    let mut checked: Vec<Entry> = entries
        .iter()
        .map(|entry| check_entry(*entry, node, known, &mut taken, problems))
        .collect();
    let wanted: Vec<Wanted<'_>> = entries
        .iter()
        .map(|entry| synchronize::read(*entry, problems))
        .collect();
    for (entry, group) in checked
        .iter_mut()
        .zip(synchronize::groups(&wanted, problems))
    {
        for router in entry.routers.iter_mut().flatten() {
            router.sync_group.clone_from(&group);
        }
    }
    Some(checked)
}

/// An entry, as others on its link see it.
#[derive(Clone, Copy, Debug)]
struct Link<'a> {
    entry: &'a str,
    interface: &'a str,
    address_interface: &'a str,
    vrid: Vrid,
}

impl<'a> Link<'a> {
    /// Takes the VRID for each family; returns whether it was free.
    fn take_vrid(
        self,
        at: Option<Value<'_>>,
        families: &[(Family, Vec<VirtualAddress>)],
        taken: &mut Taken<'a>,
        problems: &mut Problems,
    ) -> bool {
        let Self {
            entry,
            interface,
            vrid,
            ..
        } = self;
        let mut free = true;
        for (family, _) in families {
            let other = taken.vrids.insert((interface, vrid, *family), entry);
            if let (Some(other), Some(at)) = (other, at) {
                free = false;
                let message =
                    format!("vrid {vrid} on {interface} already belongs to `{other}/{family}`");
                at.wrong_with_help(message, "each needs its own on a link", problems);
            }
        }
        free
    }

    /// Takes the link-local address that is derived where none is given.
    fn take_derived(
        self,
        at: Option<Value<'_>>,
        families: &[(Family, Vec<VirtualAddress>)],
        taken: &mut Taken<'a>,
        problems: &mut Problems,
    ) {
        let derived = derived_link_local(self.vrid);
        if !families
            .iter()
            .any(|(_, addresses)| addresses.first() == Some(&derived))
        {
            return;
        }
        let other = taken
            .addresses
            .insert((derived.address, Some(self.address_interface)), self.entry);
        if let (Some(other), Some(at)) = (other.filter(|other| *other != self.entry), at) {
            let message = format!(
                "{}, which vrid {} gets by itself, already belongs to `{other}`",
                derived.address, self.vrid,
            );
            let help = "give this one a link-local address of its own";
            at.wrong_with_help(message, help, problems);
        }
    }
}

fn check_entry<'a>(
    entry: Value<'a>,
    node: Option<&str>,
    known: Known<'_>,
    taken: &mut Taken<'a>,
    problems: &mut Problems,
) -> Entry {
    let broken = Entry {
        name: entry.name.to_owned(),
        addresses: None,
        routers: None,
    };
    let Some(fields) = entry.fields(KEYS, problems) else {
        return broken;
    };
    let interface = check_interface(&fields, problems);
    let vrid_value = fields.need("vrid", "51", problems);
    let vrid = vrid_value.and_then(|value| check_vrid(value, problems));
    let election = check_election(&fields, node, problems);
    let interval = election
        .as_ref()
        .map(|election| election.advertisement_interval);
    let wire = check_wire(&fields, interval, problems);
    let host = check_host(&fields, node, problems);
    let notify = check_notify(&fields, problems);
    let track = track::check(&fields, interface, known, problems);
    let address_interface = check_address_interface(interface, &fields, problems);
    let addresses = check_addresses(entry.name, address_interface, &fields, taken, problems);
    let families = addresses.map(|addresses| by_family(addresses, vrid));
    if !fits_families(wire.as_ref(), families.as_deref(), &fields, problems) {
        return broken;
    }
    if let (Some(interface), Some(address_interface), Some(vrid), Some(families)) =
        (interface, address_interface, vrid, &families)
    {
        let link = Link {
            entry: entry.name,
            interface,
            address_interface,
            vrid,
        };
        if link.take_vrid(vrid_value, families, taken, problems) {
            link.take_derived(fields.get("addresses"), families, taken, problems);
        }
    }
    let all = |families: &[(Family, Vec<VirtualAddress>)]| {
        families
            .iter()
            .flat_map(|(_, list)| list.iter().map(|a| a.address))
            .collect()
    };
    let addresses = families.as_deref().map(all);
    let routers = (|| {
        let common = Common {
            interface: interface?,
            address_interface: address_interface?,
            vrid: vrid?,
            election: election?,
            wire: wire?,
            host: host?,
            notify: notify?,
            track: track?,
        };
        let router = |(family, addresses)| common.router(entry.name, family, addresses);
        Some(families?.into_iter().map(router).collect())
    })();
    Entry {
        addresses,
        routers,
        ..broken
    }
}

/// What both virtual routers of an entry have.
struct Common<'a> {
    interface: &'a str,
    address_interface: &'a str,
    vrid: Vrid,
    election: Election,
    wire: Wire,
    host: OnHost,
    notify: Vec<PathBuf>,
    track: TrackConfig,
}

impl Common<'_> {
    fn router(
        &self,
        entry: &str,
        family: Family,
        addresses: Vec<VirtualAddress>,
    ) -> VirtualRouterConfig {
        let (election, wire) = (&self.election, &self.wire);
        VirtualRouterConfig {
            name: RouterName {
                entry: entry.to_owned(),
                family,
            },
            sync_group: entry.to_owned(),
            interface: self.interface.to_owned(),
            address_interface: self.address_interface.to_owned(),
            vrid: self.vrid,
            version: wire.version,
            peers: of_family(&wire.peers, family),
            peer_hops: wire.peer_hops,
            checksum: wire.checksum,
            authentication: wire.authentication,
            priority: election.rank.base(),
            rank: election.rank,
            priorities: election.priorities.clone(),
            addresses,
            advertisement_interval: election.advertisement_interval,
            down_multiplier: election.down_multiplier,
            preempt: election.preempt,
            announcements: election.announcements,
            announcement_pace: election.announcement_pace,
            accept: self.host.accept,
            virtual_mac: self.host.virtual_mac,
            notify: self.notify.clone(),
            track: self.track.clone(),
            lease: election.lease,
            link: election.link,
        }
    }
}

/// What the host makes of the addresses.
#[derive(Clone, Copy, Debug)]
struct OnHost {
    accept: bool,
    virtual_mac: bool,
}

fn check_host(fields: &Fields<'_>, node: Option<&str>, problems: &mut Problems) -> Option<OnHost> {
    let accept = flag(fields, "accept", true, problems);
    let virtual_mac = flag(fields, "virtual_mac", false, problems);
    let owner = match fields.get("owner") {
        None => None,
        Some(value) => {
            flag_by_node(value, node, problems)?;
            Some(&value.node.kind)
        }
    };
    // By node it says something for the others; an owner itself always accepts.
    if let (Some(Kind::Bool(true)), Some(false), Some(at)) = (owner, accept, fields.get("accept")) {
        let message = "the owner of an address accepts what is sent to it";
        at.wrong_with_help(
            message,
            "leave `accept` out (RFC 9568 section 6.1)",
            problems,
        );
        return None;
    }
    Some(OnHost {
        accept: accept?,
        virtual_mac: virtual_mac?,
    })
}

fn check_interface<'a>(fields: &Fields<'a>, problems: &mut Problems) -> Option<&'a str> {
    interface_name(fields.need("interface", "eth0", problems)?, problems)
}

/// Where the addresses go, if not to the interface of the link.
fn check_address_interface<'a>(
    interface: Option<&'a str>,
    fields: &Fields<'a>,
    problems: &mut Problems,
) -> Option<&'a str> {
    let Some(value) = fields.get("address_interface") else {
        return interface;
    };
    if let Some(Kind::Bool(true)) = fields.get("virtual_mac").map(|mac| &mac.node.kind) {
        let message = "address_interface and `virtual_mac` exclude each other";
        let help = "a virtual MAC is learned from the advertisements on the link of the addresses";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    interface_name(value, problems)
}

fn check_vrid(value: Value<'_>, problems: &mut Problems) -> Option<Vrid> {
    Vrid::new(u8::try_from(value.number(1, 255, problems)?).ok()?)
}

/// The programs to be run on every change of state; whether they can be is for who runs them to
/// see.
fn check_notify(fields: &Fields<'_>, problems: &mut Problems) -> Option<Vec<PathBuf>> {
    let Some(value) = fields.get("notify") else {
        return Some(Vec::new());
    };
    let items = value.items("programs", problems)?;
    check_each(items, |item| {
        let help = "a program is named by its path, without arguments: /etc/evenkeel/notify.sh";
        path(item, "the path of a program", help, problems)
    })
}

const KEYS: &[&str] = &[
    "interface",
    "vrid",
    "priority",
    "owner",
    "addresses",
    "address_interface",
    "version",
    "advertisement_interval",
    "down_multiplier",
    "checksum",
    "authentication",
    "peers",
    "peer_hops",
    "preempt",
    "lease",
    "link",
    "announcements",
    "accept",
    "virtual_mac",
    "synchronize_with",
    "notify",
    "track",
];
