//! The key `mode`: what carries bytes, and what has no meaning there.

use evenkeel::config::{Mode, PoolProtocol};
use insta::assert_snapshot;

use crate::accepts::accepted;
use crate::errors;

#[test]
fn keys_of_http_are_refused_where_tcp_is_carried() {
    let text = "\
listeners:
  db:
    bind: [\"192.0.2.1:5432\"]
    mode: tcp
    http2: false
    request_id: false
    timeouts: {idle: 5s, tunnel: 2h, client_fin: 3s}
    limits: {connections: 5, requests: {rate: 5/s}}
    pool: db
  web: {bind: [\"192.0.2.1:80\"], mode: tpc, pool: web}
pools:
  db: {backends: {a: \"192.0.2.9:5432\"}}
  web: {backends: {a: \"192.0.2.9:80\"}}
";
    assert_snapshot!(errors(text), @r#"
    error: `http2` is of HTTP, and this listener carries TCP
     --> lb.yaml:5:5
      |
    5 |     http2: false
      |     ^^^^^
    help: take it out, or `mode: tcp`

    error: `request_id` is of HTTP, and this listener carries TCP
     --> lb.yaml:6:5
      |
    6 |     request_id: false
      |     ^^^^^^^^^^
    help: take it out, or `mode: tcp`

    error: `idle` is of HTTP, and this listener carries TCP
     --> lb.yaml:7:16
      |
    7 |     timeouts: {idle: 5s, tunnel: 2h, client_fin: 3s}
      |                ^^^^
    help: take it out; `tunnel` bounds silence here

    error: `requests` is of HTTP, and this listener carries TCP
     --> lb.yaml:8:30
      |
    8 |     limits: {connections: 5, requests: {rate: 5/s}}
      |                              ^^^^^^^^
    help: take it out, or `mode: tcp`

    error: mode cannot be `tpc`
      --> lb.yaml:10:39
       |
    10 |   web: {bind: ["192.0.2.1:80"], mode: tpc, pool: web}
       |                                       ^^^
    help: did you mean `tcp`?
    "#);
}

#[test]
fn routes_look_at_names_where_tcp_is_carried_and_at_hosts_where_http_is() {
    let text = "\
listeners:
  db:
    bind: [\"192.0.2.1:5432\"]
    mode: tcp
    routes:
      - {host: a.example.org, pool: db}
      - {sni: \"192.0.2.7\", pool: db}
      - {sni: \"*\", respond: {status: 404}}
      - {client: 10.0.0.0/8, pool: db, timeouts: {tunnel: 1h, response_head: 5s}}
  web:
    bind: [\"192.0.2.1:80\"]
    pool: web
    routes: [{sni: a.example.org, pool: web}]
pools:
  db: {backends: {a: \"192.0.2.9:5432\"}}
  web: {backends: {a: \"192.0.2.9:80\"}}
";
    assert_snapshot!(errors(text), @r#"
    error: `host` is of HTTP, and this listener carries TCP
     --> lb.yaml:6:10
      |
    6 |       - {host: a.example.org, pool: db}
      |          ^^^^
    help: write `sni: NAME`: the name that the client of TLS asks for

    error: no client of TLS asks for `192.0.2.7`
     --> lb.yaml:7:15
      |
    7 |       - {sni: "192.0.2.7", pool: db}
      |               ^^^^^^^^^^^
    help: addresses are no names (RFC 6066 §3); write a route without `sni` for those who ask for none

    error: sni cannot be `*`
     --> lb.yaml:8:15
      |
    8 |       - {sni: "*", respond: {status: 404}}
      |               ^^^
    help: leave `sni` out of a route for every sni

    error: `respond` is of HTTP, and this listener carries TCP
     --> lb.yaml:8:20
      |
    8 |       - {sni: "*", respond: {status: 404}}
      |                    ^^^^^^^
    help: take it out, or `mode: tcp`

    error: `response_head` is of HTTP, and this listener carries TCP
     --> lb.yaml:9:63
      |
    9 |       - {client: 10.0.0.0/8, pool: db, timeouts: {tunnel: 1h, response_head: 5s}}
      |                                                               ^^^^^^^^^^^^^
    help: take it out, or `mode: tcp`

    error: `sni` is looked at where TCP is carried
      --> lb.yaml:13:15
       |
    13 |     routes: [{sni: a.example.org, pool: web}]
       |               ^^^
    help: write `host: NAME`, or `mode: tcp` for the listener
    "#);
}

#[test]
fn a_pool_that_carries_tcp_keeps_no_bodies_and_names_no_answers() {
    let text = "\
listeners:
  db: {bind: [\"192.0.2.1:5432\"], mode: tcp, pool: farm}
pools:
  farm:
    backends: {a: \"192.0.2.10:5432\"}
    buffer_requests: true
    reproxy: farm
";
    assert_snapshot!(errors(text), @r"
    error: `buffer_requests` is for requests, and this pool carries TCP
     --> lb.yaml:6:5
      |
    6 |     buffer_requests: true
      |     ^^^^^^^^^^^^^^^
    help: take it out; nobody knows where a request would end

    error: `reproxy` is for requests, and this pool carries TCP
     --> lb.yaml:7:5
      |
    7 |     reproxy: farm
      |     ^^^^^^^
    help: take it out; nobody names an answer where bytes are carried
    ");
}

#[test]
fn what_is_of_requests_is_refused_in_pools_that_carry_tcp() {
    let text = "\
listeners:
  db: {bind: [\"192.0.2.1:5432\"], mode: tcp, pool: one, routes: [{client: 10.0.0.0/8, pool: both}]}
  web: {bind: [\"192.0.2.1:80\"], pool: both}
pools:
  one:
    backends: {a: \"192.0.2.9:5432\"}
    balance: {hash: path}
    affinity: {cookie: {name: a}}
    keep_alive: {timeout: 1s}
    timeouts: {response_head: 1s, backend_fin: 2s}
    fallback: two
  two: {backends: {a: \"192.0.2.9:5433\"}, protocol: http1, fallback: three}
  three: {backends: {a: \"192.0.2.9:5434\"}, fallback: {respond: {status: 503}}}
  both: {backends: {a: \"192.0.2.9:5435\"}}
";
    assert_snapshot!(errors(text), @r#"
    error: a hash of anything but addresses is for requests, and this pool carries TCP
     --> lb.yaml:7:15
      |
    7 |     balance: {hash: path}
      |               ^^^^
    help: write `{hash: source_address}`

    error: `affinity` is for requests, and this pool carries TCP
     --> lb.yaml:8:5
      |
    8 |     affinity: {cookie: {name: a}}
      |     ^^^^^^^^
    help: take it out; `balance: {hash: source_address}` keeps clients on a backend

    error: `keep_alive` is for requests, and this pool carries TCP
     --> lb.yaml:9:5
      |
    9 |     keep_alive: {timeout: 1s}
      |     ^^^^^^^^^^
    help: take it out; each client has a connection of its own

    error: `response_head` is for requests, and this pool carries TCP
      --> lb.yaml:10:16
       |
    10 |     timeouts: {response_head: 1s, backend_fin: 2s}
       |                ^^^^^^^^^^^^^
    help: take it out; `timeouts: {tunnel: 1h}` of the listener bounds silence

    error: the pool is behind `db`, which carries TCP
      --> lb.yaml:12:52
       |
    12 |   two: {backends: {a: "192.0.2.9:5433"}, protocol: http1, fallback: three}
       |                                                    ^^^^^
    help: leave `protocol` out, or write another pool for that listener

    error: `respond` is for requests, and this pool carries TCP
      --> lb.yaml:13:55
       |
    13 |   three: {backends: {a: "192.0.2.9:5434"}, fallback: {respond: {status: 503}}}
       |                                                       ^^^^^^^
    help: name another pool, or take it out

    error: the pool is behind `db`, which carries TCP, and behind `web`, which carries HTTP
      --> lb.yaml:14:3
       |
    14 |   both: {backends: {a: "192.0.2.9:5435"}}
       |   ^^^^
    help: write a pool for each: backends are spoken to in one way
    "#);
}

#[test]
fn pools_carry_what_the_listeners_do_that_they_are_behind() {
    let config = accepted(
        "\
listeners:
  db: {bind: [\"192.0.2.1:5432\"], mode: tcp, pool: db}
  web: {bind: [\"192.0.2.1:80\"], mode: http, pool: web}
pools:
  db: {backends: {a: \"192.0.2.9:5432\"}, fallback: spare, timeouts: {backend_fin: 3s}}
  spare: {backends: {a: \"192.0.2.9:5433\"}, balance: {hash: source_address}}
  web: {backends: {a: \"192.0.2.9:80\"}}
  unused: {backends: {a: \"192.0.2.9:81\"}, protocol: tcp}
",
    );
    let modes: Vec<Mode> = config.listeners.iter().map(|it| it.mode).collect();
    assert_eq!(modes, [Mode::Tcp, Mode::Http]);
    let protocols: Vec<PoolProtocol> = config.pools.iter().map(|it| it.protocol).collect();
    let (tcp, http) = (PoolProtocol::Tcp, PoolProtocol::Http1);
    assert_eq!(protocols, [tcp, tcp, http, tcp]);
}
