//! A segment with virtual routers on it, ours and such as keepalived's, under a virtual clock and a
//! seeded chance.
//!
//! The shell of each router is modelled roughly: one host thread with a fixed latency, a kernel
//! that ends leases, a socket that queues while the process is frozen. Everything that happens is
//! an event in one queue; each node has a clock of its own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel::logic::vrrp::router::ACTIONS_MAX;
use evenkeel::logic::vrrp::{
    Action, Advertisement, Failure, LinkState, Preempt, Transition, VirtualRouter,
};
use evenkeel::model::{Fitness, Priority};

use crate::chance::Chance;
use crate::clock::{DRIFT_MAX_PPM, Micros, at_most};
use crate::keepalived::{Deed, Keepalived};
use crate::node::{Kernel, Kind, LEASE, Node, Process, Program, Setting};

/// The troubles of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub loss_percent: u64,
    pub duplicate_percent: u64,
    pub apply_failure_percent: u64,
    /// Packets of one sender may overtake each other.
    pub reorders: bool,
}

impl Weather {
    pub(crate) const FAIR: Self = Self {
        loss_percent: 0,
        duplicate_percent: 0,
        apply_failure_percent: 0,
        reorders: false,
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    Deliver {
        to: usize,
        from: usize,
        priority: u8,
    },
    Timer {
        node: usize,
        generation: u64,
    },
    HostDone {
        node: usize,
        life: u64,
        step: HostStep,
        /// What extends a lease is not done later: the process has slept.
        not_after: Micros,
    },
    Wake {
        node: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HostStep {
    Install,
    Renew,
    Suppress,
    Remove,
}

/// One line of the story.
#[derive(Clone, Copy, Debug)]
enum Note {
    Word(&'static str),
    Sends(Priority),
    Changes(Transition),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Sends(priority) => write!(f, "sends {priority}"),
            Self::Changes(Transition { from, to, cause }) => write!(f, "{from} -> {to}: {cause}"),
        }
    }
}

pub(crate) struct World {
    pub now: Micros,
    pub nodes: Vec<Node>,
    pub weather: Weather,
    /// `open[from][to]`.
    pub open: Vec<Vec<bool>>,
    pub delay_max: Micros,
    pub chance: Chance,
    /// `arrives_last[from][to]`: when the packet sent last arrives.
    arrives_last: Vec<Vec<Micros>>,
    /// The last that happened.
    log: VecDeque<(Micros, usize, Note)>,
    host_latency: Micros,
    queue: BinaryHeap<Reverse<(Micros, u64, Event)>>,
    sequence: u64,
}

impl World {
    /// Makes a world of our own routers, version 3, with clocks as chance will have them.
    pub(crate) fn new(
        mut chance: Chance,
        priorities: &[u8],
        preempt: &[Preempt],
        centi: u16,
    ) -> Self {
        let settings: Vec<Setting> = priorities
            .iter()
            .zip(preempt)
            .map(|(priority, preempt)| Setting {
                drift_ppm: drift(&mut chance),
                ..Setting::new(Kind::Evenkeel, *priority, *preempt, centi)
            })
            .collect();
        Self::of(chance, &settings)
    }

    pub(crate) fn of(mut chance: Chance, settings: &[Setting]) -> Self {
        let epoch = Instant::now() + Duration::from_secs(1000);
        let nodes: Vec<Node> = (1..)
            .zip(settings)
            .map(|(host, setting)| Node::new(setting, IpAddr::from([192, 0, 2, host]), epoch))
            .collect();
        let shortest = nodes.iter().map(Node::interval).min().unwrap_or_default();
        let host_latency = chance.below(shortest.min(40_000) / 10) + 1;
        Self {
            now: 0,
            weather: Weather::FAIR,
            open: vec![vec![true; nodes.len()]; nodes.len()],
            arrives_last: vec![vec![0; nodes.len()]; nodes.len()],
            nodes,
            delay_max: chance.below(shortest / 20) + 2,
            chance,
            log: VecDeque::with_capacity(STORY_LINES),
            host_latency,
            queue: BinaryHeap::new(),
            sequence: 0,
        }
    }

    /// The longest interval of any node, in the time of the world.
    pub(crate) fn interval(&self) -> Micros {
        at_most(self.longest_interval())
    }

    /// The longest that any node waits for an Active, whoever that is, in the time of the world.
    pub(crate) fn patience(&self) -> Micros {
        let learned = self.longest_interval();
        let patience = self.nodes.iter().map(|node| node.patience(learned));
        at_most(patience.max().unwrap_or_default())
    }

    fn longest_interval(&self) -> Micros {
        let intervals = self.nodes.iter().map(Node::interval);
        intervals.max().unwrap_or_default()
    }

    /// Runs until `end`, calling `check` after every event.
    pub(crate) fn run(&mut self, end: Micros, mut check: impl FnMut(&Self)) {
        let mut at_once = 0_u32;
        while let Some(Reverse((at, _, _))) = self.queue.peek() {
            let at = (*at).min(self.next_lease_end().unwrap_or(Micros::MAX));
            if at >= end {
                break;
            }
            at_once = if at > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 10_000, "the clock must go on\n{}", self.story());
            self.now = at.max(self.now);
            self.end_leases();
            match self.queue.pop() {
                Some(Reverse((due, _, event))) if due <= self.now => self.happen(event),
                Some(later) => self.queue.push(later),
                None => {}
            }
            check(self);
        }
        self.now = end.max(self.now);
        self.end_leases();
        check(self);
    }

    /// Starts a process on a node; ours adopts what the one before left if it is asked to.
    pub(crate) fn start(&mut self, at: usize, adopting: bool) {
        let world_now = self.now;
        let node = &mut self.nodes[at];
        if node.process != Process::Dead {
            return;
        }
        let now = node.clock.shows(world_now);
        node.life += 1;
        node.process = Process::Running;
        node.program = Node::program(node.kind, &node.parameters, node.source);
        let primary = node.source;
        let lease_lives = !matches!(node.kernel, Kernel::Nothing);
        let advertised_at = node
            .advertised_at
            .take()
            .filter(|_| adopting && lease_lives);
        if advertised_at.is_none() || node.kind == Kind::Keepalived {
            node.kernel = Kernel::Nothing;
            node.waiting.clear();
        }
        match &mut node.program {
            Program::Evenkeel(router) => {
                if node.link_up {
                    router.handle_link(now, LinkState::Up { primary });
                }
                match advertised_at {
                    Some(advertised_at) => router.handle_adoption(now, advertised_at),
                    None => router.handle_startup(now),
                }
                router.set_fitness(now, node.fitness.clone());
            }
            Program::Keepalived(peer) => peer.start(now, node.link_up),
        }
        self.note(
            at,
            Note::Word(if adopting {
                "starts, adopting"
            } else {
                "starts"
            }),
        );
        self.after(at);
        self.drain_waiting(at);
    }

    /// The process dies; the kernel keeps the addresses until the lease ends, if they have one.
    pub(crate) fn crash(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if !node.is_active() {
            node.advertised_at = None;
        }
        node.process = Process::Dead;
        node.waiting.clear();
        self.note(at, Note::Word("crashes"));
    }

    pub(crate) fn stall(&mut self, at: usize, span: Micros) {
        if self.nodes[at].process == Process::Running {
            self.nodes[at].process = Process::Stalled;
            self.note(at, Note::Word("stalls"));
            self.push(self.now + span, Event::Wake { node: at });
        }
    }

    /// The socket of a frozen process overflowed.
    pub(crate) fn lose_waiting(&mut self, at: usize) {
        self.nodes[at].waiting.clear();
    }

    /// Applies a command to a router of ours, if its process runs.
    pub(crate) fn command(
        &mut self,
        at: usize,
        what: &'static str,
        command: impl FnOnce(&mut VirtualRouter, Instant),
    ) {
        let node = &mut self.nodes[at];
        let now = node.clock.shows(self.now);
        match (&mut node.program, node.process) {
            (Program::Evenkeel(router), Process::Running) => command(router, now),
            (Program::Keepalived(_), _) | (_, Process::Stalled | Process::Dead) => return,
        }
        self.note(at, Note::Word(what));
        self.after(at);
    }

    /// Applies a command to a peer, if its process runs.
    fn command_peer(
        &mut self,
        at: usize,
        what: &'static str,
        command: impl FnOnce(&mut Keepalived, Instant),
    ) {
        let node = &mut self.nodes[at];
        let now = node.clock.shows(self.now);
        match (&mut node.program, node.process) {
            (Program::Keepalived(peer), Process::Running) => command(peer, now),
            (Program::Evenkeel(_), _) | (_, Process::Stalled | Process::Dead) => return,
        }
        self.note(at, Note::Word(what));
        self.after(at);
    }

    pub(crate) fn set_link(&mut self, at: usize, up: bool) {
        self.nodes[at].link_up = up;
        let primary = self.nodes[at].source;
        let link = if up {
            LinkState::Up { primary }
        } else {
            LinkState::Down
        };
        let what = if up { "link up" } else { "link down" };
        self.command(at, what, |router, now| router.handle_link(now, link));
        self.command_peer(at, what, |peer, now| peer.set_link(now, up));
    }

    pub(crate) fn set_fitness(&mut self, at: usize, fitness: Fitness) {
        self.nodes[at].fitness = fitness.clone();
        let what = match fitness {
            Fitness::Fault(_) => "fault",
            Fitness::Unready => "unready",
            Fitness::Ready(_) => "ready",
        };
        self.command(at, what, |router, now| router.set_fitness(now, fitness));
    }

    pub(crate) fn stop(&mut self, at: usize) {
        self.command(at, "stops", |router, now| router.handle_shutdown(now));
        self.command_peer(at, "stops", |peer, _| peer.stop());
    }

    /// Starts again what was stopped and not killed.
    pub(crate) fn start_again(&mut self, at: usize) {
        let link_up = self.nodes[at].link_up;
        self.command(at, "starts again", |router, now| router.handle_startup(now));
        self.command_peer(at, "starts again", |peer, now| peer.start(now, link_up));
    }

    /// Returns whether both hear each other, in so far as the segment and the processes go.
    pub(crate) fn hear_each_other(&self, one: usize, other: usize) -> bool {
        let up = |at: usize| self.nodes[at].process == Process::Running && self.nodes[at].link_up;
        self.open[one][other] && self.open[other][one] && up(one) && up(other)
    }

    /// Returns the nodes of which this holds.
    pub(crate) fn which(&self, holds: impl Fn(&Node) -> bool) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|at| holds(&self.nodes[*at]))
            .collect()
    }

    pub(crate) fn active(&self) -> Vec<usize> {
        self.which(Node::is_active)
    }

    pub(crate) fn answering(&self) -> Vec<usize> {
        self.which(Node::answers)
    }

    pub(crate) fn story(&self) -> String {
        let mut story = String::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let parameters = &node.parameters;
            story.push_str(&format!(
                "node {at}: {:?}, {:?}, priority {}, every {}, down after {}, {:?}, {:?}\n",
                node.kind,
                parameters.version,
                parameters.priority,
                parameters.advertisement_interval,
                parameters.down_multiplier,
                parameters.preempt,
                node.clock,
            ));
        }
        for (now, at, note) in &self.log {
            story.push_str(&format!("{now:>10} node {at}: {note}\n"));
        }
        let kernels: Vec<Kernel> = self.nodes.iter().map(|node| node.kernel).collect();
        story.push_str(&format!("{:>10} now; the kernels: {kernels:?}", self.now));
        story
    }

    fn happen(&mut self, event: Event) {
        let node = match event {
            Event::Deliver { to, .. } => to,
            Event::Timer { node, .. } | Event::HostDone { node, .. } | Event::Wake { node } => node,
        };
        match (self.nodes[node].process, event) {
            (Process::Stalled, Event::Wake { .. }) => self.wake(node),
            (Process::Running, event) => self.happen_at(node, event),
            (Process::Stalled | Process::Dead, Event::Deliver { .. })
            | (Process::Stalled, Event::HostDone { .. }) => {
                self.nodes[node].waiting.push_back(event);
            }
            (Process::Stalled, Event::Timer { .. }) | (Process::Dead, _) => {}
        }
    }

    /// Ours drains its socket before it looks at a timer; keepalived see there.
    fn wake(&mut self, at: usize) {
        self.nodes[at].process = Process::Running;
        self.note(at, Note::Word("wakes"));
        match self.nodes[at].kind {
            Kind::Evenkeel => {
                self.drain_waiting(at);
                self.command(at, "timers", |router, now| router.handle_timeout(now));
            }
            Kind::Keepalived => {
                if !self.nodes[at].is_active()
                    && let Some(event) = self.nodes[at].waiting.pop_front()
                {
                    self.happen_at(at, event);
                }
                self.command_peer(at, "timers", |peer, now| peer.handle_timeout(now));
                self.drain_waiting(at);
            }
        }
    }

    fn happen_at(&mut self, at: usize, event: Event) {
        let now = self.nodes[at].clock.shows(self.now);
        match event {
            Event::Deliver { from, priority, .. } => {
                if !self.nodes[at].link_up {
                    return;
                }
                let sender = &self.nodes[from];
                let source = sender.source;
                let advertisement = Advertisement {
                    vrid: sender.parameters.vrid,
                    priority: Priority::from_wire(priority),
                    interval: sender.parameters.advertisement_interval,
                    addresses: sender.parameters.addresses.clone(),
                };
                self.nodes[at].hear(now, source, &advertisement);
            }
            Event::Timer { generation, .. } => {
                if generation != self.nodes[at].generation {
                    return;
                }
                self.nodes[at].handle_timeout(now);
            }
            Event::HostDone {
                life,
                step,
                not_after,
                ..
            } => {
                if life != self.nodes[at].life {
                    return;
                }
                self.host_done(at, step, self.now > not_after);
            }
            Event::Wake { .. } => return,
        }
        self.after(at);
    }

    fn host_done(&mut self, at: usize, step: HostStep, late: bool) {
        let fails = match (self.nodes[at].kind, step) {
            (Kind::Evenkeel, HostStep::Install | HostStep::Renew) => {
                self.chance.percent(self.weather.apply_failure_percent)
            }
            (Kind::Evenkeel, HostStep::Suppress | HostStep::Remove) | (Kind::Keepalived, _) => {
                false
            }
        };
        let node = &mut self.nodes[at];
        let now = node.clock.shows(self.now);
        let until = match &mut node.program {
            Program::Evenkeel(_) if late && step == HostStep::Renew => return,
            Program::Evenkeel(router) if fails || (late && step == HostStep::Install) => {
                let what = "chance".to_owned();
                return router.handle_apply_failed(now, Failure { what });
            }
            Program::Evenkeel(_) => node.clock.reaches(now + LEASE),
            Program::Keepalived(_) => Micros::MAX,
        };
        node.kernel = match (step, node.kernel) {
            (HostStep::Install, _) => Kernel::Answers { until },
            (HostStep::Renew, Kernel::Suppressed { .. }) => Kernel::Suppressed { until },
            (HostStep::Renew, Kernel::Nothing | Kernel::Answers { .. }) => {
                Kernel::Answers { until }
            }
            (HostStep::Suppress, Kernel::Answers { until }) => Kernel::Suppressed { until },
            (HostStep::Suppress, kernel) => kernel,
            (HostStep::Remove, _) => Kernel::Nothing,
        };
        match &mut node.program {
            Program::Evenkeel(router) if step == HostStep::Install => router.handle_applied(now),
            Program::Evenkeel(_) | Program::Keepalived(_) => {}
        }
    }

    /// What a shell does after every event.
    fn after(&mut self, at: usize) {
        for what in self.wanted(at) {
            match what {
                Wanted::Send(priority) => self.broadcast(at, priority),
                Wanted::Tell(transition) => self.note(at, Note::Changes(transition)),
                Wanted::Host(step) => {
                    let node = &self.nodes[at];
                    let (life, not_after) = (node.life, node.not_after(self.now));
                    let done_at = self.now + self.host_latency;
                    self.push(
                        done_at,
                        Event::HostDone {
                            node: at,
                            life,
                            step,
                            not_after,
                        },
                    );
                }
            }
        }
        let node = &mut self.nodes[at];
        node.generation += 1;
        let generation = node.generation;
        if let Some(due_at) = node.due_at().map(|due_at| node.clock.reaches(due_at)) {
            // A timer of an operating system is never early.
            self.push(
                due_at.max(self.now) + 1,
                Event::Timer {
                    node: at,
                    generation,
                },
            );
        }
    }

    fn wanted(&mut self, at: usize) -> Vec<Wanted> {
        match &mut self.nodes[at].program {
            Program::Evenkeel(router) => {
                let actions = std::iter::from_fn(|| router.poll_action());
                let actions: Vec<Action> = actions.collect();
                assert!(
                    actions.len() <= ACTIONS_MAX,
                    "too many actions: {actions:?}"
                );
                actions.into_iter().filter_map(Wanted::of).collect()
            }
            Program::Keepalived(peer) => std::iter::from_fn(|| peer.poll_deed())
                .map(|deed| match deed {
                    Deed::Advertise(priority) => Wanted::Send(priority),
                    Deed::TakeAddresses => Wanted::Host(HostStep::Install),
                    Deed::DropAddresses => Wanted::Host(HostStep::Remove),
                })
                .collect(),
        }
    }

    fn broadcast(&mut self, from: usize, priority: Priority) {
        let node = &mut self.nodes[from];
        node.advertised_at = Some(node.clock.shows(self.now));
        self.note(from, Note::Sends(priority));
        for to in 0..self.nodes.len() {
            if to == from || !self.open[from][to] || !self.nodes[from].link_up {
                continue;
            }
            let copies = 1 + u64::from(self.chance.percent(self.weather.duplicate_percent));
            for _ in 0..copies {
                if !self.chance.percent(self.weather.loss_percent) {
                    let mut at = self.now + 1 + self.chance.below(self.delay_max - 1);
                    let last_at = &mut self.arrives_last[from][to];
                    if !self.weather.reorders {
                        at = at.max(*last_at);
                    }
                    *last_at = at;
                    let priority = priority.get();
                    self.push(at, Event::Deliver { to, from, priority });
                }
            }
        }
    }

    fn drain_waiting(&mut self, at: usize) {
        while let Some(event) = self.nodes[at].waiting.pop_front() {
            self.happen_at(at, event);
        }
    }

    fn push(&mut self, at: Micros, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, event)));
    }

    fn next_lease_end(&self) -> Option<Micros> {
        let ends = self.nodes.iter().filter_map(|node| lease_end(node.kernel));
        ends.min()
    }

    fn end_leases(&mut self) {
        for node in &mut self.nodes {
            if lease_end(node.kernel).is_some_and(|until| until <= self.now) {
                node.kernel = Kernel::Nothing;
            }
        }
    }

    fn note(&mut self, at: usize, note: Note) {
        if self.log.len() == STORY_LINES {
            self.log.pop_front();
        }
        self.log.push_back((self.now, at, note));
    }
}

/// What a program wants done, whichever it is.
enum Wanted {
    Send(Priority),
    Tell(Transition),
    Host(HostStep),
}

impl Wanted {
    fn of(action: Action) -> Option<Self> {
        Some(match action {
            Action::SendAdvertisement { priority } => Self::Send(priority),
            Action::Report(transition) => Self::Tell(transition),
            Action::InstallAddresses => Self::Host(HostStep::Install),
            Action::RenewAddresses => Self::Host(HostStep::Renew),
            Action::SuppressAddresses => Self::Host(HostStep::Suppress),
            Action::RemoveAddresses => Self::Host(HostStep::Remove),
            Action::Announce { .. } | Action::Warn { .. } => return None,
        })
    }
}

/// Half of the clocks are exact, some drift as bad hardware does, some as far as the bounds allow.
pub(crate) fn drift(chance: &mut Chance) -> i64 {
    chance.pick(&[0, 0, 0, 0, 50, -50, DRIFT_MAX_PPM, -DRIFT_MAX_PPM])
}

fn lease_end(kernel: Kernel) -> Option<Micros> {
    match kernel {
        Kernel::Nothing => None,
        Kernel::Answers { until } | Kernel::Suppressed { until } => Some(until),
    }
}

/// How much of the past a failure tells.
const STORY_LINES: usize = 80;
