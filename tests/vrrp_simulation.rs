//! The election, lived through thousands of times: 2 to 4 routers on one segment, seeded troubles,
//! a virtual clock, and what must hold all the same.
//!
//! A failure prints its seed; `EVENKEEL_SEED=<seed> cargo test --test vrrp_simulation` lives it
//! again.

#[path = "vrrp_simulation/world.rs"]
mod world;

use std::time::Duration;

use evenkeel::logic::vrrp::Preempt;
use evenkeel::model::{FaultCause, Fitness, Priority};
use world::{Chance, Kernel, Micros, Process, Weather, World};

/// After the troubles end, one router is Active, and stays it, within so many intervals: a stall
/// that ends last (4), a lower router that stands first (4), the best preempting it (4) and one for
/// delays.
const SETTLED_WITHIN: u64 = 13;
/// A router that the host failed eight times in a row stays away for 24 down intervals.
const SETTLED_WITHIN_AFTER_FAILURES: u64 = 24 * 4 + 13;
/// Nobody answers for at most so many intervals after the troubles end: a restart and a silent
/// Active.
const NOBODY_WITHIN: u64 = 5;
const TROUBLES_LAST: u64 = 40;
const QUIET_LASTS: u64 = 20;
const SCENARIOS: u64 = 2000;

#[test]
fn one_router_is_active_soon_after_the_troubles_end() {
    for seed in seeds() {
        let mut world = troubled_world(seed);
        let interval = world.interval.micros();
        let failures = world.weather.apply_failure_percent > 0;
        live_through_troubles(&mut world, seed);
        make_peace(&mut world);
        let patience = if failures {
            SETTLED_WITHIN_AFTER_FAILURES
        } else {
            SETTLED_WITHIN
        };
        let nobody_within = if failures {
            SETTLED_WITHIN_AFTER_FAILURES
        } else {
            NOBODY_WITHIN
        };
        let mut watch = Watch::new(&world, Some(nobody_within));
        let settled_at = world.now + patience * interval;
        world.run(settled_at, |world| watch.look(world, seed));
        let first = active_nodes(&world);
        let end = world.now + QUIET_LASTS * interval;
        world.run(end, |world| {
            watch.look(world, seed);
            assert!(
                active_nodes(world) == first && first.len() == 1 && answering(world) == first,
                "seed {seed}: exactly one router is Active and answers for good, not {first:?}, \
                 now {:?} with {:?} answering\n{}",
                active_nodes(world),
                answering(world),
                world.story()
            );
        });
    }
}

#[test]
fn best_router_is_active_in_the_end_when_all_preempt() {
    for seed in seeds().take(300) {
        let mut world = troubled_world_with(seed, |_| Preempt::Always);
        world.weather.apply_failure_percent = 0;
        let interval = world.interval.micros();
        live_through_troubles(&mut world, seed);
        make_peace(&mut world);
        let end = world.now + SETTLED_WITHIN * interval;
        world.run(end, |_| {});
        let best = (0..world.nodes.len()).max_by_key(|at| {
            (
                world.nodes[*at].parameters.priority,
                world.nodes[*at].source,
            )
        });
        let active = active_nodes(&world);
        let best_priority = best.map(|at| world.nodes[at].parameters.priority);
        assert_eq!(
            active
                .first()
                .map(|at| world.nodes[*at].parameters.priority),
            best_priority,
            "seed {seed}: nobody of a lower priority stays Active\n{}",
            world.story()
        );
    }
}

#[test]
fn graceful_stop_leaves_no_moment_without_the_addresses() {
    for seed in seeds().take(1000) {
        let mut world = troubled_world(seed);
        world.weather = Weather {
            loss_percent: 0,
            duplicate_percent: 0,
            apply_failure_percent: 0,
        };
        let interval = world.interval.micros();
        for at in 0..world.nodes.len() {
            world.start(at, false);
        }
        world.run(
            SETTLED_WITHIN * interval + world.chance.0 % interval,
            |_| {},
        );
        let leaving = active_nodes(&world)[0];
        match seed % 3 {
            0 => world.command(leaving, "stops", |router, now| router.handle_shutdown(now)),
            1 => world.set_fitness(leaving, Fitness::Fault(FaultCause::ProxyKeepsDying)),
            _ => world.set_fitness(leaving, Fitness::Ready(Priority::MIN)),
        }
        let end = world.now + 8 * interval + 1_000_000;
        world.run(end, |world| {
            let held = world
                .nodes
                .iter()
                .any(|node| node.kernel != Kernel::Nothing);
            assert!(
                held,
                "seed {seed}: somebody holds the addresses\n{}",
                world.story()
            );
        });
        assert_eq!(
            answering(&world).len(),
            1,
            "seed {seed}: one answers\n{}",
            world.story()
        );
        if seed % 3 == 0 {
            assert!(
                world.nodes[leaving].router.is_released(),
                "seed {seed}: all is given up"
            );
        }
    }
}

#[test]
fn health_driven_handover_takes_the_skew_of_the_best_peer() {
    for seed in seeds().take(500) {
        let mut world = World::new(Chance(seed), &[200, 150], &[Preempt::Always; 2], 100);
        world.start(0, false);
        world.start(1, false);
        world.run(13_000_000 + seed % 1_000_000, |_| {});
        world.set_fitness(0, Fitness::Ready(Priority::from_wire(100)));
        // Skew_Time of 150 is 414,063 µs; beyond it only the segment's delays and the host's
        // latency.
        let end = world.now + 414_063 + 50_000 + 5_000;
        world.run(end, |_| {});
        assert_eq!(
            active_nodes(&world),
            [1],
            "seed {seed}: the healthier one\n{}",
            world.story()
        );
    }
}

#[test]
fn lone_router_that_is_demoted_never_stops_answering() {
    for seed in seeds().take(200) {
        let mut world = World::new(Chance(seed), &[200], &[Preempt::Always], 1000);
        world.start(0, false);
        world.run(50_000_000 + seed % 10_000_000, |_| {});
        world.set_fitness(0, Fitness::Ready(Priority::MIN));
        let end = world.now + 60_000_000;
        world.run(end, |world| {
            assert_eq!(
                answering(world),
                [0],
                "seed {seed}: in spite of it\n{}",
                world.story()
            );
        });
        assert_eq!(
            active_nodes(&world),
            [0],
            "seed {seed}: and it is Active again"
        );
    }
}

#[test]
fn active_that_was_frozen_does_not_throw_its_successor_out_without_preemption() {
    for seed in seeds().take(500) {
        let mut world = World::new(Chance(seed), &[200, 150], &[Preempt::Never; 2], 100);
        world.start(0, false);
        world.run(4_000_000, |_| {});
        world.start(1, false);
        world.run(8_000_000 + seed % 1_000_000, |_| {});
        assert_eq!(active_nodes(&world), [0], "seed {seed}: the first");
        // Beyond both patiences; what the socket kept is sometimes lost.
        let span = 3_700_000 + world.chance.below(6_000_000);
        world.stall(0, span);
        let sent = world.nodes[0].router.counters().advertisements_sent;
        let woken_at = world.now + span - 1;
        world.run(woken_at, |_| {});
        if seed % 2 == 0 {
            world.lose_waiting(0);
        }
        let end = world.now + 10_000_000;
        world.run(end, |world| {
            assert_eq!(
                answering(world),
                [1],
                "seed {seed}: the successor\n{}",
                world.story()
            );
        });
        let sent_since = world.nodes[0].router.counters().advertisements_sent - sent;
        assert!(
            sent_since <= 1,
            "seed {seed}: at most the last word of one that yields"
        );
    }
}

#[test]
fn adopted_router_moves_nothing() {
    for seed in seeds().take(500) {
        let mut world = World::new(Chance(seed), &[200, 150], &[Preempt::Always; 2], 100);
        world.start(0, false);
        world.start(1, false);
        world.run(13_000_000 + seed % 1_000_000, |_| {});
        let transitions = world.nodes[1].router.counters().active_transitions;
        world.crash(0);
        let back_at = world.now + world.chance.below(1_500_000);
        world.run(back_at, |_| {});
        world.start(0, true);
        let end = world.now + 10_000_000;
        world.run(end, |world| {
            assert_eq!(
                answering(world),
                [0],
                "seed {seed}: always the same\n{}",
                world.story()
            );
        });
        let after = world.nodes[1].router.counters().active_transitions;
        assert_eq!(transitions, after, "seed {seed}: no move");
    }
}

/// What must hold at every moment.
struct Watch {
    both_active_since: Vec<Vec<Option<Micros>>>,
    nobody_since: Option<Micros>,
    /// For how many intervals nobody may answer; `None` while there are troubles.
    nobody_within: Option<u64>,
}

impl Watch {
    fn new(world: &World, nobody_within: Option<u64>) -> Self {
        let count = world.nodes.len();
        Self {
            both_active_since: vec![vec![None; count]; count],
            nobody_since: None,
            nobody_within,
        }
    }

    fn look(&mut self, world: &World, seed: u64) {
        let interval = world.interval.micros();
        if world.weather.loss_percent == 0 {
            self.look_at_pairs(world, seed, interval + 2 * world.delay_max + 10);
        }
        let Some(within) = self.nobody_within else {
            return;
        };
        if !answering(world).is_empty() {
            self.nobody_since = None;
            return;
        }
        let since = *self.nobody_since.get_or_insert(world.now);
        assert!(
            world.now - since <= within * interval,
            "seed {seed}: nobody answered since {since}\n{}",
            world.story()
        );
    }

    fn look_at_pairs(&mut self, world: &World, seed: u64, patience: Micros) {
        for one in 0..world.nodes.len() {
            for other in 0..one {
                let both = world.nodes[one].is_active() && world.nodes[other].is_active();
                let since = &mut self.both_active_since[one][other];
                if !both || !world.hear_each_other(one, other) {
                    *since = None;
                    continue;
                }
                let since = *since.get_or_insert(world.now);
                assert!(
                    world.now - since <= patience,
                    "seed {seed}: {one} and {other} hear each other and are Active since {since}\n{}",
                    world.story()
                );
            }
        }
    }
}

fn troubled_world(seed: u64) -> World {
    troubled_world_with(seed, |chance| {
        let delay = Duration::from_millis(chance.below(20));
        chance.pick(&[
            Preempt::Always,
            Preempt::Always,
            Preempt::Never,
            Preempt::After(delay),
        ])
    })
}

fn troubled_world_with(seed: u64, mut preempt: impl FnMut(&mut Chance) -> Preempt) -> World {
    let mut chance = Chance(seed);
    let count = 2 + chance.below(3) as usize;
    let priorities: Vec<u8> = (0..count)
        .map(|_| chance.pick(&[1, 50, 100, 100, 101, 150, 200, 254]))
        .collect();
    let preempt: Vec<Preempt> = (0..count).map(|_| preempt(&mut chance)).collect();
    let centiseconds = chance.pick(&[1, 10, 100, 100, 300]);
    let weather = Weather {
        loss_percent: chance.pick(&[0, 0, 5, 30]),
        duplicate_percent: chance.pick(&[0, 10, 50]),
        apply_failure_percent: chance.pick(&[0, 0, 0, 0, 0, 0, 0, 5]),
    };
    let mut world = World::new(chance, &priorities, &preempt, centiseconds);
    world.weather = weather;
    world
}

fn live_through_troubles(world: &mut World, seed: u64) {
    let interval = world.interval.micros();
    let mut watch = Watch::new(world, None);
    for at in 0..world.nodes.len() {
        world.start(at, false);
    }
    let end = TROUBLES_LAST * interval;
    while world.now < end {
        let next_at = world.now + 1 + world.chance.below(3 * interval);
        world.run(next_at, |world| watch.look(world, seed));
        make_trouble(world);
    }
}

fn make_trouble(world: &mut World) {
    let interval = world.interval.micros();
    let count = world.nodes.len() as u64;
    let at = world.chance.below(count) as usize;
    let other = world.chance.below(count) as usize;
    match world.chance.below(13) {
        0 | 1 => world.open[at][other] = false,
        2 | 3 => world.open[at][other] = true,
        4 => {
            world.open[at][other] = false;
            world.open[other][at] = false;
        }
        5 => {
            let span = world.chance.below(6 * interval);
            world.stall(at, span);
        }
        6 => world.crash(at),
        7 => world.start(at, true),
        8 => world.start(at, false),
        9 => {
            let up = !world.nodes[at].link_up;
            world.set_link(at, up);
        }
        10 => {
            world.command(at, "stops", |router, now| router.handle_shutdown(now));
        }
        11 => {
            let priority = Priority::from_wire(world.chance.pick(&[1, 60, 120, 180, 254]));
            let fault = FaultCause::ProxyNotServing;
            let fitness = match world.chance.below(4) {
                0 => Fitness::Unready,
                1 => Fitness::Fault(fault),
                _ => Fitness::Ready(priority),
            };
            world.set_fitness(at, fitness);
        }
        _ => world.command(at, "restarts softly", |router, now| {
            router.handle_startup(now)
        }),
    }
}

/// Everything works again; a stall may still last for some intervals.
fn make_peace(world: &mut World) {
    world.weather.loss_percent = 0;
    world.weather.duplicate_percent = 0;
    world.weather.apply_failure_percent = 0;
    for row in &mut world.open {
        row.fill(true);
    }
    let interval = world.interval.micros();
    let calm_at = world.now + 6 * interval;
    world.run(calm_at, |_| {});
    for at in 0..world.nodes.len() {
        assert_ne!(
            world.nodes[at].process,
            Process::Stalled,
            "every stall is over"
        );
        world.start(at, false);
        world.set_link(at, true);
        let fitness = Fitness::Ready(world.nodes[at].parameters.priority);
        world.set_fitness(at, fitness);
        world.command(at, "starts again", |router, now| router.handle_startup(now));
    }
}

fn active_nodes(world: &World) -> Vec<usize> {
    (0..world.nodes.len())
        .filter(|at| world.nodes[*at].is_active())
        .collect()
}

fn answering(world: &World) -> Vec<usize> {
    (0..world.nodes.len())
        .filter(|at| matches!(world.nodes[*at].kernel, Kernel::Answers { .. }))
        .collect()
}

fn seeds() -> impl Iterator<Item = u64> {
    let one = std::env::var("EVENKEEL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    one.map_or(0..SCENARIOS, |seed: u64| seed..seed + 1)
}
