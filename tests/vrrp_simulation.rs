//! The election, lived through thousands of times: 2 to 4 routers on one segment, seeded troubles,
//! a virtual clock, and what must hold all the same.
//!
//! `EVENKEEL_SCENARIOS` is how many worlds the two large tests live through, ours alone and ours
//! beside keepalived's; the others take a share of it. 100,000 in release mode take a few minutes
//! on two cores: `EVENKEEL_SCENARIOS=100000 cargo test --release --test vrrp_simulation`. A failure
//! prints its seed, and `EVENKEEL_SEED=<seed> cargo test --test vrrp_simulation` lives it again.
//!
//! `scenario` has the troubles, `ranks` nodes that are ill, `watch` what must hold at every moment,
//! `keepalived` the peer, `mixed` what can be promised beside it, `clock` the drift.

#[path = "vrrp_simulation/chance.rs"]
mod chance;
#[path = "vrrp_simulation/clock.rs"]
mod clock;
#[path = "vrrp_simulation/keepalived.rs"]
mod keepalived;
#[path = "vrrp_simulation/mixed.rs"]
mod mixed;
#[path = "vrrp_simulation/node.rs"]
mod node;
#[path = "vrrp_simulation/ranks.rs"]
mod ranks;
#[path = "vrrp_simulation/scenario.rs"]
mod scenario;
#[path = "vrrp_simulation/seeds.rs"]
mod seeds;
#[path = "vrrp_simulation/watch.rs"]
mod watch;
#[path = "vrrp_simulation/world.rs"]
mod world;

use evenkeel::logic::vrrp::Preempt;
use evenkeel::model::{FaultCause, Fitness, Priority};

use chance::Chance;
use clock::at_most;
use node::Kernel;
use scenario::{Bounds, Cast, OURS, live_through_troubles, make_peace, troubled_world};
use seeds::for_seeds;
use watch::Watch;
use world::{Weather, World};

const QUIET_LASTS: u64 = 20;

#[test]
fn one_router_is_active_soon_after_the_troubles_end() {
    for_seeds(1, |seed| settles(troubled_world(seed, OURS)));
}

/// After any troubles: nobody is without an Active for long, and in the end there is one, for good.
fn settles(mut world: World) {
    let bounds = Bounds::of(&world);
    live_through_troubles(&mut world);
    make_peace(&mut world);
    let mut watch = Watch::new(&world, Some(bounds.nobody));
    let settled_at = world.now + bounds.settled;
    world.run(settled_at, |world| watch.look(world));
    let first = world.active();
    let end = world.now + QUIET_LASTS * world.interval();
    world.run(end, |world| {
        watch.look(world);
        assert!(
            first.len() == 1 && are_exactly(world, &first),
            "exactly one router is Active and answers for good, not {first:?}, now {:?} with {:?} \
             answering\n{}",
            world.active(),
            world.answering(),
            world.story()
        );
    });
}

/// Returns whether these nodes and no others are Active and answer.
fn are_exactly(world: &World, nodes: &[usize]) -> bool {
    let mut all = world.nodes.iter().enumerate();
    all.all(|(at, node)| {
        let hoped = nodes.contains(&at);
        node.is_active() == hoped && node.answers() == hoped
    })
}

#[test]
fn best_router_is_active_in_the_end_when_all_preempt() {
    let cast = Cast {
        all_preempt: true,
        ..OURS
    };
    for_seeds(7, |seed| best_is_active(troubled_world(seed, cast)));
}

fn best_is_active(mut world: World) {
    world.weather.apply_failure_percent = 0;
    let bounds = Bounds::of(&world);
    live_through_troubles(&mut world);
    make_peace(&mut world);
    let end = world.now + bounds.settled;
    world.run(end, |_| {});
    let best = world
        .nodes
        .iter()
        .map(|node| node.parameters.priority)
        .max();
    let active = world.active();
    let active = active
        .first()
        .map(|at| world.nodes[*at].parameters.priority);
    assert_eq!(
        active,
        best,
        "nobody of a lower priority stays Active\n{}",
        world.story()
    );
}

/// On an ordinary segment, which keeps the order of packets: an advertisement that arrives after
/// the priority 0 which was sent after it starts the whole timer of a Backup again, as one from an
/// Active that has come back would. Ordinary, because a Backup of priority 1 waits nearly a whole
/// interval of its own clock, and what is held 100 ms longer than an interval bears no more delay
/// and drift than those.
#[test]
fn graceful_stop_leaves_no_moment_without_the_addresses() {
    for_seeds(2, |seed| {
        let cast = Cast {
            ordinary: true,
            ..OURS
        };
        let mut world = troubled_world(seed, cast);
        world.weather = Weather::FAIR;
        let settled_at = Bounds::of(&world).settled + world.chance.below(world.interval());
        for at in 0..world.nodes.len() {
            world.start(at, false);
        }
        world.run(settled_at, |_| {});
        let leaving = world.active()[0];
        match seed % 3 {
            0 => world.stop(leaving),
            1 => world.set_fitness(leaving, Fitness::Fault(FaultCause::Tracking)),
            _ => world.set_fitness(leaving, Fitness::Ready(Priority::MIN)),
        }
        let end = world.now + 2 * world.patience() + 1_000_000;
        world.run(end, |world| {
            let held = world
                .nodes
                .iter()
                .any(|node| node.kernel != Kernel::Nothing);
            assert!(held, "somebody holds the addresses\n{}", world.story());
        });
        assert_eq!(world.answering().len(), 1, "one answers\n{}", world.story());
        if seed % 3 == 0 {
            assert!(
                world.nodes[leaving].router().is_released(),
                "all is given up"
            );
        }
    });
}

#[test]
fn health_driven_handover_takes_the_skew_of_the_best_peer() {
    for_seeds(4, |seed| {
        let mut world = World::new(Chance(seed), &[200, 150], &[Preempt::Always; 2], 100);
        world.start(0, false);
        world.start(1, false);
        let settled_at = 13_000_000 + world.chance.below(1_000_000);
        world.run(settled_at, |_| {});
        world.set_fitness(0, Fitness::Ready(Priority::from_wire(100)));
        // Skew_Time of 150 is 414,063 µs by its own clock; beyond it only the segment's delays and
        // the host's latency.
        let end = world.now + at_most(414_063) + 50_000 + 5_000;
        world.run(end, |_| {});
        assert_eq!(world.active(), [1], "the healthier one\n{}", world.story());
    });
}

#[test]
fn lone_router_that_is_demoted_never_stops_answering() {
    for_seeds(10, |seed| {
        let mut world = World::new(Chance(seed), &[200], &[Preempt::Always], 1000);
        world.start(0, false);
        let settled_at = 50_000_000 + world.chance.below(10_000_000);
        world.run(settled_at, |_| {});
        world.set_fitness(0, Fitness::Ready(Priority::MIN));
        let end = world.now + 60_000_000;
        world.run(end, |world| {
            assert_eq!(world.answering(), [0], "in spite of it\n{}", world.story());
        });
        assert_eq!(world.active(), [0], "and it is Active again");
    });
}

/// RFC 9568 §6.4.3: whoever of two Actives speaks first ends it, if they have not just answered
/// each other.
#[test]
fn two_that_were_apart_are_one_as_soon_as_one_of_them_speaks() {
    for_seeds(4, |seed| {
        let mut world = World::new(Chance(seed), &[200, 150], &[Preempt::Always; 2], 100);
        world.start(0, false);
        world.start(1, false);
        world.open = vec![vec![false; 2]; 2];
        let settled_at = 13_000_000 + world.chance.below(1_000_000);
        world.run(settled_at, |_| {});
        assert_eq!(world.active(), [0, 1], "both");
        let sent = |world: &World| -> u64 {
            let counters = world.nodes.iter().map(|node| node.router().counters());
            counters.map(|counters| counters.advertisements_sent).sum()
        };
        world.open = vec![vec![true; 2]; 2];
        let before = sent(&world);
        while sent(&world) == before {
            let next_at = world.now + 1000;
            world.run(next_at, |_| {});
        }
        let end = world.now + 2 * world.delay_max;
        world.run(end, |_| {});
        assert_eq!(world.active(), [0], "the better one\n{}", world.story());
    });
}

#[test]
fn backup_that_was_frozen_reads_what_waited_before_it_stands() {
    for_seeds(4, |seed| {
        let mut world = World::new(Chance(seed), &[200, 150], &[Preempt::Always; 2], 100);
        world.start(0, false);
        world.start(1, false);
        let settled_at = 13_000_000 + world.chance.below(1_000_000);
        world.run(settled_at, |_| {});
        let span = 3_700_000 + world.chance.below(6_000_000);
        world.stall(1, span);
        let end = world.now + span + 10_000_000;
        world.run(end, |_| {});
        let counters = world.nodes[1].router().counters();
        let said = (counters.active_transitions, counters.advertisements_sent);
        assert_eq!(said, (0, 0), "it never stands\n{}", world.story());
    });
}

#[test]
fn active_that_was_frozen_does_not_throw_its_successor_out_without_preemption() {
    for_seeds(4, |seed| {
        let mut world = World::new(Chance(seed), &[200, 150], &[Preempt::Never; 2], 100);
        world.start(0, false);
        world.run(4_000_000, |_| {});
        world.start(1, false);
        let settled_at = 8_000_000 + world.chance.below(1_000_000);
        world.run(settled_at, |_| {});
        assert_eq!(world.active(), [0], "the first");
        // Beyond both patiences; what the socket kept is sometimes lost.
        let span = 3_700_000 + world.chance.below(6_000_000);
        world.stall(0, span);
        let sent = world.nodes[0].router().counters().advertisements_sent;
        let woken_at = world.now + span - 1;
        world.run(woken_at, |_| {});
        if seed % 2 == 0 {
            world.lose_waiting(0);
        }
        let end = world.now + 10_000_000;
        world.run(end, |world| {
            assert_eq!(world.answering(), [1], "the successor\n{}", world.story());
        });
        let sent_since = world.nodes[0].router().counters().advertisements_sent - sent;
        assert!(sent_since <= 1, "at most the last word of one that yields");
    });
}

#[test]
fn adopted_router_moves_nothing() {
    for_seeds(4, |seed| {
        let mut world = World::new(Chance(seed), &[200, 150], &[Preempt::Always; 2], 100);
        world.start(0, false);
        world.start(1, false);
        let settled_at = 13_000_000 + world.chance.below(1_000_000);
        world.run(settled_at, |_| {});
        let transitions = world.nodes[1].router().counters().active_transitions;
        world.crash(0);
        let back_at = world.now + world.chance.below(1_500_000);
        world.run(back_at, |_| {});
        world.start(0, true);
        let end = world.now + 10_000_000;
        world.run(end, |world| {
            assert_eq!(world.answering(), [0], "always the same\n{}", world.story());
        });
        let after = world.nodes[1].router().counters().active_transitions;
        assert_eq!(transitions, after, "no move");
    });
}
