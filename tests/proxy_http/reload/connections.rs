//! Connections of clients, and what they are in the middle of.

use std::time::Duration;

use super::{Slow, backend};
use crate::common::{Backend, wait_until};
use crate::rig::{GET, WEBSOCKET, rig, setup};

#[test]
fn kept_connections_ask_the_new_pool_and_the_old_ones_connections_are_closed() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let rig = rig(&[&old]);
    let mut client = rig.client();
    assert_eq!(client.ask(GET).text(), "old");
    rig.reload(|config| config.pools[0].backends = vec![backend("n", &new)]);
    assert_eq!(client.ask(GET).text(), "new", "on the same connection");
    assert_eq!(rig.pool().backends[0].name, "n");
    assert_eq!(rig.proxy.status().0[0].requests_total, 2, "it counts on");
}

#[test]
fn connections_to_a_backend_that_stays_are_kept() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let rig = rig(&[&one]);
    let mut client = rig.client();
    assert_eq!(client.ask(GET).text(), "one");
    rig.reload(|config| {
        config.pools[0].backends[0].weight = 7;
        config.pools[0].timeouts.connect = Duration::from_secs(1);
        config.pools.push(config.pools[0].clone());
        config.pools[1].name = "other".to_owned();
        config.pools[1].backends = vec![backend("two", &two)];
    });
    assert_eq!(client.ask(GET).text(), "one");
    assert_eq!(one.accepted(), 1, "on the connection that was kept");
    rig.reload(|config| config.pools[0].keep_alive.connections = 3);
    assert_eq!(client.ask(GET).text(), "one");
    assert_eq!(one.accepted(), 2, "kept in another way it is another one");
}

#[test]
fn requests_in_flight_keep_what_they_began_with() {
    let (old, new) = (Slow::named("old"), Backend::named("new"));
    let rig = rig(&[&old.backend]);
    let mut busy = rig.client();
    busy.send(GET);
    old.has(1);
    rig.reload(|config| {
        config.pools[0].backends = vec![backend("n", &new)];
        config.pools[0].timeouts.response_head = Duration::from_millis(1);
        config.listeners[0].timeouts.idle = Duration::from_millis(1);
    });
    // Two sweeps would find it late.
    std::thread::sleep(Duration::from_millis(600));
    old.go();
    let answer = busy.response();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "old"));
    assert_eq!(
        answer.field("connection"),
        None,
        "and the connection is kept"
    );
    assert_eq!(busy.ask(GET).text(), "new");
}

#[test]
fn uploads_and_tunnels_go_on_also_where_their_pool_is_gone() {
    let old = Backend::scripted(|mut visit| {
        let Some(head) = visit.wire.head() else {
            return;
        };
        if head.contains("websocket") {
            visit
                .wire
                .send("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
            while let bytes @ [_, ..] = &*visit.wire.take(4) {
                visit.wire.send(bytes);
            }
        } else {
            let body = visit.wire.take(10);
            let sent = String::from_utf8(body).unwrap();
            visit.wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{sent}"
            ));
        }
    });
    let new = Backend::named("new");
    let rig = rig(&[&old]);
    let (mut tunnel, mut upload) = (rig.client(), rig.client());
    tunnel.send(WEBSOCKET);
    assert_eq!(tunnel.try_response("GET").unwrap().status(), 101);
    upload.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    wait_until("both have arrived", || old.accepted() == 2);
    for round in 0..3 {
        rig.reload(|config| {
            config.pools[0].name = format!("another {round}");
            config.pools[0].backends = vec![backend("n", &new)];
            config.listeners[0].pool = Some(config.pools[0].name.clone());
        });
        tunnel.send("ping");
        assert_eq!(tunnel.take(4), b"ping");
    }
    upload.send("56789");
    assert_eq!(upload.response().text(), "0123456789");
    assert_eq!(upload.ask(GET).text(), "new");
}

#[test]
fn heads_that_have_begun_are_judged_as_they_began() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let rig = rig(&[&old]);
    let (mut begun, mut idle) = (rig.client(), rig.client());
    assert_eq!(begun.ask(GET).text(), "old");
    begun.send("GET / HTTP/1.1\r\nHo");
    wait_until("it has arrived", || {
        crate::queues::towards(&begun.stream) == 0
    });
    // A beat of the worker lies between.
    std::thread::sleep(Duration::from_millis(100));
    rig.reload(|config| {
        config.pools[0].backends = vec![backend("n", &new)];
        config.listeners[0].limits.head_bytes = 64;
    });
    let long = "x".repeat(100);
    begun.send(format!("st: a\r\nX: {long}\r\n\r\n"));
    assert_eq!(begun.response().text(), "old");
    idle.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"));
    assert_eq!(idle.response().status(), 431, "by the new limit");
}

#[test]
fn per_client_limits_that_appear_count_from_then_on() {
    let backend = Backend::named("a");
    let rig = setup(&[backend.address]).start();
    let mut early = rig.client();
    assert_eq!(early.ask(GET).status(), 200);
    let limit = |max| {
        move |config: &mut evenkeel::config::Config| {
            config.listeners[0].limits.connections_per_client = max;
        }
    };
    rig.reload(limit(Some(1)));
    let mut counted = rig.client();
    assert_eq!(counted.ask(GET).status(), 200);
    assert_eq!(rig.client().response().status(), 503, "one too many");
    rig.reload(limit(None));
    assert_eq!(rig.client().ask(GET).status(), 200);
    drop((early, counted));
    wait_until("all have ended", || {
        rig.proxy.status().0[0].connections == 0
    });
    rig.reload(limit(Some(1)));
    assert_eq!(rig.client().ask(GET).status(), 200);
}
