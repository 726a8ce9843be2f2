//! Notify programs of a real daemon: who they run as, what they are told, in which order.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use evenkeel::lab::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::pair::is_all;

#[test]
fn programs_run_one_at_a_time_as_nobody_and_hear_the_latest() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let out = directory.path().join("out");
    let program = directory.path().join("notify.sh");
    // Longer than the way from Backup to Active, so that one change outdates another while it runs.
    let text = format!(
        "#!/bin/sh\n{{ echo begin \"$@\"; grep -E '^(Uid|CapEff|NoNewPrivs)' /proc/self/status; \
         echo sockets $(ls -l /proc/self/fd | grep -c socket:); sleep 1.5; echo end; }} >> {}\n",
        out.display()
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();

    let mut lab = Lab::new().unwrap();
    let host = lab.add_host("lb1", &["192.0.2.1/24"]).unwrap();
    let yaml = format!(
        "virtual_routers:\n  web:\n    interface: eth0\n    vrid: 51\n    \
         addresses: [192.0.2.100/24]\n    advertisement_interval: 100ms\n    notify: [{}]\n",
        program.display()
    );
    let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
    let mut node = Node::start(&host, &yaml, "lb1", binary).unwrap();
    node.wait_for("Active", Duration::from_secs(10), |status| {
        is_all(status, "Active")
    })
    .unwrap();
    the_user_of_programs_is_said(&node);
    node.stop(Duration::from_secs(10)).unwrap();

    let told = fs::read_to_string(&out).unwrap();
    let begun: Vec<&str> = told
        .lines()
        .filter_map(|line| line.strip_prefix("begin "))
        .collect();
    let [first, last] = begun[..] else {
        panic!("one outdated change is not told:\n{told}")
    };
    assert!(first.starts_with("web/ipv4 Backup 100 "), "{told}");
    assert!(
        last.starts_with("web/ipv4 Initialize 100 "),
        "the latest, also at the stop:\n{told}"
    );
    let epoch = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    assert_eq!(
        epoch(last),
        epoch(first) + 2,
        "epochs count what was not told:\n{told}"
    );
    let marks: Vec<&str> = told
        .lines()
        .filter(|line| line.starts_with("begin") || *line == "end")
        .collect();
    assert!(
        marks
            .chunks(2)
            .all(|two| two[0].starts_with("begin") && two[1] == "end"),
        "{told}"
    );
    assert!(
        told.contains("CapEff:\t0000000000000000") && told.contains("NoNewPrivs:\t1"),
        "{told}"
    );
    assert!(
        told.contains("sockets 0\n"),
        "no descriptor of ours:\n{told}"
    );
    assert!(
        !real_users() || !told.contains("Uid:\t0"),
        "a user that owns nothing:\n{told}"
    );
}

/// Nothing is said where programs have a user of their own.
fn the_user_of_programs_is_said(node: &Node) {
    let warnings = node.status().unwrap().warnings;
    let own_user = nix::unistd::User::from_name("evenkeel-notify").unwrap();
    let said = |line: &String| line.starts_with("evenkeel: notify programs run as ");
    assert_eq!(
        warnings.iter().any(said),
        own_user.is_none() || !real_users(),
        "{warnings:?}"
    );
}

/// Returns whether user ids mean here what they mean on the machine.
fn real_users() -> bool {
    fs::read_to_string("/proc/self/uid_map")
        .unwrap()
        .contains("4294967295")
}

#[test]
fn program_that_others_may_write_to_is_a_bad_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("notify.sh");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    let file = directory.path().join("evenkeel.yaml");
    let yaml = format!(
        "virtual_routers:\n  web: {{interface: eth0, vrid: 51, addresses: [192.0.2.100/24], notify: [{}]}}\n",
        program.display()
    );
    fs::write(&file, yaml).unwrap();
    for command in ["check", "run"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args([command, "--config"])
            .arg(&file)
            .output()
            .unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{complaint}");
        assert!(
            complaint.contains("its group or everybody may write to it"),
            "{complaint}"
        );
    }
}
