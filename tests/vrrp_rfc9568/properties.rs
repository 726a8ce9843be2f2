//! What must hold for any bytes and any sequence of events.

use std::net::IpAddr;
use std::time::Duration;

use evenkeel::logic::vrrp::interval::{active_down_interval, skew_time};
use evenkeel::logic::vrrp::packet::{build, parse};
use evenkeel::logic::vrrp::router::ACTIONS_MAX;
use evenkeel::logic::vrrp::{
    Advertisement, ChecksumForm, Envelope, Failure, LinkState, Preempt, State,
};
use evenkeel::model::{AdverInterval, FaultCause, Fitness, Priority, Version, Vrid};
use proptest::prelude::*;

use super::bench::{Bench, SECOND, envelope, envelope_ipv6, interval, ipv4, summed};

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(
        message in proptest::collection::vec(any::<u8>(), 0..200),
        hop_limit in prop_oneof![Just(255_u8), any::<u8>()],
        six in any::<bool>(),
    ) {
        let envelope = if six { envelope_ipv6() } else { envelope() };
        let _ = parse(&Envelope { hop_limit, ..envelope }, &message);
        // With a right beginning and sum it comes further.
        let mut nearly = message;
        if let Some(first) = nearly.first_mut() {
            *first = 0x31;
        }
        if nearly.len() >= 8 {
            let _ = parse(&envelope, &summed(&nearly));
        }
    }

    #[test]
    fn advertisements_survive_the_wire(
        vrid in 1..=255_u8,
        priority in any::<u8>(),
        centiseconds in 1..=4095_u16,
        tails in proptest::collection::vec(any::<u32>(), 1..=255),
        six in any::<bool>(),
        bare in any::<bool>(),
    ) {
        let form = if bare { ChecksumForm::Rfc9568 } else { ChecksumForm::Rfc5798 };
        let envelope = if six { envelope_ipv6() } else { envelope() };
        let addresses = tails.into_iter().map(|tail| {
            if six { IpAddr::from((u128::from(tail) << 7).to_be_bytes()) } else { IpAddr::from(tail.to_be_bytes()) }
        });
        let advertisement = Advertisement {
            vrid: Vrid::new(vrid).expect("not 0"),
            priority: Priority::from_wire(priority),
            interval: interval(centiseconds),
            addresses: addresses.collect(),
        };
        let mut wire = Vec::new();
        build(&advertisement, envelope.source, envelope.destination, form, &mut wire);
        let parsed = parse(&envelope, &wire);
        // IPv6 has one form; and once in 65,535 both forms of IPv4 fit.
        let told = parsed.as_ref().map_or(form, |(_, told)| *told);
        prop_assert!(told == form || told == ChecksumForm::Rfc5798);
        prop_assert_eq!(parsed, Ok((advertisement, told)));
    }

    #[test]
    fn no_sequence_of_events_breaks_the_router(
        priority in prop_oneof![1..=254_u8, Just(255)],
        preempt in prop_oneof![
            Just(Preempt::Always), Just(Preempt::Never), Just(Preempt::After(SECOND * 3))
        ],
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut bench = Bench::with(priority, preempt);
        for step in steps {
            bench.take_step(&step);
            let actions = bench.actions_and_reports();
            prop_assert!(actions <= ACTIONS_MAX, "{} actions after {:?}", actions, step);
            bench.check_invariants(&step);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(Duration),
    TimeoutAsDue,
    Hear {
        host: u8,
        priority: u8,
        centiseconds: u16,
    },
    Startup,
    Adoption,
    Shutdown,
    Link {
        host: Option<u8>,
    },
    Applied,
    ApplyFailed,
    Fitness(Fitness),
    Update {
        priority: u8,
        centiseconds: u16,
        addresses: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let fitness = prop_oneof![
        Just(Fitness::Unready),
        Just(Fitness::Fault(FaultCause::ProxyNotServing)),
        (1..=254_u8).prop_map(|priority| Fitness::Ready(Priority::from_wire(priority))),
    ];
    prop_oneof![
        2 => (0..6_000_000_u64).prop_map(|micros| Step::Pass(Duration::from_micros(micros))),
        6 => Just(Step::TimeoutAsDue),
        5 => (1..=200_u8, any::<u8>(), 1..=4095_u16)
            .prop_map(|(host, priority, centiseconds)| Step::Hear { host, priority, centiseconds }),
        2 => Just(Step::Startup),
        1 => Just(Step::Adoption),
        1 => Just(Step::Shutdown),
        1 => proptest::option::of(1..=200_u8).prop_map(|host| Step::Link { host }),
        2 => Just(Step::Applied),
        1 => Just(Step::ApplyFailed),
        2 => fitness.prop_map(Step::Fitness),
        1 => (1..=255_u8, 1..=4095_u16, 1..=3_u8).prop_map(|(priority, centiseconds, addresses)| {
            Step::Update { priority, centiseconds, addresses }
        }),
    ]
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
            Step::Hear {
                host,
                priority,
                centiseconds,
            } => {
                let source = IpAddr::from([192, 0, 2, *host]);
                router.handle_advertisement(now, source, &ipv4(*priority, *centiseconds));
            }
            Step::Startup => router.handle_startup(now),
            Step::Adoption => router.handle_adoption(now, now - SECOND),
            Step::Shutdown => router.handle_shutdown(now),
            Step::Link { host: None } => router.handle_link(now, LinkState::Down),
            Step::Link { host: Some(host) } => {
                let primary = IpAddr::from([192, 0, 2, *host]);
                router.handle_link(now, LinkState::Up { primary });
            }
            Step::Applied => router.handle_applied(now),
            Step::ApplyFailed => {
                router.handle_apply_failed(
                    now,
                    Failure {
                        what: "chance".to_owned(),
                    },
                );
            }
            Step::Fitness(fitness) => router.set_fitness(now, fitness.clone()),
            Step::Update {
                priority,
                centiseconds,
                addresses,
            } => {
                let mut parameters = router.parameters().clone();
                parameters.priority = Priority::from_wire(*priority);
                parameters.advertisement_interval = interval(*centiseconds);
                parameters.addresses = (1..=*addresses)
                    .map(|host| IpAddr::from([192, 0, 2, host]))
                    .collect();
                router.update(now, parameters);
            }
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
            assert!(!router.is_silent(), "an Active answers: {step:?}");
            assert!(
                matches!(router.link(), LinkState::Up { .. }),
                "over a link: {step:?}"
            );
            assert!(
                !matches!(router.fitness(), Fitness::Fault(_)),
                "without a fault: {step:?}"
            );
        }
        if let (Step::TimeoutAsDue, Some(at)) = (step, router.poll_timeout()) {
            assert!(at > self.now, "no timer stays due: {:?}", router.state());
        }
        if let State::Backup {
            active_down_at,
            active_adver_interval,
            ..
        } = router.state()
        {
            let most =
                active_down_interval(Version::V3, Priority::MIN, active_adver_interval, 3) * 24;
            let longest =
                active_down_interval(Version::V3, Priority::MIN, AdverInterval::MAX, 3) * 24;
            assert!(
                active_down_at <= self.now + most.max(longest),
                "waits with an end: {step:?}"
            );
        }
        assert!(
            skew_time(
                Version::V3,
                router.effective_priority(),
                router.active_adver_interval()
            ) < router.active_adver_interval().duration(),
            "a skew is less than an interval"
        );
    }
}
