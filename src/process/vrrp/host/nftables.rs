//! Silence: an address that stays on the host, for requests in flight, while ARP and neighbor discovery for it end.
//!
//! Two nftables tables named `evenkeel`, one for ARP and one for IPv6, each a set of addresses and a chain on output
//! that drops what would claim one of them. The tables are owned by our netlink socket: the kernel deletes them when
//! the process ends, however it ends. Announcements leave through a packet socket and do not pass here.
//!
//! ```text
//! table arp evenkeel { set silent { type ipv4_addr }      chain output { arp saddr ip @silent drop } }
//! table ip6 evenkeel { set silent { type ipv6_addr }      chain output { neighbor advert, target @silent: drop
//!                                                                        neighbor solicit, saddr @silent: drop } }
//! ```

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::netlink::open_socket;
use crate::model::Family;

/// The tables of both families.
#[derive(Debug)]
pub struct Silence {
    socket: Socket,
    sequence: u32,
    silent: BTreeSet<IpAddr>,
}

impl Silence {
    /// Makes the tables. Errs when the kernel does not let us, or does not know nftables.
    pub fn open() -> io::Result<Self> {
        let socket = open_socket(NETLINK_NETFILTER)?;
        let mut silence = Self {
            socket,
            sequence: 0,
            silent: BTreeSet::new(),
        };
        for family in [Family::Ipv4, Family::Ipv6] {
            silence.commit(&table_messages(family))?;
        }
        Ok(silence)
    }

    /// Ends the answers for these addresses, all of one family.
    pub fn begin(&mut self, addresses: &[IpAddr]) -> io::Result<()> {
        let new: Vec<IpAddr> = addresses
            .iter()
            .copied()
            .filter(|address| !self.silent.contains(address))
            .collect();
        self.change(MSG_NEWSETELEM, NLM_F_CREATE, &new)?;
        self.silent.extend(new);
        Ok(())
    }

    /// Lets the host answer for these addresses, all of one family, again.
    pub fn end(&mut self, addresses: &[IpAddr]) -> io::Result<()> {
        let known: Vec<IpAddr> = addresses
            .iter()
            .copied()
            .filter(|address| self.silent.contains(address))
            .collect();
        self.change(MSG_DELSETELEM, 0, &known)?;
        self.silent.retain(|address| !known.contains(address));
        Ok(())
    }

    fn change(&mut self, kind: u16, flags: u16, addresses: &[IpAddr]) -> io::Result<()> {
        let Some(family) = addresses.first().map(|address| Family::of(*address)) else {
            return Ok(());
        };
        let mut body = Attributes::default();
        body.text(1, TABLE);
        body.text(2, SET);
        body.nest(3, |elements| {
            for address in addresses {
                elements.nest(LIST_ELEM, |element| {
                    element.nest(1, |key| key.bytes(1, &octets(*address)))
                });
            }
        });
        self.commit(&[Message {
            kind,
            flags,
            family,
            body: body.0,
        }])
    }

    /// Sends messages as one transaction and waits until each is acknowledged.
    fn commit(&mut self, messages: &[Message]) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.append(&mut bytes, BATCH_BEGIN, 0, [0, 0, 0, SUBSYSTEM as u8], &[]);
        let first = self.sequence.wrapping_add(1);
        for message in messages {
            let kind = SUBSYSTEM << 8 | message.kind;
            let head = [protocol_family(message.family), 0, 0, 0];
            self.append(
                &mut bytes,
                kind,
                NLM_F_ACK | message.flags,
                head,
                &message.body,
            );
        }
        self.append(&mut bytes, BATCH_END, 0, [0, 0, 0, SUBSYSTEM as u8], &[]);
        self.socket.send(&bytes, 0)?;
        let mut missing = messages.len();
        while missing > 0 {
            let (datagram, _) = self.socket.recv_from_full()?;
            for (sequence, errno) in acknowledgements(&datagram) {
                if sequence.wrapping_sub(first) as usize > messages.len() {
                    continue;
                }
                if errno != 0 {
                    return Err(io::Error::from_raw_os_error(errno));
                }
                missing = missing.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// Appends one netlink message: header, nfgenmsg, attributes.
    fn append(&mut self, bytes: &mut Vec<u8>, kind: u16, flags: u16, head: [u8; 4], body: &[u8]) {
        self.sequence = self.sequence.wrapping_add(1);
        let len = (20 + body.len()) as u32;
        bytes.extend_from_slice(&len.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        bytes.extend_from_slice(&0_u32.to_ne_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
}

/// One message of a transaction.
struct Message {
    kind: u16,
    flags: u16,
    family: Family,
    body: Vec<u8>,
}

/// Netlink attributes: length, type, value, padding to four bytes. Numbers are big-endian in nftables.
#[derive(Default)]
struct Attributes(Vec<u8>);

impl Attributes {
    fn bytes(&mut self, kind: u16, value: &[u8]) {
        let len = (4 + value.len()) as u16;
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    fn text(&mut self, kind: u16, value: &str) {
        let mut value = value.as_bytes().to_vec();
        value.push(0);
        self.bytes(kind, &value);
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(kind | NLA_F_NESTED, &inner.0);
    }

    /// One expression of a rule.
    fn expression(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.nest(LIST_ELEM, |element| {
            element.text(1, name);
            element.nest(2, fill);
        });
    }

    /// Loads a part of the packet into register 1.
    fn load(&mut self, base: u32, offset: u32, len: u32) {
        self.expression("payload", |payload| {
            payload.number(1, REGISTER_1);
            payload.number(2, base);
            payload.number(3, offset);
            payload.number(4, len);
        });
    }

    /// Ends the rule unless register 1 begins with this byte.
    fn expect(&mut self, byte: u8) {
        self.expression("cmp", |cmp| {
            cmp.number(1, REGISTER_1);
            cmp.number(2, 0);
            cmp.nest(3, |value| value.bytes(1, &[byte]));
        });
    }

    /// Ends the rule unless register 1 is in the set; drops the packet otherwise.
    fn drop_if_silent(&mut self) {
        self.expression("lookup", |lookup| {
            lookup.text(1, SET);
            lookup.number(2, REGISTER_1);
            lookup.number(4, SET_ID);
        });
        self.expression("immediate", |immediate| {
            immediate.number(1, REGISTER_VERDICT);
            immediate.nest(2, |data| {
                data.nest(2, |verdict| verdict.number(1, VERDICT_DROP))
            });
        });
    }
}

/// The transaction that makes the table of a family.
fn table_messages(family: Family) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut push = |kind, flags, fill: &dyn Fn(&mut Attributes)| {
        let mut body = Attributes::default();
        fill(&mut body);
        messages.push(Message {
            kind,
            flags: NLM_F_CREATE | flags,
            family,
            body: body.0,
        });
    };
    push(MSG_NEWTABLE, NLM_F_EXCL, &|table| {
        table.text(1, TABLE);
        table.number(2, TABLE_OWNED);
    });
    push(MSG_NEWSET, 0, &|set| {
        let (kind, len) = key(family);
        set.text(1, TABLE);
        set.text(2, SET);
        set.number(3, 0);
        set.number(4, kind);
        set.number(5, len);
        set.number(10, SET_ID);
    });
    push(MSG_NEWCHAIN, 0, &|chain| {
        chain.text(1, TABLE);
        chain.text(3, CHAIN);
        chain.nest(4, |hook| {
            hook.number(1, hook_number(family));
            hook.number(2, 0);
        });
        chain.text(7, "filter");
    });
    for rule in rules(family) {
        push(MSG_NEWRULE, NLM_F_APPEND, &|message| {
            message.text(1, TABLE);
            message.text(2, CHAIN);
            message.nest(4, rule);
        });
    }
    messages
}

/// The rules of a family, each a list of expressions.
fn rules(family: Family) -> &'static [fn(&mut Attributes)] {
    match family {
        Family::Ipv4 => &[|rule| {
            // The sender's protocol address.
            rule.load(BASE_NETWORK, 14, 4);
            rule.drop_if_silent();
        }],
        Family::Ipv6 => &[
            |rule| {
                icmpv6_of_type(rule, 136);
                // The target of a neighbor advertisement.
                rule.load(BASE_TRANSPORT, 8, 16);
                rule.drop_if_silent();
            },
            |rule| {
                icmpv6_of_type(rule, 135);
                // The IPv6 source of a neighbor solicitation, beside which stands our link-layer address.
                rule.load(BASE_NETWORK, 8, 16);
                rule.drop_if_silent();
            },
        ],
    }
}

fn icmpv6_of_type(rule: &mut Attributes, kind: u8) {
    rule.expression("meta", |meta| {
        meta.number(1, REGISTER_1);
        meta.number(2, META_L4PROTO);
    });
    rule.expect(58);
    rule.load(BASE_TRANSPORT, 0, 1);
    rule.expect(kind);
}

/// The errno of every acknowledgement in a datagram, by sequence number.
fn acknowledgements(datagram: &[u8]) -> Vec<(u32, i32)> {
    let word = |at: usize| {
        datagram
            .get(at..at + 4)
            .and_then(|word| <[u8; 4]>::try_from(word).ok())
    };
    let mut found = Vec::new();
    let mut at = 0;
    while let (Some(len), Some(kind), Some(sequence)) = (word(at), word(at + 4), word(at + 8)) {
        let len = u32::from_ne_bytes(len) as usize;
        if u16::from_ne_bytes([kind[0], kind[1]]) == NLMSG_ERROR {
            let errno = word(at + 16).map_or(0, i32::from_ne_bytes);
            found.push((u32::from_ne_bytes(sequence), errno.wrapping_neg()));
        }
        at += len.max(16).next_multiple_of(4);
    }
    found
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// NFPROTO_ARP and NFPROTO_IPV6.
const fn protocol_family(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 3,
        Family::Ipv6 => 10,
    }
}

/// NF_ARP_OUT and NF_INET_LOCAL_OUT.
const fn hook_number(family: Family) -> u32 {
    match family {
        Family::Ipv4 => 1,
        Family::Ipv6 => 3,
    }
}

/// The type that nft(8) shows for the keys of the set, and their length.
const fn key(family: Family) -> (u32, u32) {
    match family {
        Family::Ipv4 => (7, 4),
        Family::Ipv6 => (8, 16),
    }
}

const TABLE: &str = "evenkeel";
const SET: &str = "silent";
const CHAIN: &str = "output";
const SET_ID: u32 = 1;
/// NFT_TABLE_F_OWNER: the table lives as long as our socket.
const TABLE_OWNED: u32 = 2;

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const MSG_NEWTABLE: u16 = 0;
const MSG_NEWCHAIN: u16 = 3;
const MSG_NEWRULE: u16 = 6;
const MSG_NEWSET: u16 = 9;
const MSG_NEWSETELEM: u16 = 12;
const MSG_DELSETELEM: u16 = 14;

const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NLA_F_NESTED: u16 = 0x8000;
const LIST_ELEM: u16 = 1;

const REGISTER_VERDICT: u32 = 0;
const REGISTER_1: u32 = 1;
const VERDICT_DROP: u32 = 0;
const BASE_NETWORK: u32 = 1;
const BASE_TRANSPORT: u32 = 2;
const META_L4PROTO: u32 = 16;
