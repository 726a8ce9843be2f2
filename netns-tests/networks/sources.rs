//! From where advertisements come, and whose they are.

use std::process::Command;

use evenkeel::lab::namespace::host::Host;

use super::{Site, has, ip, router, wait, wait_for_state};

/// A8: an own address among the peers is the source, as `unicast_src_ip` is elsewhere.
#[test]
fn an_own_address_among_the_peers_is_the_source() {
    let site = Site::new(&["lb1", "lb2"]);
    for number in [1, 2] {
        let host = site.host(&format!("lb{number}"));
        ip(host, &format!("addr add 192.0.2.1{number}/24 dev eth0"));
    }
    let lines = "priority: {lb1: 150, lb2: 100}, addresses: [192.0.2.100/24], \
                 peers: [192.0.2.11, 192.0.2.12]";
    let mut first = site.start("lb1", lines);
    wait_for_state(&mut first, "web/ipv4", "Active");
    let mut second = site.start("lb2", lines);
    wait(&mut second, "web/ipv4", "the peer", |router| {
        router.state == "Backup" && router.peers.len() == 1
    });
    let router = router(&second, "web/ipv4");
    assert_eq!(
        router.peers[0].address,
        std::net::IpAddr::from([192, 0, 2, 11])
    );
    assert_eq!(router.counters["active_transitions"], 0, "one Active");
    assert_eq!(router.rejected.len(), 0, "nothing is rejected");
}

/// A9, RFC 4007 §6: the same link-local address on another link is another address.
#[test]
fn a_link_local_address_of_another_link_is_not_our_own() {
    let site = Site::new(&["lb1", "lb2"]);
    let (one, two) = (site.host("lb1"), site.host("lb2"));
    ip(one, "link add br9 type bridge");
    ip(one, "addr add fe80::1/64 dev br9 nodad");
    ip(one, "link set br9 up");
    ip(two, "-6 addr flush dev eth0 scope link");
    ip(two, "addr add fe80::1/64 dev eth0 nodad");
    // Of IPv4 there are such addresses as well, and virtual ones are also per link.
    ip(one, "addr add 169.254.0.1/16 dev br9");
    ip(two, "addr add 169.254.0.1/16 dev eth0");
    let lines = "priority: {lb1: 100, lb2: 150}, addresses: ['2001:db8::100/64']";
    let mut second = site.start("lb2", lines);
    wait_for_state(&mut second, "web/ipv6", "Active");
    let mut first = site.start("lb1", lines);
    wait(&mut first, "web/ipv6", "the peer", |router| {
        router.state == "Backup" && router.peers.len() == 1
    });
    let router = router(&first, "web/ipv6");
    assert_eq!(router.counters["active_transitions"], 0, "one Active");
    assert_eq!(router.counters["own_source_received"], 0, "nor its own");
}

/// S11: a firewall drops what the Active says; once both were Active without a word.
#[test]
fn an_active_that_may_not_advertise_makes_room_and_says_why() {
    let site = Site::new(&["lb1", "lb2"]);
    let lines = "priority: {lb1: 150, lb2: 100}, addresses: [192.0.2.100/24]";
    let mut first = site.start("lb1", lines);
    wait_for_state(&mut first, "web/ipv4", "Active");
    let mut second = site.start("lb2", lines);
    wait_for_state(&mut second, "web/ipv4", "Backup");
    let host = site.host("lb1");
    let table = "add table ip t; add chain ip t o { type filter hook output priority 0; }; add rule \
                 ip t o ip protocol 112 drop";
    nft(host, table);
    wait_for_state(&mut second, "web/ipv4", "Active");
    wait(&mut first, "web/ipv4", "the reason", |router| {
        router.state == "Backup" && router.cause == "the kernel refuses its advertisements"
    });
    assert!(!has(host, "192.0.2.100"), "it lets go");
    let log = first.log();
    assert_eq!(
        log.matches("the kernel refuses advertisements").count(),
        1,
        "{log}"
    );
    nft(host, "delete table ip t");
    wait_for_state(&mut first, "web/ipv4", "Active");
    wait_for_state(&mut second, "web/ipv4", "Backup");
}

fn nft(host: &Host, rules: &str) {
    let rules = rules.to_owned();
    let done = host.run(move || Command::new("nft").arg(rules).status().unwrap());
    assert!(done.unwrap().success(), "nft is there");
}
