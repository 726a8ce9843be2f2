//! The section `virtual_routers`: one entry is one virtual router, or two of both families.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::values::{duration, duration_or};
use crate::config::VirtualRouterConfig;
use crate::config::file::{Kind, NodeId};
use crate::config::reader::{Fields, Value};
use crate::config::report::{Problems, shown};
use crate::logic::vrrp::{Authentication, ChecksumForm, Preempt};
use crate::model::{AdverInterval, Family, Priority, RouterName, Version, VirtualAddress, Vrid};

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
    problems: &mut Problems,
) -> Option<Vec<Entry>> {
    let mut taken = Taken::default();
    let entries = section.entries("virtual routers by name", problems)?;
    Some(
        entries
            .into_iter()
            .map(|entry| check_entry(entry, node, &mut taken, problems))
            .collect(),
    )
}

/// What earlier entries have taken.
#[derive(Debug, Default)]
struct Taken<'a> {
    vrids: HashMap<(&'a str, Vrid, Family), &'a str>,
    addresses: HashMap<(IpAddr, Option<&'a str>), &'a str>,
}

/// An entry, as others on its link see it.
#[derive(Clone, Copy, Debug)]
struct Link<'a> {
    entry: &'a str,
    interface: &'a str,
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
            .insert((derived.address, Some(self.interface)), self.entry);
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
    let priority = check_priority(&fields, node, problems);
    let interval = check_advertisement_interval(&fields, problems);
    let preempt = check_preempt(&fields, problems);
    let lease = check_lease(&fields, problems);
    let wire = check_wire(&fields, interval, problems);
    let notify = check_notify(&fields, problems);
    let addresses = check_addresses(entry.name, interface, &fields, taken, problems);
    let families = addresses.map(|addresses| by_family(addresses, vrid));
    if !fits_families(wire.as_ref(), families.as_deref(), &fields, problems) {
        return broken;
    }
    if let (Some(interface), Some(vrid), Some(families)) = (interface, vrid, &families) {
        let link = Link {
            entry: entry.name,
            interface,
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
        let (interface, vrid, priority) = (interface?, vrid?, priority?);
        let (advertisement_interval, preempt, lease) = (interval?, preempt?, lease?);
        let (wire, notify) = (wire?, notify?);
        let named = |family| RouterName {
            entry: entry.name.to_owned(),
            family,
        };
        let router = |(family, addresses)| VirtualRouterConfig {
            name: named(family),
            interface: interface.to_owned(),
            vrid,
            version: wire.version,
            peers: of_family(&wire.peers, family),
            checksum: wire.checksum,
            authentication: wire.authentication,
            priority,
            addresses,
            advertisement_interval,
            preempt,
            notify: notify.clone(),
            lease,
        };
        Some(families?.into_iter().map(router).collect())
    })();
    Entry {
        addresses,
        routers,
        ..broken
    }
}

/// The kernel's own rule for names of interfaces.
fn check_interface<'a>(fields: &Fields<'a>, problems: &mut Problems) -> Option<&'a str> {
    let value = fields.need("interface", "eth0", problems)?;
    let name = value.text("the name of an interface", problems)?;
    let good = (1..=15).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
    if !good {
        let message = format!("interface cannot be `{}`", shown(name));
        let help = "names of interfaces are 1 to 15 bytes without `/`, `:` and spaces";
        value.wrong_with_help(message, help, problems);
    }
    good.then_some(name)
}

fn check_vrid(value: Value<'_>, problems: &mut Problems) -> Option<Vrid> {
    Vrid::new(u8::try_from(value.number(1, 255, problems)?).ok()?)
}

/// One number for every node, or a number by the name of the node; all of them are checked.
fn check_priority(
    fields: &Fields<'_>,
    node: Option<&str>,
    problems: &mut Problems,
) -> Option<Priority> {
    let Some(value) = fields.get("priority") else {
        return Some(Priority::DEFAULT);
    };
    if !matches!(value.node.kind, Kind::Map(_)) {
        return check_priority_number(value, problems);
    }
    let nodes = value.entries("priorities by node", problems)?;
    let mut found = None;
    for entry in &nodes {
        let priority = check_priority_number(*entry, problems);
        if Some(entry.name) == node {
            found = Some(priority);
        }
    }
    match (found, node) {
        (Some(priority), _) => priority,
        (None, None) => None,
        (None, Some(node)) => {
            let names: Vec<_> = nodes.iter().map(|entry| shown(entry.name)).collect();
            let message = format!("priority has no number for this node, `{node}`");
            let help = format!(
                "add `{node}: 100`, or say with --node or `node:` which of these this is: {}",
                names.join(", "),
            );
            problems.add_with_help(value.key, message, help);
            None
        }
    }
}

fn check_priority_number(value: Value<'_>, problems: &mut Problems) -> Option<Priority> {
    if value.node.kind == Kind::Int(255) {
        let help = "255 belongs to the address owner (`owner: true`), which this version does not \
                    support yet";
        value.wrong_with_help("priority must be between 1 and 254", help, problems);
        return None;
    }
    let value = Value {
        name: "priority",
        ..value
    };
    Priority::new(u8::try_from(value.number(1, 254, problems)?).ok()?)
}

fn check_advertisement_interval(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<AdverInterval> {
    let Some(value) = fields.get("advertisement_interval") else {
        return Some(AdverInterval::DEFAULT);
    };
    let range = AdverInterval::MIN.duration()..=AdverInterval::MAX.duration();
    let interval = duration(value, range, problems)?;
    if !interval.as_nanos().is_multiple_of(10_000_000) {
        value.wrong(
            "advertisement_interval must be a multiple of 10ms",
            problems,
        );
        return None;
    }
    AdverInterval::from_centiseconds(u16::try_from(interval.as_millis() / 10).ok()?)
}

/// How advertisements are written, and to whom.
#[derive(Clone, Debug)]
struct Wire {
    version: Version,
    checksum: ChecksumForm,
    authentication: Authentication,
    /// Of both families.
    peers: Vec<IpAddr>,
}

/// The programs to be run on every change of state; whether they can be is for who runs them to see.
fn check_notify(fields: &Fields<'_>, problems: &mut Problems) -> Option<Vec<PathBuf>> {
    let Some(value) = fields.get("notify") else {
        return Some(Vec::new());
    };
    let mut programs = Some(Vec::new());
    for item in value.items("programs", problems)? {
        let path = item
            .text("the path of a program", problems)
            .map(PathBuf::from);
        match path {
            Some(path) if path.is_absolute() => {
                if let Some(programs) = &mut programs {
                    programs.push(path);
                }
            }
            Some(path) => {
                let message = format!(
                    "`{}` is not an absolute path",
                    shown(&path.to_string_lossy())
                );
                let help =
                    "a program is named by its path, without arguments: /etc/evenkeel/notify.sh";
                item.wrong_with_help(message, help, problems);
                programs = None;
            }
            None => programs = None,
        }
    }
    programs
}

/// The version and what belongs to it, and the peers.
fn check_wire(
    fields: &Fields<'_>,
    interval: Option<AdverInterval>,
    problems: &mut Problems,
) -> Option<Wire> {
    let version = match fields
        .get("version")
        .map(|value| value.number(2, 3, problems))
    {
        None | Some(Some(3)) => Some(Version::V3),
        Some(Some(_)) => Some(Version::V2),
        Some(None) => None,
    };
    let checksum = check_checksum(fields, problems);
    let peers = check_peers(fields, problems);
    let version = version?;
    let authentication = match fields.get("authentication") {
        None => Some(Authentication::None),
        Some(value) if version == Version::V3 => {
            let help =
                "it came with version 2 and protects nothing: the password travels in the clear";
            value.wrong_with_help("version 3 has no authentication", help, problems);
            None
        }
        Some(value) => check_authentication(value, problems),
    };
    let fraction = interval.is_some_and(|interval| interval.centiseconds() % 100 != 0);
    if let (Version::V2, true, Some(value)) =
        (version, fraction, fields.get("advertisement_interval"))
    {
        let message = "advertisement_interval is in whole seconds with version 2";
        value.wrong_with_help(message, "write 1s, or use version 3", problems);
        return None;
    }
    Some(Wire {
        version,
        checksum: checksum?,
        authentication: authentication?,
        peers: peers?,
    })
}

fn of_family(peers: &[IpAddr], family: Family) -> Vec<IpAddr> {
    peers
        .iter()
        .copied()
        .filter(|peer| Family::of(*peer) == family)
        .collect()
}

/// Unicast instead of multicast: the same list on every node.
fn check_peers(fields: &Fields<'_>, problems: &mut Problems) -> Option<Vec<IpAddr>> {
    let Some(value) = fields.get("peers") else {
        return Some(Vec::new());
    };
    let items = value.items("addresses", problems)?;
    let mut peers = Vec::new();
    let count = items.len();
    for item in items {
        let Some(peer) = check_peer(item, problems) else {
            continue;
        };
        if peers.contains(&peer) {
            item.wrong(format!("{peer} is here twice"), problems);
        }
        peers.push(peer);
    }
    (peers.len() == count).then_some(peers)
}

fn check_peer(item: Value<'_>, problems: &mut Problems) -> Option<IpAddr> {
    let text = item.text("the address of a router", problems)?;
    let Ok(peer) = text.parse::<IpAddr>() else {
        let message = format!("`{}` is not an address", shown(text));
        item.wrong_with_help(message, "write it as 192.0.2.1", problems);
        return None;
    };
    if peer.is_multicast() || peer.is_unspecified() || peer.is_loopback() {
        item.wrong(
            format!("{peer} cannot be the address of a router"),
            problems,
        );
        return None;
    }
    if peer.is_ipv6() && !is_link_local(peer) {
        let help = "advertisements are sent from link-local addresses (RFC 9568); write the peer's, fe80::...";
        item.wrong_with_help(format!("{peer} is not link-local"), help, problems);
        return None;
    }
    Some(peer)
}

/// Returns whether what is on the wire has the families of the addresses.
fn fits_families(
    wire: Option<&Wire>,
    families: Option<&[(Family, Vec<VirtualAddress>)]>,
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> bool {
    let mut fits = true;
    for (family, _) in families.into_iter().flatten() {
        let Some(wire) = wire else { continue };
        if let (Version::V2, Family::Ipv6, Some(at)) = (wire.version, family, fields.get("version"))
        {
            let help = "put the IPv6 addresses into an entry of their own, with version 3";
            at.wrong_with_help("version 2 has no IPv6", help, problems);
            fits = false;
        }
        let has_peer = wire.peers.iter().any(|peer| Family::of(*peer) == *family);
        if let (false, Some(at)) = (has_peer, fields.get("peers")) {
            let message = format!("no peer is of {family}, but an address is");
            let help = "name the peers of both families, or make an entry for each";
            problems.add_with_help(at.key, message, help);
            fits = false;
        }
    }
    fits
}

/// The form that is sent; what arrives may have either.
fn check_checksum(fields: &Fields<'_>, problems: &mut Problems) -> Option<ChecksumForm> {
    let Some(value) = fields.get("checksum") else {
        return Some(ChecksumForm::Rfc5798);
    };
    match value.text("rfc5798 or rfc9568", problems)? {
        "rfc5798" => Some(ChecksumForm::Rfc5798),
        "rfc9568" => Some(ChecksumForm::Rfc9568),
        other => {
            let message = format!(
                "checksum must be rfc5798 or rfc9568, not `{}`",
                shown(other)
            );
            value.wrong(message, problems);
            None
        }
    }
}

fn check_authentication(value: Value<'_>, problems: &mut Problems) -> Option<Authentication> {
    let fields = value.fields(&["password"], problems)?;
    let password = fields.need("password", "s3cret", problems)?;
    let text = password.text("a password", problems)?;
    let authentication = Authentication::password(text);
    if authentication.is_none() {
        let help = "keepalived cuts longer ones; write its first eight";
        password.wrong_with_help("a password has 1 to 8 bytes", help, problems);
    }
    authentication
}

fn check_preempt(fields: &Fields<'_>, problems: &mut Problems) -> Option<Preempt> {
    let Some(value) = fields.get("preempt") else {
        return Some(Preempt::Always);
    };
    match &value.node.kind {
        Kind::Bool(true) => Some(Preempt::Always),
        Kind::Bool(false) => Some(Preempt::Never),
        Kind::Map(_) => {
            let fields = value.fields(&["delay"], problems)?;
            let delay = fields.need("delay", "30s", problems)?;
            duration(delay, PREEMPT_DELAY_MIN..=HOUR, problems).map(Preempt::After)
        }
        Kind::Null | Kind::Int(_) | Kind::Float(_) | Kind::Text(_) | Kind::List(_) => {
            value.expected("true, false or `{delay: 30s}`", problems);
            None
        }
    }
}

/// The kernel counts the lifetimes of addresses in whole seconds.
fn check_lease(fields: &Fields<'_>, problems: &mut Problems) -> Option<Duration> {
    let lease = duration_or(fields, "lease", LEASE, LEASE_MIN..=HOUR, problems)?;
    match fields.get("lease") {
        Some(value) if lease.subsec_nanos() != 0 => {
            value.wrong("lease must be whole seconds", problems);
            None
        }
        Some(_) | None => Some(lease),
    }
}

fn check_addresses<'a>(
    entry: &'a str,
    interface: Option<&'a str>,
    fields: &Fields<'a>,
    taken: &mut Taken<'a>,
    problems: &mut Problems,
) -> Option<Vec<VirtualAddress>> {
    let value = fields.need("addresses", "[192.0.2.100/24]", problems)?;
    let items = value.items("addresses", problems)?;
    let mut addresses = Some(Vec::new());
    let mut own = HashSet::new();
    for item in items {
        let Some(address) = check_address(item, problems) else {
            addresses = None;
            continue;
        };
        // A link-local address is only unique on its link.
        let link = if is_link_local(address.address) {
            interface
        } else {
            None
        };
        if !own.insert(address.address) {
            item.wrong(format!("{} is here twice", address.address), problems);
        } else if let Some(other) = taken.addresses.insert((address.address, link), entry) {
            item.wrong(
                format!("{} already belongs to `{other}`", address.address),
                problems,
            );
        }
        if let Some(addresses) = &mut addresses {
            addresses.push(address);
        }
    }
    check_number_of_addresses(value.key, addresses.as_deref()?, problems);
    addresses
}

/// An advertisement counts its addresses in one byte (RFC 9568 §5.2.5).
fn check_number_of_addresses(at: NodeId, addresses: &[VirtualAddress], problems: &mut Problems) {
    for family in [Family::Ipv4, Family::Ipv6] {
        let of_family = addresses.iter().filter(|a| Family::of(a.address) == family);
        let derived = family == Family::Ipv6 && !addresses.iter().any(|a| is_link_local(a.address));
        let count = of_family.count();
        if count + usize::from(derived && count > 0) > ADDRESSES_MAX {
            let message = format!(
                "a virtual router has at most {ADDRESSES_MAX} addresses; these are {count} of {family}",
            );
            problems.add_with_help(at, message, "make two entries of it");
        }
    }
}

fn check_address(item: Value<'_>, problems: &mut Problems) -> Option<VirtualAddress> {
    let text = item.text("an address with its prefix length", problems)?;
    let Some((address, prefix_len)) = text.split_once('/') else {
        match text.parse::<IpAddr>() {
            Ok(ip) => {
                let len = if ip.is_ipv4() { 24 } else { 64 };
                let message = format!("`{ip}` has no prefix length");
                let help = format!("write that of its network, as in `{ip}/{len}`");
                item.wrong_with_help(message, help, problems);
            }
            Err(_) => not_an_address(item, text, problems),
        }
        return None;
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        not_an_address(item, text, problems);
        return None;
    };
    let max = if address.is_ipv4() { 32 } else { 128 };
    let all_digits = !prefix_len.is_empty() && prefix_len.bytes().all(|b| b.is_ascii_digit());
    let prefix_len = prefix_len
        .parse()
        .ok()
        .filter(|len| all_digits && (1..=max).contains(len));
    let Some(prefix_len) = prefix_len else {
        let message = format!("the prefix length of {address} must be between 1 and {max}");
        item.wrong(message, problems);
        return None;
    };
    let address = VirtualAddress {
        address,
        prefix_len,
    };
    if let Some(why) = unfit(address) {
        item.wrong(
            format!("{address} cannot be a virtual address: {why}"),
            problems,
        );
        return None;
    }
    Some(address)
}

fn not_an_address(item: Value<'_>, text: &str, problems: &mut Problems) {
    let message = format!("`{}` is not an address with its prefix length", shown(text));
    let help = "write `192.0.2.100/24` or `\"2001:db8::100/64\"`";
    item.wrong_with_help(message, help, problems);
}

/// Says why nobody can hold an address on a link.
fn unfit(address: VirtualAddress) -> Option<&'static str> {
    let ip = address.address;
    if ip.is_unspecified() {
        return Some("it means every address");
    }
    if ip.is_loopback() {
        return Some("it is a loopback address");
    }
    if ip.is_multicast() {
        return Some("it is a multicast address");
    }
    match ip {
        IpAddr::V4(v4) => {
            let host_bits = u32::MAX
                .checked_shr(u32::from(address.prefix_len))
                .unwrap_or(0);
            let host = v4.to_bits() & host_bits;
            match address.prefix_len {
                _ if v4.is_broadcast() => Some("it is the broadcast address"),
                _ if v4.octets()[0] == 0 => Some("it belongs to no network"),
                1..=30 if host == 0 => Some("it is the address of the network itself"),
                1..=30 if host == host_bits => Some("it is the network's broadcast address"),
                _ => None,
            }
        }
        IpAddr::V6(v6) => {
            let host_bits = u128::MAX
                .checked_shr(u32::from(address.prefix_len))
                .unwrap_or(0);
            match address.prefix_len {
                _ if v6.to_ipv4_mapped().is_some() => Some("it is an IPv4 address"),
                1..=126 if v6.to_bits() & host_bits == 0 => {
                    Some("it is the address of the network itself")
                }
                _ => None,
            }
        }
    }
}

/// Parts the families, IPv4 first. The first IPv6 address is link-local (RFC 9568 §5.2.9): the
/// first one given, or one that every node derives alike from the VRID.
fn by_family(
    addresses: Vec<VirtualAddress>,
    vrid: Option<Vrid>,
) -> Vec<(Family, Vec<VirtualAddress>)> {
    let (ipv4, mut ipv6): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|a| a.address.is_ipv4());
    let given = ipv6.iter().position(|a| is_link_local(a.address));
    match (given, vrid) {
        (Some(index), _) => ipv6[..=index].rotate_right(1),
        (None, Some(vrid)) if !ipv6.is_empty() => ipv6.insert(0, derived_link_local(vrid)),
        (None, Some(_) | None) => {}
    }
    let families = [(Family::Ipv4, ipv4), (Family::Ipv6, ipv6)];
    families
        .into_iter()
        .filter(|(_, addresses)| !addresses.is_empty())
        .collect()
}

/// Returns fe80::112:VV, VV being the VRID in hexadecimal; 112 is the protocol number of VRRP.
pub(super) fn derived_link_local(vrid: Vrid) -> VirtualAddress {
    let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x112, vrid.get().into());
    VirtualAddress {
        address: IpAddr::V6(address),
        prefix_len: 64,
    }
}

/// Returns whether an address is an IPv6 link-local one.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

const KEYS: &[&str] = &[
    "interface",
    "vrid",
    "priority",
    "addresses",
    "version",
    "advertisement_interval",
    "checksum",
    "authentication",
    "peers",
    "preempt",
    "lease",
    "notify",
];

/// What the count of one byte allows.
const ADDRESSES_MAX: usize = 255;

const LEASE: Duration = Duration::from_secs(2);
const LEASE_MIN: Duration = Duration::from_secs(1);
const PREEMPT_DELAY_MIN: Duration = Duration::from_millis(10);
const HOUR: Duration = Duration::from_secs(3600);
