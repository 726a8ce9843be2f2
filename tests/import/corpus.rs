//! Whole configurations, written for this after the features of real ones: each becomes one that
//! passes the check, and loses what it is known to lose, no more and no less.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use evenkeel::cli::import::import;
use evenkeel::cli::import::reading::{Files, OnDisk};

use super::assert_passes;

/// Reads below one folder, so that remarks have short names.
struct Below(PathBuf);

impl Files for Below {
    fn read(&self, path: &Path) -> std::io::Result<String> {
        OnDisk.read(&self.0.join(path))
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        OnDisk.list(&self.0.join(folder))
    }
}

/// Each folder, and how many of its lines are lost.
const LOST: [(&str, usize); 44] = [
    ("a01-heartbeat", 1),
    ("a02-services", 3),
    ("a03-pair-with-perlbal", 0),
    ("b01-pair", 2),
    ("b02-tied", 2),
    ("h01-default", 0),
    ("h02-listen", 0),
    ("h03-tls-redirect", 0),
    ("h04-hosts-and-paths", 1),
    ("h05-deny", 0),
    ("h06-tcp-sni", 1),
    ("h07-databases", 1),
    ("h08-old-words", 1),
    ("h09-rates", 1),
    ("h10-cookies", 0),
    ("h11-headers", 1),
    ("h12-names", 1),
    ("h13-behind-proxy", 6),
    ("h14-two-defaults", 2),
    ("h15-unreachable", 0),
    ("k01-smallest", 0),
    ("k02-two-nodes", 0),
    ("k03-script-weight", 0),
    ("k04-script-fault", 0),
    ("k05-unicast-cloud", 0),
    ("k06-no-address", 1),
    ("k07-crosswise", 0),
    ("k08-sync-group", 1),
    ("k09-vmac", 0),
    ("k10-dual-stack", 0),
    ("k11-ipv6", 0),
    ("k12-other-interface", 0),
    ("k13-routes", 6),
    ("k14-conditions", 0),
    ("k15-includes", 1),
    ("k16-track-all", 1),
    ("k17-lvs", 2),
    ("k18-misspelt", 0),
    ("k19-strict-ah", 1),
    ("k20-owner", 0),
    ("k21-nodes-differ", 1),
    ("p01-proxy", 0),
    ("p02-vhosts", 2),
    ("p03-ssl", 1),
];

#[test]
fn every_configuration_is_carried_over_as_far_as_it_can_be() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/configs");
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (name, lost) in LOST {
        known.insert(name.to_owned());
        let folder = configs.join(name);
        let mut files = Vec::new();
        let mut nodes = Vec::new();
        for file in OnDisk.list(&folder) {
            match file.strip_suffix(".keepalived.conf") {
                Some(node) => nodes.push(format!("{node}={file}")),
                None if folder.join(&file).is_file() => files.push(file),
                None => {}
            }
        }
        let outcome = import(&Below(folder), &files, &nodes).unwrap();
        if !NOTHING_LEFT.contains(&name) {
            assert_passes(&outcome);
        }
        let shown = format!("{}---\n{}", outcome.yaml, outcome.summary);
        insta::assert_snapshot!(name, shown);
        let said = format!("\n{lost} line");
        assert!(
            outcome.summary.contains(&said),
            "{name}: {lost} lines are known to be lost\n{}",
            outcome.summary
        );
        let hoped = i32::from(lost > 0);
        assert_eq!(outcome.code, hoped, "{name}: {}", outcome.summary);
    }
    let there = fs::read_dir(&configs).unwrap();
    let there: BTreeSet<String> = there
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, known, "every folder is in the list");
}

/// Those of which nothing can be served here.
const NOTHING_LEFT: [&str; 1] = ["k06-no-address"];
