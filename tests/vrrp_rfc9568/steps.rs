//! Any sequence of events as bytes, and what must hold after each: shared by the property test and
//! the fuzz target `router`, so that an input of the one is an input of the other.
//!
//! Four bytes of setup, then four bytes a step: a kind and three bytes for it. Every byte string
//! means something, and what is too short for another step is left out.

use std::net::IpAddr;
use std::time::Duration;

use evenkeel::logic::vrrp::interval::{active_down_interval, skew_time};
use evenkeel::logic::vrrp::router::ACTIONS_MAX;
use evenkeel::logic::vrrp::{
    Action, Failure, LinkState, MemberState, Parameters, Preempt, Rejection, State, VirtualRouter,
};
use evenkeel::model::{AdverInterval, FaultCause, Fitness, Priority, Version};

use super::bench::{Bench, SECOND, interval, ipv4};

/// Lives through what the bytes say, and panics where an invariant does not hold.
pub(crate) fn live_through(bytes: &[u8]) {
    let (chunks, _) = bytes.as_chunks::<4>();
    let Some((setup, steps)) = chunks.split_first() else {
        return;
    };
    let mut bench = Bench::with(nonzero(setup[0]), preempt(setup[1]));
    let mut parameters = bench.router.parameters().clone();
    parameters.version = [Version::V3, Version::V2][usize::from(setup[2] & 1)];
    parameters.in_sync_group = setup[2] & 2 != 0;
    parameters.down_multiplier = multiplier(setup[3]);
    bench.router.update(bench.now, parameters, Fitness::Unready);
    let mut host = Host::default();
    host.follow(&mut bench.router, Priority::LEAVING);
    let mut is_new = true;
    for bytes in steps {
        let step = Step::decode(*bytes);
        if let Step::Startup | Step::Adoption { .. } | Step::Shutdown = step
            && std::mem::take(&mut is_new)
            && let Step::Adoption { .. } = step
        {
            host = Host::Leftovers;
        }
        let before = bench.router.effective_priority();
        bench.take_step(&step);
        host.follow(&mut bench.router, before);
        bench.check_invariants(&step);
        host.check(&bench.router, &step);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(Duration),
    TimeoutAsDue,
    TimeoutNow,
    Hear {
        host: u8,
        priority: u8,
        centiseconds: u16,
    },
    Reject(Rejection),
    Startup,
    Adoption {
        ago: Duration,
    },
    Shutdown,
    Link {
        host: Option<u8>,
    },
    NoSource,
    Applied,
    ApplyFailed,
    Fitness(Fitness),
    Update {
        priority: u8,
        centiseconds: u16,
        multiplier: u8,
    },
    Promote,
    Reelect,
    HoldBack,
    Admit,
}

impl Step {
    fn decode([kind, a, b, c]: [u8; 4]) -> Self {
        let number = u32::from_be_bytes([0, a, b, c]).into();
        let centiseconds = 1 + u16::from_be_bytes([b, c]) % AdverInterval::MAX.centiseconds();
        match kind % 32 {
            0..=1 => Self::Pass(Duration::from_micros(number)),
            2 => Self::Pass(Duration::from_millis(number)),
            3..=9 => Self::TimeoutAsDue,
            10 => Self::TimeoutNow,
            11..=15 => Self::Hear {
                // Four peers and ourselves; the interval is often the one that all have.
                host: [1, 2, 100, 101, 254][usize::from(kind / 32) % 5],
                priority: a,
                centiseconds: if b & 1 == 0 { 100 } else { centiseconds },
            },
            16 => Self::Reject(Rejection::ALL[usize::from(a) % Rejection::ALL.len()]),
            17..=18 => Self::Startup,
            19 => Self::Adoption {
                ago: Duration::from_micros(number),
            },
            20 => Self::Shutdown,
            21 if a & 3 == 3 => Self::NoSource,
            21 => Self::Link {
                host: (a & 1 == 0).then_some(b.max(1)),
            },
            22..=23 => Self::Applied,
            24 => Self::ApplyFailed,
            25..=26 => Self::Fitness(match a % 4 {
                0 => Fitness::Unready,
                1 => Fitness::Fault(FaultCause::Tracking),
                _ => Fitness::Ready(Priority::from_wire(b.clamp(1, 254))),
            }),
            27 => Self::Update {
                priority: nonzero(a),
                centiseconds,
                multiplier: multiplier(b),
            },
            28 => Self::Promote,
            29 => Self::Reelect,
            30 => Self::HoldBack,
            _ => Self::Admit,
        }
    }
}

impl Bench {
    fn take_step(&mut self, step: &Step) {
        let now = self.now;
        let router = &mut self.router;
        match step {
            Step::Pass(span) => self.now += *span,
            Step::TimeoutAsDue => {
                self.now = router.poll_timeout().unwrap_or(now).max(now);
                router.handle_timeout(self.now);
            }
            Step::TimeoutNow => router.handle_timeout(now),
            Step::Hear {
                host,
                priority,
                centiseconds,
            } => {
                let source = IpAddr::from([192, 0, 2, *host]);
                router.handle_advertisement(now, source, &ipv4(*priority, *centiseconds));
            }
            Step::Reject(rejection) => {
                let before = (router.state(), router.poll_timeout());
                router.count_rejection(*rejection);
                let after = (router.state(), router.poll_timeout());
                assert_eq!(before, after, "a rejected packet never moves a timer");
            }
            Step::Startup => router.handle_startup(now),
            Step::Adoption { ago } => router.handle_adoption(now, now - *ago),
            Step::Shutdown => router.handle_shutdown(now),
            Step::NoSource => router.handle_link(now, LinkState::NoSource),
            Step::Link { host: None } => router.handle_link(now, LinkState::Down),
            Step::Link { host: Some(host) } => {
                let primary = IpAddr::from([192, 0, 2, *host]);
                router.handle_link(now, LinkState::Up { primary });
            }
            Step::Applied => router.handle_applied(now),
            Step::ApplyFailed => {
                let what = "chance".to_owned();
                router.handle_apply_failed(now, Failure { what });
            }
            Step::Fitness(fitness) => router.set_fitness(now, fitness.clone()),
            Step::Update {
                priority,
                centiseconds,
                multiplier,
            } => {
                let parameters = Parameters {
                    priority: Priority::from_wire(*priority),
                    advertisement_interval: interval(*centiseconds),
                    down_multiplier: *multiplier,
                    addresses: (1..=*multiplier)
                        .map(|host| IpAddr::from([192, 0, 2, 99 + host]))
                        .collect(),
                    lease: SECOND * u32::from(*multiplier),
                    ..router.parameters().clone()
                };
                let fitness = match router.fitness() {
                    Fitness::Ready(_) => Fitness::Ready(parameters.priority),
                    said @ (Fitness::Unready | Fitness::Fault(_)) => said.clone(),
                };
                router.update(now, parameters, fitness);
            }
            Step::Promote => router.promote(now),
            Step::Reelect => router.reelect(now),
            Step::HoldBack => router.hold_back(now),
            Step::Admit => router.admit(now),
        }
    }

    fn check_invariants(&self, step: &Step) {
        let router = &self.router;
        let held_until = match router.state() {
            State::Initialize { release_at } | State::Backup { release_at, .. } => release_at,
            State::Active { .. } => Some(self.now),
        };
        assert_eq!(
            router.holds_addresses(),
            held_until.is_some(),
            "held as the state says: {step:?}"
        );
        if self.is_active() {
            assert!(!router.is_suppressed(), "an Active answers: {step:?}");
            let up = matches!(router.link(), LinkState::Up { .. });
            assert!(up, "an Active has a link: {step:?}");
            let fault = matches!(router.fitness(), Fitness::Fault(_));
            assert!(!fault, "an Active has no fault: {step:?}");
        }
        if let Step::TimeoutAsDue | Step::TimeoutNow = step {
            let mut router = router.clone();
            // A synchronized Backup whose two timers are due says first that it stands, and lets go
            // in the next turn if its group does not want it.
            if router.member_state() == MemberState::Candidate {
                router.handle_timeout(self.now);
            }
            let due_at = router.poll_timeout();
            assert!(
                due_at.is_none_or(|at| at > self.now),
                "no timer stays due: {:?}",
                router.state()
            );
        }
        if let State::Backup { active_down_at, .. } = router.state() {
            let longest = active_down_interval(
                Version::V3,
                Priority::MIN,
                AdverInterval::MAX,
                MULTIPLIER_MAX,
            );
            assert!(
                active_down_at <= self.now + longest * 24,
                "waits with an end: {step:?}"
            );
        }
        let learned = router.active_adver_interval();
        assert!(
            skew_time(Version::V3, router.effective_priority(), learned) < learned.duration(),
            "a skew is less than an interval"
        );
    }
}

/// What the host has after every action: nothing, addresses that answer, addresses that are silent.
#[derive(Debug, Default, PartialEq, Eq)]
enum Host {
    #[default]
    Nothing,
    Answers,
    Suppressed,
    /// What the process before left, which the router has not taken over.
    Leftovers,
}

impl Host {
    /// Does every action; an advertisement may still have the priority from before the step.
    fn follow(&mut self, router: &mut VirtualRouter, before: Priority) {
        let actions: Vec<Action> = std::iter::from_fn(|| router.poll_action()).collect();
        assert!(actions.len() <= ACTIONS_MAX, "too many: {actions:?}");
        if *self == Self::Leftovers && router.holds_addresses() {
            *self = Self::Answers;
        }
        for action in actions {
            match action {
                Action::InstallAddresses => *self = Self::Answers,
                Action::SuppressAddresses => {
                    assert_eq!(*self, Self::Answers, "what answers can be silenced");
                    *self = Self::Suppressed;
                }
                Action::RemoveAddresses => *self = Self::Nothing,
                Action::RenewAddresses => assert_ne!(*self, Self::Nothing, "there is a lease"),
                Action::Announce { rounds } => {
                    assert!(rounds > 0, "an announcement says something");
                    assert_eq!(*self, Self::Answers, "what is announced answers");
                }
                Action::SendAdvertisement { priority } => {
                    let ours = [Priority::LEAVING, before, router.effective_priority()];
                    assert!(ours.contains(&priority), "ours or 0, not {priority}");
                }
                Action::Report(transition) => {
                    assert_ne!(transition.from, transition.to, "a change");
                }
                Action::Warn { source, .. } => {
                    let own = LinkState::Up { primary: source };
                    assert_ne!(router.link(), own, "not of ourselves");
                }
            }
        }
    }

    fn check(&self, router: &VirtualRouter, step: &Step) {
        let hoped = match (router.holds_addresses(), router.is_suppressed()) {
            // An adoption waits for the link.
            (false, _) if *self == Self::Leftovers && router.state().name() == "Initialize" => {
                Self::Leftovers
            }
            (false, _) => Self::Nothing,
            (true, false) => Self::Answers,
            (true, true) => Self::Suppressed,
        };
        assert_eq!(
            *self, hoped,
            "the host has what the router thinks: {step:?}"
        );
    }
}

fn preempt(byte: u8) -> Preempt {
    match byte % 3 {
        0 => Preempt::Always,
        1 => Preempt::Never,
        _ => Preempt::After(SECOND * u32::from(byte / 32)),
    }
}

/// A priority that a node may have: 1 to 255.
fn nonzero(byte: u8) -> u8 {
    byte.max(1)
}

fn multiplier(byte: u8) -> u8 {
    1 + byte % MULTIPLIER_MAX
}

const MULTIPLIER_MAX: u8 = 10;
