//! global_defs, and what of announcements can stand there and in an instance.

use super::statements::Statement;
use super::words;
use crate::cli::import::remarks::{Line, Remarks};
use crate::cli::import::units::{bounded, duration, seconds};
use crate::cli::import::yaml::{Map, Yaml};

/// What holds for every vrrp_instance.
#[derive(Clone, Debug, Default)]
pub struct Globals {
    /// `vrrp_version`.
    pub version: Option<u8>,
    /// `default_interface`.
    pub interface: Option<String>,
    /// Keys of ours that every entry gets.
    pub keys: Map,
}

impl Globals {
    /// Takes a block of global_defs.
    pub fn take(&mut self, block: &Statement, remarks: &mut Remarks) {
        for statement in block.inside() {
            let (line, value) = (&statement.line, statement.word(1));
            match statement.keyword() {
                "vrrp_version" => match value {
                    "2" => self.version = Some(2),
                    "3" => self.version = Some(3),
                    _ => remarks.lost(line, "there are versions 2 and 3"),
                },
                "default_interface" => self.interface = Some(value.to_owned()),
                "vrrp_strict" => words::strict(line, remarks),
                "vrrp_down_timer_adverts" => match value.parse::<u64>() {
                    Ok(number) => self
                        .keys
                        .set("down_multiplier", Yaml::word(number.clamp(1, 100))),
                    Err(_) => remarks.lost(line, "this is no number"),
                },
                "vrrp_startup_delay" | "vrrp_delay_after_boot" => match seconds(value) {
                    Some(ms) => {
                        let up_delay = Yaml::text(duration(ms.min(3_600_000)));
                        self.keys.map("link").set("up_delay", up_delay);
                    }
                    None => remarks.lost(line, "this is no time"),
                },
                key => {
                    let of_instances = key.strip_prefix("vrrp_").unwrap_or("");
                    if !announcement(of_instances, line, &mut self.keys, remarks) {
                        words::remark_in_globals(line, remarks);
                        for inside in statement.inside() {
                            words::remark_in_globals(&with_keyword(inside, line), remarks);
                        }
                    }
                }
            }
        }
    }
}

/// Lines inside of a block are as good as the block.
fn with_keyword(inside: &Statement, outer: &Line) -> Line {
    Line {
        words: outer.words.clone(),
        ..inside.line.clone()
    }
}

/// Takes a line about announcements; returns whether it is one.
pub fn announcement(key: &str, line: &Line, keys: &mut Map, remarks: &mut Remarks) -> bool {
    let value = line.word(1);
    let known = [
        "garp_master_delay",
        "garp_master_repeat",
        "garp_master_refresh",
        "garp_master_refresh_repeat",
        "garp_interval",
        "gna_interval",
    ];
    if !known.contains(&key) {
        return false;
    }
    let Some(ms) = seconds(value) else {
        remarks.lost(line, "this is no number");
        return true;
    };
    let (ours, yaml) = match key {
        "garp_master_delay" => ("delay", Yaml::text(duration(ms.min(3_600_000)))),
        "garp_master_repeat" => ("repeat", Yaml::word((ms / 1000).clamp(1, 20))),
        "garp_master_refresh" if ms == 0 => return true,
        "garp_master_refresh" => ("refresh", Yaml::text(bounded(ms, 1000, 86_400_000))),
        "garp_master_refresh_repeat" => {
            remarks.otherwise(line, "a refresh is one round here");
            return true;
        }
        _ => {
            if ms > 10 {
                let why = "between two announcements there are at most 10ms here";
                remarks.otherwise(line, why);
            }
            ("pace", Yaml::text(duration(ms.min(10))))
        }
    };
    keys.map("announcements").set(ours, yaml);
    true
}
