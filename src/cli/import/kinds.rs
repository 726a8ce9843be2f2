//! Whose configuration a file is: by what stands in it, or else by its name.

use std::path::{Path, PathBuf};

use super::keepalived::Given;
use super::reading::Files;

/// Whose configuration a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// keepalived.conf.
    Keepalived,
    /// haproxy.cfg.
    HaProxy,
    /// perlbal.conf.
    Perlbal,
    /// ha.cf of heartbeat.
    HaCf,
    /// haresources of heartbeat.
    HaResources,
    /// authkeys of heartbeat.
    AuthKeys,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Reads a file and tells whose it is.
///
/// # Errors
/// It cannot be read, or is none of the known ones.
pub fn read(
    files: &dyn Files,
    node: Option<&str>,
    path: &Path,
) -> Result<(Kind, Given), ImportError> {
    let text = files.read(path).map_err(|source| ImportError::Read {
        path: path.to_owned(),
        source,
    })?;
    let Some(kind) = kind(path, &text) else {
        let why = format!(
            "{} is no configuration of keepalived, HAProxy, Perlbal or heartbeat (ha.cf, \
             haresources)",
            path.display()
        );
        return Err(ImportError::Usage(why));
    };
    let given = Given {
        node: node.map(str::to_owned),
        path: path.to_owned(),
        text,
    };
    Ok((kind, given))
}

/// Checks that files go together.
///
/// # Errors
/// They do not.
pub fn check(given: &[(Kind, Given)]) -> Result<(), ImportError> {
    let usage = |why: &str| Err(ImportError::Usage(why.to_owned()));
    if given.is_empty() {
        return usage("name the files to import");
    }
    let count = |kind: Kind, named: bool| {
        let those = given.iter().filter(|(other, _)| *other == kind);
        those
            .filter(|(_, file)| file.node.is_some() == named)
            .count()
    };
    if given
        .iter()
        .any(|(kind, file)| file.node.is_some() && *kind != Kind::Keepalived)
    {
        return usage(
            "--node is for files of keepalived; those of others are the same on all nodes",
        );
    }
    let (plain, named) = (
        count(Kind::Keepalived, false),
        count(Kind::Keepalived, true),
    );
    if plain > 1 || (plain > 0 && named > 0) {
        return usage("say whose files of keepalived these are: --node NAME=FILE for each");
    }
    let mut nodes: Vec<&str> = given
        .iter()
        .filter_map(|(_, file)| file.node.as_deref())
        .collect();
    nodes.sort_unstable();
    if nodes.windows(2).any(|pair| pair[0] == pair[1]) {
        return usage("a node has one file: --node names one twice");
    }
    if count(Kind::HaCf, false) > 1 || count(Kind::HaResources, false) > 1 {
        return usage("ha.cf and haresources are the same on all nodes: name each once");
    }
    if plain + named > 0 && count(Kind::HaCf, false) + count(Kind::HaResources, false) > 0 {
        return usage("addresses are moved by keepalived or by heartbeat, not by both");
    }
    Ok(())
}

fn kind(path: &Path, text: &str) -> Option<Kind> {
    let first_words = text
        .lines()
        .map(|line| line.split_whitespace().next().unwrap_or(""));
    let words: Vec<&str> = first_words
        .filter(|word| !word.is_empty() && !word.starts_with(['#', '!']))
        .collect();
    let count = |known: &[&str]| words.iter().filter(|word| known.contains(word)).count();
    let lower: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    let perlbal = ["create", "set", "enable", "pool", "load", "vhost"];
    let perlbal = lower
        .iter()
        .filter(|word| perlbal.contains(&word.as_str()))
        .count();
    let of_text = [
        (
            Kind::Keepalived,
            count(&KEEPALIVED)
                + words
                    .iter()
                    .filter(|word| word.starts_with("vrrp_") || word.starts_with('@'))
                    .count(),
        ),
        (Kind::HaProxy, count(&HAPROXY)),
        (Kind::Perlbal, perlbal),
        (Kind::HaCf, count(&HA_CF)),
    ];
    let best = of_text.iter().max_by_key(|(_, count)| *count)?;
    let by_name = || match path.file_name()?.to_str()? {
        name if name.contains("haresources") => Some(Kind::HaResources),
        name if name.contains("authkeys") => Some(Kind::AuthKeys),
        name if name.contains("ha.cf") => Some(Kind::HaCf),
        name if name.contains("haproxy") || name.ends_with(".cfg") => Some(Kind::HaProxy),
        name if name.contains("perlbal") => Some(Kind::Perlbal),
        name if name.contains("keepalived") => Some(Kind::Keepalived),
        _ => None,
    };
    // Of these the first word is the user's own.
    match by_name() {
        Some(kind @ (Kind::HaResources | Kind::AuthKeys)) => Some(kind),
        named => (best.1 > 0).then_some(best.0).or(named),
    }
}

const KEEPALIVED: [&str; 9] = [
    "global_defs",
    "virtual_server",
    "virtual_ipaddress",
    "virtual_router_id",
    "authentication",
    "real_server",
    "include",
    "static_routes",
    "static_ipaddress",
];
const HAPROXY: [&str; 11] = [
    "global", "defaults", "frontend", "backend", "listen", "bind", "server", "mode", "option",
    "timeout", "balance",
];
const HA_CF: [&str; 12] = [
    "keepalive",
    "deadtime",
    "warntime",
    "initdead",
    "udpport",
    "bcast",
    "ucast",
    "mcast",
    "auto_failback",
    "node",
    "logfacility",
    "respawn",
];
