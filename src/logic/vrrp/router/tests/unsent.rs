//! S11: advertisements that the kernel does not take.

use super::*;

fn refuse(bench: &mut Bench) {
    let failure = Failure {
        what: "EPERM".to_owned(),
    };
    bench.router.handle_sent(bench.now, Err(failure));
}

#[test]
fn active_that_nobody_can_hear_for_three_intervals_leaves() {
    let mut bench = Bench::active();
    for interval in 0..3 {
        refuse(&mut bench);
        assert!(
            bench.router.state().is_active(),
            "after {interval} intervals"
        );
        bench.pass(AdverInterval::DEFAULT.duration());
        bench.router.handle_timeout(bench.now);
        bench.take();
    }
    refuse(&mut bench);
    let transition = bench
        .router
        .last_transition()
        .map(|(_, transition)| transition.cause);
    assert_eq!(transition, Some(Cause::SendFailed));
    assert!(
        bench.take().contains(&Action::RemoveAddresses),
        "it lets go"
    );
    let failure = bench
        .router
        .last_failure()
        .map(|failure| failure.what.as_str());
    assert_eq!(failure, Some("EPERM"), "and knows why");
    // While nothing has gone out it does not hold the addresses for long when it stands again.
    bench.run_until_active();
    refuse(&mut bench);
    assert!(!bench.router.state().is_active(), "nobody would hear of it");
}

#[test]
fn one_advertisement_that_goes_out_begins_the_count_anew() {
    let mut bench = Bench::active();
    for _ in 0..10 {
        for _ in 0..3 {
            refuse(&mut bench);
            bench.pass(AdverInterval::DEFAULT.duration());
            bench.router.handle_timeout(bench.now);
        }
        bench.router.handle_sent(bench.now, Ok(()));
    }
    assert!(bench.router.state().is_active());
}

#[test]
fn backup_that_cannot_say_that_it_leaves_stays_as_it_is() {
    let mut bench = Bench::backup();
    let before = bench.router.state();
    for _ in 0..10 {
        refuse(&mut bench);
        bench.pass(Duration::from_millis(100));
    }
    assert_eq!(bench.router.state(), before);
}
