//! A segment with virtual routers on it, under a virtual clock and a seeded chance.
//!
//! The shell of each router is modelled roughly: one host thread with a fixed latency, a kernel
//! that ends leases, a socket that queues while the process is frozen. Everything that happens is
//! an event in one queue.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use evenkeel::logic::vrrp::{
    Action, Advertisement, AnnouncementPlan, Failure, LinkState, Parameters, Preempt, State,
    VirtualRouter,
};
use evenkeel::model::{AdverInterval, Fitness, Priority, Version, Vrid};

/// Chance that can be had again: splitmix64.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Microseconds since the beginning.
pub type Micros = u64;

/// The troubles of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub loss_percent: u64,
    pub duplicate_percent: u64,
    pub apply_failure_percent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
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
    },
    Wake {
        node: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostStep {
    Install,
    Renew,
    Silence,
    Remove,
}

/// What a kernel has of the virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    Nothing,
    Answers { until: Micros },
    Silent { until: Micros },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    Running,
    /// Frozen: what arrives waits.
    Stalled,
    /// Dead; the supervisor keeps the socket, and what arrives waits.
    Dead,
}

pub struct Node {
    pub router: VirtualRouter,
    pub parameters: Parameters,
    pub process: Process,
    pub kernel: Kernel,
    pub source: IpAddr,
    pub link_up: bool,
    pub fitness: Fitness,
    advertised_at: Option<Micros>,
    waiting: VecDeque<Event>,
    generation: u64,
    /// Counts the processes this node has had; the host thread of a dead one does nothing more.
    life: u64,
}

impl Node {
    pub fn is_active(&self) -> bool {
        self.process != Process::Dead && matches!(self.router.state(), State::Active { .. })
    }
}

pub struct World {
    pub now: Micros,
    pub nodes: Vec<Node>,
    pub weather: Weather,
    pub interval: AdverInterval,
    /// `open[from][to]`.
    pub open: Vec<Vec<bool>>,
    pub delay_max: Micros,
    pub chance: Chance,
    pub log: Vec<String>,
    host_latency: Micros,
    queue: BinaryHeap<Reverse<(Micros, u64, Event)>>,
    sequence: u64,
    epoch: Instant,
}

impl World {
    pub fn new(mut chance: Chance, priorities: &[u8], preempt: &[Preempt], centi: u16) -> Self {
        let interval = AdverInterval::from_centiseconds(centi).expect("in range");
        let epoch = Instant::now() + Duration::from_secs(1000);
        let count = priorities.len();
        let nodes = (0..count)
            .map(|at| {
                let source = IpAddr::V4(Ipv4Addr::new(192, 0, 2, at as u8 + 1));
                let parameters = Parameters {
                    vrid: Vrid::new(51).expect("not 0"),
                    version: Version::V3,
                    priority: Priority::from_wire(priorities[at]),
                    addresses: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100))],
                    advertisement_interval: interval,
                    preempt: preempt[at],
                    lease: Duration::from_secs(2),
                    down_multiplier: 3,
                    announcements: AnnouncementPlan::default(),
                    synchronized: false,
                };
                let router = VirtualRouter::new(parameters.clone());
                Node {
                    router,
                    fitness: Fitness::Ready(parameters.priority),
                    parameters,
                    process: Process::Dead,
                    kernel: Kernel::Nothing,
                    source,
                    link_up: true,
                    advertised_at: None,
                    waiting: VecDeque::new(),
                    generation: 0,
                    life: 0,
                }
            })
            .collect();
        let host_latency = chance.below(interval.micros().min(40_000) / 10) + 1;
        Self {
            now: 0,
            nodes,
            weather: Weather {
                loss_percent: 0,
                duplicate_percent: 0,
                apply_failure_percent: 0,
            },
            interval,
            open: vec![vec![true; count]; count],
            delay_max: chance.below(interval.micros() / 20) + 2,
            chance,
            log: Vec::new(),
            host_latency,
            queue: BinaryHeap::new(),
            sequence: 0,
            epoch,
        }
    }

    pub fn instant(&self) -> Instant {
        self.epoch + Duration::from_micros(self.now)
    }

    /// Runs until `end`, calling `check` after every event.
    pub fn run(&mut self, end: Micros, mut check: impl FnMut(&World)) {
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

    /// Starts a process on a node, adopting what the one before left if it is asked to.
    pub fn start(&mut self, at: usize, adopting: bool) {
        let now = self.instant();
        let node = &mut self.nodes[at];
        if node.process != Process::Dead {
            return;
        }
        node.life += 1;
        node.process = Process::Running;
        node.router = VirtualRouter::new(node.parameters.clone());
        let primary = node.source;
        if node.link_up {
            node.router.handle_link(now, LinkState::Up { primary });
        }
        let lease_lives = !matches!(node.kernel, Kernel::Nothing);
        match node.advertised_at.take() {
            Some(advertised_at) if adopting && lease_lives => {
                let advertised_at = self.epoch + Duration::from_micros(advertised_at);
                self.nodes[at].router.handle_adoption(now, advertised_at);
            }
            _ => {
                node.kernel = Kernel::Nothing;
                node.waiting.clear();
                node.router.handle_startup(now);
            }
        }
        let fitness = self.nodes[at].fitness.clone();
        self.nodes[at].router.set_fitness(now, fitness);
        self.note(
            at,
            if adopting {
                "starts, adopting"
            } else {
                "starts"
            },
        );
        self.after(at);
        self.drain_waiting(at);
    }

    /// The process dies; the kernel keeps the addresses until the lease ends.
    pub fn crash(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if !node.is_active() {
            node.advertised_at = None;
        }
        node.process = Process::Dead;
        node.waiting.clear();
        self.note(at, "crashes");
    }

    pub fn stall(&mut self, at: usize, span: Micros) {
        if self.nodes[at].process == Process::Running {
            self.nodes[at].process = Process::Stalled;
            self.note(at, "stalls");
            self.push(self.now + span, Event::Wake { node: at });
        }
    }

    /// The socket of a frozen process overflowed.
    pub fn lose_waiting(&mut self, at: usize) {
        self.nodes[at].waiting.clear();
    }

    /// Applies a command to a router, if its process runs.
    pub fn command(
        &mut self,
        at: usize,
        what: &str,
        command: impl FnOnce(&mut VirtualRouter, Instant),
    ) {
        if self.nodes[at].process == Process::Running {
            let now = self.instant();
            self.note(at, what);
            command(&mut self.nodes[at].router, now);
            self.after(at);
        }
    }

    pub fn set_link(&mut self, at: usize, up: bool) {
        self.nodes[at].link_up = up;
        let primary = self.nodes[at].source;
        let link = if up {
            LinkState::Up { primary }
        } else {
            LinkState::Down
        };
        let what = if up { "link up" } else { "link down" };
        self.command(at, what, |router, now| router.handle_link(now, link));
    }

    pub fn set_fitness(&mut self, at: usize, fitness: Fitness) {
        self.nodes[at].fitness = fitness.clone();
        let what = format!("fitness {fitness:?}");
        self.command(at, &what, |router, now| router.set_fitness(now, fitness));
    }

    /// Returns whether both hear each other, in so far as the segment and the processes go.
    pub fn hear_each_other(&self, one: usize, other: usize) -> bool {
        let up = |at: usize| self.nodes[at].process == Process::Running && self.nodes[at].link_up;
        self.open[one][other] && self.open[other][one] && up(one) && up(other)
    }

    pub fn story(&self) -> String {
        let first = self.log.len().saturating_sub(80);
        self.log[first..].join("\n")
    }

    fn happen(&mut self, event: Event) {
        let node = match event {
            Event::Deliver { to, .. } => to,
            Event::Timer { node, .. } | Event::HostDone { node, .. } | Event::Wake { node } => node,
        };
        match (self.nodes[node].process, event) {
            (Process::Stalled, Event::Wake { .. }) => {
                self.nodes[node].process = Process::Running;
                self.note(node, "wakes");
                self.drain_waiting(node);
                self.command(node, "timers", |router, now| router.handle_timeout(now));
            }
            (Process::Running, event) => self.happen_at(node, event),
            (Process::Stalled | Process::Dead, Event::Deliver { .. })
            | (Process::Stalled, Event::HostDone { .. }) => {
                self.nodes[node].waiting.push_back(event);
            }
            (Process::Stalled, Event::Timer { .. }) | (Process::Dead, _) => {}
        }
    }

    fn happen_at(&mut self, at: usize, event: Event) {
        let now = self.instant();
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
                self.nodes[at]
                    .router
                    .handle_advertisement(now, source, &advertisement);
            }
            Event::Timer { generation, .. } => {
                if generation != self.nodes[at].generation {
                    return;
                }
                self.nodes[at].router.handle_timeout(now);
                if let Some(next) = self.nodes[at].router.poll_timeout() {
                    assert!(
                        next > now,
                        "no timer stays due: {:?}",
                        self.nodes[at].router.state()
                    );
                }
            }
            Event::HostDone { life, step, .. } => {
                if life != self.nodes[at].life {
                    return;
                }
                self.host_done(at, step);
            }
            Event::Wake { .. } => return,
        }
        self.after(at);
    }

    fn host_done(&mut self, at: usize, step: HostStep) {
        let now = self.instant();
        let until = self.now + 2_000_000;
        let fails = match step {
            HostStep::Install | HostStep::Renew => {
                self.chance.percent(self.weather.apply_failure_percent)
            }
            HostStep::Silence | HostStep::Remove => false,
        };
        let node = &mut self.nodes[at];
        if fails {
            node.router.handle_apply_failed(
                now,
                Failure {
                    what: "chance".to_owned(),
                },
            );
            return;
        }
        node.kernel = match (step, node.kernel) {
            (HostStep::Install, _) => Kernel::Answers { until },
            (HostStep::Renew, Kernel::Silent { .. }) => Kernel::Silent { until },
            (HostStep::Renew, Kernel::Nothing | Kernel::Answers { .. }) => {
                Kernel::Answers { until }
            }
            (HostStep::Silence, Kernel::Answers { until }) => Kernel::Silent { until },
            (HostStep::Silence, kernel) => kernel,
            (HostStep::Remove, _) => Kernel::Nothing,
        };
        if step == HostStep::Install {
            node.router.handle_applied(now);
        }
    }

    /// What a shell does after every event.
    fn after(&mut self, at: usize) {
        let mut count = 0;
        while let Some(action) = self.nodes[at].router.poll_action() {
            count += 1;
            assert!(
                count <= evenkeel::logic::vrrp::router::ACTIONS_MAX,
                "too many actions"
            );
            let step = match action {
                Action::SendAdvertisement { priority } => {
                    self.broadcast(at, priority.get());
                    continue;
                }
                Action::Announce { .. } => continue,
                Action::Report(transition) => {
                    self.note(at, &format!("{transition:?}"));
                    continue;
                }
                Action::InstallAddresses => HostStep::Install,
                Action::RenewAddresses => HostStep::Renew,
                Action::SilenceAddresses => HostStep::Silence,
                Action::RemoveAddresses => HostStep::Remove,
            };
            let life = self.nodes[at].life;
            self.push(
                self.now + self.host_latency,
                Event::HostDone {
                    node: at,
                    life,
                    step,
                },
            );
        }
        self.nodes[at].generation += 1;
        let generation = self.nodes[at].generation;
        if let Some(due) = self.nodes[at].router.poll_timeout() {
            let due = due.saturating_duration_since(self.epoch).as_micros() as Micros;
            // A timer of an operating system is never early.
            self.push(
                due.max(self.now) + 1,
                Event::Timer {
                    node: at,
                    generation,
                },
            );
        }
    }

    fn broadcast(&mut self, from: usize, priority: u8) {
        self.nodes[from].advertised_at = Some(self.now);
        self.note(from, &format!("sends {priority}"));
        for to in 0..self.nodes.len() {
            if to == from || !self.open[from][to] || !self.nodes[from].link_up {
                continue;
            }
            let copies = 1 + u64::from(self.chance.percent(self.weather.duplicate_percent));
            for _ in 0..copies {
                if !self.chance.percent(self.weather.loss_percent) {
                    let at = self.now + 1 + self.chance.below(self.delay_max - 1);
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
        self.nodes
            .iter()
            .filter_map(|node| lease_end(node.kernel))
            .min()
    }

    fn end_leases(&mut self) {
        for node in &mut self.nodes {
            if lease_end(node.kernel).is_some_and(|until| until <= self.now) {
                node.kernel = Kernel::Nothing;
            }
        }
    }

    fn note(&mut self, at: usize, what: &str) {
        let line = format!("{:>10} node {at}: {what}", self.now);
        self.log.push(line);
    }
}

fn lease_end(kernel: Kernel) -> Option<Micros> {
    match kernel {
        Kernel::Nothing => None,
        Kernel::Answers { until } | Kernel::Silent { until } => Some(until),
    }
}
