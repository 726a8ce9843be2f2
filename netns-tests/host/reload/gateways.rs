//! Gateways that are asked, while others are added, changed and taken away around them.

use std::fs;
use std::time::Duration;

use evenkeel::ipc::message::{Followed, FromVrrp};

use super::super::namespace::{Namespace, Pair};
use super::super::wait;
use super::{Reloading, address, web};

#[test]
fn gateway_that_is_added_changed_and_removed_is_told_of_as_it_is_then() {
    let pair = Pair::new();
    let one = Reloading::start(&pair.one, "lb1", &following(&[]));
    one.wait_for("web", "Active");
    pair.one.wait_for_address(address(100), true);
    let before = packet_sockets(&pair.one);
    let (there, other) = ("[192.0.2.2]", "[192.0.2.9]");
    one.reload(&following(&[there]));
    wait("one that answers", || told(&one) == [true]);
    one.reload(&following(&[there, other]));
    wait("the other to be gone", || told(&one) == [true, false]);
    assert_eq!(packet_sockets(&pair.one), before + 1, "one for the link");
    let changed = "[192.0.2.9, 192.0.2.2], at_least: 1";
    one.reload(&following(&[there, changed]));
    wait("it with another beside it", || {
        told(&one) == [true, false, true]
    });
    pair.two.ip(&["addr", "del", "192.0.2.2/24", "dev", "eth0"]);
    wait("both to be gone", || {
        told(&one) == [true, false, true, false, false]
    });
    one.reload(&following(&[]));
    wait("nobody to be asked", || packet_sockets(&pair.one) == before);
    pair.two.ip(&["addr", "add", "192.0.2.2/24", "dev", "eth0"]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(told(&one).len(), 5, "nothing is said of nobody");
    one.reload(&following(&[there]));
    wait("it to be told of anew", || told(&one).len() == 6);
    assert!(told(&one)[5], "it is there again");
    let router = one.router("web");
    assert_eq!(router.counters["active_transitions"], 1, "untouched");
    assert_eq!(router.counters["priority_zero_sent"], 0, "untouched");
}

fn following(gateways: &[&str]) -> String {
    let entries: Vec<String> = gateways
        .iter()
        .map(|gateway| {
            format!("      - {{gateway: {gateway}, interval: 50ms, on_failure: {{lower_by: 5}}}}\n")
        })
        .collect();
    let track = if entries.is_empty() {
        String::new()
    } else {
        format!("    track:\n{}", entries.concat())
    };
    web(&format!("addresses: [192.0.2.100/24]\n{track}"))
}

/// What was said of gateways, in this order.
fn told(one: &Reloading) -> Vec<bool> {
    one.daemon.heard(|message| {
        let FromVrrp::Observed {
            what: Followed::Gateway(_),
            well,
        } = message
        else {
            return None;
        };
        Some(*well)
    })
}

fn packet_sockets(namespace: &Namespace) -> usize {
    namespace.run(|| {
        let shown = fs::read_to_string("/proc/thread-self/net/packet").unwrap();
        shown.lines().skip(1).count()
    })
}
