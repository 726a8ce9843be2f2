//! The pair: two nodes with the real daemon, two backends, and a client that asks every few
//! milliseconds.
//!
//! [`Pair::inject`] makes one event happen on the node that is active, waits until it is over, and
//! says what the client saw. [`Pair::settle`] waits until everything is as in the beginning.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::LabError;
use super::backend::Backend;
use super::events::{Event, Outcome};
use super::namespace::host::Host;
use super::namespace::network::Lab;
use super::node::Node;
use super::probe::Probe;
use super::process;
use super::scratch::ScratchDir;
use super::visitors::{Crowd, Habits, Visitors};
use crate::ipc::control::Status;

/// How the pair is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program that the nodes run.
    pub binary: PathBuf,
    /// Between two advertisements.
    pub interval: Duration,
    /// Who visits, beside the probe's fresh requests.
    pub crowd: Crowd,
}

/// Two nodes, two backends, one client, one switch.
pub struct Pair {
    settings: Settings,
    // Dropped in this order: those who ask, those who serve, their network.
    visitors: Option<Visitors>,
    probe: Probe,
    nodes: [Option<Node>; 2],
    _backends: Vec<Backend>,
    /// Where the file lies that the track script looks for.
    scratch: ScratchDir,
    lab: Lab,
}

impl Pair {
    /// Builds everything and waits until lb1 serves.
    ///
    /// # Errors
    /// When a part of the network does not start, or lb1 does not serve in time.
    pub fn start(settings: Settings) -> Result<Self, LabError> {
        let mut lab = Lab::new()?;
        for (name, number) in HOSTS {
            let (v4, v6) = (format!("10.77.0.{number}/24"), format!("fd77::{number}/64"));
            lab.add_host(name, &[&v4, &v6])?;
        }
        let mut backends = Vec::new();
        for (name, number) in [("web1", 11), ("web2", 12)] {
            let address = SocketAddr::from(([10, 77, 0, number], 80));
            backends.push(Backend::start(lab.host(name)?, name, address)?);
        }
        let client = Arc::clone(lab.host("client")?);
        let probe = Probe::start(&client, SocketAddr::new(VIRTUAL, 80), EVERY, LIMIT)?;
        let mut pair = Self {
            settings,
            visitors: None,
            probe,
            nodes: [None, None],
            _backends: backends,
            scratch: ScratchDir::new()?,
            lab,
        };
        pair.heal_script()?;
        for index in [0, 1] {
            pair.start_node(index)?;
        }
        pair.settle()?;
        let (target, crowd) = (SocketAddr::new(VIRTUAL, 80), pair.settings.crowd);
        let visitors = Visitors::start(&client, target, crowd, Habits::default());
        pair.visitors = Some(visitors.map_err(|error| pair.with_logs(error))?);
        Ok(pair)
    }

    /// Returns the network, for faults of one's own.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Returns a node by its index, 0 for lb1, if its daemon was started and not yet killed.
    pub fn node(&mut self, index: usize) -> Option<&mut Node> {
        self.nodes[index].as_mut()
    }

    /// Returns the client's watch.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Returns the visitors, for watches of one's own.
    ///
    /// # Errors
    /// When they have not come yet.
    pub fn visitors(&self) -> Result<&Visitors, LabError> {
        let absent = || LabError::HostSilent("of the visitors".into());
        self.visitors.as_ref().ok_or_else(absent)
    }

    /// Waits until lb1 is Active, lb2 Backup, everything is ready and the client is served by lb1.
    ///
    /// # Errors
    /// When a node was killed, or it does not come true in time.
    pub fn settle(&mut self) -> Result<(), LabError> {
        let wanted = [("Active", 150), ("Backup", 100)];
        for (node, (state, priority)) in self.nodes.iter_mut().zip(wanted) {
            let Some(node) = node else {
                return Err(LabError::NoSuchHost("a node that was killed".into()));
            };
            let what = format!("state {state} with priority {priority}");
            node.wait_for(&what, SETTLE_TIMEOUT, |status| {
                let routers = &status.virtual_routers;
                !routers.is_empty()
                    && routers
                        .iter()
                        .all(|r| r.state == state && r.effective_priority == priority)
                    && status
                        .pools
                        .iter()
                        .flat_map(|p| &p.backends)
                        .all(|b| b.state == "up")
            })?;
        }
        self.probe.wait_for_node(node_address(0), SETTLE_TIMEOUT)?;
        Ok(())
    }

    /// Makes the event happen, waits for its end, and says what the client saw.
    ///
    /// lb1 must be active and settled before; after an event that took its daemon away, or its
    /// link, or its backends, `Event::Return` is the next.
    ///
    /// # Errors
    /// When the event cannot be made, its end does not come in time, or the visitors do not answer.
    pub fn inject(&mut self, event: Event) -> Result<Outcome, LabError> {
        let mark = self.probe.mark();
        // Requests that the event finds in flight were sent after the mark.
        thread::sleep(LIMIT);
        let before = self.active_before(event);
        self.visitors()?.begin()?;
        let mut address_gone_ms = None;
        match event {
            Event::Reload => self.reload_with_changes()?,
            Event::KillVrrp => self.signal(VRRP, Signal::SIGKILL)?,
            Event::FreezeVrrp => self.signal(VRRP, Signal::SIGSTOP)?,
            Event::KillProxy => self.signal(PROXY, Signal::SIGKILL)?,
            Event::FreezeProxy => self.signal(PROXY, Signal::SIGSTOP)?,
            Event::LoseBackends => {
                for web in ["web1", "web2"] {
                    self.lab.block("lb1", web)?;
                }
            }
            Event::FailScript => {
                let path = self.script_path();
                fs::remove_file(&path)
                    .map_err(LabError::system(format!("remove {}", path.display())))?;
            }
            Event::StopGracefully => self.active_node()?.process().terminate()?,
            Event::CutLink => self.lab.cut("lb1")?,
            Event::KillEverything => {
                self.active_node()?.process().kill_family()?;
                address_gone_ms = Some(self.wait_until_gone()?);
            }
            Event::Return => self.bring_back()?,
        }
        self.wait_for_end(event)
            .map_err(|error| self.with_logs(error))?;
        let report = self.probe.report(mark);
        let visitors = self.visitors()?.end()?;
        let after = report.last_node;
        let served_by = after.map_or_else(|| "nobody".into(), |ip| name_of(ip).to_owned());
        let mut outcome = Outcome {
            event,
            requests: report.requests,
            failed: report.failed,
            in_flight_max: report.in_flight_max,
            longest_gap_ms: u64::try_from(report.longest_gap.as_millis()).unwrap_or(u64::MAX),
            served_by,
            moved: after != Some(before),
            visitors,
            address_gone_ms,
            broken: Vec::new(),
        };
        outcome.broken = event
            .bound(self.settings.interval)
            .broken_by(&outcome, LEASE);
        Ok(outcome)
    }

    /// Undoes what an event left: link up, backends reachable, a daemon that runs. Does not wait.
    fn bring_back(&mut self) -> Result<(), LabError> {
        self.lab.restore("lb1")?;
        for web in ["web1", "web2"] {
            self.lab.unblock("lb1", web)?;
        }
        self.heal_script()?;
        let stopped = match &mut self.nodes[0] {
            None => true,
            Some(node) => node.process().try_wait()?.is_some(),
        };
        if stopped {
            self.restart(0)?;
        }
        Ok(())
    }

    /// Changes the configuration of the Active node and changes it back, over and over.
    fn reload_with_changes(&mut self) -> Result<(), LabError> {
        let own = self.configuration_of(0);
        let changed = changed(&own);
        let node = self.active_node()?;
        for round in 0..RELOADS {
            let generation = node.status().map(|status| status.configuration.generation);
            node.reload(if round % 2 == 0 { &changed } else { &own })?;
            let next = generation.unwrap_or_default() + 1;
            let what = format!("generation {next} of the configuration");
            node.wait_for(&what, END_TIMEOUT, |status| {
                status.configuration.generation == next
            })?;
            thread::sleep(BETWEEN_RELOADS);
        }
        Ok(())
    }

    /// Returns the configuration that a node starts with.
    fn configuration_of(&self, index: usize) -> String {
        let mut yaml = configuration(self.settings.interval);
        // Of lb1 alone: what fails on both moves nothing.
        if Self::runs_scripts() && index == 0 {
            let path = self.script_path();
            yaml.push_str(&format!(
                "track_scripts:\n  uplink: {{command: [{TEST}, -e, {}], interval: 100ms}}\n",
                path.display()
            ));
            yaml = yaml.replace("listeners:", "    track: [{script: uplink}]\nlisteners:");
        }
        yaml
    }

    fn start_node(&mut self, index: usize) -> Result<(), LabError> {
        let (name, yaml) = (HOSTS[index].0, self.configuration_of(index));
        let host = Arc::clone(self.lab.host(name)?);
        self.nodes[index] = Some(Node::start(&host, &yaml, name, &self.settings.binary)?);
        Ok(())
    }

    /// Starts a node again whose daemon has ended; `settle` says when it stands.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn restart(&mut self, index: usize) -> Result<(), LabError> {
        self.nodes[index] = None;
        self.start_node(index)
    }

    /// Returns whether the daemon would run a track script here: in a user namespace of one's own
    /// the programs of the system do not belong to root.
    pub fn runs_scripts() -> bool {
        let is_root = |path: &str| fs::metadata(path).is_ok_and(|found| found.uid() == 0);
        ["/", "/usr", "/usr/bin", TEST].into_iter().all(is_root)
    }

    /// Returns the path of the file that the track script looks for.
    fn script_path(&self) -> PathBuf {
        self.scratch.path().join("uplink")
    }

    fn heal_script(&self) -> Result<(), LabError> {
        let path = self.script_path();
        fs::write(&path, "").map_err(LabError::system(format!("write {}", path.display())))
    }

    /// Adds to a wait that was in vain what the nodes said meanwhile.
    fn with_logs(&mut self, error: LabError) -> LabError {
        let LabError::Deadline {
            what,
            within,
            mut seen,
        } = error
        else {
            return error;
        };
        for node in self.nodes.iter().flatten() {
            seen.push_str(&format!("\n{} said:\n{}", node.name(), node.log()));
        }
        LabError::Deadline { what, within, seen }
    }

    /// Returns the node into which events are injected.
    fn active_node(&mut self) -> Result<&mut Node, LabError> {
        self.nodes[0]
            .as_mut()
            .ok_or_else(|| LabError::NoSuchHost("lb1".into()))
    }

    /// Returns who serves before an event: lb1, but for its return.
    fn active_before(&self, event: Event) -> IpAddr {
        node_address(usize::from(event == Event::Return))
    }

    fn signal(&mut self, process: &str, signal: Signal) -> Result<(), LabError> {
        let node = self.active_node()?;
        let pid = node.pid_of(process).ok_or_else(|| LabError::EndedEarly {
            name: process.to_owned(),
            status: "not running".to_owned(),
            log: node.log(),
        })?;
        process::send(pid, signal)
    }

    /// Waits until an event has had all its consequences.
    fn wait_for_end(&mut self, event: Event) -> Result<(), LabError> {
        let within = self.settings.interval * 6 + END_TIMEOUT;
        match event {
            Event::Reload
            | Event::KillVrrp
            | Event::FreezeVrrp
            | Event::KillProxy
            | Event::FreezeProxy => {
                // Longer than any takeover would take, so that one would be seen.
                thread::sleep(self.settings.interval * 5 + Duration::from_secs(1));
                self.settle()
            }
            Event::StopGracefully => {
                self.probe.wait_for_node(node_address(1), within)?;
                // A daemon that still ends would not be started again.
                self.active_node()?.process().wait(within)?;
                thread::sleep(AFTERMATH);
                Ok(())
            }
            Event::LoseBackends | Event::FailScript | Event::CutLink | Event::KillEverything => {
                self.probe.wait_for_node(node_address(1), within)?;
                thread::sleep(AFTERMATH);
                Ok(())
            }
            Event::Return => {
                self.probe.wait_for_node(node_address(0), within)?;
                thread::sleep(AFTERMATH);
                self.settle()
            }
        }
    }

    /// Returns how long the dead node had the virtual address, from now on.
    fn wait_until_gone(&self) -> Result<u64, LabError> {
        let host = self.lab.host("lb1")?;
        let died_at = Instant::now();
        while has_address(host)? {
            if died_at.elapsed() > LEASE * 5 {
                let what = "the dead node lost its address".to_owned();
                return Err(LabError::Deadline {
                    what,
                    within: LEASE * 5,
                    seen: String::new(),
                });
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(u64::try_from(died_at.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// Returns the configuration of both nodes.
pub fn configuration(interval: Duration) -> String {
    format!(
        "virtual_routers:
  web:
    interface: eth0
    vrid: 51
    priority: {{lb1: 150, lb2: 100}}
    addresses: [{VIRTUAL}/24, \"fd77::100/64\"]
    advertisement_interval: {}ms
listeners:
  http: {{virtual_router: web, port: 80, pool: webfarm}}
pools:
  webfarm:
    backends: {{web1: \"10.77.0.11:80\", web2: \"10.77.0.12:80\"}}
    health_check: {{http: {{path: /health}}, interval: 200ms, fall: 2}}
",
        interval.as_millis()
    )
}

/// Returns another configuration than this one of a node: with one more virtual router, virtual
/// address, listener and pool, other weights, limits and timeouts.
fn changed(yaml: &str) -> String {
    yaml.replace(
        "virtual_routers:\n",
        "virtual_routers:\n  more:\n    interface: eth0\n    vrid: 52\n    addresses: [10.77.0.102/24]\n",
    )
    .replace("\"fd77::100/64\"]", "\"fd77::100/64\", 10.77.0.101/24]")
    .replace("{lb1: 150, lb2: 100}", "{lb1: 160, lb2: 100}")
    .replace(
        "pool: webfarm}\n",
        "pool: webfarm, timeouts: {keep_alive: 50s}, limits: {connections: 9000}}\n  \
         more: {virtual_router: more, port: 81, pool: more}\n",
    )
    .replace(
        "web2: \"10.77.0.12:80\"}",
        "web2: {address: \"10.77.0.12:80\", weight: 3, requests: 5000}}",
    )
    .replace(
        "pools:\n",
        "pools:\n  more: {backends: {web1: \"10.77.0.11:80\"}}\n",
    )
}

/// Returns whether a host has the virtual address, asked by binding to it.
///
/// # Errors
/// As [`Host::run`].
pub fn has_address(host: &Host) -> Result<bool, LabError> {
    host.run(|| std::net::UdpSocket::bind((VIRTUAL, 0)).is_ok())
}

/// Returns whether every virtual router of a status is in this state.
pub fn is_all(status: &Status, state: &str) -> bool {
    !status.virtual_routers.is_empty() && status.virtual_routers.iter().all(|r| r.state == state)
}

/// Returns the address of a node, 0 for lb1.
pub fn node_address(index: usize) -> IpAddr {
    IpAddr::from([10, 77, 0, HOSTS[index].1])
}

fn name_of(address: IpAddr) -> &'static str {
    let own = |(_, number): &&(&str, u8)| IpAddr::from([10, 77, 0, *number]) == address;
    HOSTS
        .iter()
        .find(own)
        .map_or("somebody else", |(name, _)| name)
}

/// The path of this program, which is what the demo's nodes run.
pub fn own_binary() -> &'static Path {
    Path::new("/proc/self/exe")
}

/// How often the configuration changes where it does.
const RELOADS: u32 = 10;
/// After one change, before the next.
const BETWEEN_RELOADS: Duration = Duration::from_millis(100);
/// The program of the track script.
const TEST: &str = "/usr/bin/test";
/// The hosts and the last byte of their addresses.
const HOSTS: [(&str, u8); 5] = [
    ("lb1", 1),
    ("lb2", 2),
    ("web1", 11),
    ("web2", 12),
    ("client", 21),
];
/// The virtual address.
pub const VIRTUAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 100));
/// The lease of the configuration, its default.
pub const LEASE: Duration = Duration::from_secs(2);
/// Between two requests of the client.
const EVERY: Duration = Duration::from_millis(5);
/// What a request may take.
const LIMIT: Duration = Duration::from_millis(200);
const VRRP: &str = "evenkeel-vrrp";
const PROXY: &str = "evenkeel-proxy";
/// How long everything may take to be well again.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long an event may take beyond six intervals.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// What comes late after a move: the old node lets go, leases end, announcements are repeated.
const AFTERMATH: Duration = Duration::from_millis(700);
