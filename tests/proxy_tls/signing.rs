//! A process that signs late, never, or again.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::client::{ASK, ASK_AND_KEEP, Visitor};
use crate::common::{Backend, poll};
use crate::pki::Authority;
use crate::rig::{OK, setup};
use crate::{start, tls};

#[test]
fn handshakes_wait_where_nobody_signs_and_connections_go_on() {
    let backend = Backend::saying(OK);
    let authority = Authority::new("ca");
    let identity = authority.sign("www", &["www.example.org"]);
    let setup =
        setup(&[backend.address]).listener(|listener| listener.tls = Some(tls(&[&identity])));
    let (rig, signers) = start(setup, &[&identity]);
    let name = "www.example.org";
    let mut kept = Visitor::new(&authority).connect(rig.address, name).unwrap();
    signers.silent.store(true, Relaxed);
    // The one that finds it out waits like the others.
    let address = rig.address;
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let visitor = Visitor::new(&authority);
            std::thread::spawn(move || visitor.ask(address, name, ASK))
        })
        .collect();
    let began = Instant::now();
    for _ in 0..200 {
        let (head, _) = kept.ask_and_keep(ASK_AND_KEEP, 2);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "20 ms for each of who waits are spent once: {:?}",
        began.elapsed()
    );
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    signers.silent.store(false, Relaxed);
    for waiting in waiting {
        let answer = waiting.join().unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

#[test]
fn another_line_is_used_where_one_has_ended() {
    let backend = Backend::saying(OK);
    let authority = Authority::new("ca");
    let identity = authority.sign("www", &["www.example.org"]);
    let setup =
        setup(&[backend.address]).listener(|listener| listener.tls = Some(tls(&[&identity])));
    let threads = setup.threads;
    let (rig, signers) = start(setup, &[&identity]);
    let name = "www.example.org";
    assert!(Visitor::new(&authority).ask(rig.address, name, ASK).is_ok());
    rig.proxy.set_signing_lines(Vec::new());
    let address = rig.address;
    // Workers may hear of it a moment later.
    let waiting = poll("it waits for somebody who signs", || {
        let visitor = Visitor::new(&authority);
        let waiting = std::thread::spawn(move || visitor.ask(address, name, ASK));
        std::thread::sleep(Duration::from_millis(200));
        (!waiting.is_finished()).then_some(waiting)
    });
    rig.proxy.set_signing_lines(signers.lines(threads));
    assert!(waiting.join().unwrap().is_ok());
}
