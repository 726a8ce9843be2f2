//! Which route is taken.

use super::{adopt, config, get, routed};
use crate::common::Backend;

const KEYS: &str = r#"    pool: one
    routes:
      - {name: old, host: [old.example.org, "*.old.example.org"], pool: two}
      - {path: {exact: /exact}, pool: two}
      - {path: /api, method: [GET, HEAD], pool: two}
      - {path: /dir/, pool: two}
      - {header: {X-Canary: "yes"}, pool: two}
      - {query: {beta: "1"}, pool: two}
      - {client: 192.0.2.0/24, pool: two}
"#;

#[test]
fn the_first_route_that_fits_is_taken() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let rig = routed(KEYS, &one, &two);
    let mut client = rig.client();
    for (host, target, hoped) in [
        ("example.org", "/", "one"),
        ("old.example.org", "/", "two"),
        ("OLD.Example.ORG:8080", "/", "two"),
        ("old.example.org.", "/", "two"),
        ("a.old.example.org", "/", "two"),
        ("a.b.old.example.org", "/", "two"),
        ("bold.example.org", "/", "one"),
        ("a", "/exact", "two"),
        ("a", "/exact?q", "two"),
        ("a", "/exact/", "one"),
        ("a", "/api", "two"),
        ("a", "/api/v1", "two"),
        ("a", "/apis", "one"),
        ("a", "/dir", "one"),
        ("a", "/dir/x", "two"),
        ("a", "/x?beta=1", "two"),
        ("a", "/x?a=b&beta=1", "two"),
        ("a", "/x?beta=12", "one"),
        ("a", "//api//v1", "two"),
        ("a", "/%61pi", "two"),
        ("a", "/x/../api", "two"),
        ("a", "/x/%2e%2E/api", "two"),
        ("a", "/api%2fv1", "two"),
        ("a", "/api;v=1/x", "two"),
    ] {
        let answer = client.ask(&get(host, target));
        assert_eq!(answer.text(), hoped, "{host} {target}");
    }
    let post = "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(client.ask(post).text(), "one", "another method");
    let canary = "GET / HTTP/1.1\r\nHost: a\r\nx-canary: yes\r\n\r\n";
    assert_eq!(client.ask(canary).text(), "two");
    let canary = "GET / HTTP/1.1\r\nHost: a\r\nX-Canary: no\r\n\r\n";
    assert_eq!(client.ask(canary).text(), "one");
    let absolute = "GET http://old.example.org/ HTTP/1.1\r\nHost: old.example.org\r\n\r\n";
    assert_eq!(client.ask(absolute).text(), "two");
}

/// What is matched is what a backend reads, so nothing passes by a rule.
#[test]
fn backends_are_sent_the_path_that_was_matched() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let rig = routed(KEYS, &one, &two);
    let mut client = rig.client();
    for (target, sent) in [
        ("//api//v1?x=//", "/api/v1?x=//"),
        ("/%61pi/%41", "/api/A"),
        ("/x/../api/./v1", "/api/v1"),
        ("/api%2fv1", "/api%2fv1"),
        ("/api;v=1/x", "/api;v=1/x"),
    ] {
        client.ask(&get("a", target));
        let line = two.last_request().line().to_owned();
        assert_eq!(line, format!("GET {sent} HTTP/1.1"), "{target}");
    }
    for (target, word) in [
        ("/..;/api", "path_ambiguous"),
        ("/a/..%2fapi", "path_ambiguous"),
        ("/..", "path_above_root"),
        ("/%zz", "path_octet"),
        ("/a%00", "path_octet"),
    ] {
        let answer = rig.ask(&get("a", target));
        assert_eq!(answer.status(), 400, "{target}");
        assert!(
            answer.text().starts_with(word),
            "{target}: {}",
            answer.text()
        );
    }
}

#[test]
fn paths_stay_as_they_are_where_no_route_looks_at_them() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let keys = "    pool: one\n    routes: [{host: x.example.org, pool: two}]";
    let rig = routed(keys, &one, &two);
    rig.ask(&get("a", "//a/../%2e;/b"));
    assert_eq!(one.last_request().line(), "GET //a/../%2e;/b HTTP/1.1");
}

#[test]
fn networks_are_let_through_or_turned_away() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let keys = r"    pool: one
    trusted_proxies: [127.0.0.0/8]
    routes:
      - {path: /admin/, deny: {except: [192.0.2.0/24]}}
      - {path: /blocked/, deny: [198.51.100.0/24], pool: two}
      - {path: /admin/two/, pool: two}
      - {path: /inner/, allow: [192.0.2.0/24], pool: two}";
    let rig = routed(keys, &one, &two);
    let mut client = rig.client();
    let mut ask = |target: &str, from: &str| {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {from}\r\n\r\n");
        let answer = client.ask(&request);
        (answer.status(), answer.text())
    };
    for (target, from, hoped) in [
        ("/admin/x", "192.0.2.7", (200, "one")),
        ("/admin/two/", "192.0.2.7", (200, "two")),
        ("/blocked/", "192.0.2.7", (200, "two")),
        ("/inner/", "192.0.2.7", (200, "two")),
        ("/", "203.0.113.1", (200, "one")),
    ] {
        let (status, text) = ask(target, from);
        assert_eq!((status, &*text), hoped, "{target} from {from}");
    }
    for (target, from) in [
        ("/admin/x", "203.0.113.1"),
        ("/admin/two/", "203.0.113.1"),
        ("/%61dmin/", "203.0.113.1"),
        ("//admin/", "203.0.113.1"),
        ("/x/../admin/", "203.0.113.1"),
        ("/admin%2fx", "203.0.113.1"),
        ("/admin;a/x", "203.0.113.1"),
        ("/blocked/", "198.51.100.1"),
        ("/inner/", "203.0.113.1"),
    ] {
        let (status, text) = ask(target, from);
        assert_eq!(status, 403, "{target} from {from}: {text}");
        assert!(text.starts_with("denied: "), "{text}");
    }
}

#[test]
fn routes_follow_a_reload_and_count_on() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let keys = |pool: &str| {
        format!("    pool: one\n    routes: [{{name: api, path: /api, pool: {pool}}}]")
    };
    let rig = routed(&keys("one"), &one, &two);
    let mut client = rig.client();
    assert_eq!(client.ask(&get("a", "/api")).text(), "one");
    rig.reload(|to| {
        let listener = config(&keys("two"), &one, &two).listeners.remove(0);
        adopt(&mut to.listeners[0], listener);
    });
    assert_eq!(
        client.ask(&get("a", "/api")).text(),
        "two",
        "the same connection"
    );
    let status = rig.proxy.status().0.remove(0);
    let routes: Vec<_> = status
        .routes
        .iter()
        .map(|it| (&*it.name, it.pool.as_deref(), it.requests_total))
        .collect();
    assert_eq!(routes, [("api", Some("two"), 2)]);
}
