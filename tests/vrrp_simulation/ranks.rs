//! Nodes that are ill: whatever the priorities, one that serves has the addresses, and if there is
//! none the last ones hold them without moving them about.
//!
//! The routers stand with what `model::Rank` says; who is ill is drawn, or said by a
//! `logic::track::Tracker` whose proxy dies. What an illness is, is tested there.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel::logic::track::{Condition, Effect, Observed, Source, Tracked, Tracker};
use evenkeel::logic::vrrp::Preempt;
use evenkeel::model::{Fitness, Priority, Rank, Version};

use crate::are_exactly;
use crate::chance::Chance;
use crate::clock::{Micros, at_most};
use crate::node::{Kind, Setting};
use crate::scenario::Bounds;
use crate::seeds::for_seeds;
use crate::watch::Watch;
use crate::world::{World, drift};

/// The pairs of the requirement, equal ones, three nodes, and four.
const BASES: [&[u8]; 9] = [
    &[254, 100],
    &[200, 199],
    &[1, 254],
    &[100, 100],
    &[1, 1],
    &[254, 100, 1],
    &[100, 100, 100],
    &[1, 2, 3],
    &[254, 254, 1, 2],
];
const SECOND: Micros = 1_000_000;
const MINUTE: Micros = 60 * SECOND;

#[test]
fn ill_active_gives_way_within_a_skew_time_and_has_the_addresses_back() {
    for_seeds(8, |seed| {
        let mut group = Group::drawn(seed, &[]);
        let first = group.settle();
        group.ill(first);
        let skew_most = match group.version {
            Version::V2 => SECOND,
            Version::V3 => group.world.interval(),
        };
        let end = group.world.now + at_most(skew_most) + 2 * group.world.delay_max + 10;
        group.world.run(end, |_| {});
        let active = group.world.active();
        assert!(
            active.iter().any(|at| *at != first),
            "a node that serves is Active\n{}",
            group.world.story()
        );
        let second = group.settle();
        assert_ne!(second, first, "it gave way\n{}", group.world.story());
        group.is_quiet_for_a_minute();
        group.well(first);
        let third = group.settle();
        if group.all_preempt() {
            assert_eq!(third, first, "the best\n{}", group.world.story());
        }
        group.is_quiet_for_a_minute();
    });
}

#[test]
fn nodes_that_are_all_ill_hold_the_addresses_and_do_not_move_them() {
    for_seeds(8, |seed| {
        let mut group = Group::drawn(seed, &[]);
        group.settle();
        let mut watch = Watch::new(&group.world, Some(Bounds::of(&group.world).nobody));
        for at in group.in_some_order() {
            group.ill(at);
            let next_at = group.world.now + group.world.chance.below(4 * SECOND);
            group.world.run(next_at, |world| watch.look(world));
        }
        let holder = group.settle();
        if group.all_preempt() {
            assert_eq!(Some(holder), group.best(), "{}", group.world.story());
        }
        group.is_quiet_for_a_minute();
        for at in group.in_some_order() {
            group.well(at);
        }
        group.settle();
        group.is_quiet_for_a_minute();
    });
}

/// Nodes fall ill and are healed at any time, also several times within the 10 s between two
/// re-elections.
#[test]
fn node_that_serves_is_active_soon_after_whatever_befell_the_others() {
    for_seeds(8, |seed| {
        let mut group = Group::drawn(seed, &[]);
        group.settle();
        let bounds = Bounds::of(&group.world);
        let mut elections = vec![(0, None); group.ours];
        for _ in 0..6 {
            let mut watch = Watch::new(&group.world, Some(bounds.nobody));
            let calm_at = group.world.now + group.world.chance.below(MINUTE / 6);
            while group.world.now < calm_at {
                let at = group.one_of_ours();
                match group.world.chance.percent(50) {
                    true => group.ill(at),
                    false => group.well(at),
                }
                let next_at = group.world.now + group.world.chance.below(3 * SECOND);
                group.world.run(next_at, |world| {
                    watch.look(world);
                    note_re_elections(world, &mut elections);
                });
            }
            let holder = group.settle();
            let any_well = (0..group.ours).any(|at| !group.ill[at]);
            assert!(
                !any_well || !group.ill[holder],
                "one that serves is Active\n{}",
                group.world.story()
            );
        }
    });
}

/// Of each node how many re-elections there were, and when the last; two are never within 10 s of
/// its clock.
fn note_re_elections(world: &World, elections: &mut [(u64, Option<Micros>)]) {
    for (at, (count, last_at)) in elections.iter_mut().enumerate() {
        let demotions = world.nodes[at].router().counters().demotions;
        if demotions == *count {
            continue;
        }
        let apart = last_at.map_or(Micros::MAX, |last_at| world.now - last_at);
        assert!(
            at_most(apart.min(MINUTE)) >= 10 * SECOND,
            "node {at} was re-elected {apart} µs ago\n{}",
            world.story()
        );
        *count = demotions;
        *last_at = Some(world.now);
    }
}

#[test]
fn keepalived_beside_serves_when_ours_are_ill_and_an_ill_one_answers_when_it_is_dead() {
    for_seeds(8, |seed| {
        let theirs = [90, 120, 10][(seed % 3) as usize];
        let mut group = Group::drawn(seed, &[theirs]);
        let keepalived = group.ours;
        group.settle();
        for at in group.in_some_order() {
            group.ill(at);
        }
        assert_eq!(group.settle(), keepalived, "{}", group.world.story());
        group.is_quiet_for_a_minute();
        group.world.stop(keepalived);
        let holder = group.settle();
        assert!(holder < keepalived, "an ill one\n{}", group.world.story());
        group.is_quiet_for_a_minute();
        group.world.start_again(keepalived);
        assert_eq!(group.settle(), keepalived, "{}", group.world.story());
        for at in 0..group.ours {
            group.well(at);
        }
        group.settle();
        group.is_quiet_for_a_minute();
    });
}

/// Killed over and over on every node, whether it has the addresses or not.
#[test]
fn proxies_that_keep_dying_everywhere_move_nothing_and_all_is_well_after_a_calm() {
    for_seeds(40, |seed| {
        let mut group = Tracking::drawn(seed);
        let best = group.group.settle();
        group.live(10 * SECOND, |_, _| true);
        let holder = group.group.world.active();
        assert_eq!(holder.len(), 1, "{}", group.group.world.story());
        let moves = group.moves(MINUTE, |_, _| true);
        assert_eq!(moves, 0, "{}", group.group.world.story());
        assert_eq!(group.group.world.active(), holder);
        group.live(25 * SECOND, |_, _| false);
        let after = group.group.settle();
        if group.group.all_preempt() {
            assert_eq!(after, best, "back\n{}", group.group.world.story());
        }
        assert_eq!(group.moves(MINUTE, |_, _| false), 0);
    });
}

/// The proxy of one node dies over and over: another serves meanwhile, and nothing moves.
#[test]
fn proxy_that_keeps_dying_on_one_node_moves_the_addresses_once() {
    for_seeds(40, |seed| {
        let mut group = Tracking::drawn(seed);
        let ill = group.group.settle();
        group.live(10 * SECOND, |_, at| at == ill);
        let second = group.group.world.active();
        assert!(
            second.len() == 1 && second[0] != ill,
            "another serves\n{}",
            group.group.world.story()
        );
        assert_eq!(group.moves(MINUTE, |_, at| at == ill), 0);
        group.live(25 * SECOND, |_, _| false);
        let third = group.group.settle();
        if group.group.all_preempt() {
            assert_eq!(third, ill, "back\n{}", group.group.world.story());
        }
        // A single death, now that all is well, moves nothing.
        let mut once = true;
        let moves = group.moves(10 * SECOND, |_, at| {
            at == third && std::mem::take(&mut once)
        });
        assert_eq!(moves, 0, "{}", group.group.world.story());
    });
}

/// What kills follows the addresses: each proxy dies as soon as it has them. Every node falls ill
/// in turn, and comes back less and less often.
#[test]
fn what_kills_every_proxy_that_has_the_addresses_moves_them_less_and_less_often() {
    for_seeds(80, |seed| {
        let mut group = Tracking::drawn(seed);
        group.group.settle();
        let kills = |world: &World, at: usize| world.nodes[at].is_active();
        let moves: Vec<u32> = (0..10).map(|_| group.moves(MINUTE, kills)).collect();
        let nodes = group.group.ours as u32;
        // Of each node: away for the first time, back and away after 10, 20, 40, 80 and 160 s; each
        // move is seen at most twice, when one gives way to another that gives way at once.
        let (first, all): (u32, u32) = (moves[0], moves.iter().sum());
        assert!(
            first <= 8 * nodes,
            "{moves:?}\n{}",
            group.group.world.story()
        );
        assert!(
            all <= 24 * nodes,
            "{moves:?}\n{}",
            group.group.world.story()
        );
        let late: u32 = moves[6..].iter().sum();
        assert!(
            late <= 4 * nodes,
            "{moves:?}\n{}",
            group.group.world.story()
        );
    });
}

/// Nodes of one file, perhaps with strangers beside.
struct Group {
    world: World,
    ranks: Vec<Rank>,
    ill: Vec<bool>,
    ours: usize,
    version: Version,
}

impl Group {
    /// Draws a file; `beside` are keepaliveds, after our own nodes.
    fn drawn(seed: u64, beside: &[u8]) -> Self {
        let mut chance = Chance(seed);
        let bases = chance.pick(&BASES);
        let name = |at: usize| format!("lb{at}");
        let file: BTreeMap<String, Priority> = (0..)
            .zip(bases)
            .map(|(at, base)| (name(at), Priority::from_wire(*base)))
            .collect();
        let rank = |at| Rank::among(&name(at), &file).expect("it is in the file");
        let ranks: Vec<Rank> = (0..bases.len()).map(rank).collect();
        let version = chance.pick(&[Version::V3, Version::V3, Version::V2]);
        let centiseconds = match version {
            Version::V2 => 100,
            Version::V3 => chance.pick(&[10, 100]),
        };
        let after = Preempt::After(Duration::from_secs(2));
        let preempts = chance.pick(&[
            [Preempt::Always; 2],
            [Preempt::Always; 2],
            [Preempt::Never; 2],
            [after, Preempt::Never],
        ]);
        let ours = ranks.iter().map(|rank| (Kind::Evenkeel, rank.well().get()));
        let theirs = beside.iter().map(|priority| (Kind::Keepalived, *priority));
        let settings: Vec<Setting> = ours
            .chain(theirs)
            .enumerate()
            .map(|(at, (kind, priority))| {
                let preempt = match kind {
                    Kind::Evenkeel => preempts[at % 2],
                    Kind::Keepalived => Preempt::Always,
                };
                Setting {
                    version,
                    ill_max: ranks[0].ill_max().get(),
                    drift_ppm: drift(&mut chance),
                    ..Setting::new(kind, priority, preempt, centiseconds)
                }
            })
            .collect();
        let mut world = World::of(chance, &settings);
        for at in 0..settings.len() {
            world.start(at, false);
        }
        Self {
            world,
            ill: vec![false; ranks.len()],
            ours: ranks.len(),
            ranks,
            version,
        }
    }

    fn ill(&mut self, at: usize) {
        self.ill[at] = true;
        let priority = self.ranks[at].ill().expect("it is no owner");
        self.world.set_fitness(at, Fitness::Ready(priority));
    }

    fn well(&mut self, at: usize) {
        self.ill[at] = false;
        let priority = self.ranks[at].well();
        self.world.set_fitness(at, Fitness::Ready(priority));
    }

    /// Lets everything be decided, delays of preemption included, and returns who is Active.
    fn settle(&mut self) -> usize {
        let end = self.world.now + Bounds::of(&self.world).settled + 3 * SECOND;
        self.world.run(end, |_| {});
        let active = self.world.active();
        assert!(
            active.len() == 1 && are_exactly(&self.world, &active),
            "exactly one is Active and answers\n{}",
            self.world.story()
        );
        active[0]
    }

    fn is_quiet_for_a_minute(&mut self) {
        let active = self.world.active();
        let end = self.world.now + MINUTE;
        self.world.run(end, |world| {
            assert!(
                are_exactly(world, &active),
                "always {active:?}\n{}",
                world.story()
            );
        });
    }

    fn all_preempt(&self) -> bool {
        let nodes = self.world.nodes[..self.ours].iter();
        let mut modes = nodes.map(|node| node.parameters.preempt);
        modes.all(|preempt| preempt == Preempt::Always) && self.best().is_some()
    }

    /// The one with the highest priority of now, if there is only one.
    fn best(&self) -> Option<usize> {
        let priority = |at: usize| match self.ill[at] {
            true => self.ranks[at].ill(),
            false => Some(self.ranks[at].well()),
        };
        let highest = (0..self.ours).map(priority).max()?;
        let mut best = (0..self.ours).filter(|at| priority(*at) == highest);
        best.next().filter(|_| best.next().is_none())
    }

    /// Mostly the Active.
    fn one_of_ours(&mut self) -> usize {
        let active = self.world.active().first().copied();
        match active.filter(|_| self.world.chance.percent(60)) {
            Some(active) => active,
            None => self.world.chance.below(self.ours as u64) as usize,
        }
    }

    fn in_some_order(&mut self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.ours).collect();
        for at in (1..order.len()).rev() {
            let other = self.world.chance.below(at as u64 + 1) as usize;
            order.swap(at, other);
        }
        order
    }
}

/// The same, each node with a proxy and what tracks it.
struct Tracking {
    group: Group,
    trackers: Vec<Tracker>,
    /// When the proxy that died serves again.
    serves_at: Vec<Option<Micros>>,
}

impl Tracking {
    fn drawn(seed: u64) -> Self {
        let group = Group::drawn(seed, &[]);
        let tracker = |(at, rank): (usize, &Rank)| {
            let now = group.world.nodes[at].clock.shows(group.world.now);
            let entry = Tracked {
                entry: "web".into(),
                sync_group: "web".into(),
                rank: *rank,
                conditions: [Source::Proxy, Source::Pool("webfarm".into())]
                    .map(|source| Condition {
                        source,
                        effect: Effect::Ill,
                    })
                    .into(),
            };
            let mut tracker = Tracker::new(now, vec![entry]);
            tracker.observe(now, Source::Proxy, Observed::Well);
            tracker.observe(now, Source::Pool("webfarm".into()), Observed::Well);
            tracker
        };
        let trackers: Vec<Tracker> = group.ranks.iter().enumerate().map(tracker).collect();
        Self {
            serves_at: vec![None; trackers.len()],
            trackers,
            group,
        }
    }

    fn live(&mut self, span: Micros, kills: impl FnMut(&World, usize) -> bool) {
        self.moves(span, kills);
    }

    /// Lives on and returns how often the Active was another than before. A proxy that is killed
    /// serves again after 100 ms.
    fn moves(&mut self, span: Micros, mut kills: impl FnMut(&World, usize) -> bool) -> u32 {
        let end = self.group.world.now + span;
        let mut watch = Watch::new(
            &self.group.world,
            Some(Bounds::of(&self.group.world).nobody),
        );
        let (mut moves, mut active) = (0, self.group.world.active());
        while self.group.world.now < end {
            for at in 0..self.trackers.len() {
                let now = self.group.world.nodes[at].clock.shows(self.group.world.now);
                let tracker = &mut self.trackers[at];
                match self.serves_at[at] {
                    Some(serves_at) if serves_at <= self.group.world.now => {
                        tracker.observe(now, Source::Proxy, Observed::Well);
                        self.serves_at[at] = None;
                    }
                    None if kills(&self.group.world, at) => {
                        tracker.observe(now, Source::Proxy, Observed::Failed(String::new()));
                        self.serves_at[at] = Some(self.group.world.now + SECOND / 10);
                    }
                    Some(_) | None => {}
                }
                tracker.handle_timeout(now);
                while let Some((_, verdict)) = tracker.poll_change() {
                    self.group.ill[at] = Some(&verdict.fitness)
                        == self.group.ranks[at].ill().map(Fitness::Ready).as_ref();
                    self.group.world.set_fitness(at, verdict.fitness);
                }
            }
            let next_at = self.group.world.now + SECOND / 20;
            self.group.world.run(next_at, |world| {
                watch.look(world);
                let now = world.active();
                if now.len() == 1 && now != active {
                    moves += 1;
                    active = now;
                }
            });
        }
        moves
    }
}
