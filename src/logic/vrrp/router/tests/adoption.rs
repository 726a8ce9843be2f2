//! Taking over what the process before had, or only its addresses.

use super::*;

#[test]
fn adoption_keeps_the_rhythm_and_a_stale_one_starts_afresh() {
    for (age_ms, state, first) in [
        (0, "Active", Some(Action::InstallAddresses)),
        (2999, "Active", Some(Action::InstallAddresses)),
        (3000, "Backup", None),
    ] {
        let mut bench = Bench::new(parameters());
        bench.link_up();
        let advertised_at = bench.now - Duration::from_millis(age_ms);
        bench.router.handle_adoption(bench.now, advertised_at);
        assert_eq!(bench.router.state().name(), state, "{age_ms} ms");
        assert_eq!(bench.take().first(), first.as_ref());
        assert!(bench.router.holds_addresses());
    }
}

/// Started too late to adopt, with the addresses of the process before.
fn late() -> Bench {
    let mut bench = Bench::new(parameters());
    bench.link_up();
    let advertised_at = bench.now - Duration::from_secs(3);
    bench.router.handle_adoption(bench.now, advertised_at);
    bench.router.handle_timeout(bench.now);
    assert_eq!(bench.take(), [], "the lease is not renewed");
    bench
}

#[test]
fn who_starts_too_late_to_adopt_answers_until_an_active_is_heard_whatever_its_priority() {
    for priority in [1, 100, 254] {
        let mut bench = late();
        bench.hear(2, priority);
        assert_eq!(bench.take(), [Action::SuppressAddresses], "{priority}");
        bench.run_to_timeout();
        assert_eq!(bench.take(), [Action::RemoveAddresses]);
        assert_eq!(bench.router.state().name(), "Backup");
    }
}

#[test]
fn who_starts_too_late_to_adopt_and_hears_nobody_is_active_without_having_let_go() {
    let mut bench = late();
    let mut actions = Vec::new();
    while !bench.router.state().is_active() {
        bench.run_to_timeout();
        actions.extend(bench.take());
    }
    assert!(!actions.contains(&Action::RemoveAddresses), "{actions:?}");
    assert!(actions.contains(&Action::InstallAddresses), "{actions:?}");
}

#[test]
fn stopped_router_has_nobody_to_adopt_from_and_starts_with_what_it_holds() {
    let mut bench = Bench::active();
    bench.router.handle_shutdown(bench.now);
    bench.take();
    let long_ago = bench.now - Duration::from_secs(9);
    bench.router.handle_adoption(bench.now, long_ago);
    assert_eq!(bench.take(), [], "what it holds is its own");
    assert_eq!(bench.router.state().name(), "Backup");
    assert!(bench.router.holds_addresses(), "as the host does");
}

#[test]
fn adoption_waits_for_the_link() {
    let mut bench = Bench::new(parameters());
    bench.router.handle_adoption(bench.now, bench.now);
    assert_eq!(bench.take(), []);
    bench.pass(Duration::from_millis(400));
    bench.link_up();
    assert!(bench.router.state().is_active());
    assert_eq!(
        bench.until_timeout(),
        Duration::from_millis(500),
        "the lease, then 600 ms"
    );
}

#[test]
fn who_starts_too_late_to_adopt_renews_no_lease_before_it_is_active() {
    let mut bench = late();
    let lease = bench.router.parameters().lease;
    let began_at = bench.now;
    while bench.now < began_at + lease && !bench.router.state().is_active() {
        assert!(!bench.take().contains(&Action::RenewAddresses));
        bench.run_to_timeout();
    }
}
