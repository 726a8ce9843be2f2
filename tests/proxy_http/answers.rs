//! What the proxy answers itself: pages for statuses, and a listener in maintenance.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use evenkeel::config::{Config, ListenerMode, PageConfig, Statuses};
use evenkeel::model::Network;

use crate::common::{Backend, Message, refusing_address};
use crate::rig::{GET, OK, Setup, rig, setup};

/// Returns a page that was read.
fn page(path: &str, text: &str) -> PageConfig {
    PageConfig {
        path: path.into(),
        text: Some(text.into()),
    }
}

/// Gives the first listener these pages.
fn with_pages(config: &mut Config, pages: &[(Statuses, &str, &str)]) {
    let pages = pages.iter();
    let pages = pages.map(|(statuses, path, text)| (*statuses, page(path, text)));
    config.listeners[0].error_pages.0 = pages.collect();
}

fn setup_with(pages: &[(Statuses, &str, &str)], setup: Setup) -> Setup {
    let mut setup = setup;
    with_pages(&mut setup.config, pages);
    setup
}

/// Returns what is to be known of an answer: status, media type, and its text.
fn seen(answer: &Message) -> (u16, String, String) {
    let media = answer.field("content-type").unwrap_or_default();
    (answer.status(), media, answer.text())
}

#[test]
fn the_page_of_a_status_goes_before_that_of_its_class_and_others_have_their_line() {
    let (_nobody, address) = refusing_address();
    let pages = [
        (Statuses::One(400), "/400.txt", "wrong"),
        (
            Statuses::Class(5),
            "/error.html",
            "<p>{status} {token} {request_id}</p>",
        ),
    ];
    let rig = setup_with(&pages, setup(&[address])).start();
    let mut client = rig.client();
    let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: 7\r\n\r\n");
    let (status, media, text) = seen(&answer);
    assert_eq!((status, &*media), (502, "text/html; charset=utf-8"));
    assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"));
    let id = text.strip_prefix("<p>502 {token} ").unwrap();
    let id = id.strip_suffix("</p>").unwrap();
    let is_own = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_own, "a stranger's id is not believed: {id}");
    let again = client.ask(GET);
    assert_eq!(again.status(), 502, "its connection is kept");
    let wrong = rig.ask("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(
        seen(&wrong),
        (400, "text/plain; charset=utf-8".into(), "wrong".into())
    );
    let refused = rig.ask("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    assert!(
        refused.text().starts_with("trace_end: "),
        "{}",
        refused.text()
    );
    assert!(refused.field("allow").is_some());
}

#[test]
fn a_page_keeps_what_the_head_of_its_answer_says_and_has_no_body_for_head() {
    let backend = Backend::saying(OK);
    let pages = [(Statuses::Class(4), "/a.html", "<p>no</p>")];
    let rig = setup_with(&pages, setup(&[backend.address])).start();
    let refused = rig.ask("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    assert!(refused.field("allow").is_some(), "{}", refused.head);
    assert_eq!(refused.text(), "<p>no</p>");
    let (_nobody, address) = refusing_address();
    let pages = [(Statuses::One(502), "/a.html", "<p>sorry</p>")];
    let rig = setup_with(&pages, setup(&[address])).start();
    let mut client = rig.client();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.try_response("HEAD").unwrap();
    assert_eq!(answer.field("content-length").as_deref(), Some("12"));
    assert_eq!(
        client.ask(GET).text(),
        "<p>sorry</p>",
        "nothing lies before it"
    );
}

#[test]
fn answers_of_backends_are_relayed_as_they_are() {
    let error = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 6\r\n\r\ntheirs";
    let backend = Backend::saying(error);
    let pages = [(Statuses::Class(5), "/a.html", "ours")];
    let rig = setup_with(&pages, setup(&[backend.address])).start();
    assert_eq!(rig.ask(GET).text(), "theirs");
}

#[test]
fn large_pages_come_whole() {
    let (_nobody, address) = refusing_address();
    let large = "0123456789abcdef".repeat(4096);
    for text in [large.clone(), format!("{}{{status}}", &large[8..])] {
        let pages = [(Statuses::One(502), "/a.html", text.as_str())];
        let rig = setup_with(&pages, setup(&[address])).start();
        let mut client = rig.client();
        for _ in 0..3 {
            let answer = client.ask(GET).text();
            assert_eq!(answer, text.replace("{status}", "502"));
        }
    }
}

#[test]
fn a_listener_has_its_pages_and_a_reload_new_ones() {
    let (_nobody, address) = refusing_address();
    let rig = setup(&[address]).start();
    let mut client = rig.client();
    let line = client.ask(GET).text();
    assert!(line.starts_with("connect_failed: request "), "{line}");
    for text in ["old", "new"] {
        let pages = [(Statuses::One(502), "/a.html", text)];
        rig.reload(|config| with_pages(config, &pages));
        assert_eq!(client.ask(GET).text(), text, "also on a kept connection");
    }
    rig.reload(|_| {});
    assert!(client.ask(GET).text().starts_with("connect_failed: "));
}

/// Puts the first listener into maintenance.
fn close(config: &mut Config, allow: &[IpAddr]) {
    let maintenance = &mut config.listeners[0].maintenance;
    maintenance.mode = ListenerMode::Maintenance;
    maintenance.retry_after = Duration::from_millis(119_500);
    let network = |address: &IpAddr| Network {
        address: *address,
        prefix_len: 32,
    };
    maintenance.allow = allow.iter().map(network).collect();
}

#[test]
fn maintenance_answers_503_and_keeps_connections_until_it_ends() {
    let backend = Backend::named("here");
    let rig = rig(&[&backend]);
    let mut client = rig.client();
    assert_eq!(client.ask(GET).text(), "here");
    rig.reload(|config| close(config, &[]));
    let answer = client.ask(GET);
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.field("retry-after").as_deref(), Some("120"));
    let text = answer.text();
    assert!(text.starts_with("maintenance: request "), "{text}");
    assert_eq!(client.ask(GET).status(), 503, "its connection is kept");
    let posted = rig.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(posted.status(), 503);
    assert_eq!(backend.requests().len(), 1, "no backend hears of it");
    rig.reload(|_| {});
    assert_eq!(client.ask(GET).text(), "here");
}

#[test]
fn who_is_allowed_is_served_in_maintenance_by_the_clients_own_address() {
    let backend = Backend::named("here");
    let rig = rig(&[&backend]);
    let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    rig.reload(|config| close(config, &[IpAddr::V4(Ipv4Addr::LOCALHOST)]));
    assert_eq!(rig.ask(GET).text(), "here");
    rig.reload(|config| {
        close(config, &[other]);
        let network = Network {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            prefix_len: 32,
        };
        config.listeners[0].forwarding.trusted_proxies = vec![network];
    });
    assert_eq!(
        rig.ask(GET).status(),
        503,
        "the proxy before is not who is allowed"
    );
    let theirs = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n";
    assert_eq!(rig.ask(theirs).text(), "here");
    let told = rig.ask(GET).text();
    assert_eq!(told, "maintenance: listener http is in maintenance\n");
}

#[test]
fn maintenance_has_a_page_of_its_own_or_that_of_503() {
    let backend = Backend::named("here");
    let rig = rig(&[&backend]);
    let pages = [(Statuses::Class(5), "/5xx.html", "<p>error")];
    for (own, hoped) in [(Some(page("/m.txt", "soon")), "soon"), (None, "<p>error")] {
        rig.reload(|config| {
            close(config, &[]);
            with_pages(config, &pages);
            config.listeners[0].maintenance.page = own;
        });
        let answer = rig.ask(GET);
        assert_eq!(answer.text(), hoped);
        assert_eq!(answer.field("retry-after").as_deref(), Some("120"));
        assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"));
    }
}

#[test]
fn a_request_in_flight_ends_as_it_would_when_maintenance_begins() {
    let slow = crate::reload::Slow::named("slow");
    let rig = rig(&[&slow.backend]);
    let mut client = rig.client();
    client.send(GET);
    slow.has(1);
    rig.reload(|config| close(config, &[]));
    slow.go();
    assert_eq!(client.response().text(), "slow");
    assert_eq!(client.ask(GET).status(), 503);
}
