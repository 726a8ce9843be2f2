//! Every timeout and every limit, with traffic just inside and just outside of it, in every phase,
//! at a stop as well.
//!
//! `TABLE` names the test of each; those of timeouts are cases, played together in `stage`. A key
//! of the configuration or a row of the manual's tables that is not in it fails.

mod stage;
mod full;
mod requests;
mod responses;
mod backends;
mod stops;
mod limits;

use std::collections::BTreeSet;
use std::time::Duration;

use stage::{Case, LATE, Side, Situation};

/// Where a bound is tried.
enum Tried {
    /// By cases on either side.
    Cases,
    /// By messages on either side, in `limits`.
    Messages,
    /// By these tests, in a file of the repository: inside and outside.
    Tests(&'static str, &'static [&'static str]),
}

/// Every bound, as the tables of evenkeel(8) name it.
const TABLE: &[(&str, Tried)] = &[
    ("listener request_head", Tried::Cases),
    ("listener keep_alive", Tried::Cases),
    ("listener request_body", Tried::Cases),
    ("listener idle", Tried::Cases),
    ("listener tunnel", Tried::Cases),
    ("pool connect", Tried::Cases),
    ("pool response_head", Tried::Cases),
    ("pool queue", Tried::Cases),
    (
        "listener handshake",
        Tried::Tests(
            "tests/proxy_tls/handshakes.rs",
            &["a_handshake_that_stands_still_ends_in_time_and_others_go_on"],
        ),
    ),
    (
        "signature of evenkeel-keys",
        Tried::Tests(
            "tests/proxy_tls/signing.rs",
            &["handshakes_wait_where_nobody_signs_and_connections_go_on"],
        ),
    ),
    (
        "proxy drain",
        Tried::Tests(
            "tests/proxy_http/bounds/stops.rs",
            &[
                "what_ends_before_the_deadline_of_the_drain_ends_whole",
                "what_is_left_at_the_deadline_of_the_drain_is_cut_and_says_so",
                "the_deadline_of_the_drain_holds_for_those_that_wait_for_room",
                "the_deadline_of_the_drain_holds_for_connections_that_are_being_opened",
                "the_deadline_of_the_drain_holds_for_clients_that_send_behind_their_last_answer",
                "heads_have_until_the_deadline_of_the_drain_and_idle_connections_have_not",
            ],
        ),
    ),
    (
        "health_check interval",
        Tried::Tests(
            "tests/proxy_http/bounds/backends.rs",
            &["probes_begin_an_interval_apart"],
        ),
    ),
    (
        "health_check timeout",
        Tried::Tests(
            "tests/proxy_http/bounds/backends.rs",
            &[
                "probes_that_are_answered_in_time_bring_a_backend_up",
                "probes_that_are_answered_too_late_take_a_backend_down",
            ],
        ),
    ),
    ("client that has ended its direction", Tried::Cases),
    (
        "the same, within an answer",
        Tried::Tests(
            "tests/proxy_http/messages/leaving.rs",
            &[
                "backends_hear_of_clients_that_leave_a_silent_answer",
                "clients_that_end_their_direction_in_an_answer_get_all_that_flows",
            ],
        ),
    ),
    ("client after its last answer, silent", Tried::Cases),
    ("listener linger", Tried::Cases),
    (
        "rest of a request that is answered",
        Tried::Tests(
            "tests/proxy_http/messages/leaving.rs",
            &[
                "early_success_says_that_it_closes_and_the_upload_goes_on",
                "the_rest_of_a_request_that_was_answered_is_waited_for_no_longer_than_it_may",
            ],
        ),
    ),
    (
        "listener client_fin",
        Tried::Tests(
            "tests/proxy_http/messages/leaving.rs",
            &["tunnels_that_one_side_has_ended_end_in_the_time_of_the_other"],
        ),
    ),
    (
        "pool backend_fin",
        Tried::Tests(
            "tests/proxy_http/messages/leaving.rs",
            &["tunnels_that_one_side_has_ended_end_in_the_time_of_the_other"],
        ),
    ),
    (
        "keep_alive timeout",
        Tried::Tests(
            "src/process/proxy/upstream/connections.rs",
            &["kept_connections_are_used_within_their_time_and_closed_after_it"],
        ),
    ),
    ("listener head_bytes", Tried::Messages),
    ("listener fields", Tried::Messages),
    ("listener target_bytes", Tried::Messages),
    ("listener body_bytes", Tried::Messages),
    ("listener body_rate", Tried::Cases),
    (
        "listener connections",
        Tried::Tests("tests/proxy_http/connections/limits.rs", CONNECTIONS),
    ),
    (
        "listener connections_per_client",
        Tried::Tests("tests/proxy_http/connections/limits.rs", CONNECTIONS),
    ),
    (
        "listener connection_rate_per_client",
        Tried::Tests(
            "tests/proxy_http/rates.rs",
            &["connections_that_come_too_often_are_told_so_and_closed"],
        ),
    ),
    (
        "listener requests",
        Tried::Tests(
            "tests/proxy_http/rates.rs",
            &["all_clients_together_have_what_one_that_asks_too_much_does_not_take"],
        ),
    ),
    (
        "listener requests_per_client",
        Tried::Tests(
            "tests/proxy_http/rates.rs",
            &[
                "each_client_has_its_rate_whatever_connection_it_asks_on",
                "who_is_told_to_come_later_is_served_then",
            ],
        ),
    ),
    (
        "proxy connections",
        Tried::Tests("tests/proxy_http/connections/limits.rs", CONNECTIONS),
    ),
    (
        "backend requests",
        Tried::Tests(
            "tests/proxy_http/bounds/backends.rs",
            &["so_many_requests_are_sent_to_a_backend_at_once_and_no_more"],
        ),
    ),
    (
        "proxy connection_bytes",
        Tried::Tests(
            "tests/proxy_http/connections/held.rs",
            &[
                "no_more_than_connection_bytes_is_held_of_an_answer_that_nobody_reads",
                "no_more_than_connection_bytes_is_held_of_a_request_that_nobody_reads",
            ],
        ),
    ),
    (
        "bytes read ahead",
        Tried::Tests(
            "tests/proxy_http/connections/held.rs",
            &[
                "little_is_read_ahead_of_a_client_that_asks_and_asks",
                "little_is_read_ahead_of_a_client_that_is_answered_and_does_not_read",
            ],
        ),
    ),
    (
        "keep_alive connections",
        Tried::Tests(
            "tests/proxy_http/bounds/backends.rs",
            &["so_many_connections_are_kept_and_no_more"],
        ),
    ),
    (
        "buffer_requests memory",
        Tried::Tests("tests/proxy_http/messages/buffered.rs", KEPT_BODIES),
    ),
    (
        "buffer_requests disk",
        Tried::Tests("tests/proxy_http/messages/buffered.rs", KEPT_BODIES),
    ),
    (
        "places that a backend names",
        Tried::Tests(
            "src/logic/http1/rewrite/elsewhere.rs",
            &["what_cannot_be_asked_for_is_refused"],
        ),
    ),
    ("head of a response", Tried::Messages),
    ("fields of a response", Tried::Messages),
    ("interim answers", Tried::Messages),
    ("extensions of chunks", Tried::Messages),
    ("trailers", Tried::Messages),
    ("fields of trailers", Tried::Messages),
    ("options of Connection", Tried::Messages),
];

const KEPT_BODIES: &[&str] = &[
    "bodies_that_can_never_be_kept_are_too_large",
    "a_pool_has_so_much_of_the_disk_and_the_next_may_have_it_afterwards",
    "without_a_disk_what_does_not_fit_into_memory_is_too_large",
];

const CONNECTIONS: &[&str] = &["one_connection_too_many_is_answered_503"];

fn cases() -> Vec<Case> {
    [requests::cases(), responses::cases(), backends::cases()]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn every_timeout_keeps_its_time_where_nothing_else_goes_on() {
    require_punctual(stage::play(&cases(), Situation::Calm));
}

#[test]
fn every_timeout_keeps_its_time_on_a_busy_worker() {
    require_punctual(stage::play(&cases(), Situation::Busy));
}

#[test]
fn every_timeout_keeps_its_time_at_a_stop() {
    require_punctual(stage::play(&cases(), Situation::Stopping));
}

/// A single one may be held up by the machine; most are not.
fn require_punctual(mut late: Vec<Duration>) {
    late.sort();
    let median = late[late.len() / 2];
    assert!(
        median <= LATE,
        "half of them are {median:?} late or more: {late:?}"
    );
}

#[test]
fn every_bound_of_the_manual_and_of_the_configuration_is_in_the_table() {
    let table: BTreeSet<String> = TABLE.iter().map(|(name, _)| (*name).to_owned()).collect();
    let manual = rows_of_the_manual();
    let keys = keys_of_the_configuration();
    assert!(manual.len() > 20 && keys.len() > 15, "{manual:?} {keys:?}");
    let missing: Vec<_> = manual
        .union(&keys)
        .filter(|name| !table.contains(*name))
        .collect();
    assert!(missing.is_empty(), "bounds without a test: {missing:?}");
    let unknown: Vec<_> = table
        .iter()
        .filter(|name| !manual.contains(*name))
        .collect();
    assert!(
        unknown.is_empty(),
        "bounds that are not in the manual's tables: {unknown:?}"
    );
}

#[test]
fn every_bound_is_tried_on_both_sides() {
    let cases = cases();
    let messages = limits::bounds();
    for (name, tried) in TABLE {
        match tried {
            Tried::Cases => {
                for side in [Side::Inside, Side::Outside] {
                    let some = cases
                        .iter()
                        .any(|case| case.bound == *name && case.side == side);
                    assert!(some, "{name} has no case {side:?}");
                }
            }
            Tried::Messages => assert!(messages.contains(name), "{name} has no message"),
            Tried::Tests(file, tests) => {
                let text = read(file);
                for test in *tests {
                    let indents = ["", "    "];
                    let there = indents.iter().any(|indent| {
                        text.contains(&format!("\n{indent}#[test]\n{indent}fn {test}()"))
                    });
                    assert!(there, "{name}: {file} has no test {test}");
                }
            }
        }
    }
    for case in &cases {
        assert!(
            TABLE.iter().any(|(name, _)| *name == case.bound),
            "{}",
            case.name
        );
    }
}

/// Returns the first columns of the tables under "Timeouts" and "Limits".
fn rows_of_the_manual() -> BTreeSet<String> {
    let manual = read("man/evenkeel.8");
    let sections = manual
        .split("\n.Ss ")
        .filter(|section| section.starts_with("Timeouts\n") || section.starts_with("Limits\n"));
    let rows = sections
        .flat_map(|section| section.lines())
        .filter_map(|line| {
            let (name, _) = line.strip_prefix(".It ")?.split_once(" Ta ")?;
            Some(name.to_owned())
        });
    rows.filter(|name| !name.starts_with("Sy ")).collect()
}

/// Returns the keys under `timeouts` and `limits`, and those of health checks and backends that
/// bound something.
fn keys_of_the_configuration() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let (mut above, mut at): (Vec<(usize, String)>, usize);
    above = Vec::new();
    for line in read("config/evenkeel.yaml").lines() {
        let bare = line.replacen('#', "", 1);
        at = bare.len() - bare.trim_start().len();
        let Some((key, rest)) = bare.trim_start().split_once(':') else {
            continue;
        };
        let is_key = key
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
        // Prose has a space behind its `#`.
        if !is_key || key.is_empty() || line.trim_start().starts_with("# ") {
            continue;
        }
        above.retain(|(indent, _)| *indent < at);
        let inside = |name: &str| above.iter().any(|(_, key)| key == name);
        let parent = above.last().map(|(_, key)| key.as_str());
        let whose = ["listeners", "pools", "proxy"]
            .into_iter()
            .find(|name| inside(name));
        let whose = whose.map(|name| name.trim_end_matches('s'));
        match (whose, parent) {
            (Some(whose), Some("timeouts" | "limits")) => {
                keys.insert(format!("{whose} {key}"));
            }
            (Some("pool"), _) if rest.contains("requests:") => {
                keys.insert("backend requests".to_owned());
            }
            (Some("pool"), Some("keep_alive")) if ["timeout", "connections"].contains(&key) => {
                keys.insert(format!("keep_alive {key}"));
            }
            (Some("pool"), Some("health_check")) if ["interval", "timeout"].contains(&key) => {
                keys.insert(format!("health_check {key}"));
            }
            _ => {}
        }
        above.push((at, key.to_owned()));
    }
    keys
}

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
