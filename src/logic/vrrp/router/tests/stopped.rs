//! Giving the addresses up after a stop, where somebody is still served on them.

use super::*;

/// What is in flight on the addresses ends first, where nobody else has them.
#[test]
fn stopped_active_holds_longer_for_who_is_served_until_a_peer_is_heard() {
    let mut bench = Bench::active();
    bench.router.handle_shutdown(bench.now);
    bench
        .router
        .hold_unheard(bench.now + Duration::from_secs(5));
    bench.take();
    bench.pass(Duration::from_millis(4900));
    assert!(!bench.router.is_released());
    assert!(!bench.take().contains(&Action::SuppressAddresses));
    assert!(!bench.router.is_succeeded());
    bench.hear(200, 90);
    assert!(bench.router.is_succeeded(), "clients may still come here");
    bench
        .router
        .hold_unheard(bench.now + Duration::from_secs(5));
    bench.pass(Duration::from_millis(200));
    bench.router.handle_timeout(bench.now);
    assert!(
        bench.router.is_released(),
        "200 ms after the peer is heard, it held no longer"
    );

    let mut bench = Bench::active();
    bench.router.release();
    assert!(!bench.router.is_released(), "who serves lets nothing go");
    bench.router.handle_shutdown(bench.now);
    bench
        .router
        .hold_unheard(bench.now + Duration::from_secs(5));
    bench.router.release();
    assert!(bench.take().contains(&Action::RemoveAddresses));
    assert!(bench.router.is_released(), "nothing is in flight any more");
}

#[test]
fn stopped_active_holds_for_an_interval_when_nobody_is_heard() {
    let mut bench = Bench::active();
    bench.router.handle_shutdown(bench.now);
    let actions = bench.take();
    assert_eq!(actions[..2], [LEAVING, LEAVING]);
    assert!(
        !actions.contains(&Action::SuppressAddresses),
        "it answers until a peer speaks"
    );
    assert!(!bench.router.is_released());
    assert_eq!(
        bench.router.state(),
        State::Initialize {
            release_at: Some(bench.now + Duration::from_millis(1100))
        }
    );
    bench.hear(200, 0);
    bench.pass(Duration::from_millis(300));
    bench.hear(200, 90);
    assert_eq!(
        bench.take(),
        [Action::SuppressAddresses],
        "the peer answers now"
    );
    bench.pass(Duration::from_millis(150));
    bench.hear(200, 90);
    bench.pass(Duration::from_millis(50));
    bench.router.handle_timeout(bench.now);
    assert!(
        bench.take().contains(&Action::RemoveAddresses),
        "200 ms after the first it heard"
    );
    assert!(bench.router.is_released());
}
