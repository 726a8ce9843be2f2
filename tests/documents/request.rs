//! Holds the chapter LIFE OF A REQUEST to the code: refusals, reasons, ends, timeouts and limits.
//!
//! Words are read from the sources that say them, defaults from a configuration that sets none of
//! them: what is added there fails here until the chapter has it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel::config::{
    self, CLIENTS_DEFAULT, Config, ListenerLimits, ListenerTimeouts, NodeName, PoolTimeouts,
    ProxyConfig, RequestRates,
};
use evenkeel::logic::access::Termination;
use evenkeel::process::proxy::memory::{self, Holding};

use super::{COMMAND_MANUAL, CONFIG_MANUAL, read, words};

const REFUSALS: &str = "src/logic/http1/refusal.rs";
const RELAY: &str = "src/process/proxy/request/attempts/unserved.rs";
const ANSWER: &str = "src/process/proxy/request/answer.rs";

/// What no key changes, as the code and as the chapter say it.
const FIXED: [(&str, &str, &str); 25] = [
    (
        "src/logic/balance/queue.rs",
        "OVERTAKINGS_MAX: u32 = 8",
        "After 8 in a row that have overtaken",
    ),
    (
        "src/process/proxy/worker/door.rs",
        "EVICTION_WAITS_MAX: u32 = 4",
        "at most 4 times 50 ms",
    ),
    (
        "src/process/proxy/downstream/eviction.rs",
        "WAITING_MAX: usize = 32",
        "at most 32 of them on a worker",
    ),
    (
        "src/logic/http1/request/tests.rs",
        "FIELDS_ADDED_MAX: usize = 9",
        "at most 9 fields more than the client sent",
    ),
    (
        "src/process/proxy/io/deadline.rs",
        "BEAT_MS: u64 = 50",
        "renewed every 50 ms",
    ),
    (
        "src/process/proxy/transfer/exchange.rs",
        "HALF_CLOSED_TIMEOUT: Duration = Duration::from_secs(2)",
        "client that has ended its direction Ta 2s Ta client_gone",
    ),
    (
        "src/process/proxy/transfer/exchange.rs",
        "LEAVING_TIMEOUT: Duration = Duration::from_millis(100)",
        "the same, within an answer Ta 100ms Ta client_gone",
    ),
    (
        "src/process/proxy/transfer/exchange/waiting.rs",
        "AHEAD_BYTES_MAX: usize = 16 * 1024",
        "bytes read ahead Ta 16384",
    ),
    (
        "src/process/proxy/memory.rs",
        "RESPONSE_HEAD_BYTES: usize = 64 * 1024",
        "More than 65536 bytes",
    ),
    (
        "src/process/proxy/transfer/exchange.rs",
        "fields: 128",
        "more than 128 fields",
    ),
    (
        "src/process/proxy/transfer/exchange.rs",
        "INTERIM_MAX: u8 = 16",
        "more than 16 interim answers",
    ),
    (
        "src/process/proxy/downstream/connection.rs",
        "LINGER_READ_TIMEOUT: Duration = Duration::from_secs(1)",
        "client after its last answer, silent Ta 1s",
    ),
    (
        "src/process/proxy/request/attempts.rs",
        "REST_TIMEOUT: Duration = Duration::from_secs(5)",
        "rest of a request that is answered Ta 5s",
    ),
    (
        "src/config/mod.rs",
        "connections: 128",
        "keep_alive connections Ta 128",
    ),
    (
        "src/config/mod.rs",
        "connections: 128",
        "at most 128 connections to a backend",
    ),
    (
        "src/config/mod.rs",
        "timeout: Duration::from_secs(4)",
        "keep_alive timeout Ta 4s",
    ),
    (
        "src/logic/http1/chunked.rs",
        "EXTENSION_BYTES_MAX: u16 = 4096",
        "more than 4096 bytes in a body",
    ),
    (
        "src/logic/http1/chunked.rs",
        "TRAILER_BYTES_MAX: usize = 8192",
        "More than 8192 bytes or 32 fields",
    ),
    (
        "src/process/proxy/memory.rs",
        "RESPONSE_HEAD_BYTES: usize = 64 * 1024",
        "head of a response Ta 65536",
    ),
    (
        "src/process/proxy/transfer/exchange.rs",
        "fields: 128",
        "fields of a response Ta 128",
    ),
    (
        "src/process/proxy/transfer/exchange.rs",
        "INTERIM_MAX: u8 = 16",
        "interim answers Ta 16",
    ),
    (
        "src/logic/http1/chunked.rs",
        "EXTENSION_BYTES_MAX: u16 = 4096",
        "extensions of chunks Ta 4096",
    ),
    (
        "src/logic/http1/chunked.rs",
        "TRAILER_BYTES_MAX: usize = 8192",
        "trailers Ta 8192",
    ),
    (
        "src/logic/http1/chunked.rs",
        "TRAILERS_MAX: usize = 32",
        "fields of trailers Ta 32",
    ),
    (
        "src/process/proxy/tls/signing.rs",
        "ANSWER_TIMEOUT: Duration = Duration::from_millis(20)",
        "signature of evenkeel-keys Ta 20ms",
    ),
];

#[test]
fn every_answer_of_our_own_stands_in_the_chapter_with_its_status() {
    let rows: BTreeSet<(String, String)> = rows()
        .into_iter()
        .filter(|row| row[0].parse::<u16>().is_ok())
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let said: BTreeSet<(String, String)> = answers().into_iter().collect();
    assert!(said.len() > 20, "the sources say only {said:?}");
    assert_eq!(rows, said, "the chapter's rows, and what the sources say");
}

#[test]
fn every_reason_of_a_invalid_response_and_of_a_bad_body_stands_in_the_chapter() {
    let reasons: BTreeSet<String> = rows().into_iter().map(|row| row[0].clone()).collect();
    for kind in ["ResponseRefusal", "BodyError"] {
        let messages = messages_of(kind);
        assert!(messages.len() > 5, "{kind} has only {messages:?}");
        for message in messages {
            assert!(reasons.contains(&message), "{kind}: {message:?} has no row");
        }
    }
}

#[test]
fn every_end_of_a_request_stands_in_the_chapter() {
    let chapter = chapter();
    let said: BTreeSet<&str> = words(&chapter).into_iter().collect();
    for end in Termination::ALL {
        assert!(said.contains(end.as_str()), "{} is missing", end.as_str());
    }
}

#[test]
fn every_timeout_and_limit_stands_in_the_chapter_with_its_default() {
    let rows: BTreeMap<String, String> = rows()
        .into_iter()
        .filter(|row| row[0].contains(' ') && row.len() > 2)
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let manual = read(CONFIG_MANUAL);
    let defaults = defaults();
    for (key, default) in &defaults {
        assert_eq!(rows.get(key), Some(default), "the row of {key}");
        let (_, name) = key.split_once(' ').unwrap();
        let item = format!(".It Cm {name} : ");
        let stated = manual.split(&item).skip(1).any(|text| {
            let item = text.split("\n.It ").next().unwrap_or(text);
            let any = default == "none" && item.contains("\nDefault: a");
            any || item.contains(&format!("\nDefault: {default}."))
        });
        assert!(stated, "{CONFIG_MANUAL}: {key} has the default {default}");
    }
    let places = ["listener ", "pool ", "backend ", "proxy "];
    let unknown: Vec<&String> = rows
        .keys()
        .filter(|key| places.iter().any(|place| key.starts_with(place)))
        .filter(|key| !defaults.contains_key(*key))
        .collect();
    assert!(
        unknown.is_empty(),
        "rows of keys that are none: {unknown:?}"
    );
}

#[test]
fn what_no_key_changes_is_in_the_chapter_as_it_is_in_the_code() {
    let chapter = chapter().replace('\n', " ");
    for (file, code, text) in FIXED {
        assert!(read(file).contains(code), "{file} has {code:?}");
        assert!(chapter.contains(text), "the chapter says {text:?}");
    }
    let added = FIXED[3].2;
    assert!(read(CONFIG_MANUAL).replace('\n', " ").contains(added));
}

/// The numbers are computed from the constants that the code works with, which tests/proxy_memory
/// measures.
#[test]
fn what_a_connection_may_hold_stands_in_the_chapter_phase_by_phase() {
    let in_use = |number: u32| usize::try_from(number).unwrap();
    let limits = memory::Limits {
        head_bytes: in_use(ListenerLimits::default().head_bytes),
        connection_bytes: in_use(ProxyConfig::default().connection_bytes),
    };
    let hoped = Holding::ALL.map(|holding| {
        let bytes = holding.bytes_max(limits).to_string();
        (holding.as_str().to_owned(), bytes)
    });
    let rows = rows();
    let phases = rows.iter().filter(|row| row.len() > 2);
    let phases = phases.map(|row| (row[0].clone(), row[1].clone()));
    let phases: BTreeMap<String, String> = phases.collect();
    for (phase, bytes) in &hoped {
        assert_eq!(phases.get(phase), Some(bytes), "the row of {phase}");
    }
    let chapter = chapter().replace('\n', " ");
    for text in [
        format!(
            "at most {} bytes, and {} for each worker",
            memory::PROCESS_BYTES,
            memory::THREAD_BYTES
        ),
        format!("a block of {} bytes at most", memory::BLOCK_BYTES),
        format!("takes {} bytes more for its table", memory::TABLE_BYTES),
        format!("sent ahead, at most {} bytes", memory::AHEAD_BYTES),
        format!(
            "all that it holds: {} bytes for itself",
            memory::HTTP2_CONNECTION_BYTES
        ),
        format!(
            "go on yet, {} bytes of responses that wait to be written), {} for each request and \
             twice its head",
            memory::HTTP2_UNSENT_BYTES,
            memory::HTTP2_STREAM_BYTES
        ),
        format!(
            "read {} bytes at a time instead of {}",
            memory::HTTP2_READ_BYTES_MIN,
            memory::HTTP2_READ_BYTES
        ),
        format!(
            "{} bytes for each of its clients: {} with the {} of the default",
            memory::RATED_CLIENT_BYTES,
            memory::RATED_CLIENT_BYTES * in_use(CLIENTS_DEFAULT),
            CLIENTS_DEFAULT,
        ),
    ] {
        assert!(chapter.contains(&text), "the chapter says {text:?}");
    }
}

/// Returns the chapter, from its heading to the next.
fn chapter() -> String {
    let manual = read(COMMAND_MANUAL);
    let (_, rest) = manual
        .split_once(".Sh LIFE OF A REQUEST\n")
        .expect("there is such a chapter");
    rest.split("\n.Sh ").next().unwrap_or(rest).to_owned()
}

/// Returns the rows of the chapter's tables, cell by cell.
fn rows() -> Vec<Vec<String>> {
    let row = |line: &str| {
        let cells = line.strip_prefix(".It ")?.split(" Ta");
        Some(cells.map(|cell| cell.trim().to_owned()).collect())
    };
    chapter().lines().filter_map(row).collect()
}

/// Returns the status and the word of every answer of our own.
fn answers() -> Vec<(String, String)> {
    let fixed = read(ANSWER);
    let (code, _) = fixed.split_once("#[cfg(test)]").unwrap();
    let relay = format!("{}{code}", read(RELAY));
    let mut answers: Vec<(String, String)> = quoted_words(&relay)
        .map(|(at, word)| {
            let before: Vec<&str> = relay[..at]
                .split(|c: char| !c.is_ascii_digit())
                .filter(|number| number.len() == 3)
                .collect();
            (before.last().unwrap().to_string(), word.to_owned())
        })
        .collect();
    let (_, status) = fixed.split_once("\"HTTP/1.1 ").unwrap();
    let (_, word) = fixed.split_once("\\r\\n\\r\\n").unwrap();
    let (word, _) = word.split_once(':').unwrap();
    answers.push((status[..3].to_owned(), word.to_owned()));

    let refusals = read(REFUSALS);
    let (_, statuses) = refusals.split_once("fn status(self)").unwrap();
    let (statuses, tokens) = statuses.split_once("fn token(self)").unwrap();
    for line in tokens.lines().filter(|line| line.contains("=> \"")) {
        let (variant, word) = line.split_once(" => ").unwrap();
        let variant = variant.trim().trim_end_matches("(_)");
        let at = statuses
            .match_indices(variant)
            .find(|(at, _)| !statuses[at + variant.len()..].starts_with(char::is_alphanumeric))
            .unwrap_or_else(|| panic!("{variant} has a status"))
            .0;
        let (_, status) = statuses[at..].split_once("=> ").unwrap();
        let word = word.trim_matches(|c| c == '"' || c == ',');
        answers.push((status[..3].to_owned(), word.to_owned()));
    }
    let (_, paths) = PATHS.split_once("fn token(self)").unwrap();
    let words = paths
        .lines()
        .filter_map(|line| line.split_once(" => \"path_"));
    for (_, word) in words {
        let word = word.trim_end_matches([',', '"']);
        answers.push(("400".to_owned(), format!("path_{word}")));
    }
    answers
}

/// What the codec refuses of paths.
const PATHS: &str = include_str!("../../src/logic/http1/rewrite/path.rs");

/// Returns the words that stand alone between quotes, and where.
fn quoted_words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    let mut parts = Vec::new();
    for (index, part) in text.split('"').enumerate() {
        let is_word = !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if index % 2 == 1 && is_word {
            parts.push((at, part));
        }
        at += part.len() + 1;
    }
    parts.into_iter()
}

/// Returns what the variants of an enum of refusals say, without what they say it of.
fn messages_of(kind: &str) -> Vec<String> {
    let text = read(REFUSALS);
    let (_, body) = text.split_once(&format!("pub enum {kind} {{")).unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let message = |line: &str| {
        let (_, message) = line.split_once("#[error(\"")?;
        let (message, _) = message.split_once("\")]")?;
        Some(message.trim_end_matches(": {0}").to_owned())
    };
    body.lines().filter_map(message).collect()
}

/// Returns every key of `timeouts` and `limits`, under what it stands, with its default.
fn defaults() -> BTreeMap<String, String> {
    let yaml = "listeners:\n  http: {bind: [\"127.0.0.1:80\"], pool: web}\npools:\n  web: \
                {backends: {b: \"127.0.0.2:80\"}}\n";
    let config: Config = config::parse("defaults.yaml", yaml, NodeName::Given("lb1")).unwrap();
    let ListenerTimeouts {
        handshake,
        request_head,
        keep_alive,
        request_body,
        idle,
        tunnel,
        client_fin,
        linger,
    } = config.listeners[0].timeouts;
    let PoolTimeouts {
        connect,
        response_head,
        queue,
        backend_fin,
    } = config.pools[0].timeouts;
    let requests = config.pools[0].backends[0].requests;
    let ProxyConfig {
        threads: _,
        drain,
        connections: all_connections,
        connection_bytes,
    } = config.proxy;
    let timeouts = [
        ("listener handshake", shown(handshake)),
        ("listener request_head", shown(request_head)),
        ("listener keep_alive", shown(keep_alive)),
        ("listener request_body", shown(request_body)),
        ("listener idle", shown(idle)),
        ("listener tunnel", shown(tunnel)),
        ("listener client_fin", shown(client_fin)),
        ("listener linger", shown(linger)),
        ("pool connect", shown(connect)),
        ("pool response_head", shown(response_head)),
        ("pool queue", shown(queue)),
        ("pool backend_fin", shown(backend_fin)),
        ("proxy drain", shown(drain)),
        ("proxy connections", all_connections.to_string()),
        ("proxy connection_bytes", connection_bytes.to_string()),
    ];
    let limits = limits(&config.listeners[0].limits);
    let all = timeouts.into_iter().chain(limits);
    let all = all.chain([("backend requests", maybe(requests))]);
    all.map(|(key, default)| (key.to_owned(), default))
        .collect()
}

/// Returns every key of `limits` of a listener with its default.
fn limits(limits: &ListenerLimits) -> Vec<(&'static str, String)> {
    let ListenerLimits {
        head_bytes,
        fields,
        target_bytes,
        body_bytes,
        body_rate,
        connections,
        connections_per_client,
        connection_rate_per_client,
        rates:
            RequestRates {
                requests: of_all,
                requests_per_client,
            },
    } = limits;
    vec![
        ("listener head_bytes", head_bytes.to_string()),
        ("listener fields", fields.to_string()),
        ("listener target_bytes", target_bytes.to_string()),
        ("listener body_bytes", maybe(*body_bytes)),
        ("listener body_rate", body_rate.to_string()),
        ("listener connections", maybe(*connections)),
        (
            "listener connections_per_client",
            maybe(*connections_per_client),
        ),
        (
            "listener connection_rate_per_client",
            maybe(connection_rate_per_client.as_ref()),
        ),
        ("listener requests", maybe(of_all.as_ref())),
        (
            "listener requests_per_client",
            maybe(requests_per_client.as_ref()),
        ),
    ]
}

/// Returns what the manual says for a limit.
fn maybe<T: ToString>(limit: Option<T>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())
}

/// Writes a duration as the manual does.
fn shown(duration: Duration) -> String {
    match duration.as_secs() {
        hours if hours > 0 && hours % 3600 == 0 => format!("{}h", hours / 3600),
        seconds => format!("{seconds}s"),
    }
}
