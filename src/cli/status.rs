//! `evenkeel status`: asks the running daemon and prints tables, or the JSON as it came.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::outcome::{Output, print_answer};
use crate::ipc::control::unix_ms;
use crate::ipc::control::{
    self, AccessLogStatus, BackendStatus, ConfigurationStatus, FailureStatus, ListenerStatus,
    OverrideStatus, PoolStatus, Request, Response, RouterStatus, Status,
};

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub(super) enum StatusError {
    /// Nobody listens, or no answer came in time.
    #[error("failed to ask the daemon at {}\nhelp: is it running? its --runtime-dir must be the same", path.display())]
    Ask {
        /// The control socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It answered something else.
    #[error("the daemon refused: {0}")]
    Refused(String),
    /// It was asked to change something, and why nothing changes.
    #[error("{0}")]
    Unchanged(String),
}

/// Prints the status; returns the exit code.
pub(super) fn run(runtime_dir: &Path, output: Output) -> i32 {
    let text = |status: Status| match output {
        Output::Json => serde_json::to_string_pretty(&status).unwrap_or_default() + "\n",
        Output::Text => render(&status),
    };
    print_answer(ask(runtime_dir).map(text))
}

/// Returns the status of the daemon that uses this runtime directory.
pub(super) fn ask(runtime_dir: &Path) -> Result<Status, StatusError> {
    ask_for(runtime_dir, &Request::Status, ANSWER_TIMEOUT, |answer| {
        let Response::Status(status) = answer else {
            return None;
        };
        Some(*status)
    })
}

/// Asks the daemon, and returns what `wanted` takes of its answer.
pub(super) fn ask_for<T>(
    runtime_dir: &Path,
    request: &Request,
    within: Duration,
    wanted: impl FnOnce(Response) -> Option<T>,
) -> Result<T, StatusError> {
    match control::ask(runtime_dir, request, within) {
        Ok(Response::Error(why)) => Err(StatusError::Refused(why)),
        Ok(answer) => {
            let else_answered = || StatusError::Refused("it answered something else".into());
            wanted(answer).ok_or_else(else_answered)
        }
        Err(source) => Err(StatusError::Ask {
            path: runtime_dir.join(control::SOCKET),
            source,
        }),
    }
}

fn render(status: &Status) -> String {
    let mut text = format!("node {}, evenkeel {}\n", status.node, status.version);
    text.push_str(&configuration(&status.configuration, now_ms()));
    text.extend(status.overrides.iter().map(by_command));
    for warning in &status.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    if !status.virtual_routers.is_empty() {
        text.push('\n');
        text.push_str(&routers(&status.virtual_routers));
        for router in &status.virtual_routers {
            router_details(&mut text, router);
        }
    }
    if !status.listeners.is_empty() {
        text.push('\n');
        text.push_str(&listeners(&status.listeners));
        text.push_str(&routes(&status.listeners));
        text.push_str(&certificates(&status.listeners));
    }
    if !status.pools.is_empty() {
        text.push('\n');
        text.push_str(&pools(&status.pools));
        text.push_str(&queues(&status.pools));
    }
    if let Some(log) = &status.access_log {
        text.push('\n');
        text.push_str(&access_log(log));
    }
    let mut rows = vec![row(["PROCESS", "PID", "RESTARTS"])];
    rows.extend(status.processes.iter().map(|process| {
        let pid = process
            .pid
            .map_or_else(|| "-".into(), |pid| pid.to_string());
        vec![process.name.clone(), pid, process.restarts.to_string()]
    }));
    text.push('\n');
    text.push_str(&table(&rows));
    text
}

/// Returns a line about something that was changed by command.
pub(super) fn by_command(change: &OverrideStatus) -> String {
    let OverrideStatus {
        subject,
        change,
        at_ms,
    } = change;
    let since = ago(now_ms().saturating_sub(*at_ms));
    format!("{subject}: {change} by command {since} ago\n")
}

/// Returns a line about the configuration that runs, and others where there is something to be
/// done.
fn configuration(running: &ConfigurationStatus, now_ms: u64) -> String {
    let ConfigurationStatus {
        file,
        is_own,
        generation,
        since_ms,
        checksum,
        file_differs,
        last_failure,
    } = running;
    let since = |at_ms: u64| ago(now_ms.saturating_sub(at_ms));
    let mut text = format!(
        "configuration {file}, generation {generation} for {}, checksum {checksum}\n",
        since(*since_ms)
    );
    if !is_own {
        text.push_str("note: it holds until the next reload or restart\n");
    } else if *file_differs == Some(true) {
        text.push_str("note: the file differs from what runs: `evenkeel reload --dry-run`\n");
    }
    if let Some(FailureStatus { at_ms, text: why }) = last_failure {
        let _ = writeln!(
            text,
            "note: a change failed {} ago: {}",
            since(*at_ms),
            why.trim_end()
        );
    }
    text
}

fn now_ms() -> u64 {
    unix_ms(SystemTime::now())
}

fn routers(routers: &[RouterStatus]) -> String {
    let mut rows = vec![row([
        "VIRTUAL ROUTER",
        "INTERFACE",
        "VRID",
        "STATE",
        "SINCE",
        "PRIORITY",
        "CAUSE",
    ])];
    rows.extend(routers.iter().map(|router| {
        let priority = if router.base_priority == router.effective_priority {
            router.base_priority.to_string()
        } else {
            format!("{} of {}", router.effective_priority, router.base_priority)
        };
        vec![
            router.name.to_string(),
            router.interface.clone(),
            router.vrid.to_string(),
            router.state.clone(),
            ago(router.since_ms),
            priority,
            router.cause.clone(),
        ]
    }));
    table(&rows)
}

fn router_details(text: &mut String, router: &RouterStatus) {
    let addresses: Vec<String> = router.addresses.iter().map(ToString::to_string).collect();
    let held = if router.holds_addresses {
        "here"
    } else {
        "not here"
    };
    let _ = writeln!(text, "\n{}: {} ({held})", router.name, addresses.join(", "));
    if !router.priority_reason.is_empty() {
        let _ = writeln!(text, "  priority: {}", router.priority_reason);
    }
    for note in &router.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    let own = ago(router.advertisement_interval_ms);
    let learned = router.active_adver_interval_ms.map(ago);
    let learned = learned.filter(|learned| *learned != own);
    let learned = learned.map_or_else(String::new, |learned| format!(", learned {learned}"));
    let _ = writeln!(
        text,
        "  interval {own}{learned}, skew time {}, active down interval {}",
        ago(router.timers.skew_time_us / 1000),
        ago(router.timers.active_down_interval_ms)
    );
    for peer in &router.peers {
        let _ = writeln!(
            text,
            "  peer {}: priority {}, interval {}, heard {} ago, checksum {}",
            peer.address,
            peer.priority,
            ago(peer.interval_ms),
            ago(peer.heard_ms),
            peer.checksum
        );
    }
    let sent_or_heard: Vec<String> = router
        .counters
        .iter()
        .filter(|(_, n)| **n > 0)
        .map(|(k, n)| format!("{k} {n}"))
        .collect();
    if !sent_or_heard.is_empty() {
        let _ = writeln!(text, "  {}", sent_or_heard.join(", "));
    }
    if let Some(last) = &router.last_rejected {
        let total: u64 = router.rejected.values().sum();
        let _ = writeln!(
            text,
            "  rejected {total}, last from {} {} ago: {}",
            last.source,
            ago(last.since_ms),
            last.reason
        );
    }
}

fn access_log(log: &AccessLogStatus) -> String {
    let error = if log.error.is_empty() {
        "-"
    } else {
        log.error.as_str()
    };
    table(&[
        row(["ACCESS LOG", "WRITTEN", "DROPPED", "ERROR"]),
        vec![
            log.to.clone(),
            log.lines_written_total.to_string(),
            log.lines_dropped_total.to_string(),
            error.to_owned(),
        ],
    ])
}

fn listeners(listeners: &[ListenerStatus]) -> String {
    let mut rows = vec![row([
        "LISTENER",
        "BIND",
        "POOL",
        "CONNECTIONS",
        "REFUSED",
        "EVICTED",
        "LIMITED",
        "REQUESTS",
        "5XX",
    ])];
    rows.extend(listeners.iter().map(|listener| {
        let binds: Vec<String> = listener.binds.iter().map(ToString::to_string).collect();
        let errors = listener.responses_total.get("5xx").copied().unwrap_or(0);
        let limited =
            listener.connections_rate_limited_total + listener.requests_rate_limited_total;
        vec![
            listener.name.clone(),
            binds.join(" "),
            listener.pool.clone().unwrap_or_else(|| "-".to_owned()),
            listener.connections.to_string(),
            listener.connections_refused_total.to_string(),
            listener.connections_evicted_total.to_string(),
            limited.to_string(),
            listener.requests_total.to_string(),
            errors.to_string(),
        ]
    }));
    table(&rows)
}

/// Returns a table of routes behind an empty line, where there are any.
fn routes(listeners: &[ListenerStatus]) -> String {
    let mut rows = vec![row(["LISTENER", "ROUTE", "POOL", "REQUESTS"])];
    for listener in listeners {
        rows.extend(listener.routes.iter().map(|route| {
            vec![
                listener.name.clone(),
                route.name.clone(),
                route.pool.clone().unwrap_or_else(|| "-".to_owned()),
                route.requests_total.to_string(),
            ]
        }));
    }
    match rows.len() {
        1 => String::new(),
        _ => format!("\n{}", table(&rows)),
    }
}

/// Returns the certificates, those that end first.
fn certificates(listeners: &[ListenerStatus]) -> String {
    let head = [
        "LISTENER",
        "CERTIFICATE FOR",
        "DAYS",
        "FILE",
        "HANDSHAKES",
        "FAILED",
    ];
    let mut rows = vec![row(head)];
    for listener in listeners {
        rows.extend(listener.certificates.iter().map(|certificate| {
            vec![
                listener.name.clone(),
                certificate.names.join(" "),
                certificate.days_left.to_string(),
                certificate.file.clone(),
                listener.handshakes_total.to_string(),
                listener.handshakes_failed_total.to_string(),
            ]
        }));
    }
    match rows.len() {
        1 => String::new(),
        _ => format!("\n{}", table(&rows)),
    }
}

fn pools(pools: &[PoolStatus]) -> String {
    let mut rows = vec![row([
        "POOL",
        "BACKEND",
        "ADDRESS",
        "STATE",
        "ACTIVE",
        "REQUESTS",
        "FAILURES",
        "LAST PROBE",
    ])];
    for pool in pools {
        rows.extend(pool.backends.iter().map(|backend| {
            vec![
                pool.name.clone(),
                backend.name.clone(),
                backend.address.to_string(),
                state_of(backend),
                match backend.requests_max {
                    Some(max) => format!("{} of {max}", backend.active_requests),
                    None => backend.active_requests.to_string(),
                },
                backend.requests_total.to_string(),
                backend.failures_total.to_string(),
                backend.check.clone(),
            ]
        }));
    }
    table(&rows)
}

fn state_of(backend: &BackendStatus) -> String {
    let backup = if backend.backup { ", backup" } else { "" };
    let slow_start = backend
        .slow_start
        .map_or_else(String::new, |percent| format!(", {percent}%"));
    let ejected = backend
        .ejected_ms
        .map_or_else(String::new, |ms| format!(" for {}", ago(ms)));
    format!("{}{ejected}{backup}{slow_start}", backend.state)
}

/// Returns who waits, for the pools where somebody may have to; empty where there is none.
fn queues(pools: &[PoolStatus]) -> String {
    let is_limited = |pool: &&PoolStatus| pool.backends.iter().any(|b| b.requests_max.is_some());
    let rows: Vec<Vec<String>> = pools
        .iter()
        .filter(is_limited)
        .map(|pool| {
            vec![
                pool.name.clone(),
                pool.queued_requests.to_string(),
                pool.queued_total.to_string(),
                pool.queue_timeouts_total.to_string(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = row(["QUEUE OF POOL", "WAITING", "WAITED", "IN VAIN"]);
    "\n".to_owned() + &table(&[vec![head], rows].concat())
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Returns an empty line and aligned columns under a heading.
pub(super) fn section<const N: usize>(
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows = std::iter::once(head.map(str::to_owned)).chain(rows);
    let rows: Vec<Vec<String>> = rows.map(|row| row.to_vec()).collect();
    format!("\n{}", table(&rows))
}

/// Returns the rows with their columns aligned, two spaces apart.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|c| c.chars().count())
                .max()
        })
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Returns a span of time in the largest unit that says enough.
pub(super) fn ago(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..120_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        120_000..7_200_000 => format!("{}m", ms / 60_000),
        7_200_000..172_800_000 => format!("{}h", ms / 3_600_000),
        172_800_000.. => format!("{}d", ms / 86_400_000),
    }
}

/// From the question to the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BackendMode;

    #[test]
    fn columns_are_aligned() {
        let rows = vec![row(["A", "BB"]), row(["long", "x"])];
        assert_eq!(table(&rows), "A     BB\nlong  x\n");
    }

    #[test]
    fn queues_are_shown_where_there_are_limits() {
        let pool = |name: &str, requests_max: Option<u32>| PoolStatus {
            queued_requests: 3,
            queued_total: 40,
            queue_timeouts_total: 2,
            ..PoolStatus::uncounted(
                name.to_owned(),
                vec![BackendStatus {
                    name: "b".to_owned(),
                    address: "192.0.2.1:80".parse().expect("an address"),
                    state: "up".to_owned(),
                    check: "connected".to_owned(),
                    active_requests: 5,
                    requests_total: 60,
                    failures_total: 1,
                    unsolicited_total: 0,
                    requests_max,
                    mode: BackendMode::Up,
                    backup: name == "full",
                    slow_start: requests_max.map(|_| 37),
                    ejected_ms: None,
                }],
            )
        };
        let both = [pool("free", None), pool("full", Some(5))];
        let hoped = "
QUEUE OF POOL  WAITING  WAITED  IN VAIN
full           3        40      2
";
        assert_eq!(queues(&both), hoped);
        assert_eq!(queues(&both[..1]), "");
        let shown = pools(&both);
        assert!(shown.contains("up               5       60 "), "{shown}");
        assert!(shown.contains("up, backup, 37%  5 of 5  60 "), "{shown}");
    }

    #[test]
    fn time_is_said_in_the_largest_useful_unit() {
        for (ms, text) in [
            (999, "999ms"),
            (1_250, "1.2s"),
            (119_999, "119.9s"),
            (120_000, "2m"),
            (7_200_000, "2h"),
            (172_800_000, "2d"),
        ] {
            assert_eq!(ago(ms), text);
        }
    }

    #[test]
    fn listeners_show_what_they_serve_and_what_they_turned_away() {
        let listener: ListenerStatus = serde_json::from_value(serde_json::json!({
            "name": "http", "binds": ["192.0.2.100:80"], "pool": "web", "connections": 3,
            "connections_refused_total": 7, "connections_evicted_total": 4,
            "connections_rate_limited_total": 5, "requests_rate_limited_total": 6, "requests_total": 20, "responses_total": {"5xx": 1},
            "routes": [{"name": "api", "pool": "web", "requests_total": 4}, {"name": "2", "pool": null, "requests_total": 1}],
        }))
        .expect("the fields are those of a status");
        assert_eq!(
            routes(std::slice::from_ref(&listener)),
            "\nLISTENER  ROUTE  POOL  REQUESTS\nhttp      api    web   4\nhttp      2      -     1\n"
        );
        assert_eq!(
            listeners(&[listener]),
            "LISTENER  BIND            POOL  CONNECTIONS  REFUSED  EVICTED  LIMITED  REQUESTS  5XX\n\
             http      192.0.2.100:80  web   3            7        4        11       20        1\n"
        );
    }

    #[test]
    fn virtual_router_shows_what_it_learned_and_what_is_wrong() {
        let router: RouterStatus = serde_json::from_value(serde_json::json!({
            "name": {"entry": "web", "family": "ipv4"}, "interface": "eth0", "vrid": 51,
            "state": "Backup", "since_ms": 90_000, "cause": "startup", "base_priority": 100,
            "effective_priority": 100, "priority_reason": "", "addresses": ["192.0.2.100"],
            "holds_addresses": false, "advertisement_interval_ms": 1_000,
            "active_adver_interval_ms": 300, "primary_address": "192.0.2.1",
            "peers": [{"address": "192.0.2.2", "priority": 150, "interval_ms": 300,
                       "heard_ms": 20, "checksum": "rfc5798"}],
            "counters": {"active_transitions": 0, "advertisements_received": 300},
            "rejected": {"carp": 7},
            "last_rejected": {"source": "192.0.2.3", "reason": "carp", "since_ms": 500},
            "notes": ["advertisements of 192.0.2.3 are being rejected: carp"],
            "timers": {"skew_time_us": 182_812, "active_down_interval_ms": 1_082, "next_ms": 900},
        }))
        .expect("the fields are those of a status");
        let mut text = String::new();
        router_details(&mut text, &router);
        let hoped = "
web/ipv4: 192.0.2.100 (not here)
  note: advertisements of 192.0.2.3 are being rejected: carp
  interval 1.0s, learned 300ms, skew time 182ms, active down interval 1.0s
  peer 192.0.2.2: priority 150, interval 300ms, heard 20ms ago, checksum rfc5798
  advertisements_received 300
  rejected 7, last from 192.0.2.3 500ms ago: carp
";
        assert_eq!(text, hoped);
    }
}
