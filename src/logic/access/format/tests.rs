//! Tables of lines and of formats.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::Duration;

use super::super::{Awaited, EndedBy, Phase, Termination, Timers, TlsParts};
use super::*;

const HEAD: &[u8] =
    b"GET /a?b=\"c HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: probe/1\r\n\r\n";

fn line(head: &[u8]) -> Line<'_> {
    let ms = |millis| Some(Duration::from_millis(millis));
    Line {
        began_ms: 1_795_514_096_789,
        peer: "192.0.2.7:40312".parse().unwrap(),
        announced_by: None,
        client: "192.0.2.7".parse().unwrap(),
        listener: "http",
        route: Some("api"),
        asked: None,
        pool: Some("webfarm"),
        backend: Some("http1"),
        head,
        protocol: Some("HTTP/1.1"),
        status: Some(200),
        request_bytes: 120,
        response_bytes: 5120,
        timers: Timers {
            head: Some(Duration::from_micros(41)),
            queue: ms(0),
            connect: None,
            response: ms(12),
            total: Some(Duration::from_micros(1_012_345)),
        },
        retries: 1,
        termination: Termination::Complete,
        error: None,
        phase: Phase::ResponseBody,
        awaited: Awaited::Backend,
        first: EndedBy::Nobody,
        affinity: None,
        reproxied_by: None,
        ejected: None,
        tls: None,
    }
}

fn rendered(format: &str, line: &Line<'_>) -> String {
    let mut out = Vec::new();
    Format::parse(format).unwrap().render(line, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn json_says_everything_in_one_line() {
    assert_eq!(
        rendered("json", &line(HEAD)),
        concat!(
            r#"{"time":"2026-11-24T09:54:56.789Z","client":"192.0.2.7","client_port":40312,"via":null,"#,
            r#""listener":"http","route":"api","pool":"webfarm","backend":"http1","method":"GET","#,
            r#""host":"www.example.org","path":"/a?b=\"c","protocol":"HTTP/1.1","status":200,"#,
            r#""request_bytes":120,"response_bytes":5120,"head_ms":0.041,"queue_ms":0.000,"#,
            r#""connect_ms":null,"response_ms":12.000,"total_ms":1012.345,"retries":1,"#,
            r#""termination":"complete","ended_by":null,"phase":"response_body","error":null,"request_id":null,"referer":null,"#,
            r#""user_agent":"probe/1"}"#,
            "\n"
        )
    );
}

#[test]
fn requests_that_were_not_read_say_what_they_can() {
    let mut line = line(b"\x16\x03\x01\n");
    line.peer = "[::ffff:192.0.2.7]:1".parse().unwrap();
    (line.backend, line.protocol, line.status) = (None, None, None);
    line.termination = Termination::RequestRefused;
    line.phase = Phase::RequestHead;
    let said: serde_json::Value = serde_json::from_str(&rendered("json", &line)).unwrap();
    assert_eq!(said["method"], "\u{16}\u{3}\u{1}");
    assert_eq!(
        said["client"], "192.0.2.7",
        "an IPv4 client is shown as one"
    );
    for absent in ["backend", "protocol", "status", "path", "host"] {
        assert!(said[absent].is_null(), "{absent}");
    }
    assert_eq!(said["ended_by"], "client");
    let text = "{client}:{client_port} {backend} \"{method} {path}\" {status} {ended_by}/{phase}";
    assert_eq!(
        rendered(text, &line),
        "192.0.2.7:1 - \"\\x16\\x03\\x01 -\" - client/request_head\n"
    );
}

#[test]
fn clients_behind_a_trusted_proxy_are_said_with_the_proxy() {
    let mut line = line(b"GET / HTTP/1.1\r\nX-Request-Id: 7f\r\n\r\n");
    line.client = "198.51.100.1".parse().unwrap();
    assert_eq!(
        rendered("{client} {client_port} {via} {request_id}", &line),
        "198.51.100.1 - 192.0.2.7 7f\n"
    );
}

#[test]
fn clients_that_were_announced_are_said_with_who_has_done_so() {
    let mut line = line(b"GET / HTTP/1.1\r\n\r\n");
    line.announced_by = Some("198.51.100.1".parse().unwrap());
    let format = "{client} {client_port} {via}";
    assert_eq!(rendered(format, &line), "192.0.2.7 40312 198.51.100.1\n");
}

#[test]
fn texts_say_what_they_were_told() {
    for (format, hoped) in [
        ("{status}", "200"),
        ("{{{status}}}", "{200}"),
        ("a {method}\t{path} z", "a GET\t/a?b=\\x22c z"),
        ("{referer} {ended_by}", "- -"),
        ("{head_ms}+{connect_ms}={total_ms}", "0.041+-=1012.345"),
        ("{user_agent} }}{{", "probe/1 }{"),
    ] {
        assert_eq!(
            rendered(format, &line(HEAD)),
            format!("{hoped}\n"),
            "{format}"
        );
    }
}

#[test]
fn what_only_some_pools_have_stands_there_where_they_have_it() {
    let of = |affinity, ejected, reproxied_by| {
        let line = Line {
            affinity,
            ejected,
            reproxied_by,
            ..line(HEAD)
        };
        let json = rendered("json", &line);
        let (_, json) = json.split_once(r#""user_agent":"probe/1""#).unwrap();
        let text = rendered("{affinity} {ejected} {reproxied_by}", &line);
        (json.trim_end().to_owned(), text.trim_end().to_owned())
    };
    for (affinity, ejected, by, json, text) in [
        (None, None, None, "}", "- - -"),
        (
            Some("kept"),
            None,
            None,
            r#","affinity":"kept"}"#,
            "kept - -",
        ),
        (None, Some(true), None, r#","ejected":true}"#, "- true -"),
        (
            None,
            None,
            Some("app/a1"),
            r#","reproxied_by":"app/a1"}"#,
            "- - app/a1",
        ),
        (
            Some("new"),
            Some(false),
            Some("app/a1"),
            r#","affinity":"new","ejected":false,"reproxied_by":"app/a1"}"#,
            "new false app/a1",
        ),
    ] {
        assert_eq!(
            of(affinity, ejected, by),
            (json.to_owned(), text.to_owned())
        );
    }
}

#[test]
fn tls_stands_behind_everything_else_where_there_was_any() {
    let tls = TlsParts {
        version: "TLSv1.3",
        cipher: "TLS13_AES_128_GCM_SHA256",
        server_name: Some("www.example.org"),
        resumed: true,
        client_certificate: Some("CN=a\"b"),
        fingerprint: Some("00ff"),
        handshake: Some(Duration::from_micros(1234)),
    };
    let secure = Line {
        tls: Some(tls),
        ..line(HEAD)
    };
    let json = rendered("json", &secure);
    let hoped = concat!(
        r#""user_agent":"probe/1","tls_version":"TLSv1.3","tls_cipher":"TLS13_AES_128_GCM_SHA256","#,
        r#""tls_server_name":"www.example.org","tls_resumed":true,"client_certificate":"CN=a\"b","#,
        r#""client_certificate_fingerprint":"00ff","handshake_ms":1.234}"#,
        "\n",
    );
    assert!(json.ends_with(hoped), "{json}");
    let format = "{tls_version} {tls_resumed} {handshake_ms}";
    assert_eq!(rendered(format, &secure), "TLSv1.3 true 1.234\n");
    assert_eq!(rendered(format, &line(HEAD)), "- - -\n");
}

#[test]
fn what_the_client_has_asked_stands_before_what_the_backend_was() {
    let asked = Some((&b"/before?x"[..], &b"old.example.org"[..]));
    let rewritten = Line {
        asked,
        ..line(HEAD)
    };
    let text = rendered("{method} {host} {path}", &rewritten);
    assert_eq!(text, "GET old.example.org /before?x\n");
}

#[test]
fn wrong_texts_are_refused() {
    for (format, hoped) in [
        ("", FormatError::Empty),
        ("{{status}}", FormatError::Empty),
        ("{staus}", FormatError::Unknown("staus".into())),
        ("{}", FormatError::Unknown(String::new())),
        ("{status", FormatError::Unclosed),
        ("{status}}", FormatError::Unopened),
        ("{status} {status}", FormatError::Twice("status")),
        ("{status}\n", FormatError::Control),
    ] {
        assert_eq!(Format::parse(format), Err(hoped), "{format:?}");
    }
    let long = format!("{{status}}{}", "x".repeat(TEXT_BYTES_MAX));
    assert_eq!(Format::parse(&long), Err(FormatError::TooLong));
}

/// Whatever a client sends, a line is one line, JSON is JSON, and it fits.
#[test]
fn the_worst_line_fits() {
    let name = "n".repeat(64);
    let worst = "\u{1}".repeat(40_000);
    let head = format!(
        "{worst} {worst} x\r\nHost: \"{worst}\r\nReferer: \"{worst}\r\nUser-Agent: \"{worst}\r\nX-Request-Id: \"{worst}\r\n\r\n"
    );
    let head = head.into_bytes();
    let mut line = line(&head);
    line.client = "2001:db8:2222:1111:1111:1111:1111:1111".parse().unwrap();
    line.peer = "[2001:db8:1111:1111:1111:1111:1111:1111]:65535"
        .parse()
        .unwrap();
    let some = Some(name.as_str());
    (line.listener, line.route, line.pool, line.backend) = (&name, some, some, some);
    (line.request_bytes, line.response_bytes) = (u64::MAX, u64::MAX);
    let long = Some(Duration::from_secs(u64::from(u32::MAX)));
    line.timers = Timers {
        head: long,
        queue: long,
        connect: long,
        response: long,
        total: long,
    };
    (line.affinity, line.ejected) = (Some("renewed"), Some(false));
    let by = format!("{name}/{name}");
    line.reproxied_by = Some(&by);
    let foreign = "\"".repeat(2048);
    let foreign = Some(foreign.as_str());
    line.tls = Some(TlsParts {
        version: "TLSv1.3",
        cipher: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        server_name: foreign,
        resumed: false,
        client_certificate: foreign,
        fingerprint: Some("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        handshake: long,
    });
    let json = rendered("json", &line);
    assert!(json.len() <= LINE_BYTES_MAX, "{} bytes", json.len());
    assert!(
        json.len() > LINE_BYTES_MAX * 9 / 10,
        "the bound is no guess: {}",
        json.len()
    );
    assert_eq!(json.matches('\n').count(), 1);
    let _: serde_json::Value = serde_json::from_str(&json).unwrap();
    let all = Field::ALL
        .map(|field| format!("{{{}}}", field.name()))
        .concat();
    let text = rendered(
        &format!("{all}{}", "x".repeat(TEXT_BYTES_MAX - all.len())),
        &line,
    );
    assert!(text.len() <= LINE_BYTES_MAX, "{} bytes", text.len());
}

#[test]
fn rendering_does_not_grow_a_buffer_with_room() {
    let mut out = Vec::with_capacity(LINE_BYTES_MAX);
    let at = out.as_ptr();
    Format::Json.render(&line(HEAD), &mut out);
    assert_eq!((out.as_ptr(), out.capacity()), (at, LINE_BYTES_MAX));
}
