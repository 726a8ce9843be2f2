//! HAProxy: frontends become listeners, backends pools, rules routes.
//!
//! `sections` reads, `globals`, `binds`, `frontends` and `pools` write, `routes` has conditions
//! and rules, `rates` limits. Which words become nothing is in `words`.

pub mod binds;
pub mod frontends;
pub mod globals;
pub mod pools;
pub mod rates;
pub mod routes;
pub mod sections;
pub mod words;

use std::collections::BTreeMap;

use super::draft::Draft;
use super::keepalived::Given;
use super::remarks::Remarks;
use super::yaml::Yaml;
use frontends::Parts;
use globals::Globals;
use sections::Section;

/// Puts the files of an installation into the draft.
pub fn import(files: &[Given], draft: &mut Draft, remarks: &mut Remarks) {
    let sections = sections::read(files, remarks);
    let globals = Globals::read(&sections, draft, remarks);
    let mut pools: BTreeMap<String, String> = BTreeMap::new();
    for section in sections.iter().filter(|section| section.is_back()) {
        let port = port_of(section, &sections, &globals);
        if let Some(entry) = pools::pool(section, port, &globals, remarks) {
            let name = draft.pools.add(&section.name, entry);
            pools.insert(section.name.clone(), name);
        }
    }
    let parts = Parts {
        sections: &sections,
        globals: &globals,
        pools: &pools,
    };
    for section in sections.iter().filter(|section| section.is_front()) {
        if is_for_statistics(section) {
            let why = "left out: it only shows statistics; see `evenkeel status`";
            remarks.otherwise(&section.line, why);
            continue;
        }
        frontends::listeners(section, &parts, draft, remarks);
        for line in &section.own {
            if let Some((down, spare)) = frontends::fallback(line, section) {
                let names = (pools.get(&down), pools.get(&spare));
                match names {
                    (Some(down), Some(spare)) => {
                        if let Some(entry) = draft.pools.get_mut(down) {
                            entry.set("fallback", Yaml::text(spare));
                        }
                    }
                    (_, _) => remarks.lost(line, "there is no such backend"),
                }
            }
        }
    }
    for section in &sections {
        if section.is_front() && is_for_statistics(section) {
            continue;
        }
        words::remark(section, remarks);
    }
    log(&sections, draft);
}

/// Returns the port of servers that name none: that of the one frontend that leads to them.
fn port_of(section: &Section, sections: &[Section], globals: &Globals) -> Option<u16> {
    let leads = |front: &&Section| {
        front.is_front()
            && (front.name == section.name
                || front.own.iter().any(|line| {
                    ["use_backend", "default_backend"].contains(&line.word(0))
                        && line.word(1) == section.name
                }))
    };
    let mut ports = Vec::new();
    for front in sections.iter().filter(leads) {
        // What is wrong with an address is said where it is written.
        for group in binds::groups(front, globals, &mut Remarks::default()) {
            ports.push(group.port?);
        }
    }
    ports.dedup();
    match ports[..] {
        [port] => Some(port),
        _ => None,
    }
}

/// Whether a section shows statistics and does nothing else.
fn is_for_statistics(section: &Section) -> bool {
    let shows = section
        .own
        .iter()
        .any(|line| line.word(0) == "stats" || line.words.iter().any(|word| word == "use-service"));
    let serves = [
        "server",
        "server-template",
        "default_backend",
        "use_backend",
        "redirect",
    ];
    shows
        && !section
            .own
            .iter()
            .any(|line| serves.contains(&line.word(0)))
}

/// A log of requests becomes ours, in the journal.
fn log(sections: &[Section], draft: &mut Draft) {
    let is_logged = |section: &Section| {
        let format = ["httplog", "tcplog", "httpslog"]
            .iter()
            .any(|word| section.find(&["option", word]).is_some());
        section.is_front()
            && section.find(&["log"]).is_some()
            && (format || section.find(&["log-format"]).is_some())
    };
    if sections.iter().any(is_logged) {
        draft.access_log.set("to", Yaml::word("journald"));
    }
}
