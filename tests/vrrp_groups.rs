//! Virtual routers that move together, lived through with a virtual clock: two or three nodes, each
//! with one router on either of two segments, seeded troubles on one segment at a time.
//!
//! A failure prints its seed; `EVENKEEL_SEED=<seed> cargo test --test vrrp_groups` lives it again.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel::logic::vrrp::sync_group::{self, COMMANDS_MAX, GroupCommand};
use evenkeel::logic::vrrp::{
    Action, Advertisement, AnnouncementPlan, LinkRules, LinkState, Parameters, Preempt,
    VirtualRouter,
};
use evenkeel::model::{AdverInterval, Fitness, Priority, Version, Vrid};

/// Whichever node is best has everything, after the troubles are over.
#[test]
fn all_of_a_group_are_on_one_node_soon_after_the_troubles_end() {
    for seed in seeds(400) {
        let mut world = World::new(seed);
        world.live(MS * 3000, true);
        world.make_peace();
        // The longest way: a delay of preemption, a last silence, a re-election.
        world.live(MS * 2500, false);
        for _ in 0..100 {
            world.live(MS * 10, false);
            let active = world.active();
            let whole: Vec<usize> = (0..active.len())
                .filter(|node| active[*node] == [true; 2])
                .collect();
            let halves = active.iter().any(|pair| pair[0] != pair[1]);
            assert!(
                whole.len() == 1 && !halves,
                "seed {seed}: one node has both, and nobody half: {active:?}\n{}",
                world.story.join("\n")
            );
        }
    }
}

/// A node that loses one of two segments gives the other up too, within a skew time and not after a
/// silence.
#[test]
fn who_loses_one_gives_the_other_up_at_once() {
    let mut world = World::of(&[200, 150], 1);
    world.live(MS * 2000, false);
    assert_eq!(
        world.active(),
        [[true; 2], [false; 2]],
        "the better has both"
    );
    world.set_link(0, 1, false);
    let until = world.now + MS * 400;
    while world.now < until && world.active()[1] != [true; 2] {
        world.live(MS, false);
    }
    assert_eq!(
        world.active(),
        [[false; 2], [true; 2]],
        "the other has both when the silence of the lost segment is over\n{}",
        world.story.join("\n")
    );
    world.set_link(0, 1, true);
    world.live(MS * 2000, false);
    assert_eq!(
        world.active(),
        [[true; 2], [false; 2]],
        "and gives both back"
    );
}

/// Whoever hears an Active on one segment and nobody on the other does not take the other alone.
#[test]
fn one_silent_segment_moves_nothing() {
    let mut world = World::of(&[200, 150], 2);
    world.live(MS * 2000, false);
    world.silent_segment = Some(1);
    world.live(MS * 3000, false);
    assert_eq!(
        world.active(),
        [[true; 2], [false; 2]],
        "both stay where they are heard from\n{}",
        world.story.join("\n")
    );
}

/// A group whose nodes have equal priorities and crossed addresses comes to rest.
#[test]
fn crossed_addresses_with_equal_priorities_come_to_rest() {
    for seed in seeds(50) {
        let mut world = World::of(&[100, 100], seed);
        world.live(MS * 2000, false);
        world.silent_segment = Some(0);
        world.live(MS * 1000, false);
        world.make_peace();
        world.live(MS * 3000, false);
        let active = world.active();
        let whole = active.iter().filter(|pair| **pair == [true; 2]).count();
        let none = active.iter().filter(|pair| **pair == [false; 2]).count();
        assert_eq!(
            (whole, none),
            (1, 1),
            "seed {seed}: {active:?}\n{}",
            world.story.join("\n")
        );
    }
}

/// A node that is ill is so in all of its group, and is told of one after the other; whatever the
/// mode of preemption.
#[test]
fn ill_node_gives_both_up_and_where_all_are_ill_one_keeps_both() {
    for seed in seeds(10) {
        let mut world = World::of(&[200, 150], seed);
        world.live(MS * 3000, false);
        let first = world.holder();
        world.set_priority(first, [2, 1][first]);
        world.live(MS * 1000, false);
        let second = world.holder();
        assert_ne!(second, first, "seed {seed}: {}", world.story.join("\n"));
        world.set_priority(second, [2, 1][second]);
        world.live(MS * 1000, false);
        let last = world.holder();
        let told = world.story.len();
        world.live(MS * 60_000, false);
        assert_eq!(world.holder(), last);
        let after = world.story[told..].join("\n");
        assert_eq!(after, "", "seed {seed}: nothing happens for a minute");
        let other = 1 - last;
        world.set_priority(other, [200, 150][other]);
        world.live(MS * 1000, false);
        assert_eq!(world.holder(), other, "seed {seed}: one that can serve");
    }
}

/// A4: a cable that is only there to hear the peer; it ends with the other machine.
#[test]
fn link_that_is_not_required_keeps_nothing_and_moves_nothing() {
    let mut world = World::of(&[200, 150], 1);
    world.set_link_rules(
        1,
        LinkRules {
            required: false,
            ..LinkRules::default()
        },
    );
    world.live(MS * 2000, false);
    assert_eq!(world.active(), [[true; 2], [false; 2]]);
    let before = world.transitions(0);
    for _ in 0..3 {
        for node in 0..2 {
            world.set_link(node, 1, false);
        }
        world.live(MS * 2000, false);
        let active = world.active();
        assert_eq!(active, [[true, false], [false; 2]], "the cable is pulled");
        for node in 0..2 {
            world.set_link(node, 1, true);
            world.live(MS * 5, false);
        }
        world.live(MS * 2000, false);
        assert_eq!(world.active(), [[true; 2], [false; 2]], "it is back");
    }
    assert_eq!(world.transitions(0), before, "the other never moved");
    // The power of the Active goes, and the cable with it.
    world.nodes[0].frozen_until = world.now + MS * 60_000;
    world.set_link(1, 1, false);
    world.live(MS * 450, false);
    assert_eq!(world.active()[1], [true, false], "the survivor serves");
}

/// A11: one family is off everywhere.
#[test]
fn what_has_a_source_serves_where_the_rest_has_none() {
    for seed in seeds(20) {
        let mut world = World::of(&[200, 150], seed);
        for node in 0..2 {
            world.lose_source(node, 1);
        }
        world.live(MS * 3000, false);
        let active = world.active();
        let serving = active.iter().filter(|pair| **pair == [true, false]);
        let story = world.story.join("\n");
        assert_eq!(serving.count(), 1, "seed {seed}: {active:?}\n{story}");
        let before = world.transitions(0);
        for node in 0..2 {
            world.set_link(node, 1, true);
        }
        world.live(MS * 3000, false);
        let moved: u64 = world.transitions(0).iter().sum::<u64>() - before.iter().sum::<u64>();
        let story = world.story.join("\n");
        assert!(
            moved <= 1,
            "seed {seed}: at most to the better node\n{story}"
        );
        world.holder();
    }
}

/// A node that lacks one family does not keep both from a node that has both.
#[test]
fn node_that_has_all_goes_before_one_that_lacks_a_source() {
    for seed in seeds(20) {
        let mut world = World::of(&[200, 150], seed);
        world.live(MS * 3000, false);
        let first = world.holder();
        world.lose_source(first, 1);
        world.live(MS * 90, false);
        let active = world.active()[first];
        assert_eq!(active, [true; 2], "seed {seed}: it may come back at once");
        world.live(MS * 910, false);
        let story = world.story.join("\n");
        let active = world.active();
        assert_eq!(
            active[1 - first],
            [true; 2],
            "seed {seed}: {active:?}\n{story}"
        );
        assert_eq!(
            active[first], [false; 2],
            "seed {seed}: {active:?}\n{story}"
        );
        world.set_link(first, 1, true);
        world.live(MS * 3000, false);
        world.holder();
    }
}

/// A17: a network manager takes the addresses away and puts them back.
#[test]
fn source_that_is_back_within_an_interval_was_never_away() {
    for seed in seeds(20) {
        let mut world = World::of(&[200, 150], seed);
        world.live(MS * 3000, false);
        let (first, before) = (world.holder(), world.transitions(0));
        for segment in 0..2 {
            world.lose_source(first, segment);
        }
        world.live(MS * 90, false);
        for segment in 0..2 {
            world.set_link(first, segment, true);
        }
        world.live(MS * 1000, false);
        assert_eq!(world.holder(), first, "seed {seed}");
        assert_eq!(world.transitions(0), before, "seed {seed}: nothing moved");
    }
}

struct World {
    now: Instant,
    begun: Instant,
    nodes: Vec<Node>,
    flying: Vec<Packet>,
    applied: Vec<(Instant, usize, usize)>,
    chance: u64,
    silent_segment: Option<usize>,
    loss_percent: u64,
    story: Vec<String>,
}

struct Node {
    routers: [VirtualRouter; 2],
    /// Nothing happens there until then.
    frozen_until: Instant,
}

struct Packet {
    at: Instant,
    to: usize,
    segment: usize,
    source: IpAddr,
    advertisement: Advertisement,
}

impl World {
    fn new(seed: u64) -> Self {
        let priorities: &[u8] = if seed.is_multiple_of(3) {
            &[200, 150, 100]
        } else {
            &[200, 150]
        };
        Self::of(priorities, seed)
    }

    fn of(priorities: &[u8], seed: u64) -> Self {
        let begun = Instant::now();
        let mut world = Self {
            now: begun,
            begun,
            nodes: Vec::new(),
            flying: Vec::new(),
            applied: Vec::new(),
            chance: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            silent_segment: None,
            loss_percent: 0,
            story: Vec::new(),
        };
        for (number, priority) in priorities.iter().enumerate() {
            let preempt = match world.below(3) {
                0 => Preempt::Never,
                1 => Preempt::After(MS * 300),
                _ => Preempt::Always,
            };
            let preempt = if seed < 3 { Preempt::Always } else { preempt };
            let router = |segment| {
                let mut router = VirtualRouter::new(parameters(*priority, segment, preempt));
                let primary = source(number, segment, priorities.len());
                router.handle_link(begun, LinkState::Up { primary });
                router.set_fitness(
                    begun,
                    Fitness::Ready(Priority::new(*priority).expect("in range")),
                );
                router
            };
            world.nodes.push(Node {
                routers: [router(0), router(1)],
                frozen_until: begun,
            });
        }
        for node in 0..world.nodes.len() {
            for segment in 0..2 {
                let now = world.now;
                world.nodes[node].routers[segment].handle_startup(now);
            }
            world.settle(node);
        }
        world
    }

    /// Lives for a while in steps of a millisecond.
    fn live(&mut self, span: Duration, troubled: bool) {
        let until = self.now + span;
        while self.now < until {
            self.now += MS;
            if troubled && self.below(100) == 0 {
                self.trouble();
            }
            self.deliver();
            for node in 0..self.nodes.len() {
                self.turn(node);
            }
        }
    }

    fn turn(&mut self, node: usize) {
        if self.nodes[node].frozen_until > self.now {
            return;
        }
        let now = self.now;
        for segment in 0..2 {
            let router = &mut self.nodes[node].routers[segment];
            if router.poll_timeout().is_some_and(|at| at <= now) {
                router.handle_timeout(now);
                self.settle(node);
            }
        }
        let due: Vec<_> = self
            .applied
            .extract_if(.., |(at, whose, _)| *at <= now && *whose == node)
            .collect();
        for (_, _, segment) in due {
            self.nodes[node].routers[segment].handle_applied(now);
            self.settle(node);
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let frozen: Vec<bool> = self
            .nodes
            .iter()
            .map(|node| node.frozen_until > now)
            .collect();
        let due: Vec<Packet> = self
            .flying
            .extract_if(.., |packet| packet.at <= now && !frozen[packet.to])
            .collect();
        for packet in due {
            let router = &mut self.nodes[packet.to].routers[packet.segment];
            router.handle_advertisement(now, packet.source, &packet.advertisement);
            self.settle(packet.to);
        }
    }

    /// As the shell does it: the router's actions, then its group's commands.
    fn settle(&mut self, node: usize) {
        self.perform(node);
        let states = self.nodes[node]
            .routers
            .each_ref()
            .map(VirtualRouter::member_state);
        let wholeness = sync_group::wholeness(states.into_iter());
        for segment in 0..2 {
            let now = self.now;
            wholeness.apply(&mut self.nodes[node].routers[segment], now);
        }
        self.perform(node);
        for _ in 0..COMMANDS_MAX {
            let routers = &self.nodes[node].routers;
            let command = sync_group::decide(routers.iter().map(VirtualRouter::member_state));
            if command == GroupCommand::Nothing {
                return;
            }
            self.apply(format!("node {node}: {command:?}"));
            for segment in 0..2 {
                let now = self.now;
                command.apply(&mut self.nodes[node].routers[segment], now);
            }
            self.perform(node);
        }
        let states = self.nodes[node]
            .routers
            .each_ref()
            .map(VirtualRouter::member_state);
        let command = sync_group::decide(states.into_iter());
        assert_eq!(
            command,
            GroupCommand::Nothing,
            "a group is at rest after so many commands: {states:?}"
        );
    }

    fn perform(&mut self, node: usize) {
        for segment in 0..2 {
            while let Some(action) = self.nodes[node].routers[segment].poll_action() {
                match action {
                    Action::SendAdvertisement { priority } => self.send(node, segment, priority),
                    Action::InstallAddresses => {
                        self.applied.push((self.now + 2 * MS, node, segment))
                    }
                    Action::Report(transition) => self.apply(format!(
                        "node {node} segment {segment}: {} ({})",
                        transition.to, transition.cause
                    )),
                    Action::RenewAddresses
                    | Action::SuppressAddresses
                    | Action::RemoveAddresses
                    | Action::Announce { .. }
                    | Action::Warn { .. } => {}
                }
            }
        }
    }

    fn send(&mut self, from: usize, segment: usize, priority: Priority) {
        let router = &self.nodes[from].routers[segment];
        let Some(primary) = router.source() else {
            return;
        };
        if self.silent_segment == Some(segment) {
            return;
        }
        let parameters = router.parameters();
        let advertisement = Advertisement {
            vrid: parameters.vrid,
            priority,
            interval: parameters.advertisement_interval,
            addresses: parameters.addresses.clone(),
        };
        for to in 0..self.nodes.len() {
            let up = matches!(self.nodes[to].routers[segment].link(), LinkState::Up { .. });
            if to == from || !up || self.below(100) < self.loss_percent {
                continue;
            }
            let at = self.now + MS * (1 + self.below(3) as u32);
            self.flying.push(Packet {
                at,
                to,
                segment,
                source: primary,
                advertisement: advertisement.clone(),
            });
        }
    }

    fn trouble(&mut self) {
        let node = self.below(self.nodes.len() as u64) as usize;
        let segment = self.below(2) as usize;
        match self.below(7) {
            0 => self.set_link(node, segment, false),
            6 => self.lose_source(node, segment),
            1 => self.set_link(node, segment, true),
            2 => self.silent_segment = Some(segment),
            3 => self.silent_segment = None,
            4 => self.loss_percent = self.below(30),
            _ => {
                let span = MS * self.below(900) as u32;
                self.apply(format!("node {node} freezes for {span:?}"));
                self.nodes[node].frozen_until = self.now + span;
            }
        }
    }

    fn make_peace(&mut self) {
        self.silent_segment = None;
        self.loss_percent = 0;
        for node in 0..self.nodes.len() {
            self.nodes[node].frozen_until = self.now;
            for segment in 0..2 {
                self.set_link(node, segment, true);
            }
        }
        self.apply("peace".into());
    }

    fn set_link(&mut self, node: usize, segment: usize, up: bool) {
        if self.nodes[node].frozen_until > self.now {
            return;
        }
        self.apply(format!("node {node} segment {segment}: link up {up}"));
        let primary = source(node, segment, self.nodes.len());
        let link = if up {
            LinkState::Up { primary }
        } else {
            LinkState::Down
        };
        let now = self.now;
        self.nodes[node].routers[segment].handle_link(now, link);
        self.settle(node);
    }

    fn lose_source(&mut self, node: usize, segment: usize) {
        if self.nodes[node].frozen_until > self.now {
            return;
        }
        self.apply(format!("node {node} segment {segment}: no source"));
        let now = self.now;
        self.nodes[node].routers[segment].handle_link(now, LinkState::NoSource);
        self.settle(node);
    }

    /// Says on every node what the link of a segment means.
    fn set_link_rules(&mut self, segment: usize, link: LinkRules) {
        for node in &mut self.nodes {
            let router = &mut node.routers[segment];
            let parameters = Parameters {
                link,
                ..router.parameters().clone()
            };
            let fitness = router.fitness().clone();
            router.update(self.now, parameters, fitness);
        }
    }

    fn transitions(&self, segment: usize) -> Vec<u64> {
        let count = |node: &Node| node.routers[segment].counters().active_transitions;
        self.nodes.iter().map(count).collect()
    }

    fn set_priority(&mut self, node: usize, priority: u8) {
        self.apply(format!("node {node}: priority {priority}"));
        for segment in 0..2 {
            let (now, fitness) = (self.now, Fitness::Ready(Priority::from_wire(priority)));
            self.nodes[node].routers[segment].set_fitness(now, fitness);
            self.settle(node);
        }
    }

    /// Returns the one node that has both.
    fn holder(&self) -> usize {
        let active = self.active();
        let halves = active.iter().any(|pair| pair[0] != pair[1]);
        let mut whole = (0..active.len()).filter(|node| active[*node] == [true; 2]);
        let (one, no_other) = (whole.next(), whole.next().is_none());
        assert!(
            !halves && no_other,
            "nobody half, and one both: {active:?}\n{}",
            self.story.join("\n")
        );
        one.unwrap_or_else(|| panic!("one has both\n{}", self.story.join("\n")))
    }

    fn active(&self) -> Vec<[bool; 2]> {
        let active = |router: &VirtualRouter| router.state().is_active();
        self.nodes
            .iter()
            .map(|node| node.routers.each_ref().map(active))
            .collect()
    }

    fn apply(&mut self, what: String) {
        let ms = (self.now - self.begun).as_millis();
        self.story.push(format!("{ms} ms: {what}"));
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % bound
    }
}

/// So many ranks are for nodes that are ill.
const NODES_MAX: u8 = 3;

fn parameters(priority: u8, segment: usize, preempt: Preempt) -> Parameters {
    Parameters {
        vrid: Vrid::new(51 + segment as u8).expect("in range"),
        version: Version::V3,
        priority: Priority::new(priority).expect("in range"),
        ill_max: Priority::from_wire(NODES_MAX),
        addresses: vec![IpAddr::from([192, 0, 2, 100 + segment as u8])],
        advertisement_interval: AdverInterval::from_centiseconds(10).expect("in range"),
        preempt,
        lease: Duration::from_secs(2),
        down_multiplier: 3,
        announcements: AnnouncementPlan::default(),
        impaired: Priority::from_wire([1, 2][usize::from(priority >= 200)]),
        link: LinkRules::default(),
        in_sync_group: true,
    }
}

/// On the second segment the command of the addresses is the other way round.
fn source(node: usize, segment: usize, nodes: usize) -> IpAddr {
    let number = if segment == 0 { node } else { nodes - node };
    IpAddr::from([198, 51, 100 + segment as u8, number as u8 + 1])
}

fn seeds(count: u64) -> std::ops::Range<u64> {
    match std::env::var("EVENKEEL_SEED").map(|seed| seed.parse::<u64>()) {
        Ok(Ok(seed)) => seed..seed + 1,
        Ok(Err(error)) => panic!("EVENKEEL_SEED is a number: {error}"),
        Err(_) => 0..count,
    }
}

const MS: Duration = Duration::from_millis(1);
