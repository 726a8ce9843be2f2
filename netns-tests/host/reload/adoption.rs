//! A process that dies after a reload and before its addresses are installed: the next one finds
//! those of before.

use super::*;

#[test]
fn a_role_is_adopted_with_the_addresses_that_a_reload_has_not_yet_changed() {
    for (before, after, addresses) in [
        (
            "[192.0.2.100/24]",
            "[192.0.2.100/24, 192.0.2.101/24]",
            &[100, 101][..],
        ),
        (
            "[192.0.2.100/24, 192.0.2.101/24]",
            "[192.0.2.101/24]",
            &[101],
        ),
        ("[192.0.2.100/24]", "[192.0.2.101/24]", &[101]),
    ] {
        let pair = Pair::new();
        let own = |addresses: &str| {
            web(&format!(
                "addresses: {addresses}\n    advertisement_interval: 200ms"
            ))
        };
        let two = Reloading::start(&pair.two, "lb2", &own(before));
        two.wait_for("web", "Active");
        let mut one = Reloading::start(&pair.one, "lb1", &own(before));
        one.wait_for("web", "Active");
        two.wait_for("web", "Backup");
        pair.one.wait_for_address(address(100), true);
        one.daemon.wait_for_beat(1);
        one.daemon.freeze();
        let again = Reloading::begin_after(&pair.one, "lb1", &own(after), Some(&one));
        again.wait_for("web", "Active");
        let cause = again.router("web").cause;
        assert_eq!(
            cause, "adopted from the process before",
            "{before} to {after}"
        );
        for host in [100, 101] {
            pair.one
                .wait_for_address(address(host), addresses.contains(&host));
        }
        let moved = two.router("web").counters["active_transitions"];
        assert_eq!(
            moved, 1,
            "only before the other one came: {before} to {after}"
        );
        one.daemon.thaw();
    }
}

/// A role alone, without an address that is left of it, is nothing to adopt.
#[test]
fn a_role_whose_addresses_are_gone_is_not_adopted() {
    let pair = Pair::new();
    let yaml = web("addresses: [192.0.2.100/24]\n    advertisement_interval: 200ms");
    let mut one = Reloading::start(&pair.one, "lb1", &yaml);
    one.wait_for("web", "Active");
    pair.one.wait_for_address(address(100), true);
    one.daemon.wait_for_beat(1);
    one.daemon.freeze();
    pair.one
        .ip(&["addr", "del", "192.0.2.100/32", "dev", "eth0"]);
    let again = Reloading::begin_after(&pair.one, "lb1", &yaml, Some(&one));
    again.wait_for("web", "Backup");
    one.daemon.thaw();
}
