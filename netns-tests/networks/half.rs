//! Links and families that are half there: what can serve serves, and the rest says what it lacks.

use std::process::Command;
use std::time::{Duration, Instant};

use evenkeel::lab::namespace::host::Host;

use super::{PATIENCE, Site, has, ip, router, stays, until, wait, wait_for_state};

/// A4: a cable between the two nodes is only there to hear the peer, and ends with it.
#[test]
fn a_cable_that_ends_with_the_peer_keeps_nobody_from_serving() {
    let site = Site::new(&["lb1", "lb2"]);
    site.add_cable("eth1", "198.51.100");
    let one = site.host("lb1");
    let yaml = "virtual_routers:\n  lan: {interface: eth0, vrid: 51, addresses: [192.0.2.100/24], \
                priority: {lb1: 150, lb2: 100}, advertisement_interval: 100ms, synchronize_with: \
                [ha]}\n  ha: {interface: eth1, vrid: 52, addresses: [198.51.100.100/24], priority: \
                {lb1: 150, lb2: 100}, advertisement_interval: 100ms, link: {required: false}}\n";
    let mut first = site.start_with("lb1", yaml);
    for entry in ["lan/ipv4", "ha/ipv4"] {
        wait_for_state(&mut first, entry, "Active");
    }
    let mut second = site.start_with("lb2", yaml);
    wait_for_state(&mut second, "lan/ipv4", "Backup");
    // The cable is pulled while both live, and put back.
    for state in ["down", "up"] {
        ip(one, &format!("link set eth1 {state}"));
        stays("the address stays", Duration::from_secs(1), || {
            has(one, "192.0.2.100")
        });
    }
    wait_for_state(&mut first, "ha/ipv4", "Active");
    let moves = router(&first, "lan/ipv4").counters["active_transitions"];
    assert_eq!(moves, 1, "nothing moved");
    // The power of the Active goes.
    first.process().kill_family().unwrap();
    ip(one, "link del eth1");
    ip(one, "link set eth0 down");
    wait_for_state(&mut second, "lan/ipv4", "Active");
    let status = router(&second, "ha/ipv4");
    assert_eq!(status.state, "Initialize");
    assert_eq!(status.priority_reason, "there is no interface eth1");
}

/// A5: the port of the switch blocks for a while after it has come up.
#[test]
fn a_port_that_blocks_at_first_does_not_make_a_second_active() {
    let site = Site::new(&["lb1", "lb2"]);
    let lines = "addresses: [192.0.2.100/24], priority: {lb1: 150, lb2: 100}, preempt: false, \
                 link: {up_delay: 3s}";
    let mut second = site.start("lb2", lines);
    wait_for_state(&mut second, "web/ipv4", "Active");
    let mut first = site.start("lb1", lines);
    wait_for_state(&mut first, "web/ipv4", "Backup");
    site.lab.cut("lb1").unwrap();
    wait_for_state(&mut first, "web/ipv4", "Initialize");
    // With carrier, but nothing comes through.
    site.lab.isolate("lb1").unwrap();
    site.lab.restore("lb1").unwrap();
    wait_for_state(&mut first, "web/ipv4", "Backup");
    let (one, two) = (site.host("lb1"), site.host("lb2"));
    let alone = || !has(one, "192.0.2.100") && has(two, "192.0.2.100");
    stays("one has the address", Duration::from_secs(2), alone);
    site.lab.join("lb1").unwrap();
    stays("and goes on", Duration::from_secs(3), alone);
    assert_eq!(router(&first, "web/ipv4").state, "Backup");
}

/// A11: IPv6 is off on both nodes, from the start and in the middle.
#[test]
fn a_family_that_is_off_says_so_and_the_other_serves() {
    let site = Site::new(&["lb1", "lb2"]);
    let off = |name: &str, value: &str| {
        let host = site.host(name);
        host.set_sysctl("net/ipv6/conf/eth0/disable_ipv6", value)
            .unwrap();
    };
    off("lb1", "1");
    off("lb2", "1");
    let lines = "addresses: [192.0.2.100/24, '2001:db8::100/64'], priority: {lb1: 150, lb2: 100}";
    let mut first = site.start("lb1", lines);
    wait_for_state(&mut first, "web/ipv4", "Active");
    let mut second = site.start("lb2", lines);
    wait_for_state(&mut second, "web/ipv4", "Backup");
    let why = router(&first, "web/ipv6").priority_reason;
    assert!(why.contains("IPv6 is off on eth0"), "{why}");
    assert!(
        why.contains("net.ipv6.conf.eth0.disable_ipv6"),
        "with the cure: {why}"
    );
    let log = first.log();
    assert!(
        log.contains("IPv6 is off on eth0"),
        "the log says it as well: {log}"
    );
    let why = router(&first, "web/ipv4").priority_reason;
    assert!(why.contains("web/ipv6: IPv6 is off"), "{why}");
    // A node that has both goes before.
    off("lb2", "0");
    for family in ["ipv4", "ipv6"] {
        wait_for_state(&mut second, &format!("web/{family}"), "Active");
    }
    wait_for_state(&mut first, "web/ipv4", "Backup");
    off("lb1", "0");
    for family in ["ipv4", "ipv6"] {
        wait_for_state(&mut first, &format!("web/{family}"), "Active");
    }
    // It is switched off while it is Active, on both at once.
    off("lb1", "1");
    off("lb2", "1");
    until("one of them serves IPv4", || {
        ["lb1", "lb2"]
            .iter()
            .any(|name| has(site.host(name), "192.0.2.100"))
    });
    stays("and goes on", Duration::from_secs(2), || {
        ["lb1", "lb2"]
            .iter()
            .any(|name| has(site.host(name), "192.0.2.100"))
    });
}

/// A17: a network manager restarts.
#[test]
fn addresses_that_are_taken_away_and_put_back_move_nothing() {
    let site = Site::new(&["lb1", "lb2"]);
    let interval = Duration::from_secs(1);
    let yaml = "virtual_routers:\n  web: {interface: eth0, vrid: 51, addresses: [192.0.2.100/24], \
                priority: {lb1: 150, lb2: 100}}\n";
    let (one, two) = (site.host("lb1"), site.host("lb2"));
    let mut first = site.start_with("lb1", yaml);
    wait_for_state(&mut first, "web/ipv4", "Active");
    let mut second = site.start_with("lb2", yaml);
    wait_for_state(&mut second, "web/ipv4", "Backup");
    // Flushed and put back; the virtual address alone; replaced by another.
    flush(one);
    ip(one, "addr add 192.0.2.1/24 dev eth0");
    until("it is back", || has(one, "192.0.2.100"));
    ip(one, "addr del 192.0.2.100/32 dev eth0");
    until("it is back", || has(one, "192.0.2.100"));
    flush(one);
    ip(one, "addr add 192.0.2.11/24 dev eth0");
    until("it is back", || has(one, "192.0.2.100"));
    stays("it stays", 3 * interval, || has(one, "192.0.2.100"));
    for node in [&first, &second] {
        let moves = router(node, "web/ipv4").counters["active_transitions"];
        assert_eq!(moves, u64::from(node.name() == "lb1"), "nothing moved");
    }
    // Flushed, and not put back: nobody waits for the silence of three intervals.
    flush(one);
    let flushed_at = Instant::now();
    let mut orphaned = Duration::ZERO;
    let mut looked_at = flushed_at;
    while flushed_at.elapsed() < 5 * interval {
        let owned = has(one, "192.0.2.100") || has(two, "192.0.2.100");
        let now = Instant::now();
        if !owned {
            orphaned += now - looked_at;
        }
        looked_at = now;
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(orphaned < interval, "without an owner for {orphaned:?}");
    wait_for_state(&mut second, "web/ipv4", "Active");
    until("one holder", || !has(one, "192.0.2.100"));
    let status = router(&first, "web/ipv4");
    assert!(
        status.priority_reason.contains("has no IPv4 address"),
        "{}",
        status.priority_reason
    );
    wait(&mut second, "web/ipv4", "who left", |router| {
        router.cause == "priority 0 from the Active"
    });
    drop(first.stop(PATIENCE));
}

/// Takes every address of IPv4 away, as a restart of what manages the network does. The daemon puts
/// its own back meanwhile, so that `ip` sees no end of it: then all others are gone.
fn flush(host: &Host) {
    let flushed = host.run(|| {
        let mut command = Command::new("ip");
        command.args(["-4", "addr", "flush", "dev", "eth0"]);
        let output = command.output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success() || complaint.contains("Flush remains incomplete")
    });
    assert!(flushed.unwrap(), "ip addr flush");
}

/// The file names interfaces by name: under another name one is not ours, and has nothing of ours.
#[test]
fn an_interface_that_is_renamed_keeps_no_address() {
    for lines in ["accept: true", "virtual_mac: true"] {
        let site = Site::new(&["lb1", "lb2"]);
        site.add_cable("spare", "198.51.100");
        // Longer than anybody waits here: what is gone was taken away.
        let lines = format!(
            "{lines}, lease: 1h, priority: {{lb1: 150, lb2: 100}}, \
             addresses: [192.0.2.100/24, 203.0.113.5/24, '2001:db8:77::100/64']"
        );
        let one = site.host("lb1");
        let mut first = site.start("lb1", &lines);
        wait_for_state(&mut first, "web/ipv6", "Active");
        let mut second = site.start("lb2", &lines);
        wait_for_state(&mut second, "web/ipv6", "Backup");
        ip(one, "link set eth0 name lan0");
        wait_for_state(&mut second, "web/ipv4", "Active");
        let traces = || ip(one, "addr show") + &ip(one, "route show") + &ip(one, "-6 route show");
        let gone = || {
            let traces = traces();
            let ours = ["192.0.2.100", "203.0.113", "2001:db8:77"];
            !ours.iter().any(|trace| traces.contains(trace))
        };
        until("nothing of ours is left", gone);
        ip(one, "link set lan0 name eth0");
        wait_for_state(&mut first, "web/ipv6", "Active");
        wait_for_state(&mut first, "web/ipv4", "Active");

        // Another interface has the name in the same moment.
        let swap = "link set eth0 name lan0; ip link set spare name eth0";
        let swap = move || {
            Command::new("sh")
                .args(["-c", &format!("ip {swap}")])
                .status()
        };
        assert!(one.run(swap).unwrap().unwrap().success());
        until("lan0 has nothing of ours", || {
            let traces = ip(one, "addr show dev lan0") + &ip(one, "route show dev lan0");
            !traces.contains("192.0.2.100") && !traces.contains("203.0.113")
        });
        wait_for_state(&mut first, "web/ipv4", "Active");
        until("the other has it", || has(one, "192.0.2.100"));
    }
}
