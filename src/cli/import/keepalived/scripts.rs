//! What keepalived tracks by name: vrrp_script, vrrp_track_process, vrrp_track_file.
//!
//! A script that only asks whether a program runs becomes a look at the process; one that looks
//! after the proxy that this import replaces is left out, because the proxy is followed anyway.

use std::collections::BTreeMap;

use super::statements::Statement;
use crate::cli::import::draft::name_of;
use crate::cli::import::remarks::{Line, Remarks};
use crate::cli::import::units::{bounded, seconds};
use crate::cli::import::yaml::{Map, Yaml};

/// What a name stands for.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// What is watched; `None`: it is left out, which is said already.
    pub source: Option<(String, Yaml)>,
    /// What follows, unless the virtual router says another.
    pub weight: i64,
    /// Whether the number in a file counts, times the weight.
    pub is_file: bool,
}

/// All that has a name, by keyword and name.
#[derive(Clone, Debug, Default)]
pub struct Table {
    tracked: BTreeMap<(String, String), Tracked>,
    /// Entries of `track_scripts`.
    pub scripts: Vec<(String, Map)>,
}

impl Table {
    /// Returns what a name stands for in `track_script`, `track_process` or `track_file`.
    pub fn get(&self, keyword: &str, name: &str) -> Option<&Tracked> {
        self.tracked.get(&(keyword.to_owned(), name.to_owned()))
    }

    /// Takes a vrrp_script; `replaced` are the programs whose configuration is imported too.
    pub fn script(&mut self, block: &Statement, replaced: &[&str], remarks: &mut Remarks) {
        let name = block.word(1).to_owned();
        let mut entry = Map::default();
        let (mut weight, mut source) = (0, None);
        for statement in block.inside() {
            let (line, value) = (&statement.line, statement.word(1));
            let ms = || seconds(value);
            match statement.keyword() {
                "script" => source = source_of(&name, line, replaced, &mut entry, remarks),
                "interval" => set_time(&mut entry, "interval", ms(), 3_600_000, line, remarks),
                "timeout" => set_time(&mut entry, "timeout", ms(), 300_000, line, remarks),
                key @ ("rise" | "fall") => match value.parse::<u32>() {
                    Ok(number) => entry.set(key, Yaml::word(number.clamp(1, 100))),
                    Err(_) => remarks.lost(line, "this is no number"),
                },
                "weight" => weight = weight_of(line, 1, remarks),
                "user" => {
                    let why = "it runs as the user evenkeel-script here, never as root; another \
                               than root can be named with `user`";
                    remarks.otherwise(line, why);
                }
                "init_fail" => remarks.otherwise(line, "the first run decides here"),
                other => {
                    let why = format!("a vrrp_script has no {other}: keepalived passes over it");
                    remarks.no_effect(line, why);
                }
            }
        }
        if matches!(&source, Some((key, _)) if key == "script") {
            self.scripts.push((name_of(&name), entry));
        }
        self.add("track_script", name, source, weight, false);
    }

    /// Takes a vrrp_track_process.
    pub fn process(&mut self, block: &Statement, replaced: &[&str], remarks: &mut Remarks) {
        let name = block.word(1).to_owned();
        let (mut weight, mut source) = (0, None);
        for statement in block.inside() {
            let (line, value) = (&statement.line, statement.word(1));
            match statement.keyword() {
                "process" => {
                    let program = value.rsplit('/').next().unwrap_or(value);
                    if statement.line.words.len() > 2 {
                        remarks.otherwise(line, "arguments of a process are not looked at here");
                    }
                    source = process(program, line, replaced, remarks);
                }
                "weight" => weight = weight_of(line, 1, remarks),
                "quorum" if value == "1" => {}
                "quorum" | "quorum_max" | "param_match" | "full_command" => {
                    remarks.lost(line, "a process is there or not here");
                }
                "delay" | "terminate_delay" | "fork_delay" => {
                    remarks.otherwise(line, "the end of a process counts at once here");
                }
                other => {
                    let why =
                        format!("a vrrp_track_process has no {other}: keepalived passes over it");
                    remarks.no_effect(line, why);
                }
            }
        }
        self.add("track_process", name, source, weight, false);
    }

    /// Takes a vrrp_track_file.
    pub fn file(&mut self, block: &Statement, remarks: &mut Remarks) {
        let name = block.word(1).to_owned();
        let (mut weight, mut source) = (1, None);
        for statement in block.inside() {
            let line = &statement.line;
            match statement.keyword() {
                "file" => source = Some(("file".to_owned(), Yaml::text(statement.word(1)))),
                "weight" => weight = weight_of(line, 1, remarks),
                "init_file" => {
                    remarks.otherwise(line, "a file that is not there yet counts as 0 here");
                }
                other => {
                    let why =
                        format!("a vrrp_track_file has no {other}: keepalived passes over it");
                    remarks.no_effect(line, why);
                }
            }
        }
        self.add("track_file", name, source, weight, true);
    }

    fn add(
        &mut self,
        keyword: &str,
        name: String,
        source: Option<(String, Yaml)>,
        weight: i64,
        is_file: bool,
    ) {
        let tracked = Tracked {
            source,
            weight,
            is_file,
        };
        self.tracked.insert((keyword.to_owned(), name), tracked);
    }
}

/// Reads a weight at `index`, which may be reversed.
pub fn weight_of(line: &Line, index: usize, remarks: &mut Remarks) -> i64 {
    if line.words.iter().any(|word| word == "reverse") {
        let why = "a weight is not reversed here: have the check itself say the opposite";
        remarks.lost(line, why);
    }
    match line.word(index).parse::<i64>() {
        Ok(weight) => weight.clamp(-253, 253),
        Err(_) => {
            remarks.lost(line, "this is no weight");
            0
        }
    }
}

/// Returns what follows from a weight: the key and its value.
pub fn effect(weight: i64) -> (&'static str, Yaml) {
    match weight {
        0 => ("on_failure", Yaml::word("fault")),
        1.. => ("raise_by", Yaml::word(weight)),
        _ => (
            "on_failure",
            Yaml::one("lower_by", Yaml::word(weight.unsigned_abs())),
        ),
    }
}

fn set_time(
    entry: &mut Map,
    key: &str,
    ms: Option<u64>,
    most: u64,
    line: &Line,
    remarks: &mut Remarks,
) {
    match ms {
        Some(ms) => entry.set(key, Yaml::text(bounded(ms, 10, most))),
        None => remarks.lost(line, "this is no time"),
    }
}

/// Returns what a script becomes.
fn source_of(
    name: &str,
    line: &Line,
    replaced: &[&str],
    entry: &mut Map,
    remarks: &mut Remarks,
) -> Option<(String, Yaml)> {
    let command = line.from(1).join(" ");
    if let Some(program) = asks_for_process(&command) {
        return process(program, line, replaced, remarks);
    }
    if let Some(proxy) = replaced.iter().find(|proxy| command.contains(**proxy)) {
        let why = format!(
            "left out: it seems to look after {proxy}, which does not run any more, and would fail \
             for ever; the virtual router follows its own proxy and pools. Give it back to `track` \
             if it does more than that"
        );
        remarks.lost(line, why);
        return None;
    }
    let shell = [
        '|', '&', ';', '<', '>', '$', '*', '?', '(', '`', '~', '\'', '"', '\\',
    ];
    let words: Vec<&str> = command.split_whitespace().collect();
    let Some(program) = words.first() else {
        remarks.lost(line, "nothing is run");
        return None;
    };
    if program.starts_with('/') && !command.contains(shell) {
        entry.set("command", Yaml::texts(words));
    } else {
        entry.set("command", Yaml::texts(["/bin/sh", "-c", command.as_str()]));
        if !program.starts_with('/') {
            let why = "a shell looks for the program here; better name it by its absolute path";
            remarks.otherwise(line, why);
        }
    }
    Some(("script".to_owned(), Yaml::text(name_of(name))))
}

/// Returns a look at a process of this name, unless it is the proxy that is replaced.
fn process(
    program: &str,
    line: &Line,
    replaced: &[&str],
    remarks: &mut Remarks,
) -> Option<(String, Yaml)> {
    if replaced.contains(&program) {
        let why = format!(
            "not needed: {program} does not run any more, and the virtual router follows its own \
             proxy and the pools behind it"
        );
        remarks.otherwise(line, why);
        return None;
    }
    Some(("process".to_owned(), Yaml::one("name", Yaml::text(program))))
}

/// Returns the program whose process a command looks for, and for nothing more.
fn asks_for_process(command: &str) -> Option<&str> {
    let quiet = [
        ">/dev/null",
        "2>&1",
        ">",
        "/dev/null",
        "&>/dev/null",
        "2>/dev/null",
        "1>/dev/null",
    ];
    let words = command.split_whitespace();
    let words: Vec<&str> = words.filter(|word| !quiet.contains(word)).collect();
    let (tool, arguments) = words.split_first()?;
    let name = match (tool.rsplit('/').next()?, arguments) {
        ("killall" | "pkill", ["-0" | "-s0", name]) => name,
        ("pidof" | "pgrep", [name]) => name,
        ("pidof" | "pgrep", ["-x" | "-s" | "-q", name]) => name,
        ("systemctl", ["is-active", name] | ["is-active", "--quiet" | "-q", name]) => name,
        ("systemctl", ["--quiet" | "-q", "is-active", name] | ["status", name]) => name,
        ("service", [name, "status"]) => name,
        _ => return None,
    };
    let name = name.strip_suffix(".service").unwrap_or(name);
    let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (!name.is_empty() && name.chars().all(known)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_look_for_a_process_are_known() {
        for (command, hoped) in [
            ("killall -0 haproxy", Some("haproxy")),
            ("/usr/bin/killall -0 nginx", Some("nginx")),
            ("pidof haproxy", Some("haproxy")),
            ("/bin/pgrep -x nginx >/dev/null 2>&1", Some("nginx")),
            ("systemctl is-active --quiet nginx.service", Some("nginx")),
            ("killall -0 haproxy && curl -f http://localhost/", None),
            ("killall haproxy", None),
            ("/etc/keepalived/check.sh", None),
            ("", None),
        ] {
            assert_eq!(asks_for_process(command), hoped, "{command}");
        }
    }
}
