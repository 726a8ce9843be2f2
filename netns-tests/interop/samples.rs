//! The samples that Debian's packages of keepalived and HAProxy install, imported.
//!
//! They are read where they lie. A machine without them, such as one whose dpkg leaves documents
//! out, fails and says so.

use std::fs;
use std::path::PathBuf;

use evenkeel::cli::import::import;
use evenkeel::cli::import::reading::OnDisk;

#[test]
fn samples_of_keepalived_are_imported() {
    let folder = "/usr/share/doc/keepalived/samples";
    // Of these nothing can be served here: UDP, firewall marks, groups of servers.
    let nothing = ["PING_CHECK", "UDP_CHECK", "fwmark", "virtual_server_group"];
    for path in samples(folder, "keepalived.conf.", "keepalived", 20) {
        let name = path.to_string_lossy().into_owned();
        let known = nothing.iter().any(|end| name.ends_with(end));
        imported(&name, known);
    }
}

#[test]
fn examples_of_haproxy_are_imported() {
    let folder = "/usr/share/doc/haproxy/examples";
    for path in samples(folder, "", "haproxy", 5) {
        let name = path.to_string_lossy().into_owned();
        if name.ends_with(".cfg") {
            imported(&name, name.ends_with("option-http_proxy.cfg"));
        }
    }
}

/// Asserts that what becomes of a file passes the check, or, where that is known, that nothing of
/// it is left.
fn imported(name: &str, nothing_is_left: bool) {
    let outcome = import(&OnDisk, &[name.to_owned()], &[]).unwrap();
    assert!(
        !outcome.yaml.contains("not known to this import"),
        "{name}: every word is known\n{}",
        outcome.yaml
    );
    let passes = !outcome.summary.contains("does not pass");
    assert_eq!(passes, !nothing_is_left, "{name}\n{}", outcome.summary);
    assert!(outcome.code <= 1, "{name}: {}", outcome.code);
}

fn samples(folder: &str, begin: &str, package: &str, least: usize) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder);
    let entries = entries.unwrap_or_else(|error| {
        panic!("{folder}: {error}: install the package {package}, with its documents")
    });
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with(begin))
        })
        .collect();
    paths.sort();
    assert!(
        paths.len() >= least,
        "{folder} has only {} samples: install the package {package}, with its documents",
        paths.len()
    );
    paths
}
