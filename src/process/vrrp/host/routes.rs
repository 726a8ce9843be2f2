//! The connected routes of virtual addresses that lie outside the networks of their interface, such
//! as a public address on a link with private ones.
//!
//! An address is installed without the route of its prefix, because the interface has it as a rule.
//! Where it has not, the route comes and goes with the address, by the lease alone too:
//!
//! | family | what ends it |
//! |---|---|
//! | IPv4 | `src`, the address: the kernel takes the route with it |
//! | IPv6 | `expires`, renewed with the lease; it outlives its `src` |
//!
//! The metric is one that nobody else has, so that no route of the host's is ever replaced.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::addresses::{TAG, is_link_local, lease_seconds};
use super::monitor::Link;
use super::netlink::{Netlink, Request};
use crate::model::{Network, VirtualAddress};

/// The route of one network, with an address of ours in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    network: IpAddr,
    prefix_len: u8,
    source: IpAddr,
}

impl Connected {
    /// Returns whether two routes are for the same network.
    pub fn is_of_same_network(&self, other: &Self) -> bool {
        (self.network, self.prefix_len) == (other.network, other.prefix_len)
    }
}

/// Returns the routes that an interface lacks for these addresses, one for each network.
pub fn missing(interface: &Link, addresses: &[VirtualAddress]) -> Vec<Connected> {
    let mut routes: Vec<Connected> = Vec::new();
    for virtual_ in addresses {
        let (source, prefix_len) = (virtual_.address, virtual_.prefix_len);
        let covers = |found: &super::monitor::Address| {
            let network = Network {
                address: found.address,
                prefix_len: found.prefix_len,
            };
            found.protocol != TAG && found.prefix_len <= prefix_len && network.contains(source)
        };
        let bare = prefix_len >= if source.is_ipv4() { 32 } else { 128 };
        if bare || is_link_local(source) || interface.addresses.iter().any(covers) {
            continue;
        }
        let route = Connected {
            network: masked(source, prefix_len),
            prefix_len,
            source,
        };
        if !routes.iter().any(|known| known.is_of_same_network(&route)) {
            routes.push(route);
        }
    }
    routes
}

/// Installs or renews routes on a link. That one is there already is no error: it is renewed.
///
/// # Errors
/// The first refusal; what was installed until then stays.
pub fn install(
    netlink: &mut Netlink,
    ifindex: u32,
    routes: &[Connected],
    lease: Duration,
) -> io::Result<()> {
    let requests = routes.iter().map(|route| {
        let mut message = message(ifindex, route);
        let source = RouteAddress::from(route.source);
        message.attributes.push(RouteAttribute::PrefSource(source));
        if route.network.is_ipv6() {
            let expires = RouteAttribute::Expires(lease_seconds(lease));
            message.attributes.push(expires);
        }
        (RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE)
    });
    run(netlink, requests.collect(), libc::EEXIST)
}

/// Deletes routes from a link; that one is not there is no error.
///
/// # Errors
/// The first refusal.
pub fn remove(netlink: &mut Netlink, ifindex: u32, routes: &[Connected]) -> io::Result<()> {
    // Those of IPv4 go with their addresses.
    let remaining = routes.iter().filter(|route| route.network.is_ipv6());
    let requests =
        remaining.map(|route| (RouteNetlinkMessage::DelRoute(message(ifindex, route)), 0));
    run(netlink, requests.collect(), libc::ESRCH)
}

/// Deletes what a former process has left: routes of IPv6 that bear our mark and our metric.
///
/// # Errors
/// When the kernel does not answer; the first refusal.
pub fn remove_leftovers(netlink: &mut Netlink) -> io::Result<()> {
    let mark = RouteProtocol::Other(TAG);
    let is_ours = |route: &RouteMessage| {
        route.header.protocol == mark
            && route.attributes.contains(&RouteAttribute::Priority(METRIC))
    };
    let all = netlink.routes(AddressFamily::Inet6, mark)?;
    let ours = all.into_iter().filter_map(|answer| {
        let RouteNetlinkMessage::NewRoute(route) = answer else {
            return None;
        };
        is_ours(&route).then(|| named(route))
    });
    let requests = ours.map(|route| (RouteNetlinkMessage::DelRoute(route), 0));
    run(netlink, requests.collect(), libc::ESRCH)
}

/// Leaves of a route what names it.
fn named(mut route: RouteMessage) -> RouteMessage {
    route.attributes.retain(|attribute| {
        matches!(
            attribute,
            RouteAttribute::Destination(_)
                | RouteAttribute::Oif(_)
                | RouteAttribute::Priority(_)
                | RouteAttribute::Table(_)
        )
    });
    route
}

fn run(netlink: &mut Netlink, requests: Vec<Request>, no_error: i32) -> io::Result<()> {
    if requests.is_empty() {
        return Ok(());
    }
    for outcome in netlink.execute(requests)? {
        match outcome {
            Err(error) if error.raw_os_error() != Some(no_error) => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn message(ifindex: u32, route: &Connected) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.destination_prefix_length = route.prefix_len;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Other(TAG);
    message.header.kind = RouteType::Unicast;
    (message.header.address_family, message.header.scope) = match route.network {
        IpAddr::V4(_) => (AddressFamily::Inet, RouteScope::Link),
        IpAddr::V6(_) => (AddressFamily::Inet6, RouteScope::Universe),
    };
    message.attributes = vec![
        RouteAttribute::Destination(RouteAddress::from(route.network)),
        RouteAttribute::Oif(ifindex),
        RouteAttribute::Priority(METRIC),
    ];
    message
}

fn masked(address: IpAddr, prefix_len: u8) -> IpAddr {
    let len = u32::from(prefix_len);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - len.min(32)).unwrap_or(0);
            IpAddr::from((address.to_bits() & mask).to_be_bytes())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - len.min(128)).unwrap_or(0);
            IpAddr::from((address.to_bits() & mask).to_be_bytes())
        }
    }
}

/// Behind every metric that the kernel and DHCP clients choose.
const METRIC: u32 = 4_165;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;
    use crate::process::vrrp::host::monitor::Address;
    use netlink_packet_route::address::AddressFlags;

    fn address(text: &str, protocol: u8) -> Address {
        let (address, prefix_len) = text.split_once('/').unwrap();
        Address {
            address: address.parse().unwrap(),
            prefix_len: prefix_len.parse().unwrap(),
            flags: AddressFlags::empty(),
            protocol,
        }
    }

    /// Returns the networks that lack a route, as text.
    fn lacking(own: &[&str], virtual_addresses: &[&str]) -> Vec<String> {
        let interface = Link {
            addresses: own.iter().map(|text| address(text, 0)).collect(),
            ..Link::default()
        };
        let virtual_addresses: Vec<VirtualAddress> = virtual_addresses
            .iter()
            .map(|text| {
                let Address {
                    address,
                    prefix_len,
                    ..
                } = address(text, 0);
                VirtualAddress {
                    address,
                    prefix_len,
                }
            })
            .collect();
        let routes = missing(&interface, &virtual_addresses);
        let shown = routes.iter().map(|route| {
            format!(
                "{}/{} src {}",
                route.network, route.prefix_len, route.source
            )
        });
        shown.collect()
    }

    #[test]
    fn route_is_missing_where_no_network_of_the_interface_covers_the_address() {
        let none: [&str; 0] = [];
        assert_eq!(lacking(&["192.0.2.1/24"], &["192.0.2.100/24"]), none);
        assert_eq!(
            lacking(&["192.0.2.1/16"], &["192.0.2.100/24"]),
            none,
            "a larger one"
        );
        assert_eq!(
            lacking(&[], &["192.0.2.100/32", "2001:db8::1/128"]),
            none,
            "none is asked for"
        );
        assert_eq!(
            lacking(&[], &["fe80::112:33/64"]),
            none,
            "every link has it"
        );
        assert_eq!(
            lacking(
                &["10.0.0.1/24"],
                &["192.0.2.100/24", "192.0.2.101/24", "198.51.100.9/28"]
            ),
            [
                "192.0.2.0/24 src 192.0.2.100",
                "198.51.100.0/28 src 198.51.100.9"
            ],
            "one for each network"
        );
        assert_eq!(
            lacking(&["192.0.2.1/28"], &["192.0.2.100/24"]),
            ["192.0.2.0/24 src 192.0.2.100"],
            "a smaller one does not cover"
        );
        assert_eq!(
            lacking(&["fe80::1/64"], &["fe80::112:33/64", "2001:db8::100/64"]),
            ["2001:db8::/64 src 2001:db8::100"]
        );
    }
}
