//! Debian's keepalived on the other node: VRRP version 3, IPv4 and IPv6, and version 2, both roles.
//!
//! Each test is one story of two machines on one link, at 100 ms intervals: who wins, what a graceful stop costs, what
//! a crash costs, and that the better one gets the addresses back. keepalived must list the same addresses as we do, the
//! link-local one first, or it drops our advertisements.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::cell::RefCell;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::lab::host::Host;
use evenkeel::lab::netlink;
use evenkeel::lab::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::pair::is_all;
use evenkeel::lab::process::Process;
use evenkeel::logic::vrrp::{Advertisement, ChecksumForm, packet};
use evenkeel::model::{AdverInterval, Priority, Vrid};

/// Two machines: `ours` runs Evenkeel, `theirs` keepalived.
struct Link {
    wire: Wire,
    // Dropped in this order: the daemons before their network.
    ours: Option<Node>,
    theirs: Option<Process>,
    scratch: tempfile::TempDir,
    hosts: [Arc<Host>; 2],
    _lab: Lab,
}

/// What both speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    /// Version 3, both families.
    V3,
    /// Version 3 by unicast, IPv4.
    Unicast,
    /// Version 2.
    V2,
    /// Version 2 with a password, ours and theirs.
    V2Password(&'static str, &'static str),
}

impl Wire {
    fn interval(self) -> Duration {
        match self {
            Self::V3 | Self::Unicast => Duration::from_millis(100),
            Self::V2 | Self::V2Password(..) => Duration::from_secs(1),
        }
    }

    fn addresses(self) -> &'static [&'static str] {
        match self {
            Self::V3 => &[V4, V6],
            Self::Unicast | Self::V2 | Self::V2Password(..) => &[V4],
        }
    }

    /// The most that a graceful stop may take: the skew time of priority 100, and something for a busy machine.
    fn graceful_max(self) -> Duration {
        self.interval() * 61 / 100 + BUSY
    }

    /// The most that a crash may take: three intervals more.
    fn crash_max(self) -> Duration {
        self.graceful_max() + self.interval() * 3 + BUSY
    }

    fn our_configuration(self, priority: u8) -> String {
        let lines = match self {
            Self::V3 => {
                format!("addresses: [{V4}/24, \"{V6}/64\"]\n    advertisement_interval: 100ms")
            }
            Self::Unicast => format!(
                "addresses: [{V4}/24]\n    advertisement_interval: 100ms\n    \
                 peers: [192.0.2.1, 192.0.2.2]"
            ),
            Self::V2 => format!("addresses: [{V4}/24]\n    version: 2"),
            Self::V2Password(ours, _) => format!(
                "addresses: [{V4}/24]\n    version: 2\n    authentication: {{password: {ours}}}"
            ),
        };
        format!(
            "virtual_routers:\n  web:\n    interface: eth0\n    vrid: 51\n    \
             priority: {priority}\n    {lines}\n"
        )
    }

    fn their_configuration(self, priority: u8) -> String {
        let instance = |family: &str, lines: &str, addresses: &str| {
            format!(
                "vrrp_instance {family} {{\n  interface eth0\n  virtual_router_id 51\n  \
                 priority {priority}\n  {lines}\n  virtual_ipaddress {{\n{addresses}  }}\n}}\n"
            )
        };
        let four = format!("    {V4}/24\n");
        match self {
            Self::V3 => {
                let six = format!("    {LINK_LOCAL}/64\n    {V6}/64\n");
                let lines = "advert_int 0.1\n  version 3";
                let instances = [instance("four", lines, &four), instance("six", lines, &six)];
                format!(
                    "global_defs {{\n  vrrp_version 3\n}}\n{}",
                    instances.concat()
                )
            }
            Self::Unicast => {
                let lines = "advert_int 0.1\n  version 3\n  unicast_peer {\n    192.0.2.1\n  }";
                format!(
                    "global_defs {{\n  vrrp_version 3\n}}\n{}",
                    instance("four", lines, &four)
                )
            }
            Self::V2 => instance("four", "advert_int 1", &four),
            Self::V2Password(_, theirs) => {
                let lines = format!(
                    "advert_int 1\n  authentication {{\n    auth_type PASS\n    auth_pass {theirs}\n  }}"
                );
                instance("four", &lines, &four)
            }
        }
    }
}

/// One of the two machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Ours,
    Theirs,
}

impl Link {
    fn new(wire: Wire) -> Self {
        let mut lab = Lab::new().unwrap();
        let ours = lab
            .add_host("ours", &["192.0.2.1/24", "2001:db8::1/64"])
            .unwrap();
        let theirs = lab
            .add_host("theirs", &["192.0.2.2/24", "2001:db8::2/64"])
            .unwrap();
        let scratch = tempfile::tempdir().unwrap();
        Self {
            wire,
            ours: None,
            theirs: None,
            scratch,
            hosts: [ours, theirs],
            _lab: lab,
        }
    }

    /// Starts Evenkeel and waits until it takes part.
    fn start_ours(&mut self, priority: u8) {
        let yaml = self.wire.our_configuration(priority);
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
        let config = self.wire.their_configuration(priority);
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
        let addresses = self.wire.addresses();
        addresses
            .iter()
            .all(|text| has(text.parse().unwrap()) == both)
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
        let until = Instant::now() + self.wire.interval().max(Duration::from_millis(100)) * 5;
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

/// The better one is ours: it wins, hands over when it stops, and wins again.
fn story_of_the_better_one(wire: Wire) {
    let mut link = Link::new(wire);
    link.start_theirs(100);
    link.wait_for_takeover(Side::Theirs);
    link.start_ours(150);
    link.settled(Side::Ours);
    link.assert_nothing_was_rejected();

    link.ours.as_mut().unwrap().process().terminate().unwrap();
    let took = link.wait_for_takeover(Side::Theirs);
    assert!(
        took < wire.graceful_max(),
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

    link.ours.as_mut().unwrap().process().kill_family().unwrap();
    let took = link.wait_for_takeover(Side::Theirs);
    assert!(
        took < wire.crash_max(),
        "three intervals and the skew: {took:?}"
    );
    link.wait_for_release(Side::Ours);

    link.start_ours(150);
    link.settled(Side::Ours);
}

/// The better one is theirs: we wait behind it, take over when it stops or dies, and give back.
fn story_of_the_one_behind(wire: Wire) {
    let mut link = Link::new(wire);
    link.start_theirs(150);
    link.start_ours(100);
    link.settled(Side::Theirs);
    link.assert_nothing_was_rejected();

    link.theirs.as_mut().unwrap().terminate().unwrap();
    let took = link.wait_for_takeover(Side::Ours);
    assert!(
        took < wire.graceful_max(),
        "priority 0 leaves the skew time alone: {took:?}"
    );
    link.wait_for_release(Side::Theirs);
    link.theirs.as_mut().unwrap().wait(PATIENCE).unwrap();

    link.start_theirs(150);
    link.settled(Side::Theirs);

    link.theirs.as_mut().unwrap().kill_family().unwrap();
    // Its addresses stay for ever: that is what a lease is for.
    let took = link.wait_for_takeover(Side::Ours);
    assert!(
        took < wire.crash_max(),
        "three intervals and the skew: {took:?}"
    );
    assert!(
        took > wire.interval() * 2,
        "not before it was silent: {took:?}"
    );
}

#[test]
fn version_3_before_keepalived() {
    story_of_the_better_one(Wire::V3);
}

#[test]
fn version_3_behind_keepalived() {
    story_of_the_one_behind(Wire::V3);
}

#[test]
fn unicast_before_keepalived() {
    story_of_the_better_one(Wire::Unicast);
}

#[test]
fn unicast_behind_keepalived() {
    story_of_the_one_behind(Wire::Unicast);
}

/// One such packet makes keepalived's default give its addresses up for minutes.
#[test]
fn forged_unicast_packets_have_no_effect() {
    let mut link = Link::new(Wire::Unicast);
    link.start_ours(100);
    link.wait_for_takeover(Side::Ours);
    let forged = Advertisement {
        vrid: Vrid::new(51).unwrap(),
        priority: Priority::OWNER,
        interval: AdverInterval::MAX,
        addresses: vec![V4.parse().unwrap()],
    };
    // From an address that is no peer, and by multicast from one that is.
    for (source, to) in [("192.0.2.9", "192.0.2.1"), ("192.0.2.2", "224.0.0.18")] {
        let (from, to): (IpAddr, IpAddr) = (source.parse().unwrap(), to.parse().unwrap());
        let mut message = Vec::new();
        packet::build(&forged, from, to, ChecksumForm::Rfc5798, &mut message);
        let host = link.host(Side::Theirs);
        host.run(move || {
            netlink::add_address("eth0", "192.0.2.9".parse().unwrap(), 24).ok();
            let protocol = Some(socket2::Protocol::from(112));
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, protocol).unwrap();
            socket.set_ttl_v4(255).unwrap();
            socket.set_multicast_ttl_v4(255).unwrap();
            socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
            socket
                .send_to(&message, &SocketAddr::new(to, 0).into())
                .unwrap();
        })
        .unwrap();
    }
    let ours = link.ours.as_mut().unwrap();
    ours.wait_for("both refusals", PATIENCE, |status| {
        let rejected = &status.virtual_routers[0].rejected;
        rejected.get("peer") == Some(&1) && rejected.get("destination") == Some(&1)
    })
    .unwrap();
    let router = &ours.status().unwrap().virtual_routers[0];
    assert_eq!(
        (router.state.as_str(), router.counters["active_transitions"]),
        ("Active", 1)
    );
}

#[test]
fn version_2_before_keepalived() {
    story_of_the_better_one(Wire::V2);
}

#[test]
fn version_2_with_a_password_behind_keepalived() {
    story_of_the_one_behind(Wire::V2Password("s3cret", "s3cret"));
}

#[test]
fn wrong_password_is_refused_counted_and_moves_no_timer() {
    let mut link = Link::new(Wire::V2Password("ours", "theirs"));
    link.start_ours(100);
    link.wait_for_takeover(Side::Ours);
    link.start_theirs(150);
    // Each ignores the other: that is two Actives, and the administrator is told why.
    link.wait_for_takeover(Side::Theirs);
    let ours = link.ours.as_mut().unwrap();
    // One is all there is: what keepalived refuses restarts its own timer, so that ours silence it for good.
    let seen = RefCell::new(None);
    ours.wait_for("a refusal", PATIENCE, |status| {
        let refused = status.virtual_routers[0]
            .rejected
            .contains_key("authentication_data");
        seen.replace(refused.then(|| status.clone()));
        refused
    })
    .unwrap();
    let status = seen.into_inner().unwrap();
    let router = &status.virtual_routers[0];
    assert_eq!(
        router.state, "Active",
        "a stranger's priority is nothing to us"
    );
    assert_eq!(
        router.last_rejected.as_ref().unwrap().reason,
        "authentication_data"
    );
    let note = "advertisements of 192.0.2.2 are being rejected: authentication_data";
    assert_eq!(router.notes, [note]);
    assert!(
        router.counters["advertisements_sent"] >= 3,
        "it goes on advertising"
    );
}

const V4: &str = "192.0.2.100";
const V6: &str = "2001:db8::100";
/// What we derive from the VRID, 51.
const LINK_LOCAL: &str = "fe80::112:33";
/// What a busy machine with two nodes on it adds; with it, a graceful takeover is still far from the three intervals of
/// a crash.
const BUSY: Duration = Duration::from_millis(210);
const PATIENCE: Duration = Duration::from_secs(15);
const KEEPALIVED: [&str; 2] = ["/usr/sbin/keepalived", "/sbin/keepalived"];
