//! Busy machines: an Active that the scheduler starves looks dead to its peer.
//!
//! Pairs of all kinds at once, each on a link of its own, with 32 loops beside them that want both
//! cores; then the same with network namespaces made and deleted, which holds the kernel's network
//! lock again and again.

use std::process::Command;
use std::time::Duration;

use evenkeel::lab::LabError;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::process::Process;

use super::super::rig::capture::{longest_gap, now};
use super::super::rig::daemon::{Kind, Settings, node_address};
use super::super::rig::link::Link;
use super::super::rig::report::{Bound, Finding};

/// What is done.
pub(crate) struct Plan {
    /// How long each load lasts.
    pub span: Duration,
    /// How many busy loops.
    pub loops: usize,
    /// Between two advertisements, one after the other.
    pub intervals: Vec<Duration>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            span: Duration::from_secs(60),
            loops: 32,
            intervals: [100, 30].map(Duration::from_millis).to_vec(),
        }
    }
}

/// Does it.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Finding>, LabError> {
    let mut findings = Vec::new();
    for (name, lockers) in [("loops", 0), ("loops, namespaces", 2)] {
        for interval in &plan.intervals {
            findings.extend(under(plan, name, lockers, *interval)?);
        }
    }
    Ok(findings)
}

fn under(
    plan: &Plan,
    name: &str,
    lockers: usize,
    interval: Duration,
) -> Result<Vec<Finding>, LabError> {
    let links = [Kind::Evenkeel, Kind::Keepalived, Kind::KeepalivedRealtime]
        .into_iter()
        .map(|kind| Link::start(Settings::new(kind, interval)))
        .collect::<Result<Vec<Link>, _>>()?;
    let busy = Host::new("busy")?;
    let from = now();
    let mut load: Vec<Process> = Vec::new();
    for _ in 0..plan.loops {
        load.push(shell(&busy, "while :; do :; done")?);
    }
    for _ in 0..lockers {
        load.push(shell(&busy, LOCKER)?);
    }
    std::thread::sleep(plan.span);
    let to = now();
    drop(load);
    let mut findings = Vec::new();
    for link in &links {
        let trace = link.capture.trace(from, to);
        let kind = link.settings.kind;
        let subject = format!("{} {interval:?}, {name}", kind.name());
        let bound = match kind {
            Kind::Evenkeel => Bound::Exactly(0),
            Kind::Keepalived | Kind::KeepalivedRealtime => Bound::Free,
        };
        let instants = trace.advertisements(node_address(0), 1);
        let failovers = trace.turns(node_address(1), 1);
        findings.push(Finding::new(&subject, "failovers", failovers, bound));
        let longest = longest_gap(&instants, from, to);
        findings.push(Finding::new(&subject, "longest gap", longest, Bound::Free));
    }
    Ok(findings)
}

fn shell(host: &Host, script: &str) -> Result<Process, LabError> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    host.spawn(command)
}

/// A namespace with a pair of links vanishes with the shell in it.
const LOCKER: &str = "while :; do unshare --net /bin/sh -c 'ip link add a type veth peer name b; ip link set a up'; done";
