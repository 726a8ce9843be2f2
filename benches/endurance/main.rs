//! What an Active and its Backup endure: load, slow logs, many routers, partitions, stalls,
//! flapping links, strangers, hostile clients.
//!
//! `cargo bench --bench endurance` as root, with Debian's keepalived beside it where a comparison
//! says something. Names of experiments after `--` choose some. Every time is taken by a capture on
//! a host that takes no part. It prints a table, and ends with 1 when a bound was not kept.

mod experiments;
mod rig;

use std::process::ExitCode;
use std::time::Instant;

use evenkeel::lab::LabError;
use evenkeel::lab::interrupt::clean_up_on_signals;
use evenkeel::model::Chain;

use experiments::{accuracy, bogus, churn, frozen, hostile, load, many, partition, slow};
use rig::report::Finding;

/// An experiment by its name.
type Experiment = (&'static str, fn() -> Result<Vec<Finding>, LabError>);

const EXPERIMENTS: [Experiment; 9] = [
    ("load", || load::run(&load::Plan::default())),
    ("slow", || slow::run(&slow::Plan::default())),
    ("many", || many::run(&many::Plan::default())),
    ("accuracy", || accuracy::run(&accuracy::Plan::default())),
    ("partition", || partition::run(&partition::Plan::default())),
    ("frozen", || frozen::run(&frozen::Plan::default())),
    ("churn", || churn::run(&churn::Plan::default())),
    ("bogus", || bogus::run(&bogus::Plan::default())),
    ("hostile", || hostile::run(&hostile::Plan::default())),
];

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let names: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let known = |name: &&String| EXPERIMENTS.iter().any(|(known, _)| known == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let known: Vec<&str> = EXPERIMENTS.iter().map(|(name, _)| *name).collect();
        return Err(format!("no experiment `{unknown}`; there are: {}", known.join(", ")).into());
    }
    if !rig::daemon::keepalived().exists() {
        return Err("keepalived is missing: install Debian's package keepalived".into());
    }
    clean_up_on_signals()?;
    let mut broken = 0;
    let chosen = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    for (name, run) in EXPERIMENTS.iter().filter(|(name, _)| chosen(name)) {
        let began = Instant::now();
        let findings = run().map_err(|error| Chain(&error).to_string())?;
        println!("\n{name} ({} s)", began.elapsed().as_secs());
        for finding in &findings {
            println!("{}", finding.line());
        }
        broken += findings.iter().filter(|finding| !finding.kept).count();
    }
    println!("\n{broken} bounds not kept");
    Ok(if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
