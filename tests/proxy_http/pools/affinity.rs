//! Sessions that stay on their backend by a cookie: on every node that has the key, while their
//! backend may be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use evenkeel::config::{
    BackendConfig, BackendMode, CookieRules, Fallback, PoolConfig, Reuse, SameSite, Secure, Tier,
};
use evenkeel::ipc::message::Secrets;
use evenkeel::logic::http1::rewrite::edit::FieldEdits;
use evenkeel::model::SecretBytes;
use evenkeel::process::proxy::Given;

use super::ailing;
use crate::common::{Backend, Message, Wire, refusing_address, wait_until};
use crate::rig::{GET, OK, Rig, Setup, WEBSOCKET, http_check, setup};

/// Returns what is derived from secrets, the one that is used first.
fn secrets(of: &[u8]) -> Secrets {
    Secrets {
        affinity: of.iter().map(|of| SecretBytes([*of; 32])).collect(),
        ..Secrets::default()
    }
}

fn start(setup: Setup, of: &[u8]) -> Rig {
    setup.start_with(Given::new(secrets(of), Vec::new(), None))
}

/// Returns a proxy with affinity before these, called `b0` and so on.
fn sticky(backends: &[&Backend]) -> Setup {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    setup(&addresses).pool(|pool| pool.affinity = Some(CookieRules::default()))
}

fn three() -> [Backend; 3] {
    ["b0", "b1", "b2"].map(Backend::named)
}

fn all(backends: &[Backend; 3]) -> Setup {
    sticky(&backends.each_ref())
}

/// Returns the name and value that an answer has a client keep.
fn cookie(answer: &Message) -> Option<String> {
    let field = answer.field("set-cookie")?;
    field.split(';').next().map(str::to_owned)
}

/// Returns a request with these cookies.
fn with(cookies: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookies}\r\n\r\n")
}

/// Begins a session; returns its backend and its cookie.
fn begin(wire: &mut Wire) -> (String, String) {
    let answer = wire.ask(GET);
    let cookie = cookie(&answer).expect("it is new");
    (answer.text(), cookie)
}

/// Begins a session on this backend.
fn begin_on(rig: &Rig, backend: &str) -> String {
    let mut wire = rig.client();
    let mut all = (0..50).map(|_| begin(&mut wire));
    let found = all.find(|(name, _)| name == backend);
    found.expect("all get some").1
}

/// Asks with a cookie; returns who answered, and which cookie it is now, if another.
fn go_on(rig: &Rig, cookies: &str) -> (String, Option<String>) {
    let answer = rig.ask(&with(cookies));
    (answer.text(), cookie(&answer))
}

fn named(name: &str) -> (String, Option<String>) {
    (name.to_owned(), None)
}

#[test]
fn sessions_are_on_their_backend_on_another_node_with_another_order_and_more_backends() {
    let backends = three();
    let (more, most) = (Backend::named("new"), Backend::named("newest"));
    let mut one = all(&backends);
    one.threads = 2;
    let one = start(one, &[7]);
    let other = all(&backends).pool(|pool| {
        pool.backends.reverse();
        for (name, backend, at) in [("a", &more, 0), ("z", &most, 2)] {
            let config = BackendConfig {
                name: name.to_owned(),
                address: backend.address,
                ..pool.backends[0].clone()
            };
            pool.backends.insert(at, config);
        }
    });
    let other = start(other, &[7]);
    let mut wire = one.client();
    let sessions: Vec<_> = (0..1000).map(|_| begin(&mut wire)).collect();
    for rig in [&other, &one] {
        let mut wire = rig.client();
        for (name, cookie) in &sessions {
            let answer = wire.ask(&with(cookie));
            assert_eq!(&answer.text(), name);
            assert_eq!(answer.field("set-cookie"), None, "it is kept");
            assert_eq!(answer.field("cache-control"), None);
        }
    }
    assert!(backends.iter().all(|it| it.requests().len() > 600));
    let stranger = start(all(&backends), &[8]);
    let known = sessions.iter().take(50);
    let known = known.filter(|(_, cookie)| go_on(&stranger, cookie).1.is_none());
    assert_eq!(known.count(), 0, "another key knows nobody");
}

#[test]
fn cookies_say_what_was_configured_and_no_name_and_are_private() {
    let backends = three();
    let rig = start(all(&backends), &[7]);
    let answer = rig.ask(GET);
    let (value, rules) = {
        let field = answer.field("set-cookie").unwrap();
        let (pair, rules) = field.split_once(';').unwrap();
        let value = pair.strip_prefix("evenkeel=").unwrap().to_owned();
        (value, rules.to_owned())
    };
    assert_eq!(rules, " Path=/; HttpOnly; SameSite=Lax");
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    assert!(
        value.len() == 22 && value.chars().all(is_of_token),
        "{value}"
    );
    assert_eq!(answer.field("cache-control"), Some("private".to_owned()));
    let rules = CookieRules {
        name: "s".to_owned(),
        path: "/shop".to_owned(),
        secure: Secure::Always,
        http_only: false,
        same_site: SameSite::None,
        lifetime: Some(Duration::from_secs(60)),
    };
    rig.reload(|config| config.pools[0].affinity = Some(rules));
    let field = rig.ask(GET).field("set-cookie").unwrap();
    assert!(field.starts_with("s="), "{field}");
    let hoped = "; Max-Age=60; Path=/shop; Secure; SameSite=None";
    assert!(field.ends_with(hoped), "{field}");
    rig.reload(|config| config.pools[0].affinity = None);
    assert_eq!(rig.ask(GET).field("set-cookie"), None);
}

/// A contract between nodes, which may have different versions: of the key of 32 sevens, as
/// Python's hmac says.
#[test]
fn values_never_change() {
    let backends = three();
    let rig = start(all(&backends), &[7]);
    assert_eq!(begin_on(&rig, "b0"), format!("evenkeel={TAG_OF_B0}"));
}

#[test]
fn other_cookies_go_on_as_they_are_and_the_cookie_of_ours_stays_here() {
    let backends = three();
    let rig = start(all(&backends), &[7]);
    let own = begin_on(&rig, "b1");
    for (sent, hoped) in [
        (own.clone(), None),
        (format!("a=1; {own}; b=\"2;3\""), Some("a=1; b=\"2;3\"")),
        (format!("{own};a= 1 ;b"), Some("a= 1 ;b")),
        (format!("a=1;{own}"), Some("a=1")),
        (format!("evenkeel=x; {own}; evenkeel"), Some("evenkeel")),
        (format!("a=1\r\nX: y\r\ncookie: {own}"), Some("a=1")),
        (format!("{own}\r\nCookie: b=2"), Some("b=2")),
    ] {
        assert_eq!(go_on(&rig, &sent), named("b1"), "{sent}");
        let request = backends[1].last_request();
        let found = request.field("cookie");
        assert_eq!(found.as_deref(), hoped, "{sent}");
    }
    let quoted = own.replace('=', "=\"") + "\"";
    assert_eq!(go_on(&rig, &quoted), named("b1"), "quotes are around it");
    let before = "EVENKEEL=1; xevenkeel=2; evenkeel2=3";
    go_on(&rig, before);
    let found = backends.iter().filter_map(|it| it.requests().pop());
    let mut found = found.filter_map(|request| request.field("cookie"));
    assert!(found.any(|it| it == before), "other names");
}

#[test]
fn what_is_forged_or_unknown_is_as_good_as_nothing() {
    let backends = three();
    let rig = start(all(&backends), &[7]);
    let own = begin_on(&rig, "b1");
    let forged = [
        "evenkeel=b1".to_owned(),
        "evenkeel=".to_owned(),
        format!("evenkeel={}", "A".repeat(22)),
        format!("{own}="),
        own[..own.len() - 1].to_owned(),
        own.to_uppercase().replace("EVENKEEL", "evenkeel"),
        own.replace("evenkeel", "other"),
    ];
    for cookies in &forged {
        let answer = rig.ask(&with(cookies));
        assert_eq!(answer.status(), 200);
        assert!(cookie(&answer).is_some(), "{cookies} is renewed");
    }
    // The first that is valid counts, whatever stands before it.
    let cookies = format!("evenkeel=zzz; {}; {own}", forged[2]);
    assert_eq!(go_on(&rig, &cookies), named("b1"));
}

#[test]
fn a_key_that_is_replaced_is_accepted_and_its_cookies_are_renewed() {
    let backends = three();
    let rig = start(all(&backends), &[7]);
    let old = begin_on(&rig, "b2");
    rig.proxy.set_secrets(secrets(&[8, 7]));
    let (name, renewed) = go_on(&rig, &old);
    assert_eq!(name, "b2", "without a reload");
    let renewed = renewed.expect("with another key");
    assert_ne!(renewed, old);
    assert_eq!(go_on(&rig, &renewed), named("b2"));
    rig.proxy.set_secrets(secrets(&[8]));
    assert_eq!(go_on(&rig, &renewed), named("b2"));
    assert!(go_on(&rig, &old).1.is_some(), "the old key is gone");
    rig.proxy.set_secrets(secrets(&[]));
    let answer = rig.ask(&with(&renewed));
    assert_eq!(
        answer.field("set-cookie"),
        None,
        "without a key there is none"
    );
}

#[test]
fn drained_backends_keep_their_sessions_and_those_in_maintenance_do_not() {
    let backends = three();
    let rig = start(all(&backends), &[7]);
    let own = begin_on(&rig, "b1");
    let set = |mode| rig.reload(|config| config.pools[0].backends[1].mode = mode);
    set(BackendMode::Drained);
    let mut wire = rig.client();
    for _ in 0..20 {
        assert_eq!(go_on(&rig, &own), named("b1"));
        assert_ne!(begin(&mut wire).0, "b1", "new ones go elsewhere");
    }
    set(BackendMode::Maintained);
    let (name, moved) = go_on(&rig, &own);
    assert_ne!(name, "b1");
    let moved = moved.expect("it has another backend");
    assert_eq!(go_on(&rig, &moved), named(&name));
    set(BackendMode::Up);
    assert_eq!(go_on(&rig, &moved), named(&name), "nobody is moved back");
    assert_eq!(go_on(&rig, &own), named("b1"), "who was away is at home");
    rig.reload(|config| drop(config.pools[0].backends.remove(1)));
    assert!(go_on(&rig, &own).1.is_some(), "it is gone");
}

#[test]
fn a_session_leaves_a_backend_that_is_down_and_stays_where_it_went() {
    let (ill, status) = ailing("b0");
    let one = Backend::named("b1");
    let setup = sticky(&[&ill, &one]).check(http_check(), 1, 1);
    let rig = start(setup, &[7]);
    let becomes = |state: &str| wait_until(state, || rig.pool().backends[0].state == state);
    wait_until("all are up", || {
        rig.pool().backends.iter().all(|b| b.state == "up")
    });
    let own = begin_on(&rig, "b0");
    status.store(500, Relaxed);
    becomes("down");
    let (name, moved) = go_on(&rig, &own);
    assert_eq!(name, "b1");
    let moved = moved.expect("it has another backend");
    status.store(200, Relaxed);
    becomes("up");
    assert_eq!(go_on(&rig, &moved), named("b1"));
    assert_eq!(go_on(&rig, &own), named("b0"));
}

#[test]
fn a_retry_gives_the_cookie_of_who_answers_in_the_end() {
    let (_held, refusing) = refusing_address();
    let backends = three();
    let [_, one, two] = &backends;
    let sessions = start(all(&backends), &[7]);
    let own = begin_on(&sessions, "b0");
    let setup = setup(&[refusing, one.address, two.address]);
    let rig = start(
        setup.pool(|pool| pool.affinity = Some(CookieRules::default())),
        &[7],
    );
    let (name, moved) = go_on(&rig, &own);
    assert!(["b1", "b2"].contains(&&*name));
    assert_eq!(rig.pool().retries_total, 1, "its own was asked first");
    let moved = moved.expect("it has another backend");
    assert_eq!(go_on(&rig, &moved), named(&name));
    assert_eq!(go_on(&sessions, &moved), named(&name), "on every node");
    // A moment later it is left out at once.
    go_on(&rig, &own);
    assert_eq!(rig.pool().retries_total, 1);
}

/// A session is not moved for one connection, and is for two.
#[test]
fn a_session_leaves_a_backend_that_has_lost_its_request_twice() {
    for (lost, hoped) in [(1, "b0"), (2, "b1")] {
        let left = Arc::new(AtomicUsize::new(0));
        let losing = Arc::clone(&left);
        let ill = Backend::scripted(move |mut visit| {
            while visit.request().is_some() {
                let less = |left: usize| left.checked_sub(1);
                if losing.fetch_update(Relaxed, Relaxed, less).is_ok() {
                    return;
                }
                visit
                    .wire
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nb0");
            }
        });
        let other = Backend::named("b1");
        let setup = sticky(&[&ill, &other]).pool(|pool| pool.keep_alive.reuse = Reuse::Never);
        let rig = start(setup, &[7]);
        let own = begin_on(&rig, "b0");
        left.store(lost, Relaxed);
        let (name, moved) = go_on(&rig, &own);
        assert_eq!(name, hoped, "{lost} lost");
        assert_eq!(moved.is_some(), lost == 2, "the cookie is of who answers");
        assert_eq!(rig.pool().retries_total, lost as u64 - 1);
    }
}

#[test]
fn backups_keep_those_who_came_to_them() {
    let backends = three();
    let setup = all(&backends).pool(|pool| pool.backends[2].tier = Tier::Backup);
    let rig = start(setup, &[7]);
    let drain = |mode| {
        rig.reload(|config| {
            let primaries = config.pools[0].backends.iter_mut().take(2);
            primaries.for_each(|backend| backend.mode = mode);
        });
    };
    drain(BackendMode::Maintained);
    let (name, own) = begin(&mut rig.client());
    assert_eq!(name, "b2");
    drain(BackendMode::Up);
    assert_eq!(go_on(&rig, &own), named("b2"));
    let mut wire = rig.client();
    assert!((0..20).all(|_| begin(&mut wire).0 != "b2"));
}

#[test]
fn upgrades_get_a_cookie_and_interim_answers_and_those_of_ours_get_none() {
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                     Upgrade: websocket\r\n\r\n";
    let backend = Backend::saying(switching);
    let rig = start(sticky(&[&backend]), &[7]);
    let mut wire = rig.client();
    wire.send(WEBSOCKET);
    let answer = wire.response();
    assert_eq!(answer.status(), 101);
    assert!(cookie(&answer).is_some());
    assert_eq!(answer.field("cache-control"), None);
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
                 HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: evenkeel=own\r\n\
                 Cache-Control: public\r\n\r\nok";
    let backend = Backend::saying(hints);
    let rig = start(sticky(&[&backend]), &[7]);
    let mut wire = rig.client();
    wire.send(GET);
    let [hint, answer] = [wire.response(), wire.response()];
    assert_eq!((hint.status(), hint.field("set-cookie")), (103, None));
    let cookies = answer.field("set-cookie").unwrap();
    assert!(cookies.starts_with("evenkeel=own|evenkeel="), "{cookies}");
    let control = answer.field("cache-control");
    assert_eq!(control.as_deref(), Some("public|private"));
    let (_held, refusing) = refusing_address();
    let setup = setup(&[refusing]).pool(|pool| pool.affinity = Some(CookieRules::default()));
    let answer = start(setup, &[7]).ask(GET);
    assert_eq!((answer.status(), answer.field("set-cookie")), (502, None));
}

/// What is removed of responses is what backends say.
#[test]
fn edits_of_responses_leave_the_cookie() {
    let saying = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\n\r\nok";
    let backend = Backend::saying(saying);
    let setup = sticky(&[&backend]).listener(|listener| {
        listener.response_fields = FieldEdits {
            remove: vec!["Set-Cookie".to_owned()],
            ..FieldEdits::default()
        };
    });
    let answer = start(setup, &[7]).ask(GET);
    assert!(answer.field("set-cookie").unwrap().starts_with("evenkeel="));
}

/// A backend that holds every request until it is hung up on.
fn holding() -> Backend {
    Backend::scripted(|mut visit| {
        while visit.request().is_some_and(|it| it.line().contains("/ok")) {
            visit.wire.send(OK);
        }
        let _ = visit.wire.rest();
    })
}

#[test]
fn a_session_waits_for_its_own_backend_while_others_pass() {
    let (full, free) = (holding(), Backend::named("b1"));
    let setup = sticky(&[&full, &free]).pool(|pool| {
        pool.backends
            .iter_mut()
            .for_each(|it| it.requests = Some(1));
        pool.keep_alive.reuse = Reuse::Never;
        pool.timeouts.queue = Duration::from_millis(700);
    });
    let rig = start(setup, &[7]);
    let ok = GET.replace("GET /", "GET /ok");
    let asked = (0..4).map(|_| rig.ask(&ok));
    let on_first = |answer: &Message| answer.text() == "ok";
    let own = asked.filter(on_first).find_map(|answer| cookie(&answer));
    let own = own.expect("round robin comes by");
    let mut held = rig.client();
    held.send(with(&own));
    wait_until("it is held", || rig.pool().backends[0].active_requests == 1);
    let mut waiting = rig.client();
    waiting.send(with(&own).replace("GET /", "GET /ok"));
    wait_until("it waits", || rig.pool().queued_requests == 1);
    for _ in 0..5 {
        assert_eq!(rig.ask(GET).text(), "b1", "who has no session passes");
    }
    let asked = full.requests().len();
    full.hang_up();
    wait_until("it is asked again", || full.requests().len() > asked);
    full.hang_up();
    assert_eq!(held.response().text(), "b1", "it is tried elsewhere");
    assert_eq!(waiting.response().text(), "ok");
    let mut held = rig.client();
    held.send(with(&own));
    wait_until("it is held", || rig.pool().backends[0].active_requests == 1);
    assert_eq!(rig.ask(&with(&own)).status(), 503, "its time is over");
    assert_eq!(rig.pool().queue_timeouts_total, 1);
    // Where its backend goes while it waits, it goes elsewhere.
    let mut waiting = rig.client();
    waiting.send(with(&own));
    wait_until("it waits", || rig.pool().queued_requests == 1);
    rig.reload(|config| config.pools[0].backends[0].mode = BackendMode::Maintained);
    let answer = waiting.response();
    assert_eq!(answer.text(), "b1");
    assert!(cookie(&answer).is_some());
}

#[test]
fn pools_have_sessions_of_their_own_also_where_one_answers_for_another() {
    let (one, spare) = (Backend::named("b0"), Backend::named("spare"));
    let mut setup = sticky(&[&one]);
    let own = setup.config.pools[0].clone();
    setup.config.pools.push(PoolConfig {
        name: "spare".to_owned(),
        backends: vec![BackendConfig {
            address: spare.address,
            ..own.backends[0].clone()
        }],
        ..own
    });
    setup.config.pools[0].fallback = Some(Fallback::Pool("spare".to_owned()));
    let rig = start(setup, &[7]);
    let own = begin_on(&rig, "b0");
    let maintained = |config: &mut evenkeel::config::Config| {
        config.pools[0].backends[0].mode = BackendMode::Maintained;
    };
    rig.reload(maintained);
    let (name, other) = go_on(&rig, &own);
    assert_eq!(name, "spare");
    let other = other.expect("another pool has another value");
    assert_ne!(other, own, "though the backends have one name");
    assert_eq!(go_on(&rig, &other), named("spare"));
    let both = format!("a=1; {other}; {own}");
    assert_eq!(go_on(&rig, &both), named("spare"));
    rig.reload(|config| {
        maintained(config);
        config.pools[1].affinity = None;
    });
    assert_eq!(go_on(&rig, &both), named("spare"));
    let cookies = spare.last_request().field("cookie");
    assert_eq!(
        cookies.as_deref(),
        Some("a=1"),
        "it is told nothing of ours"
    );
}

const TAG_OF_B0: &str = "sb7DdALfTnXaXkZ6YZ4lhg";
