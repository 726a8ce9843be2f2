//! Which addresses count as one client, where clients are limited.

use std::net::{IpAddr, Ipv6Addr};

/// Returns the address that stands for all addresses of a client: of IPv6 its /64, because a host
/// picks any address of its network (RFC 4291 §2.5.4) and would otherwise be 2^64 clients; an IPv4
/// address mapped into IPv6 is itself.
pub fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_follow_the_table() {
        for (address, client) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.2", "192.0.2.2"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2::1", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
            ("::1", "::"),
            ("::192.0.2.1", "::"),
            ("fe80::1", "fe80::"),
        ] {
            let parse = |text: &str| text.parse::<IpAddr>().expect("it is an address");
            assert_eq!(client_of(parse(address)), parse(client), "{address}");
        }
    }
}
