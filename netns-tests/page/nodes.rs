//! Two nodes with an admin listener each, a backend behind them, and a client to look from.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::ipc::control::Status;
use evenkeel::lab::backend::Backend;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::probe::Probe;
use evenkeel::lab::scratch::ScratchDir;

/// The nodes; ends in the order of its fields.
pub(super) struct Nodes {
    pub(super) nodes: [Node; 2],
    /// Asks the virtual address all the time.
    _probe: Probe,
    _backends: [Backend; 2],
    _lab: Lab,
    pub(super) client: Arc<Host>,
    _scratch: ScratchDir,
}

impl Nodes {
    /// Starts the nodes, with so many more virtual routers, and waits until the first is the Active
    /// of all and its backends are up.
    pub(super) fn start(more: u8) -> Self {
        let scratch = ScratchDir::new().unwrap();
        let yaml = configuration(more, scratch.path());
        let mut lab = Lab::new().unwrap();
        let hosts = [
            ("lb1", 1),
            ("lb2", 2),
            ("web1", 11),
            ("web2", 12),
            ("client", 21),
        ];
        for (name, number) in hosts {
            lab.add_host(
                name,
                &[
                    &format!("10.77.0.{number}/16"),
                    &format!("fd77::{number}/64"),
                ],
            )
            .unwrap();
        }
        let backends = ["web1", "web2"].map(|name| {
            let any: SocketAddr = "[::]:80".parse().unwrap();
            Backend::start(lab.host(name).unwrap(), name, any).unwrap()
        });
        let client = Arc::clone(lab.host("client").unwrap());
        let target = "10.77.0.100:80".parse().unwrap();
        let probe = Probe::start(&client, target, EVERY, LIMIT).unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
        let nodes = ["lb1", "lb2"]
            .map(|name| Node::start(lab.host(name).unwrap(), &yaml, name, binary).unwrap());
        let mut nodes = Self {
            nodes,
            _probe: probe,
            _backends: backends,
            _lab: lab,
            client,
            _scratch: scratch,
        };
        let count = 2 + usize::from(more);
        for (index, state) in ["Active", "Backup"].into_iter().enumerate() {
            let is_settled = |status: &Status| {
                let routers = &status.virtual_routers;
                let mut backends = status.pools[0].backends.iter();
                routers.len() == count
                    && routers.iter().all(|router| router.state == state)
                    && backends.all(|backend| backend.state == "up")
            };
            nodes.nodes[index]
                .wait_for(&format!("{state} and backends"), PATIENCE, is_settled)
                .unwrap();
        }
        nodes
    }

    /// Returns the status of a node; with many virtual routers more than one question may be
    /// needed.
    pub(super) fn status(&self, index: usize) -> Status {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.nodes[index].status() {
                return status;
            }
            assert!(Instant::now() < deadline, "{}", self.nodes[index].log());
        }
    }
}

/// Returns the address of the admin listener of a node.
pub(super) fn admin(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 77, 0, u8::try_from(index + 1).unwrap()], 8404))
}

/// Returns the address of the page of a node.
pub(super) fn page(index: usize) -> String {
    format!("http://{}/", admin(index))
}

/// Writes what it names into the directory, and returns the configuration of both nodes.
fn configuration(more: u8, directory: &Path) -> String {
    let certified = rcgen::generate_simple_self_signed(["www.example.org".to_owned()]).unwrap();
    fs::create_dir(directory.join("tls")).unwrap();
    for (name, text) in [
        ("tls/www.crt", certified.cert.pem()),
        ("tls/www.key", certified.signing_key.serialize_pem()),
        ("token", "0123456789abcdef-token\n".to_owned()),
    ] {
        fs::write(directory.join(name), text).unwrap();
    }
    let routers = (1..=more).fold(String::new(), |mut text, number| {
        writeln!(
            text,
            "  router{number}:\n    interface: eth0\n    vrid: {number}\n    priority: {{lb1: 150, \
             lb2: 100}}\n    advertisement_interval: 1s\n    addresses: [10.77.1.{number}/16]"
        )
        .unwrap();
        text
    });
    let directory = directory.display();
    format!(
        "virtual_routers:
  web:
    interface: eth0
    vrid: 251
    priority: {{lb1: 150, lb2: 100}}
    addresses: [10.77.0.100/16, \"fd77::100/64\"]
    advertisement_interval: 100ms
{routers}listeners:
  http:
    virtual_router: web
    port: 80
    pool: webfarm
    routes:
      - {{name: health, path: {{exact: /health}}, respond: {{status: 200, body: ok}}}}
      - {{name: sorry, path: {{prefix: /sorry}}, respond: {{status: 503, body: sorry}}}}
  https:
    bind: [\"0.0.0.0:8443\"]
    pool: webfarm
    tls: {{certificates: {directory}/tls}}
pools:
  webfarm:
    backends: {{web1: \"10.77.0.11:80\", web2: \"10.77.0.12:80\"}}
    health_check: {{http: {{path: /health}}, interval: 200ms, fall: 2}}
access_log: {{to: stdout}}
admin: {{listen: \"0.0.0.0:8404\", token: {{file: {directory}/token}}}}
"
    )
}

const EVERY: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(30);
