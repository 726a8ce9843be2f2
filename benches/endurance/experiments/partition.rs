//! A partition that heals at every phase of the interval: two Actives meet, and one is left without
//! anybody noticing.

use std::time::Duration;

use evenkeel::lab::LabError;

use super::super::rig::capture::now;
use super::super::rig::client::{Client, Echo};
use super::super::rig::daemon::{Kind, Settings, node_address, virtual_address};
use super::super::rig::link::Link;
use super::super::rig::report::{Bound, Finding, median, most};

/// What is done.
pub(crate) struct Plan {
    /// Whose daemons.
    pub kinds: Vec<Kind>,
    /// Between two advertisements, one after the other.
    pub intervals: Vec<Duration>,
    /// Into how many phases an interval is cut.
    pub phases: u32,
    /// What a client may miss beyond an interval.
    pub slack: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            kinds: vec![Kind::Evenkeel, Kind::Keepalived],
            intervals: [1000, 100].map(Duration::from_millis).to_vec(),
            phases: 20,
            slack: Duration::from_millis(100),
        }
    }
}

/// What was seen of one kind.
#[derive(Clone, Debug, Default)]
struct Outcome {
    /// The longest that the client missed after each healing.
    blackouts: Vec<Duration>,
    /// How often not exactly the better one was Active in the end.
    undecided: u64,
}

/// Does it.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Finding>, LabError> {
    let mut findings = Vec::new();
    for interval in &plan.intervals {
        let outcomes = std::thread::scope(|scope| {
            let threads: Vec<_> = plan
                .kinds
                .iter()
                .map(|kind| scope.spawn(|| heal(plan, Settings::new(*kind, *interval))))
                .collect();
            let joined = threads.into_iter().map(|thread| match thread.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect::<Result<Vec<Outcome>, _>>()
        })?;
        for (kind, outcome) in plan.kinds.iter().zip(outcomes) {
            let subject = format!("{} {interval:?}, {} phases", kind.name(), plan.phases);
            let ours = *kind == Kind::Evenkeel;
            let bound = if ours {
                Bound::AtMost(*interval + plan.slack)
            } else {
                Bound::Free
            };
            let (longest, middle) = (most(&outcome.blackouts), median(&outcome.blackouts));
            findings.push(Finding::new(
                &subject,
                "blackout after healing, most",
                longest,
                bound,
            ));
            findings.push(Finding::new(
                &subject,
                "blackout after healing, median",
                middle,
                Bound::Free,
            ));
            let bound = if ours { Bound::Exactly(0) } else { Bound::Free };
            let what = "healed without exactly one Active";
            findings.push(Finding::new(&subject, what, outcome.undecided, bound));
        }
    }
    Ok(findings)
}

fn heal(plan: &Plan, settings: Settings) -> Result<Outcome, LabError> {
    let mut link = Link::start(settings)?;
    let _echoes = [Echo::start(&link.hosts[0])?, Echo::start(&link.hosts[1])?];
    let client = Client::start(&link.stranger, virtual_address(1, 1))?;
    let interval = settings.interval;
    let mut outcome = Outcome::default();
    for phase in 0..plan.phases {
        let parted_at = now();
        link.lab.isolate("node1")?;
        let taken = link.first_of(1, parted_at)?;
        // Two intervals later, at a phase of the other Active's advertisements.
        let after = taken.at + interval + interval / 2;
        let beat = link.first_of(1, after)?;
        let heal_at = beat.at + interval * phase / plan.phases;
        std::thread::sleep(heal_at.saturating_sub(now()));
        let healed_at = now();
        link.lab.join("node1")?;
        let watched_to = healed_at + 4 * interval + AFTERMATH;
        std::thread::sleep(watched_to.saturating_sub(now()));
        outcome
            .blackouts
            .push(client.longest_blackout(healed_at, watched_to));
        let decided = link.capture.trace(watched_to - 2 * interval, watched_to);
        let alone = decided.advertisers(1).into_iter().eq([node_address(0)]);
        outcome.undecided += u64::from(!alone);
        if !alone {
            link.settle(0)?;
        }
    }
    Ok(outcome)
}

/// For what comes after the decision: announcements, the end of a lease.
const AFTERMATH: Duration = Duration::from_millis(500);
