//! The language of nftables on netlink: tables that end with their socket, sets of addresses,
//! chains and rules.
//!
//! A [`Tables`] owns its tables: the kernel deletes them when the process ends, however it ends.
//! Every change is one transaction. What the tables are for is the matter of `suppression` and
//! `accept_mode`.

use std::io;
use std::net::IpAddr;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::netlink::open_socket;

/// A socket and the tables that live as long as it does.
#[derive(Debug)]
pub struct Tables {
    socket: Socket,
    sequence: u32,
}

impl Tables {
    /// Opens the socket.
    ///
    /// # Errors
    /// When the kernel refuses the socket, or does not know nftables.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            socket: open_socket(NETLINK_NETFILTER)?,
            sequence: 0,
        })
    }

    /// Makes a table with all that is in it.
    ///
    /// # Errors
    /// When the kernel does not let us, or does not know nftables.
    pub fn make(&mut self, table: &Table) -> io::Result<()> {
        let outcome = self.commit(&table.messages());
        outcome.map_err(|error| match error.raw_os_error() {
            Some(libc::EEXIST) => taken(table),
            Some(_) | None => error,
        })
    }

    /// Adds addresses to a set, or takes them out; none at all is no transaction.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer.
    pub fn change(
        &mut self,
        change: Change,
        (family, table, set): (u8, &str, &str),
        addresses: &[IpAddr],
    ) -> io::Result<()> {
        let keys: Vec<Vec<u8>> = addresses.iter().map(|address| octets(*address)).collect();
        self.change_keys(change, (family, table, set), &keys)
    }

    /// Adds keys of any kind to a set, or takes them out; none at all is no transaction.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer.
    pub fn change_keys(
        &mut self,
        change: Change,
        (family, table, set): (u8, &str, &str),
        keys: &[Vec<u8>],
    ) -> io::Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut body = Attributes::default();
        body.text(1, table);
        body.text(2, set);
        body.nest(3, |elements| {
            for key in keys {
                elements.nest(LIST_ELEM, |element| {
                    element.nest(1, |value| value.bytes(1, key))
                });
            }
        });
        let (kind, flags) = match change {
            Change::Add => (MSG_NEWSETELEM, NLM_F_CREATE),
            Change::Remove => (MSG_DELSETELEM, 0),
        };
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
        // A kernel without nftables answers to the beginning, and to nothing else.
        let first = self.sequence;
        for message in messages {
            let kind = SUBSYSTEM << 8 | message.kind;
            let head = [message.family, 0, 0, 0];
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
                if sequence.wrapping_sub(first) as usize > messages.len() + 1 {
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

/// A table of ours ends with its process, so one that is there is somebody else's.
fn taken(table: &Table) -> io::Error {
    let family = match table.family {
        NFPROTO_INET => "inet",
        NFPROTO_ARP => "arp",
        NFPROTO_IPV6 => "ip6",
        _ => "ip",
    };
    let name = table.name;
    let what = format!(
        "there is an nftables table {family} {name} of somebody else: `nft delete table {family} \
         {name}` where it is left over, and restart"
    );
    io::Error::new(io::ErrorKind::AlreadyExists, what)
}

/// What becomes of elements of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// They are added.
    Add,
    /// They are taken out.
    Remove,
}

/// A table with its sets, one chain, and the rules of that.
pub struct Table {
    /// NFPROTO_*.
    pub family: u8,
    /// Its name.
    pub name: &'static str,
    /// Sets of addresses.
    pub sets: &'static [Set],
    /// The name of the chain.
    pub chain: &'static str,
    /// NF_*: where it is hooked.
    pub hook: u32,
    /// In their order.
    pub rules: &'static [fn(&mut Rule)],
}

/// A set of addresses.
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// Its number within the transaction, from 1.
    pub id: u32,
    /// The type that nft(8) shows for its keys: 7 for IPv4 addresses, 8 for IPv6, 41 for names of
    /// interfaces.
    pub key_type: u32,
    /// The length of a key in bytes.
    pub key_len: u32,
}

impl Table {
    /// The transaction that makes it.
    fn messages(&self) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut push = |kind, flags, fill: &dyn Fn(&mut Attributes)| {
            let mut body = Attributes::default();
            fill(&mut body);
            messages.push(Message {
                kind,
                flags: NLM_F_CREATE | flags,
                family: self.family,
                body: body.0,
            });
        };
        push(MSG_NEWTABLE, NLM_F_EXCL, &|table| {
            table.text(1, self.name);
            table.number(2, TABLE_OWNED);
        });
        for wanted in self.sets {
            push(MSG_NEWSET, 0, &|set| {
                set.text(1, self.name);
                set.text(2, wanted.name);
                set.number(3, 0);
                set.number(4, wanted.key_type);
                set.number(5, wanted.key_len);
                set.number(10, wanted.id);
            });
        }
        push(MSG_NEWCHAIN, 0, &|chain| {
            chain.text(1, self.name);
            chain.text(3, self.chain);
            chain.nest(4, |hook| {
                hook.number(1, self.hook);
                hook.number(2, 0);
            });
            chain.text(7, "filter");
        });
        for write in self.rules {
            push(MSG_NEWRULE, NLM_F_APPEND, &|message| {
                message.text(1, self.name);
                message.text(2, self.chain);
                message.nest(4, |expressions| write(&mut Rule(expressions)));
            });
        }
        messages
    }
}

/// A rule under construction: a list of expressions, of which each may end it.
pub struct Rule<'a>(&'a mut Attributes);

impl Rule<'_> {
    /// Loads a part of the packet into register 1.
    pub fn load(&mut self, base: u32, offset: u32, len: u32) {
        self.expression("payload", |payload| {
            payload.number(1, REGISTER_1);
            payload.number(2, base);
            payload.number(3, offset);
            payload.number(4, len);
        });
    }

    /// Loads what the kernel knows of the packet into register 1.
    pub fn load_meta(&mut self, key: u32) {
        self.expression("meta", |meta| {
            meta.number(1, REGISTER_1);
            meta.number(2, key);
        });
    }

    /// Ends the rule unless register 1 begins with these bytes.
    pub fn expect(&mut self, bytes: &[u8]) {
        self.expression("cmp", |cmp| {
            cmp.number(1, REGISTER_1);
            cmp.number(2, 0);
            cmp.nest(3, |value| value.bytes(1, bytes));
        });
    }

    /// Ends the rule unless register 1 is in the set.
    pub fn expect_in(&mut self, set: &Set) {
        self.expression("lookup", |lookup| {
            lookup.text(1, set.name);
            lookup.number(2, REGISTER_1);
            lookup.number(4, set.id);
        });
    }

    /// Drops the packet.
    pub fn drop_packet(&mut self) {
        self.verdict(VERDICT_DROP);
    }

    /// Lets the packet pass.
    pub fn accept_packet(&mut self) {
        self.verdict(VERDICT_ACCEPT);
    }

    /// Ends the rule unless the packet is ICMPv6 of a type.
    pub fn expect_icmpv6(&mut self, kind: u8) {
        self.load_meta(META_L4PROTO);
        self.expect(&[58]);
        self.load(BASE_TRANSPORT, 0, 1);
        self.expect(&[kind]);
    }

    fn verdict(&mut self, verdict: u32) {
        self.expression("immediate", |immediate| {
            immediate.number(1, REGISTER_VERDICT);
            immediate.nest(2, |data| data.nest(2, |inner| inner.number(1, verdict)));
        });
    }

    fn expression(&mut self, name: &str, fill: impl FnOnce(&mut Attributes)) {
        self.0.nest(LIST_ELEM, |element| {
            element.text(1, name);
            element.nest(2, fill);
        });
    }
}

/// One message of a transaction.
struct Message {
    kind: u16,
    flags: u16,
    family: u8,
    body: Vec<u8>,
}

/// Netlink attributes: length, type, value, padding to four bytes. Numbers are big-endian in
/// nftables.
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

/// The network header.
pub const BASE_NETWORK: u32 = 1;
/// The transport header.
pub const BASE_TRANSPORT: u32 = 2;
/// The protocol of the transport header.
const META_L4PROTO: u32 = 16;
/// The name of the interface on which the packet came.
pub const META_IIFNAME: u32 = 6;
/// The name of the interface by which it leaves.
pub const META_OIFNAME: u32 = 7;
/// NFPROTO_* of the packet, in a table of both families.
pub const META_NFPROTO: u32 = 15;

/// Families of tables.
const NFPROTO_INET: u8 = 1;
const NFPROTO_ARP: u8 = 3;
const NFPROTO_IPV6: u8 = 10;
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
const VERDICT_ACCEPT: u32 = 1;
