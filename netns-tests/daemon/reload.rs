//! Reloads of one daemon whose two children do not answer alike.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::pair::is_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The proxy has prepared another format of the log when the log is opened anew, and is told to
/// forget it because the other process dies.
#[test]
fn access_log_that_was_opened_anew_outlives_a_reload_that_fails() {
    let directory = tempfile::tempdir().unwrap();
    let (log, moved) = (directory.path().join("log"), directory.path().join("moved"));
    let mut lab = Lab::new().unwrap();
    let host = lab.add_host("lb1", &["192.0.2.1/24"]).unwrap();
    let yaml = format!(
        "virtual_routers:\n  web: {{interface: eth0, vrid: 51, addresses: [192.0.2.100/24], \
         advertisement_interval: 100ms}}\nlisteners: {{http: {{bind: [\"192.0.2.1:80\"], pool: \
         web}}}}\npools: {{web: {{backends: {{a: \"192.0.2.1:9\"}}, health_check: none}}}}\n\
         access_log: {{to: {}}}\n",
        log.display()
    );
    let other = yaml.replace("log}", "log, format: \"{client} {path} {status}\"}");
    let mut node = Node::start(&host, &yaml, "lb1", Path::new(BINARY)).unwrap();
    let active = |status: &_| is_all(status, "Active");
    node.wait_for("Active", PATIENCE, active).unwrap();
    let processes = node.status().unwrap().processes;
    let vrrp = processes.iter().find(|it| it.name == "evenkeel-vrrp");
    let vrrp = Pid::from_raw(vrrp.unwrap().pid.unwrap().try_into().unwrap());
    kill(vrrp, Signal::SIGSTOP).unwrap();
    node.reload(&other).unwrap();
    fs::rename(&log, &moved).unwrap();
    // The proxy needs a moment to prepare, and the frozen process is killed 300 ms after it froze.
    std::thread::park_timeout(Duration::from_millis(100));
    node.process().signal(Signal::SIGUSR1).unwrap();
    let failed = |status: &evenkeel::ipc::control::Status| {
        status.configuration.last_failure.is_some() && is_all(status, "Active")
    };
    node.wait_for("the end of the reload", PATIENCE, failed)
        .unwrap();
    host.run(|| {
        let mut stream = TcpStream::connect(SocketAddr::from(([192, 0, 2, 1], 80))).unwrap();
        let head = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        stream.write_all(head).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    })
    .unwrap();
    let until = Instant::now() + PATIENCE;
    while fs::read_to_string(&log).is_ok_and(|text| text.is_empty()) {
        let old = fs::read_to_string(&moved).unwrap();
        assert!(
            Instant::now() < until && old.is_empty(),
            "in the old one: {old}"
        );
        std::thread::park_timeout(Duration::from_millis(10));
    }
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 1);
}

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");
const PATIENCE: Duration = Duration::from_secs(10);
