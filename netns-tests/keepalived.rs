//! Debian's keepalived on the other node: VRRP version 3, IPv4 and IPv6, both roles.
//!
//! Each test is one story of two machines on one link, at 100 ms intervals: who wins, what a graceful stop costs, what
//! a crash costs, and that the better one gets the addresses back. keepalived must list the same addresses as we do, the
//! link-local one first, or it drops our advertisements.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::lab::host::Host;
use evenkeel::lab::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::pair::is_all;
use evenkeel::lab::process::Process;

/// Two machines: `ours` runs Evenkeel, `theirs` keepalived.
struct Link {
    // Dropped in this order: the daemons before their network.
    ours: Option<Node>,
    theirs: Option<Process>,
    scratch: tempfile::TempDir,
    hosts: [Arc<Host>; 2],
    _lab: Lab,
}

/// One of the two machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Ours,
    Theirs,
}

impl Link {
    fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let ours = lab
            .add_host("ours", &["192.0.2.1/24", "2001:db8::1/64"])
            .unwrap();
        let theirs = lab
            .add_host("theirs", &["192.0.2.2/24", "2001:db8::2/64"])
            .unwrap();
        let scratch = tempfile::tempdir().unwrap();
        Self {
            ours: None,
            theirs: None,
            scratch,
            hosts: [ours, theirs],
            _lab: lab,
        }
    }

    /// Starts Evenkeel and waits until it takes part.
    fn start_ours(&mut self, priority: u8) {
        let yaml = format!(
            "virtual_routers:\n  web:\n    interface: eth0\n    vrid: 51\n    priority: {priority}\n    \
             addresses: [{V4}/24, \"{V6}/64\"]\n    advertisement_interval: 100ms\n"
        );
        let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
        let mut node = Node::start(&self.hosts[0], &yaml, "ours", binary).unwrap();
        node.wait_for("taking part", PATIENCE, |status| {
            is_all(status, "Backup") || is_all(status, "Active")
        })
        .unwrap();
        self.ours = Some(node);
    }

    /// Starts keepalived.
    fn start_theirs(&mut self, priority: u8) {
        let instance = |family: &str, addresses: &str| {
            format!(
                "vrrp_instance {family} {{\n  interface eth0\n  virtual_router_id 51\n  \
                 priority {priority}\n  advert_int 0.1\n  version 3\n  \
                 virtual_ipaddress {{\n{addresses}  }}\n}}\n"
            )
        };
        let config = format!(
            "global_defs {{\n  vrrp_version 3\n}}\n{}{}",
            instance("four", &format!("    {V4}/24\n")),
            instance("six", &format!("    {LINK_LOCAL}/64\n    {V6}/64\n"))
        );
        let path = self.scratch.path().join("keepalived.conf");
        fs::write(&path, config).unwrap();
        let program = KEEPALIVED
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists());
        let program = program.expect("keepalived is missing: install Debian's package keepalived");
        let mut command = Command::new(program);
        command
            .args([
                "--dont-fork",
                "--log-console",
                "--log-detail",
                "--vrrp",
                "-f",
            ])
            .arg(path);
        for (flag, name) in [("-p", "pid"), ("-r", "vrrp.pid")] {
            command.arg(flag).arg(self.scratch.path().join(name));
        }
        self.theirs = Some(self.hosts[1].spawn(command).unwrap());
    }

    fn host(&self, side: Side) -> &Arc<Host> {
        match side {
            Side::Ours => &self.hosts[0],
            Side::Theirs => &self.hosts[1],
        }
    }

    /// Returns whether a machine has both virtual addresses, or none of them.
    fn holds(&self, side: Side, both: bool) -> bool {
        let has = |ip: IpAddr| {
            self.host(side)
                .run(move || UdpSocket::bind((ip, 0)).is_ok())
                .unwrap()
        };
        let addresses: [IpAddr; 2] = [V4.parse().unwrap(), V6.parse().unwrap()];
        addresses.into_iter().all(|ip| has(ip) == both)
    }

    /// Waits until `side` holds both addresses; returns how long that took.
    fn wait_for_takeover(&self, side: Side) -> Duration {
        let began = Instant::now();
        self.wait(&format!("{side:?} holds the addresses"), || {
            self.holds(side, true)
        });
        began.elapsed()
    }

    /// Waits until `side` has let go of both.
    fn wait_for_release(&self, side: Side) {
        self.wait(&format!("{side:?} has let the addresses go"), || {
            self.holds(side, false)
        });
    }

    fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            let logs = || {
                let ours = self.ours.as_ref().map(Node::log).unwrap_or_default();
                let theirs = self.theirs.as_ref().map(Process::log).unwrap_or_default();
                format!("ours:\n{ours}\ntheirs:\n{theirs}")
            };
            assert!(
                began.elapsed() < PATIENCE,
                "{what}: not in {PATIENCE:?}\n{}",
                logs()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Holds to be true for a while: `active` has the addresses and the other has not.
    fn settled(&self, active: Side) {
        let other = match active {
            Side::Ours => Side::Theirs,
            Side::Theirs => Side::Ours,
        };
        self.wait_for_takeover(active);
        self.wait_for_release(other);
        let until = Instant::now() + INTERVAL * 10;
        while Instant::now() < until {
            assert!(self.holds(active, true), "{active:?} keeps the addresses");
            assert!(self.holds(other, false), "{other:?} does not take them");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn assert_nothing_was_rejected(&self) {
        let status = self.ours.as_ref().unwrap().status().unwrap();
        for router in &status.virtual_routers {
            assert_eq!(router.rejected.values().sum::<u64>(), 0, "{router:#?}");
            assert_eq!(router.counters["address_list_errors"], 0, "{router:#?}");
        }
    }
}

#[test]
fn higher_priority_wins_against_keepalived_and_hands_over_when_it_stops() {
    let mut link = Link::new();
    link.start_theirs(100);
    link.wait_for_takeover(Side::Theirs);
    link.start_ours(150);
    link.settled(Side::Ours);
    link.assert_nothing_was_rejected();

    link.ours.as_mut().unwrap().process().terminate().unwrap();
    let took = link.wait_for_takeover(Side::Theirs);
    assert!(
        took < GRACEFUL_MAX,
        "priority 0 leaves the skew time alone: {took:?}"
    );
    link.wait_for_release(Side::Ours);
    link.ours
        .as_mut()
        .unwrap()
        .process()
        .wait(PATIENCE)
        .unwrap();

    link.start_ours(150);
    link.settled(Side::Ours);
}

#[test]
fn keepalived_takes_over_from_one_of_us_that_was_killed_and_gives_back() {
    let mut link = Link::new();
    link.start_ours(150);
    link.start_theirs(100);
    link.settled(Side::Ours);

    link.ours.as_mut().unwrap().process().kill_family().unwrap();
    let took = link.wait_for_takeover(Side::Theirs);
    assert!(took < CRASH_MAX, "three intervals and the skew: {took:?}");
    link.wait_for_release(Side::Ours);

    link.start_ours(150);
    link.settled(Side::Ours);
}

#[test]
fn backup_behind_keepalived_takes_over_when_it_stops_and_gives_back() {
    let mut link = Link::new();
    link.start_theirs(150);
    link.start_ours(100);
    link.settled(Side::Theirs);
    link.assert_nothing_was_rejected();

    link.theirs.as_mut().unwrap().terminate().unwrap();
    let took = link.wait_for_takeover(Side::Ours);
    assert!(
        took < GRACEFUL_MAX,
        "priority 0 leaves the skew time alone: {took:?}"
    );
    link.wait_for_release(Side::Theirs);
    link.theirs.as_mut().unwrap().wait(PATIENCE).unwrap();

    link.start_theirs(150);
    link.settled(Side::Theirs);
}

#[test]
fn backup_behind_keepalived_takes_over_when_it_is_killed() {
    let mut link = Link::new();
    link.start_theirs(150);
    link.start_ours(100);
    link.settled(Side::Theirs);

    link.theirs.as_mut().unwrap().kill_family().unwrap();
    // Its addresses stay for ever: that is what a lease is for.
    let took = link.wait_for_takeover(Side::Ours);
    assert!(took < CRASH_MAX, "three intervals and the skew: {took:?}");
    assert!(took > INTERVAL * 2, "not before it was silent: {took:?}");
}

const V4: &str = "192.0.2.100";
const V6: &str = "2001:db8::100";
/// What we derive from the VRID, 51.
const LINK_LOCAL: &str = "fe80::112:33";
const INTERVAL: Duration = Duration::from_millis(100);
/// The skew time of priority 100 is 61 ms; below the three intervals of a crash, with the rest for a busy machine.
const GRACEFUL_MAX: Duration = Duration::from_millis(280);
/// 361 ms, and what a busy machine adds to it on two nodes.
const CRASH_MAX: Duration = Duration::from_millis(1_000);
const PATIENCE: Duration = Duration::from_secs(10);
const KEEPALIVED: [&str; 2] = ["/usr/sbin/keepalived", "/sbin/keepalived"];
