//! A link: two nodes with the same daemon, a witness that takes no part, and somebody who may ask
//! or forge.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::ipc::control::Status;
use evenkeel::lab::LabError;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;

use super::capture::{Capture, Seen, now};
use super::daemon::{Daemon, Kind, Settings, evenkeel, node_address};

/// Two nodes and those who look at them.
pub(crate) struct Link {
    /// How the nodes are set up.
    pub settings: Settings,
    /// Lines of each of our entries beside the settings.
    pub more: String,
    /// What runs as ours.
    pub binary: PathBuf,
    // Dropped in this order: the witness, the daemons, their network.
    /// The witness.
    pub capture: Capture,
    daemons: [Option<Daemon>; 2],
    /// Of the nodes.
    pub hosts: [Arc<Host>; 2],
    /// Of somebody else.
    pub stranger: Arc<Host>,
    /// The network.
    pub lab: Lab,
}

impl Link {
    /// Makes the link with nothing running on the nodes.
    pub(crate) fn new(settings: Settings) -> Result<Self, LabError> {
        let mut lab = Lab::new()?;
        let hosts = [
            lab.add_host("node1", &["10.77.0.1/16"])?,
            lab.add_host("node2", &["10.77.0.2/16"])?,
        ];
        let watch = lab.add_host("watch", &["10.77.0.9/16"])?;
        let stranger = lab.add_host("stranger", &["10.77.0.66/16"])?;
        // Nobody on the link hears what two speak alone, so one of them is the witness then.
        let witness = if settings.unicast { &hosts[1] } else { &watch };
        Ok(Self {
            settings,
            more: String::new(),
            binary: evenkeel(),
            capture: Capture::start(witness)?,
            daemons: [None, None],
            hosts,
            stranger,
            lab,
        })
    }

    /// Makes the link, starts both nodes and waits until the better one alone advertises.
    pub(crate) fn start(settings: Settings) -> Result<Self, LabError> {
        let mut link = Self::new(settings)?;
        link.start_node(0)?;
        link.start_node(1)?;
        link.settle(0)?;
        Ok(link)
    }

    /// Starts the daemon of a node.
    pub(crate) fn start_node(&mut self, node: usize) -> Result<(), LabError> {
        let (host, binary): (_, &Path) = (&self.hosts[node], &self.binary);
        let daemon = Daemon::start(self.settings, node, host, &self.more, binary)?;
        self.daemons[node] = Some(daemon);
        Ok(())
    }

    /// Returns the daemon of a node.
    pub(crate) fn daemon(&mut self, node: usize) -> Result<&mut Daemon, LabError> {
        let silent = || LabError::NoSuchHost(format!("node{} with a daemon", node + 1));
        self.daemons[node].as_mut().ok_or_else(silent)
    }

    /// Waits until a daemon that was told to end has ended, and forgets it.
    pub(crate) fn wait_for_end(&mut self, node: usize) -> Result<(), LabError> {
        self.daemon(node)?.process().wait(PATIENCE)?;
        self.daemons[node] = None;
        Ok(())
    }

    /// Waits until this node alone has advertised every virtual router for some intervals.
    pub(crate) fn settle(&mut self, node: usize) -> Result<(), LabError> {
        // That others do not come to rest is a finding too, and no reason to end.
        let ours = self.settings.kind == Kind::Evenkeel;
        let deadline = Instant::now() + if ours { PATIENCE } else { PATIENCE_WITH_OTHERS };
        let span =
            self.settings.active_down_interval(1 - node) + 3 * self.settings.interval + SETTLE_MIN;
        let mut seen = String::new();
        while Instant::now() < deadline {
            let to = now() + span;
            std::thread::sleep(span);
            let trace = self.capture.trace(to - span, to);
            let alone = |vrid| trace.advertisers(vrid).into_iter().eq([node_address(node)]);
            match (1..=self.settings.routers).find(|vrid| !alone(*vrid)) {
                None => return Ok(()),
                Some(vrid) => seen = format!(", but {:?} of {vrid}", trace.advertisers(vrid)),
            }
        }
        if !ours {
            return Ok(());
        }
        for daemon in self.daemons.iter().flatten() {
            let log = daemon.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            seen.push_str("\nlog:\n");
            seen.push_str(&last);
        }
        Err(LabError::Deadline {
            what: format!("node{} alone advertises", node + 1),
            within: PATIENCE,
            seen,
        })
    }

    /// Waits for the first advertisement of a node as Active after an instant.
    pub(crate) fn first_of(&self, node: usize, from: Duration) -> Result<Seen, LabError> {
        let source = node_address(node);
        let what = format!("an advertisement of node{}", node + 1);
        self.capture
            .wait_for(&what, from, PATIENCE, |seen| seen.what.is_active(source, 1))
    }

    /// Returns the status of a node of ours.
    pub(crate) fn status(&mut self, node: usize) -> Result<Status, LabError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = match self.daemon(node)? {
                Daemon::Ours(node) => node.status(),
                Daemon::Theirs(..) => None,
            };
            if let Some(status) = status {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(LabError::Deadline {
                    what: format!("the status of node{}", node + 1),
                    within: PATIENCE,
                    seen: format!("; its log:\n{}", self.daemon(node)?.log()),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns whether a node has an address.
    pub(crate) fn has(&self, node: usize, address: Ipv4Addr) -> Result<bool, LabError> {
        self.hosts[node].run(move || std::net::UdpSocket::bind((address, 0)).is_ok())
    }
}

/// How long anything may take to be as it should.
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_WITH_OTHERS: Duration = Duration::from_secs(10);
/// Enough of a log to explain an error.
const LOG_LINES: usize = 40;
/// A single look is at least so long.
const SETTLE_MIN: Duration = Duration::from_millis(100);
