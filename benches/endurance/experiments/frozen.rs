//! A machine that stands still for 5 s and goes on: its time is over, and it must not believe
//! otherwise.

use std::time::Duration;

use evenkeel::lab::LabError;

use super::super::rig::capture::now;
use super::super::rig::daemon::{Kind, Settings, node_address, virtual_address};
use super::super::rig::link::Link;
use super::super::rig::report::{Bound, Finding};

/// What is done.
pub(crate) struct Plan {
    /// Whose daemons.
    pub kinds: Vec<Kind>,
    /// Between two advertisements, one after the other.
    pub intervals: Vec<Duration>,
    /// How long it stands still.
    pub span: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            kinds: vec![Kind::Evenkeel, Kind::Keepalived],
            intervals: [100, 1000].map(Duration::from_millis).to_vec(),
            span: Duration::from_secs(5),
        }
    }
}

/// Does it.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Finding>, LabError> {
    let mut findings = Vec::new();
    for interval in &plan.intervals {
        for kind in &plan.kinds {
            findings.extend(freeze(plan, *kind, *interval)?);
        }
    }
    Ok(findings)
}

fn freeze(plan: &Plan, kind: Kind, interval: Duration) -> Result<Vec<Finding>, LabError> {
    let mut settings = Settings::new(kind, interval);
    settings.preempt = false;
    let mut link = Link::new(settings)?;
    // Nobody preempts, so the one that is first is it.
    link.start_node(0)?;
    link.first_of(0, Duration::ZERO)?;
    link.start_node(1)?;
    link.settle(0)?;
    let address = virtual_address(1, 1);
    let frozen_at = now();
    link.daemon(0)?.process().freeze_family()?;
    link.first_of(1, frozen_at)?;
    std::thread::sleep((frozen_at + plan.span).saturating_sub(now()));
    let held_to_the_end = link.has(0, address)?;
    let thawed_at = now();
    link.daemon(0)?.process().thaw_family()?;
    let watched_to = thawed_at + 4 * interval + AFTERMATH;
    let trace = link.capture.trace(thawed_at, watched_to);
    let of_frozen = trace.advertisements(node_address(0), 1).len() as u64;
    let others = trace.advertisements(node_address(1), 1);
    let held_afterwards = link.has(0, address)?;
    let subject = format!("{} {interval:?}, frozen for {:?}", kind.name(), plan.span);
    let none = || match kind {
        Kind::Evenkeel => Bound::Exactly(0),
        Kind::Keepalived | Kind::KeepalivedRealtime => Bound::Free,
    };
    let mut findings = vec![
        Finding::new(&subject, "advertisements after the thaw", of_frozen, none()),
        Finding::new(
            &subject,
            "address still there before the thaw",
            u64::from(held_to_the_end),
            none(),
        ),
        Finding::new(
            &subject,
            "address there after the thaw",
            u64::from(held_afterwards),
            none(),
        ),
        Finding::new(
            &subject,
            "the other's advertisements meanwhile",
            others.len() as u64,
            match kind {
                Kind::Evenkeel => Bound::AtLeast(4),
                Kind::Keepalived | Kind::KeepalivedRealtime => Bound::Free,
            },
        ),
    ];
    if kind == Kind::Evenkeel {
        let status = link.status(0)?;
        let backups = status
            .virtual_routers
            .iter()
            .filter(|r| r.state == "Backup");
        let count = backups.count() as u64;
        findings.push(Finding::new(
            &subject,
            "virtual routers in Backup",
            count,
            Bound::Exactly(1),
        ));
    }
    Ok(findings)
}

/// Beyond four intervals.
const AFTERMATH: Duration = Duration::from_secs(1);
