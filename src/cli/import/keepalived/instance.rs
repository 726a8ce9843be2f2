//! A vrrp_instance: its lines, read into facts.
//!
//! [`entry`](super::entry) makes entries of ours of them. Lines are divided into what says who it
//! is, what goes over the wire, what happens on the host, what is followed, and what is nothing
//! here.

use std::net::IpAddr;

use super::addresses::{self, Address};
use super::globals::Globals;
use super::scripts::{Table, effect, weight_of};
use super::statements::Statement;
use super::words;
use crate::cli::import::remarks::{Line, Remarks};
use crate::cli::import::units::seconds;
use crate::cli::import::yaml::{Map, Yaml};

/// What a vrrp_instance says.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Where it stands.
    pub line: Line,
    /// What keepalived calls it.
    pub name: String,
    /// `interface`.
    pub interface: Option<String>,
    /// `virtual_router_id`.
    pub vrid: Option<u8>,
    /// `priority`.
    pub priority: Option<u8>,
    /// Whether it says `state MASTER`.
    pub master: bool,
    /// `version`, or the global one.
    pub version: Option<u8>,
    /// `advert_int`.
    pub interval_ms: Option<u64>,
    /// `nopreempt`.
    pub no_preempt: Option<Line>,
    /// `preempt_delay`.
    pub preempt_delay: Option<(u64, Line)>,
    /// What is advertised.
    pub addresses: Vec<Address>,
    /// What only moves along.
    pub excluded: Vec<Address>,
    /// Of unicast, one's own first.
    pub peers: Vec<IpAddr>,
    /// From `min_ttl`.
    pub peer_hops: Option<u8>,
    /// `auth_pass`.
    pub password: Option<(String, Line)>,
    /// `use_vmac`.
    pub virtual_mac: Option<Line>,
    /// Keys of ours that need no second look.
    pub keys: Map,
    /// Items of `track`.
    pub track: Vec<Yaml>,
    /// Programs to be told.
    pub notify: Vec<Line>,
}

impl Instance {
    /// Reads a block.
    pub fn read(
        block: &Statement,
        globals: &Globals,
        table: &Table,
        remarks: &mut Remarks,
    ) -> Self {
        let mut instance = Self {
            line: block.line.clone(),
            name: block.word(1).to_owned(),
            interface: None,
            vrid: None,
            priority: None,
            master: false,
            version: globals.version,
            interval_ms: None,
            no_preempt: None,
            preempt_delay: None,
            addresses: Vec::new(),
            excluded: Vec::new(),
            peers: Vec::new(),
            peer_hops: None,
            password: None,
            virtual_mac: None,
            keys: globals.keys.clone(),
            track: Vec::new(),
            notify: Vec::new(),
        };
        // Its own interface is followed anyway, and must be known before it is.
        let find = |key: &str| block.inside().iter().find(|one| one.keyword() == key);
        instance.interface = find("interface").map(|one| one.word(1).to_owned());
        for statement in block.inside() {
            let known = instance.identity(statement, remarks)
                || instance.wire(statement, remarks)
                || instance.host(statement, remarks)
                || follow(
                    statement,
                    instance.interface.as_deref(),
                    table,
                    &mut instance.track,
                    remarks,
                )
                || instance.notified(statement);
            if !known {
                words::remark_in_instance(&statement.line, remarks);
            }
        }
        instance
    }

    fn identity(&mut self, statement: &Statement, remarks: &mut Remarks) -> bool {
        let (line, value) = (&statement.line, statement.word(1));
        match statement.keyword() {
            "interface" => {}
            "state" => {
                self.master = value == "MASTER";
                let why = "keepalived too has priorities say who is Active";
                remarks.no_effect(line, why);
            }
            "virtual_router_id" => match value.parse() {
                Ok(vrid) if vrid > 0 => self.vrid = Some(vrid),
                Ok(_) | Err(_) => remarks.lost(line, "it is 1 to 255"),
            },
            "priority" => match value.parse() {
                Ok(priority) if priority > 0 => self.priority = Some(priority),
                Ok(_) | Err(_) => remarks.lost(line, "it is 1 to 255"),
            },
            "version" => match value {
                "2" => self.version = Some(2),
                "3" => self.version = Some(3),
                _ => remarks.lost(line, "there are versions 2 and 3"),
            },
            "advert_int" => match seconds(value) {
                Some(ms) => self.interval_ms = Some(ms),
                None => remarks.lost(line, "this is no time"),
            },
            "nopreempt" => self.no_preempt = Some(line.clone()),
            "preempt" => self.no_preempt = None,
            "preempt_delay" => match seconds(value) {
                Some(ms) => self.preempt_delay = Some((ms, line.clone())),
                None => remarks.lost(line, "this is no time"),
            },
            "down_timer_adverts" => self.number("down_multiplier", line, 100, remarks),
            _ => return false,
        }
        true
    }

    fn number(&mut self, key: &str, line: &Line, most: u64, remarks: &mut Remarks) {
        match line.word(1).parse::<u64>() {
            Ok(number) => self.keys.set(key, Yaml::word(number.clamp(1, most))),
            Err(_) => remarks.lost(line, "this is no number"),
        }
    }

    fn wire(&mut self, statement: &Statement, remarks: &mut Remarks) -> bool {
        let line = &statement.line;
        match statement.keyword() {
            "unicast_src_ip" => match statement.word(1).parse() {
                Ok(ip) => self.peers.insert(0, ip),
                Err(_) => remarks.lost(line, "this is no address"),
            },
            "unicast_peer" => {
                for peer in statement.inside() {
                    self.peer(&peer.line, remarks);
                }
            }
            "authentication" => self.authentication(statement, remarks),
            "v3_checksum_as_v2" => self.keys.set("checksum", Yaml::word("rfc9568")),
            "mcast_src_ip" | "unicast_ttl" => {
                let why = "advertisements are sent from an address of the interface, with a TTL \
                           of 255";
                remarks.otherwise(line, why);
            }
            "mcast_dst_ip" => {
                let why = "advertisements go to the group of the standard, or to `peers`";
                remarks.lost(line, why);
            }
            "strict_mode" => words::strict(line, remarks),
            _ => return false,
        }
        true
    }

    fn peer(&mut self, line: &Line, remarks: &mut Remarks) {
        let mut words = line.words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "min_ttl" => {
                    let least = words.next().and_then(|word| word.parse::<u8>().ok());
                    let hops = least.map_or(0, |least| 255 - least.max(1));
                    self.peer_hops = self.peer_hops.max(Some(hops));
                }
                "max_ttl" => {
                    words.next();
                }
                address => match address.parse() {
                    Ok(ip) => self.peers.push(ip),
                    Err(_) => remarks.lost(line, "this is no address"),
                },
            }
        }
    }

    fn authentication(&mut self, block: &Statement, remarks: &mut Remarks) {
        let mut kind = String::new();
        let mut password = None;
        for statement in block.inside() {
            match statement.keyword() {
                "auth_type" => statement.word(1).clone_into(&mut kind),
                "auth_pass" => {
                    let mut line = statement.line.clone();
                    "auth_pass ...".clone_into(&mut line.text);
                    password = Some((statement.word(1).to_owned(), line));
                }
                _ => words::remark_in_instance(&statement.line, remarks),
            }
        }
        match kind.as_str() {
            "PASS" => self.password = password,
            "AH" => {
                let why = "there is no AH here: routers that send it and demand it are not heard, \
                           nor hear";
                remarks.lost(&block.line, why);
            }
            "" => remarks.no_effect(&block.line, "without auth_type nothing is authenticated"),
            _ => remarks.lost(&block.line, "there is only PASS here"),
        }
    }

    fn host(&mut self, statement: &Statement, remarks: &mut Remarks) -> bool {
        let line = &statement.line;
        match statement.keyword() {
            "virtual_ipaddress" => self.addresses.extend(addresses::read(statement, remarks)),
            "virtual_ipaddress_excluded" => {
                self.excluded.extend(addresses::read(statement, remarks));
            }
            "virtual_routes" | "virtual_rules" => {
                let why = "there are no routes and rules here that move with addresses, but for \
                           the connected route of each";
                remarks.lost(line, why);
                for inside in statement.inside() {
                    remarks.lost(&inside.line, why);
                }
            }
            "use_vmac" => {
                self.virtual_mac = Some(line.clone());
                if line.words.len() > 1 {
                    let why = "the interface has a name of ours, and the hardware address of the \
                               standard";
                    remarks.otherwise(line, why);
                }
            }
            "use_ipvlan" => remarks.lost(line, "there is no ipvlan here"),
            "no_accept" => self.keys.set("accept", Yaml::word(false)),
            "accept" => {}
            "dont_track_primary" => {
                self.keys.map("link").set("required", Yaml::word(false));
            }
            key => return super::globals::announcement(key, line, &mut self.keys, remarks),
        }
        true
    }

    fn notified(&mut self, statement: &Statement) -> bool {
        let keyword = statement.keyword();
        let is_program = words::NOTIFY.contains(&keyword);
        if is_program {
            self.notify.push(statement.line.clone());
        }
        is_program
    }
}

/// Reads a block of what is followed, of an instance or of a group; returns whether it is one.
pub fn follow(
    statement: &Statement,
    own: Option<&str>,
    table: &Table,
    track: &mut Vec<Yaml>,
    remarks: &mut Remarks,
) -> bool {
    let keyword = statement.keyword();
    let followed = [
        "track_interface",
        "track_script",
        "track_process",
        "track_file",
    ];
    if !followed.contains(&keyword) {
        return false;
    }
    for one in statement.inside() {
        let line = &one.line;
        let (name, own_weight) = (one.word(0), weight_behind(line, remarks));
        let (source, weight, is_file) = if keyword == "track_interface" {
            let weight = own_weight.unwrap_or(0);
            if own == Some(name) && weight == 0 {
                let why = "its own interface is followed anyway, as `link` says";
                remarks.otherwise(line, why);
                continue;
            }
            (
                Some(("interface".to_owned(), Yaml::text(name))),
                weight,
                false,
            )
        } else if let Some(tracked) = table.get(keyword, name) {
            let weight = own_weight.unwrap_or(tracked.weight);
            (tracked.source.clone(), weight, tracked.is_file)
        } else {
            let why = format!("nothing says what {name} is: keepalived passes over it");
            remarks.no_effect(line, why);
            continue;
        };
        let Some((key, value)) = source else {
            continue;
        };
        let mut item = Map::default().with(&key, value);
        match (is_file, weight) {
            (false, weight) => {
                let (key, value) = effect(weight);
                item.set(key, value);
            }
            (true, 1) => item.set("raise_by", Yaml::word("content")),
            (true, -1) => item.set("lower_by", Yaml::word("content")),
            (true, _) => {
                let why = "the number of a file counts once here, with `raise_by: content` or \
                           `lower_by: content`: have it multiplied by who writes it";
                remarks.lost(line, why);
                continue;
            }
        }
        track.push(Yaml::Map(item));
    }
    true
}

/// Returns the weight that a line has behind its name.
fn weight_behind(line: &Line, remarks: &mut Remarks) -> Option<i64> {
    let at = line.words.iter().position(|word| word == "weight")?;
    Some(weight_of(line, at + 1, remarks))
}
