//! Sessions that stay on their backend: over daemons with one secret and other files, over changes
//! by command, restarts, and the death of the process that has the key.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use crate::KEYS;
use crate::daemon::{Daemon, backend_saying, evenkeel, free_address};

/// Starts a backend that says its name for as long as the test runs.
fn named(name: &'static str) -> (&'static str, SocketAddr) {
    (name, backend_saying(name))
}

/// Starts a daemon with these backends, in this order, and this secret, if any.
fn start(backends: &[(&str, SocketAddr)], secret: Option<&str>) -> Daemon {
    let directory = tempfile::tempdir().unwrap();
    let group = secret.map(|secret| {
        let path = directory.path().join("group.key");
        fs::write(&path, secret).unwrap();
        format!("group: {{secret: {{file: {}}}}}\n", path.display())
    });
    let group = group.unwrap_or_default();
    let listen = free_address();
    let backends = backends.iter();
    let backends = backends.map(|(name, address)| format!("{name}: \"{address}\""));
    let backends = backends.collect::<Vec<_>>().join(", ");
    let config = format!(
        "{group}listeners: {{http: {{bind: [\"{listen}\"], pool: web}}}}\npools:\n  web:\n    \
         backends: {{{backends}}}\n    health_check: none\n    balance: round_robin\n    affinity: \
         {{cookie: {{name: session}}}}\nproxy: {{threads: 2}}\n"
    );
    Daemon::launch_in(directory, evenkeel(), listen, &config)
}

/// Visits with a cookie, if any; returns who has answered, and the cookie that it gave.
fn try_visit(daemon: &Daemon, cookie: &str) -> Option<(String, Option<String>)> {
    let mut stream = TcpStream::connect_timeout(&daemon.listen, Duration::from_secs(1)).ok()?;
    let patience = Some(Duration::from_secs(5));
    stream.set_read_timeout(patience).unwrap();
    let request =
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let given = head
        .lines()
        .find_map(|line| line.strip_prefix("Set-Cookie: "));
    let given = given.and_then(|field| field.split(';').next());
    Some((body.to_owned(), given.map(str::to_owned)))
}

fn visit(daemon: &Daemon, cookie: &str) -> (String, Option<String>) {
    try_visit(daemon, cookie).expect("it answers")
}

/// Begins so many sessions; returns the backend and the cookie of each.
fn begin(daemon: &Daemon, count: usize) -> Vec<(String, String)> {
    let sessions = (0..count).map(|_| {
        let (name, cookie) = visit(daemon, "theme=dark");
        (name, cookie.expect("it is new"))
    });
    sessions.collect()
}

fn assert_at_home(daemon: &Daemon, sessions: &[(String, String)]) {
    for (name, cookie) in sessions {
        assert_eq!(visit(daemon, cookie), (name.clone(), None));
    }
}

fn command(daemon: &Daemon, arguments: &[&str]) {
    let mut command = evenkeel();
    command.args(arguments).arg("--runtime-dir");
    let output = command.arg(daemon.runtime_dir()).output().unwrap();
    assert!(output.status.success(), "{}", crate::text(&output));
}

#[test]
fn a_thousand_sessions_are_at_home_on_a_node_whose_file_has_another_order_and_more() {
    let [one, two, three] = ["one", "two", "three"].map(named);
    let secret = "0123456789abcdef0123456789abcdef";
    let first = start(&[one, two, three], Some(secret));
    let more = [named("a"), named("z")];
    let mut second = start(&[more[0], three, two, more[1], one], Some(secret));
    let sessions = begin(&first, 1000);
    for name in ["one", "two", "three"] {
        let count = sessions.iter().filter(|(it, _)| it == name).count();
        assert!(count > 300, "{name} has {count}");
    }
    assert_at_home(&second, &sessions);
    assert_at_home(&first, &sessions);
    // The first that is answered after a start is at home, too.
    second.restart();
    assert_at_home(&second, &sessions[..100]);

    command(&second, &["backend", "web/one", "drain"]);
    assert_at_home(&second, &sessions[..100]);
    assert!(begin(&second, 20).iter().all(|(name, _)| name != "one"));
    command(&second, &["backend", "web/one", "maintain"]);
    let own = sessions.iter().find(|(name, _)| name == "one").unwrap();
    let (name, moved) = visit(&second, &own.1);
    assert_ne!(name, "one");
    let moved = moved.expect("it has another backend");
    assert_eq!(visit(&second, &moved), (name, None));
    command(&second, &["backend", "web/one", "up"]);
    assert_at_home(&second, &sessions[..100]);
}

#[test]
fn sessions_survive_the_process_that_has_the_key_of_one_node() {
    let backends = ["one", "two", "three"].map(named);
    let mut daemon = start(&backends, None);
    let sessions = begin(&daemon, 60);
    assert_at_home(&daemon, &sessions);
    let before = daemon.pid(KEYS).expect("it is needed without TLS");
    kill(before, Signal::SIGKILL).unwrap();
    daemon.wait("another one runs", |daemon| {
        daemon.pid(KEYS).is_some_and(|pid| pid != before)
    });
    for _ in 0..5 {
        assert_at_home(&daemon, &sessions);
    }
    // Its proxy, too, is told the same key again.
    kill(daemon.pid("evenkeel-proxy").unwrap(), Signal::SIGKILL).unwrap();
    daemon.wait("it answers again", |daemon| try_visit(daemon, "").is_some());
    assert_at_home(&daemon, &sessions);
    daemon.restart();
    let known = sessions.iter();
    let known = known.filter(|(_, cookie)| visit(&daemon, cookie).1.is_none());
    assert_eq!(known.count(), 0, "a node's own key ends with its daemon");
}
