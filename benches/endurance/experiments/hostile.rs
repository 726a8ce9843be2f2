//! Hostile and greedy clients: how long the others wait, and whether a process is killed for being
//! busy.
//!
//! One machine with a proxy, one with its backend and the clients, HAProxy in our place in the same
//! run. The attacks are those of the lab; the connections of each are four times as many as once
//! sufficed to have our proxy killed, but for downloads and uploads, which were many already.
//! EVENKEEL_HOSTILE_SECONDS=10 makes each attack shorter, EVENKEEL_HOSTILE_ALONE=1 leaves HAProxy
//! out.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use evenkeel::lab::LabError;
use evenkeel::lab::attacks::{Attack, Bystanders, Glutton, Waits};
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::process::Process;
use evenkeel::lab::scratch::ScratchDir;

use super::super::rig::daemon::evenkeel;
use super::super::rig::report::{Bound, Finding};

/// What is done.
pub(crate) struct Plan {
    /// How long each attack lasts.
    pub span: Duration,
    /// The numbers of workers.
    pub threads: Vec<u16>,
    /// The attacks, by name.
    pub attacks: Vec<(&'static str, Attack)>,
    /// Who is attacked.
    pub proxies: Vec<Proxy>,
    /// What the others may wait in the median.
    pub median: Duration,
}

/// Who is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// This program.
    Evenkeel,
    /// Debian's HAProxy.
    Haproxy,
}

/// All attacks.
pub(crate) const ATTACKS: [(&str, Attack); 8] = [
    ("32 kB heads due at once", Attack::LateHeads(400)),
    ("... full of Connection options", Attack::LateOptions(400)),
    ("pipelining to a dead pool", Attack::Pipelines(4)),
    ("200 downloads", Attack::Downloads(200)),
    ("1000 downloads", Attack::Downloads(1000)),
    ("40 uploads in 16 kB chunks", Attack::Uploads(40, 16 * 1024)),
    (
        "120 uploads in 16 kB chunks",
        Attack::Uploads(120, 16 * 1024),
    ),
    ("10 uploads in chunks of a byte", Attack::Uploads(10, 1)),
];

impl Default for Plan {
    fn default() -> Self {
        let seconds = std::env::var("EVENKEEL_HOSTILE_SECONDS").ok();
        Self {
            span: Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(60)),
            threads: vec![1, 2],
            attacks: ATTACKS.to_vec(),
            proxies: match std::env::var_os("EVENKEEL_HOSTILE_ALONE") {
                Some(_) => vec![Proxy::Evenkeel],
                None => vec![Proxy::Evenkeel, Proxy::Haproxy],
            },
            median: Duration::from_millis(50),
        }
    }
}

/// Attacks each proxy in turn.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Finding>, LabError> {
    let mut findings = Vec::new();
    for &threads in &plan.threads {
        for (name, attack) in &plan.attacks {
            // HAProxy first: what it makes its clients wait bounds us where it is more.
            let mut median = plan.median;
            for proxy in plan.proxies.iter().rev() {
                let subject = format!("{name}, {threads} threads, {}", proxy.name());
                let seen = attacked(*proxy, threads, *attack, plan.span)?;
                let bound = match proxy {
                    Proxy::Evenkeel => Bound::AtMost(median),
                    Proxy::Haproxy => Bound::Free,
                };
                let waits = &seen.waits;
                median = median.max(waits.percentile(50));
                findings.extend([
                    Finding::new(&subject, "others wait, median", waits.percentile(50), bound),
                    Finding::new(&subject, "... 99 of 100", waits.percentile(99), Bound::Free),
                    Finding::new(&subject, "... failed", waits.failed, Bound::Free),
                    Finding::new(
                        &subject,
                        "the attacker's rounds or MiB",
                        seen.rounds,
                        Bound::Free,
                    ),
                ]);
                if let Some(restarts) = seen.restarts {
                    let what = "processes killed";
                    findings.push(Finding::new(&subject, what, restarts, Bound::Exactly(0)));
                }
            }
        }
    }
    Ok(findings)
}

/// What an attack has done.
struct Seen {
    waits: Waits,
    rounds: u64,
    restarts: Option<u64>,
}

fn attacked(proxy: Proxy, threads: u16, attack: Attack, span: Duration) -> Result<Seen, LabError> {
    let mut lab = Lab::new()?;
    let (server, clients) = (
        lab.add_host("lb1", &["192.0.2.1/24"])?,
        lab.add_host("client", &["192.0.2.9/24"])?,
    );
    let backend = Glutton::start(&clients, SocketAddr::from(([192, 0, 2, 9], 80)))?;
    // The others have a backend of their own: how long a busy one makes them wait is not the
    // proxy's doing.
    let calm = Glutton::start(&clients, SocketAddr::from(([192, 0, 2, 9], 81)))?;
    let mut running = Running::start(proxy, &server, threads, [backend, calm])?;
    let target = match attack {
        Attack::Pipelines(_) => DEAD,
        Attack::LateHeads(_)
        | Attack::LateOptions(_)
        | Attack::Downloads(_)
        | Attack::Uploads(..) => LISTEN,
    };
    let attacker = attack.start(&clients, SocketAddr::from(target), span)?;
    // Once the attack is in full swing.
    std::thread::sleep(span / 6);
    let others = Bystanders::start(&clients, SocketAddr::from(CALM), span * 2 / 3)?;
    let waits = others.wait();
    let rounds = attacker.wait();
    let restarts = running.restarts()?;
    Ok(Seen {
        waits,
        rounds,
        restarts,
    })
}

enum Running {
    Evenkeel(Node),
    // Its configuration lies there as long as it runs.
    Haproxy(
        Process,
        #[expect(dead_code, reason = "held, not read")] ScratchDir,
    ),
}

impl Running {
    fn start(
        proxy: Proxy,
        host: &Arc<Host>,
        threads: u16,
        [backend, calm]: [SocketAddr; 2],
    ) -> Result<Self, LabError> {
        match proxy {
            Proxy::Evenkeel => {
                let yaml = format!(
                    "listeners:\n  http: {{bind: [\"192.0.2.1:8080\"], pool: web}}\n  \
                     dead: {{bind: [\"192.0.2.1:8081\"], pool: none}}\n  \
                     calm: {{bind: [\"192.0.2.1:8082\"], pool: calm}}\npools:\n  \
                     web: {{backends: {{a: \"{backend}\"}}, health_check: {{tcp: {{}}, interval: 1s, fall: 10}}}}\n  \
                     calm: {{backends: {{a: \"{calm}\"}}, health_check: none}}\n  \
                     none: {{backends: {{a: \"127.0.0.1:1\"}}, health_check: {{tcp: {{}}, interval: 1s}}}}\n\
                     proxy: {{threads: {threads}}}\n"
                );
                let mut node = Node::start(host, &yaml, "lb1", &evenkeel())?;
                node.wait_for("the verdicts", PATIENCE, |status| {
                    let states = status.pools.iter().flat_map(|pool| &pool.backends);
                    states
                        .map(|backend| backend.state.as_str())
                        .eq(["up", "up", "down"])
                })?;
                Ok(Self::Evenkeel(node))
            }
            Proxy::Haproxy => {
                let scratch = ScratchDir::new()?;
                let path = scratch.path().join("haproxy.cfg");
                let text = format!(
                    "global\n  nbthread {threads}\n  maxconn 5000\n  no strict-limits\ndefaults\n  mode http\n  \
                     timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  option forwardfor\n\
                     frontend http\n  bind 192.0.2.1:8080\n  default_backend web\n\
                     frontend calm\n  bind 192.0.2.1:8082\n  default_backend calm\nbackend calm\n  server a {calm}\n\
                     frontend dead\n  bind 192.0.2.1:8081\n  default_backend none\n\
                     backend web\n  server a {backend} check\nbackend none\n  server a 127.0.0.1:1 check fall 1\n"
                );
                fs::write(&path, text).map_err(LabError::system("write haproxy.cfg"))?;
                let mut command = Command::new("/usr/sbin/haproxy");
                command.arg("-db").arg("-f").arg(path);
                let process = host.spawn(command)?;
                // Its checks need their seconds.
                std::thread::sleep(Duration::from_secs(3));
                Ok(Self::Haproxy(process, scratch))
            }
        }
    }

    fn restarts(&mut self) -> Result<Option<u64>, LabError> {
        match self {
            Self::Evenkeel(node) => {
                node.wait_for("an answer", PATIENCE, |_| true)?;
                let status = node.status().ok_or_else(|| LabError::EndedEarly {
                    name: "evenkeel".to_owned(),
                    status: "it does not answer".to_owned(),
                    log: node.log(),
                })?;
                let restarts = status.processes.iter().map(|process| process.restarts);
                for line in node.log().lines().filter(|line| line.contains("progress")) {
                    eprintln!("{line}");
                }
                Ok(Some(restarts.sum()))
            }
            Self::Haproxy(process, _) => process.check_runs().map(|()| None),
        }
    }
}

impl Proxy {
    const fn name(self) -> &'static str {
        match self {
            Self::Evenkeel => "evenkeel",
            Self::Haproxy => "HAProxy",
        }
    }
}

/// Where the others ask,
const CALM: ([u8; 4], u16) = ([192, 0, 2, 1], 8082);
/// where the proxy is attacked, before a backend,
const LISTEN: ([u8; 4], u16) = ([192, 0, 2, 1], 8080);
/// and before none.
const DEAD: ([u8; 4], u16) = ([192, 0, 2, 1], 8081);
const PATIENCE: Duration = Duration::from_secs(10);
