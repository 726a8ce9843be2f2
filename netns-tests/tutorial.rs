//! The founding tutorial: two load balancers, two Debian Apaches, and visitors who notice nothing
//! wrong.
//!
//! The configuration is `config/examples/tutorial.yaml` as it lies there; the lab gives its hosts
//! the addresses that stand in it. Needs Debian's package apache2; Apache never runs as root here.

pub(crate) mod apache;
mod visitor;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::config::check::NodeName;
use evenkeel::config::{self, Config};
use evenkeel::ipc::control::Status;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;

use apache::{Apache, Entry};
use visitor::{Tally, Visitor};

#[test]
fn visitors_are_answered_rightly_while_an_apache_and_then_a_node_go() {
    let mut site = Site::build();

    site.served(PAGES_A_STEP);
    for (tally, visitor) in site.tallies().iter().zip(&site.visitors) {
        assert_eq!(tally.failed, [""; 0], "nothing has happened yet");
        assert_eq!(tally.connections, 1, "the connection is kept: {tally:#?}");
        assert!(tally.cookie.is_some(), "hoped for {visitor:?}'s cookie");
    }
    for apache in &site.apaches {
        assert!(!apache.pages().is_empty(), "hoped that both are asked");
    }

    // A request that the Apache has and does not answer any more may fail: one of each visitor.
    site.apaches[0].stop();
    site.nodes_see(0, "down");
    let failed = site.failed();
    assert!(failed <= VISITORS, "{:#?}", site.tallies());
    site.served(PAGES_A_STEP);
    assert_eq!(
        site.failed(),
        failed,
        "the health check has noticed: {:#?}",
        site.tallies()
    );

    site.nodes[0].process().kill_family().expect("a node dies");
    let died_at = Instant::now();
    site.served(1);
    let takeover = died_at.elapsed();
    assert!(takeover < TAKEOVER_MAX, "{takeover:?}");
    let failed = site.failed();
    site.served(PAGES_A_STEP);
    assert_eq!(
        site.failed(),
        failed,
        "lb2 has taken over: {:#?}",
        site.tallies()
    );

    site.leave();
}

/// Everything on one switch. Ends in the order of its fields: who asks, who serves, the network.
struct Site {
    visitors: Vec<Visitor>,
    nodes: [Node; 2],
    apaches: [Apache; 2],
    _lab: Lab,
}

impl Site {
    /// Builds all of it, waits until lb1 serves from both Apaches, and lets the visitors in.
    fn build() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples/tutorial.yaml");
        let yaml = fs::read_to_string(&path).expect("the example is there");
        let config = config::parse("tutorial.yaml", &yaml, NodeName::Given("lb1"))
            .unwrap_or_else(|errors| panic!("{errors}"));
        let mut lab = Lab::new().expect("root, or a user namespace's");
        for (name, address) in [("lb1", LB1), ("lb2", LB2), ("client", CLIENT)] {
            lab.add_host(name, &[&format!("{address}/24")])
                .expect("a host");
        }
        let backends = &config.pools[0].backends;
        assert_eq!(backends.len(), 2, "the tutorial has two web servers");
        let apaches = [0, 1].map(|index| {
            let address = backends[index].address;
            let host = lab
                .add_host(&format!("web{index}"), &[&format!("{}/24", address.ip())])
                .expect("a host");
            Apache::start(&host, &backends[index].name, address.port(), PAGES)
        });
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_evenkeel"));
        let nodes = ["lb1", "lb2"].map(|name| {
            Node::start(lab.host(name).expect("a host"), &yaml, name, &binary).expect("a node")
        });
        let mut site = Self {
            visitors: Vec::new(),
            nodes,
            apaches,
            _lab: lab,
        };
        site.nodes_see(0, "up");
        site.nodes_see(1, "up");
        site.elected();
        site.visitors = visitors(&site._lab, front_door(&config));
        site
    }

    /// Waits until lb1 is Active and lb2 Backup.
    fn elected(&mut self) {
        for (node, state) in self.nodes.iter_mut().zip(["Active", "Backup"]) {
            node.wait_for(state, PATIENCE, |status| {
                let routers = &status.virtual_routers;
                !routers.is_empty() && routers.iter().all(|router| router.state == state)
            })
            .unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Waits until both nodes see an Apache in this state.
    fn nodes_see(&mut self, apache: usize, state: &str) {
        let is = |status: &Status| {
            let backend = status
                .pools
                .iter()
                .flat_map(|pool| &pool.backends)
                .nth(apache);
            backend.is_some_and(|backend| backend.state == state)
        };
        for node in &mut self.nodes {
            node.wait_for(&format!("backend {apache} {state}"), PATIENCE, is)
                .unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Waits until each visitor has got so many pages from now on.
    fn served(&self, pages: usize) {
        let deadline = Instant::now() + PATIENCE;
        let hoped: Vec<usize> = self.tallies().iter().map(|t| t.served + pages).collect();
        while self
            .tallies()
            .iter()
            .zip(&hoped)
            .any(|(t, hoped)| t.served < *hoped)
        {
            assert!(
                Instant::now() < deadline,
                "hoped for {hoped:?} pages: {:#?}\nlb2: {}",
                self.tallies(),
                self.nodes[1].log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns how many requests failed so far.
    fn failed(&self) -> usize {
        self.tallies().iter().map(|tally| tally.failed.len()).sum()
    }

    fn tallies(&self) -> Vec<Tally> {
        self.visitors.iter().map(Visitor::tally).collect()
    }

    /// Lets the visitors go and looks at what they and the Apaches have seen.
    fn leave(mut self) {
        let tallies: Vec<Tally> = self.visitors.drain(..).map(Visitor::leave).collect();
        for tally in &tallies {
            assert_eq!(tally.wrong, [""; 0], "a visitor got a wrong answer");
        }
        let cookies: Vec<&str> = tallies.iter().filter_map(|t| t.cookie.as_deref()).collect();
        self.apaches[1].stop();
        let [first, second] = self.apaches.each_ref().map(Apache::pages);
        for entry in first.iter().chain(&second) {
            assert_eq!(entry.forwarded_for, CLIENT, "{entry:?}");
            let known = entry.cookie == "-" || cookies.contains(&entry.cookie.as_str());
            assert!(known, "a cookie of nobody in {cookies:?}: {entry:?}");
        }
        let through = |entries: &[Entry], node: &str| {
            let from = |entry: &&Entry| entry.peer == node && entry.status == "200";
            entries.iter().filter(from).count()
        };
        assert!(through(&first, LB1) > 0, "before the first Apache ended");
        assert_eq!(through(&first, LB2), 0, "it had ended when lb2 took over");
        assert!(through(&second, LB1) > 0, "before the failover");
        assert!(through(&second, LB2) > 0, "after the failover");
    }
}

/// Returns where visitors connect.
fn front_door(config: &Config) -> SocketAddr {
    config.listeners[0].binds[0]
}

/// Lets all visitors in, each with pages that no other asks for.
fn visitors(lab: &Lab, door: SocketAddr) -> Vec<Visitor> {
    let client = Arc::clone(lab.host("client").expect("a host"));
    let address: IpAddr = CLIENT.parse().expect("an address");
    assert_eq!(address.is_ipv4(), door.is_ipv4(), "the door is IPv4");
    (0..VISITORS)
        .map(|number| {
            let pages = (number..PAGES).step_by(VISITORS).collect();
            Visitor::enter(&client, door, pages)
        })
        .collect()
}

const LB1: &str = "192.0.2.1";
const LB2: &str = "192.0.2.2";
const CLIENT: &str = "192.0.2.9";
/// Each has one connection and one request at a time.
const VISITORS: usize = 3;
/// So many pages has each Apache.
const PAGES: usize = 99;
/// So many pages each visitor wants to see before the next thing happens: more than a second of
/// them.
const PAGES_A_STEP: usize = 200;
/// Three intervals of a second, the skew of lb2, and what visitors and two busy cores add.
const TAKEOVER_MAX: Duration = Duration::from_millis(3_610 + 1_500);
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(15);
