//! keepalived and HAProxy as a careful administrator sets them up, on the same hosts as our pair.
//!
//! VRRP version 3, HAProxy checked over HTTP every second with the first failure a fault, HAProxy
//! itself started again 100 ms after its death, as a service manager does. Both are Debian's.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use evenkeel::lab::LabError;
use evenkeel::lab::backend::Backend;
use evenkeel::lab::events::{Event, Outcome};
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::pair::{VIRTUAL, has_address, node_address};
use evenkeel::lab::probe::Probe;
use evenkeel::lab::process::{self, Process};
use evenkeel::lab::scratch::ScratchDir;
use evenkeel::lab::visitors::{Crowd, Habits, Visitors, Visits};
use nix::sys::signal::Signal;

/// Two machines with keepalived and HAProxy, two backends, a client.
pub(crate) struct Peers {
    interval: Duration,
    // Dropped in this order: those who ask, those who serve, their network.
    visitors: Option<Visitors>,
    probe: Probe,
    nodes: [Machine; 2],
    _backends: Vec<Backend>,
    lab: Lab,
}

/// What runs on one machine.
struct Machine {
    name: &'static str,
    scratch: ScratchDir,
    keepalived: Option<Process>,
    haproxy: Option<Process>,
}

impl Peers {
    /// Builds everything and waits until lb1 serves.
    pub(crate) fn start(interval: Duration, crowd: Crowd) -> Result<Self, LabError> {
        let mut lab = Lab::new()?;
        for (name, number) in [
            ("lb1", 1),
            ("lb2", 2),
            ("web1", 11),
            ("web2", 12),
            ("client", 21),
        ] {
            lab.add_host(name, &[&format!("10.77.0.{number}/24")])?;
        }
        let mut backends = Vec::new();
        for (name, number) in [("web1", 11), ("web2", 12)] {
            let address = SocketAddr::from(([10, 77, 0, number], 80));
            backends.push(Backend::start(lab.host(name)?, name, address)?);
        }
        let client = Arc::clone(lab.host("client")?);
        let every = Duration::from_millis(5);
        let probe = Probe::start(&client, SocketAddr::new(VIRTUAL, 80), every, LIMIT)?;
        let machine = |name| -> Result<Machine, LabError> {
            Ok(Machine {
                name,
                scratch: ScratchDir::new()?,
                keepalived: None,
                haproxy: None,
            })
        };
        let nodes = [machine("lb1")?, machine("lb2")?];
        let mut peers = Self {
            interval,
            visitors: None,
            probe,
            nodes,
            _backends: backends,
            lab,
        };
        for index in [0, 1] {
            peers.start_haproxy(index)?;
            peers.start_keepalived(index)?;
        }
        peers.settle()?;
        let target = SocketAddr::new(VIRTUAL, 80);
        let visitors = Visitors::start(&client, target, crowd, Habits::default())?;
        peers.visitors = Some(visitors);
        Ok(peers)
    }

    /// Waits until lb1 serves and nothing is on its way.
    fn settle(&mut self) -> Result<(), LabError> {
        self.probe.wait_for_node(node_address(0), SETTLE_TIMEOUT)?;
        // keepalived's own scripts and HAProxy's checks need their seconds to agree.
        thread::sleep(Duration::from_secs(2));
        self.probe.wait_for_node(node_address(0), SETTLE_TIMEOUT)
    }

    /// Makes the event happen, watches it, and says what the client saw.
    pub(crate) fn inject(&mut self, event: Event) -> Result<Outcome, LabError> {
        let mark = self.probe.mark();
        thread::sleep(LIMIT);
        let before = node_address(usize::from(event == Event::Return));
        if let Some(visitors) = &self.visitors {
            visitors.begin()?;
        }
        let mut address_gone_ms = None;
        match event {
            Event::Reload => self.reload_often()?,
            Event::KillVrrp => self.hit_vrrp(Signal::SIGKILL)?,
            Event::FreezeVrrp => self.hit_vrrp(Signal::SIGSTOP)?,
            Event::KillProxy => process::send(self.haproxy_pid()?, Signal::SIGKILL)?,
            Event::FreezeProxy => process::send(self.haproxy_pid()?, Signal::SIGSTOP)?,
            Event::LoseBackends => {
                for web in ["web1", "web2"] {
                    self.lab.block("lb1", web)?;
                }
            }
            Event::StopGracefully => {
                if let Some(keepalived) = &mut self.nodes[0].keepalived {
                    keepalived.terminate()?;
                }
            }
            Event::CutLink => self.lab.cut("lb1")?,
            Event::KillEverything => {
                for process in [&mut self.nodes[0].keepalived, &mut self.nodes[0].haproxy] {
                    if let Some(mut process) = process.take() {
                        process.kill_family()?;
                    }
                }
                address_gone_ms = self.watch_address()?;
            }
            // It has no script of this kind, and the event is none of `SCRIPT`.
            Event::FailScript => {}
            Event::Return => self.bring_back()?,
        }
        self.watch(event);
        let report = self.probe.report(mark);
        let visitors = match &self.visitors {
            Some(visitors) => visitors.end()?,
            None => Visits::default(),
        };
        let after = report.last_node;
        let outcome = Outcome {
            event,
            requests: report.requests,
            failed: report.failed,
            in_flight_max: report.in_flight_max,
            longest_gap_ms: u64::try_from(report.longest_gap.as_millis()).unwrap_or(u64::MAX),
            served_by: after.map_or_else(|| "nobody".into(), |ip| ip.to_string()),
            moved: after != Some(before),
            visitors,
            address_gone_ms,
            broken: Vec::new(),
        };
        self.heal(event)?;
        Ok(outcome)
    }

    /// Watches until the event has had its consequences, or the window is over.
    fn watch(&self, event: Event) {
        let (node, window) = match event {
            Event::Reload
            | Event::KillVrrp
            | Event::FreezeVrrp
            | Event::KillProxy
            | Event::FreezeProxy => (None, self.interval * 5 + Duration::from_secs(3)),
            Event::LoseBackends
            | Event::FailScript
            | Event::StopGracefully
            | Event::CutLink
            | Event::KillEverything => (Some(1), self.interval * 6 + Duration::from_secs(6)),
            Event::Return => (Some(0), self.interval * 6 + Duration::from_secs(12)),
        };
        match node {
            // Not in time is an outcome here, not an error.
            Some(node) => drop(self.probe.wait_for_node(node_address(node), window)),
            None => thread::sleep(window),
        }
        thread::sleep(Duration::from_millis(700));
    }

    /// Undoes what stays of an event that is not followed by a return.
    fn heal(&mut self, event: Event) -> Result<(), LabError> {
        match event {
            Event::FreezeVrrp => self.hit_vrrp(Signal::SIGCONT)?,
            Event::FreezeProxy => process::send(self.haproxy_pid()?, Signal::SIGCONT)?,
            Event::Reload | Event::KillVrrp | Event::KillProxy | Event::Return => {}
            Event::StopGracefully => {
                // It lingers for a second after it let go.
                if let Some(keepalived) = &mut self.nodes[0].keepalived {
                    keepalived.wait(SETTLE_TIMEOUT)?;
                }
                return Ok(());
            }
            Event::LoseBackends | Event::FailScript | Event::CutLink | Event::KillEverything => {
                return Ok(());
            }
        }
        self.settle()
    }

    fn bring_back(&mut self) -> Result<(), LabError> {
        self.lab.restore("lb1")?;
        for web in ["web1", "web2"] {
            self.lab.unblock("lb1", web)?;
        }
        if self.nodes[0].haproxy.is_none() {
            self.start_haproxy(0)?;
        }
        let stopped = match &mut self.nodes[0].keepalived {
            None => true,
            Some(keepalived) => keepalived.try_wait()?.is_some(),
        };
        if stopped {
            self.nodes[0].keepalived = None;
            self.start_keepalived(0)?;
        }
        Ok(())
    }

    /// Returns how long the dead node had the address; `None`: it had it to the end of the watch.
    fn watch_address(&self) -> Result<Option<u64>, LabError> {
        let host = self.lab.host("lb1")?;
        // Whoever may bind to any address learns nothing by it.
        host.set_sysctl("net/ipv4/ip_nonlocal_bind", "0")?;
        let began = Instant::now();
        while began.elapsed() < FOR_EVER {
            if !has_address(host)? {
                return Ok(Some(
                    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                ));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(None)
    }

    /// Signals the child of keepalived that speaks VRRP.
    fn hit_vrrp(&mut self, signal: Signal) -> Result<(), LabError> {
        let Some(keepalived) = &mut self.nodes[0].keepalived else {
            return Ok(());
        };
        let family = keepalived.family()?;
        family
            .get(1)
            .map_or(Ok(()), |vrrp| process::send(*vrrp, signal))
    }

    /// Has both programs read their configuration again, as often as ours does.
    fn reload_often(&mut self) -> Result<(), LabError> {
        for _ in 0..10 {
            process::send(self.haproxy_master()?, Signal::SIGUSR2)?;
            if let Some(keepalived) = &mut self.nodes[0].keepalived {
                keepalived.signal(Signal::SIGHUP)?;
            }
            thread::sleep(Duration::from_millis(300));
        }
        Ok(())
    }

    fn haproxy_master(&self) -> Result<u32, LabError> {
        let path = self.nodes[0].scratch.path().join("haproxy.pid");
        let text = fs::read_to_string(path).map_err(LabError::system("read HAProxy's pid"))?;
        Ok(text.trim().parse().unwrap_or(0))
    }

    /// Returns the process that serves: the youngest child of the master.
    fn haproxy_pid(&self) -> Result<u32, LabError> {
        let master = self.haproxy_master()?;
        let path = format!("/proc/{master}/task/{master}/children");
        let text = fs::read_to_string(path).map_err(LabError::system("read HAProxy's children"))?;
        let youngest = text.split_whitespace().next_back();
        Ok(youngest.and_then(|pid| pid.parse().ok()).unwrap_or(0))
    }

    fn start_haproxy(&mut self, index: usize) -> Result<(), LabError> {
        let machine = &mut self.nodes[index];
        let host = self.lab.host(machine.name)?;
        host.set_sysctl("net/ipv4/ip_nonlocal_bind", "1")?;
        let directory = machine.scratch.path();
        let config = directory.join("haproxy.cfg");
        let socket = directory.join("haproxy.sock");
        let text = HAPROXY.replace("SOCKET", &socket.display().to_string());
        fs::write(&config, text).map_err(LabError::system("write haproxy.cfg"))?;
        // The service manager: started again 100 ms after its death.
        let script = format!(
            "while :; do {} -W -db -f {} & echo $! > {}; wait $!; sleep 0.1; done",
            program("haproxy").display(),
            config.display(),
            directory.join("haproxy.pid").display()
        );
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        machine.haproxy = Some(host.spawn(command)?);
        Ok(())
    }

    fn start_keepalived(&mut self, index: usize) -> Result<(), LabError> {
        let machine = &mut self.nodes[index];
        let directory = machine.scratch.path();
        let config = directory.join("keepalived.conf");
        let (priority, interval) = ([150, 100][index], self.interval.as_secs_f32());
        fs::write(&config, keepalived(priority, interval))
            .map_err(LabError::system("write keepalived.conf"))?;
        let mut command = Command::new(program("keepalived"));
        command
            .args(["--dont-fork", "--log-console", "--vrrp", "-f"])
            .arg(config);
        for (flag, name) in [("-p", "keepalived.pid"), ("-r", "vrrp.pid")] {
            command.arg(flag).arg(directory.join(name));
        }
        machine.keepalived = Some(self.lab.host(machine.name)?.spawn(command)?);
        Ok(())
    }
}

/// Returns where Debian has a program.
pub(crate) fn program(name: &str) -> PathBuf {
    Path::new("/usr/sbin").join(name)
}

fn keepalived(priority: u8, interval: f32) -> String {
    format!(
        "global_defs {{
  vrrp_version 3
  script_user root
}}
vrrp_script chk {{
  script \"/usr/bin/curl -fsm1 -o /dev/null http://127.0.0.1:8100/ok\"
  interval 1
  timeout 1
  fall 1
  rise 1
}}
vrrp_instance web {{
  interface eth0
  virtual_router_id 51
  priority {priority}
  advert_int {interval}
  virtual_ipaddress {{
    {VIRTUAL}/24
  }}
  track_script {{
    chk
  }}
}}
"
    )
}

const HAPROXY: &str = "\
global
  maxconn 4000
  stats socket SOCKET mode 600 level admin expose-fd listeners
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 30s
  option forwardfor
  option redispatch
frontend web
  bind 10.77.0.100:80
  default_backend webfarm
frontend health
  bind 127.0.0.1:8100
  acl dead nbsrv(webfarm) lt 1
  monitor-uri /ok
  monitor fail if dead
backend webfarm
  balance random
  option httpchk GET /health
  default-server check inter 200ms fall 2 rise 2
  server web1 10.77.0.11:80
  server web2 10.77.0.12:80
";
const LIMIT: Duration = Duration::from_millis(200);
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
/// An address that is still there after so long stays for ever.
const FOR_EVER: Duration = Duration::from_secs(10);
