//! `bind` lines: addresses, and what is spoken there.

use super::globals::Globals;
use super::sections::Section;
use crate::cli::import::remarks::{Line, Remarks};
use crate::cli::import::units::socket;
use crate::cli::import::yaml::{Map, Yaml};

/// What is spoken at an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    /// Whether TLS is.
    pub tls: bool,
    certificates: Vec<String>,
    ca: Option<String>,
    is_ca_optional: bool,
    tls13: bool,
    strict_sni: bool,
    no_tickets: bool,
    no_http2: bool,
    prior_knowledge: bool,
    accept_proxy: bool,
}

/// Addresses where the same is spoken.
#[derive(Clone, Debug)]
pub struct Group {
    /// What.
    pub spoken: Spoken,
    /// Where, as we write it.
    pub addresses: Vec<String>,
    /// The port, where it is one.
    pub port: Option<u16>,
}

/// Returns the addresses of a section, in groups.
pub fn groups(section: &Section, globals: &Globals, remarks: &mut Remarks) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for line in section.own.iter().filter(|line| line.word(0) == "bind") {
        let spoken = spoken(line, globals, remarks);
        for part in line.word(1).split(',') {
            for (address, port) in addresses(part, line, remarks) {
                let here = |group: &&mut Group| group.spoken == spoken;
                match groups.iter_mut().find(here) {
                    Some(group) => {
                        if !group.addresses.contains(&address) {
                            group.addresses.push(address);
                        }
                        group.port = group.port.filter(|known| *known == port);
                    }
                    None => groups.push(Group {
                        spoken: spoken.clone(),
                        addresses: vec![address],
                        port: Some(port),
                    }),
                }
            }
        }
    }
    groups
}

fn addresses(part: &str, line: &Line, remarks: &mut Remarks) -> Vec<(String, u16)> {
    let bare = ["ipv4@", "ipv6@", "tcp4@", "tcp6@", "tcp@"]
        .iter()
        .find_map(|prefix| part.strip_prefix(prefix))
        .unwrap_or(part);
    let is_v6_alone = part.starts_with("ipv6@") || part.starts_with("tcp6@");
    if bare.starts_with('/') || bare.contains('@') || bare.contains('$') {
        remarks.lost(line, "a listener has addresses and ports here");
        return Vec::new();
    }
    let Some((host, ports)) = bare.rsplit_once(':') else {
        remarks.lost(line, "it has no port");
        return Vec::new();
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
        remarks.lost(line, "this is no port");
        return Vec::new();
    };
    if first == 0 || last < first || last - first >= PORTS_MAX {
        remarks.lost(line, "so many ports are not written out here");
        return Vec::new();
    }
    let host = host.trim_matches(['[', ']']);
    let both = line.words.iter().any(|word| word == "v4v6");
    let hosts = match host {
        "" | "*" | "0.0.0.0" if is_v6_alone => vec!["::"],
        "" | "*" | "0.0.0.0" => vec!["0.0.0.0"],
        "::" if both => vec!["0.0.0.0", "::"],
        other => vec![other],
    };
    let mut found = Vec::new();
    for host in hosts {
        match host.parse() {
            Ok(ip) => found.extend((first..=last).map(|port| (socket(ip, port), port))),
            Err(_) => remarks.lost(line, "a listener has addresses here, no names"),
        }
    }
    found
}

fn spoken(line: &Line, globals: &Globals, remarks: &mut Remarks) -> Spoken {
    let mut spoken = Spoken {
        tls13: globals.tls13,
        ..Spoken::default()
    };
    let mut words = line.from(2).iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "ssl" => spoken.tls = true,
            "crt" => {
                let path = globals.crt_path(words.next().unwrap_or(""));
                spoken.certificates.push(path);
            }
            "crt-list" => {
                words.next();
                let why = "a list is not read: name its files, or their directory, in \
                           `certificates`; names come from them";
                remarks.lost(line, why);
            }
            "ca-file" => spoken.ca = Some(globals.ca_path(words.next().unwrap_or(""))),
            "verify" => spoken.is_ca_optional = words.next() == Some("optional"),
            "alpn" => {
                let list = words.next().unwrap_or("");
                spoken.no_http2 = !list.split(',').any(|one| one == "h2");
            }
            "proto" => spoken.prior_knowledge = words.next() == Some("h2"),
            "ssl-min-ver" => spoken.tls13 = words.next() == Some("TLSv1.3"),
            "strict-sni" => spoken.strict_sni = true,
            "no-tls-tickets" => spoken.no_tickets = true,
            "accept-proxy" => {
                spoken.accept_proxy = true;
                let why = "anybody is believed to be who a PROXY header says, as with HAProxy: \
                           name who sends them in `proxy_protocol`";
                remarks.otherwise(line, why);
            }
            "interface" | "namespace" => {
                words.next();
                remarks.lost(line, "a listener is bound to addresses here");
            }
            "accept-netscaler-cip" => {
                words.next();
                remarks.lost(line, "there is only the PROXY protocol here");
            }
            "transparent"
            | "v4v6"
            | "v6only"
            | "no-sslv3"
            | "no-tlsv10"
            | "no-tlsv11"
            | "no-tlsv12"
            | "defer-accept"
            | "tfo"
            | "allow-0rtt"
            | "force-tlsv12"
            | "force-tlsv13"
            | "prefer-client-ciphers"
            | "generate-certificates"
            | "tls-tickets"
            | "expose-fd" => {}
            word if VALUED.contains(&word) => {
                words.next();
            }
            other => remarks.lost(line, format!("{other} is not known to this import")),
        }
    }
    if spoken.tls && spoken.certificates.is_empty() {
        remarks.lost(line, "nothing says which certificate is shown");
    }
    spoken
}

impl Spoken {
    /// Writes it into a listener.
    pub fn write(&self, is_http: bool, listener: &mut Map) {
        if self.accept_proxy {
            let from = Yaml::texts(["0.0.0.0/0", "::/0"]);
            listener.set("proxy_protocol", Yaml::one("from", from));
        }
        if self.prior_knowledge && !self.tls && is_http {
            listener.set("http2", Yaml::one("prior_knowledge", Yaml::word(true)));
        }
        if !self.tls {
            return;
        }
        let mut tls = Map::default();
        match &self.certificates[..] {
            [] => tls.set("certificates", Yaml::text("/etc/evenkeel/tls")),
            [one] => tls.set("certificates", Yaml::text(one)),
            several => tls.set("certificates", Yaml::texts(several)),
        }
        if self.strict_sni {
            tls.set("default_certificate", Yaml::word("none"));
        }
        if self.tls13 {
            tls.set("minimum_version", Yaml::text("1.3"));
        }
        if let Some(ca) = &self.ca {
            let mut clients = Map::default().with("ca", Yaml::text(ca));
            if self.is_ca_optional {
                clients.set("required", Yaml::word(false));
            }
            tls.set("client_certificates", Yaml::Map(clients));
        }
        if self.no_tickets {
            tls.set("resumption", Yaml::word(false));
        }
        listener.set("tls", Yaml::Map(tls));
        if self.no_http2 && is_http {
            listener.set("http2", Yaml::word(false));
        }
    }
}

/// The most ports of one line.
const PORTS_MAX: u16 = 32;

const VALUED: [&str; 22] = [
    "backlog",
    "ciphers",
    "ciphersuites",
    "client-sigalgs",
    "curves",
    "ecdhe",
    "gid",
    "group",
    "id",
    "level",
    "maxconn",
    "mode",
    "mss",
    "name",
    "nice",
    "npn",
    "process",
    "sigalgs",
    "ssl-max-ver",
    "tcp-ut",
    "thread",
    "uid",
];
