//! What the link of a virtual router does to it: no carrier, no source, a port that blocks.

use super::*;

const INTERVAL: Duration = Duration::from_secs(1);

fn with_delay(up_delay: Duration) -> Parameters {
    Parameters {
        link: LinkRules {
            up_delay,
            ..LinkRules::default()
        },
        ..parameters()
    }
}

fn lose_source(bench: &mut Bench) {
    bench.router.handle_link(bench.now, LinkState::NoSource);
}

/// Serves every timer of a span.
fn live(bench: &mut Bench, span: Duration) {
    let end = bench.now + span;
    while bench.until_timeout() <= end.saturating_duration_since(bench.now) {
        bench.run_to_timeout();
    }
    bench.now = end;
}

/// A17.
#[test]
fn active_without_a_source_goes_on_for_an_interval_and_then_says_that_it_leaves() {
    let mut bench = Bench::active();
    let source = bench.router.source();
    lose_source(&mut bench);
    live(&mut bench, INTERVAL - Duration::from_millis(1));
    assert!(bench.router.state().is_active(), "it may be back at once");
    assert!(!bench.take().contains(&LEAVING), "and nobody is told");
    // Said again, it is no later.
    lose_source(&mut bench);
    live(&mut bench, Duration::from_millis(1));
    assert_eq!(
        bench.router.source(),
        source,
        "priority 0 is sent from where it was"
    );
    assert_eq!(
        bench
            .take()
            .iter()
            .filter(|action| **action == LEAVING)
            .count(),
        2
    );
    assert_eq!(bench.router.state().name(), "Initialize");
    assert!(bench.router.holds_addresses(), "until a peer has them");
}

#[test]
fn active_whose_source_is_back_or_replaced_in_time_has_not_moved() {
    for host in [100, 7] {
        let mut bench = Bench::active();
        lose_source(&mut bench);
        live(&mut bench, INTERVAL / 2);
        let primary = IpAddr::from([192, 0, 2, host]);
        bench
            .router
            .handle_link(bench.now, LinkState::Up { primary });
        live(&mut bench, 10 * INTERVAL);
        let counters = bench.router.counters();
        assert_eq!(counters.active_transitions, 1, "it stayed Active");
        assert_eq!(bench.router.source(), Some(primary));
    }
}

#[test]
fn carrier_that_goes_meanwhile_ends_it_at_once() {
    let mut bench = Bench::active();
    lose_source(&mut bench);
    bench.take();
    bench.router.handle_link(bench.now, LinkState::Down);
    assert_eq!(bench.take(), [Action::RemoveAddresses]);
    bench.link_up();
    bench.run_until_active();
    bench.router.handle_applied(bench.now);
    live(&mut bench, 10 * INTERVAL);
    assert!(
        bench.router.state().is_active(),
        "what was to come is forgotten"
    );
}

/// A5: the port of a switch blocks for seconds after it has come up.
#[test]
fn nobody_stands_before_the_link_has_been_up_for_its_delay() {
    let delay = Duration::from_secs(10);
    for parameters in [
        with_delay(delay),
        Parameters {
            priority: Priority::OWNER,
            ..with_delay(delay)
        },
    ] {
        let mut bench = Bench::active_with(parameters);
        bench.router.handle_link(bench.now, LinkState::Down);
        bench.pass(INTERVAL);
        bench.link_up();
        live(&mut bench, delay - Duration::from_millis(1));
        assert!(!bench.router.state().is_active(), "nobody can be heard yet");
        live(&mut bench, Duration::from_secs(4));
        assert!(
            bench.router.state().is_active(),
            "then it stands, if nobody is"
        );
    }
}

/// A5: `preempt: false` holds as well, once the living Active can be heard.
#[test]
fn who_is_heard_during_the_delay_is_deferred_to() {
    let delay = Duration::from_secs(10);
    let mut bench = Bench::active_with(Parameters {
        preempt: Preempt::Never,
        ..with_delay(delay)
    });
    bench.router.handle_link(bench.now, LinkState::Down);
    bench.link_up();
    live(&mut bench, delay - INTERVAL);
    for _ in 0..30 {
        bench.hear(9, 50);
        live(&mut bench, INTERVAL);
        assert!(!bench.router.state().is_active(), "the other one stays");
    }
}

#[test]
fn a_priority_that_is_impaired_is_the_lower_one_until_it_is_restored() {
    let mut bench = Bench::active();
    bench.router.impair(bench.now);
    bench.router.impair(bench.now);
    assert_eq!(bench.router.effective_priority().get(), 1);
    assert!(
        bench.take().contains(&LEAVING),
        "a node that has all shall stand"
    );
    bench.set_priority(80);
    assert_eq!(
        bench.router.effective_priority().get(),
        1,
        "whatever tracking says"
    );
    bench.router.restore(bench.now);
    assert_eq!(
        bench.router.effective_priority().get(),
        80,
        "as tracking said"
    );
}
