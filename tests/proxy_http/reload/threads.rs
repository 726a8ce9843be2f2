//! More workers, and fewer.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use evenkeel::ipc::message::FromProxy;

use crate::common::{Backend, Wire, wait_until};
use crate::rig::{GET, Rig, rig, sockets_at};

/// Returns which thread serves how many connections now.
fn asks_on(rig: &Rig, clients: &mut [Wire]) {
    for client in clients {
        assert_eq!(client.ask(GET).text(), "a");
    }
    assert_eq!(rig.proxy.status().0[0].connections_refused_total, 0);
}

#[test]
fn threads_come_and_go_and_no_connection_notices() {
    let a = Backend::named("a");
    let rig = rig(&[&a]);
    rig.pass(rig.address, sockets_at(rig.address, 3));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    assert_eq!(rig.ask(GET).text(), "a");
                }
            });
        }
        let mut clients = Vec::new();
        for threads in [1, 4, 1, 2, 4, 3, 1] {
            rig.reload_with(&rig.config, threads);
            clients.extend((0..8).map(|_| rig.client()));
            asks_on(&rig, &mut clients);
        }
        done.store(true, SeqCst);
    });
    let beats = || {
        rig.proxy.beat();
        let count = rig.count(|thread| FromProxy::Beat { thread });
        (0..5).all(|thread| count(thread) > 0)
    };
    wait_until("checks and four workers beat, parked or not", beats);
    let refused = rig.proxy.status().0[0].connections_refused_total;
    assert_eq!(refused, 0);
}

/// A connection that comes while nobody accepts from its socket is served by who does next.
#[test]
fn parked_workers_accept_nothing_and_their_sockets_are_served() {
    let a = Backend::named("a");
    let rig = rig(&[&a]);
    rig.pass(rig.address, sockets_at(rig.address, 1));
    rig.reload_with(&rig.config, 2);
    rig.reload_with(&rig.config, 1);
    let stuck = || {
        rig.count(|thread| FromProxy::Stuck {
            thread,
            doing: String::new(),
        })(2)
    };
    let mut clients: Vec<_> = (0..40).map(|_| rig.client()).collect();
    asks_on(&rig, &mut clients);
    assert_eq!(stuck(), 0);
    let connections = rig.proxy.status().0[0].connections;
    assert_eq!(connections, 40, "all are accepted");
}
