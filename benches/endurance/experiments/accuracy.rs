//! The instant of a takeover against the one that the protocol computes, at 10 ms intervals.

use std::time::Duration;

use evenkeel::lab::LabError;

use super::super::rig::capture::now;
use super::super::rig::daemon::{Kind, Settings, node_address};
use super::super::rig::link::Link;
use super::super::rig::report::{Bound, Finding, median, most};

/// What is done.
pub(crate) struct Plan {
    /// Whose daemons.
    pub kinds: Vec<Kind>,
    /// Between two advertisements.
    pub interval: Duration,
    /// How many takeovers of each sort.
    pub takeovers: usize,
    /// How far from the computed instant they may be, in the middle.
    pub median_max: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            // With its default scheduling it is not at rest at such an interval.
            kinds: vec![Kind::Evenkeel, Kind::KeepalivedRealtime],
            interval: Duration::from_millis(10),
            takeovers: 40,
            median_max: Duration::from_millis(2),
        }
    }
}

/// Does it.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Finding>, LabError> {
    let mut links = Vec::new();
    for kind in &plan.kinds {
        links.push(Link::start(Settings::new(*kind, plan.interval))?);
    }
    let mut errors = vec![[Vec::new(), Vec::new()]; links.len()];
    // Interleaved, so that all meet the same machine.
    for _ in 0..plan.takeovers {
        for (link, errors) in links.iter_mut().zip(&mut errors) {
            errors[0].push(after_silence(link)?);
            errors[1].push(after_goodbye(link)?);
        }
    }
    let mut findings = Vec::new();
    for (link, errors) in links.iter().zip(&errors) {
        let bound = || match link.settings.kind {
            Kind::Evenkeel => Bound::AtMost(plan.median_max),
            Kind::Keepalived | Kind::KeepalivedRealtime => Bound::Free,
        };
        for (name, errors) in ["after silence", "after priority 0"].iter().zip(errors) {
            let subject = format!("{} {:?}, {name}", link.settings.kind.name(), plan.interval);
            let (middle, worst) = (median(errors), most(errors));
            findings.push(Finding::new(
                &subject,
                "off the computed instant, median",
                middle,
                bound(),
            ));
            findings.push(Finding::new(
                &subject,
                "off the computed instant, most",
                worst,
                Bound::Free,
            ));
        }
    }
    Ok(findings)
}

/// The frames of the Active are lost from some instant on.
fn after_silence(link: &mut Link) -> Result<Duration, LabError> {
    let from = now();
    link.lab.isolate("node1")?;
    let taken_at = link.first_of(1, from)?.at;
    let trace = link
        .capture
        .trace(from - 10 * link.settings.interval, taken_at);
    let last = trace.advertisements(node_address(0), 1);
    link.lab.join("node1")?;
    link.settle(0)?;
    let Some(last) = last.last() else {
        return Ok(Duration::MAX);
    };
    Ok(taken_at.abs_diff(*last + link.settings.active_down_interval(1)))
}

/// The Active stops and says so.
fn after_goodbye(link: &mut Link) -> Result<Duration, LabError> {
    let from = now();
    link.daemon(0)?.process().terminate()?;
    let taken_at = link.first_of(1, from)?.at;
    let trace = link.capture.trace(from, taken_at);
    let leaving = trace
        .0
        .iter()
        .filter(|seen| seen.what.is_leaving(node_address(0), 1));
    let last = leaving.map(|seen| seen.at).next_back();
    link.wait_for_end(0)?;
    link.start_node(0)?;
    link.settle(0)?;
    let Some(last) = last else {
        return Ok(Duration::MAX);
    };
    Ok(taken_at.abs_diff(last + link.settings.skew_time(1)))
}
