//! What answers while nobody of a pool is up.

use std::time::{Duration, Instant};

use evenkeel::config::{BackendMode, Fallback, PoolConfig, RespondConfig};

use crate::common::{Backend, wait_until};
use crate::rig::{GET, Rig, Setup, setup};

/// Three pools of one backend each, `web`, `spare` and `last`, of which each is the fallback of the
/// one before.
fn three() -> ([Backend; 3], Setup) {
    let backends = ["b0", "b1", "b2"].map(Backend::named);
    let mut setup = setup(&[backends[0].address]);
    for (name, backend) in [("spare", &backends[1]), ("last", &backends[2])] {
        let mut pool: PoolConfig = setup.config.pools[0].clone();
        pool.name = name.to_owned();
        pool.backends[0].address = backend.address;
        setup.config.pools.push(pool);
    }
    setup.config.pools[0].fallback = Some(Fallback::Pool("spare".to_owned()));
    setup.config.pools[1].fallback = Some(Fallback::Pool("last".to_owned()));
    (backends, setup)
}

/// Has the pools be up whose places say so.
fn reload(rig: &Rig, up: [bool; 3]) {
    rig.reload(|config| {
        for (pool, up) in config.pools.iter_mut().zip(up) {
            pool.backends[0].mode = match up {
                true => BackendMode::Up,
                false => BackendMode::Drained,
            };
        }
    });
}

#[test]
fn the_first_pool_that_is_up_answers_and_nobody_at_once() {
    let (_backends, setup) = three();
    let rig = setup.start();
    let mut client = rig.client();
    for (up, hoped) in [
        ([true, true, true], "b0"),
        ([false, true, true], "b1"),
        ([false, false, true], "b2"),
        ([false, false, false], "no_backend_up"),
        ([true, false, false], "b0"),
    ] {
        reload(&rig, up);
        let asked_at = Instant::now();
        let answer = client.ask(GET);
        assert!(
            answer.text().starts_with(hoped),
            "{up:?}: {}",
            answer.text()
        );
        assert_eq!(
            answer.status(),
            if hoped.starts_with('b') { 200 } else { 503 }
        );
        assert!(asked_at.elapsed() < Duration::from_secs(1), "at once");
    }
}

#[test]
fn a_request_that_waits_is_handed_on_when_its_pool_goes() {
    let (_backends, mut setup) = three();
    let busy = Backend::scripted(|mut visit| {
        while visit.request().is_some() {
            std::thread::park();
        }
    });
    setup.config.pools[0].backends[0].address = busy.address;
    setup.config.pools[0].backends[0].requests = Some(1);
    let rig = setup.start();
    let (mut first, mut second) = (rig.client(), rig.client());
    first.send(GET);
    wait_until("it is busy", || rig.pool().backends[0].active_requests == 1);
    second.send(GET);
    wait_until("it waits", || rig.pool().queued_requests == 1);
    let mut config = rig.config.clone();
    config.pools[0].backends[0].mode = BackendMode::Drained;
    rig.reload_with(&config, rig.threads);
    assert_eq!(second.response().text(), "b1");
}

#[test]
fn a_pool_responds_what_is_written() {
    let backend = Backend::named("b0");
    for status in [200, 503] {
        let respond = RespondConfig {
            status,
            body: "soon again".to_owned(),
            content_type: "text/plain".to_owned(),
        };
        let rig = setup(&[backend.address])
            .pool(|pool| {
                pool.fallback = Some(Fallback::Respond(respond));
                pool.backends[0].mode = BackendMode::Maintained;
            })
            .start();
        let mut client = rig.client();
        for _ in 0..2 {
            let answer = client.ask(GET);
            assert_eq!(answer.status(), status);
            assert_eq!(answer.text(), "soon again");
        }
    }
}
