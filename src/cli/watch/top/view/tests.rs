//! The screen at two sizes, with everything that it can show.

use serde_json::json;

use super::*;

/// A daemon after so many seconds: two virtual routers, a listener, two pools.
fn sample(seconds: u64, backends: usize) -> Sample {
    let router = |name: &str, state: &str, here: bool| {
        json!({
            "name": {"entry": name, "family": "ipv4"}, "interface": "eth0", "vrid": 51,
            "state": state, "since_ms": 90_000 + seconds * 1000, "cause": "no advertisement within the active down interval",
            "base_priority": 150, "effective_priority": if here { 150 } else { 2 },
            "priority_reason": "", "addresses": ["192.0.2.100", "192.0.2.101"],
            "holds_addresses": here, "advertisement_interval_ms": 1_000,
            "active_adver_interval_ms": null, "primary_address": "192.0.2.1", "peers": [],
            "counters": {"advertisements_sent": 100 + seconds, "advertisements_received": 3},
            "rejected": {"checksum": seconds * 2}, "last_rejected": null,
        })
    };
    let backend = |index: usize| {
        json!({
            "name": format!("b{index}"), "address": format!("192.0.2.{index}:80"),
            "state": if index == 2 { "down" } else { "up" },
            "check": "status 200", "active_requests": 5, "requests_max": if index == 1 { Some(50) } else { None },
            "requests_total": 1_000 + seconds * 1_234, "failures_total": seconds / 4,
        })
    };
    let status = json!({
        "node": "lb1", "version": "0.1.0", "warnings": ["evenkeel-vrrp: no real-time scheduling"],
        "virtual_routers": [router("web", "Active", true), router("lan", "Initialize", false)],
        "listeners": [{
            "name": "http", "binds": ["192.0.2.100:80"], "pool": "web", "connections": 1204,
            "requests_total": 5_000 + seconds * 2_000,
            "responses_total": {"2xx": 4_000 + seconds * 1_990, "5xx": 10 + seconds / 2},
            "connections_refused_total": seconds * 3,
        }],
        "pools": [
            {"name": "web", "retries_total": seconds, "queued_requests": 7,
             "backends": (1..=backends).map(backend).collect::<Vec<_>>()},
            {"name": "files", "retries_total": 0, "backends": [backend(1)]},
        ],
        "processes": [{"name": "evenkeel-proxy", "pid": 7, "restarts": 1}],
        "configuration": {"file": "a", "is_own": true, "generation": 4, "since_ms": 0,
                          "checksum": "", "file_differs": null, "last_failure": null},
    });
    Sample {
        status: serde_json::from_value(status).expect("the fields are those of a status"),
        at: Duration::from_secs(seconds),
    }
}

fn screen(columns: usize, rows: usize, backends: usize) -> String {
    let (before, now) = (sample(10, backends), sample(12, backends));
    let lines = view(Some(&before), &now, None, Size { columns, rows });
    assert!(lines.len() <= rows, "{} lines", lines.len());
    assert!(
        lines
            .iter()
            .all(|line| line.text.chars().count() <= columns)
    );
    let lines = lines.iter().map(|line| {
        let look = match line.look {
            Look::Plain => ' ',
            Look::Heading => '#',
            Look::Bad => '!',
        };
        format!("{look}|{}", line.text)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_small_terminal_shows_what_has_room() {
    insta::assert_snapshot!(screen(80, 24, 30));
}

#[test]
fn a_large_terminal_shows_more() {
    insta::assert_snapshot!(screen(200, 60, 30));
}

#[test]
fn no_size_is_too_small() {
    for rows in 0..12 {
        for columns in [0, 1, 20] {
            screen(columns, rows, 3);
        }
    }
}

#[test]
fn a_rate_needs_two_answers_of_one_proxy() {
    let now = sample(12, 1);
    let alone = Rates::between(None, &now);
    assert_eq!(alone.rate(None, 5), "-");
    let before = sample(10, 1);
    let both = Rates::between(Some(&before), &now);
    assert_eq!(both.rate(Some(100), 101), "0.5");
    assert_eq!(both.rate(Some(100), 50), "-", "the proxy was restarted");
    assert_eq!(both.rate(Some(0), 2_000_000), "1000000");
    assert_eq!(both.rate(Some(7), 7), "0");
}

#[test]
fn a_daemon_that_does_not_answer_is_said_and_nothing_is_obeyed() {
    let mut now = sample(12, 1);
    now.status.pools[0].backends[0].check = "\x1b[2J".into();
    let size = Size {
        columns: 200,
        rows: 60,
    };
    let lines = view(
        None,
        &now,
        Some("failed to ask\nhelp: is it running?"),
        size,
    );
    assert_eq!(lines[1].text, "no answer: failed to ask");
    let text: String = lines.iter().map(|line| line.text.as_str()).collect();
    assert!(!text.contains('\x1b'), "{text}");
}
