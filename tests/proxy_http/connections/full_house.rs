//! A full house: the connection that has been idle longest leaves for a new one, and none that is
//! busy.

use std::thread::sleep;
use std::time::Duration;

use crate::common::{Backend, Wire, wait_until};
use crate::rig::{GET, OK, Rig, Setup, setup};

/// Returns what is counted of the listener: refused, evicted.
fn counts(rig: &Rig) -> (u64, u64) {
    let listener = rig.proxy.status().0.remove(0);
    (
        listener.connections_refused_total,
        listener.connections_evicted_total,
    )
}

fn of_proxy(mut setup: Setup, connections: u32) -> Setup {
    setup.config.proxy.connections = connections;
    setup
}

fn of_listener(setup: Setup, connections: u32) -> Setup {
    setup.listener(|listener| listener.limits.connections = Some(connections))
}

#[test]
fn the_connection_that_is_idle_longest_leaves_for_a_new_one() {
    for limit in [of_proxy, of_listener] {
        let backend = Backend::saying(OK);
        let rig = limit(setup(&[backend.address]), 3).start();
        let [mut one, mut two, mut three] = [(); 3].map(|()| rig.client());
        for client in [&mut two, &mut one, &mut three] {
            assert_eq!(client.ask(GET).status(), 200);
            sleep(A_BEAT_AND_MORE);
        }
        let mut new = rig.client();
        assert_eq!(new.ask(GET).status(), 200);
        assert!(two.is_ended(), "with its end, not with a reset");
        assert_eq!(counts(&rig), (0, 1));
        for client in [&mut one, &mut three, &mut new] {
            assert_eq!(client.ask(GET).status(), 200);
        }
        assert_eq!(rig.proxy.status().0[0].connections, 3);
    }
}

#[test]
fn connections_that_have_asked_nothing_leave_too() {
    let backend = Backend::saying(OK);
    let rig = of_proxy(setup(&[backend.address]), 2).start();
    let mut silent = rig.client();
    wait_until("it is counted", || rig.proxy.status().0[0].connections == 1);
    // Its first request could be on its way for a second.
    sleep(Duration::from_millis(1_300));
    let mut kept = rig.client();
    assert_eq!(kept.ask(GET).status(), 200);
    assert_eq!(rig.ask(GET).status(), 200);
    assert!(silent.is_ended());
    assert_eq!(kept.ask(GET).status(), 200);
    assert_eq!(counts(&rig), (0, 1));
}

#[test]
fn connections_whose_first_request_may_be_on_its_way_stay() {
    let backend = Backend::saying(OK);
    let rig = of_proxy(setup(&[backend.address]), 2).start();
    let mut kept = rig.client();
    assert_eq!(kept.ask(GET).status(), 200);
    let mut silent = rig.client();
    wait_until("it is counted", || rig.proxy.status().0[0].connections == 2);
    assert_eq!(rig.ask(GET).status(), 200);
    assert!(
        kept.is_ended(),
        "the one that is idle between two requests leaves"
    );
    assert_eq!(silent.ask(GET).status(), 200);
}

#[test]
fn connections_that_are_busy_stay_and_the_new_one_is_turned_away() {
    for threads in [1, 2] {
        let backend = Backend::scripted(|mut visit| {
            while visit.request().is_some() {
                sleep(Duration::from_secs(1));
                visit.wire.send(OK);
            }
        });
        let mut setup = of_proxy(setup(&[backend.address]), 3);
        setup.threads = threads;
        let rig = setup.start();
        let [mut waiting, mut half, mut slow] = [(); 3].map(|()| rig.client());
        waiting.send(GET);
        half.send("GET / HTTP/1.1\r\nHo");
        slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na");
        wait_until("all have come", || {
            rig.proxy.status().0[0].connections == 3 && backend.accepted() == 2
        });
        sleep(A_BEAT_AND_MORE);
        let response = rig.client().response();
        assert_eq!(response.status(), 503);
        assert!(response.text().starts_with("connections_exhausted"));
        assert_eq!(counts(&rig), (1, 0));
        half.send("st: a\r\n\r\n");
        slow.send("b");
        for client in [&mut waiting, &mut half, &mut slow] {
            assert_eq!(client.response().status(), 200);
        }
    }
}

/// Whichever thread has accepted the new one, and whichever has one that is idle.
#[test]
fn places_are_found_on_other_threads() {
    let backend = Backend::saying(OK);
    let mut setup = of_proxy(setup(&[backend.address]), 1);
    setup.threads = 3;
    let rig = setup.start();
    let mut kept: Option<Wire> = None;
    for number in 0..20 {
        let mut new = rig.client();
        assert_eq!(new.ask(GET).status(), 200, "the one of number {number}");
        if let Some(mut old) = kept.replace(new) {
            assert!(old.is_ended());
        }
    }
    assert_eq!(counts(&rig), (0, 19));
}

/// New ones that come at once have a place each, and no limit is passed.
#[test]
fn a_flood_at_a_full_house_leaves_as_many_as_it_may_hold() {
    let backend = Backend::saying(OK);
    let rig = of_proxy(setup(&[backend.address]), 20).start();
    let clients: Vec<Wire> = (0..200)
        .map(|_| {
            let client = rig.client();
            assert!(rig.proxy.status().0[0].connections <= 20);
            client
        })
        .collect();
    wait_until("all have been dealt with", || {
        let (refused, evicted) = counts(&rig);
        refused + evicted == 180
    });
    assert_eq!(rig.proxy.status().0[0].connections, 20);
    wait_until(
        "one more has room, as the others are not new any more",
        || rig.ask(GET).status() == 200,
    );
    drop(clients);
}

/// The clock by which it is known who is idle longer.
const A_BEAT_AND_MORE: Duration = Duration::from_millis(120);
