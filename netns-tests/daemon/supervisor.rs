//! The parent: it survives what its children say, and its own silence is noticed.
//!
//! A child that was taken over is played by this test, which takes a copy of the proxy's end of its
//! channel.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use evenkeel::ipc::control::Status;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::pair::{LEASE, Pair, Settings, has_address, node_address};
use evenkeel::lab::visitors::Crowd;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

const INTERVAL: Duration = Duration::from_millis(100);

fn pair() -> Pair {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_evenkeel"));
    Pair::start(Settings {
        binary,
        interval: INTERVAL,
        crowd: Crowd::NONE,
    })
    .unwrap()
}

fn restarts_of(pair: &mut Pair, name: &str) -> u64 {
    let status = pair.node(0).unwrap().status().unwrap();
    let process = status.processes.iter().find(|p| p.name == name);
    process.unwrap().restarts
}

#[test]
fn frozen_supervisor_gives_the_addresses_up_and_all_heals_when_it_goes_on() {
    let mut pair = pair();
    let mark = pair.probe().mark();
    pair.node(0).unwrap().process().freeze().unwrap();
    let frozen_at = Instant::now();
    pair.probe()
        .wait_for_node(node_address(1), Duration::from_secs(10))
        .unwrap();
    let moved = frozen_at.elapsed();
    // Two seconds of ticks, then a graceful move; the rest is for a machine that is busy with other
    // tests.
    assert!(moved >= Duration::from_millis(1_900), "too soon: {moved:?}");
    assert!(
        moved < Duration::from_secs(2) + INTERVAL + Duration::from_millis(900),
        "too late: {moved:?}"
    );
    let host = pair.lab().host("lb1").unwrap().clone();
    while has_address(&host).unwrap() {
        assert!(frozen_at.elapsed() < moved + LEASE, "it keeps the address");
        std::thread::sleep(Duration::from_millis(10));
    }
    pair.node(0).unwrap().process().thaw().unwrap();
    pair.settle().unwrap();
    let report = pair.probe().report(mark);
    let log = pair.node(0).unwrap().log();
    let other = pair.node(1).unwrap().log();
    // Each of the two moves may catch what is in flight, as any graceful one (`lab::events`).
    let allowed = 1 + 2 * report.in_flight_max;
    assert!(
        report.failed <= allowed,
        "both moves are graceful: {report}\n{log}\n{other}"
    );
    assert!(log.contains("the supervisor is silent for 2 s"), "{log}");
    assert_eq!(restarts_of(&mut pair, "evenkeel-vrrp"), 1, "{log}");
    assert_eq!(restarts_of(&mut pair, "evenkeel-proxy"), 0, "{log}");
}

#[test]
fn supervisor_of_a_busy_machine_is_not_silent() {
    let mut pair = pair();
    let until = Instant::now() + Duration::from_secs(5);
    let burn = || {
        std::thread::spawn(move || {
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        })
    };
    let loops: Vec<_> = (0..32).map(|_| burn()).collect();
    for one in loops {
        one.join().unwrap();
    }
    pair.settle().unwrap();
    let log = pair.node(0).unwrap().log();
    assert!(!log.contains("is silent for"), "{log}");
    assert_eq!(restarts_of(&mut pair, "evenkeel-vrrp"), 0, "{log}");
}

/// Takes a copy of a descriptor of another process (pidfd_getfd(2)).
fn copy_of(pid: u32, descriptor: RawFd) -> OwnedFd {
    // SAFETY: both calls take numbers; what they return is a new descriptor that nobody else owns.
    unsafe {
        let process = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        assert!(process >= 0, "{}", std::io::Error::last_os_error());
        let process = OwnedFd::from_raw_fd(process.try_into().unwrap());
        let copy = libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), descriptor, 0);
        assert!(copy >= 0, "{}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(copy.try_into().unwrap())
    }
}

fn rss_kb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// What a proxy that was taken over says: the kind of the frame, its texts, and what it lends.
struct Attack {
    what: &'static str,
    kind: u8,
    texts: Vec<String>,
    lent: Option<OwnedFd>,
}

fn attacks() -> Vec<Attack> {
    let (pipe, write_end) = nix::unistd::pipe().unwrap();
    // Nothing ever comes out of it, and it never ends.
    std::mem::forget(write_end);
    let null = || OwnedFd::from(fs::File::open("/dev/null").unwrap());
    let invented = |n: usize| {
        let pool = format!("invented-{n}-{}", "x".repeat(1_000));
        format!("{{\"Health\":{{\"pool\":\"{pool}\",\"backends\":{{}},\"probed\":true}}}}")
    };
    let forged = r#"{"Log":{"level":"error\n2026","message":"m","fields":[],"dropped":0}}"#;
    let unasked =
        r#"{"Status":{"id":9999,"listeners":[],"pools":[],"access_log":null,"warnings":[]}}"#;
    let beat = r#"{"Beat":{"thread":0}}"#;
    let attack = |what, kind, texts: Vec<String>, lent| Attack {
        what,
        kind,
        texts,
        lent,
    };
    let one = |text: &str| vec![text.to_owned()];
    vec![
        attack("a pipe as a file", 1, one(""), Some(pipe)),
        attack("a device as a file", 1, one(""), Some(null())),
        attack("a descriptor with a beat", 2, one(beat), Some(null())),
        attack(
            "20,000 invented pools",
            0,
            (0..20_000).map(invented).collect(),
            None,
        ),
        attack("a level with a line feed", 0, one(forged), None),
        attack("a status nobody asked for", 0, one(unasked), None),
        attack("10,000 brackets", 0, one(&"[".repeat(10_000)), None),
    ]
}

impl Attack {
    /// Says it on a copy of the proxy's end of the channel.
    fn say(&self, channel: &OwnedFd) {
        let rights: Vec<RawFd> = self.lent.iter().map(AsRawFd::as_raw_fd).collect();
        for text in &self.texts {
            let parts = [
                IoSlice::new(std::slice::from_ref(&self.kind)),
                IoSlice::new(text.as_bytes()),
            ];
            let control = [ControlMessage::ScmRights(&rights)];
            let control = if rights.is_empty() {
                &[][..]
            } else {
                &control[..]
            };
            // The supervisor closes the channel as soon as it has heard enough.
            let flags = MsgFlags::MSG_NOSIGNAL;
            if sendmsg::<()>(channel.as_raw_fd(), &parts, control, flags, None).is_err() {
                break;
            }
        }
    }
}

#[test]
fn supervisor_survives_whatever_a_proxy_that_was_taken_over_says() {
    let mut lab = Lab::new().unwrap();
    let host = lab.add_host("lb1", &["192.0.2.1/24"]).unwrap();
    let yaml = "listeners:\n  http: {bind: [\"192.0.2.1:80\"], pool: web}\n\
                pools:\n  web: {backends: {a: \"192.0.2.1:81\"}, health_check: none}\n";
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_evenkeel"));
    let mut node = Node::start(&host, yaml, "lb1", &binary).unwrap();
    let patience = Duration::from_secs(10);
    let serves = |status: &Status| !status.listeners.is_empty();
    node.wait_for("the proxy", patience, serves).unwrap();
    let supervisor = node.process().pid();
    let before = rss_kb(supervisor);
    for (number, attack) in attacks().iter().enumerate() {
        let what = attack.what;
        let proxy = node.pid_of("evenkeel-proxy").unwrap();
        attack.say(&copy_of(proxy, 0));
        node.wait_for("another proxy", patience, |status| {
            let restarts = status.processes.iter().map(|process| process.restarts);
            restarts.sum::<u64>() == number as u64 + 1 && serves(status)
        })
        .unwrap_or_else(|error| panic!("{what}: {error}"));
        let log = node.log();
        let lines = log.matches("process says what it may not").count();
        assert_eq!(lines, number + 1, "{what}:\n{log}");
        assert!(!log.contains("\n2026\""), "{what}:\n{log}");
    }
    assert_eq!(node.process().pid(), supervisor);
    let after = rss_kb(supervisor);
    assert!(
        after < before + 8 * 1024,
        "memory grew from {before} to {after} kB"
    );
    let status = node.status().unwrap();
    assert_eq!(status.pools.len(), 1, "nothing was invented");
}
