//! One line a request, for every way in which it can end.

use std::io::Write;
use std::time::Duration;

use evenkeel::config::{
    BackendMode, CookieRules, EjectionRules, ListenerMode, PageConfig, ProbeKind, RateLimit,
    TcpProbe,
};
use evenkeel::ipc::message::Secrets;
use evenkeel::logic::balance::rate::Rate;
use evenkeel::model::{Network, SecretBytes};
use serde_json::json;

use crate::common::{Backend, refusing_address, wait_until};
use crate::logged::{Logged, require};
use crate::rig::{GET, OK, WEBSOCKET, setup};

#[test]
fn answered_requests_are_complete() {
    let backend = Backend::saying(OK);
    let logged = Logged::start(setup(&[backend.address]));
    let mut client = logged.rig.client();
    let port = client.stream.local_addr().unwrap().port();
    let asked =
        "GET /a?b=c HTTP/1.1\r\nHost: www\r\nUser-Agent: \"me\"\r\nReferer: http://x/\r\n\r\n";
    let answer = client.ask(asked);
    let line = logged.line();
    require(
        &line,
        &json!({
            "client": "127.0.0.1", "client_port": port, "via": null, "listener": "http", "route": null, "pool": "web", "backend": "b0",
            "method": "GET", "host": "www", "path": "/a?b=c", "protocol": "HTTP/1.1", "status": 200,
            "retries": 0, "termination": "complete", "ended_by": null, "phase": "response_body",
            "referer": "http://x/", "user_agent": "\"me\"",
            "request_bytes": backend.last_request().head.len(),
            "response_bytes": answer.head.len() + answer.body.len(),
        }),
    );
    let ms = |field: &str| line[field].as_f64().unwrap();
    let parts = ["head_ms", "queue_ms", "connect_ms", "response_ms"].map(ms);
    assert!(parts.iter().sum::<f64>() <= ms("total_ms") + 0.01, "{line}");
    assert!(ms("response_ms") > 0.0, "{line}");
    let time = line["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z'), "{line}");
}

#[test]
fn every_request_of_a_connection_has_a_line() {
    let backend = Backend::saying(OK);
    let logged = Logged::start(setup(&[backend.address]));
    let mut client = logged.rig.client();
    client.send(format!("{GET}{}", GET.replace("GET /", "GET /second")));
    client.response();
    client.response();
    drop(client);
    require(&logged.line(), &json!({"path": "/", "status": 200}));
    require(&logged.line(), &json!({"path": "/second", "status": 200}));
    assert!(logged.rest().is_empty(), "the end of a connection has none");
}

#[test]
fn bodies_are_counted_both_ways() {
    let backend = Backend::named("hello");
    let logged = Logged::start(setup(&[backend.address]));
    let body = "x".repeat(100_000);
    let length = body.len();
    let answer = logged.rig.ask(&format!(
        "POST / HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    let request = backend.last_request();
    require(
        &logged.line(),
        &json!({
            "method": "POST", "protocol": "HTTP/1.0",
            "request_bytes": request.head.len() + length,
            "response_bytes": answer.head.len() + 5,
        }),
    );
}

#[test]
fn backends_that_refuse_are_named_with_the_retries() {
    let (_first, first) = refusing_address();
    let (_second, second) = refusing_address();
    let logged = Logged::start(setup(&[first, second]));
    assert_eq!(logged.rig.ask(GET).status(), 502);
    let line = logged.line();
    require(
        &line,
        &json!({
            "status": 502, "retries": 1, "termination": "connect_failed", "ended_by": "backend",
            "phase": "connect", "connect_ms": null, "response_ms": null, "request_bytes": 0,
        }),
    );
    assert!(line["backend"].is_string(), "{line}");
    let error = line["error"].as_str().unwrap();
    assert!(
        error.starts_with("backend b") && error.contains(" of pool web cannot be connected to"),
        "{line}"
    );
}

#[test]
fn retries_that_help_are_counted() {
    let dying = Backend::scripted(|mut visit| drop(visit.request()));
    let living = Backend::saying(OK);
    let logged = Logged::start(setup(&[dying.address, living.address]));
    let mut retries = 0;
    for _ in 0..4 {
        assert_eq!(logged.rig.ask(GET).status(), 200);
        let line = logged.line();
        require(
            &line,
            &json!({"status": 200, "backend": "b1", "termination": "complete"}),
        );
        retries += line["retries"].as_u64().unwrap();
    }
    assert_eq!(retries, logged.rig.pool().retries_total);
    assert!(retries > 0);
}

#[test]
fn pools_without_a_backend_that_is_up_are_said() {
    let (_held, refusing) = refusing_address();
    let logged = Logged::start(setup(&[refusing]).check(ProbeKind::Tcp(TcpProbe::default()), 1, 1));
    wait_until("the backend is down", || {
        logged.rig.pool().backends[0].state == "down"
    });
    assert_eq!(logged.rig.ask(GET).status(), 503);
    require(
        &logged.line(),
        &json!({
            "status": 503, "backend": null, "termination": "no_backend_up", "ended_by": "backend",
            "phase": "queue", "queue_ms": null,
        }),
    );
}

/// The log says why, whatever page the client is shown.
#[test]
fn maintenance_is_said_with_its_word() {
    let backend = Backend::saying(OK);
    let closed = setup(&[backend.address]).listener(|listener| {
        listener.maintenance.mode = ListenerMode::Maintenance;
        listener.maintenance.page = Some(PageConfig {
            path: "/soon.html".into(),
            text: Some("{request_id}".into()),
        });
    });
    let logged = Logged::start(closed);
    let shown = logged.rig.ask(GET).text();
    require(
        &logged.line(),
        &json!({
            "status": 503, "backend": null, "termination": "maintenance", "ended_by": "proxy",
            "phase": "request_head", "error": "listener http is in maintenance", "request_id": shown,
        }),
    );
}

#[test]
fn backends_that_break_off_are_said() {
    for (script, termination, phase, status) in [
        ("", "connection_lost", "response_head", 502),
        (
            "HTTP/9 what\r\n\r\n",
            "invalid_response",
            "response_head",
            502,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            "response_truncated",
            "response_body",
            200,
        ),
    ] {
        let backend = Backend::scripted(move |mut visit| {
            visit.request();
            visit.wire.send(script);
        });
        let logged = Logged::start(setup(&[backend.address]));
        let mut client = logged.rig.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        require(
            &logged.line(),
            &json!({
                "status": status, "termination": termination, "phase": phase, "ended_by": "backend",
                "backend": "b0",
            }),
        );
    }
}

#[test]
fn clients_that_leave_are_said_with_the_phase() {
    let backend = Backend::scripted(|mut visit| {
        let Some(request) = visit.request() else {
            return;
        };
        if request.line().contains("/long") {
            visit
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
            let chunk = vec![b'x'; 100_000];
            while visit.wire.stream.write_all(&chunk).is_ok() {}
        }
        visit.wire.rest();
    });
    let logged = Logged::start(setup(&[backend.address]));

    let mut waiting = logged.rig.client();
    waiting.send(GET);
    wait_until("the request arrives", || !backend.requests().is_empty());
    reset(waiting.stream);
    let gone = json!({"termination": "client_gone", "ended_by": "client"});
    let line = logged.line();
    require(&line, &gone);
    require(
        &line,
        &json!({"phase": "response_head", "status": null, "response_bytes": 0}),
    );

    let mut downloading = logged.rig.client();
    downloading.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    downloading.head().unwrap();
    reset(downloading.stream);
    let line = logged.line();
    require(&line, &gone);
    require(&line, &json!({"phase": "response_body", "status": 200}));
    assert!(line["response_bytes"].as_u64().unwrap() > 0, "{line}");

    let mut uploading = logged.rig.client();
    uploading.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    wait_until("the upload has begun", || backend.accepted() == 3);
    reset(uploading.stream);
    let line = logged.line();
    require(&line, &gone);
    require(&line, &json!({"phase": "request_body", "status": null}));

    let mut ending = logged.rig.client();
    ending.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    ending.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(ending.response().status(), 400);
    require(
        &logged.line(),
        &json!({
            "termination": "request_body_invalid", "ended_by": "client", "phase": "request_body", "status": 400,
        }),
    );
}

/// Closes a connection so that the peer sees a reset.
fn reset(stream: std::net::TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

#[test]
fn timeouts_of_the_client_are_said() {
    let backend = Backend::scripted(|mut visit| drop(visit.wire.rest()));
    let logged = Logged::start(setup(&[backend.address]).client_timeouts(300, 300));
    for (sent, termination, phase, method) in [
        (
            "GET /slow HTT",
            "request_head_timeout",
            "request_head",
            "GET",
        ),
        (
            "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
            "request_body_timeout",
            "request_body",
            "POST",
        ),
    ] {
        let mut client = logged.rig.client();
        client.send(sent);
        assert_eq!(client.response().status(), 408);
        let line = logged.line();
        require(
            &line,
            &json!({
                "status": 408, "termination": termination, "phase": phase, "ended_by": "client",
                "method": method, "path": "/slow",
            }),
        );
        assert!(line["total_ms"].as_f64().unwrap() >= 200.0, "{line}");
    }
}

#[test]
fn timeouts_of_the_backend_are_said() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.rest();
    });
    let timeout = Duration::from_millis(200);
    let silent = setup(&[backend.address]).pool(|pool| pool.timeouts.response_head = timeout);
    let logged = Logged::start(silent);
    assert_eq!(logged.rig.ask(GET).status(), 504);
    let line = logged.line();
    require(
        &line,
        &json!({
            "status": 504, "termination": "response_head_timeout", "phase": "response_head",
            "ended_by": "backend", "response_ms": null,
        }),
    );
}

#[test]
fn silence_in_an_answer_is_the_doing_of_who_was_waited_for() {
    for (length, by) in [(10, "backend"), (100_000_000, "client")] {
        let backend = Backend::scripted(move |mut visit| {
            visit.request();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nabc");
            visit.wire.send(head);
            let chunk = vec![b'x'; 100_000];
            while length > 10 && visit.wire.stream.write_all(&chunk).is_ok() {}
            visit.wire.rest();
        });
        let logged = Logged::start(setup(&[backend.address]).client_timeouts(30_000, 300));
        let mut client = logged.rig.client();
        client.send(GET);
        require(
            &logged.line(),
            &json!({
                "status": 200, "termination": "idle_timeout", "phase": "response_body", "ended_by": by,
            }),
        );
    }
}

#[test]
fn tunnels_have_one_line_when_they_have_ended() {
    let backend = Backend::scripted(|mut visit| {
        visit.request();
        visit.wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        let said = visit.wire.take(5);
        visit.wire.send(said);
        visit.wire.rest();
    });
    let logged = Logged::start(setup(&[backend.address]));
    let mut client = logged.rig.client();
    client.send(WEBSOCKET);
    let head = client.head().unwrap();
    client.send("hello");
    assert_eq!(client.take(5), b"hello");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(client.is_ended());
    let sent = backend.last_request().head.len();
    require(
        &logged.line(),
        &json!({
            "status": 101, "termination": "complete", "phase": "tunnel", "ended_by": "client",
            "request_bytes": sent + 5, "response_bytes": head.len() + 5,
        }),
    );
}

#[test]
fn requests_that_are_refused_are_shown_as_they_came() {
    let backend = Backend::saying(OK);
    let logged = Logged::start(setup(&[backend.address]));
    for (sent, method, path, host) in [
        (
            "GET /x HTTP/1.1\r\n\r\n",
            json!("GET"),
            json!("/x"),
            json!(null),
        ),
        (
            "G\u{0}T / HTTP/1.1\r\nHost: a\r\n\r\n",
            json!("G\u{0}T"),
            json!("/"),
            json!("a"),
        ),
        (
            "\u{16}\u{3}\u{1}\"\\\n\r\n",
            json!("\u{16}\u{3}\u{1}\"\\"),
            json!(null),
            json!(null),
        ),
    ] {
        let mut client = logged.rig.client();
        client.send(sent);
        assert_eq!(client.response().status(), 400, "{sent:?}");
        require(
            &logged.line(),
            &json!({
                "status": 400, "termination": "request_refused", "phase": "request_head",
                "ended_by": "client", "backend": null, "protocol": null,
                "method": method, "path": path, "host": host,
            }),
        );
    }
}

#[test]
fn requests_that_come_too_often_are_rate_limited() {
    let backend = Backend::saying(OK);
    let limit = RateLimit {
        rate: Rate::parse("1/m").unwrap(),
        burst: 1,
    };
    let setup = setup(&[backend.address]);
    let logged =
        Logged::start(setup.listener(|listener| listener.limits.rates.requests = Some(limit)));
    let mut client = logged.rig.client();
    assert_eq!(client.ask(GET).status(), 200);
    require(&logged.line(), &json!({"termination": "complete"}));
    assert_eq!(client.ask(GET).status(), 429);
    let line = logged.line();
    require(
        &line,
        &json!({
            "status": 429, "termination": "rate_limited", "phase": "request_head",
            "ended_by": "client", "backend": null, "method": "GET", "path": "/", "host": "a",
        }),
    );
    let why = line["error"].as_str().unwrap();
    assert!(why.starts_with("too many requests; "), "{why}");
}

#[test]
fn texts_are_as_the_operator_chose_them() {
    let backend = Backend::saying(OK);
    let format = "{client} \"{method} {path}\" {status} {user_agent} {referer} {phase}";
    let logged = Logged::start_as(setup(&[backend.address]), format);
    let asked = "GET /?a\\b HTTP/1.1\r\nHost: a\r\nUser-Agent: x\" 200 -\tforged\r\n\r\n";
    logged.rig.ask(asked);
    assert_eq!(
        logged.text(),
        r#"127.0.0.1 "GET /?a\x5cb" 200 x\x22 200 -\x09forged - response_body"#
    );
}

#[test]
fn clients_behind_a_trusted_proxy_are_said_with_it() {
    let backend = Backend::saying(OK);
    let mut setup = setup(&[backend.address]);
    let trusted = Network {
        address: "127.0.0.0".parse().unwrap(),
        prefix_len: 8,
    };
    setup.config.listeners[0].forwarding.trusted_proxies = vec![trusted];
    let logged = Logged::start(setup);
    let asked =
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\nX-Request-Id: 7f\r\n\r\n";
    logged.rig.ask(asked);
    require(
        &logged.line(),
        &json!({"client": "203.0.113.9", "client_port": null, "via": "127.0.0.1", "request_id": "7f"}),
    );
}

#[test]
fn listeners_can_be_left_out() {
    let backend = Backend::saying(OK);
    let mut setup = setup(&[backend.address]);
    setup.config.listeners[0].access_log = false;
    let logged = Logged::start(setup);
    assert_eq!(logged.rig.ask(GET).status(), 200);
    assert_eq!(logged.rest(), Vec::<String>::new());
}

#[test]
fn sessions_are_kept_renewed_moved_or_new_and_said_of_pools_that_have_them() {
    let backends = [Backend::named("b0"), Backend::named("b1")];
    let all = setup(&backends.each_ref().map(|backend| backend.address));
    let setup = all.pool(|pool| pool.affinity = Some(CookieRules::default()));
    let logged = Logged::start(setup);
    let ask = |cookie: &str| {
        let lines = GET.trim_end();
        let answer = logged
            .rig
            .ask(&format!("{lines}\r\nCookie: {cookie}\r\n\r\n"));
        let field = answer.field("set-cookie").unwrap_or_default();
        (logged.line(), field.split(';').next().unwrap().to_owned())
    };
    let keys = |of: &[u8]| {
        logged.rig.proxy.set_secrets(Secrets {
            affinity: of.iter().map(|of| SecretBytes([*of; 32])).collect(),
            ..Secrets::default()
        });
    };
    assert!(ask("a=1").0.get("affinity").is_none(), "there is no key");
    keys(&[1]);
    let (line, first) = ask("a=1");
    require(&line, &json!({"affinity": "new"}));
    let backend = line["backend"].clone();
    let kept = json!({"affinity": "kept", "backend": backend});
    require(&ask(&first).0, &kept);
    keys(&[2, 1]);
    let (line, second) = ask(&first);
    require(&line, &json!({"affinity": "renewed", "backend": backend}));
    require(&ask(&second).0, &kept);
    logged.rig.reload(|config| {
        let backends = &mut config.pools[0].backends;
        let own = backends.iter_mut().find(|it| backend == it.name.as_str());
        own.unwrap().mode = BackendMode::Maintained;
    });
    let (line, _) = ask(&second);
    require(&line, &json!({"affinity": "moved"}));
    assert_ne!(line["backend"], backend);
    assert!(line.get("ejected").is_none(), "this pool ejects nobody");
}

#[test]
fn the_request_that_had_a_backend_ejected_says_so() {
    let ill = Backend::saying("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n");
    let well = Backend::saying(OK);
    let setup = setup(&[ill.address, well.address]).pool(|pool| {
        pool.ejection = Some(EjectionRules {
            consecutive_failures: 2,
            ..EjectionRules::default()
        });
    });
    let logged = Logged::start(setup);
    let mut said = Vec::new();
    for _ in 0..8 {
        logged.rig.ask(GET);
        let line = logged.line();
        let status = line["status"].as_u64().unwrap();
        said.push((status, line["ejected"].as_bool().unwrap()));
    }
    let failures: Vec<_> = said.iter().filter(|(status, _)| *status == 500).collect();
    assert_eq!(failures, [&(500, false), &(500, true)], "{said:?}");
    let others = said.iter().filter(|(status, _)| *status == 200);
    assert!(others.clone().all(|(_, ejected)| !ejected) && others.count() == 6);
}
