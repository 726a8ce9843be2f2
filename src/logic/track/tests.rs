//! What the tracker says, from every observation that matters.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::Duration;

use super::*;
use crate::model::Priority;

const SECOND: Duration = Duration::from_secs(1);

fn rank(node: &str, bases: &[(&str, u8)]) -> Rank {
    let priority = |(name, base): &(&str, u8)| ((*name).to_owned(), Priority::new(*base).unwrap());
    Rank::among(node, &bases.iter().map(priority).collect()).unwrap()
}

fn tracked(pools: Option<&[&str]>) -> Tracked {
    Tracked {
        entry: "web".into(),
        sync_group: "web".into(),
        rank: rank("lb1", &[("lb1", 150), ("lb2", 100)]),
        conditions: pools.map_or(Vec::new(), |pools| {
            let pools = pools.iter().map(|name| pool(name));
            let sources = std::iter::once(Source::Proxy).chain(pools);
            sources.map(|source| Condition { source }).collect()
        }),
    }
}

fn pool(name: &str) -> Source {
    Source::Pool(name.into())
}

fn ready(priority: u8) -> Fitness {
    Fitness::Ready(Priority::from_wire(priority))
}

/// A tracker whose proxy serves and whose only pool is up.
fn serving(now: Instant, entries: Vec<Tracked>) -> Tracker {
    let mut tracker = Tracker::new(now, entries);
    tracker.observe(now, Source::Proxy, Observed::Well);
    tracker.observe(now, pool("webfarm"), Observed::Well);
    tracker
}

fn fitness_of(tracker: &mut Tracker, entry: &str) -> Fitness {
    while tracker.poll_change().is_some() {}
    tracker.verdict(entry).unwrap().fitness.clone()
}

fn fitness(tracker: &mut Tracker) -> Fitness {
    fitness_of(tracker, "web")
}

fn reason<'a>(tracker: &'a mut Tracker, entry: &str) -> &'a str {
    while tracker.poll_change().is_some() {}
    &tracker.verdict(entry).unwrap().reason
}

fn die(tracker: &mut Tracker, at: Instant) {
    tracker.observe(at, Source::Proxy, Observed::Failed);
    tracker.observe(at, Source::Proxy, Observed::Well);
}

#[test]
fn entry_without_listeners_stands_at_once_with_its_base_priority() {
    let mut tracker = Tracker::new(Instant::now(), vec![tracked(None)]);
    assert_eq!(fitness(&mut tracker), ready(150));
    assert_eq!(tracker.poll_change(), None, "a verdict is said once");
}

#[test]
fn node_is_unready_until_the_proxy_serves_and_its_pools_are_probed() {
    let now = Instant::now();
    let mut tracker = Tracker::new(now, vec![tracked(Some(&["webfarm", "api"]))]);
    assert_eq!(fitness(&mut tracker), Fitness::Unready);
    tracker.observe(now, Source::Proxy, Observed::Well);
    assert_eq!(fitness(&mut tracker), Fitness::Unready);
    tracker.observe(now, pool("webfarm"), Observed::Well);
    assert_eq!(fitness(&mut tracker), Fitness::Unready);
    assert_eq!(
        reason(&mut tracker, "web"),
        "pool api has not been probed yet"
    );
    tracker.observe(now, pool("api"), Observed::Well);
    assert_eq!(fitness(&mut tracker), ready(150));
}

/// The pairs of the requirement, each node well, without backends, with a proxy that keeps dying,
/// and well again.
#[test]
fn ill_node_stands_below_every_node_of_the_file_that_can_serve_whatever_the_numbers() {
    let pairs = [[254, 100], [200, 199], [1, 254], [100, 100], [1, 2]];
    for [one, other] in pairs {
        let file = [("lb1", one), ("lb2", other)];
        let [one, other] = ["lb1", "lb2"].map(|node| rank(node, &file));
        for (rank, beside) in [(one, other), (other, one)] {
            let now = Instant::now();
            let own = Tracked {
                rank,
                ..tracked(Some(&["webfarm"]))
            };
            let mut tracker = serving(now, vec![own]);
            assert_eq!(fitness(&mut tracker), Fitness::Ready(rank.well()));
            tracker.observe(now, pool("webfarm"), Observed::Failed);
            let Fitness::Ready(ill) = fitness(&mut tracker) else {
                panic!("never out of the election");
            };
            assert!(ill < beside.well(), "{ill} is below {beside:?}");
            assert!(Some(ill) != beside.ill(), "and no tie among the ill");
            tracker.observe(now, pool("webfarm"), Observed::Well);
            assert_eq!(fitness(&mut tracker), Fitness::Ready(rank.well()));
            for second in 0..3 {
                die(&mut tracker, now + SECOND * second);
            }
            assert_eq!(fitness(&mut tracker), Fitness::Ready(ill), "the same place");
            tracker.handle_timeout(now + SECOND * 12);
            assert_eq!(fitness(&mut tracker), Fitness::Ready(rank.well()));
        }
    }
}

#[test]
fn node_beside_which_the_file_names_no_other_is_1_when_it_is_ill_and_never_1_when_it_is_well() {
    for (base, well) in [(150, 150), (1, 2)] {
        let now = Instant::now();
        let mut own = tracked(Some(&["webfarm"]));
        own.rank = Rank::alone(Priority::new(base).unwrap());
        let mut tracker = serving(now, vec![own]);
        assert_eq!(fitness(&mut tracker), ready(well));
        tracker.observe(now, pool("webfarm"), Observed::Failed);
        assert_eq!(fitness(&mut tracker), ready(1));
        assert_eq!(
            reason(&mut tracker, "web"),
            "pool webfarm has lost all its backends"
        );
    }
}

#[test]
fn one_lost_pool_of_several_is_enough_also_while_another_has_not_been_probed() {
    let now = Instant::now();
    let mut tracker = serving(now, vec![tracked(Some(&["webfarm", "api", "images"]))]);
    tracker.observe(now, pool("api"), Observed::Failed);
    assert_eq!(fitness(&mut tracker), ready(2));
    tracker.observe(now, pool("images"), Observed::Well);
    assert_eq!(fitness(&mut tracker), ready(2));
    tracker.observe(now, pool("api"), Observed::Well);
    assert_eq!(fitness(&mut tracker), ready(150));
}

#[test]
fn restart_in_time_changes_nothing_neither_for_a_well_node_nor_for_an_ill_one() {
    for state in [Observed::Well, Observed::Failed] {
        let now = Instant::now();
        let mut tracker = serving(now, vec![tracked(Some(&["webfarm"]))]);
        tracker.observe(now, pool("webfarm"), state);
        let before = fitness(&mut tracker);
        tracker.observe(now, Source::Proxy, Observed::Failed);
        assert_eq!(tracker.poll_change(), None);
        tracker.handle_timeout(now + Duration::from_millis(199));
        assert_eq!(tracker.poll_change(), None);
        tracker.observe(
            now + Duration::from_millis(199),
            Source::Proxy,
            Observed::Well,
        );
        assert_eq!(tracker.poll_change(), None);
        assert_eq!(fitness(&mut tracker), before);
    }
}

#[test]
fn proxy_that_is_late_lowers_the_priority_until_it_has_served_in_calm() {
    let now = Instant::now();
    let mut tracker = serving(now, vec![tracked(Some(&["webfarm"]))]);
    assert_eq!(fitness(&mut tracker), ready(150));
    tracker.observe(now, Source::Proxy, Observed::Failed);
    let late_at = now + Duration::from_millis(200);
    assert_eq!(tracker.poll_timeout(), Some(late_at));
    tracker.handle_timeout(late_at);
    assert_eq!(fitness(&mut tracker), ready(2));
    let why = "the proxy did not serve in time: well when it has served for 10 s";
    assert_eq!(reason(&mut tracker, "web"), why);
    tracker.observe(now + SECOND, Source::Proxy, Observed::Well);
    assert_eq!(tracker.poll_change(), None, "one word for one illness");
    assert_eq!(tracker.poll_timeout(), Some(now + SECOND * 11));
    tracker.handle_timeout(now + SECOND * 11);
    assert_eq!(fitness(&mut tracker), ready(150));
}

#[test]
fn proxy_that_never_serves_lowers_the_priority_in_the_end() {
    let now = Instant::now();
    let mut tracker = Tracker::new(now, vec![tracked(Some(&["webfarm"]))]);
    assert_eq!(fitness(&mut tracker), Fitness::Unready);
    tracker.observe(now + SECOND, Source::Proxy, Observed::Failed);
    tracker.handle_timeout(now + SECOND * 5);
    assert_eq!(fitness(&mut tracker), ready(2));
}

/// A proxy that dies as soon as it has the traffic, killed by the client that follows the address:
/// in ten minutes the address moves away from it and back a handful of times, not once in ten
/// seconds.
#[test]
fn proxy_that_dies_whenever_it_has_the_traffic_moves_the_address_less_and_less_often() {
    let began = Instant::now();
    let mut tracker = serving(began, vec![tracked(Some(&["webfarm"]))]);
    let mut moves = Vec::new();
    let mut before = fitness(&mut tracker);
    for tenth in 0..6000 {
        let now = began + Duration::from_millis(100) * tenth;
        tracker.handle_timeout(now);
        if fitness(&mut tracker) == ready(150) {
            die(&mut tracker, now);
        }
        let after = fitness(&mut tracker);
        if before != after {
            moves.push(tenth / 10);
            before = after;
        }
    }
    // Down after three deaths; back after 10, 20, 40, 80 and 160 s, and down at once.
    assert_eq!(moves, [0, 10, 10, 30, 30, 70, 70, 150, 151, 311, 311]);
}

#[test]
fn entries_that_move_together_are_ill_together_and_others_are_not() {
    let now = Instant::now();
    let entry = |entry: &str, group: &str, pools| Tracked {
        entry: entry.into(),
        sync_group: group.into(),
        ..tracked(pools)
    };
    let entries = vec![
        entry("web", "web", Some(&["webfarm"])),
        entry("lan", "web", None),
        entry("alone", "alone", None),
        entry("mail", "mail", Some(&["mailfarm"])),
    ];
    let mut tracker = Tracker::new(now, entries);
    assert_eq!(fitness_of(&mut tracker, "lan"), Fitness::Unready);
    assert_eq!(fitness_of(&mut tracker, "alone"), ready(150));
    tracker.observe(now, Source::Proxy, Observed::Well);
    tracker.observe(now, pool("webfarm"), Observed::Failed);
    tracker.observe(now, pool("mailfarm"), Observed::Well);
    let all =
        |tracker: &mut Tracker| ["web", "lan", "alone", "mail"].map(|e| fitness_of(tracker, e));
    let lost = [ready(2), ready(2), ready(150), ready(150)];
    assert_eq!(all(&mut tracker), lost);
    assert_eq!(
        reason(&mut tracker, "lan"),
        "it moves with web: pool webfarm has lost all its backends"
    );
    tracker.observe(now, Source::Proxy, Observed::Failed);
    assert_eq!(all(&mut tracker), lost, "a restart changes nothing");
    tracker.observe(now, Source::Proxy, Observed::Well);
    tracker.observe(now, pool("webfarm"), Observed::Well);
    assert_eq!(all(&mut tracker), [150; 4].map(ready));
    for _ in 0..3 {
        die(&mut tracker, now);
    }
    assert_eq!(
        all(&mut tracker),
        [ready(2), ready(2), ready(150), ready(2)],
        "whoever needs the proxy"
    );
}

/// RFC 9568 §5.2.4: its priority is 255.
#[test]
fn owner_is_never_lowered_but_does_not_preempt_while_its_proxy_is_ill() {
    let now = Instant::now();
    let mut own = tracked(Some(&["webfarm"]));
    own.rank = Rank::owner();
    let mut tracker = serving(now, vec![own]);
    assert_eq!(fitness(&mut tracker), ready(255));
    tracker.observe(now, pool("webfarm"), Observed::Failed);
    assert_eq!(fitness(&mut tracker), ready(255));
    assert_eq!(
        reason(&mut tracker, "web"),
        "pool webfarm has lost all its backends"
    );
    for _ in 0..3 {
        die(&mut tracker, now);
    }
    assert_eq!(fitness(&mut tracker), Fitness::Unready);
}
