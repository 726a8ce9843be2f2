//! A virtual router as `evenkeel status` shows it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::station::{Rejections, Station};
use crate::ipc::control::{PeerStatus, RejectedStatus, RouterStatus};
use crate::logic::vrrp::{LinkState, State};
use crate::model::{Fitness, Priority};

/// Describes a station; `unclaimed` are the refusals of its socket that no virtual router was meant by.
pub fn describe(station: &Station, unclaimed: Option<&Rejections>, now: Instant) -> RouterStatus {
    let machine = &station.machine;
    let config = &station.config;
    let (since, cause) = match machine.last_transition() {
        Some((at, transition)) => (at, transition.cause.to_string()),
        None => (station.made_at, "not started".to_owned()),
    };
    let active_adver_interval_ms = match machine.state() {
        State::Backup {
            active_adver_interval,
            ..
        } => Some(ms(active_adver_interval.duration())),
        State::Initialize { .. } | State::Active { .. } => None,
    };
    let effective_priority = match machine.fitness() {
        Fitness::Ready(_) => machine.effective_priority().get(),
        Fitness::Fault(_) | Fitness::Unready => 0,
    };
    let (rejected, last_rejected) = rejections(station, unclaimed, now);
    let notes = notes(station, last_rejected.as_ref(), now);
    RouterStatus {
        name: config.name.clone(),
        interface: config.interface.clone(),
        vrid: config.vrid.get(),
        state: machine.state().name().to_owned(),
        since_ms: since_ms(now, since),
        cause,
        base_priority: config.priority.get(),
        effective_priority,
        priority_reason: priority_reason(station),
        addresses: machine.parameters().addresses.clone(),
        holds_addresses: machine.holds_addresses(),
        advertisement_interval_ms: ms(config.advertisement_interval.duration()),
        active_adver_interval_ms,
        primary_address: station.primary(),
        peers: peers(station, now),
        counters: counters(station),
        rejected,
        last_rejected,
        notes,
    }
}

/// What the numbers mean that administrators ask about most.
fn notes(station: &Station, last: Option<&RejectedStatus>, now: Instant) -> Vec<String> {
    let patience = station.config.advertisement_interval.duration() * 3;
    let mut notes = Vec::new();
    if let Some(last) = last.filter(|last| u128::from(last.since_ms) < patience.as_millis()) {
        let (source, reason) = (last.source, &last.reason);
        notes.push(format!(
            "advertisements of {source} are being rejected: {reason}"
        ));
    }
    if station.machine.counters().address_list_errors > 0 {
        let risk = "keepalived 2.2.7 ignores our advertisements then, and both are Active";
        notes.push(format!(
            "a peer has listed other addresses than ours: {risk}"
        ));
    }
    if station.is_active() {
        let alive = |peer: &&super::station::HeardPeer| {
            now.saturating_duration_since(peer.heard_at) < patience
                && peer.priority != Priority::LEAVING
        };
        let other = station.peers.iter().find(alive);
        notes.extend(other.map(|peer| format!("{} advertises as Active too", peer.address)));
    }
    notes
}

fn priority_reason(station: &Station) -> String {
    let machine = &station.machine;
    match (machine.fitness(), machine.link()) {
        (Fitness::Fault(cause), _) => format!("fault: {cause}"),
        (Fitness::Unready | Fitness::Ready(_), LinkState::Down) => {
            "the interface is not usable".to_owned()
        }
        (Fitness::Unready, LinkState::Up { .. }) => "not yet ready to serve".to_owned(),
        (Fitness::Ready(_), LinkState::Up { .. }) => {
            if let Some(failure) = machine
                .last_failure()
                .filter(|_| !machine.holds_addresses())
            {
                format!("the host failed: {}", failure.what)
            } else if machine.effective_priority() < station.config.priority {
                "lowered by tracking".to_owned()
            } else {
                String::new()
            }
        }
    }
}

fn peers(station: &Station, now: Instant) -> Vec<PeerStatus> {
    let describe = |peer: &super::station::HeardPeer| PeerStatus {
        address: peer.address,
        priority: peer.priority.get(),
        heard_ms: since_ms(now, peer.heard_at),
        checksum: peer.form.as_str().to_owned(),
    };
    station.peers.iter().map(describe).collect()
}

fn counters(station: &Station) -> BTreeMap<String, u64> {
    let own = SHELL_COUNTERS
        .into_iter()
        .zip([station.put_back, station.send_failures]);
    let machine = station.machine.counters();
    machine
        .iter()
        .chain(own)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The station's own and those of its socket, which it may share.
fn rejections(
    station: &Station,
    unclaimed: Option<&Rejections>,
    now: Instant,
) -> (BTreeMap<String, u64>, Option<RejectedStatus>) {
    let mut rejected = BTreeMap::new();
    let parts = [Some(&station.rejections), unclaimed];
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

/// What the shell counts beside the virtual router: addresses that somebody else removed and that were put back, and
/// advertisements that the kernel did not take.
pub const SHELL_COUNTERS: [&str; 2] = ["addresses_put_back", "advertisement_send_failures"];

fn since_ms(now: Instant, at: Instant) -> u64 {
    ms(now.saturating_duration_since(at))
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
