//! `evenkeel check`: says whether a configuration is right, and what this node would do with it.
//!
//! Nothing is opened but the file, and the kernel is asked for the addresses of this machine.
//! Where the file is wrong, all that is wrong goes to standard error.

mod affinity;
mod routes;
mod tls;
mod track;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;

use nix::ifaddrs::InterfaceAddress;
use nix::sys::socket::SockaddrStorage;

use super::outcome::{EXIT_DONE, EXIT_FAILED, refuse};
use super::status::section;
use crate::config::{
    BackendConfig, CertificateChain, Config, Format, HealthCheckConfig, ListenerConfig,
    NamedBackend, PoolConfig, Preempt, ProbeKind, Tier, VirtualRouterConfig,
};
use crate::model::{Priority, Rank};
use crate::process::keys::pair_of;
use crate::process::supervisor::{Pairs, read_config};

/// Checks the file at `path` and prints what `node` (default: the file's, then the host's name)
/// would run; returns the exit code: 0, 1 if the file cannot be read, or 78 if it is wrong.
pub fn run(path: &Path, node: Option<&str>) -> i32 {
    match read_config(path, node, &InThisProcess) {
        // Whoever reads may have gone away.
        Ok((_, config)) => {
            let text = describe(&config) + &conflicts(&config, &own_addresses());
            match std::io::stdout().write_all(text.as_bytes()) {
                Ok(()) => EXIT_DONE,
                Err(_) => EXIT_FAILED,
            }
        }
        Err(error) => refuse(&error),
    }
}

/// Reads pairs of certificates and keys here: no key is kept.
#[derive(Debug)]
struct InThisProcess;

impl Pairs for InThisProcess {
    fn read(
        &self,
        path: &Path,
        certificate: &File,
        key: Option<&File>,
    ) -> Result<CertificateChain, String> {
        let pair = pair_of(path, certificate, key)?;
        Ok(pair.chain)
    }
}

/// An address of this machine: its interface, itself, and the length of its prefix.
pub type OwnAddress = (String, IpAddr, u8);

/// Returns a line for each virtual address that the interface has itself, after an empty one. A
/// bare address, a prefix of all bits, may be there because it is Active.
pub fn conflicts(config: &Config, own: &[OwnAddress]) -> String {
    let mut text = String::new();
    for router in &config.virtual_routers {
        let addresses = router.addresses.iter().map(|virtual_| virtual_.address);
        let wanted: Vec<IpAddr> = addresses.collect();
        let leases = router.priority != Priority::OWNER || router.virtual_mac;
        let on_link = own.iter().filter(|(interface, address, prefix_len)| {
            let all_bits = if address.is_ipv4() { 32 } else { 128 };
            *interface == router.address_interface
                && wanted.contains(address)
                && *prefix_len < all_bits
        });
        for (interface, address, prefix_len) in on_link.filter(|_| leases) {
            let entry = &router.name.entry;
            text.push_str(&format!(
                "\nnote: {entry}: {address}/{prefix_len} is an address of {interface} itself: this \
                 node takes no part as long as it is there\n"
            ));
        }
    }
    text
}

/// Where the kernel does not say it, nothing is in conflict.
fn own_addresses() -> Vec<OwnAddress> {
    let interfaces = nix::ifaddrs::getifaddrs();
    let read = |found: InterfaceAddress| {
        let (address, mask) = (ip(&found.address?)?, ip(&found.netmask?)?);
        let prefix_len = match mask {
            IpAddr::V4(mask) => mask.to_bits().leading_ones(),
            IpAddr::V6(mask) => mask.to_bits().leading_ones(),
        };
        Some((
            found.interface_name,
            address,
            u8::try_from(prefix_len).ok()?,
        ))
    };
    interfaces.into_iter().flatten().filter_map(read).collect()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|found| IpAddr::V4(found.ip()));
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|found| IpAddr::V6(found.ip()))
    })
}

/// Returns what a node would run: a table of virtual routers, one of listeners, one of pools.
pub fn describe(config: &Config) -> String {
    let mut text = format!("node {}\n", config.node);
    if !config.virtual_routers.is_empty() {
        let head = [
            "VIRTUAL ROUTER",
            "INTERFACE",
            "VRID",
            "PRIORITY",
            "WELL",
            "ILL",
            "INTERVAL",
            "PREEMPT",
            "LEASE",
            "ADDRESSES",
        ];
        text.push_str(&section(
            head,
            config.virtual_routers.iter().map(router_row),
        ));
        text.push_str(&notes(config));
        text.push_str(&track::describe(config));
    }
    if !config.listeners.is_empty() {
        let head = ["LISTENER", "TIED TO", "POOL", "ADDRESSES"];
        text.push_str(&section(head, config.listeners.iter().map(listener_row)));
        text.push_str(&routes::describe(&config.listeners));
        text.push_str(&tls::describe(config));
        text.push_str(&affinity::describe(config));
    }
    if !config.pools.is_empty() {
        let head = ["POOL", "BALANCE", "HEALTH CHECK", "BACKENDS"];
        text.push_str(&section(head, config.pools.iter().map(pool_row)));
    }
    if let Some(log) = &config.access_log {
        let format = match log.format {
            Format::Json => "json",
            Format::Text(_) => "text",
        };
        let row = [log.to.to_string(), format.to_owned()];
        let head = ["ACCESS LOG", "FORMAT"];
        text.push_str(&section(head, std::iter::once(row)));
    }
    text
}

fn router_row(router: &VirtualRouterConfig) -> [String; 10] {
    let preempt = match router.preempt {
        Preempt::Always => "yes".to_owned(),
        Preempt::Never => "no".to_owned(),
        Preempt::After(delay) => format!("after {delay:?}"),
    };
    [
        router.name.to_string(),
        router.interface.clone(),
        router.vrid.to_string(),
        router.priority.to_string(),
        router.rank.well().to_string(),
        router
            .rank
            .ill()
            .map_or_else(|| "-".to_owned(), |priority| priority.to_string()),
        router.advertisement_interval.to_string(),
        preempt,
        format!("{:?}", router.lease),
        join(router.addresses.iter()),
    ]
}

/// Returns what is worth knowing of the priorities of all nodes: one line each, after an empty one.
fn notes(config: &Config) -> String {
    let mut seen = BTreeSet::new();
    let routers = config.virtual_routers.iter();
    let entries = routers.filter(|router| seen.insert(&router.name.entry));
    let notes: Vec<String> = entries
        .flat_map(|router| entry_notes(&config.node, router))
        .collect();
    match notes.is_empty() {
        true => String::new(),
        false => format!("\n{}\n", notes.join("\n")),
    }
}

fn entry_notes(node: &str, router: &VirtualRouterConfig) -> Vec<String> {
    let entry = &router.name.entry;
    if router.rank.ill().is_none() {
        let note =
            format!("note: {entry}: {node} owns the addresses: 255, also when it cannot serve");
        return vec![note];
    }
    let mut notes = Vec::new();
    let mut alike: BTreeMap<Priority, Vec<&str>> = BTreeMap::new();
    for (node, base) in &router.priorities {
        let Some(rank) = Rank::among(node, &router.priorities) else {
            continue;
        };
        let (well, ill_max) = (rank.well(), rank.ill_max());
        alike.entry(well).or_default().push(node);
        if well != *base {
            notes.push(format!(
                "note: {entry}: {node} stands with {well} instead of {base} while it can serve: up to \
                 {ill_max} are those that cannot"
            ));
        }
    }
    let ties = alike.iter().filter(|(_, nodes)| nodes.len() > 1);
    notes.extend(ties.map(|(priority, nodes)| {
        let nodes = nodes.join(", ");
        format!("note: {entry}: {nodes} all have {priority}: the highest address of them is Active")
    }));
    notes
}

fn listener_row(listener: &ListenerConfig) -> [String; 4] {
    let tied_to = listener
        .virtual_router
        .clone()
        .unwrap_or_else(|| "-".to_owned());
    let pools = match listener.pools().as_slice() {
        [] => "-".to_owned(),
        pools => pools.join(", "),
    };
    [
        listener.name.clone(),
        tied_to,
        pools,
        join(listener.binds.iter()),
    ]
}

fn pool_row(pool: &PoolConfig) -> [String; 4] {
    let health_check = match &pool.health_check {
        HealthCheckConfig::None => "none".to_owned(),
        HealthCheckConfig::Probe(probe) => {
            let what = match &probe.kind {
                ProbeKind::Tcp(_) => "tcp".to_owned(),
                ProbeKind::Http(http) => format!("http {}", http.path),
                ProbeKind::Grpc(grpc) => format!("grpc {}", grpc.service).trim_end().to_owned(),
            };
            let tls = if probe.tls && pool.tls.is_some() {
                " over tls"
            } else {
                ""
            };
            let port = probe
                .port
                .map_or_else(String::new, |port| format!(" at port {port}"));
            format!(
                "{what}{tls}{port} every {:?}, rise {}, fall {}",
                probe.interval, probe.rise, probe.fall
            )
        }
    };
    let backends = pool.backends.iter().map(|backend| {
        let weight = match backend.weight {
            1 => String::new(),
            weight => format!(" weight {weight}"),
        };
        let requests = backend.requests;
        let requests = requests.map_or_else(String::new, |max| format!(" requests {max}"));
        let backup = match backend.tier {
            Tier::Primary => "",
            Tier::Backup => " backup",
        };
        let BackendConfig { name, address, .. } = backend;
        format!("{name}={address}{weight}{requests}{backup}")
    });
    let names = pool.follow.names.iter();
    let names = names.map(
        |NamedBackend {
             name, host, port, ..
         }| format!("{name}={host}:{port}"),
    );
    let file = pool.follow.file.iter();
    let file = file.map(|path| format!("backends_file {}", path.display()));
    let backends = backends.chain(names).chain(file);
    [
        pool.name.clone(),
        pool.balance.to_string(),
        health_check,
        join(backends),
    ]
}

fn join(items: impl Iterator<Item = impl ToString>) -> String {
    items
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
