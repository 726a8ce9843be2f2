//! `server` lines with what `default-server` says of them.

use std::collections::BTreeMap;

use crate::cli::import::draft::name_of;
use crate::cli::import::haproxy::sections::Section;
use crate::cli::import::remarks::{Line, Remarks};
use crate::cli::import::yaml::{Map, Yaml};

/// A server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub line: Line,
    /// Its address or name, with a port.
    pub address: String,
    /// Its settings by their words; flags have no value.
    pub settings: BTreeMap<String, String>,
}

impl Server {
    /// Returns the value of a setting.
    pub fn get(&self, word: &str) -> Option<&str> {
        self.settings.get(word).map(String::as_str)
    }

    /// Returns whether a flag is set.
    pub fn has(&self, word: &str) -> bool {
        self.settings.contains_key(word)
    }

    /// Returns whether it is probed.
    pub fn is_checked(&self) -> bool {
        self.has("check") && !self.has("no-check")
    }

    /// Returns it as a backend of ours.
    pub fn yaml(&self, remarks: &mut Remarks) -> Yaml {
        let mut map = Map::default();
        let number = |word: &str| self.get(word).and_then(|text| text.parse::<u32>().ok());
        if let Some(weight) = number("weight").filter(|weight| *weight > 1) {
            map.set("weight", Yaml::word(weight.min(256)));
        }
        if let Some(most) = number("maxconn").filter(|most| *most > 0) {
            map.set("requests", Yaml::word(most.min(10_000_000)));
        }
        if self.has("backup") {
            map.set("backup", Yaml::word(true));
        }
        if self.has("minconn") {
            remarks.otherwise(
                &self.line,
                "a limit of requests does not change with the load here",
            );
        }
        if map.is_empty() {
            return Yaml::text(&self.address);
        }
        let mut whole = Map::default().with("address", Yaml::text(&self.address));
        for (key, value) in map.iter() {
            whole.set(key.as_str(), value.clone());
        }
        Yaml::Map(whole)
    }
}

/// Reads the servers of a section; `port` is that of those that name none.
pub fn read(section: &Section, port: Option<u16>, remarks: &mut Remarks) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    let mut defaults = BTreeMap::new();
    for line in section.defaults.iter().chain(&section.own) {
        match line.word(0) {
            "default-server" => settings(line.from(1), &mut defaults, line, remarks),
            "server" => {
                let mut own = defaults.clone();
                settings(line.from(3), &mut own, line, remarks);
                servers.extend(server(line, line.word(1), line.word(2), own, port, remarks));
            }
            "server-template" => {
                let mut own = defaults.clone();
                settings(line.from(4), &mut own, line, remarks);
                let why = "a name has a backend for each of its addresses, as many as there are";
                remarks.otherwise(line, why);
                servers.extend(server(line, line.word(1), line.word(3), own, port, remarks));
            }
            _ => {}
        }
    }
    servers
}

fn server(
    line: &Line,
    name: &str,
    address: &str,
    settings: BTreeMap<String, String>,
    port: Option<u16>,
    remarks: &mut Remarks,
) -> Option<Server> {
    let bare = address
        .strip_prefix("ipv4@")
        .or_else(|| address.strip_prefix("ipv6@"));
    let bare = bare.unwrap_or(address);
    if bare.contains('@') || bare.starts_with('/') || bare.contains('$') {
        remarks.lost(
            line,
            "a backend has an IP address or a host name, and a port, here",
        );
        return None;
    }
    let address = match with_port(bare, port) {
        Some(address) => address,
        None => {
            let why = "a backend has a port of its own here, not that of the client's connection";
            remarks.lost(line, why);
            return None;
        }
    };
    if address.starts_with("0.0.0.0:") || address.starts_with("[::]:") {
        let why = "a backend has an address of its own, not that of the client's connection";
        remarks.lost(line, why);
        return None;
    }
    if settings.contains_key("disabled") && !settings.contains_key("enabled") {
        let why = "left out: it is disabled until somebody enables it; see `evenkeel backend add`";
        remarks.otherwise(line, why);
        return None;
    }
    if settings.get("weight").is_some_and(|weight| weight == "0") {
        let why = "left out: with a weight of 0 it gets nothing but old sessions";
        remarks.otherwise(line, why);
        return None;
    }
    if let Some(to) = settings.get("redir") {
        remarks.lost(
            line,
            format!("clients are not sent to {to}: see `redirect` of a route"),
        );
    }
    Some(Server {
        name: name_of(name),
        line: line.clone(),
        address,
        settings,
    })
}

/// Returns an address with its port, as we write it.
fn with_port(text: &str, port: Option<u16>) -> Option<String> {
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let valid = |port: &str| {
        port.parse::<u16>()
            .ok()
            .filter(|p| *p > 0 && is_number(port))
    };
    // Of an IPv6 address without brackets the last part is the port.
    let has_brackets = text.starts_with('[') && text.ends_with(']');
    let bare = text.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    if let Some(ip) = bare.ok().filter(|ip| ip.is_ipv4() || has_brackets) {
        return Some(crate::cli::import::units::socket(ip, port?));
    }
    match text.rsplit_once(':') {
        Some((host, number)) => {
            let port = valid(number)?;
            let host = host.trim_matches(['[', ']']);
            match host.parse::<std::net::IpAddr>() {
                Ok(ip) => Some(crate::cli::import::units::socket(ip, port)),
                Err(_) => (!host.is_empty()).then(|| format!("{host}:{port}")),
            }
        }
        None => Some(format!("{text}:{}", port?)),
    }
}

/// Reads settings over those that are there.
fn settings(
    words: &[String],
    settings: &mut BTreeMap<String, String>,
    line: &Line,
    remarks: &mut Remarks,
) {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if FLAGS.contains(&word.as_str()) {
            // `no-ssl` takes `ssl` back.
            match word.strip_prefix("no-").filter(|rest| FLAGS.contains(rest)) {
                Some(rest) => {
                    settings.remove(rest);
                    if rest == "check" {
                        settings.insert(word.clone(), String::new());
                    }
                }
                None => {
                    settings.insert(word.clone(), String::new());
                }
            }
        } else if VALUED.contains(&word.as_str()) {
            let value = words.next().cloned().unwrap_or_default();
            if word == "source" {
                if words.clone().next().is_some_and(|next| next == "usesrc") {
                    words.next();
                    words.next();
                    let why = "backends see the address of this node here: X-Forwarded-For or \
                               `proxy_protocol` says whose it is";
                    remarks.lost(line, why);
                } else {
                    let why = "connections to backends come from the address that the route \
                               of the host picks";
                    remarks.otherwise(line, why);
                }
            }
            settings.insert(word.clone(), value);
        } else {
            remarks.lost(line, format!("{word} is not known to this import"));
        }
        notes(word, line, remarks);
    }
}

/// Says what becomes of settings that are carried over nowhere else.
fn notes(word: &str, line: &Line, remarks: &mut Remarks) {
    let why = match word {
        "resolvers" | "init-addr" | "resolve-prefer" | "resolve-net" | "resolve-opts" => {
            "names are looked up by the resolver of the system, and followed: see `resolve`"
        }
        "on-marked-down" | "on-marked-up" | "on-error" => {
            "requests in flight on a backend that goes down end by their timeouts"
        }
        "track" => "each pool probes its own backends",
        "agent-check" => {
            remarks.lost(
                line,
                "no agent is asked for a weight here: see `evenkeel backend`",
            );
            return;
        }
        "ciphers" | "ciphersuites" | "force-tlsv12" | "no-sslv3" | "no-tlsv10" | "no-tlsv11"
        | "no-tls-tickets" | "crl-file" | "ssl-max-ver" => {
            "what is spoken of TLS is 1.2 and 1.3, and is not configured"
        }
        "maxqueue"
        | "pool-max-conn"
        | "pool-purge-delay"
        | "pool-low-conn"
        | "max-reuse"
        | "tcp-ut"
        | "tfo"
        | "downinter"
        | "namespace"
        | "socks4"
        | "ws"
        | "error-limit"
        | "non-stick"
        | "addr"
        | "proxy-v2-options"
        | "set-proxy-v2-tlv-fmt" => "there is no such setting here",
        _ => return,
    };
    remarks.otherwise(line, why);
}

const FLAGS: [&str; 36] = [
    "check",
    "no-check",
    "ssl",
    "no-ssl",
    "backup",
    "no-backup",
    "disabled",
    "enabled",
    "send-proxy",
    "send-proxy-v2",
    "send-proxy-v2-ssl",
    "send-proxy-v2-ssl-cn",
    "no-send-proxy",
    "no-send-proxy-v2",
    "check-send-proxy",
    "no-check-send-proxy",
    "check-ssl",
    "no-check-ssl",
    "check-via-socks4",
    "agent-check",
    "no-agent-check",
    "non-stick",
    "stick",
    "allow-0rtt",
    "tfo",
    "no-tfo",
    "ssl-reuse",
    "no-ssl-reuse",
    "no-tls-tickets",
    "tls-tickets",
    "force-tlsv12",
    "force-tlsv13",
    "no-sslv3",
    "no-tlsv10",
    "no-tlsv11",
    "no-verifyhost",
];

const VALUED: [&str; 60] = [
    "addr",
    "agent-addr",
    "agent-inter",
    "agent-port",
    "agent-send",
    "alpn",
    "ca-file",
    "check-alpn",
    "check-proto",
    "check-sni",
    "ciphers",
    "ciphersuites",
    "cookie",
    "crl-file",
    "crt",
    "downinter",
    "error-limit",
    "fall",
    "fastinter",
    "id",
    "init-addr",
    "inter",
    "log-bufsize",
    "log-proto",
    "max-reuse",
    "maxconn",
    "maxqueue",
    "minconn",
    "namespace",
    "npn",
    "observe",
    "on-error",
    "on-marked-down",
    "on-marked-up",
    "pool-low-conn",
    "pool-max-conn",
    "pool-purge-delay",
    "port",
    "proto",
    "proxy-v2-options",
    "redir",
    "resolve-net",
    "resolve-opts",
    "resolve-prefer",
    "resolvers",
    "rise",
    "set-proxy-v2-tlv-fmt",
    "shard",
    "slowstart",
    "sni",
    "socks4",
    "source",
    "ssl-max-ver",
    "ssl-min-ver",
    "tcp-ut",
    "track",
    "verify",
    "verifyhost",
    "weight",
    "ws",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_ports() {
        for (text, port, hoped) in [
            ("10.0.0.1:80", None, Some("10.0.0.1:80")),
            ("10.0.0.1", Some(8080), Some("10.0.0.1:8080")),
            ("10.0.0.1", None, None),
            ("[::1]:80", None, Some("[::1]:80")),
            ("::1:80", None, Some("[::1]:80")),
            ("web.internal:80", None, Some("web.internal:80")),
            ("web.internal", Some(80), Some("web.internal:80")),
            ("web.internal:+80", None, None),
            (":80", None, None),
        ] {
            assert_eq!(with_port(text, port).as_deref(), hoped, "{text}");
        }
    }
}
