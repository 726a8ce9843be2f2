//! What belongs to somebody else: another service with our VRID, the node's own addresses, another
//! daemon on the host.

use std::time::Duration;

use super::{Site, has, ip, router, stays, wait, wait_for_state};

/// A1: two services that know nothing of each other use one VRID on one link.
#[test]
fn a_service_with_our_vrid_takes_nothing_away_and_is_named_with_the_cure() {
    for version in [2, 3] {
        let site = Site::new(&["lb1", "other"]);
        let interval = ["1s", "100ms"][version - 2];
        let yaml = |priority: u8, address: &str| {
            format!(
                "virtual_routers:\n  web: {{interface: eth0, vrid: 51, version: {version}, \
                 priority: {priority}, addresses: [{address}], advertisement_interval: {interval}}}\n"
            )
        };
        let mut ours = site.start_with("lb1", &yaml(100, "192.0.2.100/24"));
        wait_for_state(&mut ours, "web/ipv4", "Active");
        let mut theirs = site.start_with("other", &yaml(150, "192.0.2.200/24"));
        wait_for_state(&mut theirs, "web/ipv4", "Active");
        for node in [&mut ours, &mut theirs] {
            wait(node, "web/ipv4", "a note", |router| {
                let cure = "uses vrid 51 on eth0 for other addresses than ours: it is another \
                            service, give one of the two another vrid";
                router.notes.iter().any(|note| note.contains(cure))
            });
        }
        for (node, name, address) in [
            (&ours, "lb1", "192.0.2.100"),
            (&theirs, "other", "192.0.2.200"),
        ] {
            assert!(
                has(site.host(name), address),
                "version {version}: {name} serves"
            );
            let router = router(node, "web/ipv4");
            let moves = router.counters["active_transitions"];
            assert_eq!(moves, 1, "version {version}: {name} never stopped");
        }
    }
}

/// S9: the address of the entry is the node's own; once that took all its addresses away.
#[test]
fn the_addresses_of_the_node_itself_stay_whatever_the_file_says() {
    let site = Site::new(&["lb1"]);
    let host = site.host("lb1");
    ip(host, "addr add 192.0.2.7/24 dev eth0");
    let shown = || {
        let shown = ip(host, "-o addr show dev eth0");
        let own = shown.lines().filter(|line| !line.contains("proto 0x45"));
        own.map(|line| {
            line.split("valid_lft")
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect::<Vec<_>>()
    };
    let routes = || ip(host, "route show table all") + &ip(host, "-6 route show table all");
    let before = (shown(), routes());
    for (address, family) in [("192.0.2.1/24", "ipv4"), ("'2001:db8::1/64'", "ipv6")] {
        let mut node = site.start("lb1", &format!("addresses: [{address}]"));
        let name = format!("web/{family}");
        wait(&mut node, &name, "a reason", |router| {
            router
                .priority_reason
                .contains("is an address of eth0 itself")
                && router.priority_reason.contains("owner: true")
        });
        stays("it takes no part", Duration::from_secs(1), || {
            router(&node, &name).state == "Initialize"
        });
        node.stop(super::PATIENCE).unwrap();
        assert_eq!((shown(), routes()), before, "as it was, with its routes");
    }
    // It is taken away by whoever gave it, and the virtual router takes part.
    let mut node = site.start("lb1", "addresses: [192.0.2.7/24]");
    wait_for_state(&mut node, "web/ipv4", "Initialize");
    ip(host, "addr del 192.0.2.7/24 dev eth0");
    wait_for_state(&mut node, "web/ipv4", "Active");
    // What the host is given later is its own as well, and the Active goes on.
    ip(host, "addr add 192.0.2.7/24 dev eth0");
    stays("it stays Active", Duration::from_secs(3), || {
        router(&node, "web/ipv4").state == "Active"
    });
    node.stop(super::PATIENCE).unwrap();
    let left = ip(host, "-o addr show dev eth0");
    assert!(left.contains("192.0.2.7/24"), "it is still there: {left}");
    assert!(!left.contains("192.0.2.7/32"), "and ours is not: {left}");
}
