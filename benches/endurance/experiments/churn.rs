//! Links that flap and interfaces that are made again under a running daemon: nothing may pile up.

use std::time::Duration;

use evenkeel::lab::LabError;

use super::super::rig::capture::now;
use super::super::rig::daemon::{Kind, Settings, node_address};
use super::super::rig::link::Link;
use super::super::rig::report::{Bound, Finding, Permille};
use super::super::rig::usage::Usage;

/// What is done.
pub(crate) struct Plan {
    /// Of both sorts together.
    pub events: u32,
    /// After how many the first look is taken.
    pub first_look: u32,
    /// By how much the memory may have grown since.
    pub growth_max: Permille,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            events: 200,
            first_look: 20,
            growth_max: Permille(50),
        }
    }
}

/// Does it.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Finding>, LabError> {
    let mut findings = Vec::new();
    for virtual_mac in [false, true] {
        findings.extend(churn(plan, virtual_mac)?);
    }
    Ok(findings)
}

fn churn(plan: &Plan, virtual_mac: bool) -> Result<Vec<Finding>, LabError> {
    let mut settings = Settings::new(Kind::Evenkeel, Duration::from_millis(20));
    settings.virtual_mac = virtual_mac;
    let mut link = Link::new(settings)?;
    link.start_node(0)?;
    link.first_of(0, Duration::ZERO)?;
    let pid = link.daemon(0)?.vrrp_pid()?;
    let mut looks = Vec::new();
    for event in 1..=plan.events {
        if event % 2 == 1 {
            link.lab.cut("node1")?;
            link.lab.restore("node1")?;
        } else {
            link.lab.replace("node1")?;
        }
        link.first_of(0, now())?;
        if event == plan.first_look || event == plan.events {
            looks.push(Usage::of(pid)?);
        }
    }
    let same = link.daemon(0)?.vrrp_pid()? == pid;
    let subject = format!(
        "evenkeel, {} events, virtual_mac: {virtual_mac}",
        plan.events
    );
    let mut findings = Vec::new();
    if let [first, last] = looks[..] {
        let grown = last.memory.0.saturating_sub(first.memory.0) * 1000 / first.memory.0.max(1);
        let descriptors = last.descriptors.saturating_sub(first.descriptors);
        findings.extend([
            Finding::new(&subject, "resident memory", last.memory, Bound::Free),
            Finding::new(
                &subject,
                "memory grown",
                Permille(grown),
                Bound::AtMost(plan.growth_max),
            ),
            Finding::new(&subject, "descriptors", last.descriptors, Bound::Free),
            Finding::new(&subject, "descriptors more", descriptors, Bound::Exactly(0)),
        ]);
    }
    let from = now();
    let trace = link.capture.trace(from, from + 20 * settings.interval);
    let advertised = trace.advertisements(node_address(0), 1).len() as u64;
    findings.extend([
        Finding::new(
            &subject,
            "restarts of the process",
            u64::from(!same),
            Bound::Exactly(0),
        ),
        Finding::new(
            &subject,
            "advertisements in 20 intervals afterwards",
            advertised,
            Bound::AtLeast(15),
        ),
    ]);
    Ok(findings)
}
