//! Sessions that are resumed: here, on another node, and nowhere else.

use evenkeel::config::{ListenerTls, Resumption};
use evenkeel::process::proxy::Trust;

use crate::client::{ASK_AND_KEEP, Visitor};
use crate::common::Backend;
use crate::pki::{Authority, Identity, Signers};
use crate::rig::{OK, Rig, setup};
use crate::{mutual, secrets, tls};

/// Starts a node whose secret is `of`.
fn node(backend: &Backend, identity: &Identity, of: u8, name: &str, tls: ListenerTls) -> Rig {
    let signers = Signers {
        keys: vec![identity.clone()],
        ..Signers::default()
    };
    let setup = setup(&[backend.address]).listener(|listener| {
        name.clone_into(&mut listener.name);
        listener.tls = Some(tls);
    });
    let trust = Trust::new(secrets(of), signers.lines(setup.threads));
    setup.start_with(trust)
}

/// Visits, and says whether the session was one of before. Tickets come with the answer.
fn visit(visitor: &Visitor, rig: &Rig, name: &str) -> bool {
    let mut client = visitor.connect(rig.address, name).unwrap();
    let (head, _) = client.ask_and_keep(ASK_AND_KEEP, 2);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client.is_resumed()
}

#[test]
fn a_session_resumes_on_either_node_that_has_the_secret_and_on_no_other() {
    let backend = Backend::saying(OK);
    let authority = Authority::new("ca");
    let identity = authority.sign("www", &["www.example.org", "api.example.org"]);
    let new = |of, name| node(&backend, &identity, of, name, tls(&[&identity]));
    let (first, second) = (new(7, "web"), new(7, "web"));
    let name = "www.example.org";
    let visitor = Visitor::new(&authority);
    assert!(!visit(&visitor, &first, name));
    for _ in 0..50 {
        assert!(visit(&visitor, &second, name), "the other node knows it");
        assert!(visit(&visitor, &first, name));
    }
    assert!(!visit(&visitor, &first, "api.example.org"), "another name");
    for stranger in [new(8, "web"), new(7, "api")] {
        let visitor = Visitor::new(&authority);
        assert!(!visit(&visitor, &first, name));
        assert!(!visit(&visitor, &stranger, name));
    }
    let visitor = Visitor::new(&authority);
    assert!(!visit(&visitor, &first, name));
    let mut tls = tls(&[&identity]);
    tls.resumption = Resumption::Never;
    let never = node(&backend, &identity, 7, "web", tls);
    assert!(!visit(&visitor, &never, name));
}

#[test]
fn no_ticket_goes_round_client_certificates() {
    let backend = Backend::saying(OK);
    let [ours, theirs, others] = ["ours", "theirs", "others"].map(Authority::new);
    let identity = ours.sign("www", &["www.example.org"]);
    let client = theirs.sign("client", &["client.example.org"]);
    let name = "www.example.org";
    let new = |tls| node(&backend, &identity, 7, "web", tls);
    let open = new(tls(&[&identity]));
    let required = new(mutual(&[&identity], &theirs, true));
    let optional = new(mutual(&[&identity], &theirs, false));
    let visitor = Visitor::new(&ours);
    assert!(!visit(&visitor, &open, name));
    assert!(
        visitor
            .ask(required.address, name, crate::client::ASK)
            .is_err()
    );
    let visitor = Visitor::new(&ours);
    assert!(!visit(&visitor, &optional, name));
    assert!(
        visitor
            .ask(required.address, name, crate::client::ASK)
            .is_err()
    );
    let with = Visitor::with(&ours, rustls::ALL_VERSIONS, Some(&client));
    assert!(!visit(&with, &required, name));
    assert!(
        visit(&with, &required, name),
        "where the rule is the same it does"
    );
    let changed = new(mutual(&[&identity], &others, true));
    assert!(with.ask(changed.address, name, crate::client::ASK).is_err());
}

#[test]
fn sessions_of_tls_1_2_are_not_resumed() {
    let backend = Backend::saying(OK);
    let authority = Authority::new("ca");
    let identity = authority.sign("www", &["www.example.org"]);
    let rig = node(&backend, &identity, 7, "web", tls(&[&identity]));
    let visitor = Visitor::with(&authority, &[&rustls::version::TLS12], None);
    for _ in 0..3 {
        assert!(!visit(&visitor, &rig, "www.example.org"));
    }
}

#[test]
fn secrets_that_are_replaced_seal_new_tickets_at_once() {
    let backend = Backend::saying(OK);
    let authority = Authority::new("ca");
    let identity = authority.sign("www", &["www.example.org"]);
    let rig = node(&backend, &identity, 7, "web", tls(&[&identity]));
    let name = "www.example.org";
    let visitor = Visitor::new(&authority);
    visit(&visitor, &rig, name);
    rig.proxy.set_secrets(secrets(8));
    // Those that it has are of no use any more; those that it gets are.
    while !visit(&visitor, &rig, name) {}
    let both = {
        let mut both = secrets(9);
        both.tickets.extend(secrets(8).tickets);
        both
    };
    rig.proxy.set_secrets(both);
    assert!(visit(&visitor, &rig, name), "old ones are accepted beside");
}
