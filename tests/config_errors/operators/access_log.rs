//! Errors in `access_log`, and of listeners about it, and what is accepted there.

use evenkeel::config::{AccessLogTarget, Format};
use insta::assert_snapshot;

use crate::accepts::accepted;
use crate::{errors, listener};

/// Returns a file whose last section, from line 9 on, is `access_log`.
fn access_log(lines: &str) -> String {
    let text = listener("bind: [\"192.0.2.1:80\"]\n    pool: farm");
    format!("{text}access_log: {lines}\n")
}

#[test]
fn an_access_log_goes_somewhere() {
    assert_snapshot!(errors(&access_log("{format: json}")), @r"
    error: `access_log` has no `to`
     --> lb.yaml:9:1
      |
    9 | access_log: {format: json}
      | ^^^^^^^^^^
    help: add `to: /var/log/evenkeel/access.log`
    ");
}

#[test]
fn an_access_log_goes_to_an_absolute_path() {
    assert_snapshot!(errors(&access_log("{to: access.log}")), @r"
    error: the access log cannot go to `access.log`
     --> lb.yaml:9:18
      |
    9 | access_log: {to: access.log}
      |                  ^^^^^^^^^^
    help: write an absolute path, as `/var/log/evenkeel/access.log`, `stdout` or `journald`
    ");
}

#[test]
fn a_mistyped_place_is_guessed() {
    assert_snapshot!(errors(&access_log("{to: journal}")), @r"
    error: the access log cannot go to `journal`
     --> lb.yaml:9:18
      |
    9 | access_log: {to: journal}
      |                  ^^^^^^^
    help: did you mean `journald`?
    ");
}

#[test]
fn a_mistyped_field_is_guessed() {
    let text = access_log("{to: stdout, format: \"{client} {staus}\"}");
    assert_snapshot!(errors(&text), @r#"
    error: the format cannot be `{client} {staus}`: there is no field `staus`
     --> lb.yaml:9:34
      |
    9 | access_log: {to: stdout, format: "{client} {staus}"}
      |                                  ^^^^^^^^^^^^^^^^^^
    help: did you mean `{status}`?
    "#);
}

#[test]
fn fields_that_nobody_knows_are_answered_with_all_there_are() {
    let text = access_log("{to: stdout, format: \"{xyzzy}\"}");
    assert_snapshot!(errors(&text), @r#"
    error: the format cannot be `{xyzzy}`: there is no field `xyzzy`
     --> lb.yaml:9:34
      |
    9 | access_log: {to: stdout, format: "{xyzzy}"}
      |                                  ^^^^^^^^^
    help: these are there: time, client, client_port, via, listener, route, pool, backend, method, host, path, protocol, status, request_bytes, response_bytes, head_ms, queue_ms, connect_ms, response_ms, total_ms, retries, termination, ended_by, phase, error, request_id, referer, user_agent, affinity, ejected, reproxied_by, tls_version, tls_cipher, tls_server_name, tls_resumed, client_certificate, client_certificate_fingerprint, handshake_ms
    "#);
}

#[test]
fn braces_are_closed() {
    let text = access_log("{to: stdout, format: \"{status\"}");
    assert_snapshot!(errors(&text), @r#"
    error: the format cannot be `{status`: a `{` is not closed
     --> lb.yaml:9:34
      |
    9 | access_log: {to: stdout, format: "{status"}
      |                                  ^^^^^^^^^
    help: close it, or write `{{` for a brace
    "#);
}

#[test]
fn a_format_says_something() {
    let text = access_log("{to: stdout, format: jsn}");
    assert_snapshot!(errors(&text), @r"
    error: the format cannot be `jsn`: it says nothing of the request
     --> lb.yaml:9:34
      |
    9 | access_log: {to: stdout, format: jsn}
      |                                  ^^^
    help: did you mean `json`?
    ");
}

#[test]
fn a_format_says_a_thing_once() {
    let text = access_log("{to: stdout, format: \"{status} {status}\"}");
    assert_snapshot!(errors(&text), @r#"
    error: the format cannot be `{status} {status}`: `{status}` is here twice
     --> lb.yaml:9:34
      |
    9 | access_log: {to: stdout, format: "{status} {status}"}
      |                                  ^^^^^^^^^^^^^^^^^^^
    help: a line says a thing once; keep one of the two
    "#);
}

#[test]
fn a_format_is_one_line() {
    let text = access_log("{to: stdout, format: \"{status}\\n\"}");
    assert_snapshot!(errors(&text), @r#"
    error: the format cannot be `{status}�`: it has a control character: a line of the log is one line
     --> lb.yaml:9:34
      |
    9 | access_log: {to: stdout, format: "{status}\n"}
      |                                  ^^^^^^^^^^^^
    help: break no line and leave out what cannot be seen
    "#);
}

#[test]
fn unknown_keys_are_told_what_there_is() {
    assert_snapshot!(errors(&access_log("{path: /a, to: stdout}")), @r"
    error: unknown key `path`
     --> lb.yaml:9:14
      |
    9 | access_log: {path: /a, to: stdout}
      |              ^^^^
    help: known keys here: to, format
    ");
}

#[test]
fn a_listener_is_not_logged_where_there_is_no_log() {
    let text = listener("bind: [\"192.0.2.1:80\"]\n    pool: farm\n    access_log: true");
    assert_snapshot!(errors(&text), @r"
    error: there is no access log to write to
     --> lb.yaml:9:17
      |
    9 |     access_log: true
      |                 ^^^^
    help: add a section `access_log: {to: /var/log/evenkeel/access.log}`
    ");
}

#[test]
fn access_logs_go_where_they_are_sent() {
    let log = |lines: &str| {
        let text = listener("bind: [\"192.0.2.1:80\"]\n    pool: farm");
        accepted(&format!("{text}access_log: {lines}\n")).access_log
    };
    let to = |to: &str| log(to).map(|log| (log.to, log.format));
    let file = AccessLogTarget::File("/var/log/a".into());
    assert_eq!(to("{to: /var/log/a}"), Some((file, Format::Json)));
    let stdout = AccessLogTarget::StandardOutput;
    assert_eq!(
        to("{to: stdout, format: json}"),
        Some((stdout, Format::Json))
    );
    let text = Format::parse("{client} {{}} {status}").ok();
    let journald = Some(AccessLogTarget::Journald).zip(text);
    assert_eq!(
        to("{to: journald, format: \"{client} {{}} {status}\"}"),
        journald
    );
}

#[test]
fn a_listener_can_be_left_out_of_the_access_log() {
    let lines = "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    access_log: false";
    let text = listener(lines);
    assert!(
        !accepted(&text).listeners[0].access_log,
        "also where there is none"
    );
    let with = format!("{text}access_log: {{to: stdout}}\n");
    assert!(!accepted(&with).listeners[0].access_log);
    let with = with.replace("access_log: false", "access_log: true");
    assert!(accepted(&with).listeners[0].access_log);
}
