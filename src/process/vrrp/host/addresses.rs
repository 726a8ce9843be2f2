//! Virtual addresses on the host: leases that the kernel itself ends (behaviour 2 of the house).
//!
//! A virtual address is installed as /32 or /128 without a prefix route, tagged as ours by
//! IFA_PROTO, and valid for the lease. Where a leftover of ours stands under the same address, it
//! is deleted first and never changed, because the kernel keeps parts of the old entry. What the
//! host has from somebody else is never deleted and never changed: deleting its own address would
//! take its routes, and all that hangs on them. This file writes the requests; `netlink` executes
//! them.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol,
    AddressScope, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::messages::Ownership;
use super::monitor::{Address, Link};
use super::netlink::{Netlink, Request};
use crate::model::{Family, Network};

/// IFA_PROTO of every address we install. The kernel's own are 1 to 3; any other number is free.
pub const TAG: u8 = 0x45;

/// Installs or renews addresses on a link, all in one batch; an owner's that the host has anyway
/// are left alone.
///
/// # Errors
/// The first refusal; what was installed until then stays, and ends with its lease. Nothing is done
/// where an address is the host's own.
pub fn install(
    netlink: &mut Netlink,
    (ifindex, link): (u32, &Link),
    addresses: &[IpAddr],
    ownership: Ownership,
    lease: Duration,
) -> Result<(), Refusal> {
    let mut requests = Vec::with_capacity(addresses.len());
    let mut subjects = Vec::with_capacity(addresses.len());
    for &address in addresses {
        if ownership == Ownership::Owner && is_of_host(link, address) {
            continue;
        }
        if let Some(found) = in_the_way(link, address) {
            let prefix_len = found.prefix_len;
            return Err(Refusal::OfHost {
                address,
                prefix_len,
            });
        }
        let leftover =
            |found: &&Address| found.address == address && found.protocol == TAG && !is_ours(found);
        for found in link.addresses.iter().filter(leftover) {
            requests.push(deletion(ifindex, found.address, found.prefix_len));
            subjects.push((Verb::Delete, address));
        }
        requests.push(installation(ifindex, address, lease));
        subjects.push((Verb::Install, address));
    }
    run(netlink, requests, &subjects)
}

/// Deletes addresses from a link; that one is not there is no error.
///
/// # Errors
/// The first refusal.
pub fn remove(
    netlink: &mut Netlink,
    ifindex: u32,
    addresses: impl Iterator<Item = IpAddr>,
) -> Result<(), Refusal> {
    let subjects: Vec<_> = addresses.map(|address| (Verb::Delete, address)).collect();
    let requests = subjects
        .iter()
        .map(|&(_, address)| deletion(ifindex, address, full_len(address)))
        .collect();
    run(netlink, requests, &subjects)
}

/// Returns whether an address is one that we installed, as we install it.
pub fn is_ours(found: &Address) -> bool {
    found.protocol == TAG
        && found.prefix_len == full_len(found.address)
        && found.flags.contains(AddressFlags::Noprefixroute)
}

/// Returns whether a link has an address as we install it.
pub fn is_installed(link: &Link, address: IpAddr) -> bool {
    let ours = |found: &Address| found.address == address && is_ours(found);
    link.addresses.iter().any(ours)
}

/// Returns the entry of the host that an installation would change: an IPv6 address has one entry,
/// an IPv4 address one for each prefix length.
fn in_the_way(link: &Link, address: IpAddr) -> Option<&Address> {
    let replaced = match address {
        IpAddr::V4(_) => !is_installed(link, address),
        IpAddr::V6(_) => true,
    };
    let foreign = |found: &&Address| found.address == address && found.protocol != TAG;
    link.addresses.iter().find(foreign).filter(|_| replaced)
}

/// Returns whether a link has an address from somebody else.
pub fn is_of_host(link: &Link, address: IpAddr) -> bool {
    let foreign = |found: &&Address| found.address == address && found.protocol != TAG;
    link.addresses.iter().any(|found| foreign(&found))
}

/// Returns whether a link has every one of these addresses as ours; an owner's may be the host's.
pub fn all_installed(link: &Link, addresses: &[IpAddr], ownership: Ownership) -> bool {
    addresses.iter().all(|address| {
        is_installed(link, *address) || ownership == Ownership::Owner && is_of_host(link, *address)
    })
}

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// One request.
    #[error("{verb} {address}")]
    Address {
        /// Install or delete.
        verb: &'static str,
        /// Which address.
        address: IpAddr,
        /// Why.
        source: io::Error,
    },
    /// The host has the address from somebody else.
    #[error("{address}/{prefix_len} is an address of the host itself")]
    OfHost {
        /// Which address.
        address: IpAddr,
        /// The length of its prefix.
        prefix_len: u8,
    },
    /// The kernel did not answer.
    #[error("no answer from netlink")]
    Suppression(#[from] io::Error),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Install,
    Delete,
}

fn run(
    netlink: &mut Netlink,
    requests: Vec<Request>,
    subjects: &[(Verb, IpAddr)],
) -> Result<(), Refusal> {
    let outcomes = netlink.execute(requests)?;
    for (outcome, &(verb, address)) in outcomes.into_iter().zip(subjects) {
        let Err(source) = outcome else { continue };
        let verb = match verb {
            Verb::Install => "install",
            // It is gone, or its interface is.
            Verb::Delete if is_absence(&source) => continue,
            Verb::Delete => "delete",
        };
        return Err(Refusal::Address {
            verb,
            address,
            source,
        });
    }
    Ok(())
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EADDRNOTAVAIL | libc::ENODEV)
    )
}

/// IPv6 addresses skip duplicate detection, or they could not be used for a second, and are
/// deprecated, so that nothing chooses them as a source by itself.
fn installation(ifindex: u32, address: IpAddr, lease: Duration) -> Request {
    let valid_s = lease_seconds(lease);
    let (flags, preferred_s) = match address {
        IpAddr::V4(_) => (AddressFlags::Noprefixroute, valid_s),
        IpAddr::V6(_) => (AddressFlags::Noprefixroute | AddressFlags::Nodad, 0),
    };
    let mut lifetime = CacheInfo::default();
    lifetime.ifa_valid = valid_s;
    lifetime.ifa_preferred = preferred_s;
    let mut message = bare(ifindex, address, full_len(address));
    message.header.flags = AddressHeaderFlags::from_bits_truncate((flags.bits() & 0xff) as u8);
    message.attributes.push(AddressAttribute::Flags(flags));
    message
        .attributes
        .push(AddressAttribute::CacheInfo(lifetime));
    message
        .attributes
        .push(AddressAttribute::Protocol(AddressProtocol::Other(TAG)));
    (
        RouteNetlinkMessage::NewAddress(message),
        NLM_F_CREATE | NLM_F_REPLACE,
    )
}

fn deletion(ifindex: u32, address: IpAddr, prefix_len: u8) -> Request {
    (
        RouteNetlinkMessage::DelAddress(bare(ifindex, address, prefix_len)),
        0,
    )
}

fn bare(ifindex: u32, address: IpAddr, prefix_len: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = ifindex;
    message.header.prefix_len = prefix_len;
    message.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.scope = AddressScope::Universe;
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    message
}

/// The kernel counts in seconds: rounded up, so that a renewal every quarter of the lease is in
/// time.
pub(super) fn lease_seconds(lease: Duration) -> u32 {
    let whole = lease.as_secs() + u64::from(lease.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX - 1).max(1)
}

fn full_len(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// What a virtual router asks of the source of its advertisements.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its addresses, of one family.
    pub addresses: &'a [IpAddr],
    /// To whom they go one by one; empty: to the group.
    pub peers: &'a [IpAddr],
    /// An owner may use its own `addresses` when the link has no other.
    pub ownership: Ownership,
    /// The source as it is now.
    pub in_use: Option<IpAddr>,
}

/// Chooses the source of advertisements among the addresses of a link, leaving out every virtual
/// address, but for an owner's own when the link has no other.
///
/// An address that the peers know as one of theirs comes first. IPv4: one in whose network a peer
/// lies, or without peers the first virtual address, or else any. IPv6: one that has passed
/// duplicate detection, link-local unless the peers are not. Among several the one in use stays,
/// because peers know us by it; or else it is the first.
pub fn primary(link: &Link, virtual_addresses: &[IpAddr], wanted: Wanted<'_>) -> Option<IpAddr> {
    let first = wanted.addresses.first()?;
    let kin = match wanted.peers {
        [] => std::slice::from_ref(first),
        peers => peers,
    };
    let moves = |found: &Address| virtual_addresses.contains(&found.address);
    let rank = |found: &&Address| {
        let network = Network {
            address: found.address,
            prefix_len: found.prefix_len,
        };
        (
            !moves(found),
            wanted.peers.contains(&found.address),
            kin.iter().any(|kin| network.contains(*kin)),
            Some(found.address) == wanted.in_use,
        )
    };
    let is_owned = |found: &Address| {
        wanted.ownership == Ownership::Owner && wanted.addresses.contains(&found.address)
    };
    let usable = |found: &&Address| {
        found.protocol != TAG
            && (!moves(found) || is_owned(found))
            && Family::of(found.address) == Family::of(*first)
            && is_usable(found)
            && match first {
                IpAddr::V4(_) => true,
                IpAddr::V6(_) => {
                    is_link_local(found.address)
                        == wanted.peers.iter().all(|peer| is_link_local(*peer))
                }
            }
    };
    // Of equals `max_by_key` takes the last.
    let best = link.addresses.iter().rev().filter(usable).max_by_key(rank);
    best.map(|found| found.address)
}

/// Returns whether an address is only unique on its link.
pub const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_usable(found: &Address) -> bool {
    let unusable = AddressFlags::Tentative | AddressFlags::Dadfailed;
    // An optimistic address may be used although it is still tentative.
    !found.flags.intersects(unusable) || found.flags.contains(AddressFlags::Optimistic)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;

    fn address(text: &str, prefix_len: u8, flags: AddressFlags, protocol: u8) -> Address {
        Address {
            address: text.parse().unwrap(),
            prefix_len,
            flags,
            protocol,
        }
    }

    fn link(addresses: Vec<Address>) -> Link {
        Link {
            name: "eth0".into(),
            up: true,
            set_up: true,
            addresses,
            ..Link::default()
        }
    }

    fn chosen(link: &Link, virtual_addresses: &[&str]) -> Option<IpAddr> {
        let all: Vec<IpAddr> = virtual_addresses
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        primary(link, &all, lease(&all, &[]))
    }

    fn lease<'a>(addresses: &'a [IpAddr], peers: &'a [IpAddr]) -> Wanted<'a> {
        Wanted {
            addresses,
            peers,
            ownership: Ownership::Lease,
            in_use: None,
        }
    }

    const NONE: AddressFlags = AddressFlags::empty();

    #[test]
    fn primary_address_is_in_the_network_of_the_virtual_one_where_possible() {
        let link = link(vec![
            address("10.0.0.1", 8, NONE, 0),
            address("192.0.2.1", 24, NONE, 0),
            address("192.0.2.7", 24, NONE, 0),
        ]);
        assert_eq!(
            chosen(&link, &["192.0.2.100"]),
            Some([192, 0, 2, 1].into()),
            "the first kin"
        );
        assert_eq!(
            chosen(&link, &["203.0.113.1"]),
            Some([10, 0, 0, 1].into()),
            "else the first"
        );
    }

    #[test]
    fn primary_address_is_never_a_virtual_one() {
        let tagged = address("192.0.2.50", 32, NONE, TAG);
        let link = link(vec![tagged, address("192.0.2.100", 24, NONE, 0)]);
        assert_eq!(chosen(&link, &["192.0.2.100"]), None, "both are virtual");
    }

    #[test]
    fn ipv6_primary_is_a_link_local_address_past_duplicate_detection() {
        let link = link(vec![
            address("2001:db8::1", 64, NONE, 0),
            address("fe80::1", 64, AddressFlags::Tentative, 0),
            address("fe80::2", 64, AddressFlags::Dadfailed, 0),
            address("fe80::112:33", 128, NONE, TAG),
            address("fe80::3", 64, NONE, 3),
        ]);
        let expected = Some("fe80::3".parse().unwrap());
        assert_eq!(
            chosen(&link, &["fe80::112:33", "2001:db8::100"]),
            expected,
            "the usable one"
        );
    }

    #[test]
    fn primary_address_stays_when_another_appears() {
        let one = address("fe80::1", 64, NONE, 0);
        let two = address("fe80::2", 64, NONE, 3);
        let kin = ["fe80::112:33".parse().unwrap()];
        let in_use = Some(one.address);
        let wanted = Wanted {
            in_use,
            ..lease(&kin, &[])
        };
        let choose = |link: &Link| primary(link, &kin, wanted);
        assert_eq!(choose(&link(vec![two, one])), in_use, "peers know us by it");
        let choice = choose(&link(vec![two]));
        assert_eq!(choice, Some(two.address), "unless it is gone");
    }

    #[test]
    fn an_owner_without_another_address_advertises_from_its_own() {
        let own = address("192.0.2.100", 24, NONE, 0);
        let other = address("192.0.2.7", 24, NONE, 0);
        let choose = |addresses, ownership| {
            let virtual_addresses = [own.address];
            let wanted = Wanted {
                ownership,
                ..lease(&virtual_addresses, &[])
            };
            primary(&link(addresses), &virtual_addresses, wanted)
        };
        assert_eq!(
            choose(vec![own], Ownership::Lease),
            None,
            "it would move away"
        );
        assert_eq!(
            choose(vec![own], Ownership::Owner),
            Some(own.address),
            "it stays"
        );
        let choice = choose(vec![own, other], Ownership::Owner);
        assert_eq!(
            choice,
            Some(other.address),
            "peers tell two owners apart by it"
        );
    }

    /// What keepalived calls `unicast_src_ip`.
    #[test]
    fn own_address_among_the_peers_is_the_source() {
        let virtual_addresses = ["192.0.2.100".parse().unwrap()];
        let choose = |peers: &[&str], addresses| {
            let peers: Vec<IpAddr> = peers.iter().map(|text| text.parse().unwrap()).collect();
            let wanted = Wanted {
                in_use: Some([192, 0, 2, 1].into()),
                ..lease(&virtual_addresses, &peers)
            };
            primary(&link(addresses), &virtual_addresses, wanted)
        };
        let own = || {
            vec![
                address("192.0.2.1", 24, NONE, 0),
                address("192.0.2.11", 24, NONE, 0),
                address("198.51.100.7", 24, NONE, 0),
            ]
        };
        let known = choose(&["192.0.2.11", "192.0.2.12"], own());
        assert_eq!(
            known,
            Some([192, 0, 2, 11].into()),
            "not the first, nor the one in use"
        );
        let near = choose(&["198.51.100.8"], own());
        assert_eq!(
            near,
            Some([198, 51, 100, 7].into()),
            "else in the network of a peer"
        );
        let far = choose(&["203.0.113.8"], own());
        assert_eq!(far, Some([192, 0, 2, 1].into()), "else the one in use");
    }

    #[test]
    fn source_for_peers_that_are_not_link_local_is_not_either() {
        let link = link(vec![
            address("fe80::3", 64, NONE, 3),
            address("2001:db8::9", 64, AddressFlags::Tentative, 0),
            address("2001:db8::1", 64, NONE, 0),
            address("2001:db8::100", 128, NONE, TAG),
        ]);
        let addresses = [
            "fe80::112:33".parse().unwrap(),
            "2001:db8::100".parse().unwrap(),
        ];
        let choose = |peer: &str| {
            let peers = [peer.parse().unwrap()];
            primary(&link, &addresses, lease(&addresses, &peers))
        };
        assert_eq!(choose("2001:db8::2"), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(choose("fe80::2"), Some("fe80::3".parse().unwrap()));
    }

    #[test]
    fn entry_of_the_host_is_in_the_way_unless_ours_stands_beside_it() {
        let (host, ours) = (
            "192.0.2.100",
            address("192.0.2.100", 32, AddressFlags::Noprefixroute, TAG),
        );
        let address_of = |text: &str| text.parse::<IpAddr>().unwrap();
        for prefix_len in [24, 32] {
            let own = address(host, prefix_len, NONE, 0);
            let found = in_the_way(&link(vec![own]), address_of(host)).copied();
            assert_eq!(
                found,
                Some(own),
                "also a bare one: nobody knows whose it is"
            );
        }
        let both = link(vec![address(host, 24, NONE, 0), ours]);
        assert_eq!(
            in_the_way(&both, address_of(host)),
            None,
            "of IPv4 there may be two"
        );
        let leftover = link(vec![address(host, 24, NONE, TAG)]);
        assert_eq!(in_the_way(&leftover, address_of(host)), None, "ours may go");
    }

    #[test]
    fn lease_is_rounded_up_to_whole_seconds() {
        for (lease_ms, seconds) in [(1000, 1), (1001, 2), (2000, 2), (2500, 3)] {
            let lease = Duration::from_millis(lease_ms);
            assert_eq!(lease_seconds(lease), seconds, "{lease_ms} ms");
        }
    }
}
