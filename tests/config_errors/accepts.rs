//! What is accepted and what it becomes; and the shipped files.

mod defaults;

use std::time::Duration;

use evenkeel::cli::check::{self, describe};
use evenkeel::config::{
    Balance, Config, CookieRules, ErrorPages, HealthCheckConfig, HttpProbe, NodeName, Preempt,
    ProbeKind, RequestBuffering, RequestRates, Secure, Tier, VirtualRouterConfig, parse,
};
use evenkeel::logic::http1::rewrite::edit::FieldEdits;
use insta::assert_snapshot;

use super::{errors, pool, router};

pub(crate) const SHIPPED: &[(&str, &str)] = &[
    (
        "config/evenkeel.yaml",
        include_str!("../../config/evenkeel.yaml"),
    ),
    (
        "config/examples/pair.yaml",
        include_str!("../../config/examples/pair.yaml"),
    ),
    (
        "config/examples/beside-keepalived.yaml",
        include_str!("../../config/examples/beside-keepalived.yaml"),
    ),
    (
        "config/examples/tutorial.yaml",
        include_str!("../../config/examples/tutorial.yaml"),
    ),
    (
        "config/examples/dual-stack.yaml",
        include_str!("../../config/examples/dual-stack.yaml"),
    ),
    (
        "config/examples/https.yaml",
        include_str!("../../config/examples/https.yaml"),
    ),
];

/// Every key, with a text that the manual has about it.
pub(crate) const KEYS: &[&str] = &[
    "node",
    "error_pages",
    "maintenance",
    "page",
    "allow",
    "retry_after",
    "access_log",
    "to",
    "format",
    "virtual_routers",
    "interface",
    "vrid",
    "priority",
    "owner",
    "addresses",
    "version",
    "advertisement_interval",
    "down_multiplier",
    "announcements",
    "repeat",
    "refresh",
    "pace",
    "accept",
    "virtual_mac",
    "synchronize_with",
    "peers",
    "checksum",
    "authentication",
    "password",
    "preempt",
    "delay",
    "lease",
    "notify",
    "listeners",
    "virtual_router",
    "port",
    "bind",
    "routes",
    "name",
    "header",
    "query",
    "client",
    "exact",
    "prefix",
    "allow",
    "deny",
    "except",
    "redirect",
    "status",
    "keep_query",
    "respond",
    "body",
    "content_type",
    "rewrite",
    "https_redirect",
    "http2",
    "prior_knowledge",
    "streams",
    "memory_bytes",
    "protocol",
    "request_headers",
    "response_headers",
    "set",
    "add",
    "remove",
    "pool",
    "timeouts",
    "request_head",
    "keep_alive",
    "request_body",
    "idle",
    "tunnel",
    "linger",
    "limits",
    "head_bytes",
    "fields",
    "target_bytes",
    "body_bytes",
    "body_rate",
    "connections",
    "connections_per_client",
    "connection_rate_per_client",
    "requests_per_client",
    "rate",
    "burst",
    "by",
    "header",
    "clients",
    "upgrades",
    "trace",
    "trusted_proxies",
    "proxy_fields",
    "forwarded",
    "via",
    "request_id",
    "tls",
    "certificates",
    "default_certificate",
    "minimum_version",
    "client_certificates",
    "ca",
    "required",
    "resumption",
    "handshake",
    "server_name",
    "verify",
    "certificate",
    "group",
    "secret",
    "file",
    "drain",
    "connection_bytes",
    "reuse",
    "pools",
    "backends",
    "backends_file",
    "resolve",
    "address",
    "weight",
    "balance",
    "hash",
    "header",
    "cookie",
    "affinity",
    "name",
    "secure",
    "http_only",
    "same_site",
    "lifetime",
    "health_check",
    "http",
    "tcp",
    "grpc",
    "service",
    "method",
    "path",
    "host",
    "expect",
    "interval",
    "timeout",
    "rise",
    "fall",
    "interval_changing",
    "headers",
    "body",
    "send",
    "receive",
    "connect",
    "response_head",
    "queue",
    "requests",
    "backup",
    "slow_start",
    "ejection",
    "buffer_requests",
    "reproxy",
    "memory",
    "disk",
    "fallback",
    "consecutive_failures",
    "failures",
    "time",
    "time_max",
    "most",
    "proxy",
    "threads",
];

pub(crate) fn accepted(text: &str) -> Config {
    accepted_for(text, NodeName::Given("lb1"))
}

fn accepted_for(text: &str, node: NodeName<'_>) -> Config {
    match parse("lb.yaml", text, node) {
        Ok(config) => config,
        Err(errors) => panic!("no error is hoped for:\n{errors}\n\nin:\n{text}"),
    }
}

/// Returns the shipped configuration with every commented key in force.
pub(crate) fn uncommented() -> String {
    let text = SHIPPED[0].1;
    let lines = text.lines().map(|line| {
        let bare = line.trim_start();
        let is_key = bare.strip_prefix('#').is_some_and(|rest| {
            let rest = rest.strip_prefix("- {").unwrap_or(rest);
            rest.starts_with(|c: char| c.is_ascii_lowercase())
                && rest
                    .split(' ')
                    .next()
                    .is_some_and(|word| word.ends_with(':'))
        });
        if is_key {
            line.replacen('#', "", 1)
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_shipped_file_is_right_on_both_nodes() {
    for (path, text) in SHIPPED {
        for node in ["lb1", "lb2"] {
            let config = parse(path, text, NodeName::Given(node));
            let config = config.unwrap_or_else(|errors| panic!("{path} for {node}:\n{errors}"));
            assert_eq!(config.node, node);
            let priority = if node == "lb1" { 150 } else { 100 };
            assert_eq!(
                config.virtual_routers[0].priority.get(),
                priority,
                "{path} for {node}"
            );
        }
    }
}

#[test]
fn every_key_of_the_shipped_file_is_right_when_uncommented() {
    let text = uncommented();
    assert!(!text.contains("#timeouts"), "keys are uncommented:\n{text}");
    let config = accepted(&text);
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.proxy.threads, Some(2));
}

#[test]
fn the_shipped_file_shows_defaults_behind_its_comment_signs() {
    let mut with_all = accepted(&uncommented());
    let as_shipped = accepted(SHIPPED[0].1);
    // What the file calls an example, not a default.
    with_all
        .listeners
        .retain(|listener| listener.name != "local");
    with_all.pools[0]
        .backends
        .retain(|b| !["http3", "http4"].contains(&b.name.as_str()));
    with_all.proxy.threads = as_shipped.proxy.threads;
    let limits = &mut with_all.listeners[0].limits;
    limits.body_bytes = None;
    limits.connections = None;
    limits.connections_per_client = None;
    limits.connection_rate_per_client = None;
    limits.rates = RequestRates::default();
    with_all.listeners[0].routes.clear();
    with_all.listeners[0].request_fields = FieldEdits::default();
    with_all.listeners[0].response_fields = FieldEdits::default();
    with_all.listeners[0].forwarding.trusted_proxies.clear();
    with_all.listeners[0].forwarding.proxy_fields.clear();
    with_all.listeners[0].error_pages = ErrorPages::default();
    let maintenance = &mut with_all.listeners[0].maintenance;
    maintenance.page = None;
    maintenance.allow.clear();
    with_all.listeners[0].tls = None;
    with_all.pools[0].tls = None;
    with_all.pools[0].follow.file = None;
    with_all.pools[0].follow.names.clear();
    with_all.group.secret.clear();
    with_all.pools[0].ejection = None;
    let cookie = with_all.pools[0].affinity.take();
    let cookie = cookie.map(|cookie| CookieRules {
        secure: Secure::AsArrived,
        lifetime: None,
        ..cookie
    });
    assert_eq!(cookie, Some(CookieRules::default()));
    with_all.pools[0].reproxy = None;
    let buffering = with_all.pools[0].buffer_requests.take();
    assert_eq!(buffering, Some(RequestBuffering::default()));
    with_all.pools[0].fallback = None;
    with_all.access_log = None;
    with_all.admin = None;
    with_all.track_scripts.clear();
    if let HealthCheckConfig::Probe(probe) = &mut with_all.pools[0].health_check
        && let ProbeKind::Http(http) = &mut probe.kind
    {
        http.host = None;
        http.headers.clear();
        http.body = None;
        probe.port = None;
    }
    assert_eq!(with_all, as_shipped);
}

#[test]
fn every_key_is_in_the_shipped_file_and_in_the_manual() {
    let manual = include_str!("../../man/evenkeel.yaml.5");
    for key in KEYS {
        assert!(
            SHIPPED[0].1.contains(&format!("{key}:")),
            "config/evenkeel.yaml lacks {key}"
        );
        let has = manual.contains(&format!(".It Cm {key} :"))
            || manual.contains(&format!("\n.Cm {key}\n"))
            || manual.contains(&format!("Cm {key} : "));
        assert!(has, "man/evenkeel.yaml.5 lacks {key}");
    }
}

#[test]
fn everything_can_be_said() {
    let router = accepted(&router(
        "priority: 7\n    advertisement_interval: 40.95s\n    preempt: {delay: 30s}\n    lease: 3s\n    \
         link: {required: false, up_delay: 30s}",
    ));
    let router = &router.virtual_routers[0];
    assert_eq!(router.priority.get(), 7);
    assert_eq!(router.advertisement_interval.centiseconds(), 4095);
    assert_eq!(router.preempt, Preempt::After(Duration::from_secs(30)));
    assert_eq!(router.lease, Duration::from_secs(3));
    assert!(!router.link.required);
    assert_eq!(router.link.up_delay, Duration::from_secs(30));

    let probe = "{http: {path: /up, host: \"[::1]:80\", expect: [204, \"300-399\", \"200\"]}, \
                 interval: 200ms, timeout: 1.5s, rise: 1, fall: 100}";
    let config = accepted(&pool(&format!(
        "health_check: {probe}\n    balance: round_robin\n    \
         timeouts: {{connect: 1ms, response_head: 24h, queue: 1h}}\n    \
         backends: {{a: {{address: \"192.0.2.10:80\", weight: 256, requests: 10000000, backup: true}}, b: \"192.0.2.11:80\"}}"
    )));
    let pool = &config.pools[0];
    assert_eq!(pool.balance, Balance::RoundRobin);
    assert_eq!(pool.timeouts.connect, Duration::from_millis(1));
    assert_eq!(pool.timeouts.response_head, Duration::from_secs(86_400));
    assert_eq!(pool.timeouts.queue, Duration::from_secs(3600));
    let requests = pool.backends.iter().map(|backend| backend.requests);
    assert_eq!(requests.collect::<Vec<_>>(), [Some(10_000_000), None]);
    let tiers = pool.backends.iter().map(|backend| backend.tier);
    assert_eq!(tiers.collect::<Vec<_>>(), [Tier::Backup, Tier::Primary]);
    let HealthCheckConfig::Probe(probe) = &pool.health_check else {
        panic!("a probe: {pool:?}")
    };
    assert_eq!((probe.rise, probe.fall), (1, 100));
    assert_eq!(probe.timeout, Duration::from_millis(1500));
    let expect = vec![(204, 204), (300, 399), (200, 200)];
    let host = Some("[::1]:80".to_owned());
    assert_eq!(
        probe.kind,
        ProbeKind::Http(HttpProbe {
            path: "/up".to_owned(),
            host,
            expect,
            ..HttpProbe::default()
        })
    );
}

#[test]
fn a_health_check_can_be_none() {
    let config = accepted(&pool("health_check: none"));
    assert_eq!(config.pools[0].health_check, HealthCheckConfig::None);
}

fn addresses(router: &VirtualRouterConfig) -> Vec<String> {
    router.addresses.iter().map(ToString::to_string).collect()
}

/// RFC 9568 §5.2.9: the first IPv6 address is link-local.
#[test]
fn an_ipv6_router_gets_a_link_local_address_first() {
    let config = accepted(&router("addresses: [\"2001:db8::100/64\", 192.0.2.100/24]"));
    let names: Vec<_> = config
        .virtual_routers
        .iter()
        .map(|r| r.name.to_string())
        .collect();
    assert_eq!(names, ["web/ipv4", "web/ipv6"]);
    let ipv6 = addresses(&config.virtual_routers[1]);
    assert_eq!(ipv6, ["fe80::112:33/64", "2001:db8::100/64"]);
}

/// RFC 9568 §5.2.9: the first IPv6 address is link-local.
#[test]
fn a_link_local_address_that_is_given_moves_to_the_front() {
    let given =
        "addresses: [\"2001:db8::1/64\", \"2001:db8::2/64\", \"fe80::7/64\", \"fe80::8/64\"]";
    let config = accepted(&router(given));
    let ipv6 = addresses(&config.virtual_routers[0]);
    assert_eq!(
        ipv6,
        [
            "fe80::7/64",
            "2001:db8::1/64",
            "2001:db8::2/64",
            "fe80::8/64"
        ]
    );
}

#[test]
fn a_link_local_address_may_be_on_two_links() {
    let text = "virtual_routers:\n  a: {interface: eth0, vrid: 1, addresses: [\"fe80::1/64\"]}\n  \
                b: {interface: eth1, vrid: 1, addresses: [\"fe80::1/64\"]}\n";
    assert_eq!(accepted(text).virtual_routers.len(), 2);
}

#[test]
fn a_derived_link_local_address_is_taken_too() {
    let given = "  a: {interface: eth0, vrid: 1, addresses: [\"fe80::112:33/64\"]}\n";
    let derived = "  b: {interface: eth0, vrid: 51, addresses: [\"2001:db8::1/64\"]}\n";
    let printed = errors(&format!("virtual_routers:\n{given}{derived}"));
    assert_snapshot!(printed, @r#"
    error: fe80::112:33, which vrid 51 gets by itself, already belongs to `a`
     --> lb.yaml:3:45
      |
    3 |   b: {interface: eth0, vrid: 51, addresses: ["2001:db8::1/64"]}
      |                                             ^
    help: give this one a link-local address of its own
    "#);
    let printed = errors(&format!("virtual_routers:\n{derived}{given}"));
    assert!(
        printed.starts_with("error: fe80::112:33 already belongs to `b`"),
        "{printed}"
    );
}

#[test]
fn one_vrid_may_serve_both_families_in_two_entries() {
    let text = "virtual_routers:\n  a: {interface: eth0, vrid: 1, addresses: [192.0.2.1/24]}\n  \
                b: {interface: eth0, vrid: 1, addresses: [\"2001:db8::1/64\"]}\n";
    assert_eq!(accepted(text).virtual_routers.len(), 2);
}

#[test]
fn an_advertisement_counts_at_most_255_addresses() {
    let list = |n: u32, of: fn(u32) -> String| {
        let list: Vec<String> = (1..=n).map(of).collect();
        router(&format!("addresses: [{}]", list.join(", ")))
    };
    let ipv4 = |i: u32| format!("10.0.{}.{}/16", i / 256, i % 256);
    let ipv6 = |i: u32| format!("\"2001:db8::{i:x}/64\"");
    accepted(&list(255, ipv4));
    assert!(errors(&list(256, ipv4)).starts_with("error: a virtual router has at most 255"));
    accepted(&list(254, ipv6));
    let printed = errors(&list(255, ipv6));
    assert!(
        printed.starts_with("error: a virtual router has at most 255"),
        "{printed}"
    );
}

#[test]
fn the_name_given_wins_over_the_file_and_the_file_over_the_host() {
    let named = format!("node: lb2\n{}", router("priority: {lb1: 150, lb2: 100}"));
    assert_eq!(accepted_for(&named, NodeName::Given("lb1")).node, "lb1");
    assert_eq!(
        accepted_for(&named, NodeName::HostName("elsewhere")).node,
        "lb2"
    );
    assert_eq!(
        accepted_for(&router("priority: 1"), NodeName::HostName("host")).node,
        "host"
    );
}

#[test]
fn a_host_name_that_is_no_name_is_refused_only_where_it_is_used() {
    let named = format!("node: lb2\n{}", router("priority: 1"));
    assert_eq!(
        accepted_for(&named, NodeName::HostName("(none)")).node,
        "lb2"
    );
    let printed = parse(
        "lb.yaml",
        &router("priority: 1"),
        NodeName::HostName("(none)"),
    );
    assert_snapshot!(printed.expect_err("no node has that name"), @r#"
    error: the host's name, used for want of `node`, cannot be `(none)`
     --> lb.yaml
    help: a node's name is letters, digits, `.`, `_` and `-`
    "#);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_matter() {
    let plain = router("priority: 1");
    let text = format!("\u{feff}{}", plain.replace('\n', "\r\n"));
    assert_eq!(accepted(&text), accepted(&plain));
    let printed = errors(&text.replace("vrid: 51", "vrid: 0"));
    assert!(printed.contains("lb.yaml:4:11"), "{printed}");
}

#[test]
fn an_alias_means_what_its_anchor_says() {
    let text = "virtual_routers:\n  a: {interface: eth0, vrid: 1, priority: &p {lb1: 9}, addresses: [192.0.2.1/24]}\n  \
                b: {interface: eth1, vrid: 1, priority: *p, addresses: [198.51.100.1/24]}\n";
    let config = accepted(text);
    assert_eq!(config.virtual_routers[1].priority.get(), 9);
    let printed = errors(&text.replace("lb1: 9", "lb1: 0"));
    assert!(printed.contains("lb.yaml:2:"), "{printed}");
    assert!(printed.contains("lb.yaml:3:"), "{printed}");
}

#[test]
fn a_file_over_one_mebibyte_is_refused() {
    let text = format!("{}# {}\n", router("priority: 1"), "x".repeat(1 << 20));
    assert_snapshot!(errors(&text), @r#"
    error: the file is larger than 1024 KiB
     --> lb.yaml
    "#);
}

#[test]
fn many_errors_are_printed_in_little_time() {
    let text = format!("listeners: {{{}}}\n", "a: 1, ".repeat(20_000));
    let printed = errors(&text);
    assert!(printed.matches("is here twice").count() == 19_999);
}

#[test]
fn check_prints_what_a_node_would_run() {
    let text = include_str!("../../config/examples/dual-stack.yaml");
    assert_snapshot!(describe(&accepted(text)), @r#"
    node lb1

    VIRTUAL ROUTER  INTERFACE  VRID  PRIORITY  WELL  ILL  INTERVAL  PREEMPT    LEASE  ADDRESSES
    web/ipv4        eth0       51    150       150   2    100ms     after 30s  2s     192.0.2.100/24, 192.0.2.101/24
    web/ipv6        eth0       51    150       150   2    100ms     after 30s  2s     fe80::112:33/64, 2001:db8::100/64

    LISTENER  TIED TO  POOL      ADDRESSES
    http      web      webfarm   192.0.2.100:80, 192.0.2.101:80, [2001:db8::100]:80
    intranet  web      intranet  192.0.2.101:8080

    POOL      BALANCE        HEALTH CHECK                              BACKENDS
    webfarm   random_of_two  http /health every 200ms, rise 2, fall 2  http1=192.0.2.110:80, http2=[2001:db8::111]:80, http3=[2001:db8::112]:80 weight 2
    intranet  random_of_two  tcp every 500ms, rise 2, fall 2           app=192.0.2.120:8000
    "#);
    let owner = router("owner: {lb1: true, lb2: false}");
    for (text, notes) in [
        (router("priority: {lb1: 150, lb2: 100}"), ""),
        (
            router("priority: {lb1: 1, lb2: 254}"),
            "note: web: lb1 stands with 3 instead of 1 while it can serve: up to 2 are those that cannot\n",
        ),
        (
            router("priority: {lb1: 90, lb2: 100, lb3: 100}"),
            "note: web: lb2, lb3 all have 100: the highest address of them is Active\n",
        ),
        (
            owner,
            "note: web: lb1 owns the addresses: 255, also when it cannot serve\n",
        ),
    ] {
        let described = describe(&accepted(&text));
        let found = described.find("note:").map_or("", |at| &described[at..]);
        assert_eq!(found, notes, "{described}");
    }
    let both = pool("backends: {a: {address: \"192.0.2.10:80\", weight: 2, requests: 50}}");
    let described = describe(&accepted(&both));
    assert!(
        described.ends_with("a=192.0.2.10:80 weight 2 requests 50\n"),
        "{described}"
    );
}

#[test]
fn check_says_by_its_exit_code_whether_a_file_is_right() {
    let dir = tempfile::tempdir().expect("a directory for the file");
    let path = dir.path().join("evenkeel.yaml");
    assert_eq!(check::run(&path, Some("lb1")), 1, "there is no file");
    std::fs::write(&path, SHIPPED[0].1).expect("a file");
    assert_eq!(check::run(&path, Some("lb1")), 0, "the file is right");
    assert_eq!(check::run(&path, Some("lb9")), 78, "lb9 is not in it");
    std::fs::write(&path, b"node: \xff\n").expect("a file");
    assert_eq!(check::run(&path, None), 78, "it is no text");
}

/// S9: the summary says what would keep this node out.
#[test]
fn address_of_the_interface_itself_is_noted() {
    let config = |lines: &str| {
        let yaml = format!(
            "virtual_routers:\n  web: {{interface: eth0, vrid: 51, addresses: [192.0.2.1/24, \
             '2001:db8::1/64']{lines}}}\n"
        );
        let node = evenkeel::config::check::NodeName::Given("lb1");
        evenkeel::config::parse("evenkeel.yaml", &yaml, node).expect("it is right")
    };
    let own = |interface: &str, address: &str, prefix_len| {
        let address = address.parse().expect("an address");
        (interface.to_owned(), address, prefix_len)
    };
    let conflicting = [own("eth0", "192.0.2.1", 24), own("eth0", "2001:db8::1", 64)];
    let said = check::conflicts(&config(""), &conflicting);
    assert_eq!(
        said.matches("is an address of eth0 itself").count(),
        2,
        "{said}"
    );
    let owner = check::conflicts(&config(", owner: true"), &conflicting);
    assert_eq!(owner, "", "an owner's are where they should be");
    let fine = [
        own("eth1", "192.0.2.1", 24),
        own("eth0", "192.0.2.2", 24),
        own("eth0", "192.0.2.1", 32),
        own("eth0", "2001:db8::1", 128),
    ];
    assert_eq!(
        check::conflicts(&config(""), &fine),
        "",
        "elsewhere, another, or a lease"
    );
}

/// What is said with keepalived's `unicast_src_ip` and `dev`, and RFC 3768 §5.3.7.
#[test]
fn peers_beyond_routers_addresses_elsewhere_and_slow_intervals_can_be_said() {
    let config = accepted(&router(
        "interface: eth0\n    peers: [192.0.2.1, \"2001:db8::1\"]\n    peer_hops: 254\n    \
         address_interface: eth1",
    ));
    let router_ = &config.virtual_routers[0];
    assert_eq!(router_.peer_hops, 254);
    assert_eq!(
        (
            router_.interface.as_str(),
            router_.address_interface.as_str()
        ),
        ("eth0", "eth1")
    );
    let config = accepted(&router("version: 2\n    advertisement_interval: 255s"));
    let interval = config.virtual_routers[0].advertisement_interval;
    assert_eq!(interval.duration(), Duration::from_secs(255));
}
