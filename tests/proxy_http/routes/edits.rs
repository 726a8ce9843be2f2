//! Fields that are set, added and removed.

use super::{get, routed};
use crate::common::Backend;

const KEYS: &str = r#"    pool: one
    response_headers: {set: {Strict-Transport-Security: max-age=63072000}}
    routes:
      - name: api
        path: /api
        pool: two
        request_headers:
          set: {X-Client: "{client}", X-Asked: "{method} {scheme}://{host}{path}{query} {route}@{listener}"}
          add: {X-Tag: b}
          remove: [X-Debug, User-Agent]
        response_headers: {set: {Server: web}, add: {X-Id: "{request_id}"}, remove: [X-Powered-By]}
      - {path: /away, redirect: /, response_headers: {set: {Cache-Control: no-store}}}
"#;

#[test]
fn requests_and_responses_are_edited() {
    let one = Backend::named("one");
    let two = Backend::saying(
        "HTTP/1.1 200 OK\r\nserver: php\r\nX-Powered-By: php\r\nContent-Length: 2\r\n\r\nok",
    );
    let rig = routed(KEYS, &one, &two);
    let mut client = rig.client();
    for _ in 0..2 {
        let answer = client.ask(
            "GET /api?q HTTP/1.1\r\nHost: A.example:80\r\nx-debug: 1\r\nX-Tag: a\r\nx-client: forged\r\nUser-Agent: x\r\n\r\n",
        );
        let sent = two.last_request();
        assert_eq!(sent.field("x-client").as_deref(), Some("127.0.0.1"));
        let asked = sent.field("x-asked");
        assert_eq!(
            asked.as_deref(),
            Some("GET http://a.example/api?q api@http")
        );
        assert!(sent.head.contains("X-Tag: a\r\n") && sent.head.contains("X-Tag: b\r\n"));
        assert_eq!(
            (sent.field("x-debug"), sent.field("user-agent")),
            (None, None)
        );
        assert!(!sent.head.contains("forged"), "{}", sent.head);
        assert_eq!(answer.field("server").as_deref(), Some("web"));
        assert_eq!(answer.field("x-powered-by"), None);
        assert_eq!(answer.field("x-id"), sent.field("x-request-id"));
        let listener = answer.field("strict-transport-security");
        assert_eq!(listener.as_deref(), Some("max-age=63072000"));
        assert_eq!(answer.text(), "ok");
    }
    let answer = client.ask(&get("a", "/"));
    assert_eq!(answer.text(), "one");
    assert!(
        answer.field("strict-transport-security").is_some(),
        "of the listener's own"
    );
    let answer = client.ask(&get("a", "/away"));
    assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"));
    assert!(
        answer.field("strict-transport-security").is_some(),
        "of our answers too"
    );
}

/// Every way in which a body is carried goes on behind a head that was edited.
#[test]
fn bodies_follow_edited_heads() {
    let one = Backend::named("one");
    let two = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            let text = match request.line() {
                line if line.contains("chunked") => {
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                }
                line if line.contains("early") => {
                    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
                }
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            };
            visit.wire.send(text);
        }
    });
    let rig = routed(KEYS, &one, &two);
    let mut client = rig.client();
    for kind in ["chunked", "length"] {
        let answer = client.ask(&get("a", &format!("/api/{kind}")));
        assert_eq!(
            (answer.text().as_str(), answer.field("server").as_deref()),
            ("hello", Some("web"))
        );
    }
    client.send(get("a", "/api/early"));
    let interim = client.head().unwrap();
    assert!(
        !interim.contains("Server"),
        "an interim answer is left alone: {interim}"
    );
    assert_eq!(client.response().field("server").as_deref(), Some("web"));
}
