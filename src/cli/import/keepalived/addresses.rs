//! The addresses of a vrrp_instance: which of them one entry of ours can have.
//!
//! An entry of ours has its addresses on one interface, and speaks one version; addresses on
//! another interface, and IPv6 beside version 2, become entries of their own that move with it.

use std::net::IpAddr;

use super::statements::Statement;
use crate::cli::import::remarks::{Line, Remarks};
use crate::cli::import::yaml::Yaml;

/// A virtual address as keepalived has it.
#[derive(Clone, Debug)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Its prefix; of all bits where keepalived is told none.
    pub prefix_len: u8,
    /// The interface that has it, if not that of the instance.
    pub device: Option<String>,
    /// Where it stands.
    pub line: Line,
}

impl Address {
    /// Returns it as we write it.
    pub fn yaml(&self) -> Yaml {
        Yaml::text(format!("{}/{}", self.ip, self.prefix_len))
    }
}

/// Reads a block of addresses; in one line there may be several.
pub fn read(block: &Statement, remarks: &mut Remarks) -> Vec<Address> {
    let mut addresses: Vec<Address> = Vec::new();
    for statement in block.inside() {
        let line = &statement.line;
        let mut words = line.words.iter();
        let mut has_one = false;
        while let Some(word) = words.next() {
            if let Some((ip, prefix_len)) = network(word) {
                has_one = true;
                if addresses.iter().any(|known| known.ip == ip) {
                    remarks.no_effect(line, "the address is there already");
                    continue;
                }
                addresses.push(Address {
                    ip,
                    prefix_len,
                    device: None,
                    line: line.clone(),
                });
                continue;
            }
            match word.as_str() {
                "dev" => {
                    let device = words.next().cloned();
                    if let Some(last) = addresses.last_mut() {
                        last.device = device;
                    }
                }
                "brd" | "broadcast" | "scope" | "label" | "home" | "peer" | "preferred_lft" => {
                    words.next();
                    if word == "label" {
                        remarks.otherwise(line, "addresses get no label here");
                    } else if word == "peer" {
                        remarks.lost(line, "addresses have no peer here");
                    } else if word != "brd" && word != "broadcast" && word != "scope" {
                        remarks.otherwise(line, format!("addresses have no {word} here"));
                    }
                }
                "-nodad" | "nodad" | "noprefixroute" | "mngtmpaddr" | "autojoin" | "no_track"
                | "home_address" | "track_group" | "use_vmac" => {
                    remarks.otherwise(line, format!("addresses have no {word} here"));
                }
                other => {
                    let why = format!("{other} is not known to this import");
                    remarks.lost(line, why);
                }
            }
        }
        if !has_one {
            remarks.lost(line, "this is no address");
        }
    }
    addresses
}

/// Reads an address with or without its prefix.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, len) = text.split_once('/').unwrap_or((text, ""));
    let ip: IpAddr = ip.parse().ok()?;
    let bits = if ip.is_ipv4() { 32 } else { 128 };
    let len: u8 = if len.is_empty() {
        bits
    } else {
        len.parse().ok()?
    };
    (1..=bits).contains(&len).then_some((ip, len))
}

/// The addresses that become one entry.
#[derive(Clone, Debug)]
pub struct Group {
    /// What is put behind the name of the instance.
    pub suffix: String,
    /// The interface that has them.
    pub device: String,
    /// In their order.
    pub addresses: Vec<Address>,
}

/// Divides addresses into those of the entry itself, which come first, and others; `apart`: IPv6
/// stands apart.
pub fn groups(interface: &str, addresses: Vec<Address>, apart: bool) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for address in addresses {
        let device = address.device.clone().unwrap_or_else(|| interface.into());
        let is_ipv6 = apart && address.ip.is_ipv6();
        let here = |group: &&mut Group| {
            let first_is_ipv6 = group.addresses.first().is_some_and(|a| a.ip.is_ipv6());
            group.device == device && (!apart || first_is_ipv6 == is_ipv6)
        };
        match groups.iter_mut().find(here) {
            Some(group) => group.addresses.push(address),
            None => groups.push(Group {
                suffix: String::new(),
                device,
                addresses: vec![address],
            }),
        }
    }
    // That of the interface itself goes first, IPv4 before IPv6.
    groups.sort_by_key(|group| {
        let is_ipv6 = group.addresses.first().is_some_and(|a| a.ip.is_ipv6());
        (group.device != interface, is_ipv6)
    });
    let base = groups.first().map(|group| group.device.clone());
    for group in groups.iter_mut().skip(1) {
        if Some(&group.device) != base.as_ref() {
            group.suffix.push('-');
            group.suffix.push_str(&group.device);
        }
        if apart && group.addresses.first().is_some_and(|a| a.ip.is_ipv6()) {
            group.suffix.push_str("-ipv6");
        }
    }
    groups
}
