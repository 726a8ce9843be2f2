//! Errors in what is edited of fields.

use insta::assert_snapshot;

use super::super::{errors, listener};
use super::routes;

#[test]
fn what_belongs_to_the_proxy_is_not_edited() {
    let text = routes(&[
        "path: /a, pool: farm, request_headers: {set: {Host: a, X_A: b}, remove: [Connection]}",
        "path: /a, pool: farm, response_headers: {add: {Content-Length: \"1\"}}",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: Host cannot be edited
      --> lb.yaml:10:56
       |
    10 |       - {path: /a, pool: farm, request_headers: {set: {Host: a, X_A: b}, remove: [Connection]}}
       |                                                        ^^^^
    help: say `rewrite: {host: ...}` for what backends are asked

    error: X_A cannot be edited
      --> lb.yaml:10:65
       |
    10 |       - {path: /a, pool: farm, request_headers: {set: {Host: a, X_A: b}, remove: [Connection]}}
       |                                                                 ^^^
    help: names with an underscore are dropped, since CGI takes them for others

    error: Connection cannot be edited
      --> lb.yaml:10:83
       |
    10 |       - {path: /a, pool: farm, request_headers: {set: {Host: a, X_A: b}, remove: [Connection]}}
       |                                                                                   ^^^^^^^^^^
    help: it is of one connection, which the proxy itself keeps

    error: Content-Length cannot be edited
      --> lb.yaml:11:57
       |
    11 |       - {path: /a, pool: farm, response_headers: {add: {Content-Length: "1"}}}
       |                                                         ^^^^^^^^^^^^^^
    help: it says where the message ends
    "#);
}

#[test]
fn edits_have_names_and_texts() {
    let text = routes(&[
        "path: /a, pool: farm, request_headers: {sets: {X: a}}",
        "path: /a, pool: farm, request_headers: {set: {X A: a, X.B: b}, remove: [\"\", X]}",
        "path: /a, pool: farm, request_headers: {set: {X-A: a, x-a: b}}",
        "path: /a, pool: farm, request_headers: {add: {X-A: \"\"}, set: {X-B: 1}}",
        "path: /a, pool: farm, request_headers: {remove: X}",
        "path: /a, pool: farm, request_headers: {set: []}",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: unknown key `sets`
      --> lb.yaml:10:50
       |
    10 |       - {path: /a, pool: farm, request_headers: {sets: {X: a}}}
       |                                                  ^^^^
    help: did you mean `set`?

    error: X A cannot be edited
      --> lb.yaml:11:56
       |
    11 |       - {path: /a, pool: farm, request_headers: {set: {X A: a, X.B: b}, remove: ["", X]}}
       |                                                        ^^^
    help: it is no name of a field: letters, digits and hyphens (RFC 9110 §5.1)

    error: `X.B` is not the name of a field
      --> lb.yaml:11:64
       |
    11 |       - {path: /a, pool: farm, request_headers: {set: {X A: a, X.B: b}, remove: ["", X]}}
       |                                                                ^^^
    help: write letters, digits and `-`: `X-User`

    error: `` is not the name of a field
      --> lb.yaml:11:82
       |
    11 |       - {path: /a, pool: farm, request_headers: {set: {X A: a, X.B: b}, remove: ["", X]}}
       |                                                                                  ^^
    help: write letters, digits and `-`: `X-User`

    error: `x-a` is here twice
      --> lb.yaml:12:64
       |
    12 |       - {path: /a, pool: farm, request_headers: {set: {X-A: a, x-a: b}}}
       |                                                                ^^^
    help: the case of letters does not matter in names of fields

    error: X-A cannot be ``
      --> lb.yaml:13:61
       |
    13 |       - {path: /a, pool: farm, request_headers: {add: {X-A: ""}, set: {X-B: 1}}}
       |                                                             ^^
    help: a value has 1 to 2048 bytes; `remove: [X-A]` drops the field

    error: `X-B` must be a text, not a number
      --> lb.yaml:13:77
       |
    13 |       - {path: /a, pool: farm, request_headers: {add: {X-A: ""}, set: {X-B: 1}}}
       |                                                                             ^
    help: put it in quotes

    error: `remove` must be a list of field names, not text
      --> lb.yaml:14:58
       |
    14 |       - {path: /a, pool: farm, request_headers: {remove: X}}
       |                                                          ^

    error: `set` must be a map of values by field name, not a list
      --> lb.yaml:15:55
       |
    15 |       - {path: /a, pool: farm, request_headers: {set: []}}
       |                                                       ^
    "#);
}

#[test]
fn values_have_known_placeholders() {
    let text = routes(&[
        "path: /a, pool: farm, request_headers: {set: {X-A: \"{clinet}\", X-B: \"{$var}\"}}",
        "path: /a, pool: farm, request_headers: {set: {X-A: \"{client\", X-B: \"a\\nb\"}}",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: X-A cannot be `{clinet}`: `{clinet}` is no placeholder
      --> lb.yaml:10:61
       |
    10 |       - {path: /a, pool: farm, request_headers: {set: {X-A: "{clinet}", X-B: "{$var}"}}}
       |                                                             ^^^^^^^^^^
    help: did you mean `{client}`?

    error: X-B cannot be `{$var}`: `{$var}` is no placeholder
      --> lb.yaml:10:78
       |
    10 |       - {path: /a, pool: farm, request_headers: {set: {X-A: "{clinet}", X-B: "{$var}"}}}
       |                                                                              ^^^^^^^^
    help: placeholders are client, client_port, host, method, path, query, scheme, request_id, listener, route, tls_version, tls_cipher, tls_server_name, client_certificate, client_certificate_fingerprint

    error: X-A cannot be `{client`: a brace has no partner; write `{{` or `}}` for one that means itself
      --> lb.yaml:11:61
       |
    11 |       - {path: /a, pool: farm, request_headers: {set: {X-A: "{client", X-B: "a\nb"}}}
       |                                                             ^^^^^^^^^

    error: X-B cannot be `a�b`: a control character cannot be sent
      --> lb.yaml:11:77
       |
    11 |       - {path: /a, pool: farm, request_headers: {set: {X-A: "{client", X-B: "a\nb"}}}
       |                                                                             ^^^^^^
    "#);
}

#[test]
fn a_listener_edits_by_the_same_rules() {
    let lines = "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    \
                 request_headers: {set: {TE: trailers}}\n    response_headers: [X]";
    assert_snapshot!(errors(&listener(lines)), @r#"
    error: TE cannot be edited
     --> lb.yaml:9:29
      |
    9 |     request_headers: {set: {TE: trailers}}
      |                             ^^
    help: it is of one connection, which the proxy itself keeps

    error: `response_headers` must be a map, not a list
      --> lb.yaml:10:23
       |
    10 |     response_headers: [X]
       |                       ^
    "#);
}

#[test]
fn more_edits_than_are_meant_are_refused() {
    let names: Vec<String> = (0..33).map(|n| format!("X-{n}")).collect();
    let with = |count: usize| {
        let names = names[..count].join(", ");
        routes(&[&format!(
            "path: /a, pool: farm, request_headers: {{remove: [{names}]}}"
        )])
    };
    super::super::accepts::accepted(&with(32));
    let printed = errors(&with(33));
    let first = "error: 33 fields are too many to be edited\n";
    assert!(printed.starts_with(first), "{printed}");
}
