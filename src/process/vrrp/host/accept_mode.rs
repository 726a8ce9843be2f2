//! `accept: false`: what others send to a virtual address is dropped, as RFC 9568 §6.4.3 asks of a
//! router that is not its owner.
//!
//! ```text
//! table inet evenkeel_accept { set refused4 { type ipv4_addr }   chain input { iifname "lo" accept
//!                              set refused6 { type ipv6_addr }                 neighbor solicit, advert: accept
//!                                                                              ip daddr @refused4 drop
//!                                                                              ip6 daddr @refused6 drop } }
//! ```

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use super::nftables::{BASE_NETWORK, Change, META_IIFNAME, META_NFPROTO, Set, Table, Tables};

/// The table, as long as it lives.
#[derive(Debug)]
pub struct AcceptMode {
    tables: Tables,
    refused: BTreeSet<IpAddr>,
}

impl AcceptMode {
    /// Refuses what is sent to these addresses, from now until this is dropped.
    ///
    /// # Errors
    /// When the kernel does not let us, or does not know nftables.
    pub fn open(addresses: &[IpAddr]) -> io::Result<Self> {
        let mut tables = Tables::open()?;
        tables.make(&TABLE)?;
        let mut mode = Self {
            tables,
            refused: BTreeSet::new(),
        };
        mode.refuse(addresses)?;
        Ok(mode)
    }

    /// Refuses what is sent to these addresses, and to no others any more.
    ///
    /// # Errors
    /// When the kernel refuses the change.
    pub fn refuse(&mut self, addresses: &[IpAddr]) -> io::Result<()> {
        let wanted: BTreeSet<IpAddr> = addresses.iter().copied().collect();
        let new: Vec<IpAddr> = wanted.difference(&self.refused).copied().collect();
        let gone: Vec<IpAddr> = self.refused.difference(&wanted).copied().collect();
        for (change, addresses) in [(Change::Add, new), (Change::Remove, gone)] {
            let (ipv4, ipv6): (Vec<IpAddr>, Vec<IpAddr>) =
                addresses.into_iter().partition(IpAddr::is_ipv4);
            for (set, addresses) in SETS.iter().zip([ipv4, ipv6]) {
                let place = (TABLE.family, TABLE.name, set.name);
                self.tables.change(change, place, &addresses)?;
            }
        }
        self.refused = wanted;
        Ok(())
    }
}

static SETS: [Set; 2] = [
    Set {
        name: "refused4",
        id: 1,
        key_type: 7,
        key_len: 4,
    },
    Set {
        name: "refused6",
        id: 2,
        key_type: 8,
        key_len: 16,
    },
];
/// NFPROTO_INET, NF_INET_LOCAL_IN.
static TABLE: Table = Table {
    family: 1,
    name: "evenkeel_accept",
    sets: &SETS,
    chain: "input",
    hook: 1,
    rules: &[
        |rule| {
            rule.load_meta(META_IIFNAME);
            rule.expect(b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
            rule.accept_packet();
        },
        // An Active must not drop neighbor discovery (RFC 9568 §6.4.3).
        |rule| {
            rule.expect_icmpv6(135);
            rule.accept_packet();
        },
        |rule| {
            rule.expect_icmpv6(136);
            rule.accept_packet();
        },
        |rule| {
            rule.load_meta(META_NFPROTO);
            rule.expect(&[NFPROTO_IPV4]);
            rule.load(BASE_NETWORK, 16, 4);
            rule.expect_in(&SETS[0]);
            rule.drop_packet();
        },
        |rule| {
            rule.load_meta(META_NFPROTO);
            rule.expect(&[NFPROTO_IPV6]);
            rule.load(BASE_NETWORK, 24, 16);
            rule.expect_in(&SETS[1]);
            rule.drop_packet();
        },
    ],
};
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
