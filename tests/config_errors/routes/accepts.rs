//! What routes accept, and what it becomes.

use std::net::IpAddr;
use std::time::Duration;

use evenkeel::config::{
    HttpsRedirectConfig, KeepQuery, RedirectConfig, RespondConfig, RouteAction, RouteConfig,
};
use evenkeel::logic::balance::route::{Access, HostPattern, PathPattern};
use evenkeel::logic::http1::rewrite::edit::FieldEdits;

use super::super::accepts::accepted;
use super::super::listener;
use super::routes;

/// Returns the only route of a file.
fn route(text: &str) -> RouteConfig {
    accepted(&routes(&[text])).listeners[0].routes.remove(0)
}

#[test]
fn hosts_are_kept_in_the_form_in_which_they_are_compared() {
    let route = route(
        "host: [Example.ORG., \"*.Example.org\", 192.0.2.1, \"2001:DB8:0::1\", \"[::1]\", \
         xn--bcher-kva.example], pool: farm",
    );
    let exact = |name: &str| HostPattern::Exact(name.to_owned());
    let hoped = [
        exact("example.org"),
        HostPattern::Under("example.org".to_owned()),
        exact("192.0.2.1"),
        exact("[2001:db8::1]"),
        exact("[::1]"),
        exact("xn--bcher-kva.example"),
    ];
    assert_eq!(route.when.hosts, hoped);
}

#[test]
fn a_path_that_is_a_text_is_a_prefix() {
    for (text, hoped) in [
        ("/a", PathPattern::Prefix("/a".to_owned())),
        ("{prefix: /a/}", PathPattern::Prefix("/a/".to_owned())),
        ("{exact: /}", PathPattern::Exact("/".to_owned())),
        (
            "/.well-known/x%20y",
            PathPattern::Prefix("/.well-known/x%20y".to_owned()),
        ),
    ] {
        let path = route(&format!("path: {text}, pool: farm")).when.path;
        assert_eq!(path, Some(hoped), "{text}");
    }
}

#[test]
fn every_condition_can_be_one_or_many() {
    let route = route(
        "method: [GET, PURGE], header: [{X-A: b, X-C: true}, {x-d: \"true\"}], \
         query: {\"a[]\": true, b: \"1\"}, client: 10.0.0.0/8, pool: farm",
    );
    let when = &route.when;
    assert_eq!(when.methods, ["GET", "PURGE"]);
    let pairs: Vec<_> = when
        .fields
        .iter()
        .map(|it| (&*it.name, it.value.as_deref()))
        .collect();
    assert_eq!(
        pairs,
        [("X-A", Some("b")), ("X-C", None), ("x-d", Some("true"))]
    );
    let pairs: Vec<_> = when
        .query
        .iter()
        .map(|it| (&*it.name, it.value.as_deref()))
        .collect();
    assert_eq!(pairs, [("a[]", None), ("b", Some("1"))]);
    assert_eq!(when.clients[0].prefix_len, 8);
    let one = self::route("method: POST, pool: farm");
    assert_eq!(one.when.methods, ["POST"]);
}

#[test]
fn access_follows_the_table() {
    let ten: IpAddr = [10, 1, 1, 1].into();
    let other: IpAddr = [192, 0, 2, 1].into();
    for (text, hoped) in [
        ("pool: farm", [true, true]),
        ("allow: 10.0.0.0/8", [true, false]),
        ("allow: [10.0.0.0/8], pool: farm", [true, false]),
        ("deny: [10.0.0.0/8]", [false, true]),
        ("deny: 10.0.0.0/8", [false, true]),
        ("deny: {except: [10.0.0.0/8]}", [true, false]),
        ("deny: all", [false, false]),
    ] {
        let route = route(text);
        let found = [ten, other].map(|client| route.access.allows(client));
        assert_eq!(found, hoped, "{text}");
        let passes = !text.contains("pool");
        assert_eq!(route.action == RouteAction::Pass, passes, "{text}");
    }
    assert_eq!(route("deny: all").access, Access::Only(Vec::new()));
}

#[test]
fn a_pool_may_be_asked_something_else() {
    let route = route(
        "path: /v1/, pool: farm, rewrite: {host: \"api.internal:8080\", path: /}, \
         timeouts: {request_body: 1s, idle: 2s, tunnel: 3s, response_head: 4s, queue: 5s}, \
         limits: {body_bytes: 1, body_rate: 0}",
    );
    assert_eq!(route.pool(), Some("farm"));
    let RouteAction::Pool { rewrite, .. } = &route.action else {
        panic!("a pool: {route:?}")
    };
    assert_eq!(rewrite.host.as_deref(), Some("api.internal:8080"));
    assert_eq!(rewrite.path.as_deref(), Some("/"));
    let timeouts = &route.timeouts;
    let all = [
        timeouts.request_body,
        timeouts.idle,
        timeouts.tunnel,
        timeouts.response_head,
        timeouts.queue,
    ];
    assert_eq!(all, [1, 2, 3, 4, 5].map(|s| Some(Duration::from_secs(s))));
    assert_eq!(
        (route.limits.body_bytes, route.limits.body_rate),
        (Some(1), Some(0))
    );
}

#[test]
fn redirects_follow_the_table() {
    let to = |text: &str| {
        let action = route(&format!("redirect: {text}")).action;
        let RouteAction::Redirect(RedirectConfig { to, status, query }) = action else {
            panic!("a redirection: {action:?}")
        };
        (to.to_string(), status, query)
    };
    for (text, hoped) in [
        ("/b", ("/b", 302, KeepQuery::Append)),
        ("\"/b?c\"", ("/b?c", 302, KeepQuery::AsWritten)),
        (
            "{to: /b, keep_query: false}",
            ("/b", 302, KeepQuery::AsWritten),
        ),
        ("/", ("/", 302, KeepQuery::Append)),
        (
            "\"/b{path}{query}#x\"",
            ("/b{path}{query}#x", 302, KeepQuery::AsWritten),
        ),
        (
            "\"https://{host}:8443{path}\"",
            ("https://{host}:8443{path}", 302, KeepQuery::Append),
        ),
        (
            "\"{scheme}://www.{host}/{listener}\"",
            ("{scheme}://www.{host}/{listener}", 302, KeepQuery::Append),
        ),
        (
            "{to: \"https://example.org{path}\", status: 308, keep_query: true}",
            ("https://example.org{path}", 308, KeepQuery::Append),
        ),
    ] {
        let (url, status, query) = to(text);
        assert_eq!((&*url, status, query), hoped);
    }
}

#[test]
fn responses_have_defaults() {
    let action = route("path: {exact: /health}, respond: {status: 200, body: ok}").action;
    let hoped = RespondConfig {
        status: 200,
        body: "ok".to_owned(),
        content_type: "text/plain; charset=utf-8".to_owned(),
    };
    assert_eq!(action, RouteAction::Respond(hoped));
    for text in [
        "{status: 204}",
        "{status: 205, body: \"\"}",
        "{status: 404, body: \"{}\", content_type: application/json}",
    ] {
        assert!(route(&format!("respond: {text}")).answers(), "{text}");
    }
}

#[test]
fn names_default_to_places() {
    let text = routes(&[
        "path: /a, pool: farm",
        "name: b2, path: /b, pool: farm",
        "deny: all",
    ]);
    let config = accepted(&text);
    let names: Vec<_> = config.listeners[0]
        .routes
        .iter()
        .map(|it| &*it.name)
        .collect();
    assert_eq!(names, ["1", "b2", "3"]);
}

#[test]
fn edits_of_the_listener_come_before_those_of_a_route() {
    let lines = "bind: [\"192.0.2.1:80\"]\n    pool: farm\n    \
                 request_headers: {set: {X-A: \"1\", X-B: \"1\"}}\n    \
                 response_headers: {remove: [Server]}\n    \
                 routes:\n      \
                 - {path: /a, pool: farm, request_headers: {set: {x-a: \"{client}\"}}}\n      \
                 - {path: /b, respond: {status: 200}, response_headers: {add: {X-C: \"1\"}}}\n      \
                 - {path: /c, deny: all}";
    let listener = accepted(&listener(lines)).listeners.remove(0);
    let names = |edits: &FieldEdits| -> Vec<String> {
        edits
            .set
            .iter()
            .chain(&edits.add)
            .map(|(name, _)| name.clone())
            .collect()
    };
    assert_eq!(names(&listener.request_fields), ["X-A", "X-B"]);
    assert_eq!(listener.response_fields.remove, ["Server"]);
    let [a, b, c] = &listener.routes[..] else {
        panic!("three routes: {listener:?}")
    };
    assert_eq!(names(&a.request_fields), ["X-B", "x-a"]);
    assert_eq!(a.response_fields, listener.response_fields);
    assert!(b.request_fields.is_empty(), "no backend is sent it");
    assert_eq!(b.response_fields.remove, ["Server"]);
    assert_eq!(names(&b.response_fields), ["X-C"]);
    assert_eq!(
        c.response_fields, listener.response_fields,
        "a 403 has them too"
    );
}

#[test]
fn a_listener_with_answers_of_its_own_needs_no_pool() {
    for (lines, hoped) in [
        ("https_redirect: true", Some((308, 443))),
        (
            "https_redirect: {status: 301, port: 8443}",
            Some((301, 8443)),
        ),
        ("routes: [{path: /, respond: {status: 404}}]", None),
        (
            "https_redirect: false\n    routes: [{path: /a, pool: farm}]",
            None,
        ),
    ] {
        let text = listener(&format!("bind: [\"192.0.2.1:80\"]\n    {lines}"));
        let listener = accepted(&text).listeners.remove(0);
        assert_eq!(listener.pool, None);
        let hoped = hoped.map(|(status, port)| HttpsRedirectConfig { status, port });
        assert_eq!(listener.https_redirect, hoped, "{lines}");
    }
}
