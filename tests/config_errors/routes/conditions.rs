//! Errors in what a route asks of a request, and of its client.

use insta::assert_snapshot;

use super::super::errors;
use super::routes;

#[test]
fn hosts_have_no_port_no_star_inside_and_no_scheme() {
    let text = routes(&[
        "host: \"example.org:8080\", pool: farm",
        "host: \"[2001:db8::1]:80\", pool: farm",
        "host: \"*\", pool: farm",
        "host: .example.org, pool: farm",
        "host: [\"a.*.org\", \"https://example.org\", bücher.example, \"\"], pool: farm",
        "host: [], pool: farm",
        "host: 1, pool: farm",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: host cannot be `example.org:8080`
      --> lb.yaml:10:16
       |
    10 |       - {host: "example.org:8080", pool: farm}
       |                ^^^^^^^^^^^^^^^^^^
    help: routes look at hosts without their port: write `"example.org"`

    error: host cannot be `[2001:db8::1]:80`
      --> lb.yaml:11:16
       |
    11 |       - {host: "[2001:db8::1]:80", pool: farm}
       |                ^^^^^^^^^^^^^^^^^^
    help: routes look at hosts without their port: write `"[2001:db8::1]"`

    error: host cannot be `*`
      --> lb.yaml:12:16
       |
    12 |       - {host: "*", pool: farm}
       |                ^^^
    help: leave `host` out of a route for every host

    error: host cannot be `.example.org`
      --> lb.yaml:13:16
       |
    13 |       - {host: .example.org, pool: farm}
       |                ^^^^^^^^^^^^
    help: write `"*.example.org"` for every name under it

    error: host cannot be `a.*.org`
      --> lb.yaml:14:17
       |
    14 |       - {host: ["a.*.org", "https://example.org", bücher.example, ""], pool: farm}
       |                 ^^^^^^^^^
    help: write a name, `"*.example.org"` for every name under one, or an address; names of other alphabets as clients send them, `xn--...`

    error: host cannot be `https://example.org`
      --> lb.yaml:14:28
       |
    14 |       - {host: ["a.*.org", "https://example.org", bücher.example, ""], pool: farm}
       |                            ^^^^^^^^^^^^^^^^^^^^^
    help: write a name, `"*.example.org"` for every name under one, or an address; names of other alphabets as clients send them, `xn--...`

    error: host cannot be `bücher.example`
      --> lb.yaml:14:51
       |
    14 |       - {host: ["a.*.org", "https://example.org", bücher.example, ""], pool: farm}
       |                                                   ^^^^^^^^^^^^^^
    help: write a name, `"*.example.org"` for every name under one, or an address; names of other alphabets as clients send them, `xn--...`

    error: host cannot be ``
      --> lb.yaml:14:67
       |
    14 |       - {host: ["a.*.org", "https://example.org", bücher.example, ""], pool: farm}
       |                                                                   ^^
    help: write a name, `"*.example.org"` for every name under one, or an address; names of other alphabets as clients send them, `xn--...`

    error: `host` must not be empty
      --> lb.yaml:15:16
       |
    15 |       - {host: [], pool: farm}
       |                ^

    error: `host` must be a host, not a number
      --> lb.yaml:16:16
       |
    16 |       - {host: 1, pool: farm}
       |                ^
    help: put it in quotes
    "#);
}

#[test]
fn paths_begin_with_a_slash_and_have_no_query() {
    let text = routes(&[
        "path: api, pool: farm",
        "path: \"/a?b=c\", pool: farm",
        "path: \"/a#b\", pool: farm",
        "path: \"/a b\", pool: farm",
        "path: /api/*, pool: farm",
        "path: [/a, /b], pool: farm",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: path cannot be `api`: a path begins with `/`
      --> lb.yaml:10:16
       |
    10 |       - {path: api, pool: farm}
       |                ^^^
    help: write `/api`

    error: path cannot be `/a?b=c`: a path ends before its query
      --> lb.yaml:11:16
       |
    11 |       - {path: "/a?b=c", pool: farm}
       |                ^^^^^^^^
    help: write `path: /a`, and `query: {name: value}` beside it

    error: path cannot be `/a#b`: no request has a fragment
      --> lb.yaml:12:16
       |
    12 |       - {path: "/a#b", pool: farm}
       |                ^^^^^^
    help: clients keep what stands behind `#`: write `/a`

    error: path cannot be `/a b`: that character is encoded in requests
      --> lb.yaml:13:16
       |
    13 |       - {path: "/a b", pool: farm}
       |                ^^^^^^
    help: write spaces and what is not ASCII as %20 and so on

    error: path cannot be `/api/*`: a path has no wildcards
      --> lb.yaml:14:16
       |
    14 |       - {path: /api/*, pool: farm}
       |                ^^^^^^
    help: `path: /api/` has all that is below it

    error: a route has one path
      --> lb.yaml:15:16
       |
    15 |       - {path: [/a, /b], pool: farm}
       |                ^
    help: write a route for each
    "#);
}

#[test]
fn paths_are_in_normal_form() {
    let text = routes(&[
        "path: /a//b, pool: farm",
        "path: {exact: /a/../b/}, pool: farm",
        "path: {prefix: /%2e/%61}, pool: farm",
        "path: /a;v=1/b, pool: farm",
        "path: /a%2fb%c3%a4, pool: farm",
        "path: /../a, pool: farm",
        "path: /100%, pool: farm",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: path cannot be `/a//b`: paths are compared in their normal form
      --> lb.yaml:10:16
       |
    10 |       - {path: /a//b, pool: farm}
       |                ^^^^^
    help: write `/a/b`

    error: path cannot be `/a/../b/`: paths are compared in their normal form
      --> lb.yaml:11:24
       |
    11 |       - {path: {exact: /a/../b/}, pool: farm}
       |                        ^^^^^^^^
    help: write `/b/`

    error: path cannot be `/%2e/%61`: paths are compared in their normal form
      --> lb.yaml:12:25
       |
    12 |       - {path: {prefix: /%2e/%61}, pool: farm}
       |                         ^^^^^^^^
    help: write `/a`

    error: path cannot be `/a;v=1/b`: paths are compared in their normal form
      --> lb.yaml:13:16
       |
    13 |       - {path: /a;v=1/b, pool: farm}
       |                ^^^^^^^^
    help: write `/a/b`

    error: path cannot be `/a%2fb%c3%a4`: paths are compared in their normal form
      --> lb.yaml:14:16
       |
    14 |       - {path: /a%2fb%c3%a4, pool: farm}
       |                ^^^^^^^^^^^^
    help: write `/a/b%C3%A4`

    error: path cannot be `/../a`: the path leads above the root
      --> lb.yaml:15:16
       |
    15 |       - {path: /../a, pool: farm}
       |                ^^^^^
    help: such a request is answered 400, before any route

    error: path cannot be `/100%`: the path has an octet that is encoded wrongly
      --> lb.yaml:16:16
       |
    16 |       - {path: /100%, pool: farm}
       |                ^^^^^
    help: a percent sign that means itself is written `%25`
    "#);
}

#[test]
fn a_path_is_exact_or_a_prefix() {
    let text = routes(&[
        "path: {exact: /a, prefix: /a/}, pool: farm",
        "path: {}, pool: farm",
        "path: {regex: /a}, pool: farm",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: path is either `exact` or `prefix`, not both
      --> lb.yaml:10:28
       |
    10 |       - {path: {exact: /a, prefix: /a/}, pool: farm}
       |                            ^^^^^^
    help: write a route for each

    error: path says neither `exact` nor `prefix`
      --> lb.yaml:11:10
       |
    11 |       - {path: {}, pool: farm}
       |          ^^^^
    help: write `path: /x` for what begins so, or `path: {exact: /x}`

    error: path says neither `exact` nor `prefix`
      --> lb.yaml:12:10
       |
    12 |       - {path: {regex: /a}, pool: farm}
       |          ^^^^
    help: write `path: /x` for what begins so, or `path: {exact: /x}`

    error: unknown key `regex`
      --> lb.yaml:12:17
       |
    12 |       - {path: {regex: /a}, pool: farm}
       |                 ^^^^^
    help: known keys here: exact, prefix
    "#);
}

#[test]
fn methods_are_tokens_whose_case_matters() {
    let text = routes(&[
        "method: get, pool: farm",
        "method: [GET, \"A B\"], pool: farm",
        "method: \"\", pool: farm",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: method cannot be `get`
      --> lb.yaml:10:18
       |
    10 |       - {method: get, pool: farm}
       |                  ^^^
    help: the case of its letters matters: write `GET`

    error: method cannot be `A B`
      --> lb.yaml:11:24
       |
    11 |       - {method: [GET, "A B"], pool: farm}
       |                        ^^^^^
    help: write `GET` or `[GET, HEAD]`

    error: method cannot be ``
      --> lb.yaml:12:18
       |
    12 |       - {method: "", pool: farm}
       |                  ^^
    help: write `GET` or `[GET, HEAD]`
    "#);
}

#[test]
fn fields_and_parameters_are_there_or_have_a_value() {
    let text = routes(&[
        "header: {X-A: false}, pool: farm",
        "header: {X A: b}, pool: farm",
        "header: [{X-A: \" b\"}, X-B], pool: farm",
        "header: {X-A: 1}, pool: farm",
        "query: {a: false}, pool: farm",
        "query: {a: \"b c\"}, pool: farm",
        "query: {\"a&b\": true}, pool: farm",
        "query: a, pool: farm",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: a route cannot ask that a field is absent
      --> lb.yaml:10:24
       |
    10 |       - {header: {X-A: false}, pool: farm}
       |                        ^^^^^
    help: write an earlier route for requests that have it, or `"false"` for that value

    error: `X A` is not the name of a field
      --> lb.yaml:11:19
       |
    11 |       - {header: {X A: b}, pool: farm}
       |                   ^^^
    help: write letters, digits and `-`: `X-User`

    error: no field has the value ` b`
      --> lb.yaml:12:25
       |
    12 |       - {header: [{X-A: " b"}, X-B], pool: farm}
       |                         ^^^^
    help: spaces around it and control characters are no part of a value

    error: `header` must be a map of values by field name, not text
      --> lb.yaml:12:32
       |
    12 |       - {header: [{X-A: " b"}, X-B], pool: farm}
       |                                ^^^

    error: `X-A` must be a text, or true for any, not a number
      --> lb.yaml:13:24
       |
    13 |       - {header: {X-A: 1}, pool: farm}
       |                        ^
    help: put it in quotes

    error: a route cannot ask that a parameter is absent
      --> lb.yaml:14:21
       |
    14 |       - {query: {a: false}, pool: farm}
       |                     ^^^^^
    help: write an earlier route for requests that have it, or `"false"` for that value

    error: no query has the parameter `a=b c`
      --> lb.yaml:15:18
       |
    15 |       - {query: {a: "b c"}, pool: farm}
       |                  ^
    help: parameters are compared as they are written in requests: no spaces, `&` or `#`, but %20, %26 and %23

    error: no query has the parameter `a&b`
      --> lb.yaml:16:18
       |
    16 |       - {query: {"a&b": true}, pool: farm}
       |                  ^^^^^
    help: parameters are compared as they are written in requests: no spaces, `&` or `#`, but %20, %26 and %23

    error: `query` must be a map of values by parameter, not text
      --> lb.yaml:17:17
       |
    17 |       - {query: a, pool: farm}
       |                 ^
    "#);
}

#[test]
fn clients_are_networks() {
    let text = routes(&[
        "client: 10.0.0.0/33, pool: farm",
        "client: [lb1], pool: farm",
        "path: /a, allow: all",
        "path: /a, deny: {only: 10.0.0.0/8}",
        "path: /a, deny: {}",
        "path: /a, deny: everybody",
        "path: /a, allow: []",
    ]);
    assert_snapshot!(errors(&text), @r#"
    error: `10.0.0.0/33` is neither an address nor a network
      --> lb.yaml:10:18
       |
    10 |       - {client: 10.0.0.0/33, pool: farm}
       |                  ^^^^^^^^^^^
    help: write `192.0.2.1`, `10.0.0.0/8` or `"2001:db8::/32"`

    error: `lb1` is neither an address nor a network
      --> lb.yaml:11:19
       |
    11 |       - {client: [lb1], pool: farm}
       |                   ^^^
    help: write `192.0.2.1`, `10.0.0.0/8` or `"2001:db8::/32"`

    error: `all` is neither an address nor a network
      --> lb.yaml:12:27
       |
    12 |       - {path: /a, allow: all}
       |                           ^^^
    help: write `192.0.2.1`, `10.0.0.0/8` or `"2001:db8::/32"`

    error: `deny` has no `except`
      --> lb.yaml:13:20
       |
    13 |       - {path: /a, deny: {only: 10.0.0.0/8}}
       |                    ^^^^
    help: add `except: [192.0.2.0/24]`

    error: unknown key `only`
      --> lb.yaml:13:27
       |
    13 |       - {path: /a, deny: {only: 10.0.0.0/8}}
       |                           ^^^^
    help: known keys here: except

    error: `deny` has no `except`
      --> lb.yaml:14:20
       |
    14 |       - {path: /a, deny: {}}
       |                    ^^^^
    help: add `except: [192.0.2.0/24]`

    error: `everybody` is neither an address nor a network
      --> lb.yaml:15:26
       |
    15 |       - {path: /a, deny: everybody}
       |                          ^^^^^^^^^
    help: write `192.0.2.1`, `10.0.0.0/8` or `"2001:db8::/32"`

    error: `allow` must not be empty
      --> lb.yaml:16:27
       |
    16 |       - {path: /a, allow: []}
       |                           ^
    "#);
}

#[test]
fn a_route_allows_or_denies() {
    let text = routes(&["path: /a, allow: [10.0.0.0/8], deny: [10.1.0.0/16]"]);
    assert_snapshot!(errors(&text), @r#"
    error: a route has `allow` or `deny`, not both
      --> lb.yaml:10:41
       |
    10 |       - {path: /a, allow: [10.0.0.0/8], deny: [10.1.0.0/16]}
       |                                         ^^^^
    help: whoever is not allowed is denied: keep one, or write two routes, the first with `deny`
    "#);
}
