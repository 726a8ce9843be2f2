//! Debian's FRR on the other node: its vrrpd, VRRP version 3, IPv4 and IPv6, both roles, at 100 ms intervals.
//!
//! FRR keeps the virtual addresses on macvlans of its own, made by its administrator, so who is Active there is asked
//! of vtysh. The macvlans are made with iproute2, as FRR's manual says.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::lab::host::Host;
use evenkeel::lab::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::pair::is_all;
use evenkeel::lab::process::Process;

/// Two machines: `ours` runs Evenkeel, `theirs` FRR.
struct Link {
    // Dropped in this order: the daemons before their network.
    ours: Option<Node>,
    /// zebra, then vrrpd.
    theirs: Vec<Process>,
    scratch: tempfile::TempDir,
    hosts: [Arc<Host>; 2],
    _lab: Lab,
}

impl Link {
    fn new() -> Self {
        assert!(
            Path::new(VRRPD).exists(),
            "FRR is missing: install Debian's package frr"
        );
        let mut lab = Lab::new().unwrap();
        let ours = lab
            .add_host("ours", &["192.0.2.1/24", "2001:db8::1/64"])
            .unwrap();
        let theirs = lab
            .add_host("theirs", &["192.0.2.2/24", "2001:db8::2/64"])
            .unwrap();
        let scratch = tempfile::tempdir().unwrap();
        // FRR works there as a user of its own.
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let link = Self {
            ours: None,
            theirs: Vec::new(),
            scratch,
            hosts: [ours, theirs],
            _lab: lab,
        };
        link.make_macvlans();
        link
    }

    /// Makes what FRR's administrator makes: a macvlan with the virtual MAC for each family.
    fn make_macvlans(&self) {
        for (key, value) in [("arp_ignore", "1"), ("arp_announce", "2")] {
            self.hosts[1]
                .set_sysctl(&format!("net/ipv4/conf/all/{key}"), value)
                .unwrap();
        }
        let mut commands = Vec::new();
        for (name, mac, addresses) in [
            ("vrrp4", "00:00:5e:00:01:33", &[(V4, 24)][..]),
            (
                "vrrp6",
                "00:00:5e:00:02:33",
                &[(LINK_LOCAL, 64), (V6, 64)][..],
            ),
        ] {
            commands.push(format!(
                "link add {name} link eth0 type macvlan mode bridge"
            ));
            commands.push(format!("link set dev {name} addrgenmode none"));
            commands.push(format!("link set dev {name} address {mac}"));
            for (address, len) in addresses {
                let nodad = if address.contains(':') { " nodad" } else { "" };
                commands.push(format!("addr add {address}/{len} dev {name}{nodad}"));
            }
            commands.push(format!("link set dev {name} up"));
        }
        for line in commands {
            let mut command = Command::new("/usr/sbin/ip");
            command.args(line.split(' '));
            let mut process = self.hosts[1].spawn(command).unwrap();
            let status = process.wait(PATIENCE).unwrap();
            assert!(status.success(), "ip {line}: {}", process.log());
        }
    }

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

    fn start_theirs(&mut self, priority: u8) {
        let directory = self.scratch.path();
        let text = format!(
            "interface eth0\n vrrp 51 version 3\n vrrp 51 priority {priority}\n \
             vrrp 51 advertisement-interval 100\n vrrp 51 ip {V4}\n \
             vrrp 51 ipv6 {LINK_LOCAL}\n vrrp 51 ipv6 {V6}\n"
        );
        fs::write(directory.join("vrrpd.conf"), text).unwrap();
        fs::write(directory.join("zebra.conf"), "").unwrap();
        self.theirs.clear();
        for (program, name) in [("/usr/lib/frr/zebra", "zebra"), (VRRPD, "vrrpd")] {
            let mut command = Command::new(program);
            command.args(["-A", "127.0.0.1", "--log", "stdout", "-f"]);
            command.arg(directory.join(format!("{name}.conf")));
            command.arg("-i").arg(directory.join(format!("{name}.pid")));
            command.arg("-z").arg(directory.join("zserv.api"));
            command.arg("--vty_socket").arg(directory);
            self.theirs.push(self.hosts[1].spawn(command).unwrap());
            let socket = directory.join(format!("{name}.vty"));
            self.wait(&format!("{name} answers"), || socket.exists());
        }
    }

    /// Returns the states of FRR's two virtual routers.
    fn their_states(&self) -> Vec<String> {
        let mut command = Command::new("/usr/bin/vtysh");
        command.arg("--vty_socket").arg(self.scratch.path());
        let output = command.args(["-c", "show vrrp json"]).output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let state = |family| json[0][family]["status"].as_str().unwrap_or("").to_owned();
        vec![state("v4"), state("v6")]
    }

    /// Waits until we are in one state and FRR in the other; returns how long it took.
    fn wait_for(&mut self, ours: Option<&str>, theirs: Option<&str>) -> Duration {
        let began = Instant::now();
        if let (Some(state), Some(node)) = (ours, self.ours.as_mut()) {
            node.wait_for(state, PATIENCE, |status| is_all(status, state))
                .unwrap();
        }
        let took = began.elapsed();
        if let Some(wanted) = theirs {
            self.wait(&format!("FRR is {wanted}"), || {
                self.their_states().iter().all(|state| state == wanted)
            });
            return began.elapsed();
        }
        took
    }

    fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            let logs: Vec<String> = self.theirs.iter().map(Process::log).collect();
            let ours = self.ours.as_ref().map(Node::log).unwrap_or_default();
            assert!(
                began.elapsed() < PATIENCE,
                "{what}: not in {PATIENCE:?}, states {:?}\n{ours}\n{logs:#?}",
                self.their_states()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn better_one_before_frr_hands_over_and_comes_back() {
    let mut link = Link::new();
    link.start_theirs(100);
    link.wait_for(None, Some("Master"));
    link.start_ours(150);
    link.wait_for(Some("Active"), Some("Backup"));
    let status = link.ours.as_ref().unwrap().status().unwrap();
    for router in &status.virtual_routers {
        assert_eq!(router.rejected.values().sum::<u64>(), 0, "{router:#?}");
        assert_eq!(router.counters["address_list_errors"], 0, "{router:#?}");
    }

    link.ours.as_mut().unwrap().process().terminate().unwrap();
    link.wait_for(None, Some("Master"));
    link.ours
        .as_mut()
        .unwrap()
        .process()
        .wait(PATIENCE)
        .unwrap();
    link.start_ours(150);
    link.wait_for(Some("Active"), Some("Backup"));

    link.ours.as_mut().unwrap().process().kill_family().unwrap();
    link.wait_for(None, Some("Master"));
    link.start_ours(150);
    link.wait_for(Some("Active"), Some("Backup"));
}

#[test]
fn one_behind_frr_takes_over_when_it_stops_or_dies_and_gives_back() {
    let mut link = Link::new();
    link.start_theirs(150);
    link.wait_for(None, Some("Master"));
    link.start_ours(100);
    link.wait_for(Some("Backup"), Some("Master"));

    link.theirs[1].terminate().unwrap();
    let took = link.wait_for(Some("Active"), None);
    assert!(
        took < TAKEOVER_MAX,
        "priority 0 leaves the skew time alone: {took:?}"
    );
    link.theirs[1].wait(PATIENCE).unwrap();
    link.start_theirs(150);
    link.wait_for(Some("Backup"), Some("Master"));

    link.theirs[1].kill().unwrap();
    let took = link.wait_for(Some("Active"), None);
    assert!(
        took < TAKEOVER_MAX,
        "three intervals and the skew: {took:?}"
    );
}

const V4: &str = "192.0.2.100";
const V6: &str = "2001:db8::100";
/// What we derive from the VRID, 51.
const LINK_LOCAL: &str = "fe80::112:33";
const VRRPD: &str = "/usr/lib/frr/vrrpd";
/// 361 ms after a crash, 61 ms after a stop, and what a busy machine adds.
const TAKEOVER_MAX: Duration = Duration::from_millis(1_000);
const PATIENCE: Duration = Duration::from_secs(20);
