//! Every change and its words.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::sync::Arc;

use super::*;
use crate::config::{CertificateChain, FoundPoolTls, FoundTls, NodeName, parse};
use crate::model::{Der, KeyId};

const BASE: &str = r#"
virtual_routers:
  web:
    interface: eth0
    vrid: 51
    priority: {lb1: 150, lb2: 100}
    addresses: [192.0.2.100/24, "2001:db8::100/64"]
listeners:
  http: {virtual_router: web, port: 80, pool: api}
pools:
  api: {backends: {b1: "10.0.0.1:80", b2: "10.0.0.2:80"}, health_check: {tcp: {}}}
"#;

/// A listener that carries bytes, and its pool.
const TCP: &str = "\
listeners:
  db: {bind: [\"192.0.2.1:5432\"], mode: tcp, pool: db}
pools:
  db: {backends: {a: \"10.0.0.1:5432\"}}
";

#[test]
fn every_change_of_tcp_has_its_words() {
    for (from, to, hoped) in [
        (
            ", mode: tcp",
            "",
            &[
                "listener db: mode tcp to http",
                "pool db: protocol TCP to HTTP/1.1",
            ][..],
        ),
        (
            "pool: db}",
            "pool: db, timeouts: {client_fin: 3s}}",
            &["listener db: timeout client_fin 10s to 3s"],
        ),
        (
            "5432\"}}",
            "5432\"}, timeouts: {backend_fin: 3s}}",
            &["pool db: timeout backend_fin 10s to 3s"],
        ),
        (
            "pool: db}",
            "pool: db, routes: [{sni: a.example.org, pool: db}]}",
            &["listener db: route 1 added"],
        ),
    ] {
        let steps = diff(&config(TCP), &config(&TCP.replacen(from, to, 1))).unwrap();
        let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
        assert_eq!(steps, hoped, "{from} to {to}");
    }
}

fn config(yaml: &str) -> Config {
    parse("test.yaml", yaml, NodeName::Given("lb1")).unwrap()
}

/// Returns what changes where `from` becomes `to` in the text.
fn changes(from: &str, to: &str) -> Vec<String> {
    assert!(BASE.contains(from), "{from}");
    let steps = diff(&config(BASE), &config(&BASE.replace(from, to))).unwrap();
    steps.iter().map(ToString::to_string).collect()
}

type Row = (&'static str, &'static str, &'static [&'static str]);

#[test]
fn every_change_has_its_words() {
    for (from, to, hoped) in ROUTERS.iter().chain(OTHERS) {
        assert_eq!(changes(from, to), *hoped, "{from} to {to}");
    }
}

const ROUTERS: &[Row] = &[
    ("lb1: 150", "lb1: 120", &["router web: priority 150 to 120"]),
    (
        "lb2: 100",
        "lb2: 90",
        &["router web: priority of lb2 100 to 90"],
    ),
    (
        "vrid: 51",
        "vrid: 52",
        &["router web: added", "router web: removed"],
    ),
    (
        "192.0.2.100/24",
        "192.0.2.101/24",
        &[
            "router web/ipv4: address 192.0.2.101/24 added",
            "router web/ipv4: address 192.0.2.100/24 removed",
            "listener http: address 192.0.2.101:80 added",
            "listener http: address 192.0.2.100:80 removed",
        ],
    ),
    (
        "    vrid: 51\n",
        "    vrid: 51\n    advertisement_interval: 100ms\n    lease: 3s\n    preempt: false\n",
        &[
            "router web: advertisement_interval 1s to 100ms",
            "router web: preempt true to false",
            "router web: lease 2s to 3s",
        ],
    ),
    (
        "    vrid: 51\n",
        "    vrid: 51\n    track: [{interface: eth1, on_failure: {lower_by: 60}}]\n",
        &["router web: tracking of interface eth1 added"],
    ),
];

const OTHERS: &[Row] = &[
    (
        "pool: api}",
        "pool: api, limits: {requests: {rate: 9/s}, requests_per_client: {rate: 50/s, burst: 100}}}",
        &[
            "listener http: limit requests any to 9/s burst 9",
            "listener http: limit requests_per_client any to 50/s burst 100 of 65536 clients by \
             address",
        ],
    ),
    (
        "pool: api}",
        "pool: api, limits: {connection_rate_per_client: {rate: 10/m, clients: 2048}}}",
        &[
            "listener http: limit connection_rate_per_client any to 10/m burst 10 of 2048 clients \
             by address",
        ],
    ),
    (
        "pool: api}",
        "pool: api, timeouts: {idle: 5s}, limits: {connections: 7}}",
        &[
            "listener http: timeout idle 60s to 5s",
            "listener http: limit connections any to 7",
        ],
    ),
    (
        "b2: \"10.0.0.2:80\"",
        "b2: {address: \"10.0.0.2:80\", weight: 3}, b3: \"10.0.0.3:80\"",
        &[
            "pool api: backend b2 weight 1 to 3",
            "pool api: backend b3 added",
        ],
    ),
    (
        ", b2: \"10.0.0.2:80\"",
        "",
        &["pool api: backend b2 removed"],
    ),
    (
        "b1: \"10.0.0.1:80\", b2: \"10.0.0.2:80\"",
        "b2: \"10.0.0.2:80\", b1: \"10.0.0.1:80\"",
        &["pool api: order of backends changed"],
    ),
    (
        "pool: api}",
        "pool: api, error_pages: {503: /a, 5xx: /b}, maintenance: {page: /c, allow: [10.0.0.0/8], \
         retry_after: 10m}}",
        &[
            "listener http: error page 503 added",
            "listener http: error page 5xx added",
            "listener http: maintenance page added",
            "listener http: client allowed in maintenance 10.0.0.0/8 added",
            "listener http: maintenance retry_after 300s to 600s",
        ],
    ),
    ("{tcp: {}}", "none", &["pool api: health check removed"]),
    (
        "health_check: {tcp: {}}",
        "health_check: {tcp: {}}, ejection: true",
        &["pool api: ejection added"],
    ),
    (
        "health_check: {tcp: {}}",
        "health_check: {tcp: {}}, affinity: {cookie: {}}",
        &["pool api: affinity added"],
    ),
    (
        "{tcp: {}}",
        "{tcp: {receive: OK}, interval_changing: 100ms, port: 81}",
        &[
            "pool api: health check changed",
            "pool api: health check interval_changing 1s to 100ms",
            "pool api: health check port the backend's to 81",
        ],
    ),
    (
        "health_check: {tcp: {}}",
        "health_check: {tcp: {}}, fallback: {respond: {status: 503}}",
        &["pool api: fallback none to status 503"],
    ),
    (
        "pools:\n",
        "proxy: {threads: 3, timeouts: {drain: 9s}}\naccess_log: {to: stdout}\npools:\n",
        &[
            "proxy: threads one a core to 3",
            "proxy: timeout drain 5s to 9s",
            "access log: added",
        ],
    ),
    (
        "listeners:\n  http: {virtual_router: web, port: 80, pool: api}\n",
        "listeners:\n  other: {bind: [\"127.0.0.1:81\"], pool: api}\n",
        &["listener other: added", "listener http: closed"],
    ),
    ("listeners:\n", "listeners:\n", &[]),
    (
        "pool: api}",
        "pool: api, https_redirect: true, request_headers: {remove: [X]}, routes: [{path: /a, pool: api}]}",
        &[
            "listener http: route 1 added",
            "listener http: https_redirect begins",
            "listener http: request_headers changed",
        ],
    ),
];

/// Returns what changes where the first routes become the second; each list is `[...]` of YAML.
fn route_changes(from: &str, to: &str) -> Vec<String> {
    let with = |routes: &str| {
        let routes = format!("pool: api, {routes}}}");
        config(&BASE.replace("pool: api}", &routes))
    };
    let steps = diff(&with(from), &with(to)).unwrap();
    let steps = steps.iter().map(ToString::to_string);
    let inner = steps.map(|step| step.strip_prefix("listener http: ").unwrap().to_owned());
    inner.collect()
}

#[test]
fn every_change_of_routes_has_its_words() {
    for (from, to, hoped) in ROUTES {
        let route = |text: &str| format!("routes: [{{name: a, {text}}}]");
        let hoped: Vec<String> = hoped.iter().map(|it| format!("route a {it}")).collect();
        assert_eq!(
            route_changes(&route(from), &route(to)),
            hoped,
            "{from} to {to}"
        );
    }
    let listed = |routes: &str| format!("routes: [{routes}]");
    let (a, b) = ("{name: a, pool: api}", "{name: b, pool: api}");
    for (from, to, hoped) in [
        (a.to_owned(), format!("{a}, {b}"), vec!["route b added"]),
        (format!("{b}, {a}"), a.to_owned(), vec!["route b removed"]),
        (
            format!("{a}, {b}"),
            format!("{b}, {a}"),
            vec!["order of routes changed"],
        ),
        (
            format!("{a}, {b}"),
            format!("{{name: c, pool: api}}, {b}, {a}"),
            vec!["route c added", "order of routes changed"],
        ),
    ] {
        assert_eq!(
            route_changes(&listed(&from), &listed(&to)),
            hoped,
            "{from} to {to}"
        );
    }
    let both = "routes: [{name: a, pool: api}], request_headers";
    let (from, to) = (
        format!("{both}: {{remove: [X]}}"),
        format!("{both}: {{remove: [Y]}}"),
    );
    assert_eq!(route_changes(&from, &to), ["request_headers changed"]);
    let (from, to) = (
        "https_redirect: true",
        "https_redirect: {status: 301, port: 8443}",
    );
    let hoped = [
        "https_redirect status 308 to 301",
        "https_redirect port 443 to 8443",
    ];
    assert_eq!(route_changes(from, to), hoped);
    assert_eq!(
        route_changes(from, "https_redirect: false"),
        ["https_redirect ends"]
    );
}

const ROUTES: &[Row] = &[
    (
        "path: /a, pool: api",
        "host: b, path: /b, method: GET, header: {X: true}, query: {a: true}, client: 10.0.0.1, pool: api",
        &[
            "host changed",
            "path changed",
            "method changed",
            "header changed",
            "query changed",
            "client changed",
        ],
    ),
    (
        "allow: 10.0.0.1, pool: api",
        "pool: api",
        &["denies nobody any more"],
    ),
    (
        "pool: api",
        "deny: 10.0.0.1, pool: api",
        &["clients changed"],
    ),
    (
        "path: /a, pool: api",
        "path: /a, deny: all",
        &["denies all", "action pool to none"],
    ),
    ("pool: api", "redirect: /a", &["action pool to redirect"]),
    (
        "redirect: /a",
        "respond: {status: 404}",
        &["action redirect to respond"],
    ),
    (
        "pool: api",
        "pool: api, rewrite: {path: /b, host: c}",
        &["rewrite host as asked to c", "rewrite path as asked to /b"],
    ),
    (
        "redirect: /a",
        "redirect: {to: \"/b{path}\", status: 308, keep_query: false}",
        &[
            "redirect URL /a to /b{path}",
            "redirect status 302 to 308",
            "redirect keep_query changed",
        ],
    ),
    (
        "respond: {status: 200}",
        "respond: {status: 404, body: a, content_type: text/html}",
        &[
            "respond status 200 to 404",
            "respond body changed",
            "respond content_type text/plain; charset=utf-8 to text/html",
        ],
    ),
    (
        "pool: api",
        "pool: api, request_headers: {remove: [X]}, response_headers: {remove: [X]}, \
         timeouts: {request_body: 1s, idle: 2s, tunnel: 3s, response_head: 4s, queue: 5s}, \
         limits: {body_bytes: 1, body_rate: 0}",
        &[
            "request_headers changed",
            "response_headers changed",
            "timeout request_body default to 1s",
            "timeout idle default to 2s",
            "timeout tunnel default to 3s",
            "timeout response_head default to 4s",
            "timeout queue default to 5s",
            "limit body default to 1",
            "limit body_rate default to 0",
        ],
    ),
];

#[test]
fn the_text_of_a_page_is_part_of_the_configuration() {
    let of = |path: &str, text: &str| {
        let pages = format!("pool: api, error_pages: {{5xx: {path}}}}}");
        let mut config = config(&BASE.replace("pool: api}", &pages));
        for (_, page) in crate::config::pages::pages_of(&mut config) {
            page.text = Some(text.into());
        }
        config
    };
    for (path, text, hoped) in [
        ("/a", "old", None),
        ("/a", "new", Some("listener http: error page 5xx changed")),
        ("/b", "new", Some("listener http: error page 5xx /a to /b")),
    ] {
        let steps = diff(&of("/a", "old"), &of(path, text)).unwrap();
        let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
        assert_eq!(steps.first().map(String::as_str), hoped);
        assert!(steps.len() < 2, "{steps:?}");
    }
}

#[test]
fn a_new_name_is_not_another_virtual_router() {
    let renamed = BASE
        .replace("  web:\n", "  www:\n")
        .replace("virtual_router: web", "virtual_router: www");
    let steps = diff(&config(BASE), &config(&renamed)).unwrap();
    let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        steps,
        [
            "router www: has a new name, it was web",
            "listener http: virtual router web to www"
        ]
    );
}

#[test]
fn another_node_needs_a_restart() {
    let other = parse("test.yaml", BASE, NodeName::Given("lb2")).unwrap();
    let error = diff(&config(BASE), &other).unwrap_err();
    assert_eq!(
        error.to_string(),
        "node cannot change from lb1 to lb2 while the daemon runs: restart it"
    );
}

#[test]
fn every_change_of_affinity_has_its_words() {
    let with = |keys: &str| config(&BASE.replace("{tcp: {}}}", &format!("{{tcp: {{}}}}{keys}}}")));
    let other = ", affinity: {cookie: {name: s, path: /a, secure: true, http_only: false, \
                 same_site: none, lifetime: 1h}}";
    for (from, to, hoped) in [
        (", affinity: {cookie: {}}", "", &["affinity removed"][..]),
        (
            ", affinity: {cookie: {}}",
            other,
            &[
                "affinity cookie evenkeel to s",
                "affinity path / to /a",
                "affinity secure as clients arrive to true",
                "affinity http_only true to false",
                "affinity same_site lax to none",
                "affinity lifetime of the client's session to 3600s",
            ],
        ),
    ] {
        let steps = diff(&with(from), &with(to)).unwrap();
        let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
        let hoped: Vec<String> = hoped.iter().map(|it| format!("pool api: {it}")).collect();
        assert_eq!(steps, hoped, "{from} to {to}");
    }
}

#[test]
fn every_change_of_tls_has_its_words() {
    let hoped = |from: &str, to: &str, hoped: &[&str]| {
        let with = |yaml: &str| config(&BASE.replace("pools:\n", &format!("{yaml}pools:\n")));
        let steps = diff(&with(from), &with(to)).unwrap();
        let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
        assert_eq!(steps, hoped, "{from} to {to}");
    };
    let listener = |tls: &str| format!("  https: {{bind: [\"10.0.0.9:443\"], pool: api{tls}}}\n");
    for (from, to, words) in LISTENER_TLS {
        let words: Vec<String> = words
            .iter()
            .map(|it| format!("listener https: {it}"))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        hoped(&listener(from), &listener(to), &words);
    }
    for (from, to, words) in POOL_TLS {
        let with =
            |tls: &str| config(&BASE.replace("{tcp: {}}}", &format!("{{tcp: {{}}}}{tls}}}")));
        let steps = diff(&with(from), &with(to)).unwrap();
        let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
        let words: Vec<String> = words.iter().map(|it| format!("pool api: {it}")).collect();
        assert_eq!(steps, words, "{from} to {to}");
    }
    let group = |secret: &str| format!("group: {{secret: {secret}}}\n");
    hoped(
        &group("{file: /a}"),
        &group("[{credential: b}, {file: /c}]"),
        &[
            "group: secret credential b, /c added",
            "group: secret /a removed",
        ],
    );
    hoped(
        &group("[{file: /a}, {file: /b}]"),
        &group("[{file: /b}, {file: /a}]"),
        &["group: order of secret changed"],
    );
}

const LISTENER_TLS: &[Row] = &[
    ("", ", tls: {certificates: /a}", &["tls begins"]),
    (", tls: {certificates: /a}", "", &["tls ends"]),
    (
        ", tls: {certificates: [/a, {certificate: /b, key: /c}]}",
        ", tls: {certificates: [/a, {certificate: /b, key: /d}, /e]}",
        &[
            "certificates /b with /d, /e added",
            "certificates /b with /c removed",
        ],
    ),
    (
        ", tls: {certificates: [/a, /b]}",
        ", tls: {certificates: [/b, /a]}",
        &["order of certificates changed"],
    ),
    (
        ", tls: {certificates: /a}",
        ", tls: {certificates: /a, default_certificate: none, minimum_version: \"1.3\", \
         client_certificates: {ca: /ca}, resumption: false}, timeouts: {handshake: 3s}",
        &[
            "timeout handshake 10s to 3s",
            "default_certificate first to none",
            "minimum_version 1.2 to 1.3",
            "client certificates are asked for",
            "resumption true to false",
        ],
    ),
    (
        ", tls: {certificates: /a, default_certificate: a.example, client_certificates: {ca: /ca}}",
        ", tls: {certificates: /a, default_certificate: b.example, client_certificates: {ca: /b, \
         required: false}}",
        &[
            "default_certificate a.example to b.example",
            "client certificates ca /ca to /b",
            "client certificates required true to false",
        ],
    ),
    (
        ", tls: {certificates: /a, client_certificates: {ca: /ca}}",
        ", tls: {certificates: /a}",
        &["client certificates are not asked for any more"],
    ),
];

const POOL_TLS: &[Row] = &[
    ("", ", tls: true", &["tls begins"]),
    (", tls: true", ", tls: false", &["tls ends"]),
    (
        ", tls: true",
        ", tls: {ca: /ca, server_name: b.example, certificate: {certificate: /c, key: /k}, \
         minimum_version: \"1.3\"}",
        &[
            "ca system to /ca",
            "server_name the address to b.example",
            "certificate none to /c with /k",
            "minimum_version 1.2 to 1.3",
        ],
    ),
    (
        ", tls: true",
        ", tls: {verify: false}",
        &["verify true to false"],
    ),
];

/// Returns a certificate of this common name.
fn made(name: &str) -> Der {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    Der(params.self_signed(&key).unwrap().der().to_vec())
}

fn chain(path: &str, certificate: &Der) -> CertificateChain {
    CertificateChain {
        path: path.into(),
        key: KeyId([0; 32]),
        names: vec!["a.example".to_owned()],
        not_before: 0,
        not_after: 0,
        certificates: vec![certificate.clone()],
    }
}

/// Returns a configuration of which this was found in files.
fn found(chains: &[&CertificateChain], root: &Der, shown: &CertificateChain) -> Config {
    let tls = "pool: api, tls: {certificates: /a, client_certificates: {ca: /ca}}}";
    let of_pool = "{tcp: {}}, tls: {certificate: {certificate: /c, key: /k}}}";
    let yaml = BASE
        .replace("pool: api}", tls)
        .replace("{tcp: {}}}", of_pool);
    let mut config = config(&yaml);
    config.listeners[0].tls.as_mut().unwrap().found = Arc::new(FoundTls {
        chains: chains.iter().copied().cloned().collect(),
        client_roots: vec![root.clone()],
    });
    config.pools[0].tls.as_mut().unwrap().found = Arc::new(FoundPoolTls {
        roots: vec![root.clone()],
        chain: Some(shown.clone()),
    });
    config
}

#[test]
fn what_was_found_in_files_is_part_of_the_configuration() {
    let (one, two) = (made("one"), made("two"));
    let (a, b) = (chain("/a/a", &one), chain("/a/b", &two));
    let renewed = chain("/a/a", &made("one"));
    let (shown, other) = (chain("/c", &one), chain("/c", &two));
    let before = found(&[&a, &b], &one, &shown);
    for (before, after, hoped) in [
        (&before, found(&[&a, &b], &one, &shown), &[] as &[&str]),
        (
            &before,
            found(&[&renewed, &b], &one, &shown),
            &["listener http: certificate of CN=one (/a/a) changed"],
        ),
        (
            &before,
            found(&[&a], &one, &shown),
            &["listener http: certificate of CN=two (/a/b) gone"],
        ),
        (
            &found(&[&a], &one, &shown),
            found(&[&a, &b], &one, &shown),
            &["listener http: certificate of CN=two (/a/b) found"],
        ),
        (
            &before,
            found(&[&b, &a], &one, &shown),
            &["listener http: order of certificates changed"],
        ),
        (
            &before,
            found(&[&a, &b], &two, &other),
            &[
                "listener http: client authorities changed",
                "pool api: certificate of CN=two (/c) changed",
                "pool api: authorities changed",
            ],
        ),
    ] {
        let steps = diff(before, &after).unwrap();
        let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
        assert_eq!(steps, hoped);
    }
}
