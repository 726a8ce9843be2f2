//! The addresses of a virtual router: which can move, and how an entry falls into families.

use std::collections::HashSet;
use std::net::IpAddr;

use super::taken::Taken;
use crate::config::file::{Kind, NodeId};
use crate::config::reader::{Fields, Value};
use crate::config::report::{Problems, shown};
use crate::logic::vrrp::packet;
use crate::model::{Family, VirtualAddress, Vrid};

/// Reads the list; each address may be in one entry only.
pub(super) fn check_addresses<'a>(
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
    let text = in_words(item, problems)?;
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

/// Returns an address as written; what stands beside it in keepalived's manner has its own place.
fn in_words<'a>(item: Value<'a>, problems: &mut Problems) -> Option<&'a str> {
    if let Kind::Map(entries) = &item.node.kind {
        let first = entries.first().map_or("", |(key, _)| key.text.as_str());
        let message = format!("an address is text, and `{}` begins a map", shown(first));
        let help = "write `192.0.2.100/24`; where it does not go to `interface`, write \
                    `address_interface: eth1` in the entry";
        item.wrong_with_help(message, help, problems);
        return None;
    }
    let text = item.text("an address with its prefix length", problems)?;
    let Some((address, rest)) = text.trim().split_once(char::is_whitespace) else {
        return Some(text);
    };
    let device = rest
        .split_whitespace()
        .skip_while(|word| *word != "dev")
        .nth(1);
    let message = format!(
        "`{}` stands behind the address {}",
        shown(rest),
        shown(address)
    );
    let help = match device {
        Some(device) => format!(
            "write only the address, and `address_interface: {}` in the entry",
            shown(device)
        ),
        None => "write only the address: labels, scopes and sources are not needed".to_owned(),
    };
    item.wrong_with_help(message, help, problems);
    None
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
pub(super) fn by_family(
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

/// Returns the link-local address of a virtual router that is given none.
pub(super) fn derived_link_local(vrid: Vrid) -> VirtualAddress {
    VirtualAddress {
        address: IpAddr::V6(packet::derived_link_local(vrid)),
        prefix_len: 64,
    }
}

/// Returns whether an address is an IPv6 link-local one.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// What the count of one byte allows.
const ADDRESSES_MAX: usize = 255;
