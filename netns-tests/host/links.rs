//! What may happen to an interface below a virtual router: it comes late, it changes, it is not
//! ready yet, and the kernel forgets to tell.

use std::fs;
use std::net::IpAddr;

use evenkeel::model::Family;
use evenkeel::process::vrrp::host::monitor::Monitor;
use evenkeel::process::vrrp::host::netlink::Netlink;
use evenkeel::process::vrrp::host::{Node, Outlet};
use evenkeel::process::vrrp::link::frames::Announcers;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::daemon::Daemon;
use super::namespace::{Namespace, Pair};
use super::{FAMILIES, VIRTUAL_V4, VIRTUAL_V6, wait};

#[test]
fn a_daemon_that_is_there_before_its_interface_and_its_address_takes_part_when_they_come() {
    let (one, two) = (Namespace::new(), Namespace::new());
    let daemon = Daemon::start(&one, 150);
    for family in FAMILIES {
        daemon.wait_for(family, "Initialize");
    }
    let other = two.thread_id().to_string();
    one.ip(&[
        "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &other,
    ]);
    two.ip(&["link", "set", "eth0", "up"]);
    one.ip(&["link", "set", "eth0", "up"]);
    // Without an address there is no source for IPv4. IPv6 has its link-local one by itself, and
    // serves alone.
    daemon.wait_for(Family::Ipv6, "Active");
    let router = &daemon.status()[0];
    assert_eq!(router.state, "Initialize", "it has no source");
    let reason = "eth0 has no IPv4 address to advertise from";
    assert!(
        router.priority_reason.contains(reason),
        "{}",
        router.priority_reason
    );
    assert_eq!(
        daemon.status()[1].effective_priority,
        1,
        "a whole group goes before"
    );
    one.ip(&["addr", "add", "192.0.2.1/24", "dev", "eth0"]);
    daemon.wait_for(Family::Ipv4, "Active");
    let router = &daemon.status()[1];
    assert_eq!(
        router.counters["active_transitions"], 1,
        "the other joins it"
    );
    assert_eq!(router.effective_priority, 150, "both are there");
    one.wait_for_address(VIRTUAL_V4, true);
    one.wait_for_address(VIRTUAL_V6, true);
}

#[test]
fn a_link_local_address_that_is_still_tentative_is_waited_for() {
    let (one, two) = (Namespace::new(), Namespace::new());
    let other = two.thread_id().to_string();
    one.ip(&[
        "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &other,
    ]);
    one.run(|| {
        // Three probes, one a second: a duplicate may still turn up.
        fs::write("/proc/sys/net/ipv6/conf/eth0/dad_transmits", "3").unwrap();
    });
    let daemon = Daemon::start(&one, 150);
    two.ip(&["link", "set", "eth0", "up"]);
    one.ip(&["addr", "add", "192.0.2.1/24", "dev", "eth0"]);
    one.ip(&["link", "set", "eth0", "up"]);
    wait("a tentative address", || {
        one.ip(&["-6", "-o", "addr", "show", "dev", "eth0"])
            .contains("tentative")
    });
    assert_eq!(
        daemon.status()[1].state,
        "Initialize",
        "nothing is sent from it"
    );
    wait("the address to be its own", || {
        let shown = one.ip(&["-6", "-o", "addr", "show", "dev", "eth0"]);
        shown.contains("fe80") && !shown.contains("tentative")
    });
    daemon.wait_for(Family::Ipv6, "Active");
    let status = &daemon.status()[1];
    let failures = status.counters["advertisement_send_failures"];
    assert_eq!(failures, 0, "the kernel took every advertisement");
}

#[test]
fn a_new_primary_address_is_used_at_once_and_changes_nothing_else() {
    let pair = Pair::new();
    let one = Daemon::start(&pair.one, 150);
    let two = Daemon::start(&pair.two, 100);
    one.wait_for(Family::Ipv4, "Active");
    two.wait_for(Family::Ipv4, "Backup");
    pair.one.ip(&["addr", "add", "192.0.2.7/24", "dev", "eth0"]);
    pair.one.run(|| {
        // The kernel would take the second away with the first.
        fs::write("/proc/sys/net/ipv4/conf/eth0/promote_secondaries", "1").unwrap();
    });
    pair.one.ip(&["addr", "del", "192.0.2.1/24", "dev", "eth0"]);
    let new = IpAddr::from([192, 0, 2, 7]);
    wait("an advertisement from the new address", || {
        two.status()[0].peers.iter().any(|peer| peer.address == new)
    });
    assert_eq!(
        two.status()[0].counters["active_transitions"],
        0,
        "nobody took over"
    );
    let router = &one.status()[0];
    assert_eq!(
        (router.state.as_str(), router.counters["active_transitions"]),
        ("Active", 1),
        "nor was it away for a moment"
    );
    assert_eq!(router.primary_address, Some(new), "and it says so");
}

/// RFC 9568 §5.1.1.2, §5.1.2.2: the groups of VRRP; RFC 4291 §2.7.1: the solicited-node group of
/// each IPv6 address.
#[test]
fn the_groups_are_joined_and_joined_again_on_an_interface_that_is_made_anew() {
    let pair = Pair::new();
    let one = Daemon::start(&pair.one, 150);
    for _ in 0..2 {
        for family in FAMILIES {
            one.wait_for(family, "Active");
        }
        wait("all groups", || {
            let joined = groups(&pair.one);
            // 224.0.0.18, ff02::12, and ff02::1:ff00:100 of 2001:db8::100.
            [
                "120000E0",
                "ff020000000000000000000000000012",
                "ff0200000000000000000001ff000100",
            ]
            .iter()
            .all(|group| joined.contains(group))
        });
        pair.one.ip(&["link", "del", "eth0"]);
        for family in FAMILIES {
            one.wait_for(family, "Initialize");
        }
        pair.join();
    }
}

/// The kernel drops events when its queue is full, and says only that.
#[test]
fn lost_events_are_made_up_for_by_reading_everything_again() {
    let namespace = Namespace::new();
    namespace.run(|| {
        let mut netlink = Netlink::open().unwrap();
        let mut monitor = Monitor::open(&mut netlink).unwrap();
        let batch = tempfile::NamedTempFile::new().unwrap();
        let lines: Vec<String> = (0..ADDRESSES)
            .map(|n| format!("addr add 10.{}.{}.1/32 dev lo", n / 256, n % 256))
            .collect();
        fs::write(batch.path(), lines.join("\n")).unwrap();
        let added = std::process::Command::new("ip")
            .arg("-batch")
            .arg(batch.path())
            .status();
        assert!(added.unwrap().success(), "the addresses are added");
        assert!(monitor.catch_up(&mut netlink).unwrap(), "much has changed");
        assert!(monitor.overruns() > 0, "more than the queue holds");
        let (_, lo) = monitor.view().named("lo").unwrap();
        let found = lo.addresses.iter().filter(|found| found.prefix_len == 32);
        assert_eq!(found.count(), ADDRESSES, "every address is known");
    });
}

/// With 250 virtual MACs the daemon has more than 1,024 descriptors.
#[test]
fn announcements_leave_on_many_links_and_beside_many_descriptors() {
    let namespace = Namespace::new();
    let announced = namespace.run(|| {
        // Descriptors of its own: those of the other tests stay low.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).unwrap();
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert!(
            most > 2_000,
            "the limit of open files is {most}, and more than 2000 is needed"
        );
        setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
        let mut announcers = Announcers::open().unwrap();
        let null: Vec<fs::File> = (0..1_100)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        let mut announced = 0;
        for _ in 0..3 {
            for number in 0..100 {
                let outlet = Outlet {
                    interface: "lo".to_owned(),
                    ifindex: 1,
                    mac: [2, 0, 0, 0, 0, number],
                    node: Node::Host,
                };
                announcers
                    .of(&outlet)
                    .unwrap()
                    .announce(VIRTUAL_V4)
                    .unwrap();
                announced += 1;
                if number % 7 == 0 {
                    announcers.close(&outlet);
                }
            }
        }
        drop(null);
        announced
    });
    assert_eq!(announced, 300, "every one");
}

fn groups(namespace: &Namespace) -> String {
    namespace.run(|| {
        ["igmp", "igmp6"]
            .map(|name| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap())
            .concat()
    })
}

/// The queue is 1 MiB, which the kernel doubles.
const ADDRESSES: usize = 8_000;
