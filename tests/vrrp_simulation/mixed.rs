//! What our routers promise beside a peer that behaves like keepalived 2.2.7.
//!
//! Where lists and intervals agree, everything that holds among ours holds: one Active in the end,
//! two that hear each other for an interval at most, nobody without an address for longer than the
//! bound.
//!
//! What keepalived makes impossible, and what is left of it:
//! - After a kill its addresses stay for ever, since they have no lifetime. Only while it is dead
//!   are there two holders; it takes them away when it starts again, and the properties begin
//!   there.
//! - It drops what has another list of addresses (and in version 2 another interval: so do we).
//!   While its priority is the lower one it never learns that we are there: two Actives for ever.
//!   Ours is still the only one of ours, never leaves Active, never stops answering, and is not
//!   kept from advertising by what it hears or rejects. While its priority is the higher one there
//!   is one Active all the same for lists, because we do not drop.
//! - Its Master sends nothing while packets that it drops come faster than its interval. With
//!   another list than ours it is then taken for dead; that is its own affair, and is measured in
//!   `keepalived`.

use evenkeel::logic::vrrp::Preempt;
use evenkeel::model::Version;

use crate::chance::Chance;
use crate::clock::at_most;
use crate::node::{Kind, Setting};
use crate::scenario::{Bounds, Cast, troubled_world};
use crate::seeds::for_seeds;
use crate::watch::Watch;
use crate::world::{World, drift};
use crate::{best_is_active, settles};

const MIXED: Cast = Cast {
    keepalived_percent: 60,
    all_preempt: false,
    ordinary: false,
};

#[test]
fn one_router_is_active_soon_after_the_troubles_end_beside_keepalived() {
    for_seeds(1, |seed| settles(troubled_world(seed, MIXED)));
}

#[test]
fn best_router_is_active_in_the_end_beside_keepalived() {
    let cast = Cast {
        all_preempt: true,
        ..MIXED
    };
    for_seeds(7, |seed| best_is_active(troubled_world(seed, cast)));
}

#[test]
fn keepalived_that_wakes_or_starts_again_moves_nothing_among_ours_that_preempt() {
    for_seeds(5, |seed| {
        let (mut world, interval) = pair(seed, Version::V3, 200, 150, 100);
        let settled_at = Bounds::of(&world).settled + world.chance.below(interval);
        world.run(settled_at, |_| {});
        assert_eq!(world.active(), [0], "the better one");
        let transitions = world.nodes[0].router().counters().active_transitions;
        let end = match seed % 3 {
            0 => {
                let span = world.chance.below(6 * interval);
                world.stall(1, span);
                world.now + span
            }
            1 => {
                world.crash(1);
                world.start(1, false);
                world.now
            }
            _ => {
                world.stop(1);
                world.start_again(1);
                world.now
            }
        };
        let end = end + world.patience() + 10 * interval;
        let mut watch = Watch::new(&world, Some(0));
        world.run(end, |world| watch.look(world));
        assert_eq!(
            world.nodes[0].router().counters().active_transitions,
            transitions,
            "always the same Active\n{}",
            world.story()
        );
    });
}

/// Measured with keepalived itself: a Master that was frozen throws its successor out when it
/// wakes, also without preemption, and what is left is that there are two for a moment only.
#[test]
fn keepalived_that_was_frozen_as_master_meets_its_successor_for_a_moment_only() {
    for_seeds(5, |seed| {
        let (mut world, interval) = pair(seed, Version::V3, 150, 200, 100);
        let settled_at = Bounds::of(&world).settled + world.chance.below(interval);
        world.run(settled_at, |_| {});
        assert_eq!(world.active(), [1], "the better one");
        let span = world.patience() + interval + world.chance.below(3 * interval);
        world.stall(1, span);
        let woken_at = world.now + span;
        world.run(woken_at, |_| {});
        let mut watch = Watch::new(&world, Some(0));
        let end = world.now + 10 * interval;
        world.run(end, |world| watch.look(world));
        assert_eq!(
            world.active(),
            [1],
            "the better one again\n{}",
            world.story()
        );
    });
}

/// The two settings that keepalived itself cannot live with.
#[test]
fn keepalived_that_drops_what_we_say_neither_moves_nor_silences_a_better_active() {
    for_seeds(5, |seed| {
        let version = [Version::V2, Version::V3][(seed % 2) as usize];
        let centiseconds = match version {
            Version::V2 => 200,
            Version::V3 => 100,
        };
        let (mut world, _) = pair_with(seed, 200, 150, |setting| {
            setting.version = version;
            if setting.kind == Kind::Keepalived {
                setting.centiseconds = centiseconds;
                setting.address = match version {
                    Version::V2 => 100,
                    Version::V3 => 101,
                };
            }
        });
        let settled_at = 2 * world.patience();
        world.run(settled_at, |_| {});
        let router = |world: &World| world.nodes[0].router().counters();
        let (before, began_at) = (router(&world), world.now);
        let end = world.now + 30 * at_most(1_000_000);
        world.run(end, |world| {
            assert!(
                world.nodes[0].is_active() && world.answering().contains(&0),
                "ours stays\n{}",
                world.story()
            );
        });
        let sent = router(&world).advertisements_sent - before.advertisements_sent;
        let hoped = (world.now - began_at) / at_most(1_000_000) - 1;
        assert!(
            sent >= hoped,
            "{sent} of {hoped} advertisements\n{}",
            world.story()
        );
        match version {
            Version::V2 => assert!(router(&world).interval_errors > 0, "each rejects the other"),
            Version::V3 => assert!(
                router(&world).address_list_errors > 0,
                "the difference is counted"
            ),
        }
    });
}

#[test]
fn keepalived_of_another_service_with_our_vrid_takes_no_address_away() {
    for_seeds(6, |seed| {
        let version = [Version::V2, Version::V3][(seed % 2) as usize];
        let (mut world, interval) = pair_with(seed, 150, 200, |setting| {
            setting.version = version;
            setting.centiseconds = 100;
            if setting.kind == Kind::Keepalived {
                setting.address = 101;
            }
        });
        let settled_at = Bounds::of(&world).settled;
        world.run(settled_at, |_| {});
        let end = world.now + 30 * interval;
        world.run(end, |world| {
            assert_eq!(
                world.active(),
                [0, 1],
                "both services go on\n{}",
                world.story()
            );
        });
    });
}

/// Ours is node 0, keepalived node 1; both are started. Returns the interval, too.
fn pair(seed: u64, version: Version, ours: u8, theirs: u8, centiseconds: u16) -> (World, u64) {
    pair_with(seed, ours, theirs, |setting| {
        setting.version = version;
        setting.centiseconds = centiseconds;
    })
}

fn pair_with(
    seed: u64,
    ours: u8,
    theirs: u8,
    mut change: impl FnMut(&mut Setting),
) -> (World, u64) {
    let mut chance = Chance(seed);
    let settings = [(Kind::Evenkeel, ours), (Kind::Keepalived, theirs)].map(|(kind, priority)| {
        let mut setting = Setting::new(kind, priority, Preempt::Always, 100);
        setting.drift_ppm = drift(&mut chance);
        change(&mut setting);
        setting
    });
    let mut world = World::of(chance, &settings);
    world.start(0, false);
    world.start(1, false);
    let interval = world.interval();
    (world, interval)
}
