//! What clients see when something befalls the active node: each event once, at 100 ms intervals.
//!
//! The bounds are those of `evenkeel::lab::events`; the same events, repeated and beside keepalived
//! and HAProxy, are in `benches/`. Events that follow each other on one pair share a test, because
//! building a pair costs a second.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use evenkeel::ipc::control::Event as Told;
use evenkeel::lab::events::Event;
use evenkeel::lab::pair::{LEASE, Pair, Settings, has_address, node_address};
use evenkeel::lab::visitors::Crowd;
use evenkeel::model::Family;

fn pair() -> Pair {
    pair_with(Duration::from_millis(100))
}

fn pair_with(interval: Duration) -> Pair {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_evenkeel"));
    Pair::start(Settings {
        binary,
        interval,
        crowd: Crowd::SMALL,
    })
    .unwrap()
}

/// Lets the events happen one after the other and holds each to its bound.
fn inject(pair: &mut Pair, events: &[Event]) {
    for event in events {
        let outcome = pair.inject(*event).unwrap();
        if !outcome.broken.is_empty() {
            for index in [0, 1] {
                eprintln!(
                    "{}",
                    pair.node(index).map_or_else(String::new, |node| node.log())
                );
            }
        }
        assert_eq!(outcome.broken, [""; 0], "{outcome:#?}");
    }
}

#[test]
fn killed_or_frozen_vrrp_process_is_no_failover() {
    inject(&mut pair(), &[Event::KillVrrp, Event::FreezeVrrp]);
}

#[test]
fn killed_or_frozen_proxy_is_replaced_and_the_addresses_stay() {
    inject(&mut pair(), &[Event::KillProxy, Event::FreezeProxy]);
}

#[test]
fn node_without_backends_gives_the_addresses_to_the_one_that_has_some() {
    let mut pair = pair();
    inject(&mut pair, &[Event::LoseBackends]);
    let status = pair.node(0).unwrap().status().unwrap();
    let router = &status.virtual_routers[0];
    assert_eq!((router.base_priority, router.effective_priority), (150, 2));
    assert_eq!(
        router.priority_reason,
        "pool webfarm has lost all its backends"
    );
    inject(&mut pair, &[Event::Return]);
}

#[test]
fn node_whose_track_script_fails_gives_the_addresses_to_the_other() {
    let mut pair = pair();
    inject(&mut pair, &[Event::FailScript]);
    let status = pair.node(0).unwrap().status().unwrap();
    let router = &status.virtual_routers[0];
    assert_eq!((router.base_priority, router.effective_priority), (150, 2));
    assert_eq!(
        router.priority_reason,
        "script uplink failing: exit status: 1"
    );
    inject(&mut pair, &[Event::Return]);
}

#[test]
fn graceful_stop_and_return_lose_nothing() {
    let mut pair = pair();
    inject(&mut pair, &[Event::StopGracefully, Event::Return]);
    let other = pair.node(1).unwrap().runtime_dir();
    let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["events", "--json", "--runtime-dir"])
        .arg(other)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let events = text
        .lines()
        .map(|line| serde_json::from_str::<Told>(line).unwrap());
    let four: Vec<Told> = events.filter(|e| e.router.family == Family::Ipv4).collect();
    let causes: Vec<&str> = four.iter().map(|event| event.cause.as_str()).collect();
    // Whichever started first may have been Active for a moment before.
    let story = ["priority 0 from the Active", "peer with higher priority"];
    assert!(
        causes.ends_with(&story),
        "what lb2 lived through, in order: {causes:?}"
    );
    assert!(
        four.is_sorted_by(|a, b| a.epoch < b.epoch && a.at_ms <= b.at_ms),
        "{four:?}"
    );
}

#[test]
fn pulled_cable_costs_three_intervals_and_the_skew() {
    inject(&mut pair(), &[Event::CutLink, Event::Return]);
}

#[test]
fn killed_node_is_replaced_and_loses_its_addresses_with_its_lease() {
    inject(&mut pair(), &[Event::KillEverything, Event::Return]);
}

#[test]
fn frozen_node_is_replaced_loses_its_addresses_and_wakes_as_a_backup() {
    let mut pair = pair();
    let mark = pair.probe().mark();
    pair.node(0).unwrap().process().freeze_family().unwrap();
    let frozen_at = Instant::now();
    pair.probe()
        .wait_for_node(node_address(1), Duration::from_secs(5))
        .unwrap();
    let host = pair.lab().host("lb1").unwrap().clone();
    while has_address(&host).unwrap() {
        let held = frozen_at.elapsed();
        assert!(
            held < LEASE + Duration::from_millis(500),
            "the address outlives its lease"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    pair.node(0).unwrap().process().thaw_family().unwrap();
    pair.settle().unwrap();
    let report = pair.probe().report(mark);
    assert!(
        report.failed < report.requests / 2,
        "the pair served on: {report}"
    );
}

#[test]
fn whole_second_intervals_keep_their_bounds_for_what_needs_no_takeover() {
    let mut pair = pair_with(Duration::from_secs(1));
    inject(
        &mut pair,
        &[Event::KillVrrp, Event::FreezeVrrp, Event::StopGracefully],
    );
}
