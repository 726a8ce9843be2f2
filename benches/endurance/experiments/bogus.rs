//! Bogus packets: what is rejected must move nothing. keepalived's Active falls silent on each of
//! six kinds.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use evenkeel::lab::LabError;

use super::super::rig::capture::{longest_gap, now};
use super::super::rig::daemon::{Kind, Settings, node_address, virtual_address};
use super::super::rig::forge::{Flaw, Forged, GROUP};
use super::super::rig::link::Link;
use super::super::rig::report::{Bound, Finding};

/// What is done.
pub(crate) struct Plan {
    /// Whose daemons.
    pub kinds: Vec<Kind>,
    /// Version and interval, one after the other.
    pub cases: Vec<(u8, Duration)>,
    /// How long they are sent.
    pub span: Duration,
    /// What a gap may have beyond 1.05 intervals.
    pub slack: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            kinds: vec![Kind::Evenkeel, Kind::Keepalived],
            cases: vec![
                (2, Duration::from_secs(1)),
                (3, Duration::from_secs(1)),
                (3, Duration::from_millis(100)),
            ],
            span: Duration::from_secs(30),
            slack: Duration::from_millis(5),
        }
    }
}

/// Does it.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Finding>, LabError> {
    let mut findings = Vec::new();
    for (version, interval) in &plan.cases {
        findings.extend(inject(plan, *version, *interval)?);
    }
    for kind in &plan.kinds {
        findings.extend(forge_unicast(plan, *kind)?);
    }
    Ok(findings)
}

fn inject(plan: &Plan, version: u8, interval: Duration) -> Result<Vec<Finding>, LabError> {
    let mut links = Vec::new();
    for kind in &plan.kinds {
        let mut settings = Settings::new(*kind, interval);
        settings.version = version;
        links.push(Link::start(settings)?);
    }
    let bogus = Forged {
        version,
        vrid: 1,
        priority: 200,
        interval: in_units(version, interval),
        address: virtual_address(1, 1),
        source: STRANGER,
        destination: GROUP,
        ttl: 255,
    };
    let mut sent: BTreeMap<&str, u64> = BTreeMap::new();
    let from = now();
    for (flaw, number) in Flaw::all(version).iter().cycle().zip(0..) {
        let at = from + EVERY * number;
        if at >= from + plan.span {
            break;
        }
        std::thread::sleep(at.saturating_sub(now()));
        for link in &links {
            bogus.send(&link.stranger, Some(*flaw))?;
        }
        if let Some(reason) = flaw.reason() {
            *sent.entry(reason).or_default() += 1;
        }
    }
    let mut findings = Vec::new();
    for link in &mut links {
        let subject = format!(
            "{} v{version} {interval:?}, bogus",
            link.settings.kind.name()
        );
        findings.extend(on_time(plan, link, &subject, (from, from + plan.span)));
        if link.settings.kind == Kind::Evenkeel {
            for node in [0, 1] {
                let status = link.status(node)?;
                let counted = status
                    .virtual_routers
                    .first()
                    .map(|router| &router.rejected);
                let subject = format!("{subject}, node{}", node + 1);
                for (reason, sent) in &sent {
                    let count = counted.and_then(|counted| counted.get(*reason)).copied();
                    let (count, bound) = (count.unwrap_or(0), Bound::Exactly(*sent));
                    findings.push(Finding::new(&subject, what(reason), count, bound));
                }
            }
        }
    }
    Ok(findings)
}

/// One packet from somebody who is no peer, from afar, with everything at its highest.
fn forge_unicast(plan: &Plan, kind: Kind) -> Result<Vec<Finding>, LabError> {
    let interval = Duration::from_millis(100);
    let mut settings = Settings::new(kind, interval);
    settings.unicast = true;
    let mut link = Link::start(settings)?;
    let from = now();
    for node in [0, 1] {
        let forged = Forged {
            version: 3,
            vrid: 1,
            priority: 255,
            interval: 4095,
            address: virtual_address(1, 1),
            source: STRANGER,
            destination: node_address(node),
            ttl: 40,
        };
        forged.send(&link.stranger, None)?;
    }
    // The witness is one of the nodes here, so the forged one is in the trace too.
    let subject = format!("{} v3 unicast, one forged", kind.name());
    let mut findings = on_time(plan, &link, &subject, (from, from + UNICAST_WATCH));
    if kind == Kind::Evenkeel {
        for node in [0, 1] {
            let status = link.status(node)?;
            let routers = status.virtual_routers.iter();
            let counted: u64 = routers
                .filter_map(|router| router.rejected.get("peer"))
                .sum();
            let subject = format!("{subject}, node{}", node + 1);
            findings.push(Finding::new(
                subject,
                what("peer"),
                counted,
                Bound::Exactly(1),
            ));
        }
    }
    Ok(findings)
}

fn on_time(
    plan: &Plan,
    link: &Link,
    subject: &str,
    (from, to): (Duration, Duration),
) -> Vec<Finding> {
    let trace = link.capture.trace(from, to);
    let interval = link.settings.interval;
    let ours = link.settings.kind == Kind::Evenkeel;
    let most = interval * 105 / 100 + plan.slack;
    let instants = trace.advertisements(node_address(0), 1);
    let longest = longest_gap(&instants, from, to);
    let bound = if ours {
        Bound::AtMost(most)
    } else {
        Bound::Free
    };
    let turns = trace.turns(node_address(1), 1);
    let none = if ours { Bound::Exactly(0) } else { Bound::Free };
    vec![
        Finding::new(subject, "longest gap", longest, bound),
        Finding::new(subject, "takeovers", turns, none),
    ]
}

fn in_units(version: u8, interval: Duration) -> u16 {
    let units = match version {
        2 => u128::from(interval.as_secs()),
        _ => interval.as_millis() / 10,
    };
    u16::try_from(units).unwrap_or(u16::MAX)
}

fn what(reason: &str) -> &'static str {
    match reason {
        "checksum" => "rejected: checksum",
        "version" => "rejected: version",
        "interval_mismatch" => "rejected: interval_mismatch",
        "hop_limit" => "rejected: hop_limit",
        "length" => "rejected: length",
        "authentication_type" => "rejected: authentication_type",
        "peer" => "rejected: peer",
        _ => "rejected: something else",
    }
}

const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 66);
/// 2.5 a second.
const EVERY: Duration = Duration::from_millis(400);
const UNICAST_WATCH: Duration = Duration::from_secs(5);
