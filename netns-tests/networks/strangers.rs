//! What belongs to somebody else: another service with our VRID, the node's own addresses, another
//! daemon on the host.

use std::net::IpAddr;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use evenkeel::ipc::control::Status;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::node::Node;
use evenkeel::process::vrrp::host::Outlet;
use evenkeel::process::vrrp::link::claims::{Claims, PORTION_INTERVAL, PORTION_MAX};
use evenkeel::process::vrrp::link::frames::Announcers;

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

/// S10, A10: a second daemon on the host, with another directory, interface, VRID and address.
#[test]
fn a_second_daemon_is_refused_and_the_first_does_not_notice() {
    for lines in ["virtual_mac: true", "priority: 100"] {
        let site = Site::new(&["lb1"]);
        let host = site.host("lb1");
        ip(host, "link add eth1 type veth peer name eth1-peer");
        ip(host, "addr add 198.51.100.1/24 dev eth1");
        ip(host, "link set eth1 up");
        ip(host, "link set eth1-peer up");
        let mut first = site.start("lb1", &format!("addresses: [192.0.2.100/24], {lines}"));
        wait_for_state(&mut first, "web/ipv4", "Active");
        let other = "virtual_routers:\n  lan: {interface: eth1, vrid: 52, addresses: \
                     [198.51.100.100/24]}\n";
        let mut second = site.start_with("lb1", other);
        let end = second.process().wait(super::PATIENCE).unwrap();
        assert_eq!(end.code(), Some(1), "{}", second.log());
        let log = second.log();
        assert!(
            log.contains("already has virtual routers in this network"),
            "{log}"
        );
        assert!(log.contains("help: put its virtual routers"), "{log}");
        let router = router(&first, "web/ipv4");
        let counters = &router.counters;
        assert_eq!(counters["active_transitions"], 1, "the first stays Active");
        assert_eq!(counters["addresses_put_back"], 0, "with all it has");
        assert!(has(host, "192.0.2.100"), "{lines}");
        // Without virtual routers there is nothing to be in the way of.
        let proxy = "listeners:\n  http: {bind: ['127.0.0.1:8080'], pool: web}\npools:\n  \
                     web: {backends: {a: '127.0.0.1:1'}, health_check: none}\n";
        let mut third = site.start_with("lb1", proxy);
        third
            .wait_for("an answer", super::PATIENCE, |status| {
                !status.listeners.is_empty()
            })
            .unwrap();
    }
}

/// S28: all processes are killed, and nothing of ours stays: by `cleanup`, and at the start of a
/// daemon that has no virtual routers.
#[test]
fn what_a_killed_daemon_leaves_is_cleaned_up() {
    let proxy = "listeners:\n  http: {bind: ['127.0.0.1:8080'], pool: web}\npools:\n  web: \
                 {backends: {a: '127.0.0.1:1'}, health_check: none}\n";
    for (by_command, virtual_mac) in [(true, true), (true, false), (false, true), (false, false)] {
        let site = Site::new(&["lb1"]);
        let host = site.host("lb1");
        let routes = || ip(host, "-4 route show") + &ip(host, "-6 route show");
        let links = || ip(host, "-o link show").replace("state UNKNOWN", "state UP");
        let shown = || links() + &settings(host) + &routes();
        let before = shown();
        // Of networks to which the interface has no route.
        let lines = format!(
            "addresses: [192.0.2.100/24, 198.51.100.100/24, '2001:db8:7::100/64'], \
             virtual_mac: {virtual_mac}, lease: 60s"
        );
        let lines = &lines;
        let mut node = site.start("lb1", lines);
        wait_for_state(&mut node, "web/ipv4", "Active");
        let running = cleanup(host);
        assert_eq!(running.code(), Some(1), "not while it runs");
        assert!(has(host, "192.0.2.100"), "nor is anything done");
        node.process().kill_family().unwrap();
        assert_ne!(shown(), before, "macvlans and settings, or routes");
        if by_command {
            assert_eq!(cleanup(host).code(), Some(0));
        } else {
            let mut node = site.start_with("lb1", proxy);
            let started = |status: &Status| !status.listeners.is_empty();
            node.wait_for("an answer", super::PATIENCE, started)
                .unwrap();
        }
        assert_eq!(shown(), before, "as it was found");
        assert!(!has(host, "192.0.2.100") && !has(host, "2001:db8:7::100"));
    }
}

/// What looks like a table of ours and is not is said to be that.
#[test]
fn a_table_of_somebody_else_with_a_name_of_ours_is_named_with_the_cure() {
    let site = Site::new(&["lb1"]);
    let host = site.host("lb1");
    let add = || {
        let mut nft = Command::new("nft");
        nft.args(["add", "table", "ip6", "evenkeel"])
            .status()
            .unwrap()
    };
    assert!(host.run(add).unwrap().success());
    let mut node = site.start("lb1", "addresses: [192.0.2.100/24]");
    wait_for_state(&mut node, "web/ipv4", "Active");
    let log = node.log();
    let said = "there is an nftables table ip6 evenkeel of somebody else: `nft delete table ip6 \
                evenkeel`";
    assert!(log.contains(said), "{log}");
    assert!(!log.contains("File exists"), "{log}");
}

fn cleanup(host: &Host) -> ExitStatus {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.arg("cleanup");
    host.spawn(command).unwrap().wait(super::PATIENCE).unwrap()
}

fn settings(host: &Host) -> String {
    let read = || {
        let names = ["arp_ignore", "arp_announce", "rp_filter"];
        names
            .map(|name| format!("/proc/sys/net/ipv4/conf/eth0/{name}"))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .concat()
    };
    host.run(read).unwrap()
}

/// S29: another machine says over and over that the addresses are its own.
#[test]
fn an_address_that_another_machine_claims_is_announced_again_and_it_is_named() {
    let site = Site::new(&["lb1", "client"]);
    let lines = "addresses: [192.0.2.100/24, '2001:db8::100/64'], announcements: {refresh: never}";
    let mut node = site.start("lb1", lines);
    for family in ["ipv4", "ipv6"] {
        wait_for_state(&mut node, &format!("web/{family}"), "Active");
    }
    // What is announced at the start is over.
    let began_at = Instant::now();
    super::until("the schedule is over", || began_at.elapsed() > SCHEDULE);
    let sent = |node: &Node, name: &str| router(node, name).counters["announcements_sent"];
    for (name, address) in [("web/ipv4", "192.0.2.100"), ("web/ipv6", "2001:db8::100")] {
        let before = sent(&node, name);
        let began_at = Instant::now();
        claim(site.host("client"), address.parse().unwrap());
        wait(&mut node, name, "a count", |router| {
            router.counters["address_claims"] >= 100
        });
        super::until("an answer", || sent(&node, name) > before);
        let rounds = sent(&node, name) - before;
        let seconds = began_at.elapsed().as_secs() + 1;
        assert!(
            (1..=seconds + 1).contains(&rounds),
            "{name}: {rounds} in {seconds} s"
        );
        let notes = router(&node, name).notes;
        let named = format!("02:00:00:00:00:66 claims {address}");
        assert!(notes.iter().any(|note| note.contains(&named)), "{notes:?}");
        let log = node.log();
        let said = log
            .lines()
            .filter(|line| line.contains("another machine claims") && line.contains(address));
        assert_eq!(said.count(), 1, "once a minute: {log}");
        assert_eq!(router(&node, name).state, "Active", "nothing else happens");
    }
}

/// The kernel answers ARP on every link for every address that the machine has.
#[test]
fn an_address_that_another_interface_has_is_named_with_the_cure() {
    let site = Site::new(&["lb1"]);
    let host = site.host("lb1");
    ip(host, "addr add 192.0.2.100/32 dev lo");
    let mut node = site.start("lb1", "addresses: [192.0.2.100/24]");
    let is_note = |note: &String| note.starts_with("lo of this machine has one of the addresses");
    wait(&mut node, "web/ipv4", "a note", |router| {
        router.notes.iter().any(is_note)
    });
    assert!(node.log().contains("interface=lo another interface of"));
    host.set_sysctl("net/ipv4/conf/eth0/arp_ignore", "1")
        .unwrap();
    wait(&mut node, "web/ipv4", "the cure", |router| {
        !router.notes.iter().any(is_note)
    });
    assert!(has(host, "192.0.2.100"), "it stays, and moves");
}

/// Without a bound 28000 of them a second cost a core at real-time priority, with 500 virtual
/// routers.
#[test]
fn a_flood_of_claims_is_heard_in_portions() {
    let site = Site::new(&["lb1", "client"]);
    for address in ["192.0.2.100", "2001:db8::100"] {
        let address: IpAddr = address.parse().unwrap();
        let open = move || {
            let mut claims = Claims::default();
            claims.listen_for(&[address]).unwrap();
            claims
        };
        let mut claims = site.host("lb1").run(open).unwrap();
        let (mut heard, mut buf) = (0, [0; 1500]);
        let now = Instant::now();
        claim(site.host("client"), address);
        super::until("a portion", || {
            while claims.next(now, &mut buf).is_some() {
                heard += 1;
            }
            heard >= PORTION_MAX
        });
        assert_eq!(heard, PORTION_MAX, "{address}");
        assert_eq!(claims.fds(now).count(), 0, "nobody is woken for the rest");
        let later = now + PORTION_INTERVAL;
        assert_eq!(claims.fds(later).count(), 1, "until then");
        assert!(claims.next(later, &mut buf).is_some(), "{address}");
    }
}

/// Claims an address a hundred times.
fn claim(host: &Host, address: IpAddr) {
    let say = move || {
        let outlet = Outlet {
            interface: "eth0".to_owned(),
            ifindex: nix::net::if_::if_nametoindex("eth0").unwrap(),
            mac: [2, 0, 0, 0, 0, 0x66],
            node: evenkeel::process::vrrp::host::Node::Host,
        };
        let mut announcers = Announcers::open().unwrap();
        let announcer = announcers.of(&outlet).unwrap();
        for _ in 0..100 {
            announcer.announce(address).unwrap();
        }
    };
    host.run(say).unwrap();
}

/// Announcements go on until 5 s after the first.
const SCHEDULE: Duration = Duration::from_secs(6);
