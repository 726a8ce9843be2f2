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
            sources
                .map(|source| Condition {
                    source,
                    effect: Effect::Ill,
                })
                .collect()
        }),
    }
}

fn lost() -> Observed {
    Observed::Failed("has lost all its backends".into())
}

/// A pool that answers in the place of another: better than none, worse than its own.
#[test]
fn a_node_that_serves_from_a_fallback_stands_between_the_others() {
    let now = Instant::now();
    let substituted = || Observed::Substituted("has lost all its backends".into());
    let mut tracker = serving(now, vec![tracked(Some(&["webfarm", "api"]))]);
    tracker.observe(now, pool("api"), substituted());
    assert_eq!(fitness(&mut tracker), ready(4));
    tracker.observe(now, pool("webfarm"), lost());
    assert_eq!(fitness(&mut tracker), ready(2));
    tracker.observe(now, pool("webfarm"), Observed::Well);
    assert_eq!(fitness(&mut tracker), ready(4));
    tracker.observe(now, pool("api"), Observed::Well);
    assert_eq!(fitness(&mut tracker), ready(150));
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
    tracker.observe(at, Source::Proxy, Observed::Failed(String::new()));
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
            tracker.observe(now, pool("webfarm"), lost());
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
        tracker.observe(now, pool("webfarm"), lost());
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
    tracker.observe(now, pool("api"), lost());
    assert_eq!(fitness(&mut tracker), ready(2));
    tracker.observe(now, pool("images"), Observed::Well);
    assert_eq!(fitness(&mut tracker), ready(2));
    tracker.observe(now, pool("api"), Observed::Well);
    assert_eq!(fitness(&mut tracker), ready(150));
}

#[test]
fn restart_in_time_changes_nothing_neither_for_a_well_node_nor_for_an_ill_one() {
    for state in [Observed::Well, lost()] {
        let now = Instant::now();
        let mut tracker = serving(now, vec![tracked(Some(&["webfarm"]))]);
        tracker.observe(now, pool("webfarm"), state);
        let before = fitness(&mut tracker);
        tracker.observe(now, Source::Proxy, Observed::Failed(String::new()));
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
    tracker.observe(now, Source::Proxy, Observed::Failed(String::new()));
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
    tracker.observe(now + SECOND, Source::Proxy, Observed::Failed(String::new()));
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
    tracker.observe(now, pool("webfarm"), lost());
    tracker.observe(now, pool("mailfarm"), Observed::Well);
    let all =
        |tracker: &mut Tracker| ["web", "lan", "alone", "mail"].map(|e| fitness_of(tracker, e));
    let lost = [ready(2), ready(2), ready(150), ready(150)];
    assert_eq!(all(&mut tracker), lost);
    assert_eq!(
        reason(&mut tracker, "lan"),
        "it moves with web: pool webfarm has lost all its backends"
    );
    tracker.observe(now, Source::Proxy, Observed::Failed(String::new()));
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
    tracker.observe(now, pool("webfarm"), lost());
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

fn with(conditions: &[(Source, Effect)]) -> Tracked {
    let condition = |(source, effect): &(Source, Effect)| Condition {
        source: source.clone(),
        effect: *effect,
    };
    Tracked {
        conditions: conditions.iter().map(condition).collect(),
        ..tracked(None)
    }
}

fn script(name: &str) -> Source {
    Source::Script(name.into())
}

fn exit_1() -> Observed {
    Observed::Failed("exit status: 1".into())
}

#[test]
fn numbers_are_summed_first_and_clamped_once_always_from_the_base() {
    let now = Instant::now();
    let file = Source::File("/run/weight".into());
    let entry = with(&[
        (script("a"), Effect::LowerBy(100)),
        (script("b"), Effect::LowerBy(100)),
        (script("c"), Effect::LowerBy(100)),
        (script("up"), Effect::RaiseBy(101)),
        (file.clone(), Effect::RaiseByContent),
    ]);
    let mut tracker = Tracker::new(now, vec![entry]);
    assert_eq!(fitness(&mut tracker), Fitness::Unready);
    assert_eq!(
        reason(&mut tracker, "web"),
        "nothing is known of script a yet"
    );
    for name in ["a", "b", "c"] {
        tracker.observe(now, script(name), Observed::Well);
    }
    tracker.observe(now, script("up"), exit_1());
    tracker.observe(now, file.clone(), Observed::Content(0));
    assert_eq!(fitness(&mut tracker), ready(150));
    assert_eq!(reason(&mut tracker, "web"), "");
    tracker.observe(now, script("up"), Observed::Well);
    assert_eq!(fitness(&mut tracker), ready(251));
    tracker.observe(now, file.clone(), Observed::Content(20));
    assert_eq!(fitness(&mut tracker), ready(254), "not above 254");
    assert_eq!(
        reason(&mut tracker, "web"),
        "150 + 101 (script up) + 20 (file /run/weight) = 271, not above 254"
    );
    for name in ["a", "b", "c"] {
        tracker.observe(now, script(name), exit_1());
    }
    // 150 + 101 + 20 - 300 is below the priority of an ill node.
    assert_eq!(fitness(&mut tracker), ready(2));
    tracker.observe(now, script("b"), Observed::Well);
    assert_eq!(fitness(&mut tracker), ready(71), "one recovers");
    tracker.observe(now, file.clone(), Observed::Content(-500));
    assert_eq!(fitness(&mut tracker), ready(2));
    tracker.observe(now, file, Observed::Content(i32::MIN));
    assert_eq!(fitness(&mut tracker), ready(2));
}

#[test]
fn the_arithmetic_is_told_with_how_long_it_has_been_so() {
    let now = Instant::now();
    let entry = with(&[(script("uplink"), Effect::LowerBy(60))]);
    let mut tracker = Tracker::new(now, vec![entry]);
    tracker.observe(now, script("uplink"), exit_1());
    assert_eq!(fitness(&mut tracker), ready(90));
    assert_eq!(
        reason(&mut tracker, "web"),
        "150 - 60 (script uplink failing: exit status: 1) = 90"
    );
    tracker.observe(now + SECOND, script("uplink"), exit_1());
    assert_eq!(
        tracker.explain(now + SECOND * 12, "web").unwrap(),
        "150 - 60 (script uplink failing for 12 s: exit status: 1) = 90"
    );
    assert_eq!(tracker.poll_change(), None, "time alone is no change");
}

#[test]
fn a_failing_condition_makes_ill_or_takes_out_whatever_the_numbers() {
    let now = Instant::now();
    let interface = Source::Interface("eth1".into());
    let entry = with(&[
        (script("ill"), Effect::Ill),
        (interface.clone(), Effect::Fault),
        (script("up"), Effect::RaiseBy(50)),
    ]);
    let mut tracker = Tracker::new(now, vec![entry]);
    tracker.observe(now, script("ill"), Observed::Well);
    tracker.observe(now, interface.clone(), Observed::Well);
    tracker.observe(now, script("up"), Observed::Well);
    assert_eq!(fitness(&mut tracker), ready(200));
    tracker.observe(now, script("ill"), exit_1());
    assert_eq!(
        fitness(&mut tracker),
        ready(2),
        "no number lifts an ill node"
    );
    assert_eq!(
        reason(&mut tracker, "web"),
        "script ill failing: exit status: 1"
    );
    tracker.observe(
        now,
        interface.clone(),
        Observed::Failed("has no carrier".into()),
    );
    assert_eq!(
        fitness(&mut tracker),
        Fitness::Fault(crate::model::FaultCause::Tracking)
    );
    assert_eq!(reason(&mut tracker, "web"), "interface eth1 has no carrier");
    tracker.observe(now, interface, Observed::Well);
    tracker.observe(now, script("ill"), Observed::Well);
    assert_eq!(fitness(&mut tracker), ready(200), "from the base again");
}

#[test]
fn the_proxy_and_pools_may_have_other_effects() {
    let now = Instant::now();
    let entry = with(&[
        (Source::Proxy, Effect::LowerBy(70)),
        (pool("webfarm"), Effect::LowerBy(30)),
    ]);
    let mut tracker = serving(now, vec![entry]);
    assert_eq!(fitness(&mut tracker), ready(150));
    tracker.observe(now, pool("webfarm"), lost());
    assert_eq!(fitness(&mut tracker), ready(120));
    for _ in 0..3 {
        die(&mut tracker, now);
    }
    assert_eq!(fitness(&mut tracker), ready(50));
}

/// RFC 9568 §5.2.4: no number changes its priority; what it is ill with keeps it from preempting.
#[test]
fn no_number_changes_the_owner() {
    let now = Instant::now();
    let own = Tracked {
        rank: Rank::owner(),
        ..with(&[
            (script("a"), Effect::LowerBy(60)),
            (script("b"), Effect::Ill),
        ])
    };
    let mut tracker = Tracker::new(now, vec![own]);
    tracker.observe(now, script("a"), exit_1());
    tracker.observe(now, script("b"), Observed::Well);
    assert_eq!(fitness(&mut tracker), ready(255));
    tracker.observe(now, script("b"), exit_1());
    assert_eq!(fitness(&mut tracker), Fitness::Unready);
}

/// Whatever combination fails, the order of nodes that have lost the same is that of well ones, and
/// a node that cannot serve is below every one that can.
#[test]
fn nodes_that_lose_the_same_keep_their_order() {
    let now = Instant::now();
    let file = [("lb1", 150), ("lb2", 100), ("lb3", 100)];
    let conditions = [
        (script("a"), Effect::LowerBy(60)),
        (script("b"), Effect::LowerBy(100)),
        (script("c"), Effect::RaiseBy(120)),
        (script("d"), Effect::Ill),
    ];
    for failing in 0..16_u8 {
        let mut priorities = Vec::new();
        for node in ["lb1", "lb2", "lb3"] {
            let own = Tracked {
                rank: rank(node, &file),
                ..with(&conditions)
            };
            let mut tracker = Tracker::new(now, vec![own]);
            for (at, (source, _)) in conditions.iter().enumerate() {
                let observed = match failing & (1 << at) {
                    0 => Observed::Well,
                    _ => exit_1(),
                };
                tracker.observe(now, source.clone(), observed);
            }
            let Fitness::Ready(priority) = fitness(&mut tracker) else {
                panic!("it stands");
            };
            priorities.push(priority);
        }
        let [one, two, three] = priorities[..] else {
            panic!("three");
        };
        assert!(one >= two && two <= three, "{failing:04b}: {priorities:?}");
    }
}

#[test]
fn many_entries_are_judged_in_time_that_grows_with_their_number() {
    let now = Instant::now();
    let entries = (0..1000).map(|number| {
        let mut entry = tracked(Some(&["webfarm"]));
        entry.entry = format!("r{number}");
        entry.sync_group = format!("r{number}");
        entry
    });
    let mut tracker = Tracker::new(now, entries.collect());
    let mut said = 0;
    while tracker.poll_change().is_some() {
        said += 1;
        // A tenth of a second without optimization; half a minute where each verdict looks at all
        // entries again.
        assert!(now.elapsed() < Duration::from_secs(5), "{said} in 5 s");
    }
    assert_eq!(said, 1000);
}
