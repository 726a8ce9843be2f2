//! The admin listener, as browsers, monitors, Prometheus and strangers ask it.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "../common/daemon.rs"]
mod daemon;
mod changes;
mod live;
mod process;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use daemon::{Daemon, evenkeel, free_address};
use evenkeel::ipc::control::{Event, Status};

/// A daemon with an admin listener.
struct Rig {
    daemon: Daemon,
    admin: SocketAddr,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines();
        let mut fields = lines.filter_map(|line| line.split_once(": "));
        let found = fields.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }
}

const TOKEN: &str = "0123456789abcdef-token";

impl Rig {
    fn start() -> Self {
        Self::start_with(", hosts: [status.example.org]")
    }

    /// Starts one whose section has this at its end.
    fn start_with(more: &str) -> Self {
        let admin = free_address();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("token"), format!("{TOKEN}\n")).unwrap();
        let listen = free_address();
        let backend = daemon::backend();
        let more = more.replace("DIR", directory.path().to_str().unwrap());
        let config = format!(
            "listeners:\n  http: {{bind: [\"{listen}\"], pool: webfarm, routes: [{{name: own, path: {{exact: /own}}, respond: {{status: 200, body: ok}}}}]}}\n\
             pools:\n  webfarm: {{backends: {{one: \"{backend}\"}}, health_check: {{tcp: {{}}, interval: 100ms}}}}\n\
             proxy: {{threads: 2}}\nadmin: {{listen: \"{admin}\"{more}}}\n"
        );
        let daemon = Daemon::launch_in(directory, evenkeel(), listen, &config);
        let rig = Self { daemon, admin };
        rig.daemon.wait("the admin listener answers", |_| {
            rig.try_ask("GET", "/livez", &[], "").is_some()
        });
        rig
    }

    fn with_token() -> Self {
        Self::start_with(", token: {file: DIR/token}")
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    fn ask(&self, method: &str, path: &str, fields: &[&str], body: &str) -> Answer {
        self.try_ask(method, path, fields, body).unwrap()
    }

    fn try_ask(&self, method: &str, path: &str, fields: &[&str], body: &str) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        let host = match fields.iter().any(|field| field.starts_with("Host:")) {
            true => String::new(),
            false => format!("Host: {}\r\n", self.admin),
        };
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let len = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{host}{fields}Content-Length: {len}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some(Answer {
            status: head.split(' ').nth(1)?.parse().ok()?,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }
}

#[test]
fn the_page_says_what_the_status_says_and_nothing_comes_from_elsewhere() {
    let rig = Rig::start();
    rig.daemon.wait("the backend is probed", |_| {
        rig.get("/").body.contains("1 of 1 up")
    });
    let page = rig.get("/");
    assert_eq!(page.status, 200, "{page:?}");
    for fact in [
        "lb1",
        "http",
        "webfarm",
        "1 of 1 up",
        "own",
        "evenkeel-admin",
    ] {
        assert!(page.body.contains(fact), "{fact} in {}", page.body);
    }
    let policy = page.field("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.field("cache-control"), Some("no-store"));
    for inline in [
        "<style",
        " style=",
        " onclick",
        "javascript:",
        "http://",
        "https://",
    ] {
        assert!(!page.body.contains(inline), "{inline} in {}", page.body);
    }
    for part in ["/page.css", "/page.js", "/icon.svg"] {
        assert!(page.body.contains(&format!("\"{part}\"")), "{part}");
        let answer = rig.get(part);
        assert_eq!(
            (answer.status, answer.body.is_empty()),
            (200, false),
            "{part}"
        );
    }
}

#[test]
fn json_is_that_of_the_commands() {
    let rig = Rig::start();
    let status: Status = serde_json::from_str(&rig.get("/api/status").body).unwrap();
    assert_eq!((status.node.as_str(), status.pools.len()), ("lb1", 1));
    let events: Vec<Event> = serde_json::from_str(&rig.get("/api/events").body).unwrap();
    assert_eq!(events, [], "there is no virtual router");
}

#[test]
fn metrics_count_requests_and_how_long_they_take() {
    let rig = Rig::start();
    for _ in 0..3 {
        assert!(rig.daemon.get().is_some());
    }
    let has = |text: &str, line: &str| text.lines().any(|it| it == line);
    rig.daemon.wait("three requests are counted", |_| {
        let answer = rig.get("/metrics");
        // The one with which the daemon began is among them.
        has(
            &answer.body,
            "evenkeel_request_duration_seconds_count{listener=\"http\",route=\"\"} 4",
        ) && has(
            &answer.body,
            "evenkeel_pool_response_seconds_count{pool=\"webfarm\"} 4",
        ) && has(
            &answer.body,
            "evenkeel_backend_requests_total{pool=\"webfarm\",backend=\"one\"} 4",
        )
    });
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let rig = Rig::start();
    for (accept, kind, counter) in [
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.3",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "# TYPE evenkeel_listener_requests counter",
        ),
        (
            "*/*",
            "text/plain; version=0.0.4; charset=utf-8",
            "# TYPE evenkeel_listener_requests_total counter",
        ),
    ] {
        let answer = rig.ask("GET", "/metrics", &[&format!("Accept: {accept}")], "");
        assert_eq!(answer.field("content-type"), Some(kind), "{accept}");
        let has = answer.body.lines().any(|line| line == counter);
        assert!(has, "{counter} in {}", answer.body);
        let is_open = kind.starts_with("application/");
        assert_eq!(answer.body.ends_with("# EOF\n"), is_open, "{accept}");
    }
}

#[test]
fn probes_say_yes_and_anybody_may_ask_them() {
    let rig = Rig::start();
    for path in ["/livez", "/readyz", "/active"] {
        let answer = rig.ask("GET", path, &["Host: some.balancer"], "");
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "ok\n"),
            "{path}"
        );
        let head = rig.ask("HEAD", path, &[], "");
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
    }
    let answer = rig.get("/active?router=web");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body, "there is no virtual router `web`\n");
}

#[test]
fn a_name_of_somebody_elses_is_refused() {
    let rig = Rig::start();
    for (host, hoped) in [
        ("evil.example", 421),
        ("evil.example:8404", 421),
        ("", 421),
        ("status.example.org", 200),
        ("lb1:8404", 200),
        ("localhost", 200),
        ("[::1]:8404", 200),
    ] {
        for path in ["/", "/api/status", "/metrics", "/live-nothing", "/page.js"] {
            let answer = rig.ask("GET", path, &[&format!("Host: {host}")], "");
            let hoped = if hoped == 200 && path == "/live-nothing" {
                404
            } else {
                hoped
            };
            assert_eq!(answer.status, hoped, "{host} {path}");
        }
        let live = rig.ask("POST", "/change", &[&format!("Host: {host}")], "");
        assert_eq!(live.status, if hoped == 200 { 403 } else { 421 }, "{host}");
    }
}

#[test]
fn what_is_not_understood_is_refused_and_costs_nothing() {
    let rig = Rig::start();
    let answer = rig.ask("DELETE", "/", &[], "");
    assert_eq!(
        (answer.status, answer.field("allow")),
        (405, Some("GET, HEAD, POST"))
    );
    assert_eq!(rig.get("/nothing").status, 404);
    assert_eq!(rig.get("/../etc/passwd").status, 404);
    let long = "x".repeat(64 * 1024);
    let answer = rig.try_ask("GET", "/", &[&format!("X: {long}")], "");
    assert!(
        answer.is_none_or(|answer| answer.status == 431),
        "a head has a bound"
    );
    let long = "x".repeat(16 * 1024);
    assert_eq!(rig.ask("POST", "/change", &[], &long).status, 413);
}
