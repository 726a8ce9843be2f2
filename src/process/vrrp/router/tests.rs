#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;

use super::*;
use crate::logic::vrrp::Preempt;
use crate::model::{AdverInterval, Priority, RouterName, VirtualAddress, Vrid};

const LEASE: Duration = Duration::from_secs(2);

fn runtime(now: Instant) -> RouterRuntime {
    let config = VirtualRouterConfig {
        name: RouterName {
            entry: "web".into(),
            family: Family::Ipv4,
        },
        sync_group: "web".into(),
        down_multiplier: 3,
        announcements: crate::config::AnnouncementPlan::default(),
        announcement_pace: Duration::ZERO,
        accept: true,
        virtual_mac: false,
        interface: "eth0".into(),
        vrid: Vrid::new(51).unwrap(),
        version: Version::V3,
        notify: Vec::new(),
        track: crate::config::TrackConfig::default(),
        peers: Vec::new(),
        peer_hops: 0,
        address_interface: "eth0".into(),
        checksum: ChecksumForm::Rfc5798,
        authentication: crate::config::Authentication::None,
        priority: Priority::DEFAULT,
        rank: crate::model::Rank::alone(Priority::DEFAULT),
        priorities: BTreeMap::new(),
        addresses: vec![VirtualAddress {
            address: [192, 0, 2, 100].into(),
            prefix_len: 24,
        }],
        advertisement_interval: AdverInterval::DEFAULT,
        preempt: Preempt::Always,
        lease: LEASE,
        link: crate::logic::vrrp::LinkRules::default(),
    };
    let id = crate::process::vrrp::routers::Routers::first(vec![()]).ids()[0];
    RouterRuntime::new(id, config, Arc::default(), now)
}

#[test]
fn a_renewal_waits_for_the_answer_to_the_one_before() {
    let now = Instant::now();
    let mut runtime = runtime(now);
    let first = runtime.command(What::Renew(LEASE), now).unwrap();
    assert_eq!(
        runtime.command(What::Renew(LEASE), now),
        None,
        "one is on its way"
    );
    assert!(
        runtime.accept(Answer {
            router: runtime.id,
            generation: first.generation
        }),
        "it counts"
    );
    assert!(
        runtime.command(What::Renew(LEASE), now).is_some(),
        "then comes the next"
    );
}

#[test]
fn an_answer_to_an_older_command_does_not_count() {
    let now = Instant::now();
    let mut runtime = runtime(now);
    let install = runtime.command(What::Install(LEASE), now).unwrap();
    let remove = runtime.command(What::Remove, now).unwrap();
    assert!(
        !runtime.accept(Answer {
            router: runtime.id,
            generation: install.generation
        }),
        "too old"
    );
    assert!(!runtime.is_released(), "the removal is not confirmed");
    assert!(
        runtime.accept(Answer {
            router: runtime.id,
            generation: remove.generation
        }),
        "the last"
    );
    assert!(runtime.is_released(), "nothing is held");
}

#[test]
fn a_command_that_found_no_room_is_deferred_until_another_replaces_it() {
    let now = Instant::now();
    let mut runtime = runtime(now);
    let install = runtime.command(What::Install(LEASE), now).unwrap();
    runtime.defer(install);
    assert_eq!(
        runtime.command(What::Renew(LEASE), now),
        None,
        "nothing overtakes it"
    );
    let remove = runtime.command(What::Remove, now).unwrap();
    assert_eq!(runtime.take_deferred(), None, "the removal replaces it");
    runtime.defer(remove);
    assert_eq!(
        runtime.take_deferred(),
        Some(remove),
        "and is deferred itself"
    );
}

#[test]
fn a_renewal_without_an_answer_for_a_lease_means_a_silent_host() {
    let now = Instant::now();
    let mut runtime = runtime(now);
    runtime.command(What::Renew(LEASE), now).unwrap();
    assert!(
        !runtime.host_is_silent(now + LEASE / 2),
        "there is still time"
    );
    assert!(runtime.host_is_silent(now + LEASE), "the lease is over");
}

fn advertisement() -> Advertisement {
    Advertisement {
        vrid: Vrid::new(51).unwrap(),
        priority: Priority::DEFAULT,
        interval: AdverInterval::DEFAULT,
        addresses: vec![[192, 0, 2, 100].into()],
    }
}

#[test]
fn the_forms_of_checksums_are_counted_by_peer() {
    let now = Instant::now();
    let mut runtime = runtime(now);
    let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    for (peer, form) in [
        (one, ChecksumForm::Rfc5798),
        (other, ChecksumForm::Rfc9568),
        (one, ChecksumForm::Rfc9568),
        (one, ChecksumForm::Rfc5798),
    ] {
        runtime.note_peer(now, peer, &advertisement(), form);
    }
    let forms = |at: usize| runtime.peers[at].forms.clone();
    assert_eq!(runtime.peers[0].address, one, "the last heard comes first");
    assert_eq!(forms(0), BTreeMap::from([("rfc5798", 2), ("rfc9568", 1)]));
    assert_eq!(forms(1), BTreeMap::from([("rfc9568", 1)]));
}

#[test]
fn rounds_that_begin_more_often_than_they_end_reach_every_address() {
    let now = Instant::now();
    let mut runtime = runtime(now);
    let pace = Duration::from_millis(10);
    let mut announced = Vec::new();
    // 100 addresses take a second; another round is asked for every 250 ms.
    for step in 0..100 {
        let at = now + step * pace;
        if step % 25 == 0 {
            runtime.begin_announcing(1, at);
        }
        let under_way = runtime.announcing.unwrap();
        announced.push(under_way.next);
        runtime.announcing = under_way.after_one(100, at, pace);
    }
    assert!(announced.into_iter().eq(0..100), "each in its turn");
    let rounds = runtime.announcing.map(|announcing| announcing.rounds);
    assert_eq!(
        rounds,
        Some(1),
        "and what was asked for meanwhile once more"
    );
}

#[test]
fn rejections_are_all_counted_and_logged_once_a_minute() {
    let now = Instant::now();
    let source = Some(IpAddr::from([192, 0, 2, 9]));
    let mut rejections = Rejections::default();
    let mut logged = |seconds| {
        let at = now + Duration::from_secs(seconds);
        rejections.count(at, source, Rejection::Carp)
    };
    assert_eq!(
        [0, 1, 59, 60, 61].map(&mut logged),
        [true, false, false, true, false]
    );
    assert_eq!(rejections.by_reason, BTreeMap::from([("carp", 5)]));
}

#[test]
fn only_the_last_heard_peers_are_remembered() {
    let now = Instant::now();
    let mut runtime = runtime(now);
    for number in 1..=20 {
        let peer = IpAddr::from([192, 0, 2, number]);
        runtime.note_peer(now, peer, &advertisement(), ChecksumForm::Rfc5798);
    }
    assert_eq!(runtime.peers.len(), PEERS_MAX, "the list has a bound");
    assert_eq!(
        runtime.peers[0].address,
        IpAddr::from([192, 0, 2, 20]),
        "the last comes first"
    );
}
