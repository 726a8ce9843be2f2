//! Sessions that are resumed: here, on another node, and nowhere else.

use std::time::{Duration, SystemTime};

use evenkeel::config::{ListenerTls, Resumption};
use evenkeel::process::proxy::Given;
use rcgen::date_time_ymd;

use crate::client::{ASK, ASK_AND_KEEP, Visitor};
use crate::common::{Backend, wait_until};
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
    let given = Given::new(secrets(of), signers.lines(setup.threads), None);
    setup.start_with(given)
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

/// With a ticket it would go on for ever, each of them giving another.
#[test]
fn a_session_does_not_outlive_the_certificate_of_its_client() {
    let backend = Backend::saying(OK);
    let [ours, theirs] = ["ours", "theirs"].map(Authority::new);
    let identity = ours.sign("www", &["www.example.org"]);
    let name = "www.example.org";
    for required in [true, false] {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ends_at = Duration::from_secs(now.unwrap().as_secs() + 4);
        let client = theirs.sign_with("client", &["client.example.org"], |params| {
            params.not_after = date_time_ymd(1970, 1, 1) + ends_at;
        });
        let rig = node(
            &backend,
            &identity,
            7,
            "web",
            mutual(&[&identity], &theirs, required),
        );
        let visitor = Visitor::with(&ours, rustls::ALL_VERSIONS, Some(&client));
        assert!(!visit(&visitor, &rig, name));
        let mut resumed = 0;
        wait_until("its certificate ends", || {
            let went = visitor
                .connect(rig.address, name)
                .and_then(|mut client| client.ask(ASK).map(|answer| (answer, client.is_resumed())));
            match went {
                Ok((answer, is_resumed)) if answer.starts_with("HTTP/1.1 200 ") => {
                    resumed += u32::from(is_resumed);
                    false
                }
                Ok(_) | Err(_) => true,
            }
        });
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        assert!(since.unwrap() > ends_at);
        assert!(
            resumed > 0 || !required,
            "as long as it holds it is resumed"
        );
    }
}

#[test]
fn many_authorities_of_clients_are_not_told_and_believed_all_the_same() {
    let backend = Backend::saying(OK);
    let ours = Authority::new("ours");
    let identity = ours.sign("www", &["www.example.org"]);
    let theirs: Vec<Authority> = (0..1500)
        .map(|number| {
            Authority::new(&format!(
                "an authority with quite a long name, number {number}"
            ))
        })
        .collect();
    let mut tls = mutual(&[&identity], &theirs[0], true);
    std::sync::Arc::make_mut(&mut tls.found).client_roots =
        theirs.iter().map(Authority::root).collect();
    let rig = node(&backend, &identity, 7, "web", tls);
    let client = theirs[1499].sign("client", &["client.example.org"]);
    for versions in [rustls::ALL_VERSIONS, &[&rustls::version::TLS12]] {
        let visitor = Visitor::with(&ours, versions, Some(&client));
        let answer = visitor.ask(rig.address, "www.example.org", ASK).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}
