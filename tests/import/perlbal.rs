//! Perlbal, a feature at a time.

use evenkeel::cli::import::import;

use super::{InMemory, assert_passes, body, imported, lost, without_effect};

/// Returns a file with one reverse proxy of these lines.
fn proxy(lines: &str) -> String {
    format!(
        "CREATE POOL p\nPOOL p ADD 10.0.0.1:80\nCREATE SERVICE s\n SET role = reverse_proxy\n SET \
         listen = 192.0.2.1:80\n SET pool = p\n{lines}\nENABLE s\n"
    )
}

fn becomes(lines: &str, hoped: &[&str]) {
    let outcome = imported(&[("perlbal.conf", &proxy(lines))]);
    assert_passes(&outcome);
    let known = [
        "listeners:",
        "s:",
        "bind: [\"192.0.2.1:80\"]",
        "pool: p",
        "pools:",
        "p:",
        "backends: {\"10.0.0.1-80\": \"10.0.0.1:80\"}",
    ];
    let body = body(&outcome);
    let keys = body
        .lines()
        .map(str::trim)
        .filter(|line| !known.contains(line));
    assert_eq!(keys.collect::<Vec<_>>(), hoped, "{lines}");
    assert_eq!(lost(&outcome), "", "{lines}");
}

#[test]
fn settings_become_keys() {
    becomes("", &[]);
    becomes(
        "set s.persist_client_idle_timeout=20",
        &["timeouts: {keep_alive: 20s}"],
    );
    becomes(
        "SET idle_timeout = 60",
        &["timeouts: {idle: 1m}", "timeouts: {response_head: 1m}"],
    );
    becomes(
        "SET verify_backend = yes",
        &["health_check: {http: {path: /, expect: \"200-499\"}}"],
    );
    becomes("SET buffer_uploads = 1", &["buffer_requests: true"]);
    becomes(
        "HEADER s INSERT X-A: b",
        &["request_headers: {set: {X-A: b}}"],
    );
    becomes(
        "SET trusted_upstream_proxies = 10.0.0.0/8",
        &["trusted_proxies: [10.0.0.0/8]"],
    );
    becomes("SET connect_ahead = 2", &[]);
    becomes("POOL p ADD 10.0.0.2\nPOOL p REMOVE 10.0.0.2:80", &[]);
}

#[test]
fn what_is_not_enabled_does_nothing() {
    let outcome = imported(&[("perlbal.conf", &proxy("").replace("ENABLE s", ""))]);
    assert!(without_effect(&outcome).contains("it is never enabled"));
    assert_eq!(outcome.code, 1, "nothing is left to serve");
}

#[test]
fn what_has_no_like_here_is_lost() {
    for (lines, why) in [
        ("LOAD throttle", "there is no plugin throttle here"),
        ("SET no_such = 1", "this setting is not known"),
        ("FROBNICATE", "this command is not known"),
        ("VPATH x = y", "rules of Perlbal's plugins"),
        ("POOL q ADD 10.0.0.1", "there is no pool q"),
        ("INCLUDE = /missing/*.conf", "there is no such file here"),
    ] {
        let outcome = imported(&[("perlbal.conf", &proxy(lines))]);
        assert!(lost(&outcome).contains(why), "{lines}: {}", outcome.yaml);
        assert_passes(&outcome);
    }
}

#[test]
fn included_files_are_read_where_they_are_named() {
    let files = [
        (
            "perlbal.conf".to_owned(),
            "INCLUDE = more/*.conf\n".to_owned(),
        ),
        ("more/a.conf".to_owned(), proxy("")),
    ];
    let outcome = import(&InMemory(files.into()), &["perlbal.conf".to_owned()], &[]).unwrap();
    assert_passes(&outcome);
    assert!(body(&outcome).contains("pool: p"), "{}", outcome.yaml);
}
