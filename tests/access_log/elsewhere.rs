//! What a line says of a body that is kept before a backend is asked, and of an answer that is
//! elsewhere.

use std::fs::File;
use std::io::Write;

use evenkeel::config::RequestBuffering;
use serde_json::json;

use crate::common::{Backend, wait_until};
use crate::logged::{Logged, require};
use crate::rig::setup;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn keeping(backends: &[&Backend], file: File) -> Logged {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    let setup = setup(&addresses).client_timeouts(30_000, 500).pool(|pool| {
        pool.buffer_requests = Some(RequestBuffering {
            memory: 64 * 1024,
            disk: 1024 * 1024,
        });
    });
    let logged = Logged::start(setup);
    logged.rig.proxy.set_spool(file.into()).unwrap();
    logged
}

fn head(method: &str, len: usize) -> String {
    format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n")
}

#[test]
fn kept_bodies_end_in_words_of_their_own() {
    let backend = Backend::saying(OK);
    let logged = keeping(&[&backend], tempfile::tempfile().unwrap());
    let body = vec![b'a'; 300_000];
    let before = logged.rig.client().ask(&head("POST", 2_000_000));
    assert_eq!(before.status(), 413);
    let kept = |status: u64, termination: &str, ended_by: &str| {
        json!({
            "status": status, "termination": termination, "ended_by": ended_by,
            "phase": "request_body", "backend": null, "request_bytes": 0,
        })
    };
    let line = logged.line();
    require(
        &line,
        &json!({"status": 413, "termination": "request_body_invalid", "ended_by": "client"}),
    );

    let mut client = logged.rig.client();
    client.send(head("POST", body.len()));
    client.send(&body);
    assert_eq!(client.response().text(), "ok");
    let line = logged.line();
    require(
        &line,
        &json!({"status": 200, "termination": "complete", "retries": 0, "ended_by": null}),
    );
    assert!(line["request_bytes"].as_u64().unwrap() > 300_000);

    let mut client = logged.rig.client();
    client.send(head("POST", body.len()));
    client.send(&body[1..]);
    wait_until("it is kept", || logged.rig.pool().buffered_requests == 1);
    drop(client);
    let line = logged.line();
    require(&line, &kept(400, "request_body_invalid", "client"));

    let mut client = logged.rig.client();
    client.send(head("POST", body.len()));
    client.send(&body[1..]);
    assert_eq!(client.response().status(), 408);
    require(&logged.line(), &kept(408, "request_body_timeout", "client"));

    let full = File::options().read(true).write(true).open("/dev/full");
    for (file, status, word) in [
        (full.unwrap(), 507, "disk_full"),
        (File::open("/dev/null").unwrap(), 500, "disk_failed"),
    ] {
        let logged = keeping(&[&backend], file);
        let mut client = logged.rig.client();
        client.send(head("POST", body.len()));
        // It may be answered before all is taken.
        let _ = client.stream.write_all(&body);
        assert_eq!(u64::from(client.response().status()), status);
        require(&logged.line(), &kept(status, word, "proxy"));
    }
}

#[test]
fn a_put_that_was_sent_twice_says_so_and_how_long_it_was() {
    let losing = Backend::scripted(|mut visit| {
        visit.request();
    });
    let good = Backend::saying(OK);
    let logged = keeping(&[&losing, &good], tempfile::tempfile().unwrap());
    let mut client = logged.rig.client();
    client.send(head("PUT", 200_000));
    client.send(vec![b'a'; 200_000]);
    assert_eq!(client.response().text(), "ok");
    let line = logged.line();
    require(
        &line,
        &json!({"retries": 1, "backend": "b1", "method": "PUT", "termination": "complete"}),
    );
    let sent = line["request_bytes"].as_u64().unwrap();
    assert!((200_000..201_000).contains(&sent), "{sent}");
}

/// The line is the client's: what it asked for, and who has answered.
#[test]
fn an_answer_that_was_elsewhere_says_who_has_named_it() {
    let app = Backend::saying(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Accel-Redirect: /store/1\r\n\r\n",
    );
    let files = Backend::saying(OK);
    let mut setup = setup(&[app.address]).pool(|pool| pool.reproxy = Some("files".to_owned()));
    let mut pool = crate::rig::setup(&[files.address]).config.pools.remove(0);
    pool.name = "files".to_owned();
    pool.backends[0].name = "f1".to_owned();
    setup.config.pools.push(pool);
    let logged = Logged::start(setup);
    let asked = "POST /doc/1?a=b HTTP/1.1\r\nHost: www.test\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(logged.rig.ask(asked).text(), "ok");
    require(
        &logged.line(),
        &json!({
            "pool": "files", "backend": "f1", "reproxied_by": "web/b0", "path": "/doc/1?a=b",
            "host": "www.test", "status": 200, "retries": 0, "termination": "complete",
        }),
    );
    files.hang_up();
    let logged_line = |logged: &Logged| {
        logged.rig.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        logged.line()
    };
    assert_eq!(logged_line(&logged)["reproxied_by"], "web/b0");
}

/// A backend is one of its pool: who has named an answer is none of those that should have it.
#[test]
fn nobody_is_said_to_have_been_asked_who_was_not() {
    let named = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Reproxy-URL: http://192.0.2.7/a\r\n\r\n";
    let apps = [named, named, named].map(Backend::saying);
    let files = Backend::saying(OK);
    let mut setup = setup(&apps.each_ref().map(|app| app.address))
        .pool(|pool| pool.reproxy = Some("files".to_owned()));
    let mut pool = crate::rig::setup(&[files.address]).config.pools.remove(0);
    pool.name = "files".to_owned();
    setup.config.pools.push(pool);
    let logged = Logged::start(setup);
    for app in 0..3 {
        let answer = logged.rig.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(answer.status(), 502);
        require(
            &logged.line(),
            &json!({
                "pool": "files", "backend": null, "reproxied_by": format!("web/b{app}"),
                "status": 502, "termination": "invalid_response",
            }),
        );
    }
    assert_eq!(files.accepted(), 0);
}
