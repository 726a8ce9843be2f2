//! What the proxy answers itself, and what it rewrites.

use super::{get, routed};
use crate::common::Backend;

#[test]
fn redirections_keep_path_and_query() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let keys = r#"    routes:
      - {host: old.example.org, redirect: {to: "https://example.org{path}", status: 301}}
      - {path: /query, redirect: "/new?from=old"}
      - {path: /exactly, redirect: {to: "https://{host}/", keep_query: false}}
      - {path: /scheme, redirect: {to: "{scheme}://{host}:8080{path}", status: 308}}"#;
    let rig = routed(keys, &one, &two);
    let mut client = rig.client();
    for (host, target, status, location) in [
        (
            "old.example.org",
            "/a/b?c=d",
            301,
            "https://example.org/a/b?c=d",
        ),
        ("old.example.org", "/", 301, "https://example.org/"),
        (
            "old.example.org",
            "//evil.example/",
            301,
            "https://example.org/evil.example/",
        ),
        ("a", "/query?x", 302, "/new?from=old"),
        ("A:80", "/exactly?x", 302, "https://a/"),
        (
            "[::1]:80",
            "/scheme/x?y",
            308,
            "http://[::1]:8080/scheme/x?y",
        ),
    ] {
        let answer = client.ask(&get(host, target));
        assert_eq!(answer.status(), status, "{host} {target}");
        assert_eq!(answer.field("location").as_deref(), Some(location));
    }
    let answer = client.ask(&get("a", "/nowhere"));
    assert_eq!(
        (answer.status(), answer.text().starts_with("no_route: ")),
        (404, true)
    );
    // RFC 9112 §3.2.4: what is asked of the server itself is of no path.
    let server = client.ask("OPTIONS * HTTP/1.1\r\nHost: old.example.org\r\n\r\n");
    let location = server.field("location");
    assert_eq!(location.as_deref(), Some("https://example.org/"));
    let post = "POST / HTTP/1.1\r\nHost: old.example.org\r\nContent-Length: 5\r\n\r\nhello";
    let answer = client.ask(post);
    assert_eq!(answer.status(), 301);
    assert_eq!(
        answer.field("connection").as_deref(),
        Some("close"),
        "its body is not read"
    );
    assert_eq!(one.accepted() + two.accepted(), 0);
}

#[test]
fn what_no_route_has_goes_to_https() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    for (redirect, status, prefix) in [
        ("true", 308, "https://example.org"),
        ("{status: 301, port: 8443}", 301, "https://example.org:8443"),
    ] {
        let keys = format!(
            "    https_redirect: {redirect}\n    routes: [{{path: /.well-known/acme-challenge/, pool: two}}]"
        );
        let rig = routed(&keys, &one, &two);
        let mut client = rig.client();
        let answer = client.ask(&get("example.org:80", "/a?b"));
        assert_eq!(answer.status(), status);
        let hoped = format!("{prefix}/a?b");
        assert_eq!(answer.field("location"), Some(hoped));
        let answer = client.ask(&get("example.org", "/.well-known/acme-challenge/x"));
        assert_eq!(answer.text(), "two");
        let old = "GET / HTTP/1.0\r\n\r\n";
        let answer = client.ask(old);
        assert!(
            answer
                .field("location")
                .unwrap()
                .starts_with("https://127.0.0.1")
        );
    }
}

#[test]
fn fixed_answers_are_given_as_they_stand() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let keys = r#"    pool: one
    routes:
      - {path: {exact: /health}, respond: {status: 200, body: ok}}
      - {path: {exact: /json}, respond: {status: 200, body: "{}", content_type: application/json}}
      - {path: {exact: /nothing}, respond: {status: 204}}
      - {path: {exact: /gone}, respond: {status: 410}}"#;
    let rig = routed(keys, &one, &two);
    let mut client = rig.client();
    for (target, status, body, kind) in [
        ("/health", 200, "ok", Some("text/plain; charset=utf-8")),
        ("/json", 200, "{}", Some("application/json")),
        ("/nothing", 204, "", None),
        ("/gone", 410, "", Some("text/plain; charset=utf-8")),
    ] {
        let answer = client.ask(&get("a", target));
        assert_eq!(
            (answer.status(), &*answer.text()),
            (status, body),
            "{target}"
        );
        assert_eq!(answer.field("content-type").as_deref(), kind, "{target}");
    }
    client.send("HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.try_response("HEAD").unwrap();
    assert_eq!(answer.field("content-length").as_deref(), Some("2"));
    assert_eq!(
        client.ask(&get("a", "/")).text(),
        "one",
        "on the same connection"
    );
}

#[test]
fn hosts_and_paths_are_rewritten() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let keys = r"    pool: one
    routes:
      - {path: /v1/, pool: two, rewrite: {path: /}}
      - {path: /v2, pool: two, rewrite: {path: /api, host: inner.example.org}}
      - {path: {exact: /v3}, pool: two, rewrite: {path: /index.html}}
      - {host: sub.example.org, pool: two, rewrite: {path: /sub}}";
    let rig = routed(keys, &one, &two);
    let mut client = rig.client();
    for (host, target, sent, as_host) in [
        ("a", "/v1/x?y", "/x?y", "a"),
        ("a", "/v1/", "/", "a"),
        ("a", "/v2", "/api", "inner.example.org"),
        ("a", "/v2/x", "/api/x", "inner.example.org"),
        ("a", "/v3?q", "/index.html?q", "a"),
        ("sub.example.org", "/x", "/sub/x", "sub.example.org"),
        ("a", "/v1//x", "/x", "a"),
        ("a", "/%761/x", "/x", "a"),
    ] {
        client.ask(&get(host, target));
        let request = two.last_request();
        assert_eq!(request.line(), format!("GET {sent} HTTP/1.1"), "{target}");
        assert_eq!(request.field("host").as_deref(), Some(as_host), "{target}");
        assert_eq!(request.field("x-forwarded-host").as_deref(), Some(host));
    }
}

#[test]
fn a_route_has_timeouts_and_limits_of_its_own() {
    let one = Backend::scripted(|mut visit| while visit.request().is_some() {});
    let two = Backend::named("two");
    let keys = r"    pool: two
    routes:
      - {path: /slow, pool: one, timeouts: {response_head: 100ms}}
      - {path: /small, pool: two, limits: {body_bytes: 4}}";
    let rig = routed(keys, &one, &two);
    let answer = rig.ask(&get("a", "/slow"));
    assert!(
        answer.text().starts_with("response_timeout"),
        "{}",
        answer.text()
    );
    let post = |target: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
    };
    assert_eq!(rig.ask(&post("/small")).status(), 413);
    assert_eq!(rig.ask(&post("/large")).text(), "two");
}
