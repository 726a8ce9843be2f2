//! The parent: it survives what its children say, and its own silence is noticed.
//!
//! A child that was taken over is played by this test, which takes a copy of the proxy's end of its channel.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

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
    // Two seconds of ticks, then a graceful move; the rest is for a machine that is busy with other tests.
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

#[test]
fn supervisor_survives_whatever_a_proxy_that_was_taken_over_says() {
    let mut pair = pair();
    let supervisor = pair.node(0).unwrap().process().pid();
    let (pipe, _write_end) = nix::unistd::pipe().unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    let invented = |n: usize| {
        let pool = format!("invented-{n}-{}", "x".repeat(1_000));
        format!("{{\"Health\":{{\"pool\":\"{pool}\",\"backends\":{{}},\"probed\":true}}}}")
    };
    let pools: Vec<String> = (0..20_000).map(invented).collect();
    let forged = r#"{"Log":{"level":"error\n2026","message":"m","fields":[],"dropped":0}}"#;
    let unasked = r#"{"Status":{"id":9999,"listeners":[],"pools":[],"access_log":null}}"#;
    let deep = "[".repeat(10_000);
    let attacks: [(&str, u8, Vec<&str>, Option<RawFd>); 7] = [
        ("a pipe as a file", 1, vec![""], Some(pipe.as_raw_fd())),
        ("a device as a file", 1, vec![""], Some(null.as_raw_fd())),
        (
            "a descriptor with a beat",
            2,
            vec![r#"{"Beat":{"thread":0}}"#],
            Some(null.as_raw_fd()),
        ),
        (
            "20,000 invented pools",
            0,
            pools.iter().map(String::as_str).collect(),
            None,
        ),
        ("a level with a line feed", 0, vec![forged], None),
        ("a status nobody asked for", 0, vec![unasked], None),
        ("10,000 brackets", 0, vec![&deep], None),
    ];
    let before = rss_kb(supervisor);
    for (number, (what, kind, texts, lent)) in attacks.into_iter().enumerate() {
        // Deaths close to each other would be a proxy that keeps dying; the pair settles between them.
        pair.settle().unwrap();
        let node = pair.node(0).unwrap();
        let proxy = node.pid_of("evenkeel-proxy").unwrap();
        let channel = copy_of(proxy, 0);
        let rights: Vec<RawFd> = lent.into_iter().collect();
        for text in texts {
            let parts = [
                IoSlice::new(std::slice::from_ref(&kind)),
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
        drop(channel);
        let deadline = Instant::now() + Duration::from_secs(5);
        while pair
            .node(0)
            .unwrap()
            .pid_of("evenkeel-proxy")
            .is_none_or(|pid| pid == proxy)
        {
            let log = pair.node(0).unwrap().log();
            assert!(
                Instant::now() < deadline,
                "{what}: the proxy lives on\n{log}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        let asked_at = Instant::now();
        assert_eq!(
            restarts_of(&mut pair, "evenkeel-proxy"),
            number as u64 + 1,
            "{what}"
        );
        assert!(
            asked_at.elapsed() < Duration::from_secs(1),
            "{what}: it hangs"
        );
        let log = pair.node(0).unwrap().log();
        let lines = log.matches("process says what it may not").count();
        assert_eq!(lines, number + 1, "{what}:\n{log}");
        assert!(!log.contains("\n2026\""), "{what}:\n{log}");
        std::thread::sleep(Duration::from_millis(2_000));
    }
    pair.settle().unwrap();
    assert_eq!(pair.node(0).unwrap().process().pid(), supervisor);
    let after = rss_kb(supervisor);
    assert!(
        after < before + 8 * 1024,
        "memory grew from {before} to {after} kB"
    );
    let status = pair.node(0).unwrap().status().unwrap();
    assert_eq!(status.pools.len(), 1, "nothing was invented");
}
