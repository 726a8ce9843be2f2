//! The daemons under trial, ours and Debian's keepalived, told the same things.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use evenkeel::lab::LabError;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::node::Node;
use evenkeel::lab::process::Process;
use evenkeel::lab::scratch::ScratchDir;

/// Whose daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours.
    Evenkeel,
    /// Theirs, with its default settings.
    Keepalived,
    /// Theirs, with realtime scheduling, which it does not do by default.
    KeepalivedRealtime,
}

impl Kind {
    /// Returns its name for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Evenkeel => "evenkeel",
            Self::Keepalived => "keepalived",
            Self::KeepalivedRealtime => "keepalived rt",
        }
    }
}

/// How both nodes are set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Whose daemon they run.
    pub kind: Kind,
    /// 2 or 3.
    pub version: u8,
    /// Between two advertisements.
    pub interval: Duration,
    /// VRIDs 1 to this.
    pub routers: u8,
    /// Of each virtual router.
    pub addresses: u8,
    /// Whether the better one takes over from the other.
    pub preempt: bool,
    /// Whether they speak to each other alone.
    pub unicast: bool,
    /// Whether addresses have the virtual MAC.
    pub virtual_mac: bool,
}

impl Settings {
    /// One virtual router with one address, version 3.
    pub(crate) const fn new(kind: Kind, interval: Duration) -> Self {
        Self {
            kind,
            version: 3,
            interval,
            routers: 1,
            addresses: 1,
            preempt: true,
            unicast: false,
            virtual_mac: false,
        }
    }

    /// Returns Skew_Time of a node, 0 for the better one.
    pub(crate) fn skew_time(self, node: usize) -> Duration {
        self.interval * (256 - u32::from(PRIORITIES[node])) / 256
    }

    /// Returns after which silence a node takes over.
    pub(crate) fn active_down_interval(self, node: usize) -> Duration {
        3 * self.interval + self.skew_time(node)
    }

    /// Returns our configuration of a node, with these lines more in each entry.
    pub(crate) fn yaml(self, node: usize, more: &str) -> String {
        let mut yaml = "virtual_routers:\n".to_owned();
        let mut lines = String::new();
        if !self.preempt {
            lines.push_str("    preempt: false\n");
        }
        if self.unicast {
            lines.push_str("    peers: [10.77.0.1, 10.77.0.2]\n");
        }
        if self.virtual_mac {
            lines.push_str("    virtual_mac: true\n");
        }
        for vrid in 1..=self.routers {
            let list: Vec<String> = (1..=self.addresses)
                .map(|number| format!("{}/16", virtual_address(vrid, number)))
                .collect();
            // Writing into a string does not fail.
            let _ = writeln!(
                yaml,
                "  r{vrid}:\n    interface: eth0\n    vrid: {vrid}\n    version: {}\n    priority: {}\n    \
                 advertisement_interval: {}ms\n    addresses: [{}]\n{lines}{more}",
                self.version,
                PRIORITIES[node],
                self.interval.as_millis(),
                list.join(", ")
            );
        }
        yaml
    }

    fn keepalived_text(self, node: usize) -> String {
        let mut text = format!("global_defs {{\n  vrrp_version {}\n", self.version);
        if self.kind == Kind::KeepalivedRealtime {
            text.push_str("  vrrp_rt_priority 50\n  vrrp_rlimit_rttime 100000\n");
        }
        text.push_str("}\n");
        let mut lines = String::new();
        if !self.preempt {
            lines.push_str("  nopreempt\n");
        }
        if self.unicast {
            let other = node_address(1 - node);
            // Writing into a string does not fail.
            let _ = writeln!(lines, "  unicast_peer {{\n    {other}\n  }}");
        }
        for vrid in 1..=self.routers {
            let list: String = (1..=self.addresses)
                .map(|number| format!("    {}/16\n", virtual_address(vrid, number)))
                .collect();
            let _ = writeln!(
                text,
                "vrrp_instance r{vrid} {{\n  interface eth0\n  virtual_router_id {vrid}\n  priority {}\n  \
                 advert_int {}\n{lines}  virtual_ipaddress {{\n{list}  }}\n}}",
                PRIORITIES[node],
                self.interval.as_secs_f32(),
            );
        }
        text
    }
}

/// A running daemon.
pub(crate) enum Daemon {
    /// Ours.
    Ours(Node),
    /// Theirs, and the directory of its files.
    Theirs(
        Process,
        #[expect(dead_code, reason = "it is only kept")] ScratchDir,
    ),
}

impl Daemon {
    /// Starts the daemon of a node; `more` are lines of each of our entries, `binary` runs ours.
    pub(crate) fn start(
        settings: Settings,
        node: usize,
        host: &Host,
        more: &str,
        binary: &Path,
    ) -> Result<Self, LabError> {
        match settings.kind {
            Kind::Evenkeel => {
                let yaml = settings.yaml(node, more);
                let name = format!("node{}", node + 1);
                Node::start(host, &yaml, &name, binary).map(Self::Ours)
            }
            Kind::Keepalived | Kind::KeepalivedRealtime => {
                let scratch = ScratchDir::new()?;
                let directory = scratch.path();
                let config = directory.join("keepalived.conf");
                fs::write(&config, settings.keepalived_text(node))
                    .map_err(LabError::system("write keepalived.conf"))?;
                let mut command = Command::new(keepalived());
                command.args(["--dont-fork", "--log-console", "--vrrp", "-f"]);
                command.arg(config);
                for flag in ["-p", "-r"] {
                    command.arg(flag).arg(directory.join(format!("{flag}.pid")));
                }
                Ok(Self::Theirs(host.spawn(command)?, scratch))
            }
        }
    }

    /// Returns the process that was started, to harm it or its family.
    pub(crate) const fn process(&mut self) -> &mut Process {
        match self {
            Self::Ours(node) => node.process(),
            Self::Theirs(process, _) => process,
        }
    }

    /// Returns the number of the process that speaks VRRP.
    pub(crate) fn vrrp_pid(&mut self) -> Result<u32, LabError> {
        let found = match self {
            Self::Ours(node) => node.pid_of("evenkeel-vrrp"),
            Self::Theirs(process, _) => process.family()?.get(1).copied(),
        };
        found.ok_or_else(|| LabError::EndedEarly {
            name: "the process that speaks VRRP".into(),
            status: "not running".into(),
            log: self.log(),
        })
    }

    /// Returns what it printed.
    pub(crate) fn log(&self) -> String {
        match self {
            Self::Ours(node) => node.log(),
            Self::Theirs(process, _) => process.log(),
        }
    }
}

/// Returns an address of a virtual router.
pub(crate) const fn virtual_address(vrid: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, vrid, number)
}

/// Returns the address of a node: 0 is the better one.
pub(crate) const fn node_address(node: usize) -> Ipv4Addr {
    [Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2)][node]
}

/// Returns our program.
pub(crate) fn evenkeel() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_evenkeel"))
}

/// Returns theirs.
pub(crate) fn keepalived() -> PathBuf {
    PathBuf::from("/usr/sbin/keepalived")
}

const PRIORITIES: [u8; 2] = [150, 100];
