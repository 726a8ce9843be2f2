//! Other parameters while it runs: what a reload does in every state.

use super::*;

type Change = fn(&mut Parameters);

fn changes() -> Vec<(&'static str, Change)> {
    vec![
        ("nothing", |_| {}),
        ("priority 150", |it| it.priority = Priority::from_wire(150)),
        ("priority 60", |it| it.priority = Priority::from_wire(60)),
        ("owner", |it| it.priority = Priority::OWNER),
        ("interval 200 ms", |it| {
            it.advertisement_interval = AdverInterval::from_centiseconds(20).expect("in range");
        }),
        ("interval 10 s", |it| {
            it.advertisement_interval = AdverInterval::from_centiseconds(1000).expect("in range");
        }),
        ("an address more", |it| {
            it.addresses.push(IpAddr::from([192, 0, 2, 11]))
        }),
        ("another address", |it| {
            it.addresses = vec![IpAddr::from([192, 0, 2, 11])];
        }),
        ("version 2", |it| it.version = Version::V2),
        ("no preemption", |it| it.preempt = Preempt::Never),
        ("lease 6 s", |it| it.lease = Duration::from_secs(6)),
        ("down multiplier 5", |it| it.down_multiplier = 5),
        ("no refresh", |it| it.announcements.refresh = None),
        ("link rules", |it| {
            it.link = LinkRules {
                required: false,
                up_delay: Duration::from_secs(5),
            };
        }),
        ("ill up to 2", |it| it.ill_max = Priority::from_wire(2)),
        ("in a group", |it| it.in_sync_group = true),
    ]
}

#[test]
fn every_state_meets_every_other_parameter() {
    let mut table = String::new();
    for (state_name, make) in states() {
        writeln!(table, "{state_name}").expect("a string takes everything");
        for (change_name, change) in changes() {
            let mut bench = make();
            let mut parameters = parameters();
            change(&mut parameters);
            bench.update(parameters);
            let row = bench.describe();
            writeln!(table, "  {change_name}: {row}").expect("a string takes everything");
        }
    }
    insta::assert_snapshot!("every_state_meets_every_other_parameter", table);
}

#[test]
fn no_change_moves_a_router_or_lets_an_address_go() {
    for (state_name, make) in states() {
        for (change_name, change) in changes() {
            let mut bench = make();
            let name = bench.router.state().name();
            let held = bench.router.holds_addresses();
            let mut parameters = parameters();
            change(&mut parameters);
            bench.update(parameters);
            let case = format!("{state_name}: {change_name}");
            assert_eq!(bench.router.state().name(), name, "{case}");
            assert_eq!(bench.router.holds_addresses(), held, "{case}");
            let actions = bench.take();
            assert!(!actions.contains(&LEAVING), "{case}: {actions:?}");
        }
    }
}

#[test]
fn lower_priority_of_an_active_is_said_and_no_demotion() {
    let mut bench = Bench::active();
    bench.update(Parameters {
        priority: Priority::from_wire(60),
        ..parameters()
    });
    let said = Action::SendAdvertisement {
        priority: Priority::from_wire(60),
    };
    assert_eq!(bench.take(), [said]);
    assert_eq!(bench.router.counters().demotions, 0);
    assert_eq!(bench.until_timeout(), Duration::from_millis(250));
}

#[test]
fn what_tracking_says_decides_and_not_the_base_priority() {
    let mut bench = Bench::active();
    let lowered = Fitness::Ready(Priority::from_wire(40));
    let parameters = Parameters {
        priority: Priority::from_wire(200),
        ..parameters()
    };
    bench.router.update(bench.now, parameters, lowered.clone());
    assert_eq!(bench.router.fitness(), &lowered);
    assert_eq!(bench.router.effective_priority().get(), 40);
    assert!(bench.router.state().is_active());
}

#[test]
fn fault_of_a_reload_is_a_fault_and_its_end_is_one() {
    let mut bench = Bench::active();
    let fault = Fitness::Fault(FaultCause::Tracking);
    bench.router.update(bench.now, parameters(), fault);
    assert_eq!(bench.router.state().name(), "Initialize");
    bench.take();
    bench.router.update(
        bench.now,
        parameters(),
        Fitness::Ready(Priority::from_wire(120)),
    );
    assert_eq!(bench.router.state().name(), "Backup");
    assert_eq!(bench.router.effective_priority().get(), 120);
}

/// A proxy that restarts is not a failover, also while the file changes.
#[test]
fn unready_router_keeps_the_meaning_of_its_last_priority() {
    for (last, hoped) in [(100, 150), (2, 1), (70, 70)] {
        let mut bench = Bench::started(Parameters {
            ill_max: Priority::from_wire(2),
            ..parameters()
        });
        bench.set_priority(last);
        bench.router.set_fitness(bench.now, Fitness::Unready);
        let parameters = Parameters {
            priority: Priority::from_wire(150),
            ..parameters()
        };
        bench.router.update(bench.now, parameters, Fitness::Unready);
        assert_eq!(bench.router.effective_priority().get(), hoped, "{last}");
    }
}

#[test]
fn backup_that_may_no_longer_preempt_waits_for_the_active_it_hears() {
    let mut bench = Bench::backup();
    bench.pass(Duration::from_millis(3000));
    bench.hear(1, 50);
    bench.pass(Duration::from_millis(500));
    bench.update(Parameters {
        preempt: Preempt::Never,
        ..parameters()
    });
    let down = Duration::from_micros(3_609_375);
    assert_eq!(bench.until_timeout(), down - Duration::from_millis(500));
}

#[test]
fn lower_priority_of_a_backup_defers_to_the_active_it_hears() {
    let mut bench = Bench::backup();
    bench.pass(Duration::from_millis(3000));
    bench.hear(1, 90);
    bench.update(Parameters {
        priority: Priority::from_wire(80),
        ..parameters()
    });
    assert!(bench.until_timeout() > Duration::from_secs(3), "it waits");
}

#[test]
fn candidate_whose_group_is_dissolved_is_active() {
    let grouped = Parameters {
        in_sync_group: true,
        ..parameters()
    };
    let mut bench = Bench::started(grouped);
    while bench.router.member_state() != MemberState::Candidate {
        bench.run_to_timeout();
    }
    bench.update(parameters());
    assert!(bench.router.state().is_active());
}

#[test]
fn member_that_was_held_back_takes_part_when_it_is_alone() {
    let grouped = Parameters {
        in_sync_group: true,
        ..parameters()
    };
    let mut bench = Bench::started(grouped);
    bench.router.hold_back(bench.now);
    bench.router.impair(bench.now);
    assert_eq!(bench.router.state().name(), "Initialize");
    bench.update(parameters());
    assert_eq!(bench.router.state().name(), "Backup");
    assert_eq!(bench.router.effective_priority(), Priority::DEFAULT);
}

#[test]
fn new_member_of_an_active_group_is_one_that_returns() {
    let grouped = Parameters {
        in_sync_group: true,
        ..parameters()
    };
    let mut bench = Bench::started(grouped);
    bench.router.join();
    assert_eq!(bench.router.member_state(), MemberState::Returning);
    bench.hear(200, 200);
    assert_eq!(
        bench.router.member_state(),
        MemberState::Backup,
        "an Active that is heard is not joined"
    );
    let mut alone = Bench::backup();
    alone.router.join();
    assert_eq!(alone.router.member_state(), MemberState::Backup);
}

#[test]
fn advertisement_of_a_new_form_goes_out_once() {
    let mut bench = Bench::active();
    bench.router.advertise_now(bench.now);
    bench.router.advertise_now(bench.now);
    assert_eq!(bench.take(), [SENDS_100]);
    let mut bench = Bench::backup();
    bench.router.advertise_now(bench.now);
    assert_eq!(bench.take(), [], "a Backup says nothing");
}

#[test]
fn moved_addresses_of_an_active_are_installed_and_announced() {
    let mut bench = Bench::active();
    bench.router.handle_moved(bench.now);
    assert_eq!(bench.take(), [Action::InstallAddresses]);
    bench.router.handle_applied(bench.now);
    assert_eq!(bench.take(), [Action::Announce { rounds: 5 }]);
    let mut bench = Bench::backup();
    bench.router.handle_moved(bench.now);
    assert_eq!(bench.take(), [], "there is nothing to move");
}

#[test]
fn stopped_router_that_is_wanted_again_starts_as_any_other_and_holds_on() {
    let mut bench = Bench::active();
    bench.router.handle_shutdown(bench.now);
    bench.take();
    bench.update(Parameters {
        priority: Priority::from_wire(120),
        ..parameters()
    });
    assert_eq!(bench.router.state().name(), "Initialize", "not by itself");
    bench.router.handle_startup(bench.now);
    assert_eq!(bench.router.state().name(), "Backup");
    assert!(bench.router.holds_addresses() && !bench.router.is_suppressed());
}
