//! Many virtual routers and many addresses: what they cost, and how soon all are announced.

use std::time::Duration;

use evenkeel::lab::LabError;
use evenkeel::lab::process;
use nix::sys::signal::Signal;

use super::super::rig::capture::{longest_gap, now};
use super::super::rig::daemon::{Kind, Settings, node_address};
use super::super::rig::link::Link;
use super::super::rig::report::{Bound, Finding, Kibibytes, Permille, median, most};
use super::super::rig::usage::{Usage, share};

/// What is done.
pub(crate) struct Plan {
    /// Whose daemons.
    pub kinds: Vec<Kind>,
    /// How many virtual routers, at 100 ms.
    pub routers: u8,
    /// How long their cost is measured.
    pub span: Duration,
    /// What it may be, of one core.
    pub share_max: Permille,
    /// What may be resident.
    pub memory_max: Kibibytes,
    /// How often the process of an Active is killed.
    pub crashes: usize,
    /// How often 500 addresses are announced.
    pub rounds: usize,
    /// Within what.
    pub announced_max: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            kinds: vec![Kind::Evenkeel, Kind::Keepalived],
            routers: 250,
            span: Duration::from_secs(20),
            share_max: Permille(90),
            memory_max: Kibibytes(16 << 10),
            crashes: 5,
            rounds: 5,
            announced_max: Duration::from_millis(30),
        }
    }
}

/// Does it.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Finding>, LabError> {
    let mut findings = cost(plan)?;
    if plan.kinds.contains(&Kind::Evenkeel) {
        findings.extend(crash(plan)?);
    }
    for kind in &plan.kinds {
        if plan.rounds > 0 {
            findings.extend(announce(plan, *kind)?);
        }
    }
    Ok(findings)
}

/// Both nodes of all kinds are measured at the same time.
fn cost(plan: &Plan) -> Result<Vec<Finding>, LabError> {
    let mut links = Vec::new();
    for kind in &plan.kinds {
        let mut settings = Settings::new(*kind, Duration::from_millis(100));
        settings.routers = plan.routers;
        links.push(Link::start(settings)?);
    }
    let mut before = Vec::new();
    for link in &mut links {
        before.push(usages(link)?);
    }
    let from = now();
    std::thread::sleep(plan.span);
    let mut findings = Vec::new();
    for (link, before) in links.iter_mut().zip(before) {
        let after = usages(link)?;
        let ours = link.settings.kind == Kind::Evenkeel;
        for (role, node) in [("Active", 0), ("Backup", 1)] {
            let subject = format!(
                "{}, {} routers, {role}",
                link.settings.kind.name(),
                plan.routers
            );
            let (cpu, memory) = (share(before[node], after[node]), after[node].memory);
            let bound = if ours {
                Bound::AtMost(plan.share_max)
            } else {
                Bound::Free
            };
            findings.push(Finding::new(&subject, "CPU time of one core", cpu, bound));
            let bound = if ours {
                Bound::AtMost(plan.memory_max)
            } else {
                Bound::Free
            };
            findings.push(Finding::new(&subject, "resident memory", memory, bound));
        }
        let trace = link.capture.trace(from, now());
        let strangers = (1..=plan.routers).filter(|vrid| trace.advertisers(*vrid).len() != 1);
        let subject = format!("{}, {} routers", link.settings.kind.name(), plan.routers);
        let bound = if ours { Bound::Exactly(0) } else { Bound::Free };
        let count = strangers.count() as u64;
        findings.push(Finding::new(
            subject,
            "routers with a failover",
            count,
            bound,
        ));
    }
    Ok(findings)
}

/// The process of the Active is killed: the next one adopts every role before the Backup would take
/// any.
fn crash(plan: &Plan) -> Result<Vec<Finding>, LabError> {
    let mut settings = Settings::new(Kind::Evenkeel, Duration::from_millis(100));
    settings.routers = plan.routers;
    let mut link = Link::start(settings)?;
    let mut failovers = Vec::new();
    let mut silences = Vec::new();
    for _ in 0..plan.crashes {
        let from = now();
        let pid = link.daemon(0)?.vrrp_pid()?;
        process::send(pid, Signal::SIGKILL)?;
        let to = from + AFTERMATH;
        let trace = link.capture.trace(from, to);
        let turns = (1..=plan.routers).map(|vrid| trace.turns(node_address(1), vrid));
        failovers.push(turns.sum::<u64>());
        let gap = |vrid| longest_gap(&trace.advertisements(node_address(0), vrid), from, to);
        silences.push((1..=plan.routers).map(gap).max().unwrap_or_default());
        link.settle(0)?;
    }
    let subject = format!(
        "evenkeel, {} routers, {} crashes",
        plan.routers, plan.crashes
    );
    let (moved, silent) = (median(&failovers), most(&silences));
    Ok(vec![
        Finding::new(
            &subject,
            "routers that moved, median",
            moved,
            Bound::Exactly(0),
        ),
        Finding::new(
            &subject,
            "routers that moved, most",
            most(&failovers),
            Bound::Free,
        ),
        Finding::new(&subject, "longest gap", silent, Bound::Free),
    ])
}

fn usages(link: &mut Link) -> Result<[Usage; 2], LabError> {
    let mut of = |node| Usage::of(link.daemon(node)?.vrrp_pid()?);
    Ok([of(0)?, of(1)?])
}

fn announce(plan: &Plan, kind: Kind) -> Result<Vec<Finding>, LabError> {
    let mut settings = Settings::new(kind, Duration::from_millis(100));
    (settings.routers, settings.addresses) = (2, 250);
    let mut link = Link::new(settings)?;
    let (mut among_themselves, mut since_first) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let from = now();
        link.start_node(0)?;
        let first = link.first_of(0, from)?.at;
        let claims = link.capture.trace(from, first + AFTERMATH).first_claims();
        let instants = || claims.values().copied();
        let complete = claims.len() >= 500;
        let (begin, end) = (
            instants().min().unwrap_or(first),
            instants().max().unwrap_or(first),
        );
        among_themselves.push(if complete { end - begin } else { Duration::MAX });
        since_first.push(if complete {
            end.saturating_sub(first)
        } else {
            Duration::MAX
        });
        link.daemon(0)?.process().terminate()?;
        link.wait_for_end(0)?;
    }
    let bound = || match kind {
        Kind::Evenkeel => Bound::AtMost(plan.announced_max),
        Kind::Keepalived | Kind::KeepalivedRealtime => Bound::Free,
    };
    let subject = format!("{}, 500 addresses", kind.name());
    let (span, since) = (most(&among_themselves), most(&since_first));
    let after = "announced after the first advertisement";
    Ok(vec![
        Finding::new(&subject, "announced after the first", span, bound()),
        Finding::new(&subject, after, since, bound()),
    ])
}

/// Longer than keepalived takes to announce, and a process to be there again.
const AFTERMATH: Duration = Duration::from_secs(1);
