//! Errors in `tls` of listeners and pools and in `group`, and what is accepted there.

use std::path::PathBuf;

use evenkeel::config::{
    Authorities, CertificateSource, DefaultCertificate, ListenerTls, PoolTls, Resumption,
    SecretSource, TlsVersion,
};
use insta::assert_snapshot;

use super::accepted;
use crate::{errors, pool};

/// Returns a file with one listener of these lines.
fn listener(lines: &str) -> String {
    crate::listener(&format!(
        "bind: [\"192.0.2.1:443\"]\n    pool: farm\n    {lines}"
    ))
}

/// Returns a file with these lines about the group.
fn group(lines: &str) -> String {
    format!("{}{lines}\n", listener("trace: false"))
}

fn of_listener(tls: &str) -> ListenerTls {
    let config = accepted(&listener(&format!("tls: {tls}")));
    config.listeners[0].tls.clone().expect("it speaks TLS")
}

fn of_pool(tls: &str) -> Option<PoolTls> {
    accepted(&pool(&format!("tls: {tls}"))).pools[0].tls.clone()
}

fn pair(certificate: &str, key: &str) -> CertificateSource {
    CertificateSource::Pair {
        certificate: certificate.into(),
        key: key.into(),
    }
}

#[test]
fn tls_of_a_listener_needs_certificates_alone() {
    let tls = of_listener("{certificates: /a}");
    assert_eq!(tls.certificates, [CertificateSource::Path("/a".into())]);
    assert_eq!(tls.default, DefaultCertificate::First);
    assert_eq!(tls.minimum_version, TlsVersion::Tls12);
    assert_eq!(tls.client_certificates, None);
    assert_eq!(tls.resumption, Resumption::Tickets);
    assert!(tls.found.chains.is_empty(), "nothing is read here");
}

#[test]
fn all_that_can_be_said_of_tls_of_a_listener_is_accepted() {
    let tls = of_listener(
        "{certificates: [/a, {certificate: /b.crt, key: /b.key}], default_certificate: \
         www.example.org, minimum_version: \"1.3\", client_certificates: {ca: /ca.pem, required: \
         false}, resumption: false}",
    );
    let places = [
        CertificateSource::Path("/a".into()),
        pair("/b.crt", "/b.key"),
    ];
    assert_eq!(tls.certificates, places);
    let name = DefaultCertificate::Name("www.example.org".into());
    assert_eq!(tls.default, name);
    assert_eq!(tls.minimum_version, TlsVersion::Tls13);
    let clients = tls.client_certificates.expect("they are asked");
    assert_eq!((clients.ca, clients.required), ("/ca.pem".into(), false));
    assert_eq!(tls.resumption, Resumption::Never);
    let one = of_listener("{certificates: {certificate: /a, key: /a}}");
    assert_eq!(one.certificates, [pair("/a", "/a")]);
    for (word, hoped) in [
        ("none", DefaultCertificate::Refuse),
        ("first", DefaultCertificate::First),
    ] {
        let tls = of_listener(&format!(
            "{{certificates: /a, default_certificate: {word}}}"
        ));
        assert_eq!(tls.default, hoped, "{word}");
    }
    let required = of_listener("{certificates: /a, client_certificates: {ca: /ca.pem}}");
    assert!(required.client_certificates.is_some_and(|it| it.required));
    accepted(&listener(
        "https_redirect: false\n    tls: {certificates: /a}",
    ));
}

#[test]
fn tls_of_a_pool_is_a_switch_or_all_that_can_be_said() {
    assert_eq!(of_pool("false"), None);
    let plain = of_pool("true").expect("it is spoken");
    assert_eq!(of_pool("{verify: true, ca: system}"), Some(plain.clone()));
    assert_eq!((plain.ca, plain.server_name), (Authorities::System, None));
    assert!(plain.verify && plain.certificate.is_none());
    assert_eq!(plain.minimum_version, TlsVersion::Tls12);
    let tls = of_pool(
        "{ca: /ca.pem, server_name: web.internal, certificate: {certificate: /a.crt, key: \
         /a.key}, minimum_version: \"1.3\"}",
    );
    let tls = tls.expect("it is spoken");
    assert_eq!(tls.ca, Authorities::File("/ca.pem".into()));
    assert_eq!(tls.server_name.as_deref(), Some("web.internal"));
    assert_eq!(tls.certificate, Some(pair("/a.crt", "/a.key")));
    assert_eq!(tls.minimum_version, TlsVersion::Tls13);
    assert!(of_pool("{verify: false}").is_some_and(|it| !it.verify));
}

#[test]
fn secrets_of_a_group_are_one_or_a_list() {
    let of = |secret: &str| {
        accepted(&group(&format!("group: {{secret: {secret}}}")))
            .group
            .secret
    };
    let file = |path: &str| SecretSource::File(PathBuf::from(path));
    let credential = SecretSource::Credential("group.key".into());
    assert_eq!(of("{file: /a}"), [file("/a")]);
    let one = of("{credential: group.key}");
    assert_eq!(one.first(), Some(&credential));
    assert_eq!(one.len(), 1);
    assert_eq!(
        of("[{credential: group.key}, {file: /b}]"),
        [credential, file("/b")]
    );
    assert!(accepted(&group("group: {}")).group.secret.is_empty());
}

#[test]
fn certificates_are_needed() {
    let text = listener("tls: {}");
    assert_snapshot!(errors(&text), @r#"
    error: `tls` has no `certificates`
     --> lb.yaml:9:5
      |
    9 |     tls: {}
      |     ^^^
    help: add `certificates: /etc/evenkeel/tls`
    "#);
}

#[test]
fn a_place_of_certificates_is_absolute() {
    let text = listener("tls: {certificates: tls/www.pem}");
    assert_snapshot!(errors(&text), @r#"
    error: `tls/www.pem` is not an absolute path
     --> lb.yaml:9:25
      |
    9 |     tls: {certificates: tls/www.pem}
      |                         ^^^^^^^^^^^
    help: write a directory, as `/etc/evenkeel/tls`, a file that has certificate and key, or `{certificate: FILE, key: FILE}`
    "#);
}

#[test]
fn places_of_certificates_are_a_list_of_places() {
    let text = listener("tls: {certificates: []}");
    assert_snapshot!(errors(&text), @r#"
    error: `certificates` must not be empty
     --> lb.yaml:9:25
      |
    9 |     tls: {certificates: []}
      |                         ^
    "#);
}

#[test]
fn a_pair_has_both_files() {
    let text = listener("tls: {certificates: [{certificate: /a.crt}]}");
    assert_snapshot!(errors(&text), @r#"
    error: `certificates` has no `key`
     --> lb.yaml:9:26
      |
    9 |     tls: {certificates: [{certificate: /a.crt}]}
      |                          ^
    help: add `key: /etc/evenkeel/tls/www.key`
    "#);
}

#[test]
fn the_files_of_a_pair_are_absolute() {
    let text = listener("tls: {certificates: {certificate: a.crt, key: 7}}");
    assert_snapshot!(errors(&text), @r#"
    error: `a.crt` is not an absolute path
     --> lb.yaml:9:39
      |
    9 |     tls: {certificates: {certificate: a.crt, key: 7}}
      |                                       ^^^^^
    help: write where the file is, from `/` on: `/etc/evenkeel/tls/www.crt`

    error: `key` must be the path of a file, not a number
     --> lb.yaml:9:51
      |
    9 |     tls: {certificates: {certificate: a.crt, key: 7}}
      |                                                   ^
    help: put it in quotes
    "#);
}

#[test]
fn a_pair_has_no_other_key() {
    let text = listener("tls: {certificates: {cert: /a.crt, key: /a.key}}");
    assert_snapshot!(errors(&text), @r#"
    error: `certificates` has no `certificate`
     --> lb.yaml:9:11
      |
    9 |     tls: {certificates: {cert: /a.crt, key: /a.key}}
      |           ^^^^^^^^^^^^
    help: add `certificate: /etc/evenkeel/tls/www.crt`

    error: unknown key `cert`
     --> lb.yaml:9:26
      |
    9 |     tls: {certificates: {cert: /a.crt, key: /a.key}}
      |                          ^^^^
    help: that is said otherwise here: write `certificate: FILE`: it has those that have signed it, too
    "#);
}

#[test]
fn a_default_certificate_is_a_name() {
    let text = listener("tls: {certificates: /a, default_certificate: 192.0.2.1}");
    assert_snapshot!(errors(&text), @r#"
    error: `192.0.2.1` is no name of a server
     --> lb.yaml:9:50
      |
    9 |     tls: {certificates: /a, default_certificate: 192.0.2.1}
      |                                                  ^^^^^^^^^
    help: write a name that one of the certificates is for, `first`, or `none`: clients that ask for an unknown name are refused then
    "#);
}

#[test]
fn a_default_certificate_is_text() {
    let text = listener("tls: {certificates: /a, default_certificate: [a]}");
    assert_snapshot!(errors(&text), @r#"
    error: `default_certificate` must be the name of a server, `first` or `none`, not a list
     --> lb.yaml:9:50
      |
    9 |     tls: {certificates: /a, default_certificate: [a]}
      |                                                  ^
    "#);
}

#[test]
fn a_version_of_tls_is_quoted() {
    let text = listener("tls: {certificates: /a, minimum_version: 1.3}");
    assert_snapshot!(errors(&text), @r#"
    error: minimum_version must be text, found a number
     --> lb.yaml:9:46
      |
    9 |     tls: {certificates: /a, minimum_version: 1.3}
      |                                              ^^^
    help: write `minimum_version: "1.2"` or `"1.3"`, with the quotes: without them YAML reads a number
    "#);
}

#[test]
fn broken_versions_of_tls_are_not_spoken() {
    let text = listener("tls: {certificates: /a, minimum_version: \"1.0\"}");
    assert_snapshot!(errors(&text), @r#"
    error: TLS 1.0 is not spoken: it is broken (RFC 8996)
     --> lb.yaml:9:46
      |
    9 |     tls: {certificates: /a, minimum_version: "1.0"}
      |                                              ^^^^^
    help: write `minimum_version: "1.2"` or `"1.3"`, with the quotes: without them YAML reads a number
    "#);
}

#[test]
fn a_version_of_tls_is_one_that_is_spoken() {
    let text = listener("tls: {certificates: /a, minimum_version: tls1.3}");
    assert_snapshot!(errors(&text), @r#"
    error: minimum_version cannot be `tls1.3`
     --> lb.yaml:9:46
      |
    9 |     tls: {certificates: /a, minimum_version: tls1.3}
      |                                              ^^^^^^
    help: write `minimum_version: "1.2"` or `"1.3"`, with the quotes: without them YAML reads a number
    "#);
}

#[test]
fn client_certificates_need_authorities() {
    let text = listener("tls: {certificates: /a, client_certificates: {required: true}}");
    assert_snapshot!(errors(&text), @r#"
    error: `client_certificates` has no `ca`
     --> lb.yaml:9:29
      |
    9 |     tls: {certificates: /a, client_certificates: {required: true}}
      |                             ^^^^^^^^^^^^^^^^^^^
    help: add `ca: /etc/evenkeel/clients-ca.pem`
    "#);
}

#[test]
fn authorities_of_clients_are_a_file() {
    let text = listener("tls: {certificates: /a, client_certificates: {ca: ca.pem}}");
    assert_snapshot!(errors(&text), @r#"
    error: `ca.pem` is not an absolute path
     --> lb.yaml:9:55
      |
    9 |     tls: {certificates: /a, client_certificates: {ca: ca.pem}}
      |                                                       ^^^^^^
    help: write where the file is, from `/` on: `/etc/evenkeel/clients-ca.pem`
    "#);
}

#[test]
fn whether_client_certificates_are_required_is_yes_or_no() {
    let text =
        listener("tls: {certificates: /a, client_certificates: {ca: /ca.pem, required: optional}}");
    assert_snapshot!(errors(&text), @r#"
    error: `required` must be true or false, not text
     --> lb.yaml:9:74
      |
    9 |     tls: {certificates: /a, client_certificates: {ca: /ca.pem, required: optional}}
      |                                                                          ^^^^^^^^
    "#);
}

#[test]
fn resumption_is_yes_or_no() {
    let text = listener("tls: {certificates: /a, resumption: tickets}");
    assert_snapshot!(errors(&text), @r#"
    error: `resumption` must be true or false, not text
     --> lb.yaml:9:41
      |
    9 |     tls: {certificates: /a, resumption: tickets}
      |                                         ^^^^^^^
    "#);
}

#[test]
fn tls_of_a_listener_is_a_map() {
    let text = listener("tls: true");
    assert_snapshot!(errors(&text), @r#"
    error: `tls` must be a map, not true or false
     --> lb.yaml:9:10
      |
    9 |     tls: true
      |          ^^^^
    "#);
}

#[test]
fn tls_of_a_listener_has_no_other_keys() {
    let text = listener("tls: {certificates: /a, ciphers: HIGH}");
    assert_snapshot!(errors(&text), @r#"
    error: unknown key `ciphers`
     --> lb.yaml:9:29
      |
    9 |     tls: {certificates: /a, ciphers: HIGH}
      |                             ^^^^^^^
    help: that is said otherwise here: leave it out: what is spoken is not configured
    "#);
}

#[test]
fn a_listener_with_tls_does_not_redirect_to_https() {
    let text = listener("https_redirect: true\n    tls: {certificates: /a}");
    assert_snapshot!(errors(&text), @r#"
    error: a listener with `tls` has nowhere to redirect to with `https_redirect`
     --> lb.yaml:9:5
      |
    9 |     https_redirect: true
      |     ^^^^^^^^^^^^^^
    help: take one of them out: a listener of its own, on port 80, redirects
    "#);
}

#[test]
fn a_handshake_has_a_bound() {
    let text = listener("timeouts: {handshake: 2h}");
    assert_snapshot!(errors(&text), @r#"
    error: handshake must be between 1ms and 1h
     --> lb.yaml:9:27
      |
    9 |     timeouts: {handshake: 2h}
      |                           ^^
    "#);
}

#[test]
fn tls_of_a_pool_is_a_switch_or_a_map() {
    let text = pool("tls: yes please");
    assert_snapshot!(errors(&text), @r#"
    error: `tls` must be a map, not text
     --> lb.yaml:6:10
      |
    6 |     tls: yes please
      |          ^^^^^^^^^^
    "#);
}

#[test]
fn tls_of_a_pool_has_no_other_keys() {
    let text = pool("tls: {cafile: /ca.pem}");
    assert_snapshot!(errors(&text), @r#"
    error: unknown key `cafile`
     --> lb.yaml:6:11
      |
    6 |     tls: {cafile: /ca.pem}
      |           ^^^^^^
    help: that is said otherwise here: write `ca: FILE`
    "#);
}

#[test]
fn authorities_of_a_pool_are_a_file_or_the_systems() {
    let text = pool("tls: {ca: ca.pem}");
    assert_snapshot!(errors(&text), @r#"
    error: `ca.pem` is not an absolute path
     --> lb.yaml:6:15
      |
    6 |     tls: {ca: ca.pem}
      |               ^^^^^^
    help: write `system`, or where the file of authorities is: `/etc/evenkeel/backends.pem`
    "#);
}

#[test]
fn authorities_say_nothing_where_nobody_is_verified() {
    let text = pool("tls: {ca: /ca.pem, verify: false}");
    assert_snapshot!(errors(&text), @r#"
    error: `ca` says nothing where `verify` is false: whoever answers is believed
     --> lb.yaml:6:11
      |
    6 |     tls: {ca: /ca.pem, verify: false}
      |           ^^
    help: take one of them out
    "#);
}

#[test]
fn whether_backends_are_verified_is_yes_or_no() {
    let text = pool("tls: {verify: none}");
    assert_snapshot!(errors(&text), @r#"
    error: `verify` must be true or false, not text
     --> lb.yaml:6:19
      |
    6 |     tls: {verify: none}
      |                   ^^^^
    "#);
}

#[test]
fn whom_backends_must_be_is_a_name() {
    let text = pool("tls: {server_name: \"web internal\"}");
    assert_snapshot!(errors(&text), @r#"
    error: `web internal` is no name of a server
     --> lb.yaml:6:24
      |
    6 |     tls: {server_name: "web internal"}
      |                        ^^^^^^^^^^^^^^
    help: write the name that the backends' certificate is for: `web.internal`; without the key it is the backend's address
    "#);
}

#[test]
fn what_backends_are_shown_is_a_pair() {
    let text = pool("tls: {certificate: /a.pem}");
    assert_snapshot!(errors(&text), @r#"
    error: `certificate` must be a map, not text
     --> lb.yaml:6:24
      |
    6 |     tls: {certificate: /a.pem}
      |                        ^^^^^^
    "#);
}

#[test]
fn a_pair_for_backends_has_both_files() {
    let text = pool("tls: {certificate: {key: /a.key}}");
    assert_snapshot!(errors(&text), @r#"
    error: `certificate` has no `certificate`
     --> lb.yaml:6:11
      |
    6 |     tls: {certificate: {key: /a.key}}
      |           ^^^^^^^^^^^
    help: add `certificate: /etc/evenkeel/tls/www.crt`
    "#);
}

#[test]
fn a_pool_speaks_no_broken_version() {
    let text = pool("tls: {minimum_version: \"1.1\"}");
    assert_snapshot!(errors(&text), @r#"
    error: TLS 1.1 is not spoken: it is broken (RFC 8996)
     --> lb.yaml:6:28
      |
    6 |     tls: {minimum_version: "1.1"}
      |                            ^^^^^
    help: write `minimum_version: "1.2"` or `"1.3"`, with the quotes: without them YAML reads a number
    "#);
}

#[test]
fn a_secret_is_not_in_the_configuration() {
    let text = group("group: {secret: hunter2}");
    assert_snapshot!(errors(&text), @r#"
    error: the secret is in a file, not in the configuration
      --> lb.yaml:10:17
       |
    10 | group: {secret: hunter2}
       |                 ^^^^^^^
    help: write `{file: /etc/evenkeel/group.key}`, or `{credential: group.key}` for one that systemd loads
    "#);
}

#[test]
fn a_secret_is_in_one_place() {
    let text = group("group: {secret: {}}");
    assert_snapshot!(errors(&text), @r#"
    error: a secret is in one place
      --> lb.yaml:10:17
       |
    10 | group: {secret: {}}
       |                 ^
    help: write `{file: /etc/evenkeel/group.key}`, or `{credential: group.key}` for one that systemd loads
    "#);
}

#[test]
fn a_secret_is_not_in_two_places() {
    let text = group("group: {secret: {file: /a, credential: b}}");
    assert_snapshot!(errors(&text), @r#"
    error: a secret is in one place
      --> lb.yaml:10:17
       |
    10 | group: {secret: {file: /a, credential: b}}
       |                 ^
    help: write `{file: /etc/evenkeel/group.key}`, or `{credential: group.key}` for one that systemd loads
    "#);
}

#[test]
fn the_file_of_a_secret_is_absolute() {
    let text = group("group: {secret: {file: group.key}}");
    assert_snapshot!(errors(&text), @r#"
    error: `group.key` is not an absolute path
      --> lb.yaml:10:24
       |
    10 | group: {secret: {file: group.key}}
       |                        ^^^^^^^^^
    help: write where the file is, from `/` on: `/etc/evenkeel/group.key`
    "#);
}

#[test]
fn a_credential_has_a_name() {
    let text = group("group: {secret: {credential: ../group.key}}");
    assert_snapshot!(errors(&text), @r#"
    error: `../group.key` is no name of a credential
      --> lb.yaml:10:30
       |
    10 | group: {secret: {credential: ../group.key}}
       |                              ^^^^^^^^^^^^
    help: write `{file: /etc/evenkeel/group.key}`, or `{credential: group.key}` for one that systemd loads
    "#);
}

#[test]
fn secrets_are_a_list_of_places() {
    let text = group("group: {secret: [/a]}");
    assert_snapshot!(errors(&text), @r#"
    error: the secret is in a file, not in the configuration
      --> lb.yaml:10:18
       |
    10 | group: {secret: [/a]}
       |                  ^^
    help: write `{file: /etc/evenkeel/group.key}`, or `{credential: group.key}` for one that systemd loads
    "#);
}

#[test]
fn there_is_a_secret_where_there_is_a_list() {
    let text = group("group: {secret: []}");
    assert_snapshot!(errors(&text), @r#"
    error: `secret` must not be empty
      --> lb.yaml:10:17
       |
    10 | group: {secret: []}
       |                 ^
    "#);
}

#[test]
fn a_group_has_no_other_keys() {
    let text = group("group: {key: /a}");
    assert_snapshot!(errors(&text), @r#"
    error: unknown key `key`
      --> lb.yaml:10:9
       |
    10 | group: {key: /a}
       |         ^^^
    help: known keys here: secret
    "#);
}

#[test]
fn words_of_haproxy_and_nginx_are_answered_with_ours() {
    let text = listener("ssl_certificate: /a.crt\n    tls: {certificates: /a, ciphers: HIGH}");
    assert_snapshot!(errors(&text), @r#"
    error: unknown key `ssl_certificate`
     --> lb.yaml:9:5
      |
    9 |     ssl_certificate: /a.crt
      |     ^^^^^^^^^^^^^^^
    help: that is said otherwise here: write `tls: {certificates: /etc/evenkeel/tls}`

    error: unknown key `ciphers`
      --> lb.yaml:10:29
       |
    10 |     tls: {certificates: /a, ciphers: HIGH}
       |                             ^^^^^^^
    help: that is said otherwise here: leave it out: what is spoken is not configured
    "#);
}
