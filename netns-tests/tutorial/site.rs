//! The tutorial's machines on one switch: two nodes, two Apaches, a client.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use evenkeel::config;
use evenkeel::config::check::NodeName;
use evenkeel::ipc::control::Status;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;

use super::apache::Apache;

/// Ends in the order of its fields: who serves, the network.
pub(super) struct Site {
    pub(super) nodes: [Node; 2],
    pub(super) apaches: [Apache; 2],
    /// Where visitors connect: the first listener.
    pub(super) door: SocketAddr,
    yaml: String,
    lab: Lab,
}

impl Site {
    /// Builds all of it, and waits until lb1 serves from both Apaches, which have so many pages.
    pub(super) fn build(yaml: &str, pages: usize) -> Self {
        let config = config::parse("tutorial.yaml", yaml, NodeName::Given("lb1"))
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
                .add_host(&web(index), &[&format!("{}/24", address.ip())])
                .expect("a host");
            Apache::start(&host, &backends[index].name, address.port(), pages)
        });
        let nodes = NODES.map(|name| start_node(&lab, yaml, name));
        let mut site = Self {
            nodes,
            apaches,
            door: config.listeners[0].binds[0],
            yaml: yaml.to_owned(),
            lab,
        };
        site.nodes_see(0, "up");
        site.nodes_see(1, "up");
        site.elected();
        site
    }

    pub(super) fn client(&self) -> &Arc<Host> {
        self.lab.host("client").expect("a host")
    }

    /// Starts an Apache that was killed.
    pub(super) fn start_apache(&mut self, index: usize) {
        let host = self.lab.host(&web(index)).expect("a host");
        self.apaches[index].start_again(host);
    }

    /// Starts lb1 after it was killed.
    pub(super) fn start_lb1(&mut self) {
        self.nodes[0] = start_node(&self.lab, &self.yaml, NODES[0]);
    }

    /// Waits until lb1 is Active and lb2 Backup.
    pub(super) fn elected(&mut self) {
        for node in [0, 1] {
            self.is(node, ["Active", "Backup"][node]);
        }
    }

    /// Waits until a node is in this state.
    pub(super) fn is(&mut self, node: usize, state: &str) {
        self.nodes[node]
            .wait_for(state, PATIENCE, |status| {
                let routers = &status.virtual_routers;
                !routers.is_empty() && routers.iter().all(|router| router.state == state)
            })
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits until both nodes see an Apache in this state.
    pub(super) fn nodes_see(&mut self, apache: usize, state: &str) {
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
}

/// Returns the tutorial's configuration as it lies there.
pub(super) fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples/tutorial.yaml");
    fs::read_to_string(&path).expect("the example is there")
}

fn start_node(lab: &Lab, yaml: &str, name: &str) -> Node {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_evenkeel"));
    Node::start(lab.host(name).expect("a host"), yaml, name, &binary).expect("a node")
}

/// Returns the name of an Apache's host.
fn web(index: usize) -> String {
    format!("web{index}")
}

const NODES: [&str; 2] = ["lb1", "lb2"];
pub(super) const LB1: &str = "192.0.2.1";
pub(super) const LB2: &str = "192.0.2.2";
pub(super) const CLIENT: &str = "192.0.2.9";
/// Three intervals of a second, the skew of lb2, and what visitors and two busy cores add.
pub(super) const TAKEOVER_MAX: Duration = Duration::from_millis(3_610 + 1_500);
/// Longer than anything here takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
