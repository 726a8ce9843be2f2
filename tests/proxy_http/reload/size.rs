//! A large configuration of which one thing changes.

use std::time::{Duration, Instant};

use crate::common::Backend;
use crate::rig::{GET, OK, setup};

const POOLS: usize = 100;
const BACKENDS: usize = 50;

/// The bound is for a program that is not optimized and waits for its turn.
#[test]
fn one_change_among_five_thousand_backends_is_quick() {
    let backend = Backend::saying(OK);
    let mut setup = setup(&[backend.address; BACKENDS]);
    setup.threads = 2;
    for number in 1..POOLS {
        let mut pool = setup.config.pools[0].clone();
        pool.name = format!("pool {number}");
        setup.config.pools.push(pool);
    }
    let rig = setup.start();
    let mut times: Vec<Duration> = (0..21)
        .map(|weight| {
            let mut config = rig.config.clone();
            config.pools[POOLS / 2].backends[7].weight = weight + 1;
            let began_at = Instant::now();
            rig.reload_with(&config, 2);
            began_at.elapsed()
        })
        .collect();
    times.sort();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{median:?}, at most {slowest:?}");
    assert!(median < Duration::from_millis(500), "{median:?}");
    assert_eq!(rig.ask(GET).status(), 200);
}
