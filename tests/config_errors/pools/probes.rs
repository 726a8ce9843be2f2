//! What a `health_check` says and looks for, where and how often.

use std::time::Duration;

use evenkeel::config::{GrpcProbe, HealthCheckConfig, HttpProbe, ProbeConfig, ProbeKind, TcpProbe};
use insta::assert_snapshot;

use crate::accepts::accepted;
use crate::{errors, pool};

/// Returns how a pool is probed whose keys these are.
fn probe(text: &str) -> ProbeConfig {
    match accepted(&pool(text)).pools.remove(0).health_check {
        HealthCheckConfig::Probe(probe) => probe,
        HealthCheckConfig::None => panic!("it is probed: {text}"),
    }
}

#[test]
fn a_probe_says_and_looks_for_what_is_written() {
    let found = probe(r#"health_check: {tcp: {send: "PING\r\n", receive: "+PONG"}, port: 65535}"#);
    let tcp = TcpProbe {
        send: "PING\r\n".to_owned(),
        receive: "+PONG".to_owned(),
    };
    assert_eq!(
        (found.kind, found.port),
        (ProbeKind::Tcp(tcp), Some(65_535))
    );
    let text = "health_check: {http: {headers: {X-Probe: a b, Accept: text/html}, body: ready}}";
    let http = HttpProbe {
        headers: vec![
            ("X-Probe".to_owned(), "a b".to_owned()),
            ("Accept".to_owned(), "text/html".to_owned()),
        ],
        body: Some("ready".to_owned()),
        ..HttpProbe::default()
    };
    assert_eq!(probe(text).kind, ProbeKind::Http(http));
    let whole = GrpcProbe::default();
    assert_eq!(
        probe("health_check: {grpc: {}}").kind,
        ProbeKind::Grpc(whole)
    );
    let text = "health_check: {grpc: {service: shop.v1.Orders, host: shop.internal}}";
    let grpc = GrpcProbe {
        service: "shop.v1.Orders".to_owned(),
        host: Some("shop.internal".to_owned()),
    };
    assert_eq!(probe(text).kind, ProbeKind::Grpc(grpc));
}

#[test]
fn an_interval_while_changing_is_the_other_one_by_default() {
    let interval = |text: &str| probe(&format!("health_check: {{tcp: {{}}, {text}}}"));
    let found = interval("interval: 3s").interval_changing;
    assert_eq!(found, Duration::from_secs(3));
    let found = interval("interval: 3s, interval_changing: 10ms").interval_changing;
    assert_eq!(found, Duration::from_millis(10));
}

#[test]
fn a_probe_speaks_tls_where_its_pool_does_unless_it_is_told_not_to() {
    for (text, hoped) in [
        ("slow_start: 0s", true),
        ("tls: true", true),
        ("tls: false", true),
        ("tls: true\n    health_check: {http: {}}", true),
        ("tls: true\n    health_check: {http: {}, tls: false}", false),
        (
            "tls: {server_name: a.example}\n    health_check: {tcp: {}, tls: true}",
            true,
        ),
        ("health_check: {tcp: {}, tls: false}", false),
    ] {
        assert_eq!(probe(text).tls, hoped, "{text}");
    }
}

#[test]
fn tls_of_a_probe_is_that_of_its_pool() {
    assert_snapshot!(errors(&pool("health_check: {tcp: {}, tls: true}")), @r#"
    error: `tls` of the health check is that of the pool, which has none
     --> lb.yaml:6:29
      |
    6 |     health_check: {tcp: {}, tls: true}
      |                             ^^^
    help: add `tls: true` to the pool, or take this out
    "#);
}

#[test]
fn an_answer_to_head_has_no_body() {
    assert_snapshot!(errors(&pool("health_check: {http: {method: HEAD, body: ready}}")), @r#"
    error: an answer to HEAD has no `body`
     --> lb.yaml:6:41
      |
    6 |     health_check: {http: {method: HEAD, body: ready}}
      |                                         ^^^^
    help: write `method: GET`, or leave `body` out
    "#);
}

#[test]
fn fields_of_a_probe_are_such() {
    assert_snapshot!(errors(&pool("health_check: {http: {headers: {Host: a.example}}}")), @r#"
    error: no probe has a field `Host`
     --> lb.yaml:6:37
      |
    6 |     health_check: {http: {headers: {Host: a.example}}}
      |                                     ^^^^
    help: say `host: NAME` beside `headers`
    "#);
    let many: Vec<String> = (0..21).map(|number| format!("X-{number}: a")).collect();
    for (headers, hoped) in [
        ("Content-Length: a", "no probe has a field `Content-Length`"),
        ("Connection: close", "no probe has a field `Connection`"),
        ("\"a b\": c", "no probe has a field `a b`"),
        ("X-A: \"\"", "cannot be the value of a field"),
        ("X-A: \" a\"", "cannot be the value of a field"),
        ("X-A: \"a\\r\\nX-B: c\"", "cannot be the value of a field"),
        ("X-A: 1", "must be the value of a field"),
        (&many.join(", "), "more than 20 headers"),
    ] {
        let found = errors(&pool(&format!(
            "health_check: {{http: {{headers: {{{headers}}}}}}}"
        )));
        assert!(found.contains(hoped), "{headers}: {found}");
    }
}

#[test]
fn what_is_said_and_looked_for_is_short_and_something() {
    let long = "x".repeat(1025);
    for (text, hoped) in [
        (
            format!("tcp: {{send: {long}}}"),
            "send must be 1 to 1024 bytes",
        ),
        (
            "tcp: {receive: \"\"}".to_owned(),
            "receive must be 1 to 1024 bytes",
        ),
        (
            format!("http: {{body: {long}}}"),
            "body must be 1 to 1024 bytes",
        ),
        ("tcp: {port: 1}".to_owned(), "unknown key `port`"),
        ("grpc: {service: \"\"}".to_owned(), "service cannot be ``"),
        ("grpc: {service: a b}".to_owned(), "service cannot be `a b`"),
        (
            format!("grpc: {{service: {}}}", &long[..256]),
            "service cannot be `x",
        ),
        ("grpc: {path: /}".to_owned(), "unknown key `path`"),
        ("grpc: {host: \"a b\"}".to_owned(), "host"),
        (
            "tcp: {}, port: 0".to_owned(),
            "port must be between 1 and 65535",
        ),
        (
            "tcp: {}, interval_changing: 9ms".to_owned(),
            "interval_changing must be between 10ms and 1h",
        ),
        ("tcp: {}, tls: {}".to_owned(), "tls"),
    ] {
        let found = errors(&pool(&format!("health_check: {{{text}}}")));
        assert!(found.contains(hoped), "{text}: {found}");
    }
}
