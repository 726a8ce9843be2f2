//! How often clients may come: requests and connections, of each and of all, over all workers.
//!
//! Rates are chosen so that a slow machine grants more only where more time has passed: what is
//! counted is held against the time that was measured around it.

use std::time::{Duration, Instant};

use evenkeel::config::{
    ClientKey, ClientRateLimit, ListenerConfig, RateLimit, RouteAction, RouteConfig, RouteLimits,
    RouteTimeouts,
};
use evenkeel::logic::balance::queue::Urgency;
use evenkeel::logic::balance::rate::Rate;
use evenkeel::logic::balance::route::{Access, Conditions, PathPattern};
use evenkeel::logic::http1::rewrite::edit::FieldEdits;
use evenkeel::model::Network;

use crate::common::{Backend, Message, wait_until};
use crate::rig::{GET, OK, Rig, Setup, setup};

fn limit(rate: &str, burst: u32) -> RateLimit {
    RateLimit {
        rate: Rate::parse(rate).unwrap(),
        burst,
    }
}

fn per_client(rate: &str, burst: u32) -> ClientRateLimit {
    ClientRateLimit {
        limit: limit(rate, burst),
        by: ClientKey::Address,
        clients: 1024,
    }
}

/// A listener in front of which another proxy says who the client is.
fn limited(backend: &Backend, change: impl FnOnce(&mut ListenerConfig)) -> Setup {
    setup(&[backend.address]).listener(|listener| {
        listener.forwarding.trusted_proxies = vec![Network {
            address: [127, 0, 0, 1].into(),
            prefix_len: 32,
        }];
        change(listener);
    })
}

fn of(client: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n")
}

/// Returns how many requests were answered 200, and how many 429.
fn counts(answers: &[Message]) -> (usize, usize) {
    let count = |status| answers.iter().filter(|it| it.status() == status).count();
    (count(200), count(429))
}

/// Asks with a client, once on each connection, so often.
fn asked(rig: &Rig, client: &str, times: usize) -> (usize, usize) {
    let answers: Vec<_> = (0..times).map(|_| rig.ask(&of(client))).collect();
    counts(&answers)
}

fn limited_total(rig: &Rig) -> (u64, u64) {
    let listener = rig.proxy.status().0.remove(0);
    let connections = listener.connections_rate_limited_total;
    (listener.requests_rate_limited_total, connections)
}

#[test]
fn each_client_has_its_rate_whatever_connection_it_asks_on() {
    let backend = Backend::saying(OK);
    let rig = limited(&backend, |listener| {
        listener.limits.rates.requests_per_client = Some(per_client("20/s", 5));
    })
    .start();
    let mut kept = rig.client();
    let (mut answers, began_at) = (Vec::new(), Instant::now());
    while began_at.elapsed() < Duration::from_millis(600) {
        answers.push(kept.ask(&of("192.0.2.1")));
        answers.push(rig.ask(&of("192.0.2.1")));
    }
    let (granted, limited) = counts(&answers);
    let allowed = 5 + 20 * usize::try_from(began_at.elapsed().as_millis()).unwrap() / 1000 + 1;
    assert!((5..=allowed).contains(&granted), "{granted} of {allowed}");
    assert_eq!(granted + limited, answers.len());
    assert!(limited > 0);
    assert_eq!(
        backend.requests().len(),
        granted,
        "backends hear of no other"
    );
    assert_eq!(limited_total(&rig), (limited as u64, 0));
    assert_eq!(asked(&rig, "192.0.2.2", 6), (5, 1), "another has its own");
    let mut six = ["2001:db8::1", "2001:db8::2", "2001:db8::3"]
        .into_iter()
        .cycle();
    let answers: Vec<_> = (0..6).map(|_| rig.ask(&of(six.next().unwrap()))).collect();
    assert_eq!(counts(&answers), (5, 1), "a /64 is one client");
    assert_eq!(asked(&rig, "2001:db8:0:1::1", 5), (5, 0));
}

#[test]
fn who_is_told_to_come_later_is_served_then() {
    let backend = Backend::saying(OK);
    let rig = limited(&backend, |listener| {
        listener.limits.rates.requests_per_client = Some(per_client("30/m", 1));
    })
    .start();
    let mut client = rig.client();
    assert_eq!(client.ask(GET).status(), 200);
    let answer = client.ask(GET);
    let answered_at = Instant::now();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.field("retry-after").as_deref(), Some("2"));
    assert_eq!(answer.field("connection"), None, "the connection is kept");
    assert!(answer.text().starts_with("rate_limited: too many requests"));
    std::thread::sleep(Duration::from_secs(2).saturating_sub(answered_at.elapsed()));
    assert_eq!(client.ask(GET).status(), 200, "on the same connection");
}

#[test]
fn longer_waits_are_told_in_whole_seconds() {
    let backend = Backend::saying(OK);
    let rig = limited(&backend, |listener| {
        listener.limits.rates.requests_per_client = Some(per_client("60/h", 1));
    })
    .start();
    assert_eq!(rig.ask(GET).status(), 200);
    let head = rig.client().ask(GET);
    let secs: u64 = head.field("retry-after").unwrap().parse().unwrap();
    assert!((50..=60).contains(&secs), "{secs}");
}

#[test]
fn bodies_that_were_not_read_end_the_connection() {
    let backend = Backend::saying(OK);
    let rig = limited(&backend, |listener| {
        listener.limits.rates.requests_per_client = Some(per_client("1/h", 1));
    })
    .start();
    assert_eq!(rig.ask(GET).status(), 200);
    let mut client = rig.client();
    let post = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let answer = client.ask(post);
    assert_eq!(answer.status(), 429, "and nothing asks for the body");
    assert_eq!(answer.field("connection").as_deref(), Some("close"));
    assert!(client.is_ended());
    let mut empty = rig.client();
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let answers = [empty.ask(post), empty.ask(post)];
    assert_eq!(counts(&answers), (0, 2), "there is nothing left to read");
}

#[test]
fn pipelined_requests_are_each_counted_and_answered_in_order() {
    let backend = Backend::saying(OK);
    let rig = limited(&backend, |listener| {
        listener.limits.rates.requests_per_client = Some(per_client("1/h", 2));
    })
    .start();
    let mut client = rig.client();
    client.send(GET.repeat(4));
    let statuses: Vec<u16> = (0..4).map(|_| client.response().status()).collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[test]
fn clients_may_be_those_that_a_header_names() {
    let backend = Backend::saying(OK);
    let rig = limited(&backend, |listener| {
        listener.limits.rates.requests_per_client = Some(ClientRateLimit {
            by: ClientKey::Header("X-Api-Key".to_owned()),
            ..per_client("1/h", 2)
        });
    })
    .start();
    let with = |key: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nx-api-key: {key}\r\n\r\n");
    let ask = |request: &str| counts(&[rig.ask(request), rig.ask(request), rig.ask(request)]);
    assert_eq!(ask(&with("one")), (2, 1));
    assert_eq!(ask(&with("two")), (2, 1));
    assert_eq!(ask(GET), (2, 1), "without it the address counts");
}

#[test]
fn all_clients_together_have_what_one_that_asks_too_much_does_not_take() {
    let backend = Backend::saying(OK);
    let rig = limited(&backend, |listener| {
        listener.limits.rates.requests = Some(limit("1/h", 5));
        listener.limits.rates.requests_per_client = Some(per_client("1/h", 3));
    })
    .start();
    let clients = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"];
    let granted = clients.map(|client| asked(&rig, client, 5).0);
    assert_eq!(granted, [3, 0, 2, 0]);
    assert_eq!(limited_total(&rig), (15, 0));
}

#[test]
fn connections_that_come_too_often_are_told_so_and_closed() {
    let backend = Backend::saying(OK);
    let rig = limited(&backend, |listener| {
        listener.limits.connection_rate_per_client = Some(per_client("20/m", 2));
    })
    .start();
    let mut kept = [rig.client(), rig.client()];
    for client in &mut kept {
        assert_eq!(client.ask(GET).status(), 200);
    }
    let mut third = rig.client();
    let answer = third.response();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.field("retry-after").as_deref(), Some("3"));
    assert!(
        answer.text().starts_with("connections_rate_limited: "),
        "{answer:?}"
    );
    assert!(third.is_ended());
    assert_eq!(limited_total(&rig), (0, 1));
    for client in &mut kept {
        assert_eq!(client.ask(GET).status(), 200, "they are there");
    }
    wait_until("what it was told comes true", || {
        let mut client = rig.client();
        client.send(GET);
        client
            .try_response("GET")
            .is_some_and(|it| it.status() == 200)
    });
    let listener = rig.proxy.status().0.remove(0);
    assert_eq!(listener.connections_refused_total, 0, "none of these");
}

#[test]
fn workers_share_what_a_client_has() {
    let backend = Backend::saying(OK);
    let mut setup = limited(&backend, |listener| {
        listener.limits.rates.requests_per_client = Some(per_client("1/h", 50));
    });
    setup.threads = 2;
    let rig = setup.start();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..10).map(|_| rig.ask(GET)).collect::<Vec<_>>()))
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    assert_eq!(counts(&answers), (50, 30));
}

#[test]
fn what_was_counted_goes_on_over_reloads_unless_its_limit_is_another() {
    let backend = Backend::saying(OK);
    let rig = limited(&backend, |listener| {
        listener.limits.rates.requests = Some(limit("1/h", 9));
        listener.limits.rates.requests_per_client = Some(per_client("1/h", 3));
        listener.limits.connection_rate_per_client = Some(per_client("1/h", 19));
    })
    .start();
    assert_eq!(asked(&rig, "192.0.2.1", 4), (3, 1));
    let mut config = rig.config.clone();
    config.listeners[0].limits.fields = 90;
    rig.reload_with(&config, rig.threads);
    assert_eq!(
        asked(&rig, "192.0.2.1", 4),
        (0, 4),
        "it has had what it may"
    );
    assert_eq!(asked(&rig, "192.0.2.2", 4), (3, 1));
    let rates = &mut config.listeners[0].limits.rates;
    rates.requests_per_client = Some(per_client("1/h", 4));
    rig.reload_with(&config, rig.threads);
    let granted = asked(&rig, "192.0.2.1", 7);
    assert_eq!(granted, (3, 4), "another limit, but of all together nine");
    let refused = rig.client().response();
    assert!(
        refused.text().starts_with("connections_rate_limited: "),
        "{refused:?}"
    );
}

/// Returns a route of a path.
pub(crate) fn route(path: &str, limits: RouteLimits, access: Access) -> RouteConfig {
    RouteConfig {
        name: path.to_owned(),
        when: Conditions {
            path: Some(PathPattern::Prefix(path.to_owned())),
            ..Conditions::default()
        },
        access,
        action: RouteAction::Pool {
            pool: "web".to_owned(),
            rewrite: evenkeel::config::Rewrite::default(),
        },
        request_fields: FieldEdits::default(),
        response_fields: FieldEdits::default(),
        timeouts: RouteTimeouts::default(),
        limits,
        priority: Urgency::Normal,
    }
}

#[test]
fn routes_have_their_own_in_the_place_of_the_listeners() {
    let backend = Backend::saying(OK);
    let rig = limited(&backend, |listener| {
        listener.limits.rates.requests_per_client = Some(per_client("1/h", 5));
        let mut limits = RouteLimits::default();
        limits.rates.requests_per_client = Some(per_client("1/h", 2));
        listener.routes = vec![
            route("/login", limits, Access::Everybody),
            route("/other", RouteLimits::default(), Access::Everybody),
        ];
    })
    .start();
    let ask = |path: &str, times| {
        let get = GET.replace("GET /", &format!("GET {path}"));
        let answers: Vec<_> = (0..times).map(|_| rig.ask(&get)).collect();
        counts(&answers)
    };
    assert_eq!(ask("/login", 4), (2, 2));
    assert_eq!(ask("/other", 3), (3, 0), "the listener's, with");
    assert_eq!(ask("/", 3), (2, 1), "what no route is for");
    assert_eq!(ask("/other", 2), (0, 2));
    let mut config = rig.config.clone();
    config.listeners[0].routes.reverse();
    rig.reload_with(&config, rig.threads);
    assert_eq!(ask("/login", 2), (0, 2), "a route is known by its name");
}

#[test]
fn who_is_denied_takes_nothing_of_what_others_have() {
    let backend = Backend::saying(OK);
    let rig = limited(&backend, |listener| {
        let mut limits = RouteLimits::default();
        limits.rates.requests = Some(limit("1/h", 2));
        let access = Access::Only(vec![Network {
            address: [192, 0, 2, 1].into(),
            prefix_len: 32,
        }]);
        listener.routes = vec![route("/", limits, access)];
    })
    .start();
    for _ in 0..3 {
        assert_eq!(rig.ask(&of("192.0.2.9")).status(), 403);
    }
    assert_eq!(asked(&rig, "192.0.2.1", 3), (2, 1));
}
