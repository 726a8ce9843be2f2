//! heartbeat: `ha.cf` says who hears whom, `haresources` which addresses move.
//!
//! heartbeat has no VRID: each line of `haresources` with addresses gets one, which is said. Lines
//! here have words and nothing more; a backslash joins two.

use std::net::IpAddr;

use super::draft::{Draft, name_of};
use super::keepalived::Given;
use super::remarks::{Line, Place, Remarks};
use super::units::{duration, prefix_len, time};
use super::yaml::{Map, Yaml};

/// Puts both files into the draft; either may be missing.
pub fn import(
    cf: &[Given],
    resources: &[Given],
    replaced: &[&str],
    draft: &mut Draft,
    remarks: &mut Remarks,
) {
    let mut cluster = Cluster::default();
    for file in cf {
        let lines = lines(file);
        cluster.ipfail = lines.iter().any(|line| {
            line.word(0) == "respawn" && line.words.iter().any(|w| w.contains("ipfail"))
        });
        for line in &lines {
            cluster.take(line, remarks);
        }
    }
    for file in resources {
        for line in lines(file) {
            resource_line(&line, &mut cluster, replaced, draft, remarks);
        }
    }
    draft.nodes.extend(cluster.nodes);
}

/// Says what becomes of `authkeys`.
pub fn import_keys(file: &Given, remarks: &mut Remarks) {
    if let Some(mut line) = lines(file).into_iter().next() {
        "auth ...".clone_into(&mut line.text);
        let why = "advertisements are not signed: those of the own link are believed, or those of \
                   `peers`";
        remarks.otherwise(&line, why);
    }
}

/// What `ha.cf` says.
#[derive(Default)]
struct Cluster {
    nodes: Vec<String>,
    keepalive_ms: Option<u64>,
    deadtime_ms: Option<u64>,
    device: Option<String>,
    failback: Option<bool>,
    ipfail: bool,
    gateways: Vec<Yaml>,
}

impl Cluster {
    fn take(&mut self, line: &Line, remarks: &mut Remarks) {
        let value = line.word(1);
        match line.word(0) {
            "node" => self
                .nodes
                .extend(line.from(1).iter().map(|name| name_of(name))),
            "keepalive" => self.keepalive_ms = time(value, 1000),
            "deadtime" => self.deadtime_ms = time(value, 1000),
            "auto_failback" => match value {
                "on" => self.failback = Some(true),
                "off" => self.failback = Some(false),
                _ => remarks.otherwise(line, "a better node takes its addresses back, as with on"),
            },
            "bcast" | "ucast" | "mcast" | "ucast6" | "mcast6" => {
                let first = self.device.is_none();
                self.device.get_or_insert_with(|| value.to_owned());
                let why = if first {
                    "advertisements go by multicast, on the interface of the addresses"
                } else {
                    "nodes hear each other on the interface of the addresses; a second link is a \
                     virtual router more, with `synchronize_with` and `link: {required: false}`"
                };
                remarks.otherwise(line, why);
            }
            "ping" | "ping_group" => self.ping(line, remarks),
            "respawn" if self.ipfail && line.words.iter().any(|w| w.contains("ipfail")) => {}
            "crm" | "pacemaker" if !["off", "no", "false"].contains(&value) => {
                remarks.lost(line, "what Pacemaker does is not read here");
            }
            "stonith" | "stonith_host" => {
                let why = "no node is reset here: whoever loses an election lets go, and a node \
                           that hangs loses its addresses by their lease";
                remarks.lost(line, why);
            }
            "serial" | "baud" | "hopfudge" => remarks.lost(line, "there are no serial lines here"),
            "respawn" => remarks.lost(line, "programs are kept running by systemd"),
            word if OTHERWISE.contains(&word) => {
                remarks.otherwise(
                    line,
                    "it is done in our own way, or is about heartbeat itself",
                );
            }
            _ => remarks.no_effect(line, "heartbeat knows no such word"),
        }
    }

    fn ping(&mut self, line: &Line, remarks: &mut Remarks) {
        if !self.ipfail {
            remarks.no_effect(line, "without ipfail nothing follows from it");
            return;
        }
        let skipped = if line.word(0) == "ping_group" { 2 } else { 1 };
        let addresses = line.from(skipped).iter();
        let addresses: Vec<&String> = addresses.filter(|a| a.parse::<IpAddr>().is_ok()).collect();
        if addresses.is_empty() {
            remarks.lost(line, "a gateway has an address here, no name");
            return;
        }
        let groups: Vec<Vec<&String>> = if skipped == 2 {
            vec![addresses]
        } else {
            addresses.into_iter().map(|address| vec![address]).collect()
        };
        for group in groups {
            self.gateways.push(Yaml::one("gateway", Yaml::texts(group)));
        }
    }
}

/// An address of a resource.
struct Address {
    ip: IpAddr,
    prefix_len: u8,
    device: Option<String>,
}

fn resource_line(
    line: &Line,
    cluster: &mut Cluster,
    replaced: &[&str],
    draft: &mut Draft,
    remarks: &mut Remarks,
) {
    let preferred = name_of(line.word(0));
    let mut addresses: Vec<Address> = Vec::new();
    for resource in line.from(1) {
        let one = Line {
            place: line.place.clone(),
            words: Vec::new(),
            text: format!("{} ... {resource}", line.word(0)),
        };
        let (kind, arguments) = resource.split_once("::").unwrap_or((resource, ""));
        let is_address = ["IPaddr", "IPaddr2", "IPv6addr"].contains(&kind);
        let text = if is_address {
            arguments
        } else {
            resource.as_str()
        };
        match address(text) {
            Some(address) => addresses.push(address),
            None if is_address => remarks.lost(&one, "this is no address"),
            None if replaced.iter().any(|proxy| kind.contains(proxy)) => {
                let why = "not needed: the proxy is ours, and runs on all nodes";
                remarks.otherwise(&one, why);
            }
            None if ["MailTo", "AudibleAlarm", "WinPopup"].contains(&kind) => {
                remarks.otherwise(&one, "see `notify`, or `evenkeel events --follow`");
            }
            None if ["SendArp", "IPsrcaddr", "portblock", "tickle"].contains(&kind) => {
                remarks.otherwise(&one, "addresses are announced by themselves here");
            }
            None => {
                let why = format!(
                    "{kind} is not started and stopped with the addresses here: have systemd run \
                     it on all nodes, or a `notify` program"
                );
                remarks.lost(&one, why);
            }
        }
    }
    if !cluster.nodes.contains(&preferred) {
        cluster.nodes.push(preferred.clone());
    }
    // Those of one interface are one entry.
    while let Some(first) = addresses.first() {
        let device = first.device.clone();
        let (here, rest): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .partition(|address| address.device == device);
        addresses = rest;
        router(line, &preferred, device, &here, cluster, draft, remarks);
    }
}

fn router(
    line: &Line,
    preferred: &str,
    device: Option<String>,
    addresses: &[Address],
    cluster: &Cluster,
    draft: &mut Draft,
    remarks: &mut Remarks,
) {
    let mut entry = Map::default();
    let interface = device.or_else(|| cluster.device.clone());
    if interface.is_none() {
        let why = "nothing says on which interface this is: eth0 was taken, look at it";
        remarks.lost(line, why);
    }
    entry.set(
        "interface",
        Yaml::text(interface.as_deref().unwrap_or("eth0")),
    );
    let vrid = FIRST_VRID.saturating_add(draft.routers.count().min(200));
    entry.set("vrid", Yaml::word(vrid));
    let why = "heartbeat has no VRIDs: they were chosen from 51 on, and must be used by no other \
               router of the link";
    remarks.otherwise(line, why);
    for node in &cluster.nodes {
        let priority = if node == preferred { 150 } else { 100 };
        entry.map("priority").set(node, Yaml::word(priority));
    }
    for address in addresses {
        let text = format!("{}/{}", address.ip, address.prefix_len);
        entry.push("addresses", Yaml::text(text));
    }
    if let Some(ms) = cluster.keepalive_ms {
        let ms = (ms.saturating_add(5) / 10).clamp(1, 4095) * 10;
        entry.set("advertisement_interval", Yaml::text(duration(ms)));
        if let Some(dead) = cluster.deadtime_ms {
            let multiplier = (dead.saturating_add(ms / 2) / ms).clamp(1, 100);
            entry.set("down_multiplier", Yaml::word(multiplier));
        }
    }
    if cluster.failback == Some(false) {
        entry.set("preempt", Yaml::word(false));
    }
    for gateway in &cluster.gateways {
        entry.push("track", gateway.clone());
    }
    draft.routers.add(&format!("{preferred}-addresses"), entry);
}

/// Reads `ADDRESS[/PREFIX][/DEVICE[:LABEL]][/BROADCAST]`, in which parts may be missing.
fn address(text: &str) -> Option<Address> {
    // Behind `::` there may be more arguments; an IPv6 address has it inside.
    let is_whole = text.split('/').next()?.parse::<IpAddr>().is_ok();
    let text = if is_whole {
        text
    } else {
        text.split("::").next()?
    };
    let mut parts = text.split('/');
    let ip: IpAddr = parts.next()?.parse().ok()?;
    let mut address = Address {
        ip,
        prefix_len: if ip.is_ipv4() { 32 } else { 128 },
        device: None,
    };
    for part in parts {
        if let Some(len) = prefix_len(part).filter(|len| (1..=address.bits()).contains(len)) {
            address.prefix_len = len;
        } else if !part.is_empty() && part.parse::<IpAddr>().is_err() {
            let device = part.split(':').next().unwrap_or(part);
            address.device = Some(device.to_owned());
        }
    }
    Some(address)
}

impl Address {
    fn bits(&self) -> u8 {
        if self.ip.is_ipv4() { 32 } else { 128 }
    }
}

/// Returns the lines of a file that have words.
fn lines(file: &Given) -> Vec<Line> {
    let mut found = Vec::new();
    let name: std::rc::Rc<str> = file.path.to_string_lossy().into();
    let mut lines = file.text.lines().enumerate();
    while let Some((index, text)) = lines.next() {
        let mut text = text.split('#').next().unwrap_or("").trim().to_owned();
        while let Some(begun) = text.strip_suffix('\\') {
            let next = lines.next().map_or("", |(_, next)| next);
            let next = next.split('#').next().unwrap_or("").trim();
            text = format!("{} {next}", begun.trim_end());
        }
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if !words.is_empty() {
            let place = Place {
                file: std::rc::Rc::clone(&name),
                line: index + 1,
            };
            found.push(Line { place, words, text });
        }
    }
    found
}

const FIRST_VRID: usize = 51;

const OTHERWISE: [&str; 40] = [
    "apiauth",
    "auto_failback",
    "autojoin",
    "cluster",
    "compression",
    "compression_threshold",
    "conn_logd_time",
    "coredumps",
    "crm",
    "deadping",
    "debug",
    "debugfile",
    "failfast",
    "generation_method",
    "hbgenmethod",
    "hbaping",
    "hbversion",
    "initdead",
    "logfacility",
    "logfile",
    "max_rexmit_delay",
    "memreserve",
    "msgfmt",
    "nice_failback",
    "normalpoll",
    "pacemaker",
    "quorum_server",
    "realtime",
    "release2mode",
    "rtprio",
    "site",
    "syslogmsgfmt",
    "traditional_compression",
    "udpport",
    "use_apphbd",
    "use_logd",
    "uuidfrom",
    "warntime",
    "watchdog",
    "deadline",
];
