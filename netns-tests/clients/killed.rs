//! A backend whose process is killed under many requests, as the kernel leaves its connections:
//! curl notices nothing where a request may be repeated, and no other comes twice.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use evenkeel::lab::node::Node;
use evenkeel::lab::process::Process;
use evenkeel::lab::scratch::ScratchDir;

use super::program::{CURL, python};
use super::site::{lab_of, wait_until};

#[test]
fn a_killed_backend_costs_no_request_that_may_be_repeated() {
    let lab = lab_of(&[("lb", BALANCER), ("web", SERVERS), ("client", CLIENT)]);
    let web = lab.host("web").expect("a host");
    let mut servers = [("one", 8001), ("two", 8002)].map(|(name, port): (&str, u16)| {
        let arguments = [name, SERVERS, &port.to_string(), "3000"].map(str::to_owned);
        python(web, "killed_server.py", &arguments)
    });
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_evenkeel"));
    let balancer = lab.host("lb").expect("a host");
    let mut node = Node::start(balancer, &configuration(), "lb", &binary).expect("a node");
    let is_up = |status: &evenkeel::ipc::control::Status| {
        let mut backends = status.pools.iter().flat_map(|pool| &pool.backends);
        !status.listeners.is_empty() && backends.all(|backend| backend.state == "up")
    };
    node.wait_for("both are up", PATIENCE, is_up)
        .unwrap_or_else(|error| panic!("{error}"));

    let scratch = ScratchDir::new().expect("a directory");
    let urls = scratch.path().join("urls");
    fs::write(&urls, transfers()).expect("a file");
    let mut command = CURL.command();
    let parallel = ["-sZ", "--parallel-immediate", "--parallel-max", "200"];
    command
        .args(parallel)
        .args(["-w", "%{method} %{http_code}\n", "-K"])
        .arg(&urls);
    let client = lab.host("client").expect("a host");
    let mut curl = client.spawn(command).expect("curl starts");

    wait_until("all requests are there", PATIENCE, || {
        servers
            .iter()
            .map(|server| asked(server).len())
            .sum::<usize>()
            == GETS + POSTS
    });
    let [one, two] = &mut servers;
    let (held, posts_of) = (asked(one), |asked: &[String]| {
        asked.iter().filter(|it| it.starts_with("POST")).count()
    });
    one.kill().expect("it runs");
    let status = curl.wait(PATIENCE).expect("curl ends");
    let log = curl.log();
    assert!(status.success(), "{status}: {log}");
    let mut seen: HashMap<&str, usize> = HashMap::new();
    // The others are curl's meter.
    let is_answer = |line: &&str| line.starts_with("GET ") || line.starts_with("POST ");
    for line in log.lines().filter(is_answer) {
        *seen.entry(line).or_default() += 1;
    }
    let lost = posts_of(&held);
    assert!(
        held.len() > lost && lost > 0,
        "both kinds were there: {held:?}"
    );
    let hoped = HashMap::from([
        ("GET 200", GETS),
        ("POST 200", POSTS - lost),
        ("POST 502", lost),
    ]);
    assert_eq!(seen, hoped, "{}", node.log());
    assert_eq!(posts_of(&asked(two)), POSTS - lost, "no POST came twice");
    let status = node.stop(PATIENCE).expect("it stops");
    assert!(status.success(), "{status}\n{}", node.log());
}

/// Returns what a server was asked.
fn asked(server: &Process) -> Vec<String> {
    server.log().lines().map(str::to_owned).collect()
}

/// Returns curl's file of all requests, each on a connection of its own.
fn transfers() -> String {
    let get = |number| format!("url = http://{BALANCER}/get/{number}\noutput = /dev/null\n");
    let post = |number| {
        format!("next\nurl = http://{BALANCER}/post/{number}\noutput = /dev/null\ndata = x\n")
    };
    let gets: String = (0..GETS).map(get).collect();
    let written = "write-out = \"%{method} %{http_code}\\n\"\nsilent\n";
    let posts = (0..POSTS).map(|number| post(number) + written);
    gets + &posts.collect::<String>()
}

fn configuration() -> String {
    format!(
        "listeners: {{http: {{bind: [\"{BALANCER}:80\"], pool: web}}}}\npools:\n  web:\n    \
         balance: round_robin\n    backends: {{one: \"{SERVERS}:8001\", two: \"{SERVERS}:8002\"}}\n    \
         health_check: {{http: {{path: /}}, interval: 1s}}\nproxy: {{threads: 2}}\n"
    )
}

const BALANCER: &str = "10.9.0.1";
const SERVERS: &str = "10.9.0.2";
const CLIENT: &str = "10.9.0.3";
const GETS: usize = 80;
const POSTS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);
