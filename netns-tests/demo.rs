//! `evenkeel demo` as a user runs it: what it prints, what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn evenkeel() -> Command {
    Command::new(env!("CARGO_BIN_EXE_evenkeel"))
}

/// Returns the processes of the daemon whose configuration lies in a scratch directory of this process.
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
        .args(["demo", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(output.status.success(), "{text}");
    assert_eq!(document["kept"], true);
    assert_eq!(document["events"].as_array().unwrap().len(), 12, "{text}");
    assert!(document["seconds"].as_f64().unwrap() < 90.0, "{text}");
    assert_eq!(left_behind(pid), [""; 0]);
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
