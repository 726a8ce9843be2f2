//! The daemon as a whole without privileges: listeners on loopback, no virtual router.
//!
//! Started as a person would start it, asked over the control socket, hurt by killing its parts,
//! stopped by SIGTERM.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "control/commands.rs"]
mod commands;
#[path = "common/daemon.rs"]
mod daemon;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use daemon::{Daemon, evenkeel, free_address};
use evenkeel::ipc::control::Status;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn daemon_serves_and_tells_its_state() {
    let daemon = Daemon::start();
    assert_eq!(daemon.get().as_deref(), Some("hello"));
    daemon.wait("the backend is up", |daemon| {
        daemon
            .status()
            .is_some_and(|status| status.pools[0].backends[0].state == "up")
    });
    let status = daemon.status().unwrap();
    assert_eq!(status.node, "lb1");
    assert_eq!(status.listeners[0].binds, [daemon.listen]);
    assert!(
        status.listeners[0].requests_total >= 1,
        "requests are counted"
    );
    let names: Vec<&str> = status
        .processes
        .iter()
        .map(|process| process.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["evenkeel", "evenkeel-proxy"],
        "without a virtual router nobody needs rights"
    );

    let shown = evenkeel()
        .args(["status", "--runtime-dir"])
        .arg(daemon.runtime_dir())
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("LISTENER") && shown.contains("REFUSED") && shown.contains("webfarm"),
        "{shown}"
    );
    assert!(
        shown.contains(" of 50 ") && shown.contains("QUEUE OF POOL"),
        "{shown}"
    );
    let json = evenkeel()
        .args(["status", "--json", "--runtime-dir"])
        .arg(daemon.runtime_dir())
        .output()
        .unwrap();
    let json: Status = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json.node, "lb1");
    let pool = &json.pools[0];
    let queue = (pool.queued_requests, pool.backends[0].requests_max);
    assert_eq!(queue, (0, Some(50)));
}

#[test]
fn events_of_a_daemon_without_virtual_routers_are_none() {
    let daemon = Daemon::start();
    let output = evenkeel()
        .args(["events", "--runtime-dir"])
        .arg(daemon.runtime_dir())
        .output()
        .unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    let elsewhere = tempfile::tempdir().unwrap();
    let output = evenkeel()
        .args(["events", "--follow", "--runtime-dir"])
        .arg(elsewhere.path())
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "who begins to follow nobody is told so"
    );
}

#[test]
fn nonsense_on_the_control_socket_is_answered_with_an_error() {
    let daemon = Daemon::start();
    let mut stream = UnixStream::connect(daemon.runtime_dir().join("control.sock")).unwrap();
    stream.write_all(b"what?\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert!(line.starts_with(r#"{"error":"not a question"#), "{line}");
    assert!(daemon.status().is_some(), "it answers others still");
}

#[test]
fn killed_proxy_is_replaced_and_no_connection_is_refused() {
    let daemon = Daemon::start();
    let first = daemon.pid("evenkeel-proxy").unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    // The supervisor still listens: this connection waits for the next proxy.
    assert_eq!(daemon.get().as_deref(), Some("hello"));
    daemon.wait("another proxy runs", |daemon| {
        daemon.pid("evenkeel-proxy").is_some_and(|pid| pid != first)
    });
    assert_eq!(daemon.status().unwrap().processes[1].restarts, 1);
}

#[test]
fn frozen_proxy_is_killed_and_replaced() {
    let daemon = Daemon::start();
    let first = daemon.pid("evenkeel-proxy").unwrap();
    kill(first, Signal::SIGSTOP).unwrap();
    daemon.wait("another proxy serves", |daemon| {
        daemon.get().is_some() && daemon.pid("evenkeel-proxy").is_some_and(|pid| pid != first)
    });
}

#[test]
fn sigterm_stops_everything_and_leaves_no_socket() {
    let mut daemon = Daemon::start();
    let proxy = daemon.pid("evenkeel-proxy").unwrap();
    daemon.signal(Signal::SIGTERM);
    let deadline = Instant::now() + Duration::from_secs(10);
    let code = loop {
        if let Some(status) = daemon.process.try_wait().unwrap() {
            break status.code();
        }
        assert!(Instant::now() < deadline, "it does not stop");
        thread::park_timeout(Duration::from_millis(10));
    };
    assert_eq!(code, Some(0));
    assert!(kill(proxy, None).is_err(), "the proxy has gone too");
    assert!(!daemon.runtime_dir().join("control.sock").exists());
    let mut log = String::new();
    daemon
        .process
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert!(
        log.contains("signal=SIGTERM stopping") && log.contains("stopped"),
        "{log}"
    );
}

#[test]
fn supervisor_that_dies_takes_the_proxy_with_it() {
    let mut daemon = Daemon::start();
    let proxy = daemon.pid("evenkeel-proxy").unwrap();
    daemon.process.kill().unwrap();
    daemon.process.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while kill(proxy, None).is_ok() {
        assert!(Instant::now() < deadline, "the proxy lives on");
        thread::park_timeout(Duration::from_millis(10));
    }
}

const ACCESS_LOG: &str = "access_log: {to: DIR/access.log, format: \"{path} {status}\"}\n";

#[test]
fn access_log_is_opened_anew_on_sigusr1_and_no_line_is_lost() {
    let daemon = Daemon::start_with(ACCESS_LOG);
    let moved = ["access.log.1", "access.log.2", "access.log.3"];
    let mut answered = 1; // the one that `start` waits for
    for name in moved {
        for _ in 0..20 {
            answered += usize::from(daemon.get().is_some());
        }
        let path = |name| daemon.directory.path().join(name);
        fs::rename(path("access.log"), path(name)).unwrap();
        for _ in 0..20 {
            answered += usize::from(daemon.get().is_some());
        }
        daemon.signal(Signal::SIGUSR1);
        daemon.wait("the log is there again", |daemon| {
            daemon.directory.path().join("access.log").exists()
        });
    }
    answered += usize::from(daemon.get().is_some());
    let all = |daemon: &Daemon| -> Vec<String> {
        let files = moved.iter().chain(&["access.log"]);
        files.flat_map(|name| daemon.lines(name)).collect()
    };
    daemon.wait("every answer has its line", |daemon| {
        all(daemon).len() == answered
    });
    let all = all(&daemon);
    assert!(all.iter().all(|line| line == "/ 200"), "{all:?}");
    let log = |daemon: &Daemon| daemon.status().unwrap().access_log.unwrap();
    daemon.wait("every line is counted", |daemon| {
        log(daemon).lines_written_total == u64::try_from(answered).unwrap()
    });
    let log = log(&daemon);
    assert_eq!((log.lines_dropped_total, log.error.as_str()), (0, ""));
}

#[test]
fn access_log_outlives_the_proxy_and_a_directory_that_is_gone() {
    let daemon = Daemon::start_with(ACCESS_LOG);
    daemon.wait("a line is written", |daemon| {
        !daemon.lines("access.log").is_empty()
    });
    let first = daemon.pid("evenkeel-proxy").unwrap();
    // Meant for the supervisor; a child does not die of it.
    kill(first, Signal::SIGUSR1).unwrap();
    kill(first, Signal::SIGHUP).unwrap();
    assert!(daemon.get().is_some());
    assert_eq!(daemon.pid("evenkeel-proxy"), Some(first));
    kill(first, Signal::SIGKILL).unwrap();
    daemon.wait("another proxy serves", |daemon| {
        daemon.get().is_some() && daemon.pid("evenkeel-proxy").is_some_and(|pid| pid != first)
    });
    let before = daemon.lines("access.log").len();
    let log = daemon.directory.path().join("access.log");
    let kept = daemon.directory.path().join("kept.log");
    fs::rename(&log, &kept).unwrap();
    fs::create_dir(&log).unwrap();
    daemon.signal(Signal::SIGUSR1);
    assert!(daemon.get().is_some());
    daemon.wait("the old file stays in use", |daemon| {
        daemon.lines("kept.log").len() > before
    });
}

#[test]
fn stopping_daemon_writes_its_last_lines() {
    let mut daemon = Daemon::start_with(ACCESS_LOG);
    for _ in 0..10 {
        assert!(daemon.get().is_some());
    }
    daemon.signal(Signal::SIGTERM);
    daemon.process.wait().unwrap();
    assert_eq!(daemon.lines("access.log").len(), 11);
}

#[test]
fn access_log_that_cannot_be_opened_is_an_error_that_says_how_to_mend_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("evenkeel.yaml");
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let missing = directory.path().join("no/access.log");
    for (to, hoped) in [
        (&missing, "help: its directory is not there"),
        (&pipe, "help: nobody reads the pipe"),
    ] {
        let to = to.display();
        let listen = free_address();
        let config = format!(
            "access_log: {{to: {to}}}\nlisteners: {{http: {{bind: [\"{listen}\"], pool: p}}}}\n\
             pools: {{p: {{backends: {{a: \"127.0.0.1:9\"}}, health_check: none}}}}\n"
        );
        fs::write(&file, config).unwrap();
        let refused = evenkeel()
            .args(["run", "--config"])
            .arg(&file)
            .args(["--runtime-dir"])
            .arg(directory.path().join("run"))
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(1));
        let complaint = String::from_utf8(refused.stderr).unwrap();
        let what = format!("failed to open the access log {to}");
        assert!(
            complaint.contains(&what) && complaint.contains(hoped),
            "{complaint}"
        );
    }
}

#[test]
fn access_log_on_standard_output_is_one_line_a_request() {
    let mut daemon =
        Daemon::start_with("access_log: {to: stdout, format: \"{method} {status}\"}\n");
    assert!(daemon.get().is_some());
    daemon.signal(Signal::SIGTERM);
    let mut text = String::new();
    let stdout = daemon.process.stdout.as_mut().unwrap();
    stdout.read_to_string(&mut text).unwrap();
    assert_eq!(text, "GET 200\nGET 200\n");
}

#[test]
fn second_daemon_with_the_same_directory_is_refused() {
    let daemon = Daemon::start();
    let second = evenkeel()
        .args(["run", "--config"])
        .arg(daemon.directory.path().join("evenkeel.yaml"))
        .args(["--node", "lb1", "--runtime-dir"])
        .arg(daemon.runtime_dir())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let complaint = String::from_utf8(second.stderr).unwrap();
    assert!(
        complaint.contains("another evenkeel already runs"),
        "{complaint}"
    );
}

#[test]
fn taken_port_is_an_error_that_says_where_and_how_to_mend_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("evenkeel.yaml");
    fs::write(
        &file,
        format!(
            "listeners: {{http: {{bind: [\"{address}\"], pool: p}}}}\n\
             pools: {{p: {{backends: {{a: \"127.0.0.1:9\"}}, health_check: none}}}}\n"
        ),
    )
    .unwrap();
    let refused = evenkeel()
        .args(["run", "--config"])
        .arg(&file)
        .args(["--runtime-dir"])
        .arg(directory.path().join("run"))
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(
        complaint.contains(&format!("listener http: failed to listen on {address}"))
            && complaint.contains("help: another program listens there"),
        "{complaint}"
    );
}

#[test]
fn status_without_a_daemon_says_what_to_look_at() {
    let directory = tempfile::tempdir().unwrap();
    let output = evenkeel()
        .args(["status", "--runtime-dir"])
        .arg(directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("help: is it running?"), "{complaint}");
}

#[test]
fn wrong_usage_is_exit_code_2_and_bad_configuration_78() {
    assert_eq!(
        evenkeel().arg("start").output().unwrap().status.code(),
        Some(2)
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("evenkeel.yaml");
    fs::write(&file, "virtual_routers: 7\n").unwrap();
    for command in ["run", "check"] {
        let output = evenkeel()
            .args([command, "--config"])
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(78), "{command}");
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(complaint.contains("evenkeel.yaml:1:"), "{complaint}");
    }
}

/// Sets how many descriptors a running process may have.
fn limit_descriptors(pid: Pid, most: u64) {
    let done = Command::new("prlimit")
        .arg(format!("--pid={pid}"))
        .arg(format!("--nofile={most}:"))
        .status()
        .unwrap();
    assert!(done.success(), "prlimit (util-linux) sets the limit");
}

#[test]
fn proxy_that_cannot_be_started_for_want_of_descriptors_is_started_later() {
    let mut daemon = Daemon::start();
    let supervisor = Pid::from_raw(i32::try_from(daemon.process.id()).unwrap());
    let proxy = daemon.pid("evenkeel-proxy").unwrap();
    limit_descriptors(supervisor, 4);
    kill(proxy, Signal::SIGKILL).unwrap();
    daemon.wait("the proxy is gone", |_| kill(proxy, None).is_err());
    // Several attempts fail; none of them is the end.
    thread::park_timeout(Duration::from_millis(700));
    assert!(daemon.process.try_wait().unwrap().is_none(), "it has ended");
    limit_descriptors(supervisor, 1_024);
    daemon.wait("another proxy serves", |daemon| daemon.get().is_some());
    let warnings = daemon.status().unwrap().warnings;
    let hoped = "evenkeel-proxy could not be started: ";
    assert!(
        warnings.iter().any(|warning| warning.starts_with(hoped)),
        "{warnings:?}"
    );
    daemon.signal(Signal::SIGTERM);
    daemon.process.wait().unwrap();
    let mut log = String::new();
    let stderr = daemon.process.stderr.as_mut().unwrap();
    stderr.read_to_string(&mut log).unwrap();
    assert_eq!(
        log.matches("evenkeel-proxy could not be started").count(),
        1,
        "said once a minute:\n{log}"
    );
}

#[test]
fn proxy_without_descriptors_survives_a_large_status_and_sigusr1() {
    let many: Vec<String> = (0..150)
        .map(|n| format!("b{n}: \"127.0.0.1:{}\"", n + 1))
        .collect();
    let mut command = Command::new("prlimit");
    command.args(["--nofile=64:64", env!("CARGO_BIN_EXE_evenkeel")]);
    let pools = format!(
        "  many: {{health_check: none, backends: {{{}}}}}\n",
        many.join(", ")
    );
    let daemon = Daemon::launch(command, ACCESS_LOG, &pools);
    let proxy = daemon.pid("evenkeel-proxy").unwrap();
    let clients: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(daemon.listen).unwrap())
        .collect();
    daemon.wait("the proxy has no descriptor to spare", |daemon| {
        let status = daemon.status().unwrap();
        let turned_away = |l: &evenkeel::ipc::control::ListenerStatus| {
            l.connections_refused_total + l.connections_evicted_total > 20
        };
        status.listeners.first().is_some_and(turned_away)
    });
    for _ in 0..10 {
        // Whole or without its part: what the proxy says is 30 kB, and needs a descriptor.
        assert!(daemon.status().is_some());
        daemon.signal(Signal::SIGUSR1);
    }
    drop(clients);
    daemon.wait("it serves", |daemon| daemon.get().is_some());
    assert_eq!(daemon.pid("evenkeel-proxy"), Some(proxy), "it lives on");
}

#[test]
fn silent_control_connections_do_not_delay_a_status() {
    let daemon = Daemon::start();
    let path = daemon.runtime_dir().join("control.sock");
    let silent: Vec<UnixStream> = (0..40)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    let asked_at = Instant::now();
    assert!(daemon.status().is_some());
    let took = asked_at.elapsed();
    assert!(took < Duration::from_millis(700), "{took:?}");
    drop(silent);
}

#[test]
fn runtime_directory_of_a_daemon_is_its_users_alone() {
    use std::os::unix::fs::MetadataExt;
    let daemon = Daemon::start();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(daemon.runtime_dir()), 0o700);
    assert_eq!(mode(daemon.runtime_dir().join("lock")), 0o600);
}

/// A signal that comes before the daemon listens to it would end the process by default.
#[test]
fn a_signal_while_the_daemon_begins_is_followed_when_it_can_be() {
    let mut command = Command::new("env");
    command
        .args(["--block-signal=HUP", "sh", "-c"])
        .arg("kill -HUP $$; exec \"$0\" \"$@\"")
        .arg(env!("CARGO_BIN_EXE_evenkeel"));
    let manager = tempfile::tempdir().unwrap();
    let path = manager.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    command.env("NOTIFY_SOCKET", &path);
    let daemon = Daemon::launch(command, "", "");
    daemon.wait("the signal has been followed", |daemon| {
        let status = daemon.status();
        status.is_some_and(|status| status.configuration.generation == 2)
    });
    socket.set_nonblocking(true).unwrap();
    let mut told = Vec::new();
    let mut buf = [0; 256];
    while let Ok(len) = socket.recv(&mut buf) {
        told.push(String::from_utf8_lossy(&buf[..len]).into_owned());
    }
    let first = told.iter().find(|told| told.contains("RE")).unwrap();
    assert_eq!(first, "READY=1", "what begins does not reload: {told:?}");
}
