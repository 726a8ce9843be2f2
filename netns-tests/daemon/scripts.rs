//! Many track scripts, and such as hang, flee or cannot be started.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use evenkeel::ipc::control::Status;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use nix::unistd::User;

/// 250 scripts a second, of which one hangs and one leaves its session; then their user may have no
/// more processes for a while.
#[test]
fn many_scripts_run_beside_one_that_hangs_and_one_that_flees_and_a_shortage_is_no_verdict() {
    let mut lab = Lab::new().unwrap();
    let host = lab.add_host("lb1", &["192.0.2.1/24"]).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o1777)).unwrap();
    let yaml = configuration(directory);
    let binary = limited(directory);
    let mut node = Node::start(&host, &yaml, "lb1", &binary).unwrap();
    node.wait_for("every verdict", PATIENCE, is_as_hoped)
        .unwrap();
    let reason = &node.status().unwrap().virtual_routers[0].priority_reason;
    assert!(reason.ends_with("timed out after 500ms) = 149"), "{reason}");

    let crowd = Crowd::come();
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        let status = node.status().unwrap();
        assert!(is_as_hoped(&status), "{status:#?}\n{}", node.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let warning = "track script cannot be run: no verdict";
    assert!(node.log().contains(warning), "{}", node.log());
    drop(crowd);
    let deadline = Instant::now() + PATIENCE;
    while fled(directory).len() < 4 {
        assert!(Instant::now() < deadline, "{}", node.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    check_what_fled(directory);
    node.stop(PATIENCE).unwrap();
}

/// All but the one that hangs are well.
fn is_as_hoped(status: &Status) -> bool {
    let mut routers = status.virtual_routers.iter();
    routers.any(|router| {
        let reason = &router.priority_reason;
        router.effective_priority == 149 && reason.contains("hangs failing")
    })
}

/// Returns a configuration with 250 scripts.
fn configuration(directory: &Path) -> String {
    let mut track = String::new();
    let mut scripts = String::new();
    for number in 0..248 {
        track.push_str(&format!(
            "      - {{script: s{number}, on_failure: {{lower_by: 100}}}}\n"
        ));
        scripts.push_str(&format!("  s{number}: {{command: [/usr/bin/true]}}\n"));
    }
    let flee = format!(
        "cd {}; rm -f now; setsid sh -c 'echo $$ >> fled; echo > now; exec sleep 600' & \
         while [ ! -s now ]; do sleep 0.01; done",
        directory.display()
    );
    format!(
        "virtual_routers:\n  web:\n    interface: eth0\n    vrid: 51\n    priority: 150\n    \
         addresses: [192.0.2.100/24]\n    advertisement_interval: 100ms\n    track:\n{track}      \
         - {{script: hangs, on_failure: {{lower_by: 1}}}}\n      \
         - {{script: flees, on_failure: {{lower_by: 100}}}}\n\
         track_scripts:\n{scripts}  hangs: {{command: [/usr/bin/sleep, '600'], timeout: 500ms}}\n  \
         flees: {{command: [/bin/sh, -c, \"{flee}\"]}}\n"
    )
}

/// Returns the ids of what has fled.
fn fled(directory: &Path) -> Vec<String> {
    let fled = fs::read_to_string(directory.join("fled")).unwrap();
    fled.lines().map(str::to_owned).collect()
}

/// What has fled is gone, but for what does so now.
fn check_what_fled(directory: &Path) {
    let pids = fled(directory);
    for pid in &pids[..pids.len() - 1] {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(
            !stat.contains("(sleep)") || stat.contains(") Z"),
            "{pid} is left: {stat}"
        );
    }
}

/// Writes a program that runs the daemon with a limit of processes for the user of the scripts.
fn limited(directory: &Path) -> PathBuf {
    let path = directory.join("limited");
    let binary = env!("CARGO_BIN_EXE_evenkeel");
    let text = format!("#!/bin/bash\nulimit -u {PROCESSES_MAX}\nexec {binary} \"$@\"\n");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// More processes of the scripts' user than it may have.
struct Crowd(Vec<Child>);

impl Crowd {
    fn come() -> Self {
        let own = User::from_name("evenkeel-script").unwrap();
        let user = own.or_else(|| User::from_name("nobody").unwrap()).unwrap();
        let one = |_| {
            let mut command = Command::new("/bin/sleep");
            command.arg("60").uid(user.uid.as_raw()).spawn().unwrap()
        };
        Self((0..=PROCESSES_MAX).map(one).collect())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Killing what is already dead is no error.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// More than other tests have of that user in the same moment.
const PROCESSES_MAX: usize = 400;
const PATIENCE: Duration = Duration::from_secs(30);
