//! Scenarios: which routers there are, what befalls them, and how it ends.

use std::time::Duration;

use evenkeel::logic::vrrp::Preempt;
use evenkeel::model::{FaultCause, Fitness, Priority, Version};

use crate::chance::Chance;
use crate::clock::Micros;
use crate::node::{Kind, Process, Setting};
use crate::watch::Watch;
use crate::world::{Weather, World, drift};

/// What a scenario may have.
#[derive(Clone, Copy)]
pub(crate) struct Cast {
    /// How many of a hundred nodes are keepalived's; one that is ours there always is.
    pub keepalived_percent: u64,
    /// All preempt, nobody waits.
    pub all_preempt: bool,
    /// Packets and clocks are as on ordinary machines on one segment: no more than 50 ms late, no
    /// faster or slower than 50 ppm.
    pub ordinary: bool,
}

/// Nobody but us.
pub(crate) const OURS: Cast = Cast {
    keepalived_percent: 0,
    all_preempt: false,
    ordinary: false,
};

/// Draws the nodes and the weather of a seed.
pub(crate) fn troubled_world(seed: u64, cast: Cast) -> World {
    let mut chance = Chance(seed);
    let count = 2 + chance.below(3) as usize;
    let version = chance.pick(&[Version::V3, Version::V3, Version::V3, Version::V2]);
    let base = match version {
        Version::V2 => chance.pick(&[100, 100, 200, 300]),
        Version::V3 => chance.pick(&[1, 10, 100, 100, 300]),
    };
    // In version 2 other intervals are another virtual router; in version 3 they are learned.
    let factors: &[u16] = match (version, chance.below(4)) {
        (Version::V3, 0) => &[1, 1, 2, 5],
        (Version::V3, _) | (Version::V2, _) => &[1],
    };
    // Not 1: with a high priority that is one interval and nearly nothing, less than what delays
    // and drift do to the time between two advertisements, so that no router could keep it.
    let multipliers: &[u8] = match chance.below(4) {
        0 => &[2, 3, 4, 10],
        _ => &[3],
    };
    let ours = chance.below(count as u64) as usize;
    let settings: Vec<Setting> = (0..count)
        .map(|at| {
            let kind = if at != ours && chance.percent(cast.keepalived_percent) {
                Kind::Keepalived
            } else {
                Kind::Evenkeel
            };
            let priority = chance.pick(&[1, 50, 100, 100, 101, 150, 200, 254]);
            let interval = base * chance.pick(factors);
            Setting {
                version,
                down_multiplier: chance.pick(multipliers),
                drift_ppm: match drift(&mut chance) {
                    ppm if cast.ordinary => ppm.clamp(-50, 50),
                    ppm => ppm,
                },
                ..Setting::new(kind, priority, preempt(&mut chance, kind, cast), interval)
            }
        })
        .collect();
    let weather = Weather {
        loss_percent: chance.pick(&[0, 0, 5, 30]),
        duplicate_percent: chance.pick(&[0, 10, 50]),
        apply_failure_percent: chance.pick(&[0, 0, 0, 0, 0, 0, 0, 5]),
        reorders: chance.percent(50),
    };
    let mut world = World::of(chance, &settings);
    world.weather = weather;
    if cast.ordinary {
        world.delay_max = world.delay_max.min(50_000);
    }
    world
}

fn preempt(chance: &mut Chance, kind: Kind, cast: Cast) -> Preempt {
    let delay = Duration::from_millis(chance.below(20));
    let drawn = chance.pick(&[
        Preempt::Always,
        Preempt::Always,
        Preempt::Never,
        Preempt::After(delay),
    ]);
    match (kind, drawn) {
        _ if cast.all_preempt => Preempt::Always,
        // Its delay is longer than any of these worlds.
        (Kind::Keepalived, Preempt::After(_)) => Preempt::Never,
        (Kind::Keepalived | Kind::Evenkeel, drawn) => drawn,
    }
}

/// Starts everybody, and lets one trouble after the other befall them, for `TROUBLES_LAST`
/// intervals.
pub(crate) fn live_through_troubles(world: &mut World) {
    let interval = world.interval();
    let mut watch = Watch::new(world, None);
    for at in 0..world.nodes.len() {
        world.start(at, false);
    }
    let end = TROUBLES_LAST * interval;
    while world.now < end {
        let next_at = world.now + 1 + world.chance.below(3 * interval);
        world.run(next_at, |world| watch.look(world));
        make_trouble(world);
    }
}

fn make_trouble(world: &mut World) {
    let interval = world.interval();
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
            let span = world.chance.below(STALL_MOST * interval);
            world.stall(at, span);
        }
        6 => world.crash(at),
        7 => world.start(at, true),
        8 => world.start(at, false),
        9 => {
            let up = !world.nodes[at].link_up;
            world.set_link(at, up);
        }
        10 => world.stop(at),
        11 => {
            let priority = Priority::from_wire(world.chance.pick(&[1, 60, 120, 180, 254]));
            let fault = FaultCause::Tracking;
            let fitness = match world.chance.below(4) {
                0 => Fitness::Unready,
                1 => Fitness::Fault(fault),
                _ => Fitness::Ready(priority),
            };
            world.set_fitness(at, fitness);
        }
        _ => world.start_again(at),
    }
}

/// Everything works again; a stall may still last for some intervals, and packets go on to overtake
/// each other.
pub(crate) fn make_peace(world: &mut World) {
    world.weather = Weather {
        reorders: world.weather.reorders,
        ..Weather::FAIR
    };
    for row in &mut world.open {
        row.fill(true);
    }
    let calm_at = world.now + STALL_MOST * world.interval();
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
        world.start_again(at);
    }
}

/// Within what everything is decided after the troubles end.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// One is Active, and stays it.
    pub settled: Micros,
    /// For so long nobody may answer.
    pub nobody: Micros,
}

impl Bounds {
    /// A router stands after its patience. Settled: a stall that ends last, a lower router that
    /// stands first, the best preempting it, and an interval for delays. Nobody: a restart, and an
    /// interval for a silent Active.
    ///
    /// A router that the host failed eight times in a row stays away for 24 times its patience
    /// besides.
    pub(crate) fn of(world: &World) -> Self {
        let (patience, interval) = (world.patience(), world.interval());
        let settled = 3 * patience + interval;
        if world.weather.apply_failure_percent == 0 {
            Self {
                settled,
                nobody: patience + interval,
            }
        } else {
            let settled = 24 * patience + settled;
            Self {
                settled,
                nobody: settled,
            }
        }
    }
}

const TROUBLES_LAST: u64 = 40;
const STALL_MOST: u64 = 6;
