//! Virtual MACs on a real kernel: nobody ever learns another hardware address for a virtual
//! address, and the host is left as it was found, also after a crash. Beside it: what is not
//! accepted, and who owns an address.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::pair::is_all;

use super::wire::{Capture, Mac};

/// Two machines that can have the addresses, and one that asks for them.
struct Segment {
    hosts: [Arc<Host>; 2],
    client: Arc<Host>,
    _lab: Lab,
}

impl Segment {
    fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let mut add = |name: &str, number: u8| {
            let addresses = [
                format!("192.0.2.{number}/24"),
                format!("2001:db8::{number}/64"),
            ];
            lab.add_host(name, &addresses.each_ref().map(String::as_str))
                .unwrap()
        };
        let hosts = [add("lb1", 1), add("lb2", 2)];
        let client = add("client", 9);
        for host in &hosts {
            // As many distributions have it; it must not be touched.
            host.set_sysctl("net/ipv4/conf/all/rp_filter", "1").unwrap();
            serve(host);
        }
        Self {
            hosts,
            client,
            _lab: lab,
        }
    }

    fn start(&self, index: usize, lines: &str) -> Node {
        let yaml = format!(
            "virtual_routers:\n  web:\n    interface: eth0\n    vrid: 51\n    \
             addresses: [{V4}/24, \"{V6}/64\"]\n    advertisement_interval: 100ms\n    {lines}\n"
        );
        let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
        Node::start(&self.hosts[index], &yaml, ["lb1", "lb2"][index], binary).unwrap()
    }

    /// Returns whether a client gets through to a virtual address; it asks for the hardware address
    /// anew.
    fn reaches(&self, address: &str) -> bool {
        let to = SocketAddr::new(address.parse().unwrap(), PORT);
        self.client
            .run(move || {
                flush_neighbors();
                TcpStream::connect_timeout(&to, Duration::from_millis(700)).is_ok()
            })
            .unwrap()
    }

    /// Has a machine connect to the client from a virtual address, asking for the client's hardware
    /// address anew.
    fn calls_from(&self, index: usize, source: &str) -> bool {
        let source = SocketAddr::new(source.parse().unwrap(), 0);
        let to: IpAddr = if source.is_ipv4() { CLIENT4 } else { CLIENT6 }
            .parse()
            .unwrap();
        self.hosts[index]
            .run(move || {
                flush_neighbors();
                let domain = socket2::Domain::for_address(source);
                let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
                socket.bind(&source.into()).unwrap();
                let to = SocketAddr::new(to, PORT).into();
                let patience = Duration::from_millis(700);
                match socket.connect_timeout(&to, patience) {
                    Ok(()) => true,
                    Err(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
                }
            })
            .unwrap()
    }

    fn settings(&self, index: usize) -> Vec<String> {
        self.hosts[index]
            .run(|| {
                let read = |path: &str| std::fs::read_to_string(path).unwrap().trim().to_owned();
                let own = ["arp_ignore", "arp_announce", "arp_filter", "rp_filter"]
                    .map(|name| read(&format!("/proc/sys/net/ipv4/conf/eth0/{name}")));
                let all = ["arp_ignore", "arp_announce", "rp_filter"]
                    .map(|name| read(&format!("/proc/sys/net/ipv4/conf/all/{name}")));
                let links = nix::net::if_::if_nameindex().unwrap();
                let links = links
                    .iter()
                    .map(|link| link.name().to_str().unwrap().to_owned());
                own.into_iter().chain(all).chain(links).collect()
            })
            .unwrap()
    }
}

#[test]
fn nobody_learns_another_hardware_address_than_the_virtual_one() {
    let segment = Segment::new();
    let before = segment.settings(0);
    let capture = Capture::start(&segment.client);
    let lines = [
        "priority: 150\n    virtual_mac: true",
        "priority: 100\n    virtual_mac: true",
    ];
    let mut first = segment.start(0, lines[0]);
    wait(&mut first, "Active");
    let mut second = segment.start(1, lines[1]);
    wait(&mut second, "Backup");
    visit(&segment, 0);

    first.stop(PATIENCE).unwrap();
    wait(&mut second, "Active");
    visit(&segment, 1);
    assert_eq!(
        segment.settings(0),
        before,
        "the first is left as it was found"
    );

    let mut first = segment.start(0, lines[0]);
    wait(&mut first, "Active");
    wait(&mut second, "Backup");
    visit(&segment, 0);

    // One of its processes dies, then all of them; the settings of before are not lost on the way.
    kill(&mut first, "evenkeel-vrrp");
    wait(&mut first, "Active");
    visit(&segment, 0);
    first.process().kill_family().unwrap();
    wait(&mut second, "Active");
    visit(&segment, 1);
    let mut first = segment.start(0, lines[0]);
    wait(&mut first, "Active");
    visit(&segment, 0);
    first.stop(PATIENCE).unwrap();
    assert_eq!(segment.settings(0), before, "also after crashes");
    second.stop(PATIENCE).unwrap();

    assert_eq!(capture.claims(V4.parse().unwrap()), only(MAC4), "of IPv4");
    assert_eq!(capture.claims(V6.parse().unwrap()), only(MAC6), "of IPv6");
    assert_eq!(
        capture.advertisers(),
        BTreeSet::from([MAC4, MAC6]),
        "advertisements have it as their source"
    );
}

/// RFC 9568 §7.3: a switch learns from every frame where the virtual MAC is.
#[test]
fn only_the_active_is_heard_with_the_virtual_mac() {
    let segment = Segment::new();
    for host in &segment.hosts {
        host.set_sysctl("net/ipv6/conf/all/forwarding", "1")
            .unwrap();
    }
    let capture = Capture::start(&segment.client);
    let mut waiting = segment.start(
        1,
        "priority: 100\n    virtual_mac: true\n    link: {up_delay: 1h}",
    );
    wait(&mut waiting, "Backup");
    stays("a Backup is silent", || capture.reporters(None).is_empty());
    waiting.stop(PATIENCE).unwrap();

    let mut second = segment.start(1, "priority: 100\n    virtual_mac: true");
    wait(&mut second, "Active");
    let mut first = segment.start(0, "priority: 150\n    virtual_mac: true");
    wait(&mut first, "Active");
    wait(&mut second, "Backup");
    // Without an address left, the source is none.
    let unspecified = Some(std::net::Ipv6Addr::UNSPECIFIED);
    stays("who has given the addresses up is silent", || {
        capture.reporters(unspecified).is_empty()
    });
    assert!(
        capture.reporters(None).contains(&MAC6),
        "switches that follow MLD must hear an Active"
    );
    first.stop(PATIENCE).unwrap();
    wait(&mut second, "Active");
    stays("so is who stops", || {
        capture.reporters(unspecified).is_empty()
    });
}

#[test]
fn a_stop_after_a_crash_without_virtual_mac_puts_the_settings_back() {
    let segment = Segment::new();
    let before = segment.settings(0);
    let mut node = segment.start(0, "virtual_mac: true");
    wait(&mut node, "Active");
    assert_ne!(segment.settings(0), before, "a macvlan and two settings");
    node.process().kill_family().unwrap();
    let mut node = segment.start(0, "priority: 100");
    wait(&mut node, "Active");
    assert_eq!(
        segment.settings(0),
        before,
        "the leftovers of a crash go at the start of one who has no use for them"
    );
    node.stop(PATIENCE).unwrap();
}

/// Deleting a macvlan takes the kernel 25 ms and more.
#[test]
fn a_stop_with_many_virtual_macs_leaves_nothing_behind() {
    let segment = Segment::new();
    let before = segment.settings(0);
    let entries: Vec<String> = (1..=40)
        .map(|n| {
            format!(
                "  r{n}: {{interface: eth0, vrid: {n}, virtual_mac: true, advertisement_interval: 100ms,\n    \
                 addresses: [192.0.2.{}/24, \"2001:db8::a:{n}/64\"]}}\n",
                100 + n
            )
        })
        .collect();
    let yaml = format!("virtual_routers:\n{}", entries.concat());
    let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
    let mut node = Node::start(&segment.hosts[0], &yaml, "lb1", binary).unwrap();
    node.wait_for("Active", Duration::from_secs(30), |status| {
        is_all(status, "Active")
    })
    .unwrap();
    assert!(
        segment.settings(0).len() >= before.len() + 80,
        "80 macvlans"
    );
    node.stop(Duration::from_secs(30)).unwrap();
    assert_eq!(
        segment.settings(0),
        before,
        "as it was found: {}",
        node.log()
    );
}

#[test]
fn a_macvlan_that_somebody_deletes_is_made_again() {
    let segment = Segment::new();
    let mut node = segment.start(0, "virtual_mac: true");
    wait(&mut node, "Active");
    let delete = || {
        let links = nix::net::if_::if_nameindex().unwrap();
        let macvlan = links
            .iter()
            .find(|link| link.name().to_bytes().starts_with(b"ek4."));
        let mut netlink = evenkeel::process::vrrp::host::netlink::Netlink::open().unwrap();
        let index = macvlan.unwrap().index();
        evenkeel::process::vrrp::host::macvlan::delete(&mut netlink, index).unwrap();
    };
    segment.hosts[0].run(delete).unwrap();
    until("the address is back", || segment.reaches(V4));
    node.stop(PATIENCE).unwrap();
}

/// What somebody else has made stays as it is, whatever its name and its hardware address.
#[test]
fn macvlans_of_others_with_names_of_ours_are_left_alone() {
    let segment = Segment::new();
    let host = &segment.hosts[0];
    let ip = |line: &str| {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let run = move || Command::new("ip").args(words).output().unwrap();
        let output = host.run(run).unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let index = host.run(|| nix::net::if_::if_nametoindex("eth0").unwrap());
    let index = index.unwrap();
    // As FRR has them, and one where ours would be.
    let theirs = [
        (format!("ek4.99.{index:x}"), "00:00:5e:00:01:99"),
        (format!("ek4.33.{index:x}"), "02:00:00:00:00:66"),
    ];
    for (name, mac) in &theirs {
        ip(&format!(
            "link add {name} link eth0 address {mac} type macvlan mode bridge"
        ));
        ip(&format!("link set {name} up"));
    }
    let before = (ip("-o link show"), segment.settings(0));
    let mut node = segment.start(0, "virtual_mac: true");
    let cause = format!("{}, as the macvlan on eth0 is to be called", theirs[1].0);
    node.wait_for("a refusal", PATIENCE, |status| {
        let mut routers = status.virtual_routers.iter();
        routers.any(|router| router.priority_reason.contains(&cause))
    })
    .unwrap();
    node.stop(PATIENCE).unwrap();
    let after = (ip("-o link show"), segment.settings(0));
    assert_eq!(after, before, "as it was found");
}

#[test]
fn a_virtual_mac_of_an_address_that_the_interface_has_is_refused() {
    let segment = Segment::new();
    let yaml = "virtual_routers:\n  web:\n    interface: eth0\n    vrid: 51\n    owner: true\n    \
                virtual_mac: true\n    addresses: [192.0.2.1/24]\n";
    let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
    let mut node = Node::start(&segment.hosts[0], yaml, "lb1", binary).unwrap();
    node.wait_for("a refusal", PATIENCE, |status| {
        status.virtual_routers.iter().any(|router| {
            router
                .priority_reason
                .contains("192.0.2.1 is an address of eth0 itself")
        })
    })
    .unwrap();
}

/// RFC 9568 §6.4.3 knows no two owners: the higher source address wins, and both say what is wrong.
#[test]
fn two_owners_end_with_one_active_and_both_say_so() {
    let segment = Segment::new();
    let mut first = segment.start(0, "owner: true");
    wait(&mut first, "Active");
    let mut second = segment.start(1, "owner: true");
    wait(&mut second, "Active");
    wait(&mut first, "Backup");
    for node in [&mut first, &mut second] {
        let note = "another router says that it owns the addresses too";
        node.wait_for("a note", PATIENCE, |status| {
            let mut routers = status.virtual_routers.iter();
            routers.any(|router| router.notes.iter().any(|found| found == note))
        })
        .unwrap();
    }
    for address in [V4, V6] {
        until("the one that is Active answers", || {
            segment.reaches(address)
        });
    }
    second.process().kill_family().unwrap();
    wait(&mut first, "Active");
    assert!(
        first
            .log()
            .contains("another router says that it owns the addresses too"),
        "the log says it as well: {}",
        first.log()
    );
}

#[test]
fn what_is_not_accepted_is_dropped_and_neighbors_are_still_answered() {
    let segment = Segment::new();
    let capture = Capture::start(&segment.client);
    let mut node = segment.start(0, "accept: false");
    wait(&mut node, "Active");
    for address in [V4, V6] {
        assert!(!segment.reaches(address), "{address} is not accepted");
        let claims = capture.claims(address.parse().unwrap());
        assert_eq!(claims.len(), 1, "{address} is answered for");
    }
    assert!(segment.reaches("192.0.2.1"), "its own address is");
    node.stop(PATIENCE).unwrap();
    let mut node = segment.start(0, "accept: true");
    wait(&mut node, "Active");
    until("accepted", || segment.reaches(V4) && segment.reaches(V6));
}

fn visit(segment: &Segment, active: usize) {
    for address in [V4, V6] {
        until(&format!("{address} is reached"), || {
            segment.reaches(address)
        });
        until(&format!("{address} calls"), || {
            segment.calls_from(active, address)
        });
    }
}

/// Watches for as long as the kernel may take to report a change of groups: twice, each within a
/// second.
fn stays(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_millis(2200);
    while Instant::now() < until {
        assert!(holds(), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn only(mac: Mac) -> BTreeSet<Mac> {
    BTreeSet::from([mac])
}

fn wait(node: &mut Node, state: &str) {
    node.wait_for(state, PATIENCE, |status| is_all(status, state))
        .unwrap();
}

fn kill(node: &mut Node, name: &str) {
    let pid = node.pid_of(name).unwrap();
    evenkeel::lab::process::send(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    until("another process", || {
        node.pid_of(name).is_some_and(|other| other != pid)
    });
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Accepts connections to every address of a host, for as long as the host lives.
fn serve(host: &Host) {
    let (ready, listening) = std::sync::mpsc::sync_channel(1);
    let accept = move || {
        let listener = TcpListener::bind(("::", PORT)).unwrap();
        ready.send(()).unwrap();
        // Ended by the process: a test binary does not outlive its tests.
        while let Ok((connection, _)) = listener.accept() {
            drop(connection);
        }
    };
    // Not kept: it ends with the process.
    drop(host.thread("server", accept).unwrap());
    listening.recv().unwrap();
}

fn flush_neighbors() {
    let flushed = Command::new("ip").args(["neigh", "flush", "all"]).status();
    assert!(flushed.unwrap().success(), "the cache is empty");
}

const V4: &str = "192.0.2.100";
const V6: &str = "2001:db8::100";
const CLIENT4: &str = "192.0.2.9";
const CLIENT6: &str = "2001:db8::9";
const MAC4: Mac = [0, 0, 0x5e, 0, 1, 51];
const MAC6: Mac = [0, 0, 0x5e, 0, 2, 51];
const PORT: u16 = 7;
const PATIENCE: Duration = Duration::from_secs(10);
