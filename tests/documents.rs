//! Holds the documents to the code: flags, keys, fields, counters, examples, manual pages, the
//! unit.
//!
//! What a user can type or read must stand in `man/`; every configuration that is printed anywhere
//! must parse. The names come from the code (the definition of the command line, a serialized
//! `Status`, `Counters`) or from `config/evenkeel.yaml`, never from a list kept here.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read the tree should say so at once"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Output};

use evenkeel::config::{self, BackendMode, check::NodeName};
use evenkeel::ipc::control::{
    AccessLogStatus, ActiveStatus, BackendStatus, CertificateStatus, ConfigurationStatus,
    FailureStatus, ListenerStatus, OverrideStatus, PeerStatus, PoolStatus, ProcessStatus,
    RejectedStatus, RouteStatus, RouterSettings, RouterStatus, Status, TimerStatus, TimesStatus,
};
use evenkeel::logic::access::{Field, Phase, Termination};
use evenkeel::logic::vrrp::{Counters, Rejection};
use evenkeel::model::{Family, FaultCause, RouterName};
use evenkeel::process::vrrp::status::SHELL_COUNTERS;

#[path = "documents/architecture.rs"]
mod architecture;
#[path = "documents/commands.rs"]
mod commands;
#[path = "documents/request.rs"]
mod request;

/// The capabilities the unit gives, as house.md's table of processes adds them up.
const UNIT_CAPABILITIES: [&str; 8] = [
    "CAP_IPC_LOCK",
    "CAP_KILL",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_NICE",
];

const COMMAND_MANUAL: &str = "man/evenkeel.8";
const CONFIG_MANUAL: &str = "man/evenkeel.yaml.5";
const MANUALS: [&str; 2] = [COMMAND_MANUAL, CONFIG_MANUAL];
const FOR_OTHER_PROGRAMS: [&str; 2] = [
    "config/examples/prometheus-alerts.yaml",
    "config/examples/grafana-dashboard.json",
];
const CONFIG: &str = "config/evenkeel.yaml";
const UNIT: &str = "config/systemd/evenkeel.service";

/// Maps whose keys are the user's own words.
const NAMED_BY_USERS: [&str; 7] = [
    "virtual_routers",
    "track_scripts",
    "listeners",
    "pools",
    "backends",
    "priority",
    "error_pages",
];

/// The nodes that examples are written for.
const NODES: [&str; 2] = ["lb1", "lb2"];

// -------------------------------------------------------------------------------------------------
// Names.

#[test]
fn every_field_of_the_status_stands_in_the_manual() {
    let mut fields = BTreeSet::new();
    collect_keys(&serde_json::to_value(sample_status()).unwrap(), &mut fields);
    require_names(&fields, "fields of the status");
}

#[test]
fn every_counter_and_reason_of_rejection_stands_in_the_manual() {
    let counters: BTreeSet<String> = Counters::default()
        .iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    require_names(&counters, "counters");
    let of_the_shell = SHELL_COUNTERS.map(str::to_owned).into();
    require_names(&of_the_shell, "counters of the shell");
    let reasons = Rejection::ALL
        .iter()
        .map(|reason| reason.as_str().to_owned())
        .collect();
    require_names(&reasons, "reasons of rejection");
}

#[test]
fn every_word_of_the_proxys_own_answers_stands_in_the_manual() {
    let mut found = BTreeSet::new();
    for file in [
        "src/process/proxy/request/attempts/unserved.rs",
        "src/process/proxy/request/answer.rs",
        "src/logic/http1/refusal.rs",
    ] {
        let text = read(file);
        let quoted = text.split('"').skip(1).step_by(2).map(str::to_owned);
        found.extend(quoted.filter(|word| {
            word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        }));
    }
    assert!(
        found.contains("no_backend_up") && found.contains("host_missing"),
        "{found:?}"
    );
    require_names(&found, "words of the proxy's own answers");
}

#[test]
fn every_word_of_the_access_log_stands_in_the_manual() {
    let fields = Field::ALL.map(|field| field.name().to_owned()).into();
    require_names(&fields, "fields of the access log");
    let ends = Termination::ALL.map(|end| end.as_str().to_owned()).into();
    require_names(&ends, "terminations");
    let phases = Phase::ALL.map(|phase| phase.as_str().to_owned()).into();
    require_names(&phases, "phases");
}

#[test]
fn every_key_of_the_commented_configuration_stands_in_the_manual() {
    let manual = read(CONFIG_MANUAL);
    let manual = words(&manual);
    let keys = keys_of(&uncommented(&read(CONFIG)));
    assert!(
        keys.len() > 20,
        "{CONFIG} shows every key, commented or not: found only {keys:?}"
    );
    let missing: Vec<&String> = keys
        .iter()
        .filter(|key| !manual.contains(&key.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "keys of {CONFIG} missing in {CONFIG_MANUAL}: {missing:?}"
    );
}

// -------------------------------------------------------------------------------------------------
// Examples.

#[test]
fn every_example_parses_on_every_node() {
    let mut examples = vec![(String::from(CONFIG), read(CONFIG))];
    for entry in fs::read_dir(root().join("config/examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!(
            "config/examples/{}",
            path.file_name().unwrap().to_str().unwrap()
        );
        if name.ends_with(".sh") {
            let output = run_tool("sh", "dash", &["-n", &name]);
            assert!(output.status.success(), "{name}: {output:?}");
            continue;
        }
        // For other programs, which read them in `netns-tests/page/scrape.rs`.
        if FOR_OTHER_PROGRAMS.contains(&name.as_str()) {
            continue;
        }
        assert!(
            name.ends_with(".yaml"),
            "{name}: only configurations, scripts and what is for Prometheus and Grafana lie among \
             the examples"
        );
        examples.push((name, fs::read_to_string(&path).unwrap()));
    }
    assert!(examples.len() > 1, "config/examples is not empty");
    parse_all(&examples);
}

#[test]
fn every_configuration_of_the_documents_parses_on_every_node() {
    let mut examples = fenced_blocks("README.md", &read("README.md"), "```yaml", "```");
    assert_eq!(examples.len(), 1, "the README shows one configuration");
    assert_eq!(
        examples[0].1.lines().count(),
        10,
        "the README's configuration has ten lines"
    );
    for manual in MANUALS {
        let blocks = fenced_blocks(manual, &read(manual), ".Bd -literal", ".Ed");
        let whole = |text: &str| {
            ["virtual_routers:", "listeners:", "pools:"]
                .iter()
                .any(|key| text.starts_with(key))
        };
        examples.extend(blocks.into_iter().filter(|(_, text)| whole(text)));
    }
    assert!(examples.len() > 1, "evenkeel(8) shows a configuration");
    parse_all(&examples);
}

// -------------------------------------------------------------------------------------------------
// Other programs' opinions.

#[test]
fn the_manual_pages_are_clean() {
    for manual in MANUALS {
        let output = run_tool("mandoc", "mandoc", &["-Tlint", "-Wwarning", manual]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{manual}: mandoc -Tlint -Wwarning says\n{said}"
        );
    }
}

#[test]
fn the_unit_is_clean() {
    // The program is not installed where tests run, so that the unit is verified with another in
    // its place.
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("evenkeel.service");
    let text = read(UNIT);
    assert!(
        text.contains("ExecStart=/usr/bin/evenkeel run"),
        "{UNIT} starts the program"
    );
    fs::write(&unit, text.replace("=/usr/bin/evenkeel ", "=/bin/true ")).unwrap();
    let unit = unit.to_str().unwrap();
    let output = run_tool("systemd-analyze", "systemd", &["verify", "--man=no", unit]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{UNIT}: systemd-analyze says\n{said}"
    );
}

/// 2.6 needs ProtectKernelTunables, which forbids the sysctls of virtual MACs, and 2.7 ProtectProc,
/// which hides the processes that are to be watched.
#[test]
fn the_unit_is_as_closed_as_it_can_be() {
    let arguments = [
        "security",
        "--offline=true",
        "--threshold=29",
        "--no-pager",
        UNIT,
    ];
    let output = run_tool("systemd-analyze", "systemd", &arguments);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{UNIT}: more than 2.9\n{said}");
    let unit = read(UNIT);
    for (setting, value) in [
        ("WatchdogSec", "10s"),
        ("WatchdogSignal", "SIGKILL"),
        ("OOMPolicy", "continue"),
    ] {
        assert_eq!(
            settings(&unit, setting).collect::<Vec<_>>(),
            [value],
            "{setting}"
        );
    }
    for forbidden in ["ProtectProc", "ProtectKernelTunables"] {
        assert_eq!(settings(&unit, forbidden).count(), 0, "{forbidden}");
    }
}

#[test]
fn the_unit_gives_the_capabilities_of_the_table() {
    let unit = read(UNIT);
    for setting in ["AmbientCapabilities", "CapabilityBoundingSet"] {
        let given: BTreeSet<&str> = settings(&unit, setting).collect();
        assert_eq!(
            given,
            BTreeSet::from(UNIT_CAPABILITIES),
            "{UNIT}: {setting}"
        );
    }
    let manual = read(COMMAND_MANUAL);
    for capability in UNIT_CAPABILITIES {
        assert!(
            has_macro(&manual, &format!("Dv {capability}")),
            "{COMMAND_MANUAL}: {capability}"
        );
    }
    assert_eq!(settings(&unit, "Type").collect::<Vec<_>>(), ["notify"]);
    assert_eq!(
        settings(&unit, "RestrictAddressFamilies").collect::<BTreeSet<_>>(),
        BTreeSet::from(["AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_UNIX"]),
    );
}

#[test]
fn every_file_that_the_readme_points_to_exists() {
    let readme = read("README.md");
    let targets = readme
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let missing: Vec<&str> = targets
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .filter(|target| !root().join(target).exists())
        .collect();
    assert!(
        missing.is_empty(),
        "README.md points to what does not exist: {missing:?}"
    );
}

#[test]
fn the_reader_of_keys_sees_nested_flow_and_commented_keys() {
    let text = "\
# A sentence: with a colon.
# listeners are places, in short: doors.
listeners:
  http: {port: 80, tls: {on: 1}}
  # mail:
    # mode: tcp   # or: http
    # track:
    #   - {script: uplink, on_failure: fault}
pools:
  webfarm:
    backends:
      http1: 192.0.2.1:80
      http2: {address: 192.0.2.2:80}
    balance: {hash: path}
  mailfarm: {backends: {imap1: 192.0.2.3:143}}
";
    let keys: Vec<String> = keys_of(&uncommented(text)).into_iter().collect();
    let hoped =
        "address backends balance hash listeners mode on on_failure pools port script tls track";
    assert_eq!(keys.join(" "), hoped);
}

// -------------------------------------------------------------------------------------------------
// Reading.

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the words of a text: letters, digits, `_` and `-`.
fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .collect()
}

/// Whether a manual says something by macros, as a whole word.
fn has_macro(manual: &str, wanted: &str) -> bool {
    manual.match_indices(wanted).any(|(at, _)| {
        let after = manual[at + wanted.len()..].chars().next();
        after.is_none_or(|c| c.is_whitespace())
    })
}

/// Requires that the command's manual names everything in a set.
fn require_names(names: &BTreeSet<String>, what: &str) {
    let manual = read(COMMAND_MANUAL);
    let said: BTreeSet<&str> = words(&manual).into_iter().collect();
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| !said.contains(name.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "{what} missing in {COMMAND_MANUAL}: {missing:?}"
    );
}

/// Returns the blocks between two markers, each with its place.
fn fenced_blocks(path: &str, text: &str, open: &str, close: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.starts_with(open) {
            let block: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != close)
                .collect();
            blocks.push((format!("{path}:{}", number + 1), block.join("\n") + "\n"));
        }
    }
    blocks
}

/// Parses configurations as each of [`NODES`] would.
fn parse_all(examples: &[(String, String)]) {
    let errors: Vec<String> = examples
        .iter()
        .flat_map(|(place, text)| NODES.map(|node| (place, text, node)))
        .filter_map(|(place, text, node)| {
            let error = config::parse(place, text, NodeName::Given(node)).err()?;
            Some(format!("{place} as {node}:\n{error}"))
        })
        .collect();
    assert!(errors.is_empty(), "{}", errors.join("\n\n"));
}

/// Returns the values of a setting of a unit.
fn settings<'a>(unit: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    unit.lines()
        .filter_map(move |line| line.strip_prefix(name)?.strip_prefix('='))
        .flat_map(str::split_whitespace)
}

/// Returns a configuration with `# key: value` read as `key: value`, and other comments dropped.
///
/// A comment is a key if what stands before its first colon looks like one and it does not end as a
/// sentence does.
fn uncommented(text: &str) -> String {
    let mut kept = String::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let code = match line.trim_start().strip_prefix('#') {
            None => line,
            Some(comment) => {
                let words = comment
                    .trim_start()
                    .trim_start_matches("- ")
                    .trim_start_matches('{');
                let key = words.split_once(':').map(|(key, _)| key);
                let is_code = key.is_some_and(is_key) && !comment.ends_with('.');
                if is_code { comment } else { "" }
            }
        };
        let code = code.split(" #").next().unwrap_or_default().trim();
        if !code.is_empty() {
            kept.push_str(&" ".repeat(indent));
            kept.push_str(code);
            kept.push('\n');
        }
    }
    kept
}

/// Returns the keys the program chose; those directly under a map of names are the user's own.
fn keys_of(text: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut named: Vec<usize> = Vec::new(); // the indents of the maps of names around the line
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let mut found = line_keys(line);
        while named.last().is_some_and(|map| indent <= *map) {
            named.pop();
        }
        let names = named.last().map(|map| map + 2);
        if Some(indent) == names && !found.is_empty() {
            found.remove(0);
        }
        if found.len() == 1 && line.ends_with(':') && NAMED_BY_USERS.contains(&found[0].as_str()) {
            named.push(indent);
        }
        keys.extend(found);
    }
    keys
}

/// Returns the keys of one line, but not those inside maps of the user's names: backends and
/// priorities by node.
fn line_keys(line: &str) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    let mut opened_by: Vec<String> = Vec::new();
    let mut last = String::new();
    let mut quoted = false;
    let mut word = String::new();
    for (at, c) in line.char_indices() {
        let ends_key = line[at + 1..].chars().next().is_none_or(|next| next == ' ');
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            ':' if ends_key => {
                let by_user = opened_by
                    .last()
                    .is_some_and(|by| by == "backends" || by == "priority");
                if is_key(&word) && !by_user {
                    keys.push(word.clone());
                }
                last = std::mem::take(&mut word);
            }
            '{' => opened_by.push(std::mem::take(&mut last)),
            '}' => drop(opened_by.pop()),
            _ => {}
        }
        if c == '_' || c.is_ascii_alphanumeric() {
            word.push(c);
        } else if c != ':' {
            word.clear();
        }
    }
    keys
}

/// Whether a word looks like a key of ours.
fn is_key(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Runs another program in the package's folder, or fails with the Debian package that has it.
fn run_tool(program: &str, package: &str, arguments: &[&str]) -> Output {
    match Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
    {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("`{program}` is needed: install Debian's package {package}")
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

/// Collects the keys of every object, but not those of maps from names of other lists to numbers.
fn collect_keys(value: &serde_json::Value, keys: &mut BTreeSet<String>) {
    if let Some(object) = value.as_object() {
        for (key, inner) in object {
            keys.insert(key.clone());
            collect_keys(inner, keys);
        }
    }
    for inner in value.as_array().into_iter().flatten() {
        collect_keys(inner, keys);
    }
}

// -------------------------------------------------------------------------------------------------
// A status in which nothing is missing.

fn sample_status() -> Status {
    Status {
        node: String::from("lb1"),
        version: String::from("0.1.0"),
        virtual_routers: vec![sample_router()],
        listeners: vec![sample_listener()],
        pools: vec![sample_pool()],
        configuration: ConfigurationStatus {
            file: String::from("/etc/evenkeel/evenkeel.yaml"),
            is_own: true,
            generation: 2,
            since_ms: 951_782_400_000,
            checksum: String::from("cbf29ce484222325"),
            file_differs: Some(true),
            last_failure: Some(FailureStatus {
                at_ms: 951_782_400_000,
                text: String::from("evenkeel-proxy has died meanwhile"),
            }),
        },
        overrides: vec![OverrideStatus {
            subject: String::from("backend webfarm/http1"),
            change: String::from("drained"),
            at_ms: 951_782_400_000,
        }],
        processes: vec![ProcessStatus {
            name: String::from("evenkeel-proxy"),
            pid: Some(1),
            restarts: 0,
        }],
        warnings: Vec::new(),
        statistics: BTreeMap::from([(String::from("virtual_routers"), 1)]),
        access_log: Some(AccessLogStatus {
            to: String::from("stdout"),
            lines_written_total: 1,
            lines_dropped_total: 0,
            error: String::new(),
        }),
    }
}

fn sample_listener() -> ListenerStatus {
    let classes = ["2xx", "3xx", "4xx", "5xx"];
    ListenerStatus {
        name: String::from("http"),
        binds: vec!["192.0.2.100:80".parse().unwrap()],
        pool: Some(String::from("webfarm")),
        routes: vec![RouteStatus {
            name: String::from("api"),
            pool: Some(String::from("webfarm")),
            requests_total: 1,
            times: sample_times(),
        }],
        certificates: vec![CertificateStatus {
            names: vec![String::from("www.example.org")],
            file: String::from("/etc/evenkeel/tls/www.crt"),
            not_after_s: 1_800_000_000,
            days_left: 60,
        }],
        proxy_headers_failed_total: 0,
        handshakes_total: 1,
        handshakes_failed_total: 1,
        connections: 1,
        connections_refused_total: 1,
        connections_evicted_total: 1,
        connections_rate_limited_total: 1,
        requests_rate_limited_total: 1,
        requests_total: 1,
        responses_total: classes.map(|class| (String::from(class), 1)).into(),
        times: sample_times(),
    }
}

fn sample_pool() -> PoolStatus {
    PoolStatus {
        name: String::from("webfarm"),
        backends: vec![BackendStatus {
            name: String::from("http1"),
            address: "192.0.2.102:80".parse().unwrap(),
            state: String::from("up"),
            check: String::from("status 200"),
            active_requests: 0,
            requests_total: 1,
            failures_total: 0,
            unsolicited_total: 0,
            requests_max: Some(50),
            mode: BackendMode::Up,
            backup: false,
            slow_start: Some(37),
            ejected_ms: Some(27_000),
        }],
        retries_total: 0,
        queued_requests: 1,
        queued_total: 1,
        queue_timeouts_total: 0,
        buffered_requests: 1,
        buffered_disk_bytes: 65_536,
        unbuffered_total: 1,
        response_times: sample_times(),
    }
}

fn sample_times() -> TimesStatus {
    TimesStatus {
        buckets: vec![1; 15],
        sum_us: 15,
    }
}

fn sample_router() -> RouterStatus {
    RouterStatus {
        name: RouterName {
            entry: String::from("web"),
            family: Family::Ipv4,
        },
        interface: String::from("eth0"),
        vrid: 51,
        state: String::from("Backup"),
        since_ms: 1,
        cause: String::from("startup"),
        base_priority: 150,
        effective_priority: 150,
        priority_reason: String::new(),
        addresses: vec!["192.0.2.100".parse().unwrap()],
        holds_addresses: false,
        advertisement_interval_ms: 1000,
        active_adver_interval_ms: Some(1000),
        primary_address: Some("192.0.2.1".parse().unwrap()),
        peers: vec![PeerStatus {
            address: "192.0.2.2".parse().unwrap(),
            priority: 100,
            heard_ms: 1,
            checksum: String::from("rfc5798"),
            checksums: BTreeMap::from([(String::from("rfc5798"), 1)]),
            interval_ms: 1000,
            addresses: vec!["192.0.2.100".parse().unwrap()],
        }],
        counters: BTreeMap::from([(String::from("advertisements_sent"), 1)]),
        rejected: BTreeMap::from([(String::from("checksum"), 1)]),
        last_rejected: Some(RejectedStatus {
            source: "192.0.2.3".parse().unwrap(),
            reason: String::from("checksum"),
            since_ms: 1,
        }),
        notes: vec![String::from("a note")],
        active: Some(ActiveStatus {
            address: "192.0.2.2".parse().unwrap(),
            priority: 100,
        }),
        last_event: String::from("startup"),
        new_active_reason: String::from("not-master"),
        timers: TimerStatus::default(),
        settings: RouterSettings::default(),
    }
}

#[test]
fn manual_explains_every_cause_of_a_transition() {
    use evenkeel::logic::vrrp::Cause::*;
    let manual = std::fs::read_to_string("man/evenkeel.8").expect("the manual is there");
    let faults = [Fault(FaultCause::Tracking)];
    let others = [
        Startup,
        OwnerStartup,
        Adopted,
        ActiveSilent,
        ActiveLeft,
        Preempting,
        ReElected,
        HigherPriority,
        HigherAddress,
        Demoted,
        FaultOver,
        LinkUp,
        LinkDown,
        SourceLost,
        Shutdown,
        Stalled,
        ApplyFailed,
        ApplyTimedOut,
        SendFailed,
        SyncGroup,
        SyncGroupBack,
    ];
    for cause in faults.into_iter().chain(others) {
        let text = cause.to_string();
        let explained = manual.lines().any(|line| {
            line.strip_prefix(".It ")
                .is_some_and(|line| line.split(" ; ").any(|cause| cause == text))
        });
        assert!(
            explained,
            "man/evenkeel.8 has an item {text:?} in DIAGNOSTICS"
        );
    }
}
