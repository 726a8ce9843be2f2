//! Errors in `pools`.

mod affinity;
mod buffering;
mod ejection;
mod fallback;
mod follow;
mod probes;

use std::time::Duration;

use evenkeel::config::{Balance, HashOn, HealthCheckConfig};
use insta::assert_snapshot;

use super::accepts::accepted;
use super::{errors, pool};

#[test]
fn backends_are_needed() {
    let text = pool("balance: round_robin");
    assert_snapshot!(errors(&text), @r#"
    error: `farm` has no `backends`
     --> lb.yaml:4:3
      |
    4 |   farm:
      |   ^^^^
    help: add `backends: {b1: "192.0.2.10:80"}`
    "#);
}

#[test]
fn backends_are_not_empty() {
    let text = pool("backends: {}");
    assert_snapshot!(errors(&text), @r#"
    error: `backends` must not be empty
     --> lb.yaml:5:15
      |
    5 |     backends: {}
      |               ^
    "#);
}

#[test]
fn backends_are_a_map() {
    let text = pool("backends: [\"192.0.2.10:80\"]");
    assert_snapshot!(errors(&text), @r#"
    error: `backends` must be a map of addresses by name, not a list
     --> lb.yaml:5:15
      |
    5 |     backends: ["192.0.2.10:80"]
      |               ^
    "#);
}

#[test]
fn a_backend_twice_is_refused() {
    let text = pool("backends: {a: \"192.0.2.10:80\", a: \"192.0.2.11:80\"}");
    assert_snapshot!(errors(&text), @r#"
    error: `a` is here twice
     --> lb.yaml:5:36
      |
    5 |     backends: {a: "192.0.2.10:80", a: "192.0.2.11:80"}
      |                                    ^
    help: keep one of the two
    "#);
}

#[test]
fn a_backend_needs_a_port() {
    let text = pool("backends: {a: 192.0.2.10}");
    assert_snapshot!(errors(&text), @r#"
    error: `192.0.2.10` is not an address with a port
     --> lb.yaml:5:19
      |
    5 |     backends: {a: 192.0.2.10}
      |                   ^^^^^^^^^^
    help: add the port: `"192.0.2.10:80"`
    "#);
}

#[test]
fn a_backend_port_has_a_range() {
    let text = pool("backends: {a: \"192.0.2.10:70000\"}");
    assert_snapshot!(errors(&text), @r#"
    error: `192.0.2.10:70000` is not an address with a port
     --> lb.yaml:5:19
      |
    5 |     backends: {a: "192.0.2.10:70000"}
      |                   ^^^^^^^^^^^^^^^^^^
    help: the port must be between 1 and 65535
    "#);
}

#[test]
fn a_backend_is_not_a_wildcard() {
    let text = pool("backends: {a: \"0.0.0.0:80\"}");
    assert_snapshot!(errors(&text), @r#"
    error: `0.0.0.0:80`: a backend needs the address of one machine
     --> lb.yaml:5:19
      |
    5 |     backends: {a: "0.0.0.0:80"}
      |                   ^^^^^^^^^^^^
    "#);
}

#[test]
fn a_backend_that_is_a_map_needs_an_address() {
    let text = pool("backends: {a: {weight: 2}}");
    assert_snapshot!(errors(&text), @r#"
    error: `a` has no `address`
     --> lb.yaml:5:16
      |
    5 |     backends: {a: {weight: 2}}
      |                ^
    help: add `address: "192.0.2.10:80"`
    "#);
}

#[test]
fn a_weight_has_a_range() {
    let text = pool("backends: {a: {address: \"192.0.2.10:80\", weight: 257}}");
    assert_snapshot!(errors(&text), @r#"
    error: weight must be between 1 and 256
     --> lb.yaml:5:54
      |
    5 |     backends: {a: {address: "192.0.2.10:80", weight: 257}}
      |                                                      ^^^
    "#);
}

#[test]
fn requests_have_a_range() {
    let text = pool("backends: {a: {address: \"192.0.2.10:80\", requests: 10000001}}");
    assert_snapshot!(errors(&text), @r#"
    error: requests must be between 1 and 10000000
     --> lb.yaml:5:56
      |
    5 |     backends: {a: {address: "192.0.2.10:80", requests: 10000001}}
      |                                                        ^^^^^^^^
    "#);
}

#[test]
fn requests_are_not_zero() {
    let text = pool("backends: {a: {address: \"192.0.2.10:80\", requests: 0}}");
    assert_snapshot!(errors(&text), @r#"
    error: requests must be a number between 1 and 10000000
     --> lb.yaml:5:56
      |
    5 |     backends: {a: {address: "192.0.2.10:80", requests: 0}}
      |                                                        ^
    help: leave `requests` out where there is no limit; `health_check` keeps requests from a backend
    "#);
}

#[test]
fn a_backup_is_one_or_not() {
    let text = pool("backends: {a: {address: \"192.0.2.10:80\", backup: 2}}");
    assert_snapshot!(errors(&text), @r#"
    error: `backup` must be true or false, not a number
     --> lb.yaml:5:54
      |
    5 |     backends: {a: {address: "192.0.2.10:80", backup: 2}}
      |                                                      ^
    "#);
}

#[test]
fn a_slow_start_has_a_range() {
    let text = pool("slow_start: 2h");
    assert_snapshot!(errors(&text), @r#"
    error: slow_start must be between 0s and 1h
     --> lb.yaml:6:17
      |
    6 |     slow_start: 2h
      |                 ^^
    "#);
}

#[test]
fn a_slow_start_has_a_unit() {
    let text = pool("slow_start: 30");
    assert_snapshot!(errors(&text), @r#"
    error: slow_start has no unit
     --> lb.yaml:6:17
      |
    6 |     slow_start: 30
      |                 ^^
    help: write `30s` or `30ms`
    "#);
}

#[test]
fn a_slow_start_is_none_or_long() {
    for (text, hoped) in [("0s", 0), ("1h", 3600)] {
        let config = accepted(&pool(&format!("slow_start: {text}")));
        assert_eq!(config.pools[0].slow_start, Duration::from_secs(hoped));
    }
}

#[test]
fn requests_are_not_a_word() {
    let text = pool("backends: {a: {address: \"192.0.2.10:80\", requests: unlimited}}");
    assert_snapshot!(errors(&text), @r#"
    error: requests must be a number between 1 and 10000000
     --> lb.yaml:5:56
      |
    5 |     backends: {a: {address: "192.0.2.10:80", requests: unlimited}}
      |                                                        ^^^^^^^^^
    help: leave `requests` out where there is no limit; `health_check` keeps requests from a backend
    "#);
}

#[test]
fn a_limit_of_requests_is_a_backends_own() {
    let text = pool("requests: 50");
    assert_snapshot!(errors(&text), @r"
    error: unknown key `requests`
     --> lb.yaml:6:5
      |
    6 |     requests: 50
      |     ^^^^^^^^
    help: known keys here: backends, backends_file, resolve, balance, health_check, timeouts, keep_alive, slow_start, tls, protocol, proxy_protocol, buffer_requests, reproxy, ejection, fallback, affinity
    ");
}

#[test]
fn a_queue_timeout_has_a_range() {
    let text = pool("timeouts: {queue: 0s}");
    assert_snapshot!(errors(&text), @r#"
    error: queue must be between 1ms and 1h
     --> lb.yaml:6:23
      |
    6 |     timeouts: {queue: 0s}
      |                       ^^
    "#);
}

#[test]
fn a_queue_timeout_has_a_unit() {
    let text = pool("timeouts: {queue: 5}");
    assert_snapshot!(errors(&text), @r#"
    error: queue has no unit
     --> lb.yaml:6:23
      |
    6 |     timeouts: {queue: 5}
      |                       ^
    help: write `5s` or `5ms`
    "#);
}

#[test]
fn balance_takes_its_words() {
    for (word, hoped) in [
        ("random_of_two", Balance::RandomOfTwo),
        ("round_robin", Balance::RoundRobin),
        ("least_connections", Balance::LeastConnections),
        (
            "{hash: source_address}",
            Balance::Hash(HashOn::SourceAddress),
        ),
        ("{hash: path}", Balance::Hash(HashOn::Path)),
        (
            "{hash: {header: Host}}",
            Balance::Hash(HashOn::Header("Host".to_owned())),
        ),
        (
            "{hash: {cookie: my_session}}",
            Balance::Hash(HashOn::Cookie("my_session".to_owned())),
        ),
    ] {
        let text = pool(&format!("timeouts: {{}}\n    balance: {word}"));
        assert_eq!(accepted(&text).pools[0].balance, hoped, "{word}");
    }
}

#[test]
fn a_health_check_timeout_defaults_to_the_interval() {
    let config = accepted(&pool("health_check: {tcp: {}, interval: 250ms}"));
    let HealthCheckConfig::Probe(probe) = &config.pools[0].health_check else {
        panic!("a probe: {config:?}")
    };
    assert_eq!(probe.timeout, Duration::from_millis(250));
}

#[test]
fn a_pool_without_a_listener_is_allowed() {
    let text = format!(
        "{}  spare: {{backends: {{a: \"192.0.2.11:80\"}}}}\n",
        pool("balance: random_of_two")
    );
    assert_eq!(accepted(&text).pools.len(), 2);
}

#[test]
fn a_misspelled_balance_is_named() {
    let text = pool("balance: round_robbin");
    assert_snapshot!(errors(&text), @r#"
    error: balance cannot be `round_robbin`
     --> lb.yaml:6:14
      |
    6 |     balance: round_robbin
      |              ^^^^^^^^^^^^
    help: did you mean `round_robin`?
    "#);
}

#[test]
fn balance_knows_its_words() {
    let text = pool("balance: fastest");
    assert_snapshot!(errors(&text), @r#"
    error: balance cannot be `fastest`
     --> lb.yaml:6:14
      |
    6 |     balance: fastest
      |              ^^^^^^^
    help: write `random_of_two`, `round_robin`, `least_connections` or `{hash: source_address}`
    "#);
}

#[test]
fn a_balance_is_a_word_or_a_map() {
    let text = pool("balance: [hash, path]");
    assert_snapshot!(errors(&text), @r#"
    error: `balance` must be a word or a map, not a list
     --> lb.yaml:6:14
      |
    6 |     balance: [hash, path]
      |              ^
    "#);
}

#[test]
fn a_balance_that_is_a_map_hashes() {
    let text = pool("balance: {on: path}");
    assert_snapshot!(errors(&text), @r#"
    error: `balance` has no `hash`
     --> lb.yaml:6:5
      |
    6 |     balance: {on: path}
      |     ^^^^^^^
    help: add `hash: source_address`

    error: unknown key `on`
     --> lb.yaml:6:15
      |
    6 |     balance: {on: path}
      |               ^^
    help: known keys here: hash
    "#);
}

#[test]
fn a_misspelled_hash_is_named() {
    let text = pool("balance: {hash: source_adress}");
    assert_snapshot!(errors(&text), @r#"
    error: hash cannot be `source_adress`
     --> lb.yaml:6:21
      |
    6 |     balance: {hash: source_adress}
      |                     ^^^^^^^^^^^^^
    help: did you mean `source_address`?
    "#);
}

#[test]
fn a_hash_knows_its_words() {
    let text = pool("balance: {hash: url}");
    assert_snapshot!(errors(&text), @r#"
    error: hash cannot be `url`
     --> lb.yaml:6:21
      |
    6 |     balance: {hash: url}
      |                     ^^^
    help: write `source_address`, `path`, `{header: X-User}` or `{cookie: session}`
    "#);
}

#[test]
fn a_hash_is_on_something() {
    let text = pool("balance: {hash: {}}");
    assert_snapshot!(errors(&text), @r#"
    error: hash says neither `header` nor `cookie`
     --> lb.yaml:6:15
      |
    6 |     balance: {hash: {}}
      |               ^^^^
    help: write `source_address`, `path`, `{header: X-User}` or `{cookie: session}`
    "#);
}

#[test]
fn a_hash_is_on_one_thing() {
    let text = pool("balance: {hash: {header: X-User, cookie: session}}");
    assert_snapshot!(errors(&text), @r#"
    error: hash is on either a `header` or a `cookie`, not both
     --> lb.yaml:6:38
      |
    6 |     balance: {hash: {header: X-User, cookie: session}}
      |                                      ^^^^^^
    help: keep one; a request has one key
    "#);
}

#[test]
fn a_hash_is_on_a_field_that_backends_get() {
    let text = pool("balance: {hash: {header: Content-Length}}");
    assert_snapshot!(errors(&text), @r#"
    error: no request is hashed on the field `Content-Length`
     --> lb.yaml:6:30
      |
    6 |     balance: {hash: {header: Content-Length}}
      |                              ^^^^^^^^^^^^^^
    help: it says where the message ends
    "#);
}

#[test]
fn a_hash_is_on_a_field_by_its_name() {
    let text = pool("balance: {hash: {header: \"X User\"}}");
    assert_snapshot!(errors(&text), @r#"
    error: no request is hashed on the field `X User`
     --> lb.yaml:6:30
      |
    6 |     balance: {hash: {header: "X User"}}
      |                              ^^^^^^^^
    help: it is no name of a field: letters, digits and hyphens (RFC 9110 §5.1)
    "#);
}

#[test]
fn a_hash_is_on_a_cookie_by_its_name() {
    let text = pool("balance: {hash: {cookie: \"a;b\"}}");
    assert_snapshot!(errors(&text), @r#"
    error: `a;b` is no name of a cookie
     --> lb.yaml:6:30
      |
    6 |     balance: {hash: {cookie: "a;b"}}
      |                              ^^^^^
    help: letters, digits, hyphens and underscores (RFC 6265 §4.1.1)
    "#);
}

#[test]
fn a_health_check_is_a_map_or_none() {
    let text = pool("health_check: http");
    assert_snapshot!(errors(&text), @r#"
    error: health_check must be a map or `none`
     --> lb.yaml:6:19
      |
    6 |     health_check: http
      |                   ^^^^
    help: write `{tcp: {}}`, `{http: {path: /}}`, `{grpc: {}}` or `none`
    "#);
}

#[test]
fn a_health_check_says_what_it_does() {
    let text = pool("health_check: {interval: 1s}");
    assert_snapshot!(errors(&text), @r#"
    error: health_check says none of `http`, `tcp` and `grpc`
     --> lb.yaml:6:5
      |
    6 |     health_check: {interval: 1s}
      |     ^^^^^^^^^^^^
    help: write `{tcp: {}}`, `{http: {path: /}}`, `{grpc: {}}` or `none`
    "#);
}

#[test]
fn a_health_check_does_one_thing() {
    let text = pool("health_check: {http: {path: /}, tcp: {}}");
    assert_snapshot!(errors(&text), @r#"
    error: health_check is one of `http`, `tcp` and `grpc`, not several
     --> lb.yaml:6:37
      |
    6 |     health_check: {http: {path: /}, tcp: {}}
      |                                     ^^^
    help: keep one; a pool has one health check
    "#);
}

#[test]
fn a_tcp_check_has_few_keys() {
    let text = pool("health_check: {tcp: {port: 80}}");
    assert_snapshot!(errors(&text), @r#"
    error: unknown key `port`
     --> lb.yaml:6:26
      |
    6 |     health_check: {tcp: {port: 80}}
      |                          ^^^^
    help: known keys here: send, receive
    "#);
}

#[test]
fn a_health_check_timeout_is_not_zero() {
    let text = pool("health_check: {tcp: {}, timeout: 0s}");
    assert_snapshot!(errors(&text), @r#"
    error: timeout must be between 1ms and 1h
     --> lb.yaml:6:38
      |
    6 |     health_check: {tcp: {}, timeout: 0s}
      |                                      ^^
    "#);
}

#[test]
fn rise_and_fall_have_a_range() {
    let text = pool("health_check: {tcp: {}, rise: 0, fall: 101}");
    assert_snapshot!(errors(&text), @r#"
    error: rise must be between 1 and 100
     --> lb.yaml:6:35
      |
    6 |     health_check: {tcp: {}, rise: 0, fall: 101}
      |                                   ^

    error: fall must be between 1 and 100
     --> lb.yaml:6:44
      |
    6 |     health_check: {tcp: {}, rise: 0, fall: 101}
      |                                            ^^^
    "#);
}

#[test]
fn a_path_begins_with_a_slash() {
    let text = pool("health_check: {http: {path: health}}");
    assert_snapshot!(errors(&text), @r#"
    error: path cannot be `health`
     --> lb.yaml:6:33
      |
    6 |     health_check: {http: {path: health}}
      |                                 ^^^^^^
    help: a path begins with `/` and has no spaces, control or non-ASCII characters, nor `#`; write those as %20 and so on
    "#);
}

#[test]
fn a_path_has_no_spaces() {
    let text = pool("health_check: {http: {path: /a b}}");
    assert_snapshot!(errors(&text), @r#"
    error: path cannot be `/a b`
     --> lb.yaml:6:33
      |
    6 |     health_check: {http: {path: /a b}}
      |                                 ^^^^
    help: a path begins with `/` and has no spaces, control or non-ASCII characters, nor `#`; write those as %20 and so on
    "#);
}

#[test]
fn a_host_has_no_line_ends() {
    let text = pool("health_check: {http: {host: \"a\\r\\nX: y\"}}");
    assert_snapshot!(errors(&text), @r#"
    error: host cannot be `a��X: y`
     --> lb.yaml:6:33
      |
    6 |     health_check: {http: {host: "a\r\nX: y"}}
      |                                 ^^^^^^^^^^^
    help: write a host name or an address, and a port where needed: `www.example.org`
    "#);
}

#[test]
fn expect_is_a_status() {
    let text = pool("health_check: {http: {expect: 99}}");
    assert_snapshot!(errors(&text), @r#"
    error: expect must be statuses between 200 and 599
     --> lb.yaml:6:35
      |
    6 |     health_check: {http: {expect: 99}}
      |                                   ^^
    help: write 200, "200-399" or [200, "300-399"]
    "#);
}

/// What comes before an answer is none (RFC 9110 §15.2).
#[test]
fn expect_is_the_status_of_an_answer() {
    let text = pool("health_check: {http: {expect: \"101-200\"}}");
    assert_snapshot!(errors(&text), @r#"
    error: expect must be statuses between 200 and 599
     --> lb.yaml:6:35
      |
    6 |     health_check: {http: {expect: "101-200"}}
      |                                   ^^^^^^^^^
    help: write 200, "200-399" or [200, "300-399"]
    "#);
}

#[test]
fn expect_is_a_range_that_goes_up() {
    let text = pool("health_check: {http: {expect: [200, \"399-300\"]}}");
    assert_snapshot!(errors(&text), @r#"
    error: expect must be statuses between 200 and 599
     --> lb.yaml:6:41
      |
    6 |     health_check: {http: {expect: [200, "399-300"]}}
      |                                         ^^^^^^^^^
    help: write 200, "200-399" or [200, "300-399"]
    "#);
}

#[test]
fn a_pool_timeout_has_a_range() {
    let text = pool("timeouts: {connect: 2h}");
    assert_snapshot!(errors(&text), @r#"
    error: connect must be between 1ms and 1h
     --> lb.yaml:6:25
      |
    6 |     timeouts: {connect: 2h}
      |                         ^^
    "#);
}

#[test]
fn kept_connections_have_bounds_and_are_used_in_three_ways() {
    let text = pool(
        "backends: {a: \"192.0.2.10:80\"}\n    keep_alive: {timeout: 0s, connections: 0, reuse: save}",
    );
    assert_snapshot!(errors(&text), @r#"
    error: timeout must be between 1ms and 1h
     --> lb.yaml:6:27
      |
    6 |     keep_alive: {timeout: 0s, connections: 0, reuse: save}
      |                           ^^

    error: connections must be between 1 and 10000
     --> lb.yaml:6:44
      |
    6 |     keep_alive: {timeout: 0s, connections: 0, reuse: save}
      |                                            ^

    error: reuse cannot be `save`
     --> lb.yaml:6:54
      |
    6 |     keep_alive: {timeout: 0s, connections: 0, reuse: save}
      |                                                      ^^^^
    help: did you mean `safe`?
    "#);
    let text =
        pool("backends: {a: \"192.0.2.10:80\"}\n    keep_alive: {reuse: unsafely, idle: 4s}");
    assert_snapshot!(errors(&text), @r#"
    error: reuse cannot be `unsafely`
     --> lb.yaml:6:25
      |
    6 |     keep_alive: {reuse: unsafely, idle: 4s}
      |                         ^^^^^^^^
    help: write `never`, `safe` or `always`

    error: unknown key `idle`
     --> lb.yaml:6:35
      |
    6 |     keep_alive: {reuse: unsafely, idle: 4s}
      |                                   ^^^^
    help: known keys here: timeout, connections, reuse
    "#);
}

#[test]
fn probes_ask_for_what_can_be_asked() {
    let text = pool(
        "backends: {a: \"192.0.2.10:80\"}\n    health_check: {http: {method: POST, host: \"a:b:c\"}}",
    );
    assert_snapshot!(errors(&text), @r#"
    error: method cannot be `POST`
     --> lb.yaml:6:35
      |
    6 |     health_check: {http: {method: POST, host: "a:b:c"}}
      |                                   ^^^^
    help: write `GET` or `HEAD`

    error: host cannot be `a:b:c`
     --> lb.yaml:6:47
      |
    6 |     health_check: {http: {method: POST, host: "a:b:c"}}
      |                                               ^^^^^^^
    help: write a host name or an address, and a port where needed: `www.example.org`
    "#);
}
