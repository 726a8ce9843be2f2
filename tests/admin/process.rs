//! The process that has the admin listener: what becomes of it, and of all else without it.

use std::fs;
use std::net::TcpStream;

use nix::sys::signal::{Signal, kill};

use super::daemon::free_address;
use super::{Rig, TOKEN};

const NAME: &str = "evenkeel-admin";

#[test]
fn one_that_dies_or_hangs_is_started_again_and_nobody_else_notices() {
    let rig = Rig::start();
    for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
        let before = rig.daemon.pid(NAME).unwrap();
        let proxy = rig.daemon.pid("evenkeel-proxy");
        kill(before, signal).unwrap();
        assert!(rig.daemon.get().is_some(), "traffic goes on");
        rig.daemon.wait("another answers", |daemon| {
            daemon.pid(NAME).is_some_and(|pid| pid != before)
                && rig
                    .try_ask("GET", "/readyz", &[], "")
                    .is_some_and(|it| it.status == 200)
        });
        assert_eq!(rig.daemon.pid("evenkeel-proxy"), proxy);
    }
}

#[test]
fn a_reload_moves_it_adds_a_token_and_takes_it_away() {
    let rig = Rig::start();
    let path = rig.daemon.directory.path().join("evenkeel.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let reload = |text: &str| {
        fs::write(&path, text).unwrap();
        rig.daemon.signal(Signal::SIGHUP);
    };
    let pid = rig.daemon.pid(NAME);
    let other = free_address();
    reload(&text.replace(&rig.admin.to_string(), &other.to_string()));
    rig.daemon.wait("it has moved", |_| {
        TcpStream::connect(other).is_ok() && TcpStream::connect(rig.admin).is_err()
    });
    let token = rig.daemon.directory.path().join("token");
    let with_token = format!(", token: {{file: {}}}, hosts", token.display());
    reload(&text.replace(", hosts", &with_token));
    rig.daemon.wait("it is back, with the form", |_| {
        let page = rig.try_ask("GET", "/", &[], "");
        page.is_some_and(|page| page.body.contains("<form"))
    });
    fs::write(&token, "another-token-0123456789\n").unwrap();
    rig.daemon.signal(Signal::SIGHUP);
    let form = |token: &str| format!("subject=listener+http&change=off&token={token}");
    rig.daemon
        .wait("another token in the same file holds", |_| {
            let old = rig.ask("POST", "/change", &[], &form(TOKEN));
            let new = rig.ask("POST", "/change", &[], &form("another-token-0123456789"));
            (old.status, new.status) == (401, 303)
        });
    assert_eq!(rig.daemon.pid(NAME), pid, "it is the same process");
    let without = text.lines().filter(|line| !line.starts_with("admin:"));
    reload(&without.map(|line| format!("{line}\n")).collect::<String>());
    rig.daemon.wait("it is gone", |daemon| {
        daemon.pid(NAME).is_none() && TcpStream::connect(rig.admin).is_err()
    });
    reload(&text);
    rig.daemon.wait("it is there again", |_| {
        rig.try_ask("GET", "/livez", &[], "").is_some()
    });
}

#[test]
fn an_address_that_is_taken_changes_nothing() {
    let rig = Rig::start();
    let path = rig.daemon.directory.path().join("evenkeel.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = taken.local_addr().unwrap().to_string();
    fs::write(&path, text.replace(&rig.admin.to_string(), &other)).unwrap();
    rig.daemon.signal(Signal::SIGHUP);
    rig.daemon.wait("it is said why", |daemon| {
        let failure = daemon.status().and_then(|it| it.configuration.last_failure);
        failure.is_some_and(|it| it.text.contains("admin") && it.text.contains(&other))
    });
    assert_eq!(rig.get("/livez").status, 200, "the one before answers");
    rig.daemon.wait("the page says it", |_| {
        rig.get("/").body.contains("the last change failed")
    });
}

#[test]
fn a_short_token_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, "short\n").unwrap();
    let config = format!(
        "listeners: {{http: {{bind: [\"{}\"], routes: [{{respond: {{status: 200}}}}]}}}}\n\
         admin: {{listen: \"{}\", token: {{file: {}}}}}\n",
        free_address(),
        free_address(),
        token.display()
    );
    let path = directory.path().join("evenkeel.yaml");
    fs::write(&path, config).unwrap();
    let mut command = super::evenkeel();
    command
        .args(["run", "--node", "lb1", "--config"])
        .arg(&path);
    let output = command
        .arg("--runtime-dir")
        .arg(directory.path().join("run"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(
        said.contains("a token is one line of at least 16") && said.contains("openssl rand"),
        "{said}"
    );
}
