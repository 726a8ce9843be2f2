//! Fields that are stripped, appended and replaced.

use crate::common::Backend;
use crate::rig::{GET, OK, rig};

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
    rig.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: evil\r\nConnection: X-Forwarded-For\r\n\r\n",
    );
    let request = backend.last_request();
    assert_eq!(
        request.field("x-forwarded-for").as_deref(),
        Some("10.1.1.1, 127.0.0.1")
    );
    assert_eq!(request.field("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(request.field("x-forwarded-host").as_deref(), Some("a"));
}

#[test]
fn absolute_targets_become_paths() {
    let backend = Backend::saying(OK);
    rig(&[&backend]).ask("GET http://a/x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(backend.last_request().line(), "GET /x?y=1 HTTP/1.1");
}
