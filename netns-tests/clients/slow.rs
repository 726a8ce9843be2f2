//! slowhttptest: clients that are slow on purpose are cut by the timeout that is for them, and
//! nobody else notices.

use std::ops::Range;
use std::time::Duration;

use evenkeel::lab::probe::Probe;

use super::program::SLOWHTTPTEST;
use super::site::{Server, Site, endings};

#[test]
fn slow_heads_are_cut_by_request_head() {
    attack(&Attack {
        options: &["-H", "-i", "1"],
        path: "page.txt",
        timeout: "request_head",
        termination: "request_head_timeout",
        phase: "request_head",
        held_kib_max: 16,
    });
}

#[test]
fn slow_bodies_are_cut_by_request_body() {
    attack(&Attack {
        // Between two bytes passes more than the timeout.
        options: &["-B", "-t", "PUT", "-i", "4"],
        path: "put/slow",
        timeout: "request_body",
        termination: "request_body_timeout",
        phase: "request_body",
        held_kib_max: 32,
    });
}

#[test]
fn slow_readers_are_cut_by_idle() {
    attack(&Attack {
        options: &["-X", "-w", "256", "-y", "1024", "-n", "1", "-z", "8"],
        path: "large.bin",
        timeout: "idle",
        termination: "idle_timeout",
        phase: "response_body",
        // What `connection_bytes` allows, and as much again.
        held_kib_max: 512,
    });
}

struct Attack {
    options: &'static [&'static str],
    path: &'static str,
    /// The key that cuts them, and what the access log says then.
    timeout: &'static str,
    termination: &'static str,
    phase: &'static str,
    /// The memory of the proxy for each.
    held_kib_max: u64,
}

/// Lets slowhttptest loose, asks meanwhile as everybody does, and looks at what each of them got.
fn attack(attack: &Attack) {
    // The others stay at what they are by default, ten times as long and more: only the named one
    // can cut.
    let timeouts = format!("{{{}: {}ms}}", attack.timeout, TIMEOUT.start);
    let mut site = Site::build(&[Server::Nginx], &timeouts);
    let before_kib = site.proxy_peak_kib();
    let client = site.client();
    let probe =
        Probe::start(client, Server::Nginx.door(), PROBE_EVERY, PROBE_LIMIT).expect("a probe");
    let mark = probe.mark();
    let (count, url) = (CONNECTIONS.to_string(), Server::Nginx.url(attack.path));
    let general = ["-c", &count, "-r", "100", "-l", "15", "-p", "5", "-u", &url];
    let said = SLOWHTTPTEST.run(client, &[attack.options, &general].concat());
    let report = probe.report(mark);
    drop(probe);

    // A slow reader does not see an end behind what it has not read.
    if attack.phase != "response_body" {
        assert!(said.contains("No open connections left"), "{said}");
    }
    assert!(!said.contains("NO"), "service available throughout: {said}");
    assert_eq!(report.failed, 0, "{report}\n{said}");
    assert!(report.requests > 50, "{report}");
    assert!(report.longest_gap < PROBE_LIMIT, "{report}");
    let cut = site.logged(CONNECTIONS, |line| {
        line["termination"] == attack.termination
    });
    let all = endings(&site.access_log());
    assert_eq!(cut.len(), CONNECTIONS, "{all:#?}");
    for line in &cut {
        assert_eq!(line["phase"], attack.phase, "{line}");
        assert_eq!(line["ended_by"], "client", "{line}");
        let total_ms = line["total_ms"].as_f64().expect("a timer");
        let earliest_ms = f64::from(TIMEOUT.start - LOOK_MS);
        assert!(
            (earliest_ms..f64::from(TIMEOUT.end)).contains(&total_ms),
            "{line}"
        );
    }
    let held_kib = site.proxy_peak_kib() - before_kib;
    println!("{report}; {held_kib} KiB; {all:?}");
    assert!(
        held_kib < CONNECTIONS as u64 * attack.held_kib_max,
        "{held_kib} KiB for {CONNECTIONS} slow clients"
    );
    site.leave();
}

const CONNECTIONS: usize = 200;
/// In milliseconds: as configured, and until when a busy machine may have made it.
const TIMEOUT: Range<u32> = 2_000..6_000;
/// Timeouts are looked at four times a second, by a clock that stands still in between.
const LOOK_MS: u32 = 250;
const PROBE_EVERY: Duration = Duration::from_millis(20);
const PROBE_LIMIT: Duration = Duration::from_secs(3);
