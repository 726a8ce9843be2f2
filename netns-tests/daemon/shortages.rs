//! What happens where the system gives too little: nobody else is blamed, and all is well when it
//! gives enough again.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::ipc::control::Status;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// S4, S5, S12, S14, A36: 300 clients on a limit of 256, with restarts, statuses and a rotated log
/// in it.
#[test]
fn descriptors_that_clients_use_up_cost_no_backend_and_no_process() {
    let directory = tempfile::tempdir().unwrap();
    let binary = limited(directory.path(), 256);
    let mut lab = Lab::new().unwrap();
    let host = lab.add_host("lb1", &["192.0.2.1/24"]).unwrap();
    let backend = backend(&host, "Connection: keep-alive\r\n");
    let yaml = format!(
        "virtual_routers:\n  web: {{interface: eth0, vrid: 51, priority: 150, \
         addresses: [192.0.2.100/24], advertisement_interval: 100ms}}\n\
         listeners:\n  http: {{virtual_router: web, port: 80, pool: web}}\n\
         pools:\n  web: {{backends: {{a: \"{backend}\"}}, health_check: {{http: {{path: /}}, interval: 50ms, timeout: 1s}}}}\n\
         proxy: {{threads: 2}}\naccess_log: {{to: {}}}\n",
        directory.path().join("access.log").display()
    );
    let mut node = Node::start(&host, &yaml, "lb1", &binary).unwrap();
    let address: SocketAddr = "192.0.2.100:80".parse().unwrap();
    node.wait_for("everything", PATIENCE, |status| {
        is_well(status) && status.virtual_routers[0].state == "Active"
    })
    .unwrap();
    let warnings = node.status().unwrap().warnings;
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("limit of open files allows")),
        "it is said with numbers: {warnings:?}"
    );

    live_through(&mut node, &host, address);

    let calm_at = Instant::now();
    node.wait_for("all is well", Duration::from_secs(1), is_well)
        .unwrap();
    let answer = fresh(&host, address);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    assert!(calm_at.elapsed() < Duration::from_secs(2));
    let status = node.status().unwrap();
    let restarts: Vec<_> = status
        .processes
        .iter()
        .map(|process| process.restarts)
        .collect();
    assert_eq!(
        restarts,
        [0, 1, 1],
        "who was not killed lives\n{}",
        node.log()
    );
    assert!(!node.log().contains(" to=down"), "{}", node.log());
    node.stop(PATIENCE).unwrap();
}

/// Floods the daemon with connections, asks it, has it rotate its log, and kills its children in
/// turn.
fn live_through(node: &mut Node, host: &Arc<Host>, address: SocketAddr) {
    let mut flood = connect_many(host, address, 300);
    let until = Instant::now() + Duration::from_secs(4);
    let mut turn = 0;
    while Instant::now() < until {
        let status = node.status();
        if turn % 10 > 3 {
            assert!(
                status.as_ref().is_some_and(is_up),
                "in turn {turn}: {status:#?}\n{}",
                node.log()
            );
        }
        match turn {
            4 => node.process().signal(Signal::SIGUSR1).unwrap(),
            10 => {
                end(node, "evenkeel-proxy");
                flood = connect_many(host, address, 300);
            }
            20 => end(node, "evenkeel-vrrp"),
            _ => {}
        }
        turn += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(turn > 22, "everything was tried: {turn}");
    drop(flood);
}

/// Probes and answers that end their connections, with a hundred local ports: ports are not left
/// occupied, and where they are, that says nothing about the backend.
#[test]
fn ports_that_are_short_cost_no_backend() {
    let mut lab = Lab::new().unwrap();
    let host = lab.add_host("lb1", &["192.0.2.1/24"]).unwrap();
    host.set_sysctl("net/ipv4/ip_local_port_range", "40000 40099")
        .unwrap();
    let backend = backend(&host, "Connection: close\r\n");
    let yaml = format!(
        "listeners:\n  http: {{bind: [\"192.0.2.1:8080\"], pool: web}}\n\
         pools:\n  web: {{backends: {{a: \"{backend}\"}}, health_check: {{http: {{path: /}}, interval: 20ms, timeout: 500ms}}}}\n  \
         tcp: {{backends: {{a: \"{backend}\"}}, health_check: {{tcp: {{}}, interval: 1s}}}}\n\
         proxy: {{threads: 1}}\n",
    );
    let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
    let mut node = Node::start(&host, &yaml, "lb1", binary).unwrap();
    node.wait_for("backends", PATIENCE, is_well).unwrap();
    let address: SocketAddr = "192.0.2.1:8080".parse().unwrap();
    // One connection, so that clients need no ports: 300 requests, 300 connections to the backend.
    let answers = host
        .run(move || {
            let mut client = connect(address);
            (0..300).map(|_| ask(&mut client)).collect::<Vec<_>>()
        })
        .unwrap();
    let bad: Vec<_> = answers
        .iter()
        .filter(|answer| !answer.starts_with("HTTP/1.1 200"))
        .collect();
    assert!(bad.is_empty(), "{} of 300: {:?}", bad.len(), bad.first());

    // Now all ports are held by others.
    let held = host
        .run(move || {
            let connect = || TcpStream::connect_timeout(&backend, PATIENCE);
            (0..100).map_while(|_| connect().ok()).collect::<Vec<_>>()
        })
        .unwrap();
    let until = Instant::now() + Duration::from_secs(1);
    let mut warned = false;
    while Instant::now() < until {
        let status = node.status().unwrap();
        assert!(is_up(&status), "{status:#?}");
        warned |= status
            .warnings
            .iter()
            .any(|warning| warning.contains("Cannot assign requested address"));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(warned, "what is short is shown");
    drop(held);
    node.stop(PATIENCE).unwrap();
}

fn is_up(status: &Status) -> bool {
    let mut backends = status.pools.iter().flat_map(|pool| &pool.backends);
    backends.all(|backend| backend.state == "up")
}

/// All processes answer, and all backends are up and probed.
fn is_well(status: &Status) -> bool {
    let answer = !status
        .warnings
        .iter()
        .any(|warning| warning.contains("does not answer"));
    let mut backends = status.pools.iter().flat_map(|pool| &pool.backends);
    answer
        && !status.pools.is_empty()
        && backends.all(|backend| {
            backend.state == "up" && (backend.check.contains("200") || backend.check == "connected")
        })
}

/// Kills a process of the daemon by its number.
fn end(node: &mut Node, name: &str) {
    let pid = node.pid_of(name).expect("it runs");
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
}

/// Writes a script that starts the daemon with so many descriptors.
fn limited(directory: &Path, limit: u32) -> PathBuf {
    let script = directory.join("limited");
    let text = format!(
        "#!/bin/sh\nulimit -n {limit}\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_evenkeel")
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

/// Starts a backend that answers everything with 200 and this field; it lives as long as the test's
/// process.
fn backend(host: &Arc<Host>, field: &'static str) -> SocketAddr {
    let listener = host
        .try_run("listen", || TcpListener::bind("192.0.2.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, field));
        }
    });
    address
}

fn serve(mut stream: TcpStream, field: &str) {
    let answer = format!("HTTP/1.1 200 OK\r\n{field}Content-Length: 2\r\n\r\nok");
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        read.extend_from_slice(&buffer[..len]);
        if read.ends_with(b"\r\n\r\n") {
            read.clear();
            let closes = field.contains("close");
            if stream.write_all(answer.as_bytes()).is_err() || closes {
                return;
            }
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Opens idle connections; the kernel accepts also those that the proxy does not.
fn connect_many(host: &Arc<Host>, address: SocketAddr, count: usize) -> Vec<TcpStream> {
    host.run(move || {
        let streams = (0..count).map(|_| TcpStream::connect_timeout(&address, PATIENCE));
        streams.flatten().collect()
    })
    .unwrap()
}

/// Asks on a connection that is kept; returns the answer.
fn ask(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    if stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .is_err()
    {
        return "not sent".to_owned();
    }
    while !text.ends_with(b"\r\n\r\nok") {
        match stream.read(&mut buffer) {
            Ok(len @ 1..) => text.extend_from_slice(&buffer[..len]),
            Ok(_) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn fresh(host: &Arc<Host>, address: SocketAddr) -> String {
    host.run(move || ask(&mut connect(address))).unwrap()
}

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(10);
