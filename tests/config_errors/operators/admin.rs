//! Errors in `admin`, and what is accepted there.

use evenkeel::config::{AdminConfig, SecretSource};
use insta::assert_snapshot;

use crate::accepts::accepted;
use crate::{errors, listener};

/// Returns a file whose last section, from line 9 on, is `admin`.
fn admin(lines: &str) -> String {
    let text = listener("bind: [\"192.0.2.1:80\"]\n    pool: farm");
    format!("{text}admin: {lines}\n")
}

#[test]
fn it_listens_somewhere() {
    assert_snapshot!(errors(&admin("{token: {file: /a}}")), @r"
    error: `admin` has no `listen`
     --> lb.yaml:9:1
      |
    9 | admin: {token: {file: /a}}
      | ^^^^^
    help: add `listen: 127.0.0.1:8404`
    ");
}

#[test]
fn an_address_has_a_port() {
    assert_snapshot!(errors(&admin("{listen: 127.0.0.1}")), @r#"
    error: `127.0.0.1` is not an address with a port
     --> lb.yaml:9:17
      |
    9 | admin: {listen: 127.0.0.1}
      |                 ^^^^^^^^^
    help: add the port: `"127.0.0.1:80"`
    "#);
}

#[test]
fn a_listener_has_its_address_alone() {
    assert_snapshot!(errors(&admin("{listen: \"0.0.0.0:80\"}")), @r#"
    error: 0.0.0.0:80 is taken, by listener `http`
     --> lb.yaml:9:17
      |
    9 | admin: {listen: "0.0.0.0:80"}
      |                 ^^^^^^^^^^^^
    help: the admin listener has an address of its own: take another port
    "#);
}

#[test]
fn an_address_is_named_once() {
    let text = admin("{listen: [\"127.0.0.1:8404\", \"0.0.0.0:8404\"]}");
    assert_snapshot!(errors(&text), @r#"
    error: 0.0.0.0:8404 is here twice: 127.0.0.1:8404 has it already
     --> lb.yaml:9:36
      |
    9 | admin: {listen: ["127.0.0.1:8404", "0.0.0.0:8404"]}
      |                                    ^^^^^^^^^^^^^^
    help: name each address once
    "#);
}

#[test]
fn a_token_is_in_a_file() {
    assert_snapshot!(errors(&admin("{listen: \"127.0.0.1:8404\", token: s3cret}")), @r#"
    error: the secret is in a file, not in the configuration
     --> lb.yaml:9:42
      |
    9 | admin: {listen: "127.0.0.1:8404", token: s3cret}
      |                                          ^^^^^^
    help: write `{file: /etc/evenkeel/admin.token}`, or `{credential: admin.token}` for one that systemd loads
    "#);
}

#[test]
fn a_host_has_no_port() {
    let text = admin("{listen: \"127.0.0.1:8404\", hosts: [\"lb.example.org:8404\"]}");
    assert_snapshot!(errors(&text), @r#"
    error: `lb.example.org:8404` is no name of a host
     --> lb.yaml:9:43
      |
    9 | admin: {listen: "127.0.0.1:8404", hosts: ["lb.example.org:8404"]}
      |                                           ^^^^^^^^^^^^^^^^^^^^^
    help: write the name alone, as `lb.example.org`: addresses are always answered, and every port
    "#);
}

#[test]
fn a_mistyped_key_is_guessed() {
    assert_snapshot!(errors(&admin("{listn: \"127.0.0.1:8404\"}")), @r#"
    error: `admin` has no `listen`
     --> lb.yaml:9:1
      |
    9 | admin: {listn: "127.0.0.1:8404"}
      | ^^^^^
    help: add `listen: 127.0.0.1:8404`

    error: unknown key `listn`
     --> lb.yaml:9:9
      |
    9 | admin: {listn: "127.0.0.1:8404"}
      |         ^^^^^
    help: did you mean `listen`?
    "#);
}

#[test]
fn one_address_or_several_a_token_and_names_are_accepted() {
    let config = accepted(&admin("{listen: \"127.0.0.1:8404\"}"));
    let alone = AdminConfig {
        listen: vec!["127.0.0.1:8404".parse().expect("it is one")],
        token: None,
        hosts: Vec::new(),
    };
    assert_eq!(config.admin, Some(alone));
    let all = "{listen: [\"192.0.2.1:8404\", \"[::1]:8404\"], token: {credential: admin.token}, \
               hosts: [Status.example.org]}";
    let config = accepted(&admin(all)).admin.expect("it is there");
    assert_eq!(config.listen.len(), 2);
    assert_eq!(
        config.token,
        Some(SecretSource::Credential("admin.token".into()))
    );
    assert_eq!(config.hosts, ["status.example.org"]);
}
