//! How much a head may hold, and the status where it holds more (RFC 9112 §3, RFC 6585 §5).

use crate::bench::case::{Case, request};

pub(super) fn cases() -> Vec<Case> {
    let target = |len: usize| {
        let path = "a".repeat(len - 1);
        format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n")
    };
    let fields = |count: usize| {
        let lines: String = (1..count).map(|n| format!("X-{n}: 1\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
    };
    let value = |len: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(len)
        )
    };
    let options = |count: usize| {
        let options = vec!["a"; count].join(",");
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, {options}\r\nA: 1\r\n\r\n")
    };
    vec![
        request("as many options as may be", "RFC 9110 §7.6.1", options(32))
            .reaches("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        request("too many options", "RFC 9110 §7.6.1", options(33))
            .refused(400, "connection_options"),
        request("longest target", "RFC 9112 §3", target(8192)),
        request("target too long", "RFC 9110 §15.5.15", target(8193))
            .refused(414, "target_too_long"),
        request(
            "target longer than a head",
            "RFC 9110 §15.5.15",
            target(40_000),
        )
        .refused(414, "target_too_long"),
        request("as many fields as may be", "RFC 6585 §5", fields(100)),
        request("too many fields", "RFC 6585 §5", fields(101)).refused(431, "too_many_fields"),
        request("long value", "RFC 9110 §5.4", value(30_000)),
        request("value longer than a head", "RFC 6585 §5", value(33_000))
            .refused(431, "head_too_large"),
        request(
            "a head that never ends",
            "RFC 6585 §5",
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "X: 1\r\n".repeat(90)) + &"x".repeat(33_000),
        )
        .refused(431, "head_too_large"),
    ]
}
