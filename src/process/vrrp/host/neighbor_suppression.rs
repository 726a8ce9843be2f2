//! Neighbor suppression: an address that stays on the host, for requests in flight, while ARP and
//! neighbor discovery for it end.
//!
//! Two nftables tables named `evenkeel`, one for ARP and one for IPv6, each a set of addresses and
//! a chain on output that drops what would claim one of them. Announcements leave through a packet
//! socket and do not pass here.
//!
//! ```text
//! table arp evenkeel { set silent { type ipv4_addr }      chain output { arp saddr ip @silent drop } }
//! table ip6 evenkeel { set silent { type ipv6_addr }      chain output { neighbor advert, target @silent: drop
//!                                                                        neighbor solicit, saddr @silent: drop } }
//! ```

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use super::nftables::{BASE_NETWORK, BASE_TRANSPORT, Change, Set, Table, Tables};
use crate::model::Family;

/// The tables of both families.
#[derive(Debug)]
pub struct NeighborSuppression {
    tables: Tables,
    silent: BTreeSet<IpAddr>,
}

impl NeighborSuppression {
    /// Makes the tables.
    ///
    /// # Errors
    /// When the kernel does not let us, or does not know nftables.
    pub fn open() -> io::Result<Self> {
        let mut tables = Tables::open()?;
        for table in [&ARP, &IPV6] {
            tables.make(table)?;
        }
        Ok(Self {
            tables,
            silent: BTreeSet::new(),
        })
    }

    /// Returns whether any of these addresses is silent.
    pub fn has_any(&self, addresses: &[IpAddr]) -> bool {
        addresses.iter().any(|it| self.silent.contains(it))
    }

    /// Ends the answers for these addresses, all of one family.
    ///
    /// # Errors
    /// When the kernel refuses the change.
    pub fn begin(&mut self, addresses: &[IpAddr]) -> io::Result<()> {
        let new = |address: &IpAddr| !self.silent.contains(address);
        let new: Vec<IpAddr> = addresses.iter().copied().filter(new).collect();
        self.change(Change::Add, &new)?;
        self.silent.extend(new);
        Ok(())
    }

    /// Lets the host answer for these addresses, all of one family, again.
    ///
    /// # Errors
    /// When the kernel refuses the change.
    pub fn end(&mut self, addresses: &[IpAddr]) -> io::Result<()> {
        let known = |address: &IpAddr| self.silent.contains(address);
        let known: Vec<IpAddr> = addresses.iter().copied().filter(known).collect();
        self.change(Change::Remove, &known)?;
        self.silent.retain(|address| !known.contains(address));
        Ok(())
    }

    fn change(&mut self, change: Change, addresses: &[IpAddr]) -> io::Result<()> {
        let Some(first) = addresses.first() else {
            return Ok(());
        };
        let table = match Family::of(*first) {
            Family::Ipv4 => &ARP,
            Family::Ipv6 => &IPV6,
        };
        let place = (table.family, table.name, table.sets[0].name);
        self.tables.change(change, place, addresses)
    }
}

static ARP_SET: [Set; 1] = [Set {
    name: "silent",
    id: 1,
    key_type: 7,
    key_len: 4,
}];
static IPV6_SET: [Set; 1] = [Set {
    name: "silent",
    id: 1,
    key_type: 8,
    key_len: 16,
}];
/// NFPROTO_ARP, NF_ARP_OUT.
static ARP: Table = Table {
    family: 3,
    name: "evenkeel",
    sets: &ARP_SET,
    chain: "output",
    hook: 1,
    rules: &[|rule| {
        // The sender's protocol address.
        rule.load(BASE_NETWORK, 14, 4);
        rule.expect_in(&ARP_SET[0]);
        rule.drop_packet();
    }],
};
/// NFPROTO_IPV6, NF_INET_LOCAL_OUT.
static IPV6: Table = Table {
    family: 10,
    name: "evenkeel",
    sets: &IPV6_SET,
    chain: "output",
    hook: 3,
    rules: &[
        |rule| {
            rule.expect_icmpv6(136);
            // The target of a neighbor advertisement.
            rule.load(BASE_TRANSPORT, 8, 16);
            rule.expect_in(&IPV6_SET[0]);
            rule.drop_packet();
        },
        |rule| {
            rule.expect_icmpv6(135);
            // The IPv6 source of a neighbor solicitation, beside which stands our link-layer
            // address.
            rule.load(BASE_NETWORK, 8, 16);
            rule.expect_in(&IPV6_SET[0]);
            rule.drop_packet();
        },
    ],
};
