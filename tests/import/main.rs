//! `evenkeel import`: what each grammar becomes, and what is said to be lost.
//!
//! A module a grammar, and `corpus`: configurations after the manner of real ones, whole. Texts are
//! read from memory, so that no test needs a file of this machine, but `corpus`, which reads
//! `configs`. Samples of Debian's packages are read by `netns-tests`.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod arguments;
mod corpus;
mod haproxy;
mod heartbeat;
mod hostile;
mod keepalived;
mod perlbal;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use evenkeel::cli::import::reading::Files;
use evenkeel::cli::import::{Outcome, import};

/// Files that are only in memory, by name.
#[derive(Default)]
struct InMemory(BTreeMap<String, String>);

impl Files for InMemory {
    fn read(&self, path: &Path) -> io::Result<String> {
        let text = self.0.get(path.to_str().unwrap());
        text.cloned().ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let below = self.0.keys().filter_map(|name| {
            let path = Path::new(name);
            (path.parent() == Some(folder)).then(|| path.file_name()?.to_str().map(str::to_owned))
        });
        below.flatten().collect()
    }
}

/// Imports files of these names and texts.
fn imported(files: &[(&str, &str)]) -> Outcome {
    let texts = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let names: Vec<String> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
    import(&InMemory(texts.collect()), &names, &[]).unwrap()
}

/// Returns the YAML of an outcome without its comments.
fn body(outcome: &Outcome) -> String {
    let lines = outcome.yaml.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| format!("{line}\n"))
        .collect::<String>()
        .trim()
        .to_owned()
}

/// Returns the comments under one title, without their margin.
fn said(outcome: &Outcome, title: &str) -> String {
    let comments = outcome
        .yaml
        .lines()
        .map_while(|line| line.strip_prefix('#'));
    let behind = comments.skip_while(|line| !line.contains(title)).skip(1);
    let lines = behind.take_while(|line| line.starts_with("   "));
    lines.map(|line| format!("{}\n", &line[3..])).collect()
}

fn lost(outcome: &Outcome) -> String {
    said(outcome, "LOST")
}

fn otherwise(outcome: &Outcome) -> String {
    said(outcome, "Otherwise here")
}

fn without_effect(outcome: &Outcome) -> String {
    said(outcome, "Without effect")
}

/// Asserts that the result passes the check that every file has to pass.
fn assert_passes(outcome: &Outcome) {
    assert!(
        !outcome.summary.contains("does not pass"),
        "the result passes `evenkeel check`:\n{}\n{}",
        outcome.summary,
        outcome.yaml
    );
}
