//! The key `proxy_protocol`, of a listener and of a pool.

use evenkeel::config::ProxyProtocol;
use insta::assert_snapshot;

use super::pool;
use crate::accepts::accepted;
use crate::{errors, listener};

/// Returns a file with this key on line 9, in its listener.
fn with(line: &str) -> String {
    listener(&format!(
        "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    proxy_protocol: {line}"
    ))
}

#[test]
fn senders_are_networks_and_versions_are_two() {
    let config = accepted(&with("{from: [198.51.100.0/24, \"2001:db8::1\"]}"));
    let from = &config.listeners[0].proxy_protocol;
    let lengths: Vec<u8> = from.iter().map(|network| network.prefix_len).collect();
    assert_eq!(lengths, [24, 128]);
    for (keys, hoped) in [
        ("", None),
        (", proxy_protocol: v1", Some(ProxyProtocol::V1)),
        (", proxy_protocol: v2", Some(ProxyProtocol::V2)),
        (", tls: true, proxy_protocol: v2", Some(ProxyProtocol::V2)),
    ] {
        assert_eq!(accepted(&pool(keys)).pools[0].proxy_protocol, hoped);
    }
}

#[test]
fn what_is_wrong_is_said() {
    assert_snapshot!(errors(&with("{}")), @r"
    error: `proxy_protocol` has no `from`
     --> lb.yaml:9:5
      |
    9 |     proxy_protocol: {}
      |     ^^^^^^^^^^^^^^
    help: add `from: [198.51.100.0/24]`
    ");
    assert_snapshot!(errors(&with("true")), @r"
    error: `proxy_protocol` must be a map, not true or false
     --> lb.yaml:9:21
      |
    9 |     proxy_protocol: true
      |                     ^^^^
    ");
    assert_snapshot!(errors(&with("{from: []}")), @r"
    error: `from` must not be empty
     --> lb.yaml:9:28
      |
    9 |     proxy_protocol: {from: []}
      |                            ^
    ");
    assert_snapshot!(errors(&with("{from: [lb]}")), @r#"
    error: `lb` is neither an address nor a network
     --> lb.yaml:9:29
      |
    9 |     proxy_protocol: {from: [lb]}
      |                             ^^
    help: write `192.0.2.1`, `10.0.0.0/8` or `"2001:db8::/32"`
    "#);
    assert_snapshot!(errors(&pool(", proxy_protocol: v3")), @r#"
    error: proxy_protocol cannot be `v3`
     --> lb.yaml:4:55
      |
    4 |   a: {backends: {b: "192.0.2.10:80"}, proxy_protocol: v3}
      |                                                       ^^
    help: did you mean `v1`?
    "#);
    assert_snapshot!(errors(&pool(", proxy_protocol: v2, protocol: h2c")), @r#"
    error: a connection of HTTP/2 carries requests of many clients
     --> lb.yaml:4:55
      |
    4 |   a: {backends: {b: "192.0.2.10:80"}, proxy_protocol: v2, protocol: h2c}
      |                                                       ^^
    help: leave `proxy_protocol` out (backends are sent X-Forwarded-For), or `protocol`
    "#);
}
