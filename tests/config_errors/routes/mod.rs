//! Errors in the routes of a listener, and what they accept.

mod accepts;
mod actions;
mod conditions;
mod edits;

use evenkeel::cli::check::describe;
use insta::assert_snapshot;

use super::{errors, listener};

/// Returns a file whose listener has these routes, each a map in braces.
pub(crate) fn routes(routes: &[&str]) -> String {
    let mut lines = "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    routes:".to_owned();
    for route in routes {
        lines.push_str(&format!("\n      - {{{route}}}"));
    }
    listener(&lines)
}

#[test]
fn routes_are_a_list_of_maps() {
    let text = listener("bind: [\"192.0.2.1:80\"]\n    routes: {api: farm}");
    assert_snapshot!(errors(&text), @r#"
    error: `routes` must be a list of routes, not a map
     --> lb.yaml:8:13
      |
    8 |     routes: {api: farm}
      |             ^
    "#);
    let text = listener("bind: [\"192.0.2.1:80\"]\n    pool: farm\n    routes: []");
    assert_snapshot!(errors(&text), @r#"
    error: `routes` must not be empty
     --> lb.yaml:9:13
      |
    9 |     routes: []
      |             ^
    "#);
    let text = listener("bind: [\"192.0.2.1:80\"]\n    pool: farm\n    routes: [api]");
    assert_snapshot!(errors(&text), @r#"
    error: a route is a map, not text
     --> lb.yaml:9:14
      |
    9 |     routes: [api]
      |              ^^^
    help: write `- {path: /api/, pool: NAME}`
    "#);
}

#[test]
fn a_route_has_known_keys() {
    let text = routes(&[
        "hosts: a.example, pool: farm",
        "path_prefix: /a, pool: farm",
    ]);
    assert_snapshot!(errors(&text), @r"
    error: unknown key `hosts`
      --> lb.yaml:10:10
       |
    10 |       - {hosts: a.example, pool: farm}
       |          ^^^^^
    help: did you mean `host`?

    error: unknown key `path_prefix`
      --> lb.yaml:11:10
       |
    11 |       - {path_prefix: /a, pool: farm}
       |          ^^^^^^^^^^^
    help: known keys here: name, sni, host, path, method, header, query, client, allow, deny, pool, redirect, respond, rewrite, request_headers, response_headers, timeouts, limits, priority
    ");
}

#[test]
fn a_listener_has_a_thousand_routes_at_most() {
    let with = |count| routes(&vec!["path: /a, pool: farm"; count]);
    super::accepts::accepted(&with(1000));
    let printed = errors(&with(1001));
    let first = "error: a listener has at most 1000 routes, not 1001\n";
    assert!(printed.starts_with(first), "{printed}");
}

#[test]
fn names_of_routes_are_unique_and_no_numbers() {
    let text = routes(&[
        "name: a, path: /a, pool: farm",
        "name: a, path: /b, pool: farm",
        "name: 1, path: /c, pool: farm",
        "name: \"2\", path: /d, pool: farm",
        "name: a b, path: /e, pool: farm",
        "name: [], path: /f, pool: farm",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: another route of this listener is `a`
      --> lb.yaml:11:16
       |
    11 |       - {name: a, path: /b, pool: farm}
       |                ^
    help: give each a name of its own

    error: the name of a route is not a number
      --> lb.yaml:12:16
       |
    12 |       - {name: 1, path: /c, pool: farm}
       |                ^
    help: numbers are the places of routes without a name; give it a letter

    error: the name of a route is not a number
      --> lb.yaml:13:16
       |
    13 |       - {name: "2", path: /d, pool: farm}
       |                ^^^
    help: numbers are the places of routes without a name; give it a letter

    error: `a b` cannot be a name
      --> lb.yaml:14:16
       |
    14 |       - {name: a b, path: /e, pool: farm}
       |                ^^^
    help: names are 1 to 64 letters, digits, `.`, `_` and `-`

    error: `name` must be a name, not a list
      --> lb.yaml:15:16
       |
    15 |       - {name: [], path: /f, pool: farm}
       |                ^
    "#);
}

#[test]
fn a_listener_needs_a_pool_where_no_route_answers() {
    let lines = "bind: [\"192.0.2.1:80\"]\n    routes: [{path: /a, deny: all}]";
    assert_snapshot!(errors(&listener(lines)), @r#"
    error: `http` has no `pool`
     --> lb.yaml:6:3
      |
    6 |   http:
      |   ^^^^
    help: add `pool: NAME`
    "#);
    let lines = "bind: [\"192.0.2.1:80\"]\n    https_redirect: false";
    assert_snapshot!(errors(&listener(lines)), @r#"
    error: `http` has no `pool`
     --> lb.yaml:6:3
      |
    6 |   http:
      |   ^^^^
    help: add `pool: NAME`
    "#);
}

#[test]
fn a_backend_of_a_route_is_not_the_listener_itself() {
    let lines = "bind: [\"192.0.2.10:80\"]\n    \
                 routes: [{path: /a, pool: farm}, {path: /b, pool: farm}]";
    assert_snapshot!(errors(&listener(lines)), @r#"
    error: 192.0.2.10:80 is where listener `http` itself listens
     --> lb.yaml:4:24
      |
    4 |   farm: {backends: {a: "192.0.2.10:80"}}
      |                        ^^^^^^^^^^^^^^^
    help: a backend is another server
    "#);
}

#[test]
fn timeouts_and_limits_of_a_route_have_the_ranges_of_its_listener_and_pool() {
    let text = routes(&[
        "path: /a, pool: farm, timeouts: {request_body: 2h, idle: 25h, tunnel: 0s}",
        "path: /b, pool: farm, timeouts: {response_head: 25h, queue: 2h, connect: 1s}",
        "path: /c, pool: farm, limits: {body_bytes: 0, body_rate: -1, fields: 1}",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: request_body must be between 1ms and 1h
      --> lb.yaml:10:57
       |
    10 |       - {path: /a, pool: farm, timeouts: {request_body: 2h, idle: 25h, tunnel: 0s}}
       |                                                         ^^

    error: idle must be between 1ms and 24h
      --> lb.yaml:10:67
       |
    10 |       - {path: /a, pool: farm, timeouts: {request_body: 2h, idle: 25h, tunnel: 0s}}
       |                                                                   ^^^

    error: tunnel must be between 1ms and 24h
      --> lb.yaml:10:80
       |
    10 |       - {path: /a, pool: farm, timeouts: {request_body: 2h, idle: 25h, tunnel: 0s}}
       |                                                                                ^^

    error: response_head must be between 1ms and 24h
      --> lb.yaml:11:58
       |
    11 |       - {path: /b, pool: farm, timeouts: {response_head: 25h, queue: 2h, connect: 1s}}
       |                                                          ^^^

    error: queue must be between 1ms and 1h
      --> lb.yaml:11:70
       |
    11 |       - {path: /b, pool: farm, timeouts: {response_head: 25h, queue: 2h, connect: 1s}}
       |                                                                      ^^

    error: unknown key `connect`
      --> lb.yaml:11:74
       |
    11 |       - {path: /b, pool: farm, timeouts: {response_head: 25h, queue: 2h, connect: 1s}}
       |                                                                          ^^^^^^^
    help: known keys here: request_body, idle, tunnel, response_head, queue

    error: body_bytes must be between 1 and 4294967295
      --> lb.yaml:12:53
       |
    12 |       - {path: /c, pool: farm, limits: {body_bytes: 0, body_rate: -1, fields: 1}}
       |                                                     ^

    error: body_rate must be between 0 and 4294967295
      --> lb.yaml:12:67
       |
    12 |       - {path: /c, pool: farm, limits: {body_bytes: 0, body_rate: -1, fields: 1}}
       |                                                                   ^^

    error: unknown key `fields`
      --> lb.yaml:12:71
       |
    12 |       - {path: /c, pool: farm, limits: {body_bytes: 0, body_rate: -1, fields: 1}}
       |                                                                       ^^^^^^
    help: known keys here: body_bytes, body_rate, requests, requests_per_client
    "#);
}

#[test]
fn check_shows_what_becomes_of_requests() {
    let lines = "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    routes:\n      \
         - {name: lan, path: /admin/, deny: {except: 10.0.0.0/8}}\n      \
         - {name: api, host: [a.example, \"*.a.example\"], path: /v1/, method: [GET, HEAD], pool: farm, \
           rewrite: {path: /, host: api}}\n      \
         - {path: {exact: /health}, header: {X-A: b, X-C: true}, query: {a: \"1\"}, \
           respond: {status: 200}}\n      \
         - {client: [10.0.0.0/8, 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4], \
           redirect: {to: \"https://{host}{path}\", status: 301}}\n      \
         - {path: /old, deny: all}\n      \
         - {name: never, path: /old/x, deny: [10.0.0.0/8], pool: farm}\n      \
         - {name: rest, pool: farm}\n  \
         plain: {bind: [\"192.0.2.1:81\"], pool: farm}\n  \
         https: {bind: [\"192.0.2.1:82\"], https_redirect: true, pool: farm}\n  \
         other: {bind: [\"192.0.2.1:83\"], https_redirect: {port: 8443, status: 301}}\n  \
         none: {bind: [\"192.0.2.1:84\"], routes: [{path: /, respond: {status: 404}}, {path: /a, pool: farm}]}";
    let described = describe(&super::accepts::accepted(&listener(lines)));
    let from = described.find("LISTENER").unwrap_or_default();
    let to = described.find("\nPOOL").unwrap_or(described.len());
    assert_snapshot!(&described[from..to], @r#"
    LISTENER  TIED TO  POOL  ADDRESSES
    http      -        farm  192.0.2.1:80
    plain     -        farm  192.0.2.1:81
    https     -        farm  192.0.2.1:82
    other     -        -     192.0.2.1:83
    none      -        farm  192.0.2.1:84

    LISTENER  ROUTE  MATCHES                                                       ACTION
    http      lan    path /admin/                                                  deny all but 10.0.0.0/8
    http      api    host a.example or *.a.example, path /v1/, method GET or HEAD  pool farm, path /, host api
    http      3      path exactly /health, header X-A: b, header X-C, query a=1    respond 200
    http      4      client 10.0.0.0/8 or 10.0.0.1/32 or 10.0.0.2/32 or 2 more     redirect 301 to https://{host}{path}
    http      5      path /old                                                     deny all
    http      never  path /old/x                                                   deny 10.0.0.0/8, pool farm
    http      rest   -                                                             pool farm
    http      -      -                                                             pool farm
    https     -      -                                                             redirect 308 to https
    other     -      -                                                             redirect 301 to https, port 8443
    none      1      path /                                                        respond 404
    none      2      path /a                                                       pool farm
    none      -      -                                                             respond 404

    note: http: route never (path /old/x) never gets a request: route 5 (path /old) has them before
    note: http: nothing is left for its pool farm: route rest (every request) has every request before
    note: https: nothing is left for its pool farm: https_redirect has what no route is for
    note: none: route 2 (path /a) never gets a request: route 1 (path /) has them before
    "#);
    let plain = describe(&super::accepts::accepted(&routes(&["pool: farm"])));
    assert!(plain.contains("nothing is left for its pool farm: route 1 (every request)"));
}
