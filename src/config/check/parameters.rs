//! What a virtual router is told about the election: priority, intervals, preemption, lease,
//! announcements.

use std::collections::BTreeMap;
use std::time::Duration;

use super::values::{duration, duration_or, flag, flag_by_node, number_or};
use super::wire;
use crate::config::file::Kind;
use crate::config::reader::{Fields, Value};
use crate::config::report::{Problems, shown};
use crate::logic::vrrp::{AnnouncementPlan, LinkRules, Preempt};
use crate::model::{AdverInterval, Priority, Rank};

/// What the state machine is told.
#[derive(Clone, Debug)]
pub(super) struct Election {
    pub(super) rank: Rank,
    pub(super) priorities: BTreeMap<String, Priority>,
    pub(super) advertisement_interval: AdverInterval,
    pub(super) down_multiplier: u8,
    pub(super) preempt: Preempt,
    pub(super) lease: Duration,
    pub(super) announcements: AnnouncementPlan,
    pub(super) announcement_pace: Duration,
    pub(super) link: LinkRules,
}

/// Checks all that concerns the election.
pub(super) fn check_election(
    fields: &Fields<'_>,
    node: Option<&str>,
    problems: &mut Problems,
) -> Option<Election> {
    let ranked = check_rank(fields, node, problems);
    let advertisement_interval = check_advertisement_interval(fields, problems);
    let missed = 1..=DOWN_MULTIPLIER_MAX;
    let down_multiplier = number_or(fields, "down_multiplier", 3, missed, problems);
    let preempt = check_preempt(fields, problems);
    let lease = check_lease(fields, problems);
    let announcements = check_announcements(fields, problems);
    let link = check_link(fields, problems);
    let (announcements, announcement_pace) = announcements?;
    let (rank, priorities) = ranked?;
    Some(Election {
        rank,
        priorities,
        advertisement_interval: advertisement_interval?,
        down_multiplier: u8::try_from(down_multiplier?).ok()?,
        preempt: preempt?,
        lease: lease?,
        announcements,
        announcement_pace,
        link: link?,
    })
}

/// The rank of this node, and the base priorities by node.
type Ranked = (Rank, BTreeMap<String, Priority>);

/// The owner's priority is 255; everybody else's is the configured one.
fn check_rank(fields: &Fields<'_>, node: Option<&str>, problems: &mut Problems) -> Option<Ranked> {
    let Some(owner) = fields.get("owner") else {
        return check_priority(fields, node, problems);
    };
    // What is wrong with it is said where it is read as a property of the host.
    let owns = flag_by_node(owner, node, &mut Problems::default());
    if let (Kind::Bool(true), Some(priority)) = (&owner.node.kind, fields.get("priority")) {
        let help = "the owner's priority is 255; where only one node owns the addresses, write \
                    `owner: {lb1: true, lb2: false}`";
        priority.wrong_with_help(
            "`owner: true` and `priority` exclude each other",
            help,
            problems,
        );
        return None;
    }
    if owns == Some(true) {
        return Some((Rank::owner(), BTreeMap::new()));
    }
    check_priority(fields, node, problems)
}

/// One number for every node, or a number by the name of the node; all of them are checked.
fn check_priority(
    fields: &Fields<'_>,
    node: Option<&str>,
    problems: &mut Problems,
) -> Option<Ranked> {
    let alone = |priority| (Rank::alone(priority), BTreeMap::new());
    let Some(value) = fields.get("priority") else {
        return Some(alone(Priority::DEFAULT));
    };
    if !matches!(value.node.kind, Kind::Map(_)) {
        return check_priority_number(value, problems).map(alone);
    }
    let nodes = value.entries("priorities by node", problems)?;
    let mut priorities = BTreeMap::new();
    let mut all_right = true;
    for entry in &nodes {
        match check_priority_number(*entry, problems) {
            Some(priority) => drop(priorities.insert(entry.name.to_owned(), priority)),
            None => all_right = false,
        }
    }
    if nodes.len() > usize::from(Rank::NODES_MAX) {
        let message = format!(
            "priority names {} nodes; there is room for {}",
            nodes.len(),
            Rank::NODES_MAX
        );
        let help = "of 1 to 254 each node needs a number for when it can serve, and a lower one \
                    for when it cannot";
        problems.add_with_help(value.key, message, help);
        return None;
    }
    let node = node?;
    if !nodes.iter().any(|entry| entry.name == node) {
        let names: Vec<_> = nodes.iter().map(|entry| shown(entry.name)).collect();
        let message = format!("priority has no number for this node, `{node}`");
        let help = format!(
            "add `{node}: 100`, or say with --node or `node:` which of these this is: {}",
            names.join(", "),
        );
        problems.add_with_help(value.key, message, help);
        return None;
    }
    if !all_right {
        return None;
    }
    Rank::among(node, &priorities).map(|rank| (rank, priorities))
}

fn check_priority_number(value: Value<'_>, problems: &mut Problems) -> Option<Priority> {
    if value.node.kind == Kind::Int(255) {
        let help = "255 belongs to the address owner; write `owner: true` instead";
        value.wrong_with_help("priority must be between 1 and 254", help, problems);
        return None;
    }
    let value = Value {
        name: "priority",
        ..value
    };
    Priority::new(u8::try_from(value.number(1, 254, problems)?).ok()?)
}

fn check_advertisement_interval(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<AdverInterval> {
    let Some(value) = fields.get("advertisement_interval") else {
        return Some(AdverInterval::DEFAULT);
    };
    let version = fields.get("version").map(|version| &version.node.kind);
    let max = match version {
        Some(Kind::Int(2)) => AdverInterval::MAX_V2,
        Some(_) | None => AdverInterval::MAX,
    };
    let range = AdverInterval::MIN.duration()..=max.duration();
    let interval = duration(value, range, problems)?;
    if interval > AdverInterval::MAX.duration() {
        // Whether version 2 has whole seconds is asked where the version is checked.
        let seconds = interval.as_secs() + u64::from(interval.subsec_nanos() > 0);
        if interval.subsec_nanos() > 0 {
            wire::not_whole_seconds(value, problems);
        }
        return AdverInterval::from_seconds(u8::try_from(seconds).ok()?);
    }
    if !interval.as_nanos().is_multiple_of(10_000_000) {
        value.wrong(
            "advertisement_interval must be a multiple of 10ms",
            problems,
        );
        return None;
    }
    AdverInterval::from_centiseconds(u16::try_from(interval.as_millis() / 10).ok()?)
}

fn check_preempt(fields: &Fields<'_>, problems: &mut Problems) -> Option<Preempt> {
    let Some(value) = fields.get("preempt") else {
        return Some(Preempt::Always);
    };
    match &value.node.kind {
        Kind::Bool(true) => Some(Preempt::Always),
        Kind::Bool(false) => Some(Preempt::Never),
        Kind::Map(_) => {
            let fields = value.fields(&["delay"], problems)?;
            let delay = fields.need("delay", "30s", problems)?;
            duration(delay, PREEMPT_DELAY_MIN..=HOUR, problems).map(Preempt::After)
        }
        Kind::Null | Kind::Int(_) | Kind::Float(_) | Kind::Text(_) | Kind::List(_) => {
            value.expected("true, false or `{delay: 30s}`", problems);
            None
        }
    }
}

/// What becomes of an entry whose link goes down, and when one that has come up is trusted.
fn check_link(fields: &Fields<'_>, problems: &mut Problems) -> Option<LinkRules> {
    let default = LinkRules::default();
    let Some(value) = fields.get("link") else {
        return Some(default);
    };
    let fields = value.fields(&["required", "up_delay"], problems)?;
    let required = flag(&fields, "required", default.required, problems);
    let range = Duration::ZERO..=HOUR;
    let up_delay = duration_or(&fields, "up_delay", default.up_delay, range, problems);
    Some(LinkRules {
        required: required?,
        up_delay: up_delay?,
    })
}

/// How often, when and how fast it is said where the addresses are.
fn check_announcements(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<(AnnouncementPlan, Duration)> {
    let default = AnnouncementPlan::default();
    let Some(value) = fields.get("announcements") else {
        return Some((default, Duration::ZERO));
    };
    let fields = value.fields(&["repeat", "delay", "refresh", "pace"], problems)?;
    let repeat = number_or(
        &fields,
        "repeat",
        default.repeat.into(),
        1..=REPEAT_MAX,
        problems,
    );
    let range = Duration::ZERO..=HOUR;
    let delay = duration_or(&fields, "delay", default.delay, range, problems);
    let refresh = match fields.get("refresh") {
        None => Some(default.refresh),
        Some(value) if value.node.kind == Kind::Text("never".into()) => Some(None),
        Some(value) => duration(value, REFRESH_MIN..=24 * HOUR, problems).map(Some),
    };
    let pace = duration_or(
        &fields,
        "pace",
        Duration::ZERO,
        Duration::ZERO..=PACE_MAX,
        problems,
    );
    let plan = AnnouncementPlan {
        repeat: u8::try_from(repeat?).ok()?,
        delay: delay?,
        refresh: refresh?,
    };
    Some((plan, pace?))
}

/// The kernel counts the lifetimes of addresses in whole seconds.
fn check_lease(fields: &Fields<'_>, problems: &mut Problems) -> Option<Duration> {
    let lease = duration_or(fields, "lease", LEASE, LEASE_MIN..=HOUR, problems)?;
    match fields.get("lease") {
        Some(value) if lease.subsec_nanos() != 0 => {
            value.wrong("lease must be whole seconds", problems);
            None
        }
        Some(_) | None => Some(lease),
    }
}

const LEASE: Duration = Duration::from_secs(2);
const LEASE_MIN: Duration = Duration::from_secs(1);
const PREEMPT_DELAY_MIN: Duration = Duration::from_millis(10);
const HOUR: Duration = Duration::from_secs(3600);
/// As many as keepalived's down_timer_adverts.
const DOWN_MULTIPLIER_MAX: u32 = 100;
/// Of the first burst of announcements.
const REPEAT_MAX: u32 = 20;
const REFRESH_MIN: Duration = Duration::from_secs(1);
/// Five hundred addresses then take five seconds a round.
const PACE_MAX: Duration = Duration::from_millis(10);
