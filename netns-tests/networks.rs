//! Networks as they are elsewhere: strangers on the link, addresses in odd places, links that are
//! half there. What is not in the file is left alone, and what can serve serves.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod gateway;
mod half;
mod reach;
mod sources;
mod strangers;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::ipc::control::RouterStatus;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;

/// A switch and hosts on it, 192.0.2.N/24 and 2001:db8::N/64.
struct Site {
    lab: Lab,
}

impl Site {
    fn new(names: &[&str]) -> Self {
        let mut lab = Lab::new().unwrap();
        for (number, name) in (1..).zip(names) {
            let addresses = [
                format!("192.0.2.{number}/24"),
                format!("2001:db8::{number}/64"),
            ];
            lab.add_host(name, &addresses.each_ref().map(String::as_str))
                .unwrap();
        }
        Self { lab }
    }

    /// Makes hosts with these addresses.
    fn with(hosts: &[(&str, &[&str])]) -> Self {
        let mut lab = Lab::new().unwrap();
        for (name, addresses) in hosts {
            lab.add_host(name, addresses).unwrap();
        }
        Self { lab }
    }

    fn host(&self, name: &str) -> &Arc<Host> {
        self.lab.host(name).unwrap()
    }

    /// Lays a cable of its own between lb1 and lb2, whose ends have .1 and .2 of this /24.
    fn add_cable(&self, name: &str, network: &str) {
        let other = self
            .host("lb2")
            .run(|| nix::unistd::gettid().as_raw())
            .unwrap();
        let line = format!("link add {name} type veth peer name {name} netns {other}");
        ip(self.host("lb1"), &line);
        for number in [1, 2] {
            let host = self.host(&format!("lb{number}"));
            ip(host, &format!("addr add {network}.{number}/24 dev {name}"));
            ip(host, &format!("link set {name} up"));
        }
    }

    /// Starts a node with these lines in its only entry, `web`, of VRID 51 on eth0.
    fn start(&self, name: &str, lines: &str) -> Node {
        let yaml = format!(
            "virtual_routers:\n  web: {{interface: eth0, vrid: 51, advertisement_interval: 100ms, \
             {lines}}}\n"
        );
        self.start_with(name, &yaml)
    }

    fn start_with(&self, name: &str, yaml: &str) -> Node {
        let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
        Node::start(self.host(name), yaml, name, binary).unwrap()
    }
}

/// Runs `ip` on a host and returns what it prints.
fn ip(host: &Host, arguments: &str) -> String {
    let words: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
    host.run(move || {
        let output = Command::new("ip").args(&words).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {words:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    })
    .unwrap()
}

fn has(host: &Host, address: &str) -> bool {
    ip(host, "-o addr show").contains(&format!(" {address}/"))
}

/// Returns a virtual router as the status has it.
fn router(node: &Node, name: &str) -> RouterStatus {
    let status = node.status().unwrap();
    let mut routers = status.virtual_routers.into_iter();
    routers
        .find(|router| router.name.to_string() == name)
        .unwrap()
}

fn wait(node: &mut Node, name: &str, what: &str, hoped: impl Fn(&RouterStatus) -> bool) {
    node.wait_for(what, PATIENCE, |status| {
        let mut routers = status.virtual_routers.iter();
        routers.any(|router| router.name.to_string() == name && hoped(router))
    })
    .unwrap();
}

fn wait_for_state(node: &mut Node, name: &str, state: &str) {
    wait(node, name, state, |router| router.state == state);
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Watches for a while that something stays so.
fn stays(what: &str, span: Duration, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + span;
    while Instant::now() < until {
        assert!(holds(), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
