//! Errors in what a route does.

use insta::assert_snapshot;

use super::super::{errors, listener};
use super::routes;

#[test]
fn a_route_does_one_thing() {
    let text = routes(&["path: /a", "path: /a, pool: farm, respond: {status: 200}"]);
    assert_snapshot!(errors(&text), @r#"
    error: this route does nothing
      --> lb.yaml:10:9
       |
    10 |       - {path: /a}
       |         ^
    help: add `pool: NAME`, `redirect: URL` or `respond: {status: 200}`; or `allow` or `deny`, for whose networks a later route is looked for

    error: a route has one of `pool`, `redirect` and `respond`
      --> lb.yaml:11:32
       |
    11 |       - {path: /a, pool: farm, respond: {status: 200}}
       |                                ^^^^^^^
    help: keep one, or write a route for each
    "#);
}

#[test]
fn a_pool_of_a_route_is_there() {
    let text = routes(&["path: /a, pool: fram", "path: /a, pool: 1"]);
    assert_snapshot!(errors(&text), @r#"
    error: there is no pool `fram`
      --> lb.yaml:10:26
       |
    10 |       - {path: /a, pool: fram}
       |                          ^^^^
    help: did you mean `farm`?

    error: `pool` must be the name of a pool, not a number
      --> lb.yaml:11:26
       |
    11 |       - {path: /a, pool: 1}
       |                          ^
    help: put it in quotes
    "#);
}

#[test]
fn only_routes_with_a_pool_change_requests() {
    let text = routes(&[
        "path: /a, redirect: /b, rewrite: {path: /c}, request_headers: {remove: [X]}",
        "path: /a, respond: {status: 200}, timeouts: {idle: 1s}, limits: {body_bytes: 1}",
        "path: /a, deny: all, response_headers: {remove: [X]}",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: `rewrite` is for routes with a `pool`
      --> lb.yaml:10:34
       |
    10 |       - {path: /a, redirect: /b, rewrite: {path: /c}, request_headers: {remove: [X]}}
       |                                  ^^^^^^^
    help: add `pool: NAME`, or leave it out: nothing is sent to a backend here

    error: `request_headers` is for routes with a `pool`
      --> lb.yaml:10:55
       |
    10 |       - {path: /a, redirect: /b, rewrite: {path: /c}, request_headers: {remove: [X]}}
       |                                                       ^^^^^^^^^^^^^^^
    help: add `pool: NAME`, or leave it out: nothing is sent to a backend here

    error: `timeouts` is for routes with a `pool`
      --> lb.yaml:11:44
       |
    11 |       - {path: /a, respond: {status: 200}, timeouts: {idle: 1s}, limits: {body_bytes: 1}}
       |                                            ^^^^^^^^
    help: add `pool: NAME`, or leave it out: nothing is sent to a backend here

    error: `limits` is for routes with a `pool`
      --> lb.yaml:11:66
       |
    11 |       - {path: /a, respond: {status: 200}, timeouts: {idle: 1s}, limits: {body_bytes: 1}}
       |                                                                  ^^^^^^
    help: add `pool: NAME`, or leave it out: nothing is sent to a backend here

    error: `response_headers` is for routes that answer
      --> lb.yaml:12:31
       |
    12 |       - {path: /a, deny: all, response_headers: {remove: [X]}}
       |                               ^^^^^^^^^^^^^^^^
    help: put it into the later routes, or into the listener
    "#);
}

#[test]
fn rewritten_paths_and_hosts_are_those_of_requests() {
    let text = routes(&[
        "path: /a, pool: farm, rewrite: {}",
        "path: /a, pool: farm, rewrite: {path: b, host: \"a b\"}",
        "path: /a, pool: farm, rewrite: {path: /b//c/../d}",
        "path: /a, pool: farm, rewrite: {path: \"/b?c\"}",
        "path: /a, pool: farm, rewrite: {path: \"/b{path}\"}",
        "path: /a, pool: farm, rewrite: {path: /..}",
        "path: /a, pool: farm, rewrite: /b",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: rewrite says neither `host` nor `path`
      --> lb.yaml:10:32
       |
    10 |       - {path: /a, pool: farm, rewrite: {}}
       |                                ^^^^^^^
    help: add one, or leave `rewrite` out

    error: path cannot be `b`
      --> lb.yaml:11:48
       |
    11 |       - {path: /a, pool: farm, rewrite: {path: b, host: "a b"}}
       |                                                ^
    help: write a path that begins with `/`, without query, placeholders, spaces and what is not ASCII; what a request has behind the route's own path follows it

    error: host cannot be `a b`
      --> lb.yaml:11:57
       |
    11 |       - {path: /a, pool: farm, rewrite: {path: b, host: "a b"}}
       |                                                         ^^^^^
    help: write a host name or an address, and a port where needed: `www.example.org`

    error: path cannot be `/b//c/../d`
      --> lb.yaml:12:48
       |
    12 |       - {path: /a, pool: farm, rewrite: {path: /b//c/../d}}
       |                                                ^^^^^^^^^^
    help: write `/b/d`

    error: path cannot be `/b?c`
      --> lb.yaml:13:48
       |
    13 |       - {path: /a, pool: farm, rewrite: {path: "/b?c"}}
       |                                                ^^^^^^
    help: write a path that begins with `/`, without query, placeholders, spaces and what is not ASCII; what a request has behind the route's own path follows it

    error: path cannot be `/b{path}`
      --> lb.yaml:14:48
       |
    14 |       - {path: /a, pool: farm, rewrite: {path: "/b{path}"}}
       |                                                ^^^^^^^^^^
    help: write a path that begins with `/`, without query, placeholders, spaces and what is not ASCII; what a request has behind the route's own path follows it

    error: path cannot be `/..`
      --> lb.yaml:15:48
       |
    15 |       - {path: /a, pool: farm, rewrite: {path: /..}}
       |                                                ^^^
    help: write a path that begins with `/`, without query, placeholders, spaces and what is not ASCII; what a request has behind the route's own path follows it

    error: `rewrite` must be a map, not text
      --> lb.yaml:16:41
       |
    16 |       - {path: /a, pool: farm, rewrite: /b}
       |                                         ^^
    "#);
}

#[test]
fn redirects_lead_to_urls() {
    let text = routes(&[
        "path: /a, redirect: example.org",
        "path: /a, redirect: //example.org/",
        "path: /a, redirect: \"/{path}\"",
        "path: /a, redirect: \"/{query}{path}\"",
        "path: /a, redirect: \"{path}\"",
        "path: /a, redirect: \"https://{path}\"",
        "path: /a, redirect: \"https://{client}/\"",
        "path: /a, redirect: 'https://example.org\\x'",
        "path: /a, redirect: [/b]",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: `example.org` cannot be a URL to redirect to
      --> lb.yaml:10:30
       |
    10 |       - {path: /a, redirect: example.org}
       |                              ^^^^^^^^^^^
    help: write a URL of http or https, or a path that begins with `/`

    error: `//example.org/` cannot be a URL to redirect to
      --> lb.yaml:11:30
       |
    11 |       - {path: /a, redirect: //example.org/}
       |                              ^^^^^^^^^^^^^^
    help: `//` leads to another host: write one `/`, or `https://{host}{path}`

    error: `/{path}` cannot be a URL to redirect to
      --> lb.yaml:12:30
       |
    12 |       - {path: /a, redirect: "/{path}"}
       |                              ^^^^^^^^^
    help: `//` leads to another host: write one `/`, or `https://{host}{path}`

    error: `/{query}{path}` cannot be a URL to redirect to
      --> lb.yaml:13:30
       |
    13 |       - {path: /a, redirect: "/{query}{path}"}
       |                              ^^^^^^^^^^^^^^^^
    help: `//` leads to another host: write one `/`, or `https://{host}{path}`

    error: `{path}` cannot be a URL to redirect to
      --> lb.yaml:14:30
       |
    14 |       - {path: /a, redirect: "{path}"}
       |                              ^^^^^^^^
    help: write a URL of http or https, or a path that begins with `/`

    error: `https://{path}` cannot be a URL to redirect to
      --> lb.yaml:15:30
       |
    15 |       - {path: /a, redirect: "https://{path}"}
       |                              ^^^^^^^^^^^^^^^^
    help: behind `://` stands a host: `https://example.org{path}`, `https://{host}{path}`

    error: `https://{client}/` cannot be a URL to redirect to
      --> lb.yaml:16:30
       |
    16 |       - {path: /a, redirect: "https://{client}/"}
       |                              ^^^^^^^^^^^^^^^^^^^
    help: behind `://` stands a host: `https://example.org{path}`, `https://{host}{path}`

    error: `https://example.org\x` cannot be a URL to redirect to
      --> lb.yaml:17:30
       |
    17 |       - {path: /a, redirect: 'https://example.org\x'}
       |                              ^^^^^^^^^^^^^^^^^^^^^^^
    help: write spaces, quotes, backslashes and what is not ASCII as %20 and so on; at most 2048 bytes

    error: `redirect` must be a URL, not a list
      --> lb.yaml:18:30
       |
    18 |       - {path: /a, redirect: [/b]}
       |                              ^
    "#);
}

#[test]
fn redirects_have_known_placeholders() {
    let text = routes(&[
        "path: /a, redirect: \"https://example.org{pth}\"",
        "path: /a, redirect: \"/b{\"",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: redirect cannot be `https://example.org{pth}`: `{pth}` is no placeholder
      --> lb.yaml:10:30
       |
    10 |       - {path: /a, redirect: "https://example.org{pth}"}
       |                              ^^^^^^^^^^^^^^^^^^^^^^^^^^
    help: did you mean `{path}`?

    error: redirect cannot be `/b{`: a brace has no partner; write `{{` or `}}` for one that means itself
      --> lb.yaml:11:30
       |
    11 |       - {path: /a, redirect: "/b{"}
       |                              ^^^^^
    "#);
}

#[test]
fn redirects_have_a_status_and_keep_the_query_once() {
    let text = routes(&[
        "path: /a, redirect: {status: 301}",
        "path: /a, redirect: {to: /b, status: 304}",
        "path: /a, redirect: {to: \"/b{query}\", keep_query: true}",
        "path: /a, redirect: {to: \"/b?c\", keep_query: true}",
        "path: /a, redirect: {to: /b, keep_query: 1}",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: `redirect` has no `to`
      --> lb.yaml:10:20
       |
    10 |       - {path: /a, redirect: {status: 301}}
       |                    ^^^^^^^^
    help: add `to: "https://example.org{path}"`

    error: status must be one of 301, 302, 303, 307, 308
      --> lb.yaml:11:47
       |
    11 |       - {path: /a, redirect: {to: /b, status: 304}}
       |                                               ^^^
    help: 308 for ever and 307 for now keep the method; 301 and 302 are their old forms

    error: `/b{query}` cannot be a URL to redirect to
      --> lb.yaml:12:35
       |
    12 |       - {path: /a, redirect: {to: "/b{query}", keep_query: true}}
       |                                   ^^^^^^^^^^^
    help: `keep_query` puts the query of the request behind it: let it end before `?`, `#` and `{query}`, or leave `keep_query` out

    error: `/b?c` cannot be a URL to redirect to
      --> lb.yaml:13:35
       |
    13 |       - {path: /a, redirect: {to: "/b?c", keep_query: true}}
       |                                   ^^^^^^
    help: `keep_query` puts the query of the request behind it: let it end before `?`, `#` and `{query}`, or leave `keep_query` out

    error: `keep_query` must be true or false, not a number
      --> lb.yaml:14:51
       |
    14 |       - {path: /a, redirect: {to: /b, keep_query: 1}}
       |                                                   ^
    "#);
}

#[test]
fn responses_have_a_status_and_maybe_a_body() {
    let text = routes(&[
        "path: /a, respond: {body: ok}",
        "path: /a, respond: {status: 199}",
        "path: /a, respond: {status: 304}",
        "path: /a, respond: {status: 302}",
        "path: /a, respond: {status: 204, body: ok}",
        "path: /a, respond: {status: 200, body: 1}",
        "path: /a, respond: {status: 200, body: ok, content_type: html}",
        "path: /a, respond: 404",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: `respond` has no `status`
      --> lb.yaml:10:20
       |
    10 |       - {path: /a, respond: {body: ok}}
       |                    ^^^^^^^
    help: add `status: 200`

    error: status must be between 200 and 599
      --> lb.yaml:11:38
       |
    11 |       - {path: /a, respond: {status: 199}}
       |                                      ^^^

    error: a route cannot respond 304
      --> lb.yaml:12:38
       |
    12 |       - {path: /a, respond: {status: 304}}
       |                                      ^^^
    help: it is for clients that ask whether something has changed; write `status: 204`

    error: a route cannot respond 302
      --> lb.yaml:13:38
       |
    13 |       - {path: /a, respond: {status: 302}}
       |                                      ^^^
    help: it needs a URL: write `redirect: {to: URL, status: 301}`

    error: an answer of status 204 has no body
      --> lb.yaml:14:49
       |
    14 |       - {path: /a, respond: {status: 204, body: ok}}
       |                                                 ^^
    help: leave it out, or write `status: 200`

    error: `body` must be a text, not a number
      --> lb.yaml:15:49
       |
    15 |       - {path: /a, respond: {status: 200, body: 1}}
       |                                                 ^
    help: put it in quotes

    error: content_type cannot be `html`
      --> lb.yaml:16:67
       |
    16 |       - {path: /a, respond: {status: 200, body: ok, content_type: html}}
       |                                                                   ^^^^
    help: write `text/html; charset=utf-8` or `application/json`

    error: `respond` must be a map, not a number
      --> lb.yaml:17:29
       |
    17 |       - {path: /a, respond: 404}
       |                             ^^^
    "#);
    let body = "x".repeat(16 * 1024 + 1);
    let printed = errors(&routes(&[&format!(
        "path: /a, respond: {{status: 200, body: {body}}}"
    )]));
    assert!(printed.starts_with("error: body has more than 16384 bytes\n"));
}

#[test]
fn https_redirect_is_a_switch_or_a_map() {
    for (lines, message) in [
        (
            "https_redirect: 308",
            "`https_redirect` must be true, false or a map, not a number",
        ),
        (
            "https_redirect: {status: 303}",
            "status must be one of 301, 302, 307, 308",
        ),
        (
            "https_redirect: {port: 0}",
            "port must be between 1 and 65535",
        ),
        ("https_redirect: {to: x}", "unknown key `to`"),
    ] {
        let printed = errors(&listener(&format!("bind: [\"192.0.2.1:80\"]\n    {lines}")));
        assert!(
            printed.starts_with(&format!("error: {message}\n")),
            "{printed}"
        );
        assert_eq!(printed.matches("error:").count(), 1, "{printed}");
    }
}
