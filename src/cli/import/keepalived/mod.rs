//! keepalived's configuration: virtual routers, what they follow, and its LVS servers.
//!
//! `tokens` and `statements` read text, `globals`, `scripts`, `instance` and `servers` blocks,
//! `entry` makes entries of ours, and `merge` one of those of several nodes. Which words become
//! nothing is in `words`.

pub mod addresses;
pub mod entry;
pub mod globals;
pub mod instance;
pub mod merge;
pub mod probes;
pub mod scripts;
pub mod servers;
pub mod statements;
pub mod tokens;
pub mod words;

use std::path::PathBuf;

use super::draft::Draft;
use super::reading::Files;
use super::remarks::{Line, Remarks};
use super::yaml::Yaml;
use entry::Router;
use globals::Globals;
use instance::Instance;
use scripts::Table;
use statements::Statement;

/// A file, and the node whose it is.
#[derive(Clone, Debug)]
pub struct Given {
    /// As in `--node lb1=FILE`; `None`: nobody has said.
    pub node: Option<String>,
    /// Where it was read.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

/// Puts the files of nodes into the draft; `replaced` are the programs whose configuration is
/// imported too, and which will not run any more.
pub fn import(
    files: &dyn Files,
    given: &[Given],
    replaced: &[&str],
    draft: &mut Draft,
    remarks: &mut Remarks,
) {
    let mut nodes = Vec::new();
    let mut first_scripts: Option<Table> = None;
    for file in given {
        let id = file.node.as_deref();
        let tree = statements::read(files, &file.path, &file.text, id, remarks);
        let (routers, table) = of_node(&tree, replaced, remarks);
        match &first_scripts {
            None => first_scripts = Some(table),
            Some(first) => compare_scripts(first, &table, file, remarks),
        }
        if nodes.is_empty() {
            servers::import(&tree, draft, remarks);
        } else {
            servers::compare(&tree, draft, remarks);
        }
        if let (Some(router), None) = (routers.first(), &file.node) {
            let why = "this file is of one node: `--node NAME=FILE` for each makes `priority` by \
                       node of several; until then give each node a number of its own";
            remarks.otherwise(&router.line, why);
        }
        nodes.push((file.node.clone(), routers));
    }
    draft
        .nodes
        .extend(nodes.iter().filter_map(|(node, _)| node.clone()));
    merge::merge(nodes, draft, remarks);
    for (name, script) in first_scripts.map(|table| table.scripts).unwrap_or_default() {
        draft.scripts.add(&name, script);
    }
}

fn of_node(tree: &[Statement], replaced: &[&str], remarks: &mut Remarks) -> (Vec<Router>, Table) {
    let mut globals = Globals::default();
    let mut table = Table::default();
    for block in tree {
        match block.keyword() {
            "global_defs" => globals.take(block, remarks),
            "vrrp_script" => table.script(block, replaced, remarks),
            "vrrp_track_process" | "track_process" => table.process(block, replaced, remarks),
            "vrrp_track_file" | "track_file" => table.file(block, remarks),
            _ => {}
        }
    }
    let mut routers: Vec<Router> = Vec::new();
    for block in tree {
        match block.keyword() {
            "vrrp_instance" => {
                let mut instance = Instance::read(block, &globals, &table, remarks);
                instance.interface = instance.interface.or_else(|| globals.interface.clone());
                routers.extend(entry::routers(&instance, remarks));
            }
            "global_defs"
            | "vrrp_script"
            | "vrrp_track_process"
            | "vrrp_track_file"
            | "track_process"
            | "track_file"
            | "vrrp_sync_group"
            | "virtual_server"
            | "virtual_server_group" => {}
            other => unknown_block(other, block, remarks),
        }
    }
    for block in tree
        .iter()
        .filter(|block| block.keyword() == "vrrp_sync_group")
    {
        synchronize(block, &table, &mut routers, remarks);
    }
    for router in &routers {
        for line in &router.notify {
            let why = "programs are told NAME STATE PRIORITY EPOCH here, as evenkeel-notify: see \
                       the program at the end";
            remarks.lost(line, why);
        }
    }
    (routers, table)
}

fn unknown_block(keyword: &str, block: &Statement, remarks: &mut Remarks) {
    let line = &block.line;
    match keyword {
        "static_ipaddress" | "static_routes" | "static_rules" => {
            let why = "what does not move is for the configuration of the host's network";
            remarks.lost(line, why);
            for inside in block.inside() {
                remarks.lost(&inside.line, why);
            }
        }
        "bfd_instance" => remarks.lost(line, "there is no BFD here"),
        "linkbeat_interfaces"
        | "interface_up_down_delays"
        | "static_track_group"
        | "track_group" => {
            let why = "`link` of a virtual router says when its interface counts";
            remarks.otherwise(line, why);
        }
        "linkbeat_use_polling" => remarks.otherwise(line, "links are never polled here"),
        "net_namespace" | "net_namespace_ipvs" | "instance" | "use_pid_dir" | "SSL" => {
            remarks.lost(line, "there is nothing like it here");
        }
        _ => {
            let why = format!("keepalived 2.2 knows no block {keyword}, and passes over it");
            remarks.no_effect(line, why);
        }
    }
}

/// Has the members of a group move together, and follow what the group follows.
fn synchronize(block: &Statement, table: &Table, routers: &mut [Router], remarks: &mut Remarks) {
    let mut members: Vec<String> = Vec::new();
    let (mut track, mut notify) = (Vec::new(), Vec::new());
    for statement in block.inside() {
        let keyword = statement.keyword();
        if keyword == "group" {
            for member in statement.inside() {
                members.extend(member.line.words.iter().cloned());
            }
        } else if words::NOTIFY.contains(&keyword) {
            notify.push(statement.line.clone());
        } else if !instance::follow(statement, None, table, &mut track, remarks) {
            words::remark_in_group(&statement.line, remarks);
        }
    }
    let is_known = |name: &String| routers.iter().any(|router| router.instance == *name);
    let (known, unknown): (Vec<_>, Vec<_>) = members.into_iter().partition(is_known);
    for name in unknown {
        let why = format!("there is no virtual router {name}");
        remarks.lost(&block.line, why);
    }
    let Some(first) = known.first() else {
        return;
    };
    let others: Vec<String> = known
        .iter()
        .skip(1)
        .filter_map(|name| routers.iter().find(|router| router.instance == *name))
        .map(|router| router.name.clone())
        .collect();
    for router in routers.iter_mut().filter(|r| known.contains(&r.instance)) {
        for item in &track {
            router.map.push("track", item.clone());
        }
    }
    if let Some(router) = routers.iter_mut().find(|r| r.instance == *first) {
        for name in others {
            router.map.push("synchronize_with", Yaml::text(name));
        }
        router.notify.extend(notify);
    }
}

fn compare_scripts(first: &Table, other: &Table, file: &Given, remarks: &mut Remarks) {
    if first.scripts != other.scripts {
        let line = Line {
            place: super::remarks::Place {
                file: file.path.to_string_lossy().into(),
                line: 1,
            },
            words: Vec::new(),
            text: "vrrp_script ...".to_owned(),
        };
        let why = "its scripts are not those of the first node, which are taken";
        remarks.lost(&line, why);
    }
}
