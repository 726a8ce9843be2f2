//! Our daemon and a keepalived on one link, and a client that asks the address all the time.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::lab::backend::Backend;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::probe::{Failure, Mark, Probe};
use evenkeel::lab::process::Process;

use crate::interop::start_keepalived;

pub(super) const INTERVAL: Duration = Duration::from_millis(100);
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
const ADDRESS: &str = "192.0.2.100";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Theirs,
}

pub(super) struct Bench {
    // The daemons before their network.
    node: Node,
    keepalived: Process,
    /// Its base priority.
    their_base: Option<i32>,
    probe: Probe,
    _backends: [Backend; 2],
    scratch: tempfile::TempDir,
    lab: Lab,
}

impl Bench {
    /// Starts both; `keepalived` is added to its configuration, `ours` to our entry. Files of the
    /// directory that scripts look for are there, the numbers are 0.
    pub(super) fn start(keepalived: &str, ours: impl FnOnce(&Path) -> String) -> Self {
        let mut lab = Lab::new().unwrap();
        for (name, number) in [("lb1", 1), ("lb2", 2), ("client", 9), ("gw", 254)] {
            lab.add_host(name, &[&format!("192.0.2.{number}/24")])
                .unwrap();
        }
        let scratch = tempfile::tempdir().unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["check", "ours-a", "ours-b", "theirs-a", "theirs-b"] {
            fs::write(scratch.path().join(name), "").unwrap();
        }
        fs::write(scratch.path().join("weight"), "0").unwrap();
        ip(
            lab.host("lb1").unwrap(),
            "link add side type veth peer name side-end",
        );
        ip(lab.host("lb1").unwrap(), "link set side up");
        ip(lab.host("lb1").unwrap(), "link set side-end up");
        let at: SocketAddr = format!("{ADDRESS}:80").parse().unwrap();
        // Whoever has the address answers, without a proxy before it.
        let backends = ["lb1", "lb2"].map(|name| {
            let host = lab.host(name).unwrap();
            host.set_sysctl("net/ipv4/ip_nonlocal_bind", "1").unwrap();
            Backend::start(host, name, at).unwrap()
        });
        let text = ours(scratch.path());
        let priority = match text.contains("priority:") {
            true => "",
            false => "    priority: {lb1: 150, lb2: 100}\n",
        };
        let yaml = format!(
            "virtual_routers:\n  web:\n    interface: eth0\n    vrid: 51\n    \
             addresses: [{ADDRESS}/24]\n    advertisement_interval: 100ms\n{priority}{text}"
        );
        let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
        let node = Node::start(lab.host("lb1").unwrap(), &yaml, "lb1", binary).unwrap();
        let directory = scratch.path().display().to_string();
        let text = match keepalived {
            "" => keepalived_text(100, "", ""),
            text => text.replace("DIRECTORY", &directory),
        };
        let base = text
            .lines()
            .find_map(|line| line.strip_prefix("  priority "));
        let their_base = base.and_then(|base| base.parse().ok());
        let config = scratch.path().join("keepalived.conf");
        fs::write(&config, text).unwrap();
        let keepalived = start_keepalived(lab.host("lb2").unwrap(), &config);
        let deadline = Instant::now() + PATIENCE;
        while !keepalived.log().contains("Entering BACKUP STATE") {
            assert!(Instant::now() < deadline, "{}", keepalived.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        let client = lab.host("client").unwrap();
        let probe = Probe::start(
            client,
            at,
            Duration::from_millis(10),
            Duration::from_secs(1),
        );
        Self {
            node,
            keepalived,
            their_base,
            probe: probe.unwrap(),
            _backends: backends,
            scratch,
            lab,
        }
    }

    pub(super) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    pub(super) fn host(&self, side: Side) -> Arc<Host> {
        let name = match side {
            Side::Ours => "lb1",
            Side::Theirs => "lb2",
        };
        Arc::clone(self.lab.host(name).unwrap())
    }

    pub(super) fn gateway(&self) -> Arc<Host> {
        Arc::clone(self.lab.host("gw").unwrap())
    }

    /// Waits until one side alone has the address; returns when that was.
    pub(super) fn wait_for_active(&mut self, side: Side, within: Duration) -> Instant {
        let deadline = Instant::now() + within;
        loop {
            let ours = self.node.status().is_some_and(|status| {
                let routers = &status.virtual_routers;
                !routers.is_empty() && routers.iter().all(|router| router.state == "Active")
            });
            let theirs = ip(&self.host(Side::Theirs), "-o -4 address show").contains(ADDRESS);
            let now = Instant::now();
            let hoped = match side {
                Side::Ours => ours && !theirs,
                Side::Theirs => !ours && theirs,
            };
            if hoped {
                return now;
            }
            assert!(now < deadline, "{side:?} is not Active: {}", self.logs());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until both sides have heard of all scripts.
    pub(super) fn wait_for_priorities(&mut self, ours: i32, theirs: i32) {
        let what = format!("priority {ours}");
        let waited = self.node.wait_for(&what, PATIENCE, |status| {
            let mut routers = status.virtual_routers.iter();
            routers.any(|router| i32::from(router.effective_priority) == ours)
        });
        waited.unwrap_or_else(|error| panic!("{error}"));
        let deadline = Instant::now() + PATIENCE;
        while self.their_priority() != Some(theirs) {
            assert!(
                Instant::now() < deadline,
                "theirs is not {theirs}: {}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns what keepalived last said of its own priority; where it said nothing, the base.
    fn their_priority(&self) -> Option<i32> {
        let log = self.keepalived.log();
        let changed = log.lines().rev();
        let changed =
            changed.filter_map(|line| line.split_once("Changing effective priority from "));
        let mut last = changed.filter_map(|(_, rest)| rest.split_once(" to ")?.1.parse().ok());
        last.next().or(self.their_base)
    }

    pub(super) fn expect_reason(&mut self, reason: &str) {
        let said = self.node.wait_for(reason, PATIENCE, |status| {
            status
                .virtual_routers
                .iter()
                .any(|router| router.priority_reason.contains(reason))
        });
        said.unwrap_or_else(|error| panic!("{error}"));
    }

    pub(super) fn mark(&self) -> Mark {
        self.probe.mark()
    }

    /// Whoever had the address answered; what is on its way while the address moves may be cut.
    pub(super) fn nobody_was_refused_since(&self, mark: Mark) {
        let report = self.probe.report(mark);
        assert!(report.requests > 0, "{report}");
        let cut = report.failures.get(&Failure::Reset).copied().unwrap_or(0);
        assert!(
            report.failed == cut && cut <= report.in_flight_max,
            "{report}\n{}",
            self.logs()
        );
    }

    pub(super) fn logs(&self) -> String {
        let status = self.node.status().map(|status| status.virtual_routers);
        format!(
            "ours:\n{}\n{status:#?}\ntheirs:\n{}",
            self.node.log(),
            self.keepalived.log()
        )
    }

    pub(super) fn stop(mut self) {
        self.probe.stop();
        self.node.stop(PATIENCE).unwrap();
        self.keepalived.terminate().unwrap();
        self.keepalived.wait(PATIENCE).unwrap();
    }
}

/// Returns the configuration of a keepalived with two scripts of these weights.
pub(super) fn keepalived_scripts(priority: u8, weights: [i16; 2]) -> String {
    let script = |name: &str, weight: i16| {
        format!(
            "vrrp_script {name} {{\n  script \"/usr/bin/test -e DIRECTORY/theirs-{name}\"\n  \
             interval 1\n  timeout 1\n  rise 1\n  fall 1\n  user root\n  weight {weight}\n}}\n"
        )
    };
    let scripts = format!("{}{}", script("a", weights[0]), script("b", weights[1]));
    keepalived_text(priority, &scripts, "  track_script {\n    a\n    b\n  }\n")
}

fn keepalived_text(priority: u8, before: &str, inside: &str) -> String {
    format!(
        "global_defs {{\n  vrrp_version 3\n  vrrp_garp_master_refresh 0\n}}\n{before}\
         vrrp_instance web {{\n  state BACKUP\n  interface eth0\n  virtual_router_id 51\n  \
         priority {priority}\n  advert_int 0.1\n{inside}  \
         virtual_ipaddress {{\n    {ADDRESS}/24\n  }}\n}}\n"
    )
}

/// Runs `ip` with these words on a host; returns what it said.
pub(super) fn ip(host: &Host, line: &str) -> String {
    let mut command = Command::new("/usr/sbin/ip");
    command.args(line.split(' '));
    let mut process = host.spawn(command).unwrap();
    let status = process.wait(PATIENCE).unwrap();
    assert!(status.success(), "ip {line}: {}", process.log());
    process.log()
}
