//! The page as a browser gets it.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::{document, pieces};
use crate::ipc::control::{
    AccessLogStatus, ActiveStatus, BackendStatus, CertificateStatus, ConfigurationStatus, Event,
    ListenerStatus, OverrideStatus, PeerStatus, PoolStatus, ProcessStatus, RouteStatus,
    RouterSettings, RouterStatus, Status, TimerStatus, TimesStatus,
};
use crate::model::{Family, RouterName};
use crate::process::admin::history::History;
use crate::process::admin::watched::{Snapshot, Texts};

/// Returns a status of a node of this name, with one of everything.
pub(in crate::process::admin) fn sample(node: &str) -> Status {
    many_of(node, 1, 1, 1)
}

/// Returns a status with so many virtual routers, and pools of so many backends.
pub(in crate::process::admin) fn many(routers: usize, pools: usize, backends: usize) -> Status {
    many_of("lb1", routers, pools, backends)
}

fn many_of(node: &str, routers: usize, pools: usize, backends: usize) -> Status {
    let number = |n: usize| if n == 0 { String::new() } else { n.to_string() };
    let process = |name: &str, pid| ProcessStatus {
        name: name.into(),
        pid,
        restarts: 1,
    };
    Status {
        node: node.into(),
        version: "0.1.0".into(),
        virtual_routers: (0..routers)
            .map(|n| router(&format!("web{}", number(n))))
            .collect(),
        listeners: vec![listener()],
        pools: (0..pools)
            .map(|n| pool(&format!("web{}", number(n)), backends))
            .collect(),
        processes: vec![
            process("evenkeel", Some(1)),
            process("evenkeel-proxy", None),
        ],
        warnings: vec!["something is wrong".into()],
        statistics: BTreeMap::from([("checksum_errors".into(), 1)]),
        access_log: Some(AccessLogStatus {
            to: "stdout".into(),
            lines_written_total: 1,
            lines_dropped_total: 1,
            error: String::new(),
        }),
        configuration: ConfigurationStatus {
            file: "/etc/evenkeel/evenkeel.yaml".into(),
            generation: 3,
            since_ms: 1_790_000_000_000,
            checksum: "0123456789abcdef".into(),
            file_differs: Some(true),
            ..ConfigurationStatus::default()
        },
        overrides: vec![OverrideStatus {
            subject: "backend web/b1".into(),
            change: "drained".into(),
            at_ms: 1_790_000_000_000,
        }],
    }
}

fn router(entry: &str) -> RouterStatus {
    RouterStatus {
        name: RouterName {
            entry: entry.into(),
            family: Family::Ipv4,
        },
        interface: "eth0".into(),
        vrid: 51,
        state: "Active".into(),
        since_ms: 5_000,
        cause: "no Active was heard".into(),
        base_priority: 150,
        effective_priority: 90,
        priority_reason: "script uplink failed".into(),
        addresses: vec!["192.0.2.100".parse().unwrap()],
        holds_addresses: true,
        advertisement_interval_ms: 1_000,
        active_adver_interval_ms: None,
        primary_address: None,
        peers: vec![PeerStatus {
            address: "192.0.2.2".parse().unwrap(),
            priority: 100,
            heard_ms: 40,
            checksum: "rfc9568".into(),
            checksums: BTreeMap::new(),
            interval_ms: 1_000,
            addresses: Vec::new(),
        }],
        counters: BTreeMap::from([("advertisements_sent".into(), 7)]),
        rejected: BTreeMap::from([("checksum".into(), 1)]),
        last_rejected: None,
        notes: vec!["a note".into()],
        active: Some(ActiveStatus {
            address: "192.0.2.1".parse().unwrap(),
            priority: 90,
        }),
        last_event: String::new(),
        new_active_reason: String::new(),
        timers: TimerStatus::default(),
        settings: RouterSettings::default(),
    }
}

fn times() -> TimesStatus {
    TimesStatus {
        buckets: vec![1; 15],
        sum_us: 15,
    }
}

fn listener() -> ListenerStatus {
    ListenerStatus {
        name: "http".into(),
        binds: vec!["192.0.2.100:80".parse().unwrap()],
        pool: Some("web".into()),
        routes: vec![RouteStatus {
            name: "api".into(),
            pool: None,
            requests_total: 4,
            times: times(),
        }],
        certificates: vec![CertificateStatus {
            names: vec!["www.example.org".into()],
            file: "/etc/evenkeel/tls/www.crt".into(),
            not_after_s: 1_800_000_000,
            days_left: 3,
        }],
        proxy_headers_failed_total: 1,
        handshakes_total: 1,
        handshakes_failed_total: 1,
        connections: 1,
        connections_refused_total: 1,
        connections_evicted_total: 1,
        connections_rate_limited_total: 1,
        requests_rate_limited_total: 1,
        requests_total: 5,
        responses_total: BTreeMap::from([("2xx".into(), 4), ("5xx".into(), 1)]),
        times: times(),
    }
}

fn pool(name: &str, backends: usize) -> PoolStatus {
    let backend = |n: usize| BackendStatus {
        name: format!("b{n}"),
        address: "192.0.2.102:80".parse().unwrap(),
        state: "down".into(),
        check: "cannot connect: Connection refused (os error 111)".into(),
        active_requests: 1,
        requests_total: 2,
        failures_total: 1,
        unsolicited_total: 1,
        requests_max: Some(3),
        mode: Default::default(),
        backup: true,
        slow_start: Some(50),
        ejected_ms: None,
    };
    PoolStatus {
        queued_requests: 1,
        response_times: times(),
        ..PoolStatus::uncounted(name.into(), (0..backends).map(backend).collect())
    }
}

fn snapshot() -> Snapshot {
    let event = Event {
        epoch: 1,
        at_ms: 1_790_000_000_000,
        router: RouterName {
            entry: "web".into(),
            family: Family::Ipv4,
        },
        from: "Backup".into(),
        to: "Active".into(),
        cause: "no Active was heard".into(),
    };
    Snapshot {
        status: None,
        events: vec![event],
        at_ms: 1_790_000_005_000,
        taken_at: Instant::now(),
        texts: Texts::default(),
    }
}

fn measured(status: &Status) -> History {
    let mut history = History::default();
    history.note(1_790_000_004_000, status);
    let mut later = status.clone();
    later.listeners[0].requests_total += 10;
    history.note(1_790_000_005_000, &later);
    history
}

#[test]
fn every_fact_is_in_the_page_as_it_is_loaded() {
    let status = sample("lb1");
    let page = document(&snapshot(), &status, &measured(&status), true);
    for fact in [
        "lb1",
        "0.1.0",
        "something is wrong",
        "the configuration file differs",
        "web/ipv4: a note",
        "number 3 since",
        "0123456789abcdef",
        "evenkeel-proxy <span class=\"badge bad\">does not run",
        "restarted 1 times",
        "backend web/b1: drained",
        "stdout, 1 lines dropped",
        "web/ipv4",
        "eth0 vrid 51",
        ">Active<",
        "2026-09-21 14:13:20 UTC",
        "no Active was heard",
        "of 150 script uplink failed",
        "192.0.2.100",
        "here",
        "192.0.2.2 priority 100",
        "aria-label=\"Backup, then Active\"",
        "192.0.2.100:80",
        "10 requests/s",
        "Connections open: 1, requests: 5, of these 2xx 4, 5xx 1",
        "1 requests answered 429",
        "api",
        "the proxy itself",
        "All others to web.",
        "www.example.org",
        "3 days left",
        "0 of 1 up",
        "1 wait for a backend",
        "192.0.2.102:80",
        ">down<",
        "backup",
        "50 % of its weight",
        "Connection refused",
        "1 of 3",
        "<option>backend web b0</option>",
        "<option>listener http</option>",
        "<option>router web</option>",
    ] {
        assert!(page.contains(fact), "{fact} in\n{page}");
    }
}

#[test]
fn nothing_is_changed_where_there_is_no_form() {
    let page = document(&snapshot(), &sample("lb1"), &History::default(), false);
    assert!(
        !page.contains("<form") && !page.contains("<input"),
        "{page}"
    );
}

/// What a peer, a backend or a script says is in the page, and is nothing but a text there.
#[test]
fn no_text_is_markup() {
    let hostile = "\"><script>alert(1)</script>'";
    let mut status = sample(hostile);
    let own = || hostile.to_owned();
    status.version = own();
    status.warnings = vec![own()];
    status.configuration.file = own();
    status.overrides[0].subject = own();
    status.overrides[0].change = own();
    status.processes[0].name = own();
    let router = &mut status.virtual_routers[0];
    router.name.entry = own();
    (router.interface, router.cause, router.priority_reason) = (own(), own(), own());
    (router.state, router.notes) = (own(), vec![own()]);
    let listener = &mut status.listeners[0];
    (listener.name, listener.pool) = (own(), Some(own()));
    listener.routes[0].name = own();
    listener.routes[0].pool = Some(own());
    listener.certificates[0].names = vec![own()];
    listener.certificates[0].file = own();
    listener.responses_total = BTreeMap::from([(own(), 1)]);
    let pool = &mut status.pools[0];
    pool.name = own();
    (
        pool.backends[0].name,
        pool.backends[0].check,
        pool.backends[0].state,
    ) = (own(), own(), own());
    let log = status.access_log.as_mut().unwrap();
    (log.to, log.error) = (own(), own());
    let mut snapshot = snapshot();
    let event = &mut snapshot.events[0];
    event.router.entry = own();
    (event.from, event.to, event.cause) = (own(), own(), own());
    let page = document(&snapshot, &status, &History::default(), true);
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert_eq!(page.matches("<script").count(), 1, "its own:\n{page}");
    assert!(!page.contains(hostile), "{page}");
}

#[test]
fn a_piece_is_one_element_with_its_id() {
    let status = many(3, 2, 2);
    let pieces = pieces(&snapshot(), &status, &measured(&status));
    let page = document(&snapshot(), &status, &measured(&status), false);
    let mut ids = BTreeSet::new();
    for (id, html) in &pieces {
        assert!(ids.insert(id), "{id} is there once");
        let (tag, rest) = html[1..].split_once(' ').unwrap();
        assert!(rest.starts_with(&format!("id=\"{id}\"")), "{html}");
        assert!(html.ends_with(&format!("</{tag}>")), "{html}");
        assert!(page.contains(html.as_str()), "{id} is in the page as it is");
    }
    assert!(ids.len() >= 10, "{ids:?}");
}

#[test]
fn two_looks_at_which_nothing_has_happened_are_the_same() {
    let status = sample("lb1");
    let history = measured(&status);
    let (first, mut second) = (snapshot(), snapshot());
    second.at_ms += 700;
    let mut later = status.clone();
    later.virtual_routers[0].since_ms += 700;
    assert_eq!(
        pieces(&first, &status, &history),
        pieces(&second, &later, &history)
    );
}
