//! Listeners that come, go, move and are not let in after all.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use evenkeel::config::Config;
use evenkeel::process::proxy::ProxyError;

use super::{Slow, backend};
use crate::common::{Backend, Wire, wait_until};
use crate::rig::{GET, Rig, WEBSOCKET, rig, sockets, sockets_at};

/// Returns the configuration with one more listener, and its sockets.
fn with_another(rig: &Rig) -> (Config, SocketAddr, Vec<TcpListener>) {
    let mut config = rig.config.clone();
    let sockets = sockets(1);
    let bind = sockets[0].local_addr().unwrap();
    let mut listener = config.listeners[0].clone();
    listener.name = "another".to_owned();
    listener.binds = vec![bind];
    config.listeners.push(listener);
    (config, bind, sockets)
}

fn is_refused(at: SocketAddr) -> bool {
    TcpStream::connect(at).is_err()
}

#[test]
fn listeners_come_and_go_and_their_connections_end_in_order() {
    let slow = Slow::named("slow");
    let rig = rig(&[&slow.backend]);
    let (config, bind, sockets) = with_another(&rig);
    rig.pass(bind, sockets);
    rig.reload_with(&config, 1);
    let (mut idle, mut busy) = (Wire::connect(bind), Wire::connect(bind));
    let mut other = rig.client();
    busy.send(GET);
    slow.has(1);
    rig.reload(|_| {});
    wait_until("its socket is closed", || is_refused(bind));
    assert!(idle.is_ended(), "idle connections are closed");
    slow.go();
    let answer = busy.response();
    assert_eq!(answer.text(), "slow");
    assert_eq!(answer.field("connection").as_deref(), Some("close"));
    assert!(busy.is_ended());
    assert_eq!(other.ask(GET).text(), "slow", "nobody else notices");
    assert_eq!(rig.proxy.status().0.len(), 1);
}

#[test]
fn what_is_left_of_a_removed_listener_is_cut_after_the_drain() {
    let a = Backend::scripted(|mut visit| {
        visit.request();
        visit
            .wire
            .send("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        visit.wire.rest();
    });
    let rig = rig(&[&a]);
    let (config, bind, sockets) = with_another(&rig);
    rig.pass(bind, sockets);
    rig.reload_with(&config, 1);
    let [mut gone, mut stays] = [bind, rig.address].map(|at| {
        let mut client = Wire::connect(at);
        client.send(WEBSOCKET);
        assert_eq!(client.try_response("GET").unwrap().status(), 101);
        client
    });
    let within = Duration::from_millis(300);
    let began_at = Instant::now();
    rig.reload(|config| config.proxy.drain = within);
    assert!(gone.is_ended());
    assert!(began_at.elapsed() >= within);
    stays.send("x");
    wait_until("only one is cut", || {
        rig.proxy.status().0[0].connections == 1
    });
}

#[test]
fn a_listener_that_is_renamed_keeps_its_sockets_and_what_waits_in_them() {
    let a = Backend::named("a");
    let rig = rig(&[&a]);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    assert_eq!(rig.ask(GET).text(), "a");
                }
            });
        }
        for round in 0..20 {
            rig.reload(|config| config.listeners[0].name = format!("name {round}"));
            std::thread::sleep(Duration::from_millis(5));
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}

#[test]
fn a_bind_that_goes_takes_only_its_sockets_along() {
    let a = Backend::named("a");
    let rig = rig(&[&a]);
    let mut config = rig.config.clone();
    let more = sockets(1);
    let bind = more[0].local_addr().unwrap();
    config.listeners[0].binds.push(bind);
    rig.pass(bind, more);
    rig.reload_with(&config, 1);
    let mut client = Wire::connect(bind);
    assert_eq!(client.ask(GET).text(), "a");
    rig.reload(|_| {});
    wait_until("its socket is closed", || is_refused(bind));
    assert_eq!(client.ask(GET).text(), "a");
}

#[test]
fn the_first_binds_go_like_all_others() {
    let a = Backend::named("a");
    let rig = rig(&[&a]);
    let mut config = rig.config.clone();
    let more = sockets(1);
    let bind = more[0].local_addr().unwrap();
    config.listeners[0].binds = vec![bind];
    rig.pass(bind, more);
    rig.reload_with(&config, 1);
    wait_until("its socket is closed", || is_refused(rig.address));
    assert_eq!(Wire::connect(bind).ask(GET).text(), "a");
}

#[test]
fn what_is_forgotten_leaves_nothing_behind() {
    let a = Backend::named("a");
    let rig = rig(&[&a]);
    let (config, bind, sockets) = with_another(&rig);
    let keys = rig.proxy.status().0.len();
    rig.pass(bind, sockets);
    let generation = rig.prepare(&config, 3 - 2);
    assert!(!is_refused(bind), "it listens already");
    rig.proxy.forget(generation);
    wait_until("its socket is closed", || is_refused(bind));
    assert!(!rig.proxy.commit(generation), "it is forgotten");
    assert_eq!(rig.proxy.status().0.len(), keys);
    assert_eq!(rig.ask(GET).text(), "a");
    let (config, bind, sockets) = with_another(&rig);
    rig.pass(bind, sockets);
    rig.prepare(&config, 1);
    rig.reload(|_| {});
    wait_until("one that another follows is forgotten too", || {
        is_refused(bind)
    });
}

/// The kernel gives them connections as soon as they listen.
#[test]
fn sockets_of_an_address_that_is_served_are_accepted_from_at_once() {
    let a = Backend::named("a");
    let rig = rig(&[&a]);
    let more = sockets_at(rig.address, 3);
    let mut clients: Vec<_> = (0..20).map(|_| rig.client()).collect();
    rig.pass(rig.address, more);
    for client in &mut clients {
        assert_eq!(client.ask(GET).text(), "a");
    }
    let generation = rig.prepare(&rig.config, 1);
    rig.proxy.forget(generation);
    for _ in 0..20 {
        assert_eq!(rig.ask(GET).text(), "a");
    }
}

/// As the supervisor has it: they listen when it is certain that they are wanted.
#[test]
fn sockets_that_are_only_bound_are_accepted_from_when_they_listen() {
    let a = Backend::named("a");
    let rig = rig(&[&a]);
    let bound = || {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&rig.address.into()).unwrap();
        socket
    };
    let [forgotten, wanted] = [bound(), bound()];
    let pass = |socket: &socket2::Socket| {
        rig.pass(rig.address, vec![socket.try_clone().unwrap().into()]);
    };
    pass(&forgotten);
    let generation = rig.prepare(&rig.config, 2);
    rig.proxy.forget(generation);
    pass(&wanted);
    let generation = rig.prepare(&rig.config, 2);
    wanted.listen(128).unwrap();
    let mut clients: Vec<_> = (0..20).map(|_| rig.client()).collect();
    rig.commit(generation);
    for client in &mut clients {
        assert_eq!(client.ask(GET).text(), "a");
    }
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let a = Backend::named("a");
    let rig = rig(&[&a]);
    let mut config = rig.config.clone();
    config.listeners[0].pool = Some("nowhere".to_owned());
    let refused = rig.proxy.prepare(1, &config, 1).unwrap_err();
    assert!(matches!(refused, ProxyError::UnknownPool(_)), "{refused}");
    let refused = rig.proxy.prepare(2, &rig.config, 2).unwrap_err();
    let counts = matches!(refused, ProxyError::SocketCount { passed: 1, .. });
    assert!(counts, "{refused}");
    assert!(!rig.proxy.commit(2) && !rig.proxy.commit(7));
    let b = Backend::named("b");
    assert_eq!(rig.ask(GET).text(), "a");
    rig.reload(|config| config.pools[0].backends = vec![backend("b", &b)]);
    assert_eq!(rig.ask(GET).text(), "b", "the next one works");
}
