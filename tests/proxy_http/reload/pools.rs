//! Pools, backends and their checks.

use std::time::Duration;

use evenkeel::config::{BackendMode, HealthCheckConfig};
use evenkeel::ipc::message::FromProxy;

use super::{Slow, backend};
use crate::common::{Backend, wait_until};
use crate::rig::{GET, OK, Rig, http_check, setup};

#[test]
fn requests_that_wait_go_to_backends_that_have_come() {
    let (full, new) = (Slow::named("full"), Backend::named("new"));
    let rig = setup(&[full.backend.address])
        .pool(|pool| pool.backends[0].requests = Some(1))
        .start();
    let (mut first, mut waiting) = (rig.client(), rig.client());
    first.send(GET);
    full.has(1);
    waiting.send(GET);
    wait_until("it waits", || rig.pool().queued_requests == 1);
    rig.reload(|config| {
        config.pools[0].backends[0].requests = Some(1);
        config.pools[0].backends.push(backend("new", &new));
    });
    assert_eq!(waiting.response().text(), "new");
    full.go();
    assert_eq!(first.response().text(), "full");
}

#[test]
fn maintained_backends_get_nothing_more_and_finish_what_they_have() {
    let (old, other) = (Slow::named("old"), Backend::named("other"));
    let rig = setup(&[old.backend.address])
        .pool(|pool| pool.backends[0].requests = Some(1))
        .start();
    let (mut first, mut waiting) = (rig.client(), rig.client());
    first.send(GET);
    old.has(1);
    waiting.send(GET);
    wait_until("it waits", || rig.pool().queued_requests == 1);
    rig.reload(|config| {
        config.pools[0].backends[0].mode = BackendMode::Maintained;
        config.pools[0].backends.push(backend("other", &other));
    });
    assert_eq!(waiting.response().text(), "other");
    for _ in 0..10 {
        assert_eq!(rig.ask(GET).text(), "other");
    }
    old.go();
    assert_eq!(first.response().text(), "old");
    let modes: Vec<_> = rig.pool().backends.iter().map(|b| b.mode).collect();
    assert_eq!(modes, [BackendMode::Maintained, BackendMode::Up]);
    rig.reload(|_| {});
    assert_eq!(rig.ask(GET).text(), "old", "and again");
}

#[test]
fn pools_without_a_backend_in_service_are_lost_and_it_is_told_before_the_commit() {
    let a = Backend::named("a");
    let rig = setup(&[a.address]).start();
    rig.reload(|config| config.pools[0].backends[0].mode = BackendMode::Drained);
    let events = rig.events.lock().unwrap().clone();
    let lost = events.iter().position(|event| {
        matches!(event, FromProxy::Health(health)
            if health.probed && health.backends.get("b0") == Some(&false))
    });
    let committed = FromProxy::Committed { generation: 1 };
    let committed = events.iter().position(|event| *event == committed);
    assert!(lost.is_some() && lost < committed, "{events:?}");
    assert_eq!(rig.ask(GET).status(), 503);
}

fn probes(backend: &Backend) -> usize {
    let requests = backend.requests();
    let probes = requests.iter().filter(|r| r.line().contains("/health"));
    probes.count()
}

fn state(rig: &Rig, backend: usize) -> String {
    rig.pool().backends[backend].state.clone()
}

#[test]
fn checks_begin_go_on_and_end() {
    let (a, b) = (Backend::saying(OK), Backend::saying(OK));
    let rig = setup(&[a.address]).check(http_check(), 2, 2).start();
    wait_until("it is up", || state(&rig, 0) == "up");
    rig.reload(|config| config.pools[0].backends.push(backend("b1", &b)));
    assert_eq!(state(&rig, 0), "up", "its verdict stays");
    wait_until("the new one is up", || state(&rig, 1) == "up");
    let told = rig.healths().pop().unwrap();
    assert_eq!(told.backends.len(), 2, "{told:?}");
    let before = probes(&a);
    wait_until("it is probed on", || probes(&a) > before + 2);
    rig.reload(|_| {});
    // One may be on its way.
    std::thread::sleep(Duration::from_millis(50));
    let ended = probes(&b);
    let before = probes(&a);
    wait_until("the other is probed on", || probes(&a) > before + 3);
    assert_eq!(probes(&b), ended);
    assert_eq!(rig.healths().pop().unwrap().backends.len(), 1);
}

#[test]
fn changed_checks_go_on_from_the_last_verdict_and_maintenance_ends_with_a_probe() {
    let a = Backend::saying(OK);
    let rig = setup(&[a.address]).check(http_check(), 1, 1).start();
    wait_until("it is up", || state(&rig, 0) == "up");
    rig.reload(|config| {
        if let HealthCheckConfig::Probe(probe) = &mut config.pools[0].health_check {
            probe.interval = Duration::from_millis(20);
            probe.fall = 1000;
        }
    });
    assert_eq!(state(&rig, 0), "up");
    rig.reload(|config| config.pools[0].backends[0].mode = BackendMode::Maintained);
    std::thread::sleep(Duration::from_millis(50));
    let before = probes(&a);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(probes(&a), before, "no probe in maintenance");
    assert_eq!(rig.ask(GET).status(), 503);
    rig.reload(|_| {});
    wait_until("it is up again", || state(&rig, 0) == "up");
    assert_eq!(rig.ask(GET).status(), 200);
    rig.reload(|config| config.pools[0].health_check = HealthCheckConfig::None);
    assert_eq!(state(&rig, 0), "up");
}

/// Requests begin at every moment while a backend is drained; it has all that it gets before the
/// command is done.
#[test]
fn nothing_new_comes_to_a_drained_backend_and_nothing_fails() {
    let (a, b) = (Backend::saying(OK), Backend::saying(OK));
    let mut setup = setup(&[a.address, b.address]);
    setup.threads = 2;
    let rig = setup.start();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = rig.client();
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    assert_eq!(client.ask(GET).status(), 200);
                }
            });
        }
        for _ in 0..10 {
            rig.reload(|config| config.pools[0].backends[0].mode = BackendMode::Drained);
            wait_until("it has nothing", || {
                rig.pool().backends[0].active_requests == 0
            });
            let before = a.requests().len();
            std::thread::sleep(Duration::from_millis(20));
            assert_eq!(a.requests().len(), before);
            rig.reload(|_| {});
            wait_until("it gets requests", || a.requests().len() > before);
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}
