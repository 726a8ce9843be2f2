//! Who gets which certificate, who must show one, and what is told of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use evenkeel::config::{DefaultCertificate, TlsVersion};
use evenkeel::logic::http1::rewrite::template::Template;

use crate::client::{ASK, ASK_AND_KEEP, Visitor};
use crate::common::{Backend, PATIENCE, Wire};
use crate::pki::{Authority, Identity};
use crate::rig::{OK, Setup, setup};
use crate::{mutual, start, tls};

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] =
    [&rustls::version::TLS13, &rustls::version::TLS12];

fn secure(backend: &Backend, identities: &[&Identity]) -> Setup {
    setup(&[backend.address]).listener(|listener| listener.tls = Some(tls(identities)))
}

#[test]
fn requests_come_by_either_version_and_backends_are_told() {
    let backend = Backend::saying(OK);
    let authority = Authority::new("ca");
    let identity = authority.sign("www", &["www.example.org"]);
    let (rig, _signers) = start(secure(&backend, &[&identity]), &[&identity]);
    for version in VERSIONS {
        let visitor = Visitor::with(&authority, &[version], None);
        let mut client = visitor.connect(rig.address, "www.example.org").unwrap();
        for _ in 0..3 {
            let (head, body) = client.ask_and_keep(ASK_AND_KEEP, 2);
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            assert_eq!(body, b"ok");
        }
        let seen = backend.last_request();
        assert_eq!(seen.field("X-Forwarded-Proto").as_deref(), Some("https"));
        let alpn = client.0.conn.alpn_protocol();
        assert_eq!(alpn, None, "the client has offered nothing");
    }
}

#[test]
fn large_bodies_go_through_whole_both_ways() {
    const LEN: usize = 5_000_000;
    let backend = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                request.body.len()
            );
            visit.wire.send([head.as_bytes(), &request.body].concat());
        }
    });
    let authority = Authority::new("ca");
    let identity = authority.sign("www", &["www.example.org"]);
    let (rig, _signers) = start(secure(&backend, &[&identity]), &[&identity]);
    let body: Vec<u8> = (0..LEN).map(|at| (at * 31 % 253) as u8).collect();
    for version in VERSIONS {
        let visitor = Visitor::with(&authority, &[version], None);
        let mut client = visitor.connect(rig.address, "www.example.org").unwrap();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LEN}\r\n\r\n");
        let request = [head.as_bytes(), &body].concat();
        for _ in 0..2 {
            let (_, answer) = client.ask_and_keep(&request, LEN);
            assert!(answer == body, "it came back otherwise");
        }
    }
}

/// Returns the common name of the certificate that a client gets that asks for this name.
fn served(rig: &crate::rig::Rig, visitor: &Visitor, name: &str) -> Option<Vec<u8>> {
    let client = visitor.connect(rig.address, name).ok()?;
    let certificates = client.0.conn.peer_certificates()?;
    Some(certificates[0].to_vec())
}

#[test]
fn certificates_are_chosen_by_name() {
    let backend = Backend::saying(OK);
    let authority = Authority::new("ca");
    let address = "127.0.0.1";
    let first = authority.sign("first", &["first.example.org", address]);
    let wild = authority.sign("wild", &["*.example.org", "*.example.net"]);
    let exact = authority.sign("exact", &["a.example.org"]);
    let all = [&first, &wild, &exact];
    let (rig, _signers) = start(secure(&backend, &all), &all);
    let visitor = Visitor::new(&authority);
    for (name, hoped) in [
        ("first.example.org", &first),
        ("a.example.org", &exact),
        ("b.example.org", &wild),
        ("B.Example.ORG", &wild),
        ("x.example.net", &wild),
        (address, &first),
    ] {
        let served = served(&rig, &visitor, name);
        assert!(served.as_deref() == Some(&*hoped.der), "{name}");
    }
    // Nobody is there for it: the first is shown, which the client refuses.
    for name in ["a.b.example.org", "example.com"] {
        let error = visitor.connect(rig.address, name).err().unwrap();
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    rig.reload(|config| {
        let tls = config.listeners[0].tls.as_mut().unwrap();
        tls.default = DefaultCertificate::Refuse;
    });
    for name in [address, "example.com"] {
        let error = visitor.connect(rig.address, name).err().unwrap();
        assert!(error.to_string().contains("alert"), "{error}");
    }
    assert!(served(&rig, &visitor, "a.example.org").is_some());
}

#[test]
fn certificates_that_are_renewed_serve_new_connections_and_old_ones_go_on() {
    let backend = Backend::saying(OK);
    let authority = Authority::new("ca");
    let [old, new] = ["old", "new"].map(|name| authority.sign(name, &["www.example.org"]));
    let (rig, _signers) = start(secure(&backend, &[&old]), &[&old, &new]);
    let visitor = Visitor::new(&authority);
    let mut kept = visitor.connect(rig.address, "www.example.org").unwrap();
    rig.reload(|config| config.listeners[0].tls = Some(tls(&[&new])));
    let visitor = Visitor::new(&authority);
    let served = served(&rig, &visitor, "www.example.org");
    assert!(served.as_deref() == Some(&*new.der));
    let (head, _) = kept.ask_and_keep(ASK_AND_KEEP, 2);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

/// A worker has many handshakes at once, and rustls says whom a client asks for in passing.
#[test]
fn whom_one_client_has_asked_for_is_never_said_of_another() {
    let backend = Backend::saying(OK);
    let authority = Authority::new("ca");
    let identity = authority.sign("www", &["www.example.org"]);
    let setup = secure(&backend, &[&identity]).listener(|listener| {
        let template = Template::parse("{tls_server_name}").unwrap();
        listener.request_fields.set = vec![("X-Asked-For".to_owned(), template)];
    });
    let (rig, _signers) = start(setup, &[&identity]);
    let visitor = Visitor::new(&authority);
    let half = visitor.begin(rig.address, "www.example.org").unwrap();
    let other = visitor
        .offering(b"h2")
        .connect(rig.address, "other.example");
    assert!(other.is_err(), "it offers what is not spoken");
    let answer = half.finish().unwrap().ask(ASK).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let asked_for = backend.last_request().field("X-Asked-For");
    assert_eq!(asked_for.as_deref(), Some("www.example.org"));
}

#[test]
fn versions_below_the_lowest_are_refused() {
    let backend = Backend::saying(OK);
    let authority = Authority::new("ca");
    let identity = authority.sign("www", &["www.example.org"]);
    let setup = secure(&backend, &[&identity]).listener(|listener| {
        listener.tls.as_mut().unwrap().minimum_version = TlsVersion::Tls13;
    });
    let (rig, _signers) = start(setup, &[&identity]);
    let old = Visitor::with(&authority, &[&rustls::version::TLS12], None);
    assert!(old.connect(rig.address, "www.example.org").is_err());
    let new = Visitor::new(&authority);
    assert!(new.connect(rig.address, "www.example.org").is_ok());
}

#[test]
fn clients_show_who_they_are_where_they_must() {
    let backend = Backend::saying(OK);
    let [ours, theirs, others] = ["ours", "theirs", "others"].map(Authority::new);
    let identity = ours.sign("www", &["www.example.org"]);
    let known = theirs.sign("client one", &["client.example.org"]);
    let stranger = others.sign("client two", &["client.example.org"]);
    let field = |text: &str| Template::parse(text).unwrap();
    let setup = setup(&[backend.address]).listener(|listener| {
        listener.tls = Some(mutual(&[&identity], &theirs, true));
        let values = "{client_certificate}|{client_certificate_fingerprint}|{tls_version}|\
                      {tls_server_name}|{scheme}";
        listener.request_fields.set = vec![("X-Tls".to_owned(), field(values))];
    });
    let (rig, _signers) = start(setup, &[&identity]);
    let as_client = |identity| Visitor::with(&ours, rustls::ALL_VERSIONS, identity);
    let asked = |identity| as_client(identity).ask(rig.address, "www.example.org", ASK);
    assert!(asked(None).is_err(), "nobody comes without one");
    assert!(
        asked(Some(&stranger)).is_err(),
        "nobody knows that authority"
    );
    assert_eq!(backend.requests().len(), 0);
    assert!(asked(Some(&known)).unwrap().starts_with("HTTP/1.1 200 "));
    let told = backend.last_request().field("X-Tls").unwrap();
    let told: Vec<&str> = told.split('|').collect();
    assert_eq!(told[0], "CN=client one");
    assert_eq!(told[1].len(), 64);
    assert_eq!(told[2..], ["TLSv1.3", "www.example.org", "https"]);
    rig.reload(|config| config.listeners[0].tls = Some(mutual(&[&identity], &theirs, false)));
    assert!(asked(None).unwrap().starts_with("HTTP/1.1 200 "));
    let told = backend.last_request().field("X-Tls").unwrap();
    assert!(told.starts_with("||TLSv1.3|"), "{told}");
    assert!(
        asked(Some(&stranger)).is_err(),
        "a wrong one is worse than none"
    );
}

#[test]
fn who_speaks_no_tls_is_told_so() {
    let backend = Backend::saying(OK);
    let authority = Authority::new("ca");
    let identity = authority.sign("www", &["www.example.org"]);
    let (rig, _signers) = start(secure(&backend, &[&identity]), &[&identity]);
    let answer = rig.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status(), 400);
    assert!(
        answer.text().starts_with("tls_required: "),
        "{}",
        answer.text()
    );
    assert_eq!(backend.requests().len(), 0);
    // What is neither gets an alert, or nothing.
    let mut client = TcpStream::connect(rig.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(&[0; 64]).unwrap();
    let mut said = Vec::new();
    let _ = client.read_to_end(&mut said);
    assert!(said.is_empty() || said[0] == 21, "{said:?}");
}

#[test]
fn a_handshake_that_stands_still_ends_in_time_and_others_go_on() {
    let backend = Backend::saying(OK);
    let authority = Authority::new("ca");
    let identity = authority.sign("www", &["www.example.org"]);
    let setup = secure(&backend, &[&identity]).listener(|listener| {
        listener.timeouts.handshake = Duration::from_millis(600);
    });
    let (rig, _signers) = start(setup, &[&identity]);
    let began = Instant::now();
    let mut slow: Vec<Wire> = (0..50).map(|_| rig.client()).collect();
    for (index, client) in slow.iter_mut().enumerate() {
        // Some say nothing at all, some the beginning of a record.
        client.send(&[0x16, 3, 1, 2, 0, 1, 0][..index % 8]);
    }
    let visitor = Visitor::new(&authority);
    let answer = visitor.ask(rig.address, "www.example.org", ASK).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(slow.iter_mut().all(Wire::is_ended));
    assert!(began.elapsed() >= Duration::from_millis(600));
}

#[test]
fn what_is_asked_right_behind_the_handshake_and_in_pieces_is_answered() {
    let backend = Backend::saying(OK);
    let authority = Authority::new("ca");
    let identity = authority.sign("www", &["www.example.org"]);
    let (rig, _signers) = start(secure(&backend, &[&identity]), &[&identity]);
    let visitor = Visitor::new(&authority);
    let mut client = visitor.connect(rig.address, "www.example.org").unwrap();
    for byte in ASK_AND_KEEP {
        client.0.write_all(&[*byte]).unwrap();
        client.0.flush().unwrap();
    }
    let (head, _) = client.ask_and_keep(ASK_AND_KEEP, 2);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let (head, _) = client.ask_and_keep(b"", 2);
    assert!(head.starts_with("HTTP/1.1 200 "), "both are answered");
}

/// Who has shown nothing is not served where something must be shown by now.
#[test]
fn rules_that_change_hold_for_connections_that_there_are() {
    let backend = Backend::saying(OK);
    let [ours, theirs] = ["ours", "theirs"].map(Authority::new);
    let identity = ours.sign("www", &["www.example.org"]);
    let (rig, _signers) = start(secure(&backend, &[&identity]), &[&identity]);
    let visitor = Visitor::new(&ours);
    let connect = || visitor.connect(rig.address, "www.example.org").unwrap();
    let (mut busy, mut idle) = (connect(), connect());
    busy.ask_and_keep(ASK_AND_KEEP, 2);
    idle.ask_and_keep(ASK_AND_KEEP, 2);
    let asked = backend.requests().len();
    rig.reload(|config| config.listeners[0].tls = Some(mutual(&[&identity], &theirs, true)));
    let answer = busy.ask(ASK).unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(answer.contains("misdirected: "), "{answer}");
    let mut rest = Vec::new();
    idle.0.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "it ends in order");
    assert_eq!(backend.requests().len(), asked);
}

#[test]
fn connections_without_tls_end_where_it_begins() {
    let backend = Backend::saying(OK);
    let authority = Authority::new("ca");
    let identity = authority.sign("www", &["www.example.org"]);
    let (rig, _signers) = start(setup(&[backend.address]), &[&identity]);
    let mut client = rig.client();
    assert_eq!(
        client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status(),
        200
    );
    rig.reload(|config| config.listeners[0].tls = Some(tls(&[&identity])));
    let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status(), 421);
    let visitor = Visitor::new(&authority);
    assert!(visitor.ask(rig.address, "www.example.org", ASK).is_ok());
}
