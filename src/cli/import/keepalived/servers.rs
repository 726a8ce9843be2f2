//! virtual_server of LVS: what of it can be a listener that carries TCP, with a pool.

use std::net::IpAddr;

use super::probes;
use super::statements::Statement;
use crate::cli::import::draft::Draft;
use crate::cli::import::remarks::{Kind, Remarks};
use crate::cli::import::units::{bounded, seconds, socket};
use crate::cli::import::yaml::{Map, Yaml};

/// Puts the virtual servers of a file into the draft.
pub fn import(tree: &[Statement], draft: &mut Draft, remarks: &mut Remarks) {
    for block in tree {
        match block.keyword() {
            "virtual_server" => server(block, draft, remarks),
            "virtual_server_group" => remarks.lost(&block.line, NO_GROUPS),
            _ => {}
        }
    }
}

/// Says that those of another node are taken to be the first one's.
pub fn compare(tree: &[Statement], draft: &Draft, remarks: &mut Remarks) {
    for block in tree
        .iter()
        .filter(|block| block.keyword() == "virtual_server")
    {
        let known = address(block).is_some_and(|(bind, _)| {
            let binds = Yaml::texts([bind]);
            draft
                .listeners
                .iter()
                .any(|(_, entry)| entry.get("bind") == Some(&binds))
        });
        if !known {
            remarks.lost(
                &block.line,
                "only the first node's virtual servers are taken",
            );
        }
    }
}

/// Returns the socket address of a virtual server, and its port.
fn address(block: &Statement) -> Option<(String, u16)> {
    let ip: IpAddr = block.word(1).parse().ok()?;
    let port: u16 = block.word(2).parse().ok().filter(|port| *port > 0)?;
    Some((socket(ip, port), port))
}

fn server(block: &Statement, draft: &mut Draft, remarks: &mut Remarks) {
    let line = &block.line;
    let Some((bind, port)) = address(block) else {
        let why = match block.word(1) {
            "group" => NO_GROUPS,
            "fwmark" => "there are no firewall marks here",
            _ => "a listener has an address and a port",
        };
        remarks.lost(line, why);
        return;
    };
    let is_udp = |one: &Statement| one.keyword() == "protocol" && one.word(1) != "TCP";
    if block.inside().iter().any(is_udp) {
        remarks.lost(line, "there is only TCP here");
        return;
    }
    let mut server = Server::default();
    for statement in block.inside() {
        server.take(statement, port, remarks);
    }
    if server.backends.is_empty() {
        remarks.lost(line, "there is no real_server that could be a backend");
        return;
    }
    let why = "not LVS any more: the listener carries TCP, so that real servers see the address of \
               this node, answer to it, and need no address on lo; `mode: http` would give them \
               X-Forwarded-For";
    remarks.otherwise(line, why);
    let name = format!("lvs-{}-{port}", block.word(1).replace(':', "."));
    server.put(&name, bind, draft);
}

/// A virtual server while it is read.
#[derive(Default)]
struct Server {
    backends: Map,
    check: Option<Map>,
    interval_ms: Option<u64>,
    balance: Option<Yaml>,
    sorry: Option<String>,
}

impl Server {
    fn take(&mut self, statement: &Statement, port: u16, remarks: &mut Remarks) {
        let (line, value) = (&statement.line, statement.word(1));
        match statement.keyword() {
            "delay_loop" => match seconds(value) {
                Some(ms) => self.interval_ms = Some(ms),
                None => remarks.lost(line, "this is no time"),
            },
            "lb_algo" | "lvs_sched" => match value {
                "rr" | "wrr" => self.balance = Some(Yaml::word("round_robin")),
                "lc" | "wlc" | "sed" | "nq" => {
                    self.balance = Some(Yaml::word("least_connections"));
                }
                "sh" | "mh" => self.hash(),
                _ => remarks.otherwise(line, "balanced as `random_of_two` here"),
            },
            "persistence_timeout" => {
                self.hash();
                let why = "a client stays with its backend as long as that is there, whatever the \
                           time: `balance: {hash: source_address}`";
                remarks.otherwise(line, why);
            }
            "sorry_server" => {
                let port: u16 = statement.word(2).parse().unwrap_or(port);
                match value.parse() {
                    Ok(ip) => self.sorry = Some(socket(ip, port)),
                    Err(_) => remarks.lost(line, "this is no address"),
                }
            }
            "real_server" => self.real(statement, port, remarks),
            "protocol" | "lb_kind" | "lvs_method" => {}
            keyword if probes::is_check(keyword) => {
                self.check = Some(probes::probe(statement, remarks));
            }
            keyword => remark(keyword, statement, remarks),
        }
    }

    fn hash(&mut self) {
        self.balance = Some(Yaml::one("hash", Yaml::word("source_address")));
    }

    fn real(&mut self, block: &Statement, port: u16, remarks: &mut Remarks) {
        let line = &block.line;
        let Ok(ip) = block.word(1).parse::<IpAddr>() else {
            remarks.lost(line, "this is no address");
            return;
        };
        let port: u16 = block.word(2).parse().unwrap_or(port);
        let mut weight = 1;
        for statement in block.inside() {
            match statement.keyword() {
                "weight" => weight = statement.word(1).parse().unwrap_or(1u64),
                "uthreshold" | "lthreshold" | "inhibit_on_failure" | "lvs_method" => {
                    remarks.otherwise(&statement.line, "there is nothing like it here");
                }
                keyword if probes::is_check(keyword) => {
                    let check = probes::probe(statement, remarks);
                    match &self.check {
                        None => self.check = Some(check),
                        Some(first) if *first != check => {
                            let why = "the backends of a pool are probed in one way, that of the \
                                       first";
                            remarks.lost(&statement.line, why);
                        }
                        Some(_) => {}
                    }
                }
                keyword => remark(keyword, statement, remarks),
            }
        }
        if weight == 0 {
            remarks.no_effect(line, "with a weight of 0 it is given nothing");
            return;
        }
        let address = Yaml::text(socket(ip, port));
        let backend = if weight == 1 {
            address
        } else {
            let weight = Yaml::word(weight.min(256));
            Yaml::Map(
                Map::default()
                    .with("address", address)
                    .with("weight", weight),
            )
        };
        let name = format!("{}-{port}", ip.to_string().replace(':', "."));
        self.backends.set(name, backend);
    }

    fn put(self, name: &str, bind: String, draft: &mut Draft) {
        let mut check = self
            .check
            .unwrap_or_else(|| Map::default().with("tcp", Yaml::Map(Map::default())));
        let interval = Yaml::text(bounded(self.interval_ms.unwrap_or(60_000), 10, 3_600_000));
        check.set("interval", interval);
        if check.get("timeout").is_none() {
            check.set("timeout", Yaml::text("5s"));
        }
        if check.get("fall").is_none() {
            check.set("fall", Yaml::word(1));
        }
        check.set("rise", Yaml::word(1));
        let mut pool = Map::default().with("backends", Yaml::Map(self.backends));
        if let Some(balance) = self.balance {
            pool.set("balance", balance);
        }
        pool.set("health_check", Yaml::Map(check));
        if let Some(sorry) = self.sorry {
            let backends = Yaml::one("sorry", Yaml::text(sorry));
            let spare = Map::default()
                .with("backends", backends)
                .with("health_check", Yaml::word("none"));
            let spare = draft.pools.add(&format!("{name}-sorry"), spare);
            pool.set("fallback", Yaml::text(spare));
        }
        let pool = draft.pools.add(name, pool);
        let listener = Map::default()
            .with("bind", Yaml::texts([bind]))
            .with("mode", Yaml::word("tcp"))
            .with("pool", Yaml::text(pool));
        draft.listeners.add(name, listener);
    }
}

/// Says what becomes of a word that is carried over nowhere else.
fn remark(keyword: &str, statement: &Statement, remarks: &mut Remarks) {
    let (kind, why) = if ["notify_up", "notify_down", "quorum_up", "quorum_down"].contains(&keyword)
    {
        let why = "no program is run for a backend: see `evenkeel events --follow`";
        (Kind::Otherwise, why.to_owned())
    } else if ["quorum", "alpha", "omega", "hysteresis"].contains(&keyword) {
        let why = "a backend counts when its probes have said so, and one that is up is enough";
        (Kind::Otherwise, why.to_owned())
    } else if OF_LVS.contains(&keyword) {
        (Kind::Otherwise, "it is about LVS".to_owned())
    } else {
        let why = format!("keepalived 2.2 knows no {keyword} here, and passes over it");
        (Kind::NoEffect, why)
    };
    remarks.add(kind, &statement.line, why);
}

const NO_GROUPS: &str = "a group of virtual servers is not read: write one for each address";

const OF_LVS: [&str; 18] = [
    "ops",
    "flag-1",
    "persistence_engine",
    "persistence_granularity",
    "ha_suspend",
    "ip_family",
    "virtualhost",
    "sorry_server_inhibit",
    "sorry_server_lvs_method",
    "retry",
    "delay_before_retry",
    "warmup",
    "connect_timeout",
    "smtp_alert",
    "snmp_name",
    "inhibit_on_failure",
    "nat_mask",
    "weight",
];
