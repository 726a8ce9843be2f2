//! From where advertisements come, and whose they are.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

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

/// A7: IPv6 between global addresses, and beside a keepalived that does so.
#[test]
fn global_ipv6_peers_hear_each_other_and_keepalived() {
    // keepalived sends with the hop limit of any packet, 64.
    let lines = "addresses: ['2001:db8::100/64'], priority: {lb1: 150, lb2: 100}, \
                 peers: ['2001:db8::1', '2001:db8::2'], peer_hops: 191";
    let site = Site::new(&["lb1", "lb2"]);
    let mut first = site.start("lb1", lines);
    wait_for_state(&mut first, "web/ipv6", "Active");
    let mut second = site.start("lb2", lines);
    wait(&mut second, "web/ipv6", "the peer", |router| {
        router.state == "Backup" && router.peers.len() == 1
    });
    let heard = router(&second, "web/ipv6");
    let global: IpAddr = "2001:db8::1".parse().unwrap();
    assert_eq!(heard.peers[0].address, global);
    assert_eq!(heard.counters["active_transitions"], 0, "one Active");
    second.stop(super::PATIENCE).unwrap();

    let theirs = "vrrp_instance six {\n interface eth0\n state BACKUP\n virtual_router_id 51\n \
                  priority 100\n advert_int 0.1\n version 3\n unicast_src_ip 2001:db8::2\n \
                  unicast_peer {\n 2001:db8::1\n }\n virtual_ipaddress {\n fe80::112:33/64\n \
                  2001:db8::100/64\n }\n}\n";
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("keepalived.conf");
    std::fs::write(&path, theirs).unwrap();
    let mut command = Command::new("keepalived");
    command.args(["--dont-fork", "--log-console", "--vrrp", "-f"]);
    command.arg(&path);
    for flag in ["-p", "-r"] {
        command.arg(flag).arg(scratch.path().join(flag));
    }
    let host = site.host("lb2");
    let mut keepalived = host.spawn(command).unwrap();
    super::stays("keepalived hears ours", Duration::from_secs(3), || {
        !has(host, "2001:db8::100")
    });
    first.process().kill_family().unwrap();
    super::until("keepalived takes over", || has(host, "2001:db8::100"));
    let mut first = site.start("lb1", lines);
    wait_for_state(&mut first, "web/ipv6", "Active");
    super::until("keepalived gives it back", || !has(host, "2001:db8::100"));
    let heard = router(&first, "web/ipv6");
    assert!(heard.rejected.is_empty(), "{:?}", heard.rejected);
    keepalived.kill_family().unwrap();
}

/// A7: peers in two networks with a router between them.
#[test]
fn peers_beyond_a_router_hear_each_other_where_it_is_said() {
    let site = Site::with(&[
        ("lb1", &["192.0.2.1/24"]),
        ("lb2", &["198.51.100.2/24"]),
        ("router", &["192.0.2.254/24"]),
    ]);
    let router_ = site.host("router");
    ip(router_, "addr add 198.51.100.254/24 dev eth0");
    router_.set_sysctl("net/ipv4/ip_forward", "1").unwrap();
    for path in ["all", "eth0"] {
        let key = format!("net/ipv4/conf/{path}/send_redirects");
        router_.set_sysctl(&key, "0").unwrap();
    }
    ip(site.host("lb1"), "route add default via 192.0.2.254");
    ip(site.host("lb2"), "route add default via 198.51.100.254");
    let lines = |hops: u8| {
        format!(
            "addresses: [203.0.113.100/32], priority: {{lb1: 150, lb2: 100}}, \
             peers: [192.0.2.1, 198.51.100.2], peer_hops: {hops}"
        )
    };
    let mut first = site.start("lb1", &lines(1));
    wait_for_state(&mut first, "web/ipv4", "Active");
    let mut second = site.start("lb2", &lines(1));
    wait(&mut second, "web/ipv4", "the peer", |router| {
        router.state == "Backup" && router.peers.len() == 1
    });
    second.stop(super::PATIENCE).unwrap();
    let mut strict = site.start("lb2", &lines(0));
    wait(&mut strict, "web/ipv4", "a refusal", |router| {
        router.rejected.contains_key("hop_limit")
    });
}

/// A15: advertisements on the management link, the address on another.
#[test]
fn addresses_go_to_another_interface_where_it_is_said() {
    let site = Site::new(&["lb1", "lb2", "client"]);
    site.add_cable("mgmt", "10.0.0");
    let one = site.host("lb1");
    let yaml = "virtual_routers:\n  web: {interface: mgmt, address_interface: eth0, vrid: 51, \
                priority: {lb1: 150, lb2: 100}, addresses: [192.0.2.100/24, '2001:db8::100/64'], \
                advertisement_interval: 100ms}\n";
    let mut first = site.start_with("lb1", yaml);
    wait_for_state(&mut first, "web/ipv4", "Active");
    let mut second = site.start_with("lb2", yaml);
    wait(&mut second, "web/ipv4", "the peer", |router| {
        router
            .peers
            .iter()
            .any(|peer| peer.address == IpAddr::from([10, 0, 0, 1]))
    });
    wait_for_state(&mut first, "web/ipv6", "Active");
    let shown = ip(one, "-o addr show dev eth0");
    for address in ["192.0.2.100/32", "2001:db8::100/128"] {
        assert!(shown.contains(address), "{address}: {shown}");
    }
    assert!(!ip(one, "-o addr show dev mgmt").contains("192.0.2.100"));
    // Announced where it is: whoever knew the other node finds this one.
    let client = site.host("client");
    let reached = || super::reach::answers(client, "192.0.2.100");
    super::until("the client gets an answer", reached);
    // The link of the addresses counts as well.
    site.lab.cut("lb1").unwrap();
    wait_for_state(&mut second, "web/ipv4", "Active");
    let why = router(&first, "web/ipv4").priority_reason;
    assert!(why.contains("eth0 has no carrier"), "{why}");
    super::until("the client finds it there", reached);
}
