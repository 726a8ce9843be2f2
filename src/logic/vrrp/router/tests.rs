//! The table of every state and input, under a snapshot, and the house's behaviours one by one.
//!
//! The clauses of RFC 9568 themselves are in `tests/vrrp_rfc9568.rs`, whole elections in
//! `tests/vrrp_simulation.rs`.

mod adoption;
mod anomalies;
mod link;
mod stopped;
mod strangers;
mod unsent;
mod update;

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::*;
use crate::logic::vrrp::AnnouncementPlan;
use crate::logic::vrrp::packet::Advertisement;
use crate::model::{FaultCause, Version, Vrid};

const LEAVING: Action = Action::SendAdvertisement {
    priority: Priority::LEAVING,
};
const SENDS_100: Action = Action::SendAdvertisement {
    priority: Priority::DEFAULT,
};

#[test]
fn every_state_meets_every_input() {
    let mut table = String::new();
    for (state_name, make) in states() {
        writeln!(table, "{state_name}").expect("a string takes everything");
        for (input_name, input) in inputs() {
            let mut bench = make();
            let before = bench.router.counters().advertisements_received;
            input(&mut bench);
            let row = bench.describe();
            let heard = bench.router.counters().advertisements_received - before;
            assert!(heard <= 1, "one advertisement is counted once");
            writeln!(table, "  {input_name}: {row}").expect("a string takes everything");
        }
    }
    insta::assert_snapshot!("every_state_meets_every_input", table);
}

#[test]
fn active_that_slept_past_its_peers_patience_is_backup_before_it_sends() {
    for (name, input) in inputs() {
        let mut bench = Bench::active();
        bench.pass(Duration::from_millis(3610));
        input(&mut bench);
        let actions = bench.take();
        assert_eq!(
            actions.first(),
            Some(&Action::RemoveAddresses),
            "{name}: lets go first"
        );
        assert!(
            !actions.contains(&SENDS_100),
            "{name}: sends nothing as Active: {actions:?}"
        );
        assert_eq!(bench.router.counters().stalls, 1, "{name}: counted");
    }
}

#[test]
fn stalled_router_that_is_alone_stands_again_after_one_down_interval() {
    let mut bench = Bench::active();
    bench.pass(Duration::from_secs(60));
    bench.router.handle_timeout(bench.now);
    bench.take();
    assert_eq!(bench.until_timeout(), Duration::from_micros(3_609_375));
    bench.run_to_timeout();
    assert!(bench.router.state().is_active(), "nobody else took over");
}

#[test]
fn takeover_advertises_installs_and_announces_once_installed() {
    let mut bench = Bench::backup();
    bench.run_to_timeout();
    assert_eq!(bench.take()[..2], [SENDS_100, Action::InstallAddresses]);
    bench.router.handle_applied(bench.now);
    let burst = [Action::Announce { rounds: 5 }];
    assert_eq!(bench.take(), burst, "not before");
}

#[test]
fn host_that_fails_makes_room_for_a_peer_and_longer_every_time() {
    let mut bench = Bench::active();
    let down = Duration::from_micros(3_609_375);
    for factor in [3, 6, 12, 24, 24] {
        bench.fail();
        assert_eq!(
            bench.take()[..3],
            [LEAVING, LEAVING, Action::RemoveAddresses]
        );
        assert_eq!(
            bench.until_timeout(),
            down * factor,
            "three down intervals, doubled"
        );
        bench.hear(50, 0);
        bench.take();
        assert_eq!(
            bench.until_timeout(),
            down * factor,
            "priority 0 does not shorten it"
        );
        bench.run_to_timeout();
        bench.take();
    }
    bench.router.handle_applied(bench.now);
    bench.fail();
    bench.take();
    assert_eq!(bench.until_timeout(), down * 3, "a success forgives");
    assert_eq!(
        bench
            .router
            .last_failure()
            .map(|failure| failure.what.as_str()),
        Some("no")
    );
}

#[test]
fn host_that_never_answers_is_a_failure() {
    let mut bench = Bench::backup();
    bench.run_to_timeout();
    bench.take();
    for _ in 0..20 {
        bench.run_to_timeout();
    }
    let causes: Vec<Cause> = bench.causes();
    assert_eq!(
        causes.first(),
        Some(&Cause::ApplyTimedOut),
        "the wait has a deadline"
    );
}

#[test]
fn leases_are_renewed_every_quarter_also_while_silent() {
    let mut bench = Bench::active();
    bench.pass(Duration::from_millis(400));
    bench.hear(200, 200);
    bench.take();
    assert!(bench.router.is_suppressed() && bench.router.holds_addresses());
    bench.pass(Duration::from_millis(100));
    bench.router.handle_timeout(bench.now);
    assert_eq!(
        bench.take(),
        [Action::RenewAddresses],
        "due since the takeover"
    );
}

#[test]
fn winner_of_two_actives_answers_and_announces_at_most_ten_times_an_interval() {
    let mut bench = Bench::active();
    bench.hear(1, 50);
    let mut hoped = vec![SENDS_100];
    hoped.extend(vec![Action::Announce { rounds: 5 }]);
    assert_eq!(bench.take(), hoped, "at once");
    for _ in 0..1000 {
        bench.hear(1, 50);
    }
    assert_eq!(bench.take(), [], "a storm is not answered");
    bench.pass(Duration::from_millis(100));
    bench.router.handle_timeout(bench.now);
    assert_eq!(
        bench.take()[..2],
        [SENDS_100, Action::Announce { rounds: 1 }],
        "but once at its end"
    );
}

#[test]
fn yielding_active_says_so_once_and_stays_silent_for_a_moment() {
    let mut bench = Bench::active();
    bench.hear(200, 200);
    let actions = bench.take();
    assert_eq!(actions[..2], [SENDS_100, Action::SuppressAddresses]);
    bench.hear(200, 200);
    assert_eq!(bench.take(), [], "no ping-pong");
    bench.pass(Duration::from_millis(200));
    bench.router.handle_timeout(bench.now);
    assert!(
        bench.take().contains(&Action::RemoveAddresses),
        "lets go 200 ms later"
    );
    assert!(!bench.router.holds_addresses());
}

/// RFC 3768 §6.4.3: an advertisement that must yield is discarded, without an answer.
#[test]
fn version_2_announces_again_but_does_not_answer_a_lower_priority() {
    let mut bench = Bench::started(Parameters {
        version: Version::V2,
        ..parameters()
    });
    bench.run_until_active();
    bench.router.handle_applied(bench.now);
    bench.take();
    let before = bench.router.poll_timeout();
    bench.hear(200, 1);
    let actions = bench.take();
    assert!(
        actions.contains(&Action::Announce { rounds: 5 }),
        "hosts may have heard the other"
    );
    let sent = |action: &Action| matches!(action, Action::SendAdvertisement { .. });
    assert!(!actions.iter().any(sent), "{actions:?}");
    bench.hear(200, 1);
    assert!(!bench.take().iter().any(sent), "nor a second time");
    assert!(
        bench.router.poll_timeout() <= before,
        "and its own rhythm stays"
    );
}

/// RFC 3768 §6.1: Skew_Time is a part of a second, whatever the interval.
#[test]
fn version_2_waits_for_a_skew_of_seconds() {
    let bench = Bench::started(Parameters {
        version: Version::V2,
        advertisement_interval: AdverInterval::from_centiseconds(300).expect("in range"),
        ..parameters()
    });
    let down_at = bench.router.poll_timeout().expect("it waits");
    assert_eq!((down_at - bench.now).as_micros(), 9_609_375);
}

#[test]
fn stopped_router_that_starts_again_and_stands_ends_its_silence() {
    let mut bench = Bench::active();
    bench.router.handle_shutdown(bench.now);
    bench.router.handle_startup(bench.now);
    bench.hear(200, 0);
    bench.take();
    bench.run_until_active();
    assert!(bench.take().contains(&Action::InstallAddresses));
    assert!(!bench.router.is_suppressed());
}

#[test]
fn demotion_is_a_re_election_without_letting_go() {
    let mut bench = Bench::active();
    let announced = bench.router.counters().announcements_sent;
    bench.set_priority(50);
    assert_eq!(bench.take()[..2], [LEAVING, LEAVING]);
    assert!(
        bench.router.holds_addresses() && !bench.router.is_suppressed(),
        "answers on"
    );
    assert_eq!(
        bench.until_timeout().as_micros(),
        500_000,
        "the lease, before 804,687 of skew"
    );
    bench.run_until_active();
    assert!(!bench.take().contains(&Action::RemoveAddresses));
    assert_eq!(
        bench.router.last_transition().map(|(_, last)| last.cause),
        Some(Cause::ReElected)
    );
    bench.router.handle_applied(bench.now);
    let again = bench.router.counters().announcements_sent - announced;
    assert_eq!(again, 0, "nobody spoke, so nothing is said anew");
}

#[test]
fn demotion_happens_once_in_ten_seconds() {
    let mut bench = Bench::active();
    bench.set_priority(90);
    bench.run_until_active();
    bench.take();
    bench.set_priority(80);
    assert_eq!(bench.take(), [], "only the next advertisement shows it");
    assert!(bench.router.state().is_active());
    assert_eq!(bench.router.counters().demotions, 1);
    let end = bench.now + Duration::from_secs(10);
    while bench.now < end {
        bench.run_to_timeout();
    }
    bench.set_priority(70);
    assert_eq!(bench.router.counters().demotions, 2, "and then again");
}

#[test]
fn demoted_router_is_silent_once_a_peer_speaks() {
    let mut bench = Bench::active();
    bench.set_priority(50);
    bench.take();
    bench.hear(200, 90);
    assert_eq!(bench.take(), [Action::SuppressAddresses]);
    assert_eq!(
        bench.until_timeout(),
        Duration::from_millis(200),
        "and lets go soon"
    );
}

/// Its group keeps it from is_candidate, so whoever speaks has the addresses, also with a lower
/// priority.
#[test]
fn follower_of_a_group_is_silent_once_anybody_speaks() {
    let mut parameters = parameters();
    parameters.in_sync_group = true;
    let mut bench = Bench::started(parameters);
    while bench.router.member_state() != MemberState::Candidate {
        bench.run_to_timeout();
    }
    bench.router.promote(bench.now);
    bench.router.handle_applied(bench.now);
    bench.router.reelect(bench.now);
    bench.take();
    bench.hear(200, 50);
    assert_eq!(bench.take(), [Action::SuppressAddresses]);
}

#[test]
fn unready_router_defers_to_everybody_but_not_to_nobody() {
    let mut bench = Bench::backup();
    bench.router.set_fitness(bench.now, Fitness::Unready);
    for _ in 0..20 {
        bench.pass(Duration::from_secs(1));
        bench.hear(1, 1);
        bench.router.handle_timeout(bench.now);
    }
    assert!(
        !bench.router.state().is_active(),
        "readiness before preemption"
    );
    bench.run_to_timeout();
    assert!(bench.router.state().is_active(), "somebody must answer");
    bench.take();
    bench.router.set_fitness(bench.now, Fitness::Unready);
    assert_eq!(bench.take(), [], "a proxy that restarts is not a failover");
}

#[test]
fn ready_router_preempts_by_the_timer_that_runs() {
    let mut bench = Bench::backup();
    bench.router.set_fitness(bench.now, Fitness::Unready);
    bench.hear(1, 50);
    bench
        .router
        .set_fitness(bench.now, Fitness::Ready(Priority::DEFAULT));
    bench.pass(Duration::from_secs(1));
    bench.hear(1, 50);
    assert_eq!(bench.until_timeout(), Duration::from_micros(2_609_375));
    bench.run_to_timeout();
    assert_eq!(bench.causes().last(), Some(&Cause::Preempting));
}

#[test]
fn delayed_preemption_waits_for_its_delay() {
    let mut parameters = parameters();
    parameters.preempt = Preempt::After(Duration::from_secs(30));
    let mut bench = Bench::started(parameters);
    let start = bench.now;
    while !bench.router.state().is_active() {
        bench.pass(Duration::from_millis(500));
        bench.hear(1, 50);
        bench.router.handle_timeout(bench.now);
    }
    let took = bench.now - start;
    let (least, most) = (Duration::from_secs(30), Duration::from_secs(35));
    assert!(
        took > least && took < most,
        "30 s and a down interval, not {took:?}"
    );
}

#[test]
fn faulted_router_never_becomes_active() {
    let mut bench = Bench::active();
    let fault = Fitness::Fault(FaultCause::Tracking);
    bench.router.set_fitness(bench.now, fault.clone());
    let actions = bench.take();
    assert_eq!(actions[..2], [LEAVING, LEAVING]);
    assert!(
        !actions.contains(&Action::SuppressAddresses),
        "it answers until a peer speaks"
    );
    bench.run_to_timeout();
    for (name, input) in inputs() {
        let mut bench = Bench {
            router: bench.router.clone(),
            now: bench.now,
        };
        // Tracking and a new start are what may end it.
        if !name.starts_with("fitness") {
            input(&mut bench);
            assert_eq!(bench.router.state().name(), "Initialize", "{name}");
        }
    }
    assert!(
        matches!(bench.router.obstacle(), Some(Obstacle::Fault(_))),
        "and says why"
    );
    bench
        .router
        .set_fitness(bench.now, Fitness::Ready(Priority::DEFAULT));
    assert_eq!(bench.router.state().name(), "Backup", "takes part again");
}

#[test]
fn update_of_an_active_says_at_once_what_changed() {
    let mut bench = Bench::active();
    let mut parameters = parameters();
    parameters.advertisement_interval = AdverInterval::from_centiseconds(1000).expect("in range");
    bench.update(parameters.clone());
    assert_eq!(bench.take(), [SENDS_100], "peers learn the longer interval");
    parameters
        .addresses
        .push(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 101)));
    bench.update(parameters.clone());
    assert_eq!(bench.take(), [Action::InstallAddresses, SENDS_100]);
    bench.update(parameters);
    assert_eq!(bench.take(), [], "what is the same changes nothing");
}

#[test]
fn owner_takes_its_addresses_at_once_and_is_never_demoted() {
    let mut bench = Bench::new(Parameters {
        priority: Priority::OWNER,
        ..parameters()
    });
    bench.link_up();
    bench
        .router
        .set_fitness(bench.now, Fitness::Ready(Priority::OWNER));
    bench.router.handle_startup(bench.now);
    assert!(bench.router.state().is_active());
    bench.take();
    bench.set_priority(50);
    assert_eq!(bench.take(), []);
    assert_eq!(bench.router.effective_priority(), Priority::OWNER);
}

/// A router with its clock.
struct Bench {
    router: VirtualRouter,
    now: Instant,
}

impl Bench {
    fn new(parameters: Parameters) -> Self {
        let now = Instant::now() + Duration::from_secs(1000);
        Self {
            router: VirtualRouter::new(parameters),
            now,
        }
    }

    fn started(parameters: Parameters) -> Self {
        let mut bench = Self::new(parameters);
        bench.link_up();
        let priority = bench.router.parameters().priority;
        bench
            .router
            .set_fitness(bench.now, Fitness::Ready(priority));
        bench.router.handle_startup(bench.now);
        bench.take();
        bench
    }

    fn backup() -> Self {
        Self::started(parameters())
    }

    fn awaiting() -> Self {
        let mut bench = Self::backup();
        bench.run_until_active();
        bench.take();
        bench
    }

    fn active() -> Self {
        let mut bench = Self::awaiting();
        bench.router.handle_applied(bench.now);
        bench.take();
        bench
    }

    fn active_with(parameters: Parameters) -> Self {
        let mut bench = Self::started(parameters);
        bench.run_until_active();
        bench.router.handle_applied(bench.now);
        bench.take();
        bench
    }

    fn link_up(&mut self) {
        let primary = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100));
        self.router.handle_link(self.now, LinkState::Up { primary });
    }

    fn pass(&mut self, span: Duration) {
        self.now += span;
    }

    /// Hears 192.0.2.`host` with this priority.
    fn hear(&mut self, host: u8, priority: u8) {
        let addresses = self.router.parameters().addresses.clone();
        let advertisement = advertisement(priority, addresses);
        let source = IpAddr::V4(Ipv4Addr::new(192, 0, 2, host));
        self.router
            .handle_advertisement(self.now, source, &advertisement);
    }

    fn fail(&mut self) {
        self.router.handle_apply_failed(
            self.now,
            Failure {
                what: "no".to_owned(),
            },
        );
    }

    fn set_priority(&mut self, priority: u8) {
        let fitness = Fitness::Ready(Priority::from_wire(priority));
        self.router.set_fitness(self.now, fitness);
    }

    /// Other parameters, by which tracking says of it what it last said.
    fn update(&mut self, parameters: Parameters) {
        let fitness = match self.router.fitness() {
            Fitness::Ready(_) => Fitness::Ready(parameters.priority),
            said @ (Fitness::Unready | Fitness::Fault(_)) => said.clone(),
        };
        self.router.update(self.now, parameters, fitness);
    }

    fn take(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.router.poll_action())
            .filter(|action| !matches!(action, Action::Report(_) | Action::Warn { .. }))
            .collect()
    }

    fn causes(&mut self) -> Vec<Cause> {
        std::iter::from_fn(|| self.router.poll_action())
            .filter_map(|action| match action {
                Action::Report(transition) => Some(transition.cause),
                Action::SendAdvertisement { .. }
                | Action::InstallAddresses
                | Action::RenewAddresses
                | Action::SuppressAddresses
                | Action::RemoveAddresses
                | Action::Announce { .. }
                | Action::Warn { .. } => None,
            })
            .collect()
    }

    fn until_timeout(&self) -> Duration {
        self.router
            .poll_timeout()
            .map_or(Duration::MAX, |at| at - self.now)
    }

    fn run_to_timeout(&mut self) {
        if let Some(at) = self.router.poll_timeout() {
            self.now = at.max(self.now);
            self.router.handle_timeout(self.now);
        }
    }

    fn run_until_active(&mut self) {
        for _ in 0..100 {
            if !self.router.state().is_active() {
                self.run_to_timeout();
            }
        }
        assert!(
            self.router.state().is_active(),
            "it stands within 100 timers"
        );
    }

    /// Shows the state, with timers from now, and the actions.
    fn describe(&mut self) -> String {
        let at = |at: Option<Instant>| match at {
            Some(at) => format!("{:?}", at.saturating_duration_since(self.now)),
            None => "-".to_owned(),
        };
        let state = match self.router.state() {
            State::Initialize { release_at } => format!("Initialize release {}", at(release_at)),
            State::Backup {
                active_down_at,
                active_adver_interval,
                release_at,
            } => format!(
                "Backup down {} learned {active_adver_interval} release {}",
                at(Some(active_down_at)),
                at(release_at)
            ),
            State::Active {
                adver_at,
                announcements,
            } => format!(
                "Active adver {} announce {}",
                at(Some(adver_at)),
                at(announcements.due_at())
            ),
        };
        let actions: Vec<String> = std::iter::from_fn(|| self.router.poll_action())
            .filter_map(|action| match action {
                Action::SendAdvertisement { priority } => Some(format!("send {priority}")),
                Action::InstallAddresses => Some("install".to_owned()),
                Action::RenewAddresses => Some("renew".to_owned()),
                Action::SuppressAddresses => Some("suppress".to_owned()),
                Action::RemoveAddresses => Some("remove".to_owned()),
                Action::Announce { rounds } => Some(format!("announce {rounds}")),
                Action::Report(transition) => Some(format!("report: {}", transition.cause)),
                Action::Warn { .. } => None,
            })
            .collect();
        format!("{state} [{}]", actions.join(", "))
    }
}

fn advertisement(priority: u8, addresses: Vec<IpAddr>) -> Advertisement {
    Advertisement {
        vrid: parameters().vrid,
        priority: Priority::from_wire(priority),
        interval: AdverInterval::DEFAULT,
        addresses,
    }
}

fn parameters() -> Parameters {
    Parameters {
        vrid: Vrid::new(51).expect("not 0"),
        version: Version::V3,
        priority: Priority::DEFAULT,
        ill_max: Priority::LEAVING,
        addresses: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10))],
        advertisement_interval: AdverInterval::DEFAULT,
        preempt: Preempt::Always,
        lease: Duration::from_secs(2),
        down_multiplier: 3,
        announcements: AnnouncementPlan::default(),
        impaired: Priority::from_wire(1),
        link: LinkRules::default(),
        in_sync_group: false,
    }
}

type Make = fn() -> Bench;
type Input = fn(&mut Bench);

/// Every state, 10 ms after it was entered.
fn states() -> Vec<(&'static str, Make)> {
    fn later(mut bench: Bench) -> Bench {
        bench.take();
        bench.pass(Duration::from_millis(10));
        bench
    }
    fn with(mut bench: Bench, input: Input) -> Bench {
        input(&mut bench);
        later(bench)
    }
    vec![
        ("Initialize, new", || later(Bench::new(parameters()))),
        ("Initialize, started without a link", || {
            with(Bench::new(parameters()), |bench| {
                bench.router.handle_startup(bench.now)
            })
        }),
        ("Initialize, stopped, holding", || {
            with(Bench::active(), |bench| {
                bench.router.handle_shutdown(bench.now)
            })
        }),
        ("Initialize, in fault, holding", || {
            with(Bench::active(), |bench| {
                let fault = Fitness::Fault(FaultCause::Tracking);
                bench.router.set_fitness(bench.now, fault);
            })
        }),
        ("Backup", || later(Bench::backup())),
        ("Backup, preempted, holding", || {
            with(Bench::active(), |bench| bench.hear(200, 200))
        }),
        ("Backup, demoted, holding", || {
            with(Bench::active(), |bench| bench.set_priority(80))
        }),
        ("Backup, the host failed", || {
            with(Bench::active(), Bench::fail)
        }),
        ("Active, not yet installed", || later(Bench::awaiting())),
        ("Active", || later(Bench::active())),
    ]
}

fn inputs() -> Vec<(&'static str, Input)> {
    vec![
        ("startup", |bench| bench.router.handle_startup(bench.now)),
        ("adoption", |bench| {
            bench.router.handle_adoption(bench.now, bench.now)
        }),
        ("shutdown", |bench| bench.router.handle_shutdown(bench.now)),
        ("hears priority 0", |bench| bench.hear(200, 0)),
        ("hears lower", |bench| bench.hear(200, 50)),
        ("hears equal from a lower address", |bench| {
            bench.hear(1, 100)
        }),
        ("hears equal from a higher address", |bench| {
            bench.hear(200, 100)
        }),
        ("hears higher", |bench| bench.hear(1, 200)),
        ("hears itself", |bench| bench.hear(100, 200)),
        ("timeout, early", |bench| {
            bench.router.handle_timeout(bench.now)
        }),
        ("timeout, as due", Bench::run_to_timeout),
        ("timeout, an hour late", |bench| {
            bench.pass(Duration::from_secs(3600));
            bench.router.handle_timeout(bench.now);
        }),
        ("link down", |bench| {
            bench.router.handle_link(bench.now, LinkState::Down)
        }),
        ("link without a source", |bench| {
            bench.router.handle_link(bench.now, LinkState::NoSource)
        }),
        ("link up", Bench::link_up),
        ("link changes its address", |bench| {
            let primary = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
            bench
                .router
                .handle_link(bench.now, LinkState::Up { primary });
        }),
        ("applied", |bench| bench.router.handle_applied(bench.now)),
        ("apply failed", Bench::fail),
        ("fitness fault", |bench| {
            let fault = Fitness::Fault(FaultCause::Tracking);
            bench.router.set_fitness(bench.now, fault);
        }),
        ("fitness unready", |bench| {
            bench.router.set_fitness(bench.now, Fitness::Unready)
        }),
        ("fitness ready 100", |bench| bench.set_priority(100)),
        ("fitness ready 60", |bench| bench.set_priority(60)),
        ("update to 200 ms", |bench| {
            let mut parameters = parameters();
            parameters.advertisement_interval =
                AdverInterval::from_centiseconds(20).expect("in range");
            bench.update(parameters);
        }),
    ]
}
