//! Backups, which get requests only where no other backend can be given them.

use std::sync::atomic::Ordering::Relaxed;

use evenkeel::config::{BackendMode, Balance, HashOn, Tier};

use super::ailing;
use crate::common::{Backend, refusing_address, wait_until};
use crate::rig::{GET, Rig, Setup, http_check, setup};

/// Returns a proxy before two primaries and as many backups.
fn two_and_two(backends: &[Backend; 4]) -> Setup {
    let addresses = [0, 1, 2, 3].map(|index| backends[index].address);
    setup(&addresses).pool(|pool| {
        for backup in &mut pool.backends[2..] {
            backup.tier = Tier::Backup;
        }
    })
}

fn four() -> [Backend; 4] {
    ["p0", "p1", "b2", "b3"].map(Backend::named)
}

/// Returns who answers so many requests.
fn answers(rig: &Rig, count: usize) -> Vec<String> {
    let ask = |n| rig.ask(&format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"));
    (0..count).map(|n| ask(n).text()).collect()
}

#[test]
fn backups_get_requests_only_while_no_primary_takes_any() {
    let backends = four();
    let rig = two_and_two(&backends).start();
    assert_eq!(answers(&rig, 4), ["p0", "p1", "p0", "p1"]);
    let drain = |count: usize| {
        rig.reload(|config| {
            for primary in &mut config.pools[0].backends[..count] {
                primary.mode = BackendMode::Drained;
            }
        });
    };
    drain(1);
    assert_eq!(answers(&rig, 2), ["p1", "p1"], "one is enough");
    drain(2);
    assert_eq!(answers(&rig, 4), ["b2", "b3", "b2", "b3"], "as balanced");
    drain(0);
    assert_eq!(answers(&rig, 2), ["p0", "p1"], "at once");
    let backups: Vec<bool> = rig.pool().backends.iter().map(|b| b.backup).collect();
    assert_eq!(backups, [false, false, true, true]);
}

#[test]
fn a_pool_serves_by_its_backups_while_its_primary_is_down() {
    let (ill, status) = ailing("p0");
    let backup = Backend::named("b1");
    let rig = setup(&[ill.address, backup.address])
        .pool(|pool| pool.backends[1].tier = Tier::Backup)
        .check(http_check(), 1, 1)
        .start();
    let states = |hoped: [&str; 2]| {
        wait_until("the probes have said it", || {
            let backends = rig.pool().backends;
            [0, 1].map(|index| backends[index].state == hoped[index]) == [true; 2]
        });
    };
    states(["up", "up"]);
    assert_eq!(answers(&rig, 3), ["p0"; 3]);
    status.store(500, Relaxed);
    states(["down", "up"]);
    assert_eq!(answers(&rig, 3), ["b1"; 3]);
    let health = rig.healths().pop().unwrap();
    assert!(health.backends["b1"] && !health.backends["b0"], "it serves");
    status.store(200, Relaxed);
    states(["up", "up"]);
    assert_eq!(answers(&rig, 3), ["p0"; 3]);
}

/// One request finds out; the others go to the backup until the primary may be tried again.
#[test]
fn backups_go_before_a_primary_that_was_not_reached_a_moment_ago() {
    let (_held, refusing) = refusing_address();
    let backup = Backend::named("b1");
    let rig = setup(&[refusing, backup.address])
        .pool(|pool| pool.backends[1].tier = Tier::Backup)
        .start();
    assert_eq!(answers(&rig, 20), ["b1"; 20]);
    let retries = rig.pool().retries_total;
    assert!((1..20).contains(&retries), "{retries} retries");
}

#[test]
fn requests_wait_for_a_full_primary() {
    let (full, backup) = (Backend::scripted(hold), Backend::named("b1"));
    let rig = setup(&[full.address, backup.address])
        .pool(|pool| {
            pool.backends[0].requests = Some(1);
            pool.backends[1].tier = Tier::Backup;
        })
        .start();
    let (mut first, mut second) = (rig.client(), rig.client());
    first.send(GET);
    wait_until("it has arrived", || full.requests().len() == 1);
    second.send(GET);
    wait_until("it waits", || rig.pool().queued_requests == 1);
    assert!(backup.requests().is_empty());
}

fn hold(mut visit: crate::common::Visit) {
    visit.request();
    visit.wire.rest();
}

#[test]
fn keys_of_primaries_stay_where_they_are_beside_backups() {
    let backends = four();
    let by_path = || Balance::Hash(HashOn::Path);
    let alone = setup(&[backends[0].address, backends[1].address]);
    let alone = alone.pool(|pool| pool.balance = by_path()).start();
    let rig = two_and_two(&backends)
        .pool(|pool| pool.balance = by_path())
        .start();
    let before = answers(&rig, 30);
    assert_eq!(answers(&alone, 30), before);
    rig.reload(|config| {
        for primary in &mut config.pools[0].backends[..2] {
            primary.mode = BackendMode::Drained;
        }
    });
    let during = answers(&rig, 30);
    assert_eq!(answers(&rig, 30), during, "by the key too");
    for name in ["b2", "b3"] {
        assert!(during.iter().any(|it| it == name), "{during:?}");
    }
    rig.reload(|_| {});
    assert_eq!(answers(&rig, 30), before);
}
