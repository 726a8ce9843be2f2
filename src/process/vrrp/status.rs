//! A virtual router as `evenkeel status` shows it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::host::VirtualMac;
use super::router::{HeardPeer, Rejections, RouterRuntime, show_mac};
use crate::ipc::control::{
    ActiveStatus, PeerStatus, RejectedStatus, RouterSettings, RouterStatus, TimerStatus,
};
use crate::logic::vrrp::{
    Authentication, ChecksumForm, Counters, LinkState, Obstacle, Preempt, Rejection, State,
};
use crate::model::{Fitness, Priority, Version};

/// Describes a runtime; `unclaimed` are the refusals of its socket that no virtual router was meant
/// by, `group` is what is in the way of another of its group.
pub fn describe(
    runtime: &RouterRuntime,
    unclaimed: Option<&Rejections>,
    group: Option<&str>,
    now: Instant,
) -> RouterStatus {
    let machine = &runtime.machine;
    let config = &runtime.config;
    let (since, cause) = match machine.last_transition() {
        Some((at, transition)) => (at, transition.cause.to_string()),
        None => (runtime.made_at, "not started".to_owned()),
    };
    let active_adver_interval_ms = match machine.state() {
        State::Backup {
            active_adver_interval,
            ..
        } => Some(ms(active_adver_interval.duration())),
        State::Initialize { .. } | State::Active { .. } => None,
    };
    let effective_priority = match machine.fitness() {
        Fitness::Fault(_) | Fitness::Unready if !runtime.is_active() => 0,
        Fitness::Fault(_) | Fitness::Unready | Fitness::Ready(_) => {
            machine.effective_priority().get()
        }
    };
    let (rejected, last_rejected) = rejections(runtime, unclaimed, now);
    let notes = notes(runtime, last_rejected.as_ref(), now);
    let (event, reason) = match machine.last_transition() {
        Some((_, transition)) => (
            transition.cause.rfc8347_event(),
            transition.cause.rfc8347_reason(runtime.is_active()),
        ),
        None => ("none", "not-master"),
    };
    RouterStatus {
        name: config.name.clone(),
        interface: config.interface.clone(),
        vrid: config.vrid.get(),
        state: machine.state().name().to_owned(),
        since_ms: since_ms(now, since),
        cause,
        base_priority: config.priority.get(),
        effective_priority,
        priority_reason: priority_reason(runtime, group),
        addresses: machine.parameters().addresses.clone(),
        holds_addresses: machine.holds_addresses(),
        advertisement_interval_ms: ms(config.advertisement_interval.duration()),
        active_adver_interval_ms,
        primary_address: runtime.primary(),
        peers: peers(runtime, now),
        counters: counters(runtime),
        rejected,
        last_rejected,
        notes,
        active: active(runtime),
        last_event: event.to_owned(),
        new_active_reason: reason.to_owned(),
        timers: timers(runtime, now),
        settings: settings(runtime),
    }
}

fn active(runtime: &RouterRuntime) -> Option<ActiveStatus> {
    let machine = &runtime.machine;
    let priority = if runtime.is_active() {
        machine.effective_priority()
    } else {
        machine.peer()?.priority
    };
    Some(ActiveStatus {
        address: machine.active_source()?,
        priority: priority.get(),
    })
}

fn timers(runtime: &RouterRuntime, now: Instant) -> TimerStatus {
    let machine = &runtime.machine;
    let next_at = match machine.state() {
        State::Initialize { .. } => None,
        State::Backup { active_down_at, .. } => Some(active_down_at),
        State::Active { adver_at, .. } => Some(adver_at),
    };
    let (skew_time, active_down_interval) = machine.intervals();
    TimerStatus {
        skew_time_us: u64::try_from(skew_time.as_micros()).unwrap_or(u64::MAX),
        active_down_interval_ms: ms(active_down_interval),
        next_ms: next_at.map(|at| ms(at.saturating_duration_since(now))),
    }
}

fn settings(runtime: &RouterRuntime) -> RouterSettings {
    let config = &runtime.config;
    let virtual_mac = VirtualMac {
        family: runtime.family(),
        vrid: config.vrid,
    };
    RouterSettings {
        version: config.version.get(),
        owner: runtime.machine.is_owner(),
        preempt: match config.preempt {
            Preempt::Always => "always".to_owned(),
            Preempt::Never => "never".to_owned(),
            Preempt::After(delay) => format!("after {delay:?}"),
        },
        accept: config.accept || runtime.machine.is_owner(),
        checksum: match config.version {
            Version::V2 => ChecksumForm::Rfc3768,
            Version::V3 => config.checksum,
        }
        .as_str()
        .to_owned(),
        authentication: match config.authentication {
            Authentication::None => "none",
            Authentication::Password(_) => "password",
        }
        .to_owned(),
        unicast_peers: config.peers.clone(),
        virtual_mac: config.virtual_mac.then(|| {
            virtual_mac
                .octets()
                .map(|octet| format!("{octet:02x}"))
                .join(":")
        }),
        sync_group: config.sync_group.clone(),
        lease_ms: ms(config.lease),
        down_multiplier: config.down_multiplier,
    }
}

/// Sums up: RFC 8347 §3 has checksum, version, VRID and TTL errors for all virtual routers
/// together, and most of what they count is for none of them. What those counted that
/// reloads have taken away counts on.
pub fn statistics<'a>(
    runtimes: impl Iterator<Item = &'a RouterRuntime>,
    elsewhere: impl Iterator<Item = &'a Rejections>,
    departed: Counters,
) -> BTreeMap<String, u64> {
    let mut sum = departed;
    for rejections in elsewhere {
        sum.add(of_nobody(rejections));
    }
    let mut count = 0;
    for runtime in runtimes {
        count += u64::from(runtime.is_configured());
        sum.add(runtime.machine.counters());
    }
    let sums = sum.iter().map(|(name, value)| (name.to_owned(), value));
    sums.chain([("virtual_routers".to_owned(), count)])
        .collect()
}

/// Returns what was refused of what was for no virtual router, as one counts it.
pub fn of_nobody(rejections: &Rejections) -> Counters {
    let mut counters = Counters::default();
    for (reason, count) in &rejections.by_reason {
        let mut known = Rejection::ALL.into_iter();
        if let Some(reason) = known.find(|known| known.as_str() == *reason) {
            counters.count_rejections(reason, *count);
        }
    }
    counters
}

/// What the numbers mean that administrators ask about most.
fn notes(runtime: &RouterRuntime, last: Option<&RejectedStatus>, now: Instant) -> Vec<String> {
    let patience = runtime.config.advertisement_interval.duration() * 3;
    let mut notes = Vec::new();
    if let Some(last) = last.filter(|last| u128::from(last.since_ms) < patience.as_millis()) {
        let (source, reason) = (last.source, &last.reason);
        notes.push(format!(
            "advertisements of {source} are being rejected: {reason}"
        ));
    }
    let recent = |at: Instant| now.saturating_duration_since(at) < STRANGER_SHOWN;
    if let Some((_, source)) = runtime.stranger.filter(|(at, _)| recent(*at)) {
        let (vrid, interface) = (runtime.config.vrid, &runtime.config.interface);
        notes.push(format!(
            "{source} uses vrid {vrid} on {interface} for other addresses than ours: it is another \
             service, give one of the two another vrid"
        ));
    }
    // Of one that is Backup by now it was the next Active.
    let claim = runtime
        .claim
        .filter(|(at, _)| recent(*at) && runtime.is_active());
    if let Some((_, claim)) = claim {
        let (address, mac) = (claim.address, show_mac(claim.mac));
        notes.push(format!(
            "{mac} claims {address} for itself: find that machine and take the address away there"
        ));
    }
    if let Some(other) = &runtime.link.also_on {
        let interface = &runtime.config.address_interface;
        notes.push(format!(
            "{other} of this machine has one of the addresses too, so it answers ARP for it on \
             {interface}, Active or not: take it away there, or set \
             net.ipv4.conf.{interface}.arp_ignore to 1"
        ));
    }
    if let Some(peer) = runtime.peers.iter().find(|peer| !peer.agrees) {
        let risk = "keepalived 2.2.7 ignores our advertisements then, and both are Active";
        notes.push(format!(
            "{} lists other addresses than ours: {risk}",
            peer.address
        ));
    }
    if runtime.machine.counters().own_source_received > 0 {
        let meaning = "another router has our source address, or the link has a loop";
        notes.push(format!(
            "advertisements came from our own address: {meaning}"
        ));
    }
    if runtime.machine.counters().owner_conflicts > 0 {
        notes.push("another router says that it owns the addresses too".to_owned());
    }
    if runtime.is_active() {
        let alive = |peer: &&HeardPeer| {
            now.saturating_duration_since(peer.heard_at) < patience
                && peer.priority != Priority::LEAVING
        };
        let other = runtime.peers.iter().find(alive);
        notes.extend(other.map(|peer| format!("{} advertises as Active too", peer.address)));
    }
    notes
}

/// Says what is in the way of a virtual router itself.
pub fn hindrance(runtime: &RouterRuntime) -> Option<String> {
    let machine = &runtime.machine;
    match (machine.fitness(), machine.link()) {
        (Fitness::Fault(cause), _) => Some(format!("fault: {cause}")),
        (Fitness::Unready | Fitness::Ready(_), LinkState::Down | LinkState::NoSource) => {
            let why = runtime.link.why.as_deref();
            Some(why.unwrap_or("the interface is not usable").to_owned())
        }
        (Fitness::Unready | Fitness::Ready(_), LinkState::Up { .. }) => None,
    }
}

fn priority_reason(runtime: &RouterRuntime, group: Option<&str>) -> String {
    let machine = &runtime.machine;
    if let Some(why) = hindrance(runtime) {
        return why;
    }
    if let (Some(Obstacle::SyncGroup), Some(why)) = (machine.obstacle(), group) {
        return format!("it moves with {why}");
    }
    match machine.fitness() {
        Fitness::Fault(_) | Fitness::Unready => "not yet ready to serve".to_owned(),
        Fitness::Ready(_) => {
            if let Some(failure) = machine
                .last_failure()
                .filter(|_| !machine.holds_addresses())
            {
                format!("the host failed: {}", failure.what)
            } else if machine.is_impaired() {
                let why = group.unwrap_or("another of its group has no source");
                format!("a node that has all of its group goes before: {why}")
            } else {
                let (effective, base) = (machine.effective_priority(), runtime.config.priority);
                match effective.cmp(&base) {
                    Ordering::Less => "lowered by tracking".to_owned(),
                    Ordering::Greater => {
                        format!("{base} is for a node that cannot serve")
                    }
                    Ordering::Equal => String::new(),
                }
            }
        }
    }
}

fn peers(runtime: &RouterRuntime, now: Instant) -> Vec<PeerStatus> {
    let describe = |peer: &HeardPeer| PeerStatus {
        address: peer.address,
        priority: peer.priority.get(),
        heard_ms: since_ms(now, peer.heard_at),
        checksum: peer.form.as_str().to_owned(),
        checksums: peer
            .forms
            .iter()
            .map(|(form, count)| ((*form).to_owned(), *count))
            .collect(),
        interval_ms: peer.interval.map_or(0, |interval| ms(interval.duration())),
        addresses: peer.addresses.clone(),
    };
    runtime.peers.iter().map(describe).collect()
}

fn counters(runtime: &RouterRuntime) -> BTreeMap<String, u64> {
    let own = SHELL_COUNTERS
        .into_iter()
        .zip([runtime.put_back, runtime.send_failures]);
    let machine = runtime.machine.counters();
    machine
        .iter()
        .chain(own)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The runtime's own and those of its socket, which it may share.
fn rejections(
    runtime: &RouterRuntime,
    unclaimed: Option<&Rejections>,
    now: Instant,
) -> (BTreeMap<String, u64>, Option<RejectedStatus>) {
    let mut rejected = BTreeMap::new();
    let parts = [Some(&runtime.rejections), unclaimed];
    for part in parts.into_iter().flatten() {
        for (reason, count) in &part.by_reason {
            *rejected.entry((*reason).to_owned()).or_default() += count;
        }
    }
    let last = parts
        .into_iter()
        .flatten()
        .filter_map(|part| part.last)
        .max_by_key(|last| last.0);
    let last = last.map(|(at, source, reason)| RejectedStatus {
        source,
        reason: reason.as_str().to_owned(),
        since_ms: since_ms(now, at),
    });
    (rejected, last)
}

/// What the shell counts beside the virtual router: addresses that somebody else removed and that
/// were put back, and advertisements that the kernel did not take.
pub const SHELL_COUNTERS: [&str; 2] = ["addresses_put_back", "advertisement_send_failures"];

/// Longer than three of any interval: a stranger does not come and go in the notes.
const STRANGER_SHOWN: Duration = Duration::from_secs(180);

fn since_ms(now: Instant, at: Instant) -> u64 {
    ms(now.saturating_duration_since(at))
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
