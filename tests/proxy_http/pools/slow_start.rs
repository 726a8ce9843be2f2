//! Backends that come up again are given less at first.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use evenkeel::config::BackendMode;

use super::ailing;
use crate::common::{Backend, wait_until};
use crate::rig::{GET, Rig, http_check, setup};

const HOUR: Duration = Duration::from_secs(3600);

/// Returns how many of so many requests each backend gets.
fn shares(rig: &Rig, count: usize) -> [usize; 2] {
    let mut client = rig.client();
    let mut shares = [0; 2];
    for _ in 0..count {
        shares[usize::from(client.ask(GET).text() == "b1")] += 1;
    }
    shares
}

fn percent(rig: &Rig) -> [Option<u16>; 2] {
    let backends = rig.pool().backends;
    [0, 1].map(|index| backends[index].slow_start)
}

/// Weights of 100 and 10 at first; a reload that takes the slow start away gives all at once.
#[test]
fn a_backend_that_was_down_is_given_a_tenth_at_first() {
    let (ill, status) = ailing("b1");
    let well = Backend::named("b0");
    let rig = setup(&[well.address, ill.address])
        .pool(|pool| pool.slow_start = HOUR)
        .check(http_check(), 1, 1)
        .start();
    let becomes = |state: &str| wait_until(state, || rig.pool().backends[1].state == state);
    becomes("up");
    wait_until("both are up", || rig.pool().backends[0].state == "up");
    assert_eq!(percent(&rig), [None, None], "they were never away");
    assert_eq!(shares(&rig, 20), [10, 10]);
    status.store(500, Relaxed);
    becomes("down");
    assert_eq!(percent(&rig), [None, None]);
    assert_eq!(shares(&rig, 5), [5, 0]);
    status.store(200, Relaxed);
    becomes("up");
    assert_eq!(percent(&rig), [None, Some(10)]);
    assert_eq!(shares(&rig, 44), [40, 4]);
    rig.reload(|config| config.pools[0].backends[0].weight = 2);
    assert_eq!(percent(&rig), [None, Some(10)], "over a reload");
    rig.reload(|config| config.pools[0].slow_start = Duration::ZERO);
    assert_eq!(percent(&rig), [None, None]);
    assert_eq!(shares(&rig, 20), [10, 10]);
}

#[test]
fn a_backend_from_maintenance_grows_into_its_share() {
    let (one, two) = (Backend::named("b0"), Backend::named("b1"));
    let length = Duration::from_secs(2);
    let rig = setup(&[one.address, two.address])
        .pool(|pool| pool.slow_start = length)
        .start();
    rig.reload(|config| config.pools[0].backends[1].mode = BackendMode::Maintained);
    assert_eq!(shares(&rig, 5), [5, 0]);
    rig.reload(|_| {});
    let first = percent(&rig)[1].unwrap();
    assert!((10..100).contains(&first), "{first} percent");
    wait_until("it grows", || {
        percent(&rig)[1].is_none_or(|now| now > first)
    });
    wait_until("it has all", || percent(&rig)[1].is_none());
    assert_eq!(shares(&rig, 20), [10, 10]);
}
