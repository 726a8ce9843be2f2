//! Backends that say where the answer is, instead of answering: only the pool that the
//! configuration names is asked for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use evenkeel::config::{CookieRules, EjectionRules, RequestBuffering};
use evenkeel::ipc::message::Secrets;
use evenkeel::model::SecretBytes;
use evenkeel::process::proxy::Given;

use crate::common::{Backend, Message, wait_until};
use crate::rig::{Rig, Setup, setup};

const GET: &str = "GET /doc/7?v=1 HTTP/1.1\r\nHost: www.test\r\nCookie: s=1\r\nAuthorization: x\r\nRange: bytes=0-9\r\n\r\n";

/// Answers every request with these fields, and nothing else.
fn app(fields: &str) -> Backend {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n\r\n");
    Backend::scripted(move |mut visit| {
        while visit.request().is_some() {
            visit.wire.send(&answer);
        }
    })
}

/// Has files: says which was asked for, by whom.
fn files(name: &'static str) -> Backend {
    Backend::scripted(move |mut visit| {
        while let Some(request) = visit.request() {
            let status = match request.line().contains("/missing") {
                true => "404 Not Found",
                false => "206 Partial Content",
            };
            let body = format!("{name}: {}", request.line());
            let (len, body) = match request.line().starts_with("HEAD") {
                true => (body.len(), String::new()),
                false => (body.len(), body),
            };
            visit.wire.send(format!(
                "HTTP/1.1 {status}\r\nContent-Length: {len}\r\nContent-Type: text/plain\r\nETag: f\r\nX-Accel-Redirect: /loop\r\n\r\n{body}"
            ));
        }
    })
}

/// A proxy of an application, and of another pool which may have what that names.
fn start(app: &Backend, files: &[SocketAddr]) -> Rig {
    with(app, files).start()
}

fn with(app: &Backend, files: &[SocketAddr]) -> Setup {
    let mut setup = setup(&[app.address]);
    let mut pool = crate::rig::setup(files).config.pools.remove(0);
    pool.name = "files".to_owned();
    pool.reproxy = Some("files".to_owned());
    setup.config.pools.push(pool);
    setup.pool(|pool| pool.reproxy = Some("files".to_owned()))
}

/// Returns the fields of a request, without its first line.
fn fields(request: &Message) -> Vec<&str> {
    let lines = request.head.trim_end().lines().skip(1);
    lines.filter(|line| !line.starts_with("X-")).collect()
}

#[test]
fn a_path_is_asked_for_in_the_pool_that_is_named_and_the_client_hears_of_both() {
    let app = app(
        "X-Accel-Redirect: /store/7.pdf?k=v\r\nContent-Type: application/pdf\r\nSet-Cookie: t=2\r\n\
         X-App: secret",
    );
    let files = files("f");
    let rig = start(&app, &[files.address]);
    let mut client = rig.client();
    for _ in 0..3 {
        let answer = client.ask(GET);
        assert_eq!(answer.status(), 206);
        assert_eq!(answer.text(), "f: GET /store/7.pdf?k=v HTTP/1.1");
        for (name, hoped) in [
            ("content-type", Some("application/pdf")),
            ("set-cookie", Some("t=2")),
            ("etag", Some("f")),
            ("x-app", None),
            ("x-accel-redirect", None),
        ] {
            assert_eq!(answer.field(name).as_deref(), hoped, "{name}");
        }
        let asked = files.last_request();
        assert_eq!(fields(&asked), ["Host: www.test", "Range: bytes=0-9"]);
        assert!(asked.head.contains("X-Forwarded-For: "));
    }
    assert_eq!((app.accepted(), files.accepted()), (1, 1), "both are kept");
    let head = GET.replace("GET", "HEAD");
    client.send(&head);
    let answer = client.try_response("HEAD").unwrap();
    assert_eq!(
        (answer.status(), answer.field("content-type").as_deref()),
        (206, Some("application/pdf"))
    );
    assert!(files.last_request().line().starts_with("HEAD /store/7.pdf"));
    assert_eq!(client.ask(GET).status(), 206);
}

#[test]
fn what_a_pool_says_is_for_the_client_where_it_names_none() {
    let app = app("X-Accel-Redirect: /store/7.pdf");
    let files = files("f");
    let rig = with(&app, &[files.address]).pool(|pool| pool.reproxy = None);
    let answer = rig.start().ask(GET);
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.field("x-accel-redirect").as_deref(),
        Some("/store/7.pdf")
    );
    assert_eq!(files.accepted(), 0);
}

/// The first that has it answers; those that are down, gone or without it are passed over.
#[test]
fn urls_are_tried_in_order() {
    let (one, two) = (files("one"), files("two"));
    let (_socket, refusing) = crate::common::refusing_address();
    let losing = Backend::scripted(|mut visit| {
        visit.request();
    });
    let at = |address: SocketAddr, path: &str| format!("http://{address}{path}");
    let (one_at, two_at) = (one.address, two.address);
    for (urls, status, body) in [
        (
            vec![at(one_at, "/a"), at(two_at, "/b")],
            206,
            "one: GET /a HTTP/1.1",
        ),
        (
            vec![at(refusing, "/a"), at(two_at, "/b?c")],
            206,
            "two: GET /b?c HTTP/1.1",
        ),
        (
            vec![at(losing.address, "/a"), at(one_at, "/b")],
            206,
            "one: GET /b HTTP/1.1",
        ),
        (
            vec![at(one_at, "/missing"), at(two_at, "/b")],
            206,
            "two: GET /b HTTP/1.1",
        ),
        (
            vec![at(one_at, "/missing"), at(two_at, "/missing/too")],
            404,
            "two: GET /missing/too HTTP/1.1",
        ),
        (
            vec![at("192.0.2.77:80".parse().unwrap(), "/a"), at(two_at, "/b")],
            206,
            "two: GET /b HTTP/1.1",
        ),
    ] {
        let app = app(&format!("X-Reproxy-URL: {}", urls.join(" ")));
        let addresses = [one_at, two_at, refusing, losing.address];
        let rig = start(&app, &addresses);
        let mut client = rig.client();
        for _ in 0..2 {
            let answer = client.ask(GET);
            assert_eq!((answer.status(), answer.text().as_str()), (status, body));
        }
        let host = format!("Host: {}", two_at);
        if body.starts_with("two") {
            assert_eq!(fields(&two.last_request()), [&host, "Range: bytes=0-9"]);
        }
    }
}

/// A request never goes where the configuration names nobody, whatever a backend says.
#[test]
fn nobody_is_asked_whom_the_configuration_does_not_name() {
    let stranger = files("stranger");
    let file = files("f");
    let outside = format!("X-Reproxy-URL: http://{}/a", stranger.address);
    for fields in [
        outside.as_str(),
        "X-Reproxy-URL: http://files.test/a",
        "X-Accel-Redirect: http://192.0.2.1/a",
        "X-Accel-Redirect: a b",
    ] {
        let app = app(fields);
        let rig = start(&app, &[file.address]);
        let answer = rig.ask(GET);
        assert_eq!(answer.status(), 502, "{fields}");
        assert!(answer.text().starts_with("invalid_response: "), "{fields}");
    }
    assert_eq!((stranger.accepted(), file.accepted()), (0, 0));
}

/// The one that has it is the only one.
#[test]
fn a_url_alone_is_asked_of_nobody_else() {
    let good = files("good");
    let losing = Backend::scripted(|mut visit| {
        visit.request();
    });
    let app = app(&format!("X-Reproxy-URL: http://{}/a", losing.address));
    let rig = start(&app, &[losing.address, good.address]);
    assert_eq!(rig.ask(GET).status(), 502);
    assert_eq!(good.accepted(), 0);
    // It may be sent again there, once.
    assert_eq!(losing.requests().len(), 2);
    let (_socket, refusing) = crate::common::refusing_address();
    let app = self::app(&format!("X-Reproxy-URL: http://{refusing}/a"));
    let rig = start(&app, &[refusing, good.address]);
    assert_eq!(rig.ask(GET).status(), 502);
    assert_eq!(good.accepted(), 0);
}

#[test]
fn a_pool_that_has_nobody_up_is_said() {
    let app = app("X-Accel-Redirect: /a");
    let (_socket, refusing) = crate::common::refusing_address();
    let rig = start(&app, &[refusing]);
    let answer = rig.ask(GET);
    assert_eq!(answer.status(), 502);
    assert!(answer.text().starts_with("connect_failed: "), "{answer:?}");
}

/// The body is for the backend that was asked; whoever has the answer is asked without one.
#[test]
fn a_post_is_fetched_with_get_and_what_the_client_sends_next_is_not_lost() {
    let app = app("X-Accel-Redirect: /a");
    let file = files("f");
    for buffered in [None, Some(RequestBuffering::default())] {
        let setup = with(&app, &[file.address]).pool(|pool| pool.buffer_requests = buffered);
        let rig = setup.start_with(Given::default());
        let mut client = rig.client();
        let chunked =
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let length = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        client.send([chunked, length, GET].concat());
        for _ in 0..3 {
            assert_eq!(client.response().text(), "f: GET /a HTTP/1.1");
        }
        assert_eq!(fields(&file.requests()[0]), ["Host: a"]);
    }
    let bodies = app.requests().into_iter().filter(|it| it.body == b"abc");
    assert_eq!(bodies.count(), 4);
}

#[test]
fn another_answer_before_the_request_has_ended_is_none() {
    let app = Backend::scripted(|mut visit| {
        while visit.wire.head().is_some() {
            visit
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Accel-Redirect: /a\r\n\r\n");
        }
    });
    let file = files("f");
    let rig = start(&app, &[file.address]);
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nabc");
    let answer = client.response();
    assert_eq!(answer.status(), 502);
    assert!(
        answer.text().starts_with("invalid_response: "),
        "{answer:?}"
    );
    assert_eq!(file.accepted(), 0);
}

/// What stands behind the head is nobody's: the connection of a backend is kept only where that is
/// there to its end.
#[test]
fn bodies_behind_a_place_are_dropped() {
    for (rest, is_kept) in [
        ("Content-Length: 3\r\n\r\nabc", true),
        ("Content-Length: 300\r\n\r\nabc", false),
        (
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            false,
        ),
        ("Content-Length: 3\r\nConnection: close\r\n\r\nabc", false),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nX-Accel-Redirect: /a\r\n{rest}");
        let app = Backend::scripted(move |mut visit| {
            while visit.request().is_some() {
                visit.wire.send(&answer);
            }
        });
        let file = files("f");
        let rig = start(&app, &[file.address]);
        let mut client = rig.client();
        for _ in 0..2 {
            assert_eq!(client.ask(GET).text(), "f: GET /a HTTP/1.1");
        }
        assert_eq!(app.accepted(), if is_kept { 1 } else { 2 }, "{rest}");
    }
}

/// It gives its room back before it takes another.
#[test]
fn a_pool_may_have_its_own_answers() {
    let both = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            let named = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Accel-Redirect: /file\r\n\r\n";
            let file = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfile";
            let is_file = request.line().starts_with("GET /file ");
            visit.wire.send(if is_file { file } else { named });
        }
    });
    let setup = setup(&[both.address]).pool(|pool| {
        pool.reproxy = Some("web".to_owned());
        pool.backends[0].requests = Some(1);
    });
    let rig = setup.start();
    let mut client = rig.client();
    for _ in 0..5 {
        assert_eq!(client.ask(GET).text(), "file");
    }
    // A client may have its answer a moment before.
    wait_until("its room is free", || {
        rig.pool().backends[0].active_requests == 0
    });
    assert_eq!((both.requests().len(), both.accepted()), (10, 1));
}

/// The cookie is that of the pool which the client has asked.
#[test]
fn sessions_are_with_who_has_named_the_answer() {
    let app = app("X-Accel-Redirect: /a");
    let file = files("f");
    let mut setup = with(&app, &[file.address]);
    for pool in &mut setup.config.pools {
        pool.affinity = Some(CookieRules {
            name: format!("of_{}", pool.name),
            ..CookieRules::default()
        });
    }
    let rig = setup.start();
    rig.proxy.set_secrets(Secrets {
        affinity: vec![SecretBytes([7; 32])],
        ..Secrets::default()
    });
    let answer = rig.ask(GET);
    assert_eq!(answer.text(), "f: GET /a HTTP/1.1");
    let cookies = answer.head.matches("of_web=").count();
    assert_eq!((cookies, answer.head.contains("of_files=")), (1, false));
}

/// What is switched to is nobody's answer, and no place for the next request.
#[test]
fn a_change_of_protocol_is_none_that_is_elsewhere() {
    let upgraded = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n";
    let switch = format!("{upgraded}X-Accel-Redirect: /a\r\n\r\n");
    let app = Backend::scripted(move |mut visit| {
        if visit.request().is_some() {
            visit.wire.send(&switch);
            visit.wire.send("hello");
            visit.wire.rest();
        }
    });
    let file = files("f");
    let rig = start(&app, &[file.address]);
    let mut client = rig.client();
    let ask = GET.replace(
        "\r\n\r\n",
        "\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    client.send(&ask);
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.take(5), b"hello");
    assert_eq!(file.accepted(), 0);

    // Whoever has a file was not asked for a protocol.
    let app = self::app("X-Accel-Redirect: /a");
    let switching = Backend::scripted(move |mut visit| {
        while visit.request().is_some() {
            visit.wire.send(format!("{upgraded}\r\n"));
        }
    });
    let rig = start(&app, &[switching.address]);
    let answer = rig.ask(&ask);
    assert_eq!(answer.status(), 502);
    assert!(
        answer.text().starts_with("invalid_response: "),
        "{answer:?}"
    );
}

#[test]
fn two_heads_that_are_too_large_together_are_no_answer() {
    let cookies = |count: usize| {
        let fields = (0..count).map(|it| format!("Set-Cookie: c{it}=1\r\n"));
        fields.collect::<String>()
    };
    for (of_app, of_file, hoped) in [(60, 60, 206), (80, 80, 502), (0, 120, 206)] {
        let app = app(&format!("{}X-Accel-Redirect: /a", cookies(of_app)));
        let fields = cookies(of_file).replace("Set-Cookie", "X-File");
        let file = Backend::scripted(move |mut visit| {
            while visit.request().is_some() {
                visit.wire.send(format!(
                    "HTTP/1.1 206 Partial\r\n{fields}Content-Length: 2\r\n\r\nok"
                ));
            }
        });
        let rig = start(&app, &[file.address]);
        assert_eq!(rig.ask(GET).status(), hoped, "{of_app} and {of_file}");
    }
}

/// It answers, and badly: that the next place is better is no sign that it is well.
#[test]
fn who_fails_first_of_several_places_is_ejected_and_asked_no_more() {
    let ill = Backend::saying("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n");
    let well = files("well");
    let others = [files("c"), files("d")];
    let urls = format!("http://{}/a http://{}/a", ill.address, well.address);
    let app = app(&format!("X-Reproxy-URL: {urls}"));
    let mut setup = with(
        &app,
        &[
            ill.address,
            well.address,
            others[0].address,
            others[1].address,
        ],
    );
    setup.config.pools[1].ejection = Some(EjectionRules {
        consecutive_failures: 3,
        ..EjectionRules::default()
    });
    let rig = setup.start();
    for _ in 0..10 {
        assert_eq!(rig.ask(GET).status(), 206);
    }
    assert_eq!(ill.requests().len(), 3);
    assert_eq!(rig.proxy.status().1[1].backends[0].state, "ejected");
}

/// One that was asked before a reload may answer after it: what the file says then holds.
#[test]
fn a_pool_that_is_renamed_meanwhile_has_the_answer_under_its_name() {
    let (told, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let (release, is_asked) = (Arc::clone(&told), Arc::clone(&asked));
    let app = Backend::scripted(move |mut visit| {
        while visit.request().is_some() {
            is_asked.store(true, SeqCst);
            wait_until("it is told", || release.load(SeqCst));
            let named = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Accel-Redirect: /a\r\n\r\n";
            visit.wire.send(named);
        }
    });
    let file = files("f");
    for (name, hoped) in [(Some("renamed"), 206), (None, 503)] {
        told.store(false, SeqCst);
        asked.store(false, SeqCst);
        let rig = start(&app, &[file.address]);
        let mut client = rig.client();
        client.send(GET);
        wait_until("it is asked", || asked.load(SeqCst));
        rig.reload(|config| {
            config.pools[0].reproxy = name.map(str::to_owned);
            match name {
                Some(name) => config.pools[1].name = name.to_owned(),
                None => drop(config.pools.remove(1)),
            }
            if let Some(pool) = config.pools.get_mut(1) {
                pool.reproxy = None;
            }
        });
        told.store(true, SeqCst);
        let answer = client.response();
        assert_eq!(answer.status(), hoped, "{name:?}");
        let word = answer.text().starts_with("no_backend_up: ");
        assert_eq!(word, hoped == 503, "{answer:?}");
    }
}

/// The backend that named it is free while a slow client reads.
#[test]
fn the_backend_that_has_named_the_place_is_free_at_once() {
    let app = app("X-Accel-Redirect: /a");
    let slow = Backend::scripted(|mut visit| {
        while visit.request().is_some() {
            visit
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
            std::thread::sleep(Duration::from_millis(600));
            visit.wire.send("the o\n");
        }
    });
    let rig = with(&app, &[slow.address]);
    let rig = rig.pool(|pool| pool.backends[0].requests = Some(1)).start();
    let mut client = rig.client();
    client.send(GET);
    let active = |pool: usize| rig.proxy.status().1[pool].backends[0].active_requests;
    wait_until("it is being sent", || active(1) == 1);
    assert_eq!(active(0), 0);
    assert_eq!(client.response().text(), "halfthe o\n");
}
