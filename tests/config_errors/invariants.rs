//! What must hold for any text: no panic, every error has its place, and what is accepted obeys its
//! types' invariants. Shared by the property tests and the fuzz target `configuration`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use evenkeel::config::{
    Authentication, Config, HealthCheckConfig, HttpProbe, ListenerConfig, ListenerMode, NodeName,
    PoolConfig, ProbeKind, RouteAction, RouteConfig, VirtualRouterConfig, parse,
};
use evenkeel::logic::balance::route::{Access, PathPattern};
use evenkeel::logic::http1::rewrite::path::normalize;
use evenkeel::model::{AdverInterval, Family, Priority, Version};

/// Reads a text as any node would, and panics where it should not be read so.
pub(crate) fn check_text(text: &str) {
    let first = parse(PATH, text, NodeName::Given("lb1"));
    let again = parse(PATH, text, NodeName::Given("lb1"));
    assert_eq!(first, again, "the answer is always the same");
    match first {
        Ok(config) => check_config(&config),
        Err(errors) => {
            assert!(errors.len() >= 1, "a reason");
            errors.iter().for_each(|error| check_error(error, text));
        }
    }
    if let Ok(config) = parse(PATH, text, NodeName::HostName("lb2")) {
        check_config(&config);
    }
}

/// `error: what`, then where: a line and column of the text, or a way through it, or only the file.
fn check_error(error: &str, text: &str) {
    assert!(error.starts_with("error: "), "{error}");
    let place = error.lines().find_map(|line| {
        let line = line.trim_start_matches(' ');
        line.strip_prefix("--> ")?.strip_prefix(PATH)
    });
    let place = place.unwrap_or_else(|| panic!("a place is hoped for: {error}"));
    let Some(numbers) = place.strip_prefix(':') else {
        assert!(place.is_empty() || place.starts_with(" ("), "{error}");
        return;
    };
    let numbers: Vec<usize> = numbers
        .split(':')
        .map(|number| number.parse().expect("a number"))
        .collect();
    let [line, column] = numbers[..] else {
        panic!("line and column are hoped for: {error}");
    };
    // Every character that some reader of YAML takes for the end of a line, and the line after the
    // last.
    let ends = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
    let lines = text.chars().filter(|c| ends.contains(c)).count() + 2;
    assert!((1..=lines).contains(&line), "a line of the text: {error}");
    assert!(column >= 1, "a column: {error}");
}

fn check_config(config: &Config) {
    assert!(!config.node.is_empty(), "somebody is meant");
    config.virtual_routers.iter().for_each(check_router);
    let identities = config.virtual_routers.iter().map(|router| {
        let family = Family::of(router.addresses[0].address) == Family::Ipv4;
        (&router.interface, router.vrid.get(), family)
    });
    let unique: BTreeSet<_> = identities.collect();
    assert_eq!(
        unique.len(),
        config.virtual_routers.len(),
        "no VRID twice on a link"
    );
    for listener in &config.listeners {
        check_listener(listener, config);
    }
    config.pools.iter().for_each(check_pool);
    if let Some(threads) = config.proxy.threads {
        assert!((1..=250).contains(&threads));
    }
}

fn check_router(router: &VirtualRouterConfig) {
    assert!(
        (1..16).contains(&router.interface.len()),
        "Linux has no other"
    );
    assert!(!router.sync_group.is_empty());
    assert_ne!(router.priority, Priority::LEAVING, "0 is for the wire");
    assert!((1..=100).contains(&router.down_multiplier));
    assert!((SECOND..=3600 * SECOND).contains(&router.lease));
    assert!((1..=20).contains(&router.announcements.repeat));
    assert!(router.announcement_pace <= Duration::from_millis(10));
    assert!(router.notify.iter().all(|program| program.is_absolute()));
    let addresses: Vec<IpAddr> = router.addresses.iter().map(|own| own.address).collect();
    let family = Family::of(addresses[0]);
    let unique: BTreeSet<_> = addresses.iter().collect();
    assert_eq!(unique.len(), addresses.len(), "no address twice");
    let mut all = addresses.iter().chain(&router.peers);
    assert!(all.all(|ip| Family::of(*ip) == family), "of one family");
    if let IpAddr::V6(first) = addresses[0] {
        assert!(first.is_unicast_link_local(), "RFC 9568 §5.2.9");
    }
    match router.version {
        Version::V2 => {
            assert_eq!(family, Family::Ipv4, "version 2 has no other");
            let rest = router.advertisement_interval.centiseconds() % 100;
            assert_eq!(rest, 0, "version 2 has whole seconds");
        }
        Version::V3 => assert_eq!(router.authentication, Authentication::None),
    }
    assert!(router.advertisement_interval >= AdverInterval::MIN);
}

fn check_listener(listener: &ListenerConfig, config: &Config) {
    assert!(!listener.binds.is_empty(), "it listens somewhere");
    assert!(listener.binds.iter().all(|bind| bind.port() > 0));
    for name in listener.pools() {
        let mut pools = config.pools.iter();
        assert!(pools.any(|pool| pool.name == name), "its pool is there");
    }
    listener.routes.iter().for_each(check_route);
    let timeouts = listener.timeouts;
    assert!(timeouts.request_head > Duration::ZERO && timeouts.idle > Duration::ZERO);
    let pages = listener.error_pages.0.values();
    for page in pages.chain(&listener.maintenance.page) {
        assert!(page.path.is_absolute() && page.text.is_none());
    }
    assert!(listener.maintenance.retry_after >= Duration::from_secs(1));
    assert_eq!(
        listener.maintenance.mode,
        ListenerMode::Serving,
        "by command alone"
    );
}

fn check_route(route: &RouteConfig) {
    assert!(!route.name.is_empty(), "it can be told apart");
    if let Some(PathPattern::Exact(path) | PathPattern::Prefix(path)) = &route.when.path {
        let normal = normalize(path).map(|path| path.matched().to_owned());
        assert_eq!(normal.as_ref(), Ok(path), "as those of requests");
    }
    match &route.action {
        RouteAction::Pool { rewrite, .. } => {
            let path = rewrite.path.as_ref();
            assert!(path.is_none_or(|path| path.starts_with('/')));
        }
        RouteAction::Redirect(redirect) => {
            assert!([301, 302, 303, 307, 308].contains(&redirect.status));
        }
        RouteAction::Respond(respond) => assert!((200..=599).contains(&respond.status)),
        RouteAction::Pass => assert_ne!(route.access, Access::Everybody, "it does something"),
    }
}

fn check_pool(pool: &PoolConfig) {
    assert!(!pool.backends.is_empty(), "somebody answers");
    for backend in &pool.backends {
        assert!((1..=256).contains(&backend.weight));
        assert!(backend.address.port() > 0);
    }
    let timeouts = pool.timeouts;
    assert!(timeouts.connect > Duration::ZERO && timeouts.response_head > Duration::ZERO);
    let HealthCheckConfig::Probe(probe) = &pool.health_check else {
        return;
    };
    assert!(probe.interval >= Duration::from_millis(10));
    assert!(probe.timeout > Duration::ZERO);
    assert!((1..=100).contains(&probe.rise) && (1..=100).contains(&probe.fall));
    match &probe.kind {
        ProbeKind::Tcp(_) => {}
        ProbeKind::Grpc(grpc) => assert!(grpc.service.len() <= 255),
        ProbeKind::Http(HttpProbe { path, expect, .. }) => {
            assert!(path.starts_with('/'), "the target of a request");
            let statuses = expect
                .iter()
                .all(|(from, to)| 100 <= *from && from <= to && *to <= 599);
            assert!(statuses && !expect.is_empty(), "statuses: {expect:?}");
        }
    }
}

const PATH: &str = "lb.yaml";
const SECOND: Duration = Duration::from_secs(1);
