//! A thousand sessions over failover and failback of a pair whose nodes have other files: each
//! stays on its backend, by the secret that both have.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use evenkeel::lab::backend::Backend;
use evenkeel::lab::events::Event;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::pair::{Pair, Settings, VIRTUAL, configuration};
use evenkeel::lab::visitors::Crowd;

const INTERVAL: Duration = Duration::from_millis(100);
const SESSIONS: usize = 1000;

/// Who has the session, and by which cookie.
type Session = (String, String);

#[test]
fn a_thousand_sessions_stay_over_failover_and_failback_with_other_files_on_the_nodes() {
    let mut pair = Pair::start(Settings {
        binary: PathBuf::from(env!("CARGO_BIN_EXE_evenkeel")),
        interval: INTERVAL,
        crowd: Crowd::SMALL,
    })
    .unwrap();
    let client = Arc::clone(pair.lab().host("client").unwrap());
    let web1 = Arc::clone(pair.lab().host("web1").unwrap());
    let more = SocketAddr::from(([10, 77, 0, 11], 81));
    let _more = Backend::start(&web1, "web0", more).unwrap();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "0123456789abcdef0123456789abcdef").unwrap();
    let group = format!("group: {{secret: {{file: {}}}}}\n", secret.path().display());
    let (plain, one) = (
        "web1: \"10.77.0.11:80\"",
        "web1: \"10.77.0.11:80\", web2: \"10.77.0.12:80\"",
    );
    let other = format!("web2: \"10.77.0.12:80\", web0: \"{more}\", {plain}");
    for (index, backends) in [(0, one), (1, &*other)] {
        let yaml = configuration(INTERVAL).replace(one, backends)
            + "    affinity: {cookie: {name: session}}\n"
            + &group;
        assert!(yaml.contains(backends));
        let node = pair.node(index).unwrap();
        let before = node.status().unwrap().configuration.generation;
        node.reload(&yaml).unwrap();
        let within = Duration::from_secs(10);
        let is_taken_up =
            |status: &evenkeel::ipc::control::Status| status.configuration.generation > before;
        node.wait_for("the new file", within, is_taken_up).unwrap();
    }
    pair.settle().unwrap();

    let sessions = begin(&client);
    let mut shares: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, _) in &sessions {
        *shares.entry(name).or_default() += 1;
    }
    assert!(
        shares.len() == 2 && shares.values().all(|it| *it > 30),
        "{shares:?}"
    );
    assert_at_home(&client, &sessions);
    for (event, active) in [(Event::CutLink, "lb2"), (Event::Return, "lb1")] {
        let outcome = pair.inject(event).unwrap();
        assert_eq!(outcome.served_by, active, "{outcome:#?}");
        assert_at_home(&client, &sessions);
    }
}

/// Begins the sessions, each on a connection of its own.
fn begin(client: &Host) -> Vec<Session> {
    let began = client.run(|| {
        let sessions = (0..SESSIONS).map(|_| {
            let (name, cookie) = visit("theme=dark");
            (name, cookie.expect("it is new"))
        });
        sessions.collect()
    });
    began.unwrap()
}

fn assert_at_home(client: &Host, sessions: &[Session]) {
    let sessions = sessions.to_vec();
    let strays = client.run(move || {
        let strays = sessions
            .iter()
            .filter(|(name, cookie)| visit(cookie) != (name.clone(), None));
        strays.count()
    });
    assert_eq!(strays.unwrap(), 0, "sessions that are elsewhere");
}

/// Visits with a cookie; returns who has answered, and the cookie that it gave.
fn visit(cookie: &str) -> (String, Option<String>) {
    let within = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(VIRTUAL, 80), within).unwrap();
    stream.set_read_timeout(Some(within)).unwrap();
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let field = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        let is_cookie = name.eq_ignore_ascii_case("set-cookie");
        let value = value.split(';').next()?;
        is_cookie.then(|| value.to_owned())
    };
    let backend = body.split(' ').find(|word| word.contains("backend="));
    (backend.unwrap().to_owned(), head.lines().find_map(field))
}
