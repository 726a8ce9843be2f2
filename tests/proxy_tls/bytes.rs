//! Connections that carry bytes, where the proxy ends TLS on either side.

use std::io::{Read, Write};
use std::time::Duration;

use evenkeel::config::{HealthCheckConfig, ListenerConfig, Mode, PoolConfig, PoolProtocol};

use crate::backends::{SecureBackend, trusting};
use crate::client::{ASK_AND_KEEP, Visitor};
use crate::common::{Backend, wait_until};
use crate::pki::Authority;
use crate::rig::setup;
use crate::{start, tls};

fn carry(listener: &mut ListenerConfig) {
    listener.mode = Mode::Tcp;
}

fn carried(pool: &mut PoolConfig) {
    pool.protocol = PoolProtocol::Tcp;
    pool.health_check = HealthCheckConfig::None;
}

/// The end of TLS is the end of a direction, and the other goes on (RFC 8446 §6.1).
#[test]
fn tls_is_ended_for_backends_that_speak_none_and_its_ends_are_passed_on() {
    let authority = Authority::new("authority");
    let identity = authority.sign("server", &["db.example.org"]);
    let backend = Backend::scripted(|mut visit| {
        visit.wire.send("ready ");
        let heard = visit.wire.rest();
        std::thread::sleep(Duration::from_millis(200));
        visit.wire.send(heard);
    });
    let setup = setup(&[backend.address]).listener(carry).pool(carried);
    let setup = setup.listener(|listener| listener.tls = Some(tls(&[&identity])));
    let (rig, _signers) = start(setup, &[&identity]);
    let visitor = Visitor::new(&authority);
    for len in [1, 100, 1_000_000] {
        let mut secure = visitor.connect(rig.address, "db.example.org").unwrap();
        let mut greeting = [0; 6];
        secure.0.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"ready ");
        assert_eq!(
            secure.0.conn.alpn_protocol(),
            None,
            "nobody knows what it is"
        );
        let sent = vec![b'x'; len];
        secure.0.write_all(&sent).unwrap();
        secure.0.conn.send_close_notify();
        secure.0.flush().unwrap();
        let mut heard = Vec::new();
        secure.0.read_to_end(&mut heard).unwrap();
        assert!(heard == sent, "{len}");
    }
    wait_until("all have gone", || {
        rig.pool().backends[0].active_requests == 0
    });
}

#[test]
fn tls_is_spoken_to_backends_for_clients_that_speak_none() {
    let authority = Authority::new("authority");
    let identity = authority.sign("backend", &["127.0.0.1"]);
    let backend = SecureBackend::new(&identity, None, usize::MAX);
    for (known, hoped) in [(&authority, true), (&Authority::new("another"), false)] {
        let setup = setup(&[backend.address]).listener(carry).pool(carried);
        let setup = setup.pool(|pool| pool.tls = Some(trusting(known, None, None)));
        let (rig, _signers) = start(setup, &[]);
        let mut client = rig.client();
        client.send(ASK_AND_KEEP);
        let answer = client.try_response("GET");
        assert_eq!(answer.is_some(), hoped, "{answer:?}");
    }
}
