//! A stop with requests in flight: what ends within `drain` ends whole, the rest is cut then, and
//! the exit code is 0.
//!
//! One node alone, so that nobody takes anything over: with virtual routers the requests come in by
//! the virtual address as well as by the node's own.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::lab::backend::Backend;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::pair::is_all;
use evenkeel::lab::process;
use evenkeel::lab::visitors::errands::Ended;
use evenkeel::lab::visitors::{Errand, Errands};
use nix::sys::signal::Signal;

/// A node, a backend behind it, and a client.
struct Site {
    // In the order of their ends.
    node: Node,
    _backend: Backend,
    client: Arc<Host>,
    lab: Lab,
}

impl Site {
    /// Starts the node with this beginning of a configuration, and waits until it serves.
    fn start(beginning: &str) -> Self {
        let mut lab = Lab::new().unwrap();
        let client = lab.add_host("client", &["10.77.0.9/24"]).unwrap();
        let lb1 = lab.add_host("lb1", &["10.77.0.1/24"]).unwrap();
        let web1 = lab.add_host("web1", &["10.77.0.11/24"]).unwrap();
        let address: SocketAddr = "10.77.0.11:80".parse().unwrap();
        let backend = Backend::start(&web1, "web1", address).unwrap();
        let yaml = format!(
            "{beginning}pools:
  webfarm:
    backends: {{web1: \"10.77.0.11:80\"}}
    health_check: {{http: {{path: /health}}, interval: 200ms}}
proxy: {{timeouts: {{drain: 5s}}}}
"
        );
        let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
        let mut node = Node::start(&lb1, &yaml, "lb1", binary).unwrap();
        let routed = beginning.contains("virtual_routers");
        node.wait_for("serving", PATIENCE, |status| {
            let up = |pool: &_| -> bool {
                let pool: &evenkeel::ipc::control::PoolStatus = pool;
                pool.backends.iter().all(|b| b.state == "up")
            };
            !status.pools.is_empty()
                && status.pools.iter().all(up)
                && (!routed || is_all(status, "Active"))
        })
        .unwrap();
        Self {
            node,
            _backend: backend,
            client,
            lab,
        }
    }

    /// Begins the errands, stops the node 400 ms later, and returns how they and the node ended.
    fn stop_amid(&mut self, target: &str, errands: &[Errand]) -> Stopped {
        let target = target.parse().unwrap();
        let errands = Errands::start(&self.client, target, errands, PATIENCE).unwrap();
        std::thread::sleep(BEFORE_STOP.saturating_sub(errands.started_at().elapsed()));
        let stopped_after = errands.started_at().elapsed();
        let status = self.node.stop(PATIENCE).unwrap();
        let exited_after = errands.started_at().elapsed();
        Stopped {
            ended: errands.wait().unwrap(),
            code: status.code(),
            stopped_after,
            exited_after,
            log: self.node.log(),
        }
    }
}

/// How a stop went; all spans count from the beginning of the errands.
struct Stopped {
    ended: Vec<Ended>,
    code: Option<i32>,
    stopped_after: Duration,
    exited_after: Duration,
    log: String,
}

impl Stopped {
    /// Asserts that what is shorter than `drain` ended whole and the rest was cut when `drain` was
    /// over.
    fn assert_drained(&self) {
        for ended in &self.ended {
            let said = format!(
                "{ended:?}, SIGTERM at {:?}\n{}",
                self.stopped_after, self.log
            );
            let (Errand::Request(span)
            | Errand::Download(span)
            | Errand::Upload(span)
            | Errand::WebSocket(span)) = ended.errand;
            if span <= SHORT {
                assert_eq!(ended.outcome, Ok(()), "hoped for a whole one: {said}");
            } else {
                assert!(ended.outcome.is_err(), "hoped that drain cuts it: {said}");
                let drained = ended.after.saturating_sub(self.stopped_after);
                let near = DRAIN.saturating_sub(SLACK)..DRAIN + SLACK;
                assert!(
                    near.contains(&drained),
                    "cut {drained:?} after SIGTERM: {said}"
                );
            }
        }
        assert_eq!(self.code, Some(0), "{}", self.log);
        let exited = self.exited_after.saturating_sub(self.stopped_after);
        assert!(
            exited < DRAIN + SLACK * 2,
            "exited {exited:?} after SIGTERM:\n{}",
            self.log
        );
    }
}

#[test]
fn stop_lets_end_what_ends_within_drain_and_cuts_the_rest() {
    let mut site = Site::start(PLAIN);
    site.stop_amid("10.77.0.1:80", &ALL).assert_drained();
}

#[test]
fn stop_with_virtual_routers_lets_requests_to_its_own_address_end() {
    let mut site = Site::start(ROUTED);
    site.stop_amid("10.77.0.1:80", &ALL).assert_drained();
}

#[test]
fn stop_with_virtual_routers_lets_requests_to_the_virtual_address_end() {
    let mut site = Site::start(ROUTED);
    site.stop_amid("10.77.0.100:80", &ALL).assert_drained();
}

/// A child that has ended while the other drains is not started again, and the loop goes on: it
/// watches and answers.
#[test]
fn a_stopping_daemon_whose_vrrp_process_dies_goes_on() {
    let mut site = Site::start(ROUTED);
    let target = "10.77.0.1:80".parse().unwrap();
    let errands = Errands::start(&site.client, target, &[Errand::Request(SHORT)], PATIENCE);
    std::thread::sleep(BEFORE_STOP);
    let vrrp = site.node.pid_of("evenkeel-vrrp").unwrap();
    site.node.process().terminate().unwrap();
    // The vrrp process has handed over by then, and the proxy drains.
    std::thread::sleep(Duration::from_millis(600));
    process::send(vrrp, Signal::SIGKILL).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let supervisor = site.node.process().pid();
    let before_ms = processor_ms(supervisor);
    let watched = Duration::from_secs(1);
    std::thread::sleep(watched);
    let used_ms = processor_ms(supervisor) - before_ms;
    assert!(site.node.status().is_some(), "it answers");
    assert!(
        used_ms < 300,
        "it does not spin: {used_ms} ms in {watched:?}"
    );
    let ended = errands.unwrap().wait().unwrap();
    assert_eq!(ended[0].outcome, Ok(()), "{}", site.node.log());
    assert_eq!(site.node.stop(PATIENCE).unwrap().code(), Some(0));
}

#[test]
fn a_second_signal_cuts_what_is_in_flight_and_leaves_no_address() {
    let mut site = Site::start(&ROUTED.replace("vrid: 51", "vrid: 51\n    lease: 60s"));
    let target = "10.77.0.100:80".parse().unwrap();
    let errands = Errands::start(&site.client, target, &[Errand::Request(SHORT)], SHORT);
    std::thread::sleep(BEFORE_STOP);
    site.node.process().terminate().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let again_at = Instant::now();
    assert_eq!(site.node.stop(PATIENCE).unwrap().code(), Some(0));
    assert!(again_at.elapsed() < Duration::from_secs(2), "at once");
    let lb1 = Arc::clone(site.lab.host("lb1").unwrap());
    let held = lb1.run(|| std::net::UdpSocket::bind("10.77.0.100:0").is_ok());
    assert!(!held.unwrap(), "{}", site.node.log());
    assert!(errands.unwrap().wait().unwrap()[0].outcome.is_err());
}

/// Returns the processor time of a process.
fn processor_ms(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks = |field: usize| fields[field].parse::<u64>().unwrap();
    (ticks(11) + ticks(12)) * 10
}

/// Nothing is left to wait for after the last answer.
#[test]
fn stop_ends_with_its_last_request() {
    let mut site = Site::start(PLAIN);
    let stopped = site.stop_amid("10.77.0.1:80", &ALL[..1]);
    stopped.assert_drained();
    let exited = stopped.exited_after.saturating_sub(stopped.stopped_after);
    assert!(
        exited < Duration::from_secs(4),
        "exited {exited:?} after SIGTERM"
    );
}

/// One of each kind that ends within `drain`, and of each but the requests one that does not.
const ALL: [Errand; 7] = [
    Errand::Request(Duration::from_secs(2)),
    Errand::Download(SHORT),
    Errand::Upload(SHORT),
    Errand::WebSocket(SHORT),
    Errand::Download(Duration::from_secs(20)),
    Errand::Upload(Duration::from_secs(20)),
    Errand::WebSocket(Duration::from_secs(20)),
];
const SHORT: Duration = Duration::from_secs(3);
const DRAIN: Duration = Duration::from_secs(5);
/// What the sweep of deadlines and a busy machine may add or take.
const SLACK: Duration = Duration::from_millis(1_000);
const BEFORE_STOP: Duration = Duration::from_millis(400);
/// Longer than anything here takes; no request waits so long without a byte.
const PATIENCE: Duration = Duration::from_secs(15);
const PLAIN: &str = "listeners:
  http: {bind: [\"10.77.0.1:80\"], pool: webfarm}
";
const ROUTED: &str = "virtual_routers:
  web:
    interface: eth0
    vrid: 51
    priority: {lb1: 150}
    addresses: [10.77.0.100/24]
    advertisement_interval: 100ms
listeners:
  http: {virtual_router: web, port: 80, pool: webfarm}
  own: {bind: [\"10.77.0.1:80\"], pool: webfarm}
";
