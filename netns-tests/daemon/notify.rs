//! Notify programs of a real daemon: who they run as, what they are told, in which order.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::pair::is_all;

#[test]
fn programs_run_one_at_a_time_as_nobody_and_hear_the_latest() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let out = directory.path().join("out");
    let of_root = directory_of_root();
    let program = of_root.path().join("notify.sh");
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
    let of_root = directory_of_root();
    let program = of_root.path().join("notify.sh");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    assert_refused(&program, "its group or everybody may write to it");
}

/// Tells `check` and `run` that this program is to be told; both say why they refuse it.
fn assert_refused(program: &Path, why: &str) {
    let directory = tempfile::tempdir().unwrap();
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
        assert!(complaint.contains(why), "{complaint}");
    }
}

/// Makes a directory that root alone may write to, with everything above it.
fn directory_of_root() -> tempfile::TempDir {
    let directory = tempfile::tempdir_in("/run").expect("needs real root: /run is only root's");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Writes a program that notes who runs it, with which words.
fn write_program(path: &Path, out: &Path, word: &str) {
    let text = format!("#!/bin/sh\necho {word} $2 >> {}\n", out.display());
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn program_is_looked_at_again_each_time_it_is_run() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let out = directory.path().join("out");
    let of_root = directory_of_root();
    let bin = of_root.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::set_permissions(&bin, fs::Permissions::from_mode(0o755)).unwrap();
    let program = bin.join("notify.sh");
    write_program(&program, &out, "sound");
    // A link of root's to it is as good as the program itself.
    let link = of_root.path().join("link");
    std::os::unix::fs::symlink(&program, &link).unwrap();

    let mut lab = Lab::new().unwrap();
    let host = lab.add_host("lb1", &["192.0.2.1/24"]).unwrap();
    let yaml = format!(
        "virtual_routers:\n  web:\n    interface: eth0\n    vrid: 51\n    \
         addresses: [192.0.2.100/24]\n    advertisement_interval: 100ms\n    notify: [{}]\n",
        link.display()
    );
    let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
    let mut node = Node::start(&host, &yaml, "lb1", binary).unwrap();
    node.wait_for("Active", Duration::from_secs(10), |status| {
        is_all(status, "Active")
    })
    .unwrap();
    wait_for_line(&out, "sound Active");

    // From now on everybody can put something else in its place, and somebody does.
    fs::set_permissions(&bin, fs::Permissions::from_mode(0o777)).unwrap();
    fs::rename(&program, bin.join("away")).unwrap();
    write_program(&program, &out, "forged");
    node.stop(Duration::from_secs(10)).unwrap();
    let told = fs::read_to_string(&out).unwrap();
    assert!(!told.contains("forged"), "{told}");
    let hoped = format!(
        "the directory {} may be written to by others",
        bin.display()
    );
    assert!(node.log().contains(&hoped), "{}", node.log());
}

#[test]
fn directory_of_everybody_above_a_program_is_a_bad_configuration() {
    let of_root = directory_of_root();
    let open = of_root.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
    let program = open.join("notify.sh");
    write_program(&program, Path::new("/dev/null"), "x");
    let hoped = format!(
        "the directory {} may be written to by others",
        open.display()
    );
    assert_refused(&program, &hoped);
}

fn wait_for_line(file: &Path, line: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        if text.lines().any(|found| found == line) {
            return;
        }
        assert!(Instant::now() < deadline, "no `{line}` in:\n{text}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
