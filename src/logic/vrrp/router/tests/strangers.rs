//! Another service on the link that has our VRID: it never takes an address away.

use super::*;
use crate::logic::vrrp::packet::{derived_link_local, is_of_stranger};

fn list(texts: &[&str]) -> Vec<IpAddr> {
    let address = |text: &&str| text.parse().expect("an address");
    texts.iter().map(address).collect()
}

/// RFC 3768 §7.1 and, where RFC 9568 §7.1 leaves it open, our own rule.
#[test]
fn no_state_is_moved_by_a_list_that_has_nothing_of_ours() {
    for version in [Version::V2, Version::V3] {
        for (name, make) in states() {
            for priority in [0, 1, 100, 200, 254] {
                let mut bench = make();
                let parameters = Parameters {
                    version,
                    ..parameters()
                };
                bench.update(parameters);
                bench.take();
                let before = (bench.router.state(), bench.router.peer());
                let heard = advertisement(priority, list(&["192.0.2.200"]));
                let source = IpAddr::from([192, 0, 2, 250]);
                bench.router.handle_advertisement(bench.now, source, &heard);
                let after = (bench.router.state(), bench.router.peer());
                assert_eq!(after, before, "{name}, {version:?}, priority {priority}");
                assert_eq!(bench.take(), [], "{name}, {version:?}, priority {priority}");
                let counters = bench.router.counters();
                assert_eq!(counters.address_list_errors, 1, "{name}: counted");
            }
        }
    }
}

#[test]
fn only_a_list_that_has_nothing_of_ours_is_a_strangers() {
    let derived = derived_link_local(parameters().vrid).to_string();
    let ours = ["192.0.2.10", "192.0.2.11"];
    let ours_v6 = [derived.as_str(), "2001:db8::100"];
    let (v2, v3) = (Version::V2, Version::V3);
    type Case<'a> = (Version, u8, &'a [&'a str], &'a [&'a str], bool);
    let cases: [Case<'_>; 11] = [
        (v3, 200, &["192.0.2.12"], &ours, true),
        (v2, 200, &["192.0.2.12"], &ours, true),
        (v3, 255, &["192.0.2.12"], &ours, true),
        // RFC 3768 §7.1: an owner is believed.
        (v2, 255, &["192.0.2.12"], &ours, false),
        (v3, 200, &["192.0.2.11", "192.0.2.12"], &ours, false),
        (v3, 200, &["192.0.2.11", "192.0.2.10"], &ours, false),
        // keepalived does not list what it has excluded.
        (v3, 200, &[], &ours, false),
        // What both derive from the VRID is no sign of kinship.
        (v3, 200, &[&derived, "2001:db8::200"], &ours_v6, true),
        (v3, 200, &[&derived, "2001:db8::100"], &ours_v6, false),
        (v3, 200, &[&derived], &ours_v6, false),
        (v3, 200, &["fe80::1"], &ours_v6, true),
    ];
    for (version, priority, theirs, ours, expected) in cases {
        let heard = advertisement(priority, list(theirs));
        let is = is_of_stranger(version, &heard, &list(ours));
        assert_eq!(
            is, expected,
            "{version:?}, {priority}: {theirs:?} against {ours:?}"
        );
    }
}

/// S19: everybody on the link can say priority 0.
#[test]
fn floods_of_priority_0_are_answered_ten_times_an_interval() {
    let mut bench = Bench::active();
    let mut sent = 0;
    for _ in 0..1000 {
        bench.hear(200, 0);
        bench.pass(Duration::from_millis(1));
        bench.router.handle_timeout(bench.now);
        sent += bench
            .take()
            .iter()
            .filter(|action| **action == SENDS_100)
            .count();
    }
    assert!((10..=12).contains(&sent), "{sent} answers in an interval");
}

#[test]
fn priority_0_that_was_not_answered_at_once_is_answered_soon() {
    let mut bench = Bench::active();
    bench.hear(200, 0);
    assert_eq!(bench.take(), [SENDS_100], "at once");
    bench.pass(Duration::from_millis(1));
    bench.hear(201, 0);
    assert_eq!(bench.take(), [], "not again");
    assert_eq!(bench.until_timeout(), Duration::from_millis(99), "but soon");
}

/// S29.
#[test]
fn claims_of_others_are_answered_once_a_second_by_an_active_alone() {
    let mut bench = Bench::backup();
    assert!(
        !bench.router.handle_claim(bench.now),
        "a Backup says nothing"
    );
    assert_eq!(bench.take(), []);
    let mut bench = Bench::active();
    // What is announced at the start is over.
    for _ in 0..100 {
        bench.run_to_timeout();
    }
    bench.take();
    let mut rounds = 0;
    for _ in 0..1000 {
        bench.pass(Duration::from_millis(10));
        assert!(bench.router.handle_claim(bench.now));
        bench.router.handle_timeout(bench.now);
        let actions = bench.take();
        rounds += actions
            .iter()
            .filter(|action| **action == Action::Announce { rounds: 1 })
            .count();
    }
    assert!(
        (4..=6).contains(&rounds),
        "{rounds} in ten seconds of two intervals each"
    );
    assert_eq!(
        bench.router.counters().address_claims,
        1000,
        "all are counted"
    );
}

/// FRR announces before it advertises, and never again.
#[test]
fn router_that_takes_over_has_the_last_word() {
    let mut bench = Bench::active();
    for _ in 0..100 {
        bench.run_to_timeout();
    }
    bench.take();
    bench.router.handle_claim(bench.now);
    bench.pass(Duration::from_millis(990));
    bench.router.handle_timeout(bench.now);
    bench.hear(9, 200);
    assert!(!bench.router.state().is_active(), "it yields");
    for _ in 0..3 {
        bench.hear(9, 200);
        bench.pass(Duration::from_secs(1));
        bench.router.handle_timeout(bench.now);
        let said = bench.take();
        assert!(
            !said
                .iter()
                .any(|action| matches!(action, Action::Announce { .. })),
            "{said:?}"
        );
    }
}
