//! TLS towards backends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel::config::{
    Authorities, FoundPoolTls, HealthCheckConfig, PoolTls, ProbeKind, TcpProbe, TlsVersion,
};
use evenkeel::model::Der;
use rcgen::{BasicConstraints, IsCa, date_time_ymd};
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::common::{PATIENCE, wait_until};
use crate::pki::{Authority, Identity};
use crate::rig::{GET, Rig, http_check, setup};
use crate::start;

/// A backend that speaks TLS, and what it has seen.
pub(crate) struct SecureBackend {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// How each began, and who has come.
    handshakes: Arc<Mutex<Vec<(HandshakeKind, bool)>>>,
}

impl SecureBackend {
    /// Answers on a connection so many requests, with tickets sent before each answer.
    pub(crate) fn new(identity: &Identity, clients: Option<&Authority>, requests: usize) -> Self {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der.clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let mut config = builder
            .with_single_cert(vec![identity.der.clone()], identity.private())
            .unwrap();
        config.ticketer = Ticketer::new().unwrap();
        config.send_tls13_tickets = 4;
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let backend = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            handshakes: Arc::default(),
        };
        let (connections, handshakes) = (
            Arc::clone(&backend.connections),
            Arc::clone(&backend.handshakes),
        );
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                connections.fetch_add(1, SeqCst);
                let config = Arc::clone(&config);
                let handshakes = Arc::clone(&handshakes);
                std::thread::spawn(move || {
                    socket.set_read_timeout(Some(PATIENCE)).unwrap();
                    let connection = ServerConnection::new(config).unwrap();
                    let mut stream = StreamOwned::new(connection, socket);
                    for left in (0..requests).rev() {
                        let mut head = Vec::new();
                        let mut byte = [0];
                        while !head.ends_with(b"\r\n\r\n") {
                            if !matches!(stream.read(&mut byte), Ok(1)) {
                                return;
                            }
                            head.push(byte[0]);
                        }
                        let kind = stream.conn.handshake_kind().unwrap();
                        let known = stream.conn.peer_certificates().is_some();
                        handshakes.lock().unwrap().push((kind, known));
                        let close = if left == 0 {
                            "Connection: close\r\n"
                        } else {
                            ""
                        };
                        let answer =
                            format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{close}\r\nok");
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                        let _ = stream.flush();
                    }
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                });
            }
        });
        backend
    }
}

pub(crate) fn trusting(
    authority: &Authority,
    name: Option<&str>,
    shown: Option<&Identity>,
) -> PoolTls {
    PoolTls {
        ca: Authorities::File("/test/ca.pem".into()),
        server_name: name.map(ToOwned::to_owned),
        verify: true,
        certificate: None,
        minimum_version: TlsVersion::Tls12,
        found: Arc::new(FoundPoolTls {
            roots: vec![authority.root()],
            chain: shown.map(Identity::chain),
        }),
    }
}

#[test]
fn backends_are_asked_for_who_they_are_and_connections_are_kept() {
    let [right, wrong] = ["right", "wrong"].map(Authority::new);
    let identity = right.sign("backend", &["web.internal", "127.0.0.1"]);
    let backend = SecureBackend::new(&identity, None, usize::MAX);
    for (tls, status) in [
        (trusting(&right, Some("web.internal"), None), 200),
        (trusting(&right, None, None), 200),
        (trusting(&right, Some("api.internal"), None), 502),
        (trusting(&wrong, Some("web.internal"), None), 502),
    ] {
        let (rig, _signers) = start(
            setup(&[backend.address]).pool(|pool| pool.tls = Some(tls)),
            &[],
        );
        let before = backend.connections.load(SeqCst);
        let mut client = rig.client();
        for _ in 0..10 {
            let answer = client.ask(GET);
            assert_eq!(answer.status(), status, "{}", answer.text());
            if status != 200 {
                assert!(
                    answer.text().starts_with("connect_failed"),
                    "{}",
                    answer.text()
                );
                break;
            }
        }
        if status == 200 {
            let opened = backend.connections.load(SeqCst) - before;
            assert_eq!(opened, 1, "tickets that come do not end it");
        }
    }
    let mut unverified = trusting(&wrong, Some("other.internal"), None);
    unverified.verify = false;
    let setup = setup(&[backend.address]).pool(|pool| pool.tls = Some(unverified));
    let (rig, _signers) = start(setup, &[]);
    assert_eq!(rig.ask(GET).status(), 200);
}

/// As what `openssl req -x509` makes, which is an authority too.
#[test]
fn a_certificate_that_is_believed_itself_counts_for_its_names_and_its_time() {
    let authority = Authority::new("ca");
    let made = |year: Range<i32>| {
        authority.sign_with("backend", &["web.internal"], |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.not_before = date_time_ymd(year.start, 1, 1);
            params.not_after = date_time_ymd(year.end, 1, 1);
        })
    };
    for (identity, name, status) in [
        (made(2000..4000), "web.internal", 200),
        (made(2000..4000), "api.internal", 502),
        (made(2000..2001), "web.internal", 502),
        (made(3999..4000), "web.internal", 502),
    ] {
        let backend = SecureBackend::new(&identity, None, usize::MAX);
        let mut tls = trusting(&authority, Some(name), None);
        Arc::make_mut(&mut tls.found).roots = vec![Der(identity.der.to_vec())];
        let setup = setup(&[backend.address]).pool(|pool| pool.tls = Some(tls));
        let (rig, _signers) = start(setup, &[]);
        assert_eq!(rig.ask(GET).status(), status, "{name}");
    }
}

#[test]
fn sessions_with_a_backend_are_resumed_and_an_end_that_was_said_is_none_of_ours() {
    let authority = Authority::new("ca");
    let identity = authority.sign("backend", &["web.internal"]);
    let backend = SecureBackend::new(&identity, None, 1);
    let tls = trusting(&authority, Some("web.internal"), None);
    let (rig, _signers) = start(
        setup(&[backend.address]).pool(|pool| pool.tls = Some(tls)),
        &[],
    );
    let mut client = rig.client();
    for _ in 0..5 {
        assert_eq!(client.ask(GET).status(), 200);
    }
    let handshakes = backend.handshakes.lock().unwrap().clone();
    let resumed = handshakes
        .iter()
        .filter(|(kind, _)| *kind == HandshakeKind::Resumed);
    assert_eq!(
        (handshakes.len(), resumed.count()),
        (5, 4),
        "{handshakes:?}"
    );
}

#[test]
fn backends_that_ask_for_a_certificate_are_shown_it() {
    let [ours, theirs] = ["ours", "theirs"].map(Authority::new);
    let identity = theirs.sign("backend", &["web.internal"]);
    let own = ours.sign("proxy", &["proxy.internal"]);
    let backend = SecureBackend::new(&identity, Some(&ours), usize::MAX);
    let tls = trusting(&theirs, Some("web.internal"), Some(&own));
    let (rig, _signers) = start(
        setup(&[backend.address]).pool(|pool| pool.tls = Some(tls)),
        &[&own],
    );
    assert_eq!(rig.ask(GET).status(), 200);
    assert!(backend.handshakes.lock().unwrap()[0].1, "it knows us");
    let without = trusting(&theirs, Some("web.internal"), None);
    rig.reload(|config| config.pools[0].tls = Some(without));
    let answer = rig.ask(GET);
    assert_eq!(
        answer.status(),
        502,
        "kept connections of before are not used"
    );
}

/// What a probe says of a backend, once it says anything.
fn probed(rig: &Rig) -> (String, String) {
    let mut said = None;
    wait_until("it is probed", || {
        let backend = rig.pool().backends.remove(0);
        said = Some((backend.state, backend.check));
        said.as_ref().is_some_and(|(state, _)| state != "unprobed")
    });
    said.unwrap()
}

#[test]
fn probes_speak_tls_where_the_pool_does() {
    let [right, wrong] = ["right", "wrong"].map(Authority::new);
    let identity = right.sign("backend", &["web.internal"]);
    let backend = SecureBackend::new(&identity, None, usize::MAX);
    let tcp = || ProbeKind::Tcp(TcpProbe::default());
    for (kind, authority, is_secure, state, check) in [
        (http_check(), &right, true, "up", "status 200 OK"),
        (tcp(), &right, true, "up", "connected"),
        (http_check(), &wrong, true, "down", "TLS handshake failed"),
        (tcp(), &wrong, true, "down", "TLS handshake failed"),
        (tcp(), &wrong, false, "up", "connected"),
        (http_check(), &right, false, "down", ""),
    ] {
        let tls = trusting(authority, Some("web.internal"), None);
        let setup = setup(&[backend.address])
            .pool(|pool| pool.tls = Some(tls))
            .check(kind, 1, 1)
            .pool(|pool| {
                if let HealthCheckConfig::Probe(probe) = &mut pool.health_check {
                    probe.tls = is_secure;
                }
            });
        let (rig, _signers) = start(setup, &[]);
        let (found, said) = probed(&rig);
        assert_eq!(found, state, "{said}");
        assert!(said.contains(check), "{said}");
    }
}

/// Nobody who signs is nothing that the backend lacks.
#[test]
fn probes_show_a_certificate_and_say_nothing_while_nobody_signs() {
    let [ours, theirs] = ["ours", "theirs"].map(Authority::new);
    let identity = theirs.sign("backend", &["web.internal"]);
    let own = ours.sign("proxy", &["proxy.internal"]);
    let backend = SecureBackend::new(&identity, Some(&ours), usize::MAX);
    let tls = trusting(&theirs, Some("web.internal"), Some(&own));
    let setup = setup(&[backend.address])
        .pool(|pool| pool.tls = Some(tls))
        .check(http_check(), 1, 1);
    let (rig, signers) = start(setup, &[&own]);
    assert_eq!(probed(&rig), ("up".to_owned(), "status 200 OK".to_owned()));
    assert!(backend.handshakes.lock().unwrap()[0].1, "it knows us");
    rig.proxy.set_signing_lines(Vec::new());
    // Sessions are resumed without a signature: another backend has none.
    let other = SecureBackend::new(&identity, Some(&ours), usize::MAX);
    rig.reload(|config| config.pools[0].backends[0].address = other.address);
    let unsigned = "not probed: the process that signs does not answer";
    wait_until("it is not probed", || {
        rig.pool().backends[0].check == unsigned
    });
    assert_eq!(rig.pool().backends[0].state, "unprobed");
    rig.proxy.set_signing_lines(signers.lines(1));
    wait_until("it is probed", || rig.pool().backends[0].state == "up");
}

/// The backend is not to blame, and what was begun goes on when somebody signs.
#[test]
fn requests_wait_for_who_signs_and_blame_no_backend() {
    let [ours, theirs] = ["ours", "theirs"].map(Authority::new);
    let identity = theirs.sign("backend", &["web.internal"]);
    let own = ours.sign("proxy", &["proxy.internal"]);
    // A connection each, and none that is resumed.
    let backend = SecureBackend::new(&identity, Some(&ours), 1);
    let tls = trusting(&theirs, Some("web.internal"), Some(&own));
    let setup = setup(&[backend.address])
        .pool(|pool| pool.tls = Some(tls))
        .pool(|pool| pool.timeouts.connect = Duration::from_millis(500));
    let (rig, signers) = start(setup, &[&own]);
    signers.silent.store(true, SeqCst);
    let answer = rig.ask(GET);
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert!(
        answer.text().starts_with("resources_exhausted"),
        "{}",
        answer.text()
    );
    let status = rig.pool().backends.remove(0);
    assert_eq!(status.failures_total, 0, "{status:?}");
    signers.silent.store(false, SeqCst);
    wait_until("it is served", || rig.ask(GET).status() == 200);

    rig.proxy.set_signing_lines(Vec::new());
    let other = SecureBackend::new(&identity, Some(&ours), 1);
    rig.reload(|config| {
        config.pools[0].backends[0].address = other.address;
        config.pools[0].timeouts.connect = PATIENCE;
    });
    let mut client = rig.client();
    client.send(GET);
    wait_until("it is being opened", || {
        rig.pool().backends[0].active_requests == 1
    });
    rig.proxy.set_signing_lines(signers.lines(1));
    assert_eq!(client.response().status(), 200);
}
