//! The commands that look at a running daemon: what runs, who is connected, what is asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::{Daemon, evenkeel};

fn command(daemon: &Daemon, arguments: &[&str]) -> Command {
    let mut command = evenkeel();
    command.args(arguments);
    command.arg("--runtime-dir").arg(daemon.runtime_dir());
    command
}

fn output(daemon: &Daemon, arguments: &[&str]) -> Output {
    command(daemon, arguments).output().unwrap()
}

fn json(daemon: &Daemon, arguments: &[&str]) -> serde_json::Value {
    let output = output(daemon, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// `evenkeel logs`, until the test ends.
struct Follower {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Follower {
    /// Starts one; it may be that it does not get the next line yet.
    fn start(daemon: &Daemon, arguments: &[&str]) -> Self {
        let mut process = command(daemon, arguments);
        let mut process = process.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends a request for a path on a connection of its own, and reads its answer.
fn ask(daemon: &Daemon, path: &str) {
    let mut stream = TcpStream::connect(daemon.listen).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
}

/// Starts to follow, and asks until the follower is there.
fn followed(daemon: &Daemon, arguments: &[&str]) -> Follower {
    let mut follower = Follower::start(daemon, arguments);
    let (done, is_done) = std::sync::mpsc::sync_channel::<()>(1);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while is_done.try_recv().is_err() {
                ask(daemon, "/first");
                std::thread::park_timeout(std::time::Duration::from_millis(20));
            }
        });
        let first = follower.line();
        assert!(first.contains("/first"), "{first}");
        done.send(()).unwrap();
    });
    follower
}

#[test]
fn configuration_that_runs_is_shown_without_secrets_and_with_what_was_changed() {
    let daemon = Daemon::start_with("# token: t0ken\n");
    let path = daemon.directory.path().join("evenkeel.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let secret = "health_check: {http: {path: /, headers: {Authorization: s3cret}}";
    let text = text.replace("health_check: {tcp: {}", secret);
    assert!(text.contains("s3cret"), "{text}");
    std::fs::write(&path, text).unwrap();
    assert!(output(&daemon, &["reload"]).status.success());
    let drained = output(&daemon, &["backend", "webfarm/one", "weight", "3"]);
    assert!(drained.status.success(), "{drained:?}");
    // What is on disk is another matter.
    std::fs::write(&path, "nonsense").unwrap();

    let shown = output(&daemon, &["config", "show"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("# by command: backend webfarm/one: weight 3"),
        "{shown}"
    );
    assert!(shown.contains("Authorization: (hidden)"), "{shown}");
    assert!(
        !shown.contains("s3cret") && !shown.contains("t0ken"),
        "{shown}"
    );
    let shown = json(&daemon, &["config", "show", "--json"]);
    assert_eq!(shown["configuration"]["proxy"]["threads"], 2);
    assert_eq!(shown["overrides"][0]["change"], "weight 3");
    assert_eq!(shown["generation"], 3);
}

#[test]
fn requests_are_followed_through_a_filter_also_over_a_restart_of_the_proxy() {
    let text = "'{client} {status}'";
    let daemon = Daemon::start_with(&format!("access_log: {{to: DIR/log, format: {text}}}\n"));
    let mut all = followed(&daemon, &["logs"]);
    let mut some = followed(
        &daemon,
        &["logs", "--json", "--status", "200", "--slow", "0ms"],
    );
    let mut none = Follower::start(&daemon, &["logs", "--status", "5xx"]);
    ask(&daemon, "/second");
    let find = |follower: &mut Follower, wanted: &str| loop {
        let line = follower.line();
        assert!(!line.is_empty(), "it goes on");
        if line.contains(wanted) {
            return line;
        }
    };
    let line = find(&mut all, "/second");
    assert!(line.contains(" 127.0.0.1 200 "), "{line}");
    assert!(
        line.ends_with("GET test/second http -> webfarm/one\n"),
        "{line}"
    );
    let line: serde_json::Value = serde_json::from_str(&find(&mut some, "/second")).unwrap();
    assert_eq!(
        (&line["status"], &line["path"]),
        (&200.into(), &"/second".into())
    );

    let first = daemon.pid("evenkeel-proxy").unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    daemon.wait("another proxy runs", |daemon| {
        daemon.pid("evenkeel-proxy").is_some_and(|pid| pid != first)
    });
    std::thread::scope(|scope| {
        let (done, is_done) = std::sync::mpsc::sync_channel::<()>(1);
        let daemon = &daemon;
        scope.spawn(move || {
            while is_done.try_recv().is_err() {
                ask(daemon, "/third");
                std::thread::park_timeout(std::time::Duration::from_millis(20));
            }
        });
        find(&mut all, "/third");
        done.send(()).unwrap();
    });
    none.process.kill().unwrap();
    assert_eq!(none.line(), "", "nothing has passed");
}

#[test]
fn a_follower_that_does_not_read_holds_nothing_and_is_told_what_it_lost() {
    let daemon = Daemon::start_with("access_log: {to: DIR/log}\n");
    let mut follower = followed(&daemon, &["logs", "--json"]);
    let pid = Pid::from_raw(i32::try_from(follower.process.id()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    let long = format!("/{}", "x".repeat(3000));
    let before = daemon.lines("log").len();
    for _ in 0..800 {
        ask(&daemon, &long);
    }
    daemon.wait("the log has all", |daemon| {
        daemon.lines("log").len() >= before + 800
    });
    kill(pid, Signal::SIGCONT).unwrap();
    let dropped: u64 = loop {
        ask(&daemon, "/more");
        let line = follower.line();
        if let Some(lines) = line.strip_prefix("{\"dropped\":") {
            break lines.trim_end_matches("}\n").parse().unwrap();
        }
    };
    assert!((1..=800).contains(&dropped), "{dropped}");
}

#[test]
fn without_an_access_log_nothing_is_followed_and_it_is_said_how_to_mend_that() {
    let daemon = Daemon::start();
    let said = complaint(&output(&daemon, &["logs"]));
    assert!(
        said.starts_with("error: the access log is off\nhelp: write"),
        "{said}"
    );
    let said = complaint(&output(&daemon, &["logs", "--pool", "web"]));
    assert_eq!(said, "error: there is no pool web; there are: webfarm\n");
}

#[test]
fn connections_are_listed_with_what_they_do() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let pools = format!(
        "  silent:\n    backends: {{mute: \"{}\"}}\n    health_check: none\n",
        backend.local_addr().unwrap()
    );
    let daemon = Daemon::launch(evenkeel(), "", &pools);
    let path = daemon.directory.path().join("evenkeel.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let routed = "    routes: [{path: /silent, pool: silent}]\n    pool: webfarm\n";
    std::fs::write(&path, text.replace("    pool: webfarm\n", routed)).unwrap();
    assert!(output(&daemon, &["reload"]).status.success());

    let _idle = TcpStream::connect(daemon.listen).unwrap();
    let mut waiting = TcpStream::connect(daemon.listen).unwrap();
    let request = b"GET /silent HTTP/1.1\r\nHost: test\r\n\r\n";
    waiting.write_all(request).unwrap();
    let own = waiting.local_addr().unwrap().to_string();
    daemon.wait("both are there", |daemon| {
        let all = json(daemon, &["connections", "--json"]);
        let all = all["connections"].as_array().unwrap();
        all.len() == 2 && all.iter().any(|it| it["state"] == "waiting")
    });
    let all = json(
        &daemon,
        &["connections", "--json", "--client", "127.0.0.0/8"],
    );
    let connections = all["connections"].as_array().unwrap();
    let one = connections
        .iter()
        .find(|it| it["client"] == own.as_str())
        .unwrap();
    assert_eq!(one["backend"], "silent/mute");
    assert_eq!(one["received_bytes"], request.len());
    assert_eq!(
        (&all["left_out"], &all["threads_missing"]),
        (&0.into(), &0.into())
    );
    assert!(
        connections
            .iter()
            .any(|it| it["state"] == "idle" && it["backend"].is_null())
    );

    let text = output(&daemon, &["connections", "--listener", "http"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with("CLIENT") && text.contains(&own), "{text}");
    let text = output(&daemon, &["connections", "--client", "192.0.2.1"]);
    assert_eq!(text.stdout, b"nobody is connected\n");
    let said = complaint(&output(&daemon, &["connections", "--listener", "https"]));
    assert_eq!(said, "error: there is no listener https; there are: http\n");
}

#[test]
fn top_needs_a_terminal() {
    let daemon = Daemon::start();
    let said = complaint(&output(&daemon, &["top"]));
    assert!(said.contains("needs a terminal"), "{said}");
    assert!(said.contains("help: `evenkeel status --json`"), "{said}");
}
