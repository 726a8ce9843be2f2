//! `evenkeel demo` as a user runs it: what it prints, what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use evenkeel::lab::pair::Pair;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn evenkeel() -> Command {
    Command::new(env!("CARGO_BIN_EXE_evenkeel"))
}

/// Returns the processes of the daemon whose configuration lies in a scratch directory of this
/// process.
fn left_behind(lab_pid: u32) -> Vec<String> {
    let mark = format!("evenkeel-lab-{lab_pid}-");
    let mut found: Vec<String> = fs::read_dir(std::env::temp_dir())
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(&mark))
        .collect();
    for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&mark) {
            found.push(line);
        }
    }
    found
}

#[test]
fn demo_keeps_its_bounds_and_says_so_in_json() {
    let child = evenkeel()
        // Some of each kind: a thousand and the daemon unoptimized leave nothing of two cores for
        // other tests.
        .args(["demo", "--json", "--visitors", "120"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(output.status.success(), "{text}");
    assert_eq!(document["kept"], true);
    let events = document["events"].as_array().unwrap();
    let hoped = if Pair::runs_scripts() { 15 } else { 13 };
    assert_eq!(events.len(), hoped, "{text}");
    for event in events {
        let kinds = event["visitors"]["kinds"].as_array().unwrap();
        assert_eq!(kinds.len(), 8, "hoped for every kind of visitor: {event:#}");
        let answered = |kind: &serde_json::Value| kind["answered"].as_u64().unwrap() > 0;
        assert!(kinds.iter().any(answered), "{event:#}");
        assert!(kinds.iter().all(|kind| kind["wrong"] == 0), "{event:#}");
    }
    assert!(document["seconds"].as_f64().unwrap() < 100.0, "{text}");
    assert_eq!(left_behind(pid), [""; 0]);
}

/// Where few open files are allowed the demo has fewer visitors, says so, and serves them all.
#[test]
fn demo_fits_into_a_hard_limit_of_1024_open_files() {
    let mut child = Command::new("/bin/sh")
        .args(["-c", "ulimit -n 1024 && exec \"$0\" demo"])
        .arg(env!("CARGO_BIN_EXE_evenkeel"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines
        .map_while(Result::ok)
        .find(|line| line.contains("    visitors: "));
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("has room for 2"), "{said}");
    let first = first.expect("the demo says what its first event cost");
    assert!(first.contains(" 0 unserved"), "{first}");
}

#[test]
fn interrupted_demo_leaves_nothing_behind() {
    let mut child = evenkeel()
        .arg("demo")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let deadline = Instant::now() + Duration::from_secs(20);
    while left_behind(pid).len() < 4 {
        assert!(
            Instant::now() < deadline,
            "the demo does not start its nodes"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let deadline = Instant::now() + Duration::from_secs(5);
    while !left_behind(pid).is_empty() {
        assert!(
            Instant::now() < deadline,
            "left behind: {:?}",
            left_behind(pid)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
