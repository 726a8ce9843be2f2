//! A pair whose address is attacked: nobody is killed for being busy, and the address has an owner
//! at every moment.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::lab::attacks::{Attack, Bystanders, Glutton};
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// S1, S3, S6: one client once had both nodes of a pair in fault after 7 s.
#[test]
fn an_attacked_pair_has_an_owner_at_every_moment_and_loses_no_process() {
    let mut lab = Lab::new().unwrap();
    let hosts = [
        lab.add_host("lb1", &["192.0.2.1/24"]).unwrap(),
        lab.add_host("lb2", &["192.0.2.2/24"]).unwrap(),
    ];
    let client = lab.add_host("client", &["192.0.2.9/24"]).unwrap();
    let backend = Glutton::start(&client, "192.0.2.9:80".parse().unwrap()).unwrap();
    let yaml = format!(
        "virtual_routers:\n  web: {{interface: eth0, vrid: 51, priority: {{lb1: 150, lb2: 100}}, \
         addresses: [192.0.2.100/24], advertisement_interval: 100ms}}\n\
         listeners:\n  http: {{virtual_router: web, port: 80, pool: web}}\n  \
         dead: {{bind: [\"0.0.0.0:81\"], pool: none}}\n\
         pools:\n  web: {{backends: {{a: \"{backend}\"}}, health_check: {{tcp: {{}}, interval: 1s, fall: 10}}}}\n  \
         none: {{backends: {{a: \"127.0.0.1:1\"}}, health_check: {{tcp: {{}}, interval: 1s}}}}\n\
         proxy: {{threads: 1}}\n"
    );
    let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
    let mut nodes = [("lb1", "Active"), ("lb2", "Backup")].map(|(name, _)| {
        let host = lab.host(name).unwrap();
        Node::start(host, &yaml, name, binary).unwrap()
    });
    for (node, state) in nodes.iter_mut().zip(["Active", "Backup"]) {
        node.wait_for(state, PATIENCE, |status| {
            status.virtual_routers[0].state == state && status.pools[0].backends[0].state == "up"
        })
        .unwrap();
    }
    for (attack, port) in [
        (Attack::LateOptions(180), 80),
        (Attack::Pipelines(4), 81),
        (Attack::Uploads(40, 16 * 1024), 80),
    ] {
        let target = SocketAddr::from(([192, 0, 2, 100], port));
        let span = Duration::from_secs(3);
        let attacker = attack.start(&client, target, span).unwrap();
        let others = SocketAddr::from(([192, 0, 2, 100], 80));
        let others = Bystanders::start(&client, others, span).unwrap();
        let until = Instant::now() + span;
        while Instant::now() < until {
            let owned = hosts.iter().any(has_address);
            assert!(
                owned,
                "{attack:?}: nobody has the address\n{}",
                nodes[0].log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let waits = others.wait();
        assert!(attacker.wait() > 0, "{attack:?}: it was an attack");
        assert_eq!(waits.failed, 0, "{attack:?}: others are answered");
        assert!(waits.answered.len() > 5, "{attack:?}: {waits:?}");
    }
    for node in &mut nodes {
        node.wait_for("an answer", PATIENCE, |_| true).unwrap();
        let status = node.status().unwrap();
        let restarts: u64 = status
            .processes
            .iter()
            .map(|process| process.restarts)
            .sum();
        assert_eq!(restarts, 0, "nobody is killed\n{}", node.log());
        let log = node.log();
        assert_eq!(
            log.matches("state changed").count(),
            usize::from(node.name() == "lb1") + 1,
            "{log}"
        );
    }
}

/// What is killed was described before: a process that is frozen has threads that are stopped.
#[test]
fn the_log_says_what_a_process_did_before_it_was_killed() {
    let mut lab = Lab::new().unwrap();
    let host = lab.add_host("lb1", &["192.0.2.1/24"]).unwrap();
    let backend = Glutton::start(&host, "192.0.2.1:80".parse().unwrap()).unwrap();
    let yaml = format!(
        "listeners:\n  http: {{bind: [\"192.0.2.1:8080\"], pool: web}}\n\
         pools:\n  web: {{backends: {{a: \"{backend}\"}}, health_check: none}}\nproxy: {{threads: 1}}\n"
    );
    let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
    let mut node = Node::start(&host, &yaml, "lb1", binary).unwrap();
    node.wait_for("an answer", PATIENCE, |status| !status.listeners.is_empty())
        .unwrap();
    let pid = i32::try_from(node.pid_of("evenkeel-proxy").unwrap()).unwrap();
    let deadline_at = Instant::now() + PATIENCE;
    while !names_of_threads(pid).iter().any(|name| name == "checks") {
        assert!(Instant::now() < deadline_at, "the checks have a thread");
        std::thread::yield_now();
    }
    kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    node.wait_for("a restart", PATIENCE, |status| {
        status.processes.iter().any(|process| process.restarts == 1)
    })
    .unwrap();
    let log = node.log();
    let line = log
        .lines()
        .find(|line| line.contains("process makes no progress, killing it"))
        .unwrap_or_else(|| panic!("no word of it in\n{log}"));
    assert!(
        line.contains("data-0 T ") && line.contains("checks T "),
        "{line}"
    );
}

fn names_of_threads(pid: i32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
    let names = tasks.flatten().filter_map(|task| name(task).ok());
    names.map(|name| name.trim().to_owned()).collect()
}

fn has_address(host: &Arc<Host>) -> bool {
    host.run(|| UdpSocket::bind("192.0.2.100:0").is_ok())
        .unwrap()
}

const PATIENCE: Duration = Duration::from_secs(10);
