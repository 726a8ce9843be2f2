//! Backends that are taken out for how they answer, never more than half of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evenkeel::config::EjectionRules;

use crate::common::{Backend, wait_until};
use crate::rig::{GET, Rig, setup};

/// Returns a backend that answers so many requests of a hundred with 500, evenly, and how many it
/// was asked; to probes it says that it is well.
fn failing(name: &'static str, percent: &Arc<AtomicU16>) -> (Backend, Arc<AtomicUsize>) {
    let (count, percent) = (Arc::new(AtomicUsize::new(0)), Arc::clone(percent));
    let counted = Arc::clone(&count);
    let backend = Backend::scripted(move |mut visit| {
        while let Some(request) = visit.request() {
            if request.line().contains("/health") {
                visit.wire.send(crate::rig::OK);
                continue;
            }
            let (number, percent) = (count.fetch_add(1, Relaxed), percent.load(Relaxed));
            let fails = |number| number * usize::from(percent) / 100;
            let status = match fails(number + 1) > fails(number) {
                true => 500,
                false => 200,
            };
            let length = name.len();
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{name}");
            visit.wire.send(answer);
        }
    });
    (backend, counted)
}

fn percent(percent: u16) -> Arc<AtomicU16> {
    Arc::new(AtomicU16::new(percent))
}

const RULES: EjectionRules = EjectionRules {
    consecutive_failures: 5,
    failures: 50,
    requests: 20,
    interval: Duration::from_secs(10),
    time: Duration::from_secs(60),
    time_max: Duration::from_secs(300),
    most: 50,
};

fn states(rig: &Rig) -> Vec<String> {
    let backends = rig.pool().backends;
    backends.into_iter().map(|backend| backend.state).collect()
}

/// Asks until a backend has this state; returns how long that took.
fn ask_until(rig: &Rig, backend: usize, state: &str) -> Duration {
    let mut client = rig.client();
    let began_at = Instant::now();
    wait_until(state, || {
        for _ in 0..50 {
            client.ask(GET);
        }
        states(rig)[backend] == state
    });
    began_at.elapsed()
}

/// Returns how many of so many answers were failures.
fn failures(rig: &Rig, count: usize) -> usize {
    let mut client = rig.client();
    let statuses = (0..count).map(|_| client.ask(GET).status());
    statuses.filter(|status| *status >= 500).count()
}

#[test]
fn a_backend_that_fails_every_other_request_loses_its_share_within_a_second() {
    let ill = failing("b0", &percent(50));
    let (one, two) = (Backend::named("b1"), Backend::named("b2"));
    let rig = setup(&[ill.0.address, one.address, two.address])
        .pool(|pool| pool.ejection = Some(RULES))
        .start();
    let took = ask_until(&rig, 0, "ejected");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(failures(&rig, 100), 0);
    let backends = rig.pool().backends;
    let left_ms = backends[0].ejected_ms.expect("it is ejected");
    assert!((50_000..=60_000).contains(&left_ms), "{left_ms}");
    assert_eq!(backends[1].ejected_ms, None);
    rig.reload(|config| config.pools[0].backends[1].weight = 2);
    assert_eq!(states(&rig)[0], "ejected", "over a reload");
    rig.reload(|config| config.pools[0].ejection = None);
    assert_eq!(states(&rig)[0], "up", "nothing is ejected any more");
}

#[test]
fn half_of_a_pool_is_never_ejected_however_all_of_it_answers() {
    let backends = ["b0", "b1", "b2", "b3", "b4"].map(|name| failing(name, &percent(100)));
    let addresses = backends.each_ref().map(|(backend, _)| backend.address);
    let rig = setup(&addresses)
        .pool(|pool| pool.ejection = Some(RULES))
        .start();
    failures(&rig, 500);
    let ejected = states(&rig).iter().filter(|it| *it == "ejected").count();
    assert_eq!(ejected, 2);
    let alone = setup(&addresses[..1])
        .pool(|pool| pool.ejection = Some(RULES))
        .start();
    assert_eq!(failures(&alone, 50), 50);
    assert_eq!(states(&alone), ["up"]);
}

#[test]
fn an_ejected_backend_comes_back_with_its_time() {
    let share = percent(100);
    let ill = failing("b0", &share);
    let well = Backend::named("b1");
    let rules = EjectionRules {
        time: Duration::from_millis(300),
        ..RULES
    };
    let rig = setup(&[ill.0.address, well.address])
        .pool(|pool| pool.ejection = Some(rules))
        .start();
    ask_until(&rig, 0, "ejected");
    let asked = ill.1.load(Relaxed);
    assert!((5..=7).contains(&asked), "{asked}");
    share.store(0, Relaxed);
    wait_until("it is back", || states(&rig)[0] == "up");
    failures(&rig, 20);
    assert_eq!(ill.1.load(Relaxed) - asked, 10, "it has its share");
}

/// Of two backends that are ill the one whose time is over first comes back early when others go.
#[test]
fn ejections_end_early_where_the_pool_needs_half() {
    let ill = [failing("b0", &percent(100)), failing("b1", &percent(100))];
    let (three, status) = super::ailing("b2");
    let four = Backend::named("b3");
    let addresses = [&ill[0].0, &ill[1].0, &three, &four].map(|backend| backend.address);
    let rig = setup(&addresses)
        .check(crate::rig::http_check(), 1, 1)
        .pool(|pool| pool.ejection = Some(RULES))
        .start();
    wait_until("all are up", || states(&rig) == ["up"; 4]);
    ask_until(&rig, 0, "ejected");
    ask_until(&rig, 1, "ejected");
    status.store(500, Relaxed);
    wait_until("one is down", || states(&rig)[2] == "down");
    let left = states(&rig).iter().filter(|it| *it == "ejected").count();
    assert_eq!(left, 1, "{:?}", states(&rig));
}
