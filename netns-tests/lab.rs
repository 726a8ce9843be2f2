//! The lab itself: that its links carry, that its faults are faults, and that it leaves nothing
//! behind.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::lab::backend::{Backend, Behavior};
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::netlink;
use evenkeel::lab::namespace::network::{INTERFACE, Lab};
use evenkeel::lab::probe::{Failure, Probe};

/// A client and two plain hosts, each with a backend on port 80.
struct Fixture {
    // In the order of their ends.
    probe: Probe,
    backends: [Backend; 2],
    client: Arc<Host>,
    lab: Lab,
}

impl Fixture {
    /// Probes `target` from the client.
    fn probing(target: &str) -> Self {
        let mut lab = Lab::new().unwrap();
        let client = lab
            .add_host("client", &["10.77.0.9/24", "fd77::9/64"])
            .unwrap();
        let web1 = lab
            .add_host("web1", &["10.77.0.1/24", "fd77::1/64"])
            .unwrap();
        let web2 = lab
            .add_host("web2", &["10.77.0.2/24", "fd77::2/64"])
            .unwrap();
        let any: SocketAddr = "[::]:80".parse().unwrap();
        let backends = [
            Backend::start(&web1, "web1", any).unwrap(),
            Backend::start(&web2, "web2", any).unwrap(),
        ];
        let target = target.parse().unwrap();
        let probe = Probe::start(&client, target, INTERVAL, LIMIT).unwrap();
        Self {
            probe,
            backends,
            client,
            lab,
        }
    }
}

#[test]
fn backend_is_reached_over_the_bridge_in_both_families() {
    for (target, client) in [("10.77.0.1:80", "10.77.0.9"), ("[fd77::1]:80", "fd77::9")] {
        let mut fixture = Fixture::probing(target);
        let client: IpAddr = client.parse().unwrap();
        fixture.probe.wait_for_node(client, PATIENCE).unwrap();
        let mark = fixture.probe.mark();
        fixture.probe.wait_for_success(PATIENCE).unwrap();
        fixture.probe.stop();
        let report = fixture.probe.report(mark);
        assert_eq!(report.failed, 0, "hoped for no failure: {report}");
        assert_eq!(report.last_node, Some(client));
    }
}

#[test]
fn cut_link_fails_requests_until_it_is_restored() {
    let fixture = Fixture::probing("10.77.0.1:80");
    fixture.probe.wait_for_success(PATIENCE).unwrap();
    let mark = fixture.probe.mark();
    fixture.lab.cut("web1").unwrap();
    fixture.probe.wait_for_failure(PATIENCE).unwrap();
    assert_eq!(carrier(&fixture, "web1"), "0", "hoped for a lost carrier");
    fixture.lab.restore("web1").unwrap();
    fixture.probe.wait_for_success(PATIENCE).unwrap();
    let report = fixture.probe.report(mark);
    assert!(report.failed > 0, "{report}");
    assert!(report.longest_gap >= LIMIT, "hoped for the gap: {report}");
}

#[test]
fn isolated_host_keeps_its_carrier_and_loses_frames() {
    let fixture = Fixture::probing("10.77.0.1:80");
    fixture.probe.wait_for_success(PATIENCE).unwrap();
    fixture.lab.isolate("web1").unwrap();
    fixture.probe.wait_for_failure(PATIENCE).unwrap();
    assert_eq!(carrier(&fixture, "web1"), "1", "hoped for a carrier");
    fixture.lab.join("web1").unwrap();
    fixture.probe.wait_for_success(PATIENCE).unwrap();
}

#[test]
fn block_hides_a_host_from_one_host_only() {
    let fixture = Fixture::probing("10.77.0.1:80");
    let neighbor = fixture.lab.host("web2").unwrap();
    let target = "10.77.0.1:80".parse().unwrap();
    let other = Probe::start(neighbor, target, INTERVAL, LIMIT).unwrap();
    fixture.probe.wait_for_success(PATIENCE).unwrap();
    fixture.lab.block("client", "web1").unwrap();
    fixture.probe.wait_for_failure(PATIENCE).unwrap();
    other.wait_for_success(PATIENCE).unwrap();
    fixture.lab.unblock("client", "web1").unwrap();
    fixture.probe.wait_for_success(PATIENCE).unwrap();
}

#[test]
fn probe_sees_an_address_move() {
    let fixture = Fixture::probing("10.77.0.100:80");
    fixture.probe.wait_for_failure(PATIENCE).unwrap();
    for name in ["web1", "web2"] {
        let host = fixture.lab.host(name).unwrap();
        let address = "10.77.0.100".parse().unwrap();
        host.try_run("add the address", move || {
            netlink::add_address(INTERFACE, address, 32)
        })
        .unwrap();
        fixture.probe.wait_for_success(PATIENCE).unwrap();
        host.try_run("take the address away", move || {
            netlink::delete_address(INTERFACE, address, 32)
        })
        .unwrap();
        fixture.probe.wait_for_failure(PATIENCE).unwrap();
        // Nobody announces in this lab: the client forgets the old holder by losing its link.
        fixture.lab.cut("client").unwrap();
        fixture.lab.restore("client").unwrap();
    }
}

#[test]
fn backend_fails_and_refuses_on_demand() {
    let fixture = Fixture::probing("10.77.0.1:80");
    let [web1, _] = &fixture.backends;
    fixture.probe.wait_for_success(PATIENCE).unwrap();
    for (behavior, failure) in [
        (Behavior::Fails, Failure::Status(503)),
        (Behavior::Refuses, Failure::Refused),
    ] {
        let mark = fixture.probe.mark();
        web1.set(behavior).unwrap();
        fixture.probe.wait_for_failure(PATIENCE).unwrap();
        let report = fixture.probe.report(mark);
        assert!(report.failures.contains_key(&failure), "{report}");
        web1.set(Behavior::Serves).unwrap();
        fixture.probe.wait_for_success(PATIENCE).unwrap();
    }
}

#[test]
fn program_runs_in_the_namespace_of_its_host() {
    let mut lab = Lab::new().unwrap();
    let host = lab.add_host("web1", &["10.77.0.1/24"]).unwrap();
    let mut command = Command::new("/bin/cat");
    command.arg("/proc/net/fib_trie");
    let mut process = host.spawn(command).unwrap();
    assert!(process.wait(PATIENCE).unwrap().success());
    assert!(process.log().contains("10.77.0.1"), "{}", process.log());
}

/// A lab that a failed test dropped must not spoil the next one.
#[test]
fn nothing_stays_behind() {
    let interfaces = interface_count();
    let fixture = Fixture::probing("10.77.0.1:80");
    fixture.probe.wait_for_success(PATIENCE).unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "sleep 1000 & sleep 1000; true"]);
    let process = fixture.client.spawn(command).unwrap();
    let namespaces: Vec<u64> = ["client", "web1", "web2"]
        .iter()
        .map(|name| fixture.lab.host(name).unwrap().namespace_id())
        .chain([fixture.lab.switch().namespace_id()])
        .collect();
    assert!(
        threads_in(&namespaces) > 0,
        "hoped to see the lab's threads"
    );
    assert_eq!(interface_count(), interfaces, "the lab made links outside");
    // The hosts end before the process: its thread's end is its end too.
    drop(fixture);
    drop(process);
    let deadline = Instant::now() + PATIENCE;
    while threads_in(&namespaces) > 0 {
        assert!(Instant::now() < deadline, "hoped that all threads end");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(interface_count(), interfaces);
}

/// What the host sees of its cable.
fn carrier(fixture: &Fixture, name: &str) -> String {
    let host = fixture.lab.host(name).unwrap();
    host.run(|| {
        // /sys shows the namespace it was mounted in, so the flags of the interface are asked
        // instead.
        let running = nix::net::if_::InterfaceFlags::IFF_RUNNING;
        let up = nix::ifaddrs::getifaddrs()
            .unwrap()
            .any(|entry| entry.interface_name == INTERFACE && entry.flags.contains(running));
        String::from(if up { "1" } else { "0" })
    })
    .unwrap()
}

/// The interfaces of the namespace of the test itself.
fn interface_count() -> usize {
    fs::read_to_string("/proc/self/net/dev")
        .unwrap()
        .lines()
        .count()
}

/// Threads of all processes that live in one of the namespaces.
fn threads_in(namespaces: &[u64]) -> usize {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|process| fs::read_dir(process.path().join("task")).ok())
        .flat_map(|threads| threads.flatten())
        .filter_map(|thread| fs::metadata(thread.path().join("ns/net")).ok())
        .filter(|namespace| namespaces.contains(&namespace.ino()))
        .count()
}

const INTERVAL: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_millis(200);
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);
