//! Whatever the priorities: an ill node gives way to one that serves, comes back when it is healed,
//! and where all are ill one of them answers and nothing moves.
//!
//! Real daemons, one pair for each set of priorities, all at the same time; each lives through one
//! story. What decides is in `logic::track` and `model::Rank`, and the minute that follows is lived
//! in `tests/vrrp_simulation`.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use evenkeel::ipc::control::{self, Event, Request, Response, RouterStatus};
use evenkeel::lab::backend::Backend;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::probe::{Failure, Mark, Probe};
use evenkeel::lab::process;
use nix::sys::signal::Signal;

#[test]
fn ill_node_gives_way_whatever_the_priorities_and_the_last_one_answers() {
    std::thread::scope(|scope| {
        // Of each pair: the priorities, and which node is the better one.
        for (priorities, better) in [([254, 100], 0), ([200, 199], 0), ([1, 254], 1)] {
            scope.spawn(move || Pair::start(priorities, better).live());
        }
    });
}

/// Two nodes, a backend and a client.
struct Pair {
    priorities: [u8; 2],
    better: usize,
    nodes: [Node; 2],
    probe: Probe,
    _backend: Backend,
    lab: Lab,
}

impl Pair {
    fn start(priorities: [u8; 2], better: usize) -> Self {
        let mut lab = Lab::new().unwrap();
        for (name, number) in [("lb1", 1), ("lb2", 2), ("web1", 11), ("client", 21)] {
            lab.add_host(name, &[&format!("10.77.0.{number}/24")])
                .unwrap();
        }
        let at: SocketAddr = "10.77.0.11:80".parse().unwrap();
        let backend = Backend::start(lab.host("web1").unwrap(), "web1", at).unwrap();
        let virtual_at: SocketAddr = "10.77.0.100:80".parse().unwrap();
        let client = lab.host("client").unwrap();
        let probe = Probe::start(client, virtual_at, EVERY, LIMIT).unwrap();
        let yaml = configuration(priorities);
        let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
        let nodes = ["lb1", "lb2"]
            .map(|name| Node::start(lab.host(name).unwrap(), &yaml, name, binary).unwrap());
        Self {
            priorities,
            better,
            nodes,
            probe,
            _backend: backend,
            lab,
        }
    }

    fn live(mut self) {
        self.wait_until_well();
        self.suffer_one_death();
        self.lose_backends_of_the_better();
        self.lose_all_backends();
        self.kill_proxy_of_the_better();
        self.kill_both_proxies();
        self.wait_until_well();
    }

    /// A single death is no illness. On a machine that is so busy that the restart is late it is
    /// one, so that it is tried again then.
    fn suffer_one_death(&mut self) {
        for _ in 0..TRIES {
            // A process that lived for less than a second is started again a little later.
            std::thread::sleep(Duration::from_millis(1100));
            let (before, late_before) = (self.transitions(), self.late_restarts());
            self.kill_proxy(self.better);
            self.watch(Duration::from_millis(1000), |_| {});
            if self.late_restarts() == late_before {
                self.wait_until_served_by(self.better);
                assert_eq!(self.transitions(), before, "no failover: {}", self.story());
                return;
            }
            self.wait_until_well();
        }
        panic!("a restart in time in {TRIES} tries\n{}", self.story());
    }

    /// Returns how often the better one has logged that its proxy was late.
    fn late_restarts(&self) -> usize {
        self.nodes[self.better].log().matches(LATE).count()
    }

    fn lose_backends_of_the_better(&mut self) {
        let (better, other) = (self.better, 1 - self.better);
        let before = self.transitions();
        self.lab.block(NAMES[better], "web1").unwrap();
        self.wait_until_served_by(other);
        self.expect(better, "Backup", 2, LOST);
        self.expect(other, "Active", self.well(other), "");
        self.watch(Duration::from_millis(500), |_| {});
        self.moved_once_since(before);
        let before = self.transitions();
        self.lab.unblock(NAMES[better], "web1").unwrap();
        self.wait_until_well();
        let moved = self.moves_since(before);
        assert_eq!(moved, [1, 1], "and back: {}", self.story());
    }

    /// The better of the ill ones answers 503, and nothing else happens.
    fn lose_all_backends(&mut self) {
        let (better, other) = (self.better, 1 - self.better);
        let before = self.transitions();
        for name in NAMES {
            self.lab.block(name, "web1").unwrap();
        }
        self.expect(better, "Active", 2, LOST);
        self.expect(other, "Backup", 1, LOST);
        let (mark, settled) = (self.quiet_mark(), self.transitions());
        self.watch(Duration::from_millis(2000), |_| {});
        assert_eq!(self.transitions(), settled, "no more: {}", self.story());
        let moved = self.moves_since(before);
        assert!(moved.iter().all(|moves| *moves <= 4), "{}", self.story());
        let report = self.probe.report(mark);
        let only: Vec<Failure> = report.failures.keys().copied().collect();
        assert_eq!(only, [Failure::Status(503)], "{report}");
        assert_eq!(report.failed, report.requests, "{report}");
        for name in NAMES {
            self.lab.unblock(name, "web1").unwrap();
        }
        self.wait_until_well();
    }

    fn kill_proxy_of_the_better(&mut self) {
        let (better, other) = (self.better, 1 - self.better);
        let before = self.transitions();
        let deadline = Instant::now() + SOON;
        while !self.router(better).priority_reason.contains(DYING) {
            assert!(Instant::now() < deadline, "{}", self.story());
            self.kill_proxy(better);
        }
        self.wait_until_served_by(other);
        let mark = self.quiet_mark();
        self.watch(Duration::from_secs(2), |pair| pair.kill_proxy(better));
        let report = self.probe.report(mark);
        assert_eq!(report.failed, 0, "the other serves: {report}");
        assert_eq!(report.last_node, Some(address(other)));
        self.expect(better, "Backup", 2, DYING);
        self.expect(other, "Active", self.well(other), "");
        self.moved_once_since(before);
    }

    /// With both ill the better one has the address, and it serves as soon as it lives.
    fn kill_both_proxies(&mut self) {
        let (better, other) = (self.better, 1 - self.better);
        let deadline = Instant::now() + SOON;
        while !self.router(other).priority_reason.contains(DYING) {
            assert!(Instant::now() < deadline, "{}", self.story());
            self.kill_proxy(better);
            self.kill_proxy(other);
        }
        self.expect(better, "Active", 2, DYING);
        self.expect(other, "Backup", 1, DYING);
        let settled = self.transitions();
        self.watch(Duration::from_secs(2), |pair| {
            pair.kill_proxy(better);
            pair.kill_proxy(other);
        });
        self.wait_until_served_by(better);
        self.expect(better, "Active", 2, DYING);
        self.expect(other, "Backup", 1, DYING);
        assert_eq!(self.transitions(), settled, "no more: {}", self.story());
    }

    /// The better node serves, and both stand as nodes that can.
    fn wait_until_well(&mut self) {
        let (better, other) = (self.better, 1 - self.better);
        self.expect(better, "Active", self.well(better), "");
        self.expect(other, "Backup", self.well(other), "");
        self.wait_until_served_by(better);
    }

    /// Of {1, 254} the first stands with 3: 1 and 2 are for nodes that cannot serve.
    fn well(&self, index: usize) -> u8 {
        self.priorities[index].max(3)
    }

    fn expect(&mut self, index: usize, state: &str, priority: u8, reason: &str) {
        let what = format!("{state} with {priority} because of {reason:?}");
        let raised = priority > self.priorities[index];
        let hoped = |router: &RouterStatus| {
            let given = &router.priority_reason;
            let reason_fits = match reason {
                "" => given.is_empty() || (raised && given == "1 is for a node that cannot serve"),
                reason => given.contains(reason),
            };
            (router.state.as_str(), router.effective_priority) == (state, priority) && reason_fits
        };
        let waited = self.nodes[index].wait_for(&what, LATER, |status| {
            !status.virtual_routers.is_empty() && status.virtual_routers.iter().all(hoped)
        });
        waited.unwrap_or_else(|error| panic!("{error}\n{}", self.story()));
    }

    fn wait_until_served_by(&self, index: usize) {
        let waited = self.probe.wait_for_node(address(index), SOON);
        waited.unwrap_or_else(|error| panic!("{error}\n{}", self.story()));
    }

    fn router(&self, index: usize) -> RouterStatus {
        let mut status = None;
        let deadline = Instant::now() + SOON;
        while status.is_none() {
            assert!(Instant::now() < deadline, "{}", self.story());
            status = self.nodes[index].status();
        }
        status.unwrap().virtual_routers.remove(0)
    }

    fn kill_proxy(&mut self, index: usize) {
        if let Some(pid) = self.nodes[index].pid_of("evenkeel-proxy") {
            process::send(pid, Signal::SIGKILL).unwrap();
        }
    }

    /// Looks on for a while, doing the same thing over and over.
    fn watch(&mut self, span: Duration, mut again: impl FnMut(&mut Self)) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            again(self);
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Returns a mark after what is in flight now.
    fn quiet_mark(&self) -> Mark {
        std::thread::sleep(LIMIT);
        self.probe.mark()
    }

    /// Returns how often each node changed its state.
    fn transitions(&self) -> [usize; 2] {
        [0, 1].map(|index| self.events(index).len())
    }

    fn moves_since(&self, before: [usize; 2]) -> [usize; 2] {
        let now = self.transitions();
        [now[0] - before[0], now[1] - before[1]]
    }

    /// The other became Active, and stayed it. Where the priorities are next to each other, {lb1:
    /// 1, lb2: 254} for one, the skew times of a re-election are less than a millisecond apart: the
    /// ill one may then be Active again for a moment, until it hears the other.
    fn moved_once_since(&self, before: [usize; 2]) {
        let moved = self.moves_since(before);
        let (ill, other) = (moved[self.better], moved[1 - self.better]);
        assert!(
            [1, 3].contains(&ill) && other == 1,
            "one move, not {moved:?}: {}",
            self.story()
        );
    }

    fn events(&self, index: usize) -> Vec<Event> {
        let directory = self.nodes[index].runtime_dir();
        match control::ask(&directory, &Request::Events { after: 0 }, SOON) {
            Ok(Response::Events(events)) => events,
            other => panic!("events are hoped for, not {other:?}"),
        }
    }

    fn story(&self) -> String {
        let mut story = format!("priorities {:?}\n", self.priorities);
        for (index, name) in NAMES.iter().enumerate() {
            for event in self.events(index) {
                let Event {
                    at_ms,
                    from,
                    to,
                    cause,
                    ..
                } = event;
                story.push_str(&format!("{at_ms} {name}: {from} -> {to}: {cause}\n"));
            }
            story.push_str(&self.nodes[index].log());
        }
        story
    }
}

fn configuration([one, other]: [u8; 2]) -> String {
    format!(
        "virtual_routers:
  web:
    interface: eth0
    vrid: 51
    priority: {{lb1: {one}, lb2: {other}}}
    addresses: [10.77.0.100/24]
    advertisement_interval: 100ms
listeners:
  http: {{virtual_router: web, port: 80, pool: webfarm}}
pools:
  webfarm:
    backends: {{web1: \"10.77.0.11:80\"}}
    health_check: {{http: {{path: /health}}, interval: 100ms, fall: 2}}
proxy: {{threads: 1}}
"
    )
}

fn address(index: usize) -> IpAddr {
    IpAddr::from([10, 77, 0, [1, 2][index]])
}

const NAMES: [&str; 2] = ["lb1", "lb2"];
const LOST: &str = "pool webfarm has lost all its backends";
const DYING: &str = "the proxy keeps dying: well when it has served for ";
const LATE: &str = "the proxy did not serve in time";
/// Of a death that a busy machine spoils.
const TRIES: u32 = 3;
/// Between two requests of the client.
const EVERY: Duration = Duration::from_millis(20);
/// What a request may take.
const LIMIT: Duration = Duration::from_millis(300);
/// Longer than what must happen soon takes on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// The same after a calm of 10 s, or of 20 or 40 s where a busy machine made a restart late before.
const LATER: Duration = Duration::from_secs(60);
