//! `evenkeel import`: turns configurations of keepalived, HAProxy, Perlbal and heartbeat into ours.
//!
//! [`import`] reads texts and makes one [`Outcome`] of them: the YAML, with a comment for every
//! line that is not in it, and what is said beside. A folder or file for each grammar writes into
//! one [`draft`]; [`connect`] ties listeners to virtual routers; the result is checked as every
//! file is. Only [`reading`] touches files.

pub mod connect;
pub mod draft;
pub mod haproxy;
pub mod heartbeat;
pub mod keepalived;
pub mod kinds;
pub mod perlbal;
pub mod reading;
pub mod remarks;
pub mod units;
pub mod yaml;

use std::io::Write as _;
use std::path::Path;

use super::outcome::{EXIT_DONE, EXIT_FAILED, EXIT_USAGE};
use crate::config::{NodeName, parse};
use draft::Draft;
use keepalived::Given;
pub use kinds::ImportError;
use kinds::Kind as FileKind;
use reading::{Files, OnDisk};
use remarks::{Kind, Remarks, harmless, wrapped};

/// What has come of an import.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The configuration, with its comments.
    pub yaml: String,
    /// What is said beside it.
    pub summary: String,
    /// 0, or 1 where something is lost that decides about service, or the result is not right.
    pub code: i32,
}

/// Imports files, and those of nodes (`lb1=FILE`), prints the result, and returns the exit code.
pub(super) fn run(files: &[String], nodes: &[String]) -> i32 {
    match import(&OnDisk, files, nodes) {
        Ok(outcome) => {
            eprint!("{}", outcome.summary);
            // Whoever reads may have gone away.
            match std::io::stdout().write_all(outcome.yaml.as_bytes()) {
                Ok(()) => outcome.code,
                Err(_) => EXIT_FAILED,
            }
        }
        Err(error) => {
            super::outcome::print_error(&error);
            match error {
                ImportError::Usage(_) => EXIT_USAGE,
                ImportError::Read { .. } => EXIT_FAILED,
            }
        }
    }
}

/// Imports files, and those of nodes (`lb1=FILE`).
///
/// # Errors
/// The arguments make no sense, or a file cannot be read.
pub fn import(
    files: &dyn Files,
    paths: &[String],
    nodes: &[String],
) -> Result<Outcome, ImportError> {
    let mut given = Vec::new();
    for node in nodes {
        let parts = node.split_once('=');
        let Some((name, path)) = parts.filter(|(n, p)| !n.is_empty() && !p.is_empty()) else {
            let why = format!("--node {node:?} is not of the form NAME=FILE");
            return Err(ImportError::Usage(why));
        };
        given.push(kinds::read(files, Some(name), Path::new(path))?);
    }
    for path in paths {
        given.push(kinds::read(files, None, Path::new(path))?);
    }
    kinds::check(&given)?;
    let mut draft = Draft::default();
    let mut remarks = Remarks::default();
    fill(files, &given, &mut draft, &mut remarks);
    connect::connect(&mut draft);
    Ok(outcome(&given, &draft, &remarks))
}

/// Has each grammar put its files into the draft.
fn fill(files: &dyn Files, given: &[(FileKind, Given)], draft: &mut Draft, remarks: &mut Remarks) {
    let of = |kind: FileKind| -> Vec<Given> {
        let those = given.iter().filter(|(other, _)| *other == kind);
        those.map(|(_, given)| given.clone()).collect()
    };
    let haproxy = of(FileKind::HaProxy);
    let perlbal = of(FileKind::Perlbal);
    let mut replaced = Vec::new();
    if !haproxy.is_empty() {
        replaced.push("haproxy");
    }
    if !perlbal.is_empty() {
        replaced.push("perlbal");
    }
    let keepalived = of(FileKind::Keepalived);
    if !keepalived.is_empty() {
        keepalived::import(files, &keepalived, &replaced, draft, remarks);
    }
    let (cf, resources) = (of(FileKind::HaCf), of(FileKind::HaResources));
    if !cf.is_empty() || !resources.is_empty() {
        heartbeat::import(&cf, &resources, &replaced, draft, remarks);
    }
    for file in of(FileKind::AuthKeys) {
        heartbeat::import_keys(&file, remarks);
    }
    if !haproxy.is_empty() {
        haproxy::import(&haproxy, draft, remarks);
    }
    for file in &perlbal {
        perlbal::import(files, file, draft, remarks);
    }
}

fn outcome(given: &[(FileKind, Given)], draft: &Draft, remarks: &Remarks) -> Outcome {
    let mut names: Vec<String> = Vec::new();
    for (_, file) in given {
        let name = harmless(&file.path.to_string_lossy());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let names = names.join(", ");
    let body = draft.yaml();
    let lost = remarks.count(Kind::Lost);
    let mut yaml = format!("# Made by `evenkeel import` of {names}.\n#\n");
    for (kind, title) in [
        (Kind::Lost, "LOST, and it decides about service:"),
        (Kind::Otherwise, "Otherwise here, or not needed:"),
        (Kind::NoEffect, "Without effect in the original as well:"),
    ] {
        if remarks.count(kind) > 0 {
            yaml.push_str(&format!("# {title}\n"));
            yaml.push_str(&remarks.text(kind, "#   "));
            yaml.push_str("#\n");
        }
    }
    if lost == 0 {
        yaml.push_str("# Nothing that decides about service is lost.\n");
    }
    yaml.push('\n');
    yaml.push_str(&body);
    for (title, lines) in &draft.notes {
        yaml.push('\n');
        for row in wrapped(&format!("{}:", harmless(title)), 96) {
            yaml.push_str(&format!("# {row}\n"));
        }
        for line in lines {
            yaml.push_str(&format!("#   {}\n", harmless(line)));
        }
    }
    let wrong = if draft.is_empty() {
        vec![
            "nothing of these files can be served: there is no virtual router and no listener\n"
                .to_owned(),
        ]
    } else {
        check(&yaml, draft)
    };
    let summary = summary(&names, draft, remarks, &wrong);
    let code = if lost > 0 || !wrong.is_empty() {
        EXIT_FAILED
    } else {
        EXIT_DONE
    };
    Outcome {
        yaml,
        summary,
        code,
    }
}

/// Returns what is wrong with the result, for each node that it is for.
fn check(yaml: &str, draft: &Draft) -> Vec<String> {
    let mut nodes: Vec<&str> = draft.nodes.iter().map(String::as_str).collect();
    if nodes.is_empty() {
        nodes.push("import");
    }
    let mut wrong: Vec<String> = Vec::new();
    for node in nodes {
        if let Err(errors) = parse("the result", yaml, NodeName::Given(node)) {
            let errors = errors.to_string();
            if !wrong.contains(&errors) {
                wrong.push(errors);
            }
        }
    }
    wrong
}

fn summary(names: &str, draft: &Draft, remarks: &Remarks, wrong: &[String]) -> String {
    let several = |count: usize, one: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    };
    let mut text = format!(
        "{names}: {}, {}, {}\n",
        several(draft.routers.count(), "virtual router"),
        several(draft.listeners.count(), "listener"),
        several(draft.pools.count(), "pool")
    );
    let (lost, otherwise, none) = (
        remarks.count(Kind::Lost),
        remarks.count(Kind::Otherwise),
        remarks.count(Kind::NoEffect),
    );
    text.push_str(&format!(
        "{} lost; {} otherwise here, or not needed; {} without effect in the original\n",
        several(lost, "line"),
        several(otherwise, "line"),
        several(none, "line")
    ));
    if lost > 0 {
        text.push_str("lost, and it decides about service:\n");
        text.push_str(&remarks.text(Kind::Lost, "  "));
    }
    if !wrong.is_empty() {
        text.push_str("the result does not pass `evenkeel check`:\n");
        for error in wrong {
            text.push_str(error.trim_end());
            text.push('\n');
        }
    }
    text
}
