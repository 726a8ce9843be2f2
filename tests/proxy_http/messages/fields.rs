//! Fields that are stripped, appended and replaced.

use evenkeel::logic::http1::forwarding::OptionalField;
use evenkeel::model::Network;

use crate::common::Backend;
use crate::rig::{GET, OK, rig, setup};

#[test]
fn hop_by_hop_fields_do_not_reach_the_backend() {
    let backend = Backend::saying(OK);
    rig(&[&backend]).ask(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Mine, Host\r\nX-Mine: 1\r\n\
         Keep-Alive: 5\r\nProxy-Connection: x\r\nProxy: evil\r\nX_Real: 1\r\nTE: gzip\r\nX-End: 1\r\n\r\n",
    );
    let request = backend.last_request();
    for gone in [
        "connection",
        "x-mine",
        "keep-alive",
        "proxy-connection",
        "proxy",
        "x_real",
        "te",
    ] {
        assert_eq!(request.field(gone), None, "{gone} in {request:?}");
    }
    assert_eq!(request.field("x-end").as_deref(), Some("1"));
    assert_eq!(
        request.field("host").as_deref(),
        Some("a"),
        "Connection cannot name Host away"
    );
}

#[test]
fn hop_by_hop_fields_do_not_reach_the_client() {
    let backend = Backend::saying(
        "HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nUpgrade: h2\r\n\
         Proxy-Authenticate: Basic\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n",
    );
    let response = rig(&[&backend]).ask(GET);
    for gone in [
        "connection",
        "x-mine",
        "keep-alive",
        "upgrade",
        "proxy-authenticate",
    ] {
        assert_eq!(response.field(gone), None, "{gone} in {response:?}");
    }
    assert_eq!(response.field("x-end").as_deref(), Some("1"));
}

#[test]
fn forwarding_fields_tell_the_backend_who_asks() {
    let backend = Backend::saying(OK);
    let rig = rig(&[&backend]);
    rig.ask("GET / HTTP/1.1\r\nHost: a:80\r\n\r\n");
    let request = backend.last_request();
    assert_eq!(
        request.field("x-forwarded-for").as_deref(),
        Some("127.0.0.1")
    );
    assert_eq!(request.field("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(request.field("x-forwarded-host").as_deref(), Some("a:80"));
    let port = rig.address.port().to_string();
    assert_eq!(request.field("x-forwarded-port"), Some(port));
    assert_eq!(request.field("forwarded"), None);
    assert_eq!(request.field("x-request-id").map(|id| id.len()), Some(32));
}

/// What a client may claim of the way before it.
const CLAIMS: &str = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.1.1\r\n\
    X-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nX-Forwarded-Port: 443\r\n\
    Forwarded: for=10.1.1.1\r\nX-Request-Id: theirs\r\nConnection: X-Forwarded-For\r\n\r\n";

#[test]
fn claims_of_anybody_are_replaced() {
    let backend = Backend::saying(OK);
    rig(&[&backend]).ask(CLAIMS);
    let request = backend.last_request();
    for (name, hoped) in [
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("a")),
        ("forwarded", None),
    ] {
        assert_eq!(request.field(name).as_deref(), hoped, "{name}");
    }
    assert_ne!(request.field("x-request-id").as_deref(), Some("theirs"));
}

#[test]
fn claims_of_trusted_proxies_are_believed() {
    let backend = Backend::saying(OK);
    let rig = setup(&[backend.address])
        .listener(|listener| {
            listener.forwarding.forwarded = OptionalField::Send;
            listener.forwarding.trusted_proxies = vec![Network {
                address: "127.0.0.0".parse().unwrap(),
                prefix_len: 8,
            }];
        })
        .start();
    rig.ask(CLAIMS);
    let request = backend.last_request();
    for (name, hoped) in [
        ("x-forwarded-for", "10.1.1.1, 127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "b"),
        ("x-forwarded-port", "443"),
        (
            "forwarded",
            "for=10.1.1.1, for=127.0.0.1;host=\"a\";proto=http",
        ),
        ("x-request-id", "theirs"),
    ] {
        assert_eq!(request.field(name).as_deref(), Some(hoped), "{name}");
    }
}

/// What only proxies say, which names this one knows, and one that it is told.
#[test]
fn what_only_proxies_may_say_is_dropped_unless_a_trusted_one_says_it() {
    let backend = Backend::saying(OK);
    let asked = "GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 1.1.1.1\r\nX-User: root\r\n\
        X-Forwarded-Prefix: /x\r\nX-Other: o\r\n\r\n";
    for (prefix_len, hoped) in [(32, None), (8, Some("1.1.1.1"))] {
        let rig = setup(&[backend.address])
            .listener(|listener| {
                listener.forwarding.proxy_fields = vec!["x-user".to_owned()];
                listener.forwarding.trusted_proxies = vec![Network {
                    address: "127.0.0.0".parse().unwrap(),
                    prefix_len,
                }];
            })
            .start();
        rig.ask(asked);
        let request = backend.last_request();
        assert_eq!(request.field("x-real-ip").as_deref(), hoped);
        assert_eq!(request.field("x-user").as_deref(), hoped.map(|_| "root"));
        assert_eq!(
            request.field("x-forwarded-prefix").as_deref(),
            hoped.map(|_| "/x")
        );
        assert_eq!(request.field("x-other").as_deref(), Some("o"));
    }
}

#[test]
fn trace_goes_on_only_where_it_is_allowed() {
    let backend = Backend::saying(OK);
    for (trace, method, hoped) in [
        (false, "TRACE", 405),
        (false, "Trace", 405),
        (true, "TRACE", 200),
    ] {
        let rig = setup(&[backend.address])
            .listener(|listener| listener.trace = trace)
            .start();
        let answer = rig.ask(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(answer.status(), hoped);
        assert_eq!(answer.text().starts_with("trace_refused: "), !trace);
    }
}

/// RFC 9110 §7.6.3, which is kept where it is asked for.
#[test]
fn backends_are_told_of_the_proxy_in_via_where_it_is_asked_for() {
    let backend = Backend::saying(OK);
    let asked = "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 other\r\n\r\n";
    for (via, hoped) in [
        (OptionalField::Omit, "1.0 other"),
        (OptionalField::Send, "1.0 other|1.1 evenkeel"),
    ] {
        let rig = setup(&[backend.address])
            .listener(|listener| listener.forwarding.via = via)
            .start();
        rig.ask(asked);
        assert_eq!(backend.last_request().field("via").as_deref(), Some(hoped));
    }
}

#[test]
fn absolute_targets_become_paths() {
    let backend = Backend::saying(OK);
    rig(&[&backend]).ask("GET http://a/x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(backend.last_request().line(), "GET /x?y=1 HTTP/1.1");
}
