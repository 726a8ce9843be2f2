//! What a child that was taken over could say, and what becomes of it.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs::File;
use std::net::UdpSocket;

use super::*;
use crate::config::{self, check::NodeName};
use crate::ipc::control::TimesStatus;
use crate::ipc::control::{PoolStatus, RouteStatus};
use crate::ipc::log_line::TEXT_BYTES_MAX;
use crate::ipc::message::{ActiveRole, LogLine, StateName, TransitionReport};

fn belief() -> Belief {
    let yaml = "virtual_routers:
  web: {interface: eth0, vrid: 51, addresses: [192.0.2.100/24, \"2001:db8::100/64\"]}
listeners:
  http: {virtual_router: web, port: 80, pool: webfarm}
pools:
  webfarm:
    backends: {one: \"192.0.2.11:80\", two: \"192.0.2.12:80\"}
    health_check: {tcp: {}}
";
    Belief::new(&config::parse("test", yaml, NodeName::Given("lb1")).unwrap())
}

fn router(entry: &str) -> RouterName {
    RouterName {
        entry: entry.into(),
        family: Family::Ipv4,
    }
}

fn health(pool: &str, backends: &[&str]) -> FromProxy {
    let up = |name: &&str| ((*name).to_owned(), true);
    FromProxy::Health(PoolHealth {
        pool: pool.into(),
        backends: backends.iter().map(up).collect(),
        probed: true,
    })
}

fn proxy_status(id: u64, pool: &str) -> FromProxy {
    FromProxy::Status {
        id,
        listeners: Vec::new(),
        pools: vec![PoolStatus::uncounted(pool.into(), Vec::new())],
        access_log: None,
        warnings: Vec::new(),
    }
}

fn transition(entry: &str, cause: &str) -> FromVrrp {
    FromVrrp::Transition(TransitionReport {
        router: router(entry),
        from: StateName::Backup,
        to: StateName::Active,
        cause: cause.into(),
        at_ns: 0,
    })
}

fn beat(entries: &[&str]) -> FromVrrp {
    let role = |entry: &&str| ActiveRole {
        router: router(entry),
        advertised_at_ns: 1,
    };
    FromVrrp::Beat {
        active: entries.iter().map(role).collect(),
    }
}

#[test]
fn invented_names_are_not_believed_however_many_there_are() {
    let belief = belief();
    for number in 0..20_000 {
        let name = format!("invented-{number}");
        assert!(belief.of_proxy(health(&name, &[]), &[], 9).is_err());
        assert!(
            belief
                .of_proxy(health("webfarm", &[&name]), &[], 9)
                .is_err()
        );
        assert!(belief.of_proxy(proxy_status(1, &name), &[], 9).is_err());
        assert!(belief.of_vrrp(transition(&name, ""), &[], 9).is_err());
        assert!(belief.of_vrrp(beat(&[&name]), &[], 9).is_err());
    }
    assert!(belief.of_vrrp(beat(&["web", "web"]), &[], 9).is_err());
    assert!(
        belief
            .of_proxy(health("webfarm", &["one", "two"]), &[], 9)
            .is_ok()
    );
    assert!(belief.of_proxy(proxy_status(1, "webfarm"), &[], 9).is_ok());
    assert!(belief.of_vrrp(beat(&["web"]), &[], 9).is_ok());
}

#[test]
fn the_process_that_looks_names_up_lends_nothing_and_its_words_are_cut() {
    let text = "\u{1b}".repeat(4 * TEXT_BYTES_MAX);
    let said = Belief::of_names(FromNames::Replaced(text.clone()), &[]).unwrap();
    let FromNames::Replaced(path) = said else {
        panic!("{said:?}")
    };
    assert!(!path.contains('\u{1b}'), "{path:?}");
    let lacking = FromNames::Lacking(vec![text; 4 * LACKING_MAX]);
    let FromNames::Lacking(few) = Belief::of_names(lacking, &[]).unwrap() else {
        panic!("as said")
    };
    assert_eq!(few.len(), LACKING_MAX);
    let lent = [File::open("/proc/self/exe").unwrap().into()];
    Belief::of_names(FromNames::Beat, &lent).unwrap_err();
}

#[test]
fn the_process_that_keeps_keys_lends_nothing_and_its_words_are_cut() {
    let descriptor = || vec![OwnedFd::from(File::open("/dev/null").unwrap())];
    assert!(Belief::of_keys(FromKeys::Beat, &descriptor()).is_err());
    let long = format!("\u{1b}]0;owned\u{7}{}", "x".repeat(100_000));
    let many = vec![long.clone(); 1000];
    let lacking = Belief::of_keys(FromKeys::Lacking(many), &[]).unwrap();
    let FromKeys::Lacking(few) = lacking else {
        panic!("{lacking:?}");
    };
    assert_eq!(few.len(), LACKING_MAX);
    let refused = Belief::of_keys(FromKeys::SecretsRefused(long.clone()), &[]).unwrap();
    let FromKeys::SecretsRefused(why) = refused else {
        panic!("{refused:?}");
    };
    for text in few.iter().chain([&why]) {
        assert!(text.len() < 2 * TEXT_BYTES_MAX, "{}", text.len());
        assert!(!text.chars().any(char::is_control));
    }
    let line = LogLine {
        level: crate::ipc::log_line::LogLevel::Error,
        message: long,
        fields: Vec::new(),
        dropped: 0,
    };
    let FromKeys::Log(line) = Belief::of_keys(FromKeys::Log(line), &[]).unwrap() else {
        panic!("it stays a line");
    };
    assert!(line.message.len() < 10_000, "{}", line.message.len());
}

#[test]
fn status_is_believed_when_it_was_asked_for_also_when_it_comes_late() {
    let belief = belief();
    for (id, believed) in [(0, false), (1, true), (3, true), (4, false)] {
        let made = belief.of_proxy(proxy_status(id, "webfarm"), &[], 3);
        assert_eq!(made.is_ok(), believed, "{id}: {made:?}");
    }
}

#[test]
fn text_is_cut_and_loses_what_a_terminal_would_obey() {
    let belief = belief();
    let cause = format!("\u{1b}]0;owned\u{7}\nSTATUS={}", "x".repeat(1_000_000));
    let FromVrrp::Transition(report) = belief.of_vrrp(transition("web", &cause), &[], 0).unwrap()
    else {
        panic!("it stays a transition");
    };
    assert!(
        report.cause.len() < 2 * TEXT_BYTES_MAX,
        "{}",
        report.cause.len()
    );
    assert!(!report.cause.chars().any(char::is_control));

    let FromProxy::Status { pools, .. } =
        belief.of_proxy(proxy_status(1, "webfarm"), &[], 1).unwrap()
    else {
        panic!("it stays a status");
    };
    assert_eq!(pools[0].name, "webfarm", "what is sound is not touched");
    let tidy = tidied(vec!["a\u{1b}[2Jb".to_owned(), "é".into()]).unwrap();
    assert_eq!(tidy, ["a\\u{1b}[2Jb", "é"]);

    let lacking = vec!["x".repeat(100_000); 10_000];
    let FromVrrp::Lacking(few) = belief.of_vrrp(FromVrrp::Lacking(lacking), &[], 0).unwrap() else {
        panic!("it stays what it is");
    };
    assert_eq!(few.len(), LACKING_MAX);
}

#[test]
fn sockets_to_keep_are_vrrp_sockets_of_configured_interfaces() {
    let belief = belief();
    let key = |interface: &str, family| SocketKey {
        interface: interface.into(),
        ifindex: 2,
        family,
    };
    let keep = |sockets: Vec<SocketKey>| FromVrrp::KeepSockets {
        sockets,
        more: false,
    };
    let four = key("eth0", Family::Ipv4);
    let udp = || OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
    let file = || OwnedFd::from(File::open("/dev/null").unwrap());
    for (what, message, descriptors) in [
        ("a UDP socket", keep(vec![four.clone()]), vec![udp()]),
        ("a file", keep(vec![four.clone()]), vec![file()]),
        ("too many", keep(Vec::new()), vec![udp()]),
        ("unknown", keep(vec![key("eth7", Family::Ipv4)]), Vec::new()),
        ("twice", keep(vec![four.clone(), four.clone()]), Vec::new()),
        ("a beat that lends", beat(&[]), vec![file()]),
    ] {
        assert!(belief.of_vrrp(message, &descriptors, 0).is_err(), "{what}");
    }
    let both = vec![four, key("eth0", Family::Ipv6)];
    let made = belief.of_vrrp(keep(both), &[], 0);
    assert!(made.is_ok(), "without room for the descriptors: {made:?}");
}

#[test]
fn kept_sockets_are_one_for_each_interface_and_family_whatever_is_said() {
    let mut kept = Vec::new();
    for ifindex in 0..1_000 {
        let key = SocketKey {
            interface: "eth0".into(),
            ifindex,
            family: Family::Ipv4,
        };
        let socket = OwnedFd::from(File::open("/dev/null").unwrap());
        keep_sockets(&mut kept, vec![key], vec![socket]);
    }
    assert_eq!((kept.len(), kept[0].0.ifindex), (1, 999));
}

#[test]
fn bounds_follow_the_configuration_and_a_full_status_fits() {
    let belief = belief();
    assert_eq!(belief.proxy_bounds().descriptors, 0);
    assert_eq!(belief.vrrp_bounds().descriptors, 2);
    assert!(belief.proxy_bounds().file_bytes < 128 * 1024);
    assert!(belief.vrrp_bounds().file_bytes < 1024 * 1024);
    let yaml = |backends: usize| {
        let one = |n: usize| format!("b{n}: \"192.0.2.1:{}\"", n + 1);
        let backends: Vec<String> = (0..backends).map(one).collect();
        format!(
            "listeners: {{http: {{bind: [\"127.0.0.1:80\"], pool: p}}}}\npools: {{p: {{health_check: none, backends: {{{}}}}}}}\n",
            backends.join(", ")
        )
    };
    let bytes = |backends| {
        let config = config::parse("test", &yaml(backends), NodeName::Given("lb1")).unwrap();
        Belief::new(&config).proxy_bounds().file_bytes
    };
    assert!(
        bytes(150) > bytes(1) + 149 * 4_096,
        "150 backends need more"
    );
}

/// A thousand routes of the longest names are shown, and not taken for a lie.
#[test]
fn status_of_as_many_routes_as_there_can_be_fits() {
    let pool = "p".repeat(64);
    let route = |n: usize| format!("{{name: r{n:063}, path: /{n}, pool: {pool}}}");
    let routes: Vec<String> = (0..1000).map(route).collect();
    let yaml = format!(
        "listeners: {{http: {{bind: [\"127.0.0.1:80\"], routes: [{}]}}}}\npools: {{{pool}: {{health_check: none, backends: {{a: \"192.0.2.1:1\"}}}}}}\n",
        routes.join(", ")
    );
    let config = config::parse("test", &yaml, NodeName::Given("lb1"));
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    let shown = config.listeners[0].routes.iter().map(|route| RouteStatus {
        name: route.name.clone(),
        pool: route.pool().map(str::to_owned),
        requests_total: u64::MAX,
        times: TimesStatus {
            buckets: vec![u64::MAX; TimesStatus::BOUNDS_US.len() + 1],
            sum_us: u64::MAX,
        },
    });
    let shown: Vec<RouteStatus> = shown.collect();
    let bytes = serde_json::to_vec(&shown).unwrap().len();
    let bounds = Belief::new(&config).proxy_bounds();
    assert!(bytes > 180_000, "they are long: {bytes}");
    assert!(
        bounds.file_bytes > bytes + FRAME_BYTES,
        "{bounds:?} for {bytes}"
    );
}

#[test]
fn log_line_of_a_child_is_bounded() {
    let line = LogLine {
        level: crate::ipc::log_line::LogLevel::Error,
        message: "x".repeat(100_000),
        fields: Vec::new(),
        dropped: 0,
    };
    let FromProxy::Log(line) = belief().of_proxy(FromProxy::Log(line), &[], 0).unwrap() else {
        panic!("it stays a line");
    };
    assert!(line.bytes() < 1_000);
}
