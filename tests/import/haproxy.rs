//! HAProxy, a feature at a time.

use super::{assert_passes, body, imported, lost, otherwise, without_effect};

/// Returns a file with a frontend of these lines on 192.0.2.1:80, and the backends a, b and c.
fn frontend(lines: &str) -> String {
    let bind = if lines.contains("bind ") {
        ""
    } else {
        " bind 192.0.2.1:80\n"
    };
    let backend =
        |name: &str, n: u8| format!("backend {name}\n mode http\n server s 192.0.2.1{n}:80\n");
    format!(
        "frontend web\n mode http\n{bind}{lines}\n default_backend c\n{}{}{}",
        backend("a", 1),
        backend("b", 2),
        backend("c", 3)
    )
}

/// Asserts what the listener has, beside its address.
fn becomes(lines: &str, hoped: &[&str]) {
    let outcome = imported(&[("haproxy.cfg", &frontend(lines))]);
    assert_passes(&outcome);
    let body = body(&outcome);
    let listener = body.lines().take_while(|line| *line != "pools:").skip(2);
    let keys = listener
        .map(str::trim)
        .filter(|line| *line != "bind: [\"192.0.2.1:80\"]");
    assert_eq!(keys.collect::<Vec<_>>(), hoped, "{lines}");
    assert_eq!(lost(&outcome), "", "{lines}");
}

#[test]
fn rules_become_routes() {
    becomes("", &["pool: c"]);
    becomes(
        "use_backend a if { path /x }",
        &["pool: c", "routes: [{path: {exact: /x}, pool: a}]"],
    );
    becomes(
        "acl x path_beg /x/\nacl y hdr(host) y.example.org\nuse_backend a if x y\nuse_backend b if x or y",
        &[
            "pool: c",
            "routes:",
            "- {host: y.example.org, path: /x/, pool: a}",
            "- {path: /x/, pool: b}",
            "- {host: y.example.org, pool: b}",
        ],
    );
    becomes(
        "use_backend a unless { src 10.0.0.0/8 }",
        &["pool: a", "routes: [{client: 10.0.0.0/8, pool: c}]"],
    );
    becomes(
        "use_backend a if { hdr(x-v) 2 } { url_param(p) -m found } METH_POST",
        &[
            "pool: c",
            "routes: [{method: POST, header: {X-V: \"2\"}, query: {p: true}, pool: a}]",
        ],
    );
    becomes(
        "redirect location https://b.example.org/ code 301 if { hdr(host) -i B.org:80 }",
        &[
            "pool: c",
            "routes:",
            "- {host: b.org, redirect: {to: \"https://b.example.org/\", status: 301, keep_query: false}}",
        ],
    );
    becomes(
        "redirect scheme https if !{ ssl_fc }",
        &["https_redirect: {status: 302}"],
    );
    becomes(
        "http-request deny if { path_beg /a/ } !{ src 192.0.2.0/24 } !METH_GET",
        &[
            "pool: c",
            "routes:",
            "- {path: /a/, client: 192.0.2.0/24, pool: c}",
            "- {path: /a/, method: [GET, HEAD], pool: c}",
            "- {path: /a/, deny: all}",
        ],
    );
}

#[test]
fn routes_that_do_the_same_for_other_hosts_are_one() {
    becomes(
        "acl one hdr(host) one.org\nacl two hdr(host) two.org\nhttp-request deny if !one !two",
        &["routes: [{host: [one.org, two.org], pool: c}, {deny: all}]"],
    );
}

#[test]
fn of_several_rates_the_strictest_decides() {
    becomes(
        "stick-table type ip size 1m store http_req_rate(10s),conn_cur\nhttp-request track-sc0 src\n\
         http-request deny if { sc_http_req_rate(0) gt 50 }\n\
         http-request deny if { sc_http_req_rate(0) gt 20 }\n\
         http-request deny if { sc_http_req_rate(0) gt 90 }",
        &[
            "pool: c",
            "limits: {requests_per_client: {rate: 2/s, burst: 20}}",
        ],
    );
}

#[test]
fn a_change_of_some_requests_is_in_the_routes_of_those() {
    becomes(
        "http-request set-header X-A 1 if { path_beg /a/ }\nuse_backend b if { hdr(host) b.org }",
        &[
            "pool: c",
            "routes:",
            "- {host: b.org, path: /a/, pool: b, request_headers: {set: {X-A: \"1\"}}}",
            "- {path: /a/, pool: c, request_headers: {set: {X-A: \"1\"}}}",
            "- {host: b.org, pool: b}",
        ],
    );
}

#[test]
fn a_change_of_all_requests_is_in_the_listener() {
    becomes(
        "http-request set-header X-A %[src]\nhttp-response del-header Server\nuse_backend b if { path /x }",
        &[
            "request_headers: {set: {X-A: \"{client}\"}}",
            "response_headers: {remove: [Server]}",
            "pool: c",
            "routes: [{path: {exact: /x}, pool: b}]",
        ],
    );
}

#[test]
fn paths_are_rewritten_at_their_beginning() {
    becomes(
        "http-request replace-path /api/(.*) /v1/\\1",
        &[
            "pool: c",
            "routes: [{path: /api/, pool: c, rewrite: {path: /v1/}}]",
        ],
    );
    becomes(
        "http-request set-path %[path,regsub(^/api/?,/)] if { path_beg /api/x/ }",
        &[
            "pool: c",
            "routes: [{path: /api/x/, pool: c, rewrite: {path: /x/}}]",
        ],
    );
}

#[test]
fn one_way_of_speaking_is_one_listener() {
    let lines = "bind *:80\nbind [::]:80 v6only\nbind *:443 ssl crt /c.pem alpn http/1.1\n\
                 http-request set-header X-P %[dst_port]";
    let outcome = imported(&[("haproxy.cfg", &frontend(lines))]);
    let body = body(&outcome);
    for hoped in [
        "  web:\n    bind: [\"0.0.0.0:80\", \"[::]:80\"]\n",
        "  web-tls:\n    bind: [\"0.0.0.0:443\"]\n    tls: {certificates: /c.pem}\n    http2: false\n",
    ] {
        assert!(body.contains(hoped), "{hoped}{body}");
    }
    assert!(lost(&outcome).contains("there is no placeholder like it here"));
}

#[test]
fn what_is_not_reached_has_no_effect() {
    let outcome = imported(&[(
        "haproxy.cfg",
        &frontend("redirect scheme https\nuse_backend a if { path /a }"),
    )]);
    assert_passes(&outcome);
    let said = without_effect(&outcome);
    assert!(
        said.contains("use_backend a") && said.contains("default_backend c"),
        "{said}"
    );
    assert_eq!(outcome.code, 0, "{}", outcome.summary);
}

#[test]
fn what_has_no_like_here_is_lost() {
    for (lines, why) in [
        (
            "use_backend a if { path_end .jpg }",
            "the beginning of a path, or at the whole",
        ),
        (
            "use_backend a if { path_sub x }",
            "the beginning of a path, or at the whole",
        ),
        (
            "use_backend a if { hdr_reg(host) ^(a|b) }",
            "no regular expressions for hosts",
        ),
        (
            "use_backend a if { src -f /list }",
            "lists in files are not read",
        ),
        ("use_backend a if nobody", "there is no ACL nobody"),
        ("use_backend %[hdr(host),map(/m)]", "there are no maps here"),
        ("use_backend d", "there is no backend d"),
        (
            "http-request auth realm x",
            "nobody is asked for a password",
        ),
        ("http-request lua.x", "there is nothing like lua.x here"),
        ("filter spoe engine x", "there are no filters here"),
        (
            "bind :80\nbind abns@x",
            "a listener has addresses and ports here",
        ),
        ("errorloc 503 http://x", "see `error_pages`"),
        ("no-such-word", "not known to this import"),
        (
            "http-request set-header X-A: 1",
            "letters, digits and hyphens",
        ),
    ] {
        let outcome = imported(&[("haproxy.cfg", &frontend(lines))]);
        assert!(lost(&outcome).contains(why), "{lines}: {}", outcome.yaml);
        assert_eq!(outcome.code, 1, "{lines}");
        assert_passes(&outcome);
    }
}

/// Asserts what the pool of a listen with these lines and one server has.
fn pool(lines: &str, server: &str, hoped: &[&str]) {
    let text = format!(
        "listen web\n mode http\n bind 192.0.2.1:80\n{lines}\n server s 192.0.2.11:80 {server}\n"
    );
    let outcome = imported(&[("haproxy.cfg", &text)]);
    assert_passes(&outcome);
    let body = body(&outcome);
    let known = [
        "backends: {s: \"192.0.2.11:80\"}",
        "balance: round_robin",
        "health_check: none",
    ];
    let pool = body
        .lines()
        .skip_while(|line| *line != "pools:")
        .skip(2)
        .map(str::trim);
    let keys: Vec<&str> = pool.filter(|line| !known.contains(line)).collect();
    assert_eq!(keys, hoped, "{lines} {server}");
    assert_eq!(lost(&outcome), "", "{lines} {server}");
}

#[test]
fn servers_become_backends() {
    pool("", "", &[]);
    pool(
        "",
        "weight 5 maxconn 20 backup",
        &["backends: {s: {address: \"192.0.2.11:80\", weight: 5, requests: 20, backup: true}}"],
    );
    pool(
        "",
        "check inter 500 rise 1 fall 4 port 81",
        &["health_check: {tcp: {}, interval: 500ms, rise: 1, fall: 4, port: 81}"],
    );
    pool(
        "default-server check inter 1s fall 2",
        "",
        &["health_check: {tcp: {}, interval: 1s}"],
    );
    pool("", "ssl verify none", &["tls: {verify: false}"]);
    pool(
        "",
        "ssl ca-file /ca.pem verifyhost a.org alpn h2",
        &["tls: {ca: /ca.pem, server_name: a.org}", "protocol: h2"],
    );
    pool("", "send-proxy", &["proxy_protocol: v1"]);
    pool("", "slowstart 10s", &["slow_start: 10s"]);
    pool("option http-buffer-request", "", &["buffer_requests: true"]);
    pool("http-reuse never", "", &["keep_alive: {reuse: never}"]);
    pool(
        "timeout connect 2s\ntimeout server 1m\ntimeout queue 3s\ntimeout server-fin 4s",
        "",
        &["timeouts: {connect: 2s, response_head: 1m, queue: 3s, backend_fin: 4s}"],
    );
}

#[test]
fn balancing_and_sessions_are_ours() {
    for (lines, hoped) in [
        ("balance leastconn", "balance: least_connections"),
        ("balance source", "balance: {hash: source_address}"),
        ("balance uri", "balance: {hash: path}"),
        ("balance hdr(X-User)", "balance: {hash: {header: X-User}}"),
        (
            "cookie S prefix\n stick on src",
            "balance: {hash: source_address}",
        ),
        ("stick on req.cook(S)", "balance: {hash: {cookie: S}}"),
        ("appsession S len 10", "balance: {hash: {cookie: S}}"),
    ] {
        pool(lines, "", &[hoped]);
    }
    pool(
        "cookie S insert indirect nocache",
        "cookie a",
        &["affinity: {cookie: {name: S, http_only: false}}"],
    );
    pool(
        "cookie S prefix",
        "cookie a",
        &["balance: {hash: {cookie: S}}"],
    );
}

#[test]
fn probes_ask_what_they_asked() {
    for (lines, hoped) in [
        ("option httpchk GET /h", "http: {path: /h}"),
        (
            "option httpchk HEAD /h HTTP/1.1\\r\\nHost:\\ a.org\\r\\nX-A:\\ b",
            "http: {method: HEAD, path: /h, host: a.org, headers: {X-A: b}}",
        ),
        (
            "option httpchk\nhttp-check send meth GET uri /h hdr Host a.org\nhttp-check expect status 200",
            "http: {path: /h, host: a.org, expect: 200}",
        ),
        (
            "option httpchk GET /\nhttp-check expect rstatus ^2\nhttp-check expect string ok",
            "http: {path: /, expect: \"200-299\", body: ok}",
        ),
        (
            "option tcp-check\ntcp-check send PING\\r\\n\ntcp-check expect string +PONG",
            "tcp: {send: \"PING\\r\\n\", receive: \"+PONG\"}",
        ),
        ("option smtpchk", "tcp: {receive: \"220\"}"),
    ] {
        let hoped = format!("health_check: {{{hoped}, interval: 2s, fall: 3}}");
        let text = format!(
            "listen web\n mode tcp\n bind 192.0.2.1:80\n{lines}\n server s 192.0.2.11:80 check\n"
        );
        let outcome = imported(&[("haproxy.cfg", &text)]);
        assert_passes(&outcome);
        let one_line = body(&outcome).replace('\n', " ");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        // What does not fit on a line is a block.
        let (one_line, hoped) = (words(&one_line), words(&hoped));
        let loose = |text: &str| text.replace(['{', '}', ','], "");
        assert!(
            loose(&one_line).contains(&loose(&hoped)),
            "{lines}: {one_line}"
        );
        assert_eq!(lost(&outcome), "", "{lines}");
    }
}

#[test]
fn servers_that_are_spoken_to_otherwise_than_the_first_are_lost() {
    let text = "listen web\n mode http\n bind 192.0.2.1:80\n server a 192.0.2.11:80\n server b \
                192.0.2.12:443 ssl verify none\n";
    let outcome = imported(&[("haproxy.cfg", text)]);
    assert_passes(&outcome);
    assert!(lost(&outcome).contains("server b") && !body(&outcome).contains("192.0.2.12"));
}

#[test]
fn rules_with_too_many_alternatives_are_said_and_bounded() {
    let mut lines = String::new();
    for n in 0..20 {
        lines.push_str(&format!(
            "http-request set-header X-{n} 1 if {{ hdr(x-{n}) -m found }}\n"
        ));
    }
    let outcome = imported(&[("haproxy.cfg", &frontend(&lines))]);
    assert!(
        lost(&outcome).contains("too many routes"),
        "{}",
        outcome.summary
    );
    assert_passes(&outcome);
}

#[test]
fn a_wildcard_listener_makes_its_virtual_router_follow_it() {
    let keepalived = "vrrp_instance V {\n interface eth0\n virtual_router_id 5\n \
                      virtual_ipaddress {\n 192.0.2.1/24\n }\n}\n";
    let outcome = imported(&[
        ("keepalived.conf", keepalived),
        (
            "haproxy.cfg",
            &frontend("bind *:80\nuse_backend a if { path /a }"),
        ),
    ]);
    assert_passes(&outcome);
    assert!(
        body(&outcome).contains("track: [{proxy: true}, {pool: c}, {pool: a}]"),
        "{}",
        outcome.yaml
    );
}

#[test]
fn statistics_are_left_out_and_no_password_is_shown() {
    let text = frontend("stats auth admin:hush")
        + "listen s\n bind *:8404\n stats enable\n stats auth a:hush\n";
    let outcome = imported(&[("haproxy.cfg", &text)]);
    assert_passes(&outcome);
    assert!(otherwise(&outcome).contains("it only shows statistics"));
    assert!(!outcome.yaml.contains("hush") && !outcome.yaml.contains("8404"));
}
