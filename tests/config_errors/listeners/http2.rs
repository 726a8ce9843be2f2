//! The keys `http2` of a listener and `protocol` of a pool.

use evenkeel::config::{Http2Config, PoolProtocol};
use insta::assert_snapshot;

use super::pool;
use crate::accepts::accepted;
use crate::{errors, listener};

/// Returns a file with this key on line 9, in its listener.
fn with(line: &str) -> String {
    listener(&format!(
        "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    {line}"
    ))
}

#[test]
fn http2_is_a_word_or_what_differs() {
    let default = Http2Config::default();
    for (text, hoped) in [
        ("http2: true", default),
        (
            "http2: false",
            Http2Config {
                offered: false,
                ..default
            },
        ),
        (
            "http2: {prior_knowledge: true, streams: 7}",
            Http2Config {
                prior_knowledge: true,
                streams: 7,
                ..default
            },
        ),
        (
            "http2: {memory_bytes: 524288}",
            Http2Config {
                memory_bytes: 524_288,
                ..default
            },
        ),
    ] {
        assert_eq!(accepted(&with(text)).listeners[0].http2, hoped, "{text}");
    }
}

#[test]
fn what_is_wrong_with_http2_is_said() {
    assert_snapshot!(errors(&with("http2: {streams: 0, memory_bytes: 1000, window: 1}")), @r"
    error: streams must be between 1 and 10000
     --> lb.yaml:9:22
      |
    9 |     http2: {streams: 0, memory_bytes: 1000, window: 1}
      |                      ^

    error: memory_bytes must be between 524288 and 4294967295
     --> lb.yaml:9:39
      |
    9 |     http2: {streams: 0, memory_bytes: 1000, window: 1}
      |                                       ^^^^

    error: unknown key `window`
     --> lb.yaml:9:45
      |
    9 |     http2: {streams: 0, memory_bytes: 1000, window: 1}
      |                                             ^^^^^^
    help: known keys here: prior_knowledge, streams, memory_bytes
    ");
    assert_snapshot!(errors(&with("http2: 5")), @r"
    error: `http2` must be a map, not a number
     --> lb.yaml:9:12
      |
    9 |     http2: 5
      |            ^
    ");
}

#[test]
fn protocols_of_backends_are_two() {
    for (keys, hoped) in [
        ("", PoolProtocol::Http1),
        (", protocol: http1", PoolProtocol::Http1),
        (", tls: true, protocol: http1", PoolProtocol::Http1),
        (", protocol: h2c", PoolProtocol::Http2),
        (", tls: true, protocol: h2", PoolProtocol::Http2),
    ] {
        assert_eq!(accepted(&pool(keys)).pools[0].protocol, hoped, "{keys}");
    }
}

#[test]
fn what_is_wrong_with_a_protocol_is_said() {
    assert_snapshot!(errors(&pool(", protocol: h2")), @r#"
    error: `h2` is spoken over TLS
     --> lb.yaml:4:49
      |
    4 |   a: {backends: {b: "192.0.2.10:80"}, protocol: h2}
      |                                                 ^^
    help: add `tls: true`, or write `h2c`: HTTP/2 without TLS
    "#);
    assert_snapshot!(errors(&pool(", protocol: h2c, tls: true")), @r#"
    error: `h2c` is spoken without TLS
     --> lb.yaml:4:49
      |
    4 |   a: {backends: {b: "192.0.2.10:80"}, protocol: h2c, tls: true}
      |                                                 ^^^
    help: write `h2`: HTTP/2 over TLS, or take `tls` out
    "#);
    assert_snapshot!(errors(&pool(", protocol: spdy")), @r#"
    error: `spdy` is no protocol of backends
     --> lb.yaml:4:49
      |
    4 |   a: {backends: {b: "192.0.2.10:80"}, protocol: spdy}
      |                                                 ^^^^
    help: write `http1`, `h2`, `h2c` or `tcp`
    "#);
}
