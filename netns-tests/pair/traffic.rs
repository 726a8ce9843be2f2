//! Kept connections in the lab: that every kind is served and told apart, and what must not touch
//! them.
//!
//! What each event on the active node costs them is asserted beside the fresh requests in
//! `failover`; here is what happens on the other node, and that the visitors themselves see what
//! they are there to see.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use evenkeel::lab::backend::{Backend, Behavior};
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::pair::{Pair, Settings};
use evenkeel::lab::process;
use evenkeel::lab::visitors::{Crowd, Errand, Errands, Habits, Kind, Visitors, Visits};
use nix::sys::signal::Signal;

fn pair() -> Pair {
    Pair::start(Settings {
        binary: PathBuf::from(env!("CARGO_BIN_EXE_evenkeel")),
        interval: Duration::from_millis(100),
        crowd: Crowd::SMALL,
    })
    .unwrap()
}

/// Asserts that no visitor noticed anything.
fn assert_unharmed(visits: &Visits, what: &str) {
    let all = visits.all();
    assert!(
        all.is_whole() && all.wrong == 0 && all.unserved == 0,
        "{what}: hoped that nobody notices:\n{visits}"
    );
    for tally in &visits.kinds {
        assert!(tally.asked > 0, "{what}: {}: {tally}", tally.kind);
    }
}

/// A crowd from a client straight to a backend.
fn crowd_at_a_backend() -> (Visitors, Backend, Lab) {
    let mut lab = Lab::new().unwrap();
    let client = lab.add_host("client", &["10.77.0.9/24"]).unwrap();
    let web = lab.add_host("web1", &["10.77.0.1/24"]).unwrap();
    let address: SocketAddr = "10.77.0.1:80".parse().unwrap();
    let backend = Backend::start(&web, "web1", address).unwrap();
    let habits = Habits {
        patience: Duration::from_secs(1),
        transfer: Duration::from_secs(1),
    };
    let visitors = Visitors::start(&client, address, Crowd::SMALL, habits).unwrap();
    (visitors, backend, lab)
}

#[test]
fn backend_serves_every_kind_of_visitor() {
    let (visitors, _backend, _lab) = crowd_at_a_backend();
    visitors.begin().unwrap();
    let visits = visitors.end().unwrap();
    assert_unharmed(&visits, "nothing happens");
    assert_eq!(visits.kinds.len(), Kind::ALL.len());
    assert!(visits.kept().open >= 70, "{visits}");
}

#[test]
fn visitors_see_closes_refusals_and_the_way_back() {
    let (visitors, backend, _lab) = crowd_at_a_backend();
    visitors.begin().unwrap();
    backend.set(Behavior::Fails).unwrap();
    backend.set(Behavior::Serves).unwrap();
    backend.set(Behavior::Refuses).unwrap();
    backend.set(Behavior::Serves).unwrap();
    let visits = visitors.end().unwrap();
    let (kept, idle) = (visits.kept(), visits.of(Kind::Idle).unwrap());
    for tally in &visits.kinds {
        // A download or upload that has just ended when the backend fails has left by itself.
        let left = match tally.kind {
            Kind::Download | Kind::Upload | Kind::Fresh => tally.answered,
            Kind::Idle | Kind::Busy | Kind::Post | Kind::Slow | Kind::WebSocket => 0,
        };
        assert!(
            tally.cut <= tally.open && tally.open <= tally.cut + left,
            "hoped that each is cut once: {}: {tally}\n{visits}",
            tally.kind
        );
    }
    assert!(idle.closed_idle > 0, "hoped for idle ones: {idle}");
    let long = [Kind::Slow, Kind::Download, Kind::Upload].map(|kind| visits.of(kind).unwrap());
    let failed: u64 = long.iter().map(|tally| tally.failed).sum();
    assert!(failed > 0, "hoped for those in flight:\n{visits}");
    assert_eq!(kept.unserved, 0, "hoped that all are back:\n{visits}");
    assert_eq!(kept.wrong, 0, "{visits}");
}

#[test]
fn visitors_notice_a_network_that_is_silent() {
    let (visitors, _backend, lab) = crowd_at_a_backend();
    visitors.begin().unwrap();
    lab.isolate("web1").unwrap();
    let visits = visitors.end().unwrap();
    lab.join("web1").unwrap();
    let all = visits.all();
    assert!(all.failures.contains_key("timeout"), "{visits}");
    let visitors_len = visitors.crowd().len() as u64;
    assert_eq!(
        all.unserved, visitors_len,
        "hoped for nobody served:\n{visits}"
    );
    visitors.begin().unwrap();
    let after = visitors.end().unwrap().all();
    assert_eq!(after.unserved, 0, "hoped that all are back: {after}");
}

#[test]
fn errands_take_as_long_as_they_are_meant_to() {
    let mut lab = Lab::new().unwrap();
    let client = lab.add_host("client", &["10.77.0.9/24"]).unwrap();
    let web = lab.add_host("web1", &["10.77.0.1/24"]).unwrap();
    let address: SocketAddr = "10.77.0.1:80".parse().unwrap();
    let _backend = Backend::start(&web, "web1", address).unwrap();
    let span = Duration::from_secs(1);
    let errands = [
        Errand::Request(span),
        Errand::Download(span),
        Errand::Upload(span),
        Errand::WebSocket(span),
    ];
    let errands = Errands::start(&client, address, &errands, Duration::from_secs(1)).unwrap();
    for ended in errands.wait().unwrap() {
        assert_eq!(ended.outcome, Ok(()), "{ended:?}");
        let near = Duration::from_millis(900)..Duration::from_secs(4);
        assert!(near.contains(&ended.after), "{ended:?}");
    }
}

#[test]
fn visitors_do_not_notice_what_happens_to_the_backup() {
    let mut pair = pair();
    for (name, signal) in [
        ("evenkeel-vrrp", Signal::SIGKILL),
        ("evenkeel-vrrp", Signal::SIGSTOP),
        ("evenkeel-proxy", Signal::SIGKILL),
        ("evenkeel-proxy", Signal::SIGSTOP),
    ] {
        pair.visitors().unwrap().begin().unwrap();
        let pid = pair.node(1).unwrap().pid_of(name).unwrap();
        process::send(pid, signal).unwrap();
        pair.settle().unwrap();
        let visits = pair.visitors().unwrap().end().unwrap();
        assert_unharmed(&visits, &format!("{signal} to {name} of lb2"));
    }
}

#[test]
fn visitors_do_not_notice_that_the_backup_stops_and_returns() {
    let mut pair = pair();
    pair.visitors().unwrap().begin().unwrap();
    let status = pair.node(1).unwrap().stop(Duration::from_secs(15)).unwrap();
    assert_eq!(status.code(), Some(0));
    let visits = pair.visitors().unwrap().end().unwrap();
    assert_unharmed(&visits, "lb2 stops");
    pair.visitors().unwrap().begin().unwrap();
    pair.restart(1).unwrap();
    pair.settle().unwrap();
    let visits = pair.visitors().unwrap().end().unwrap();
    assert_unharmed(&visits, "lb2 returns");
}

#[test]
fn visitors_do_not_notice_that_the_backup_loses_its_link_and_dies() {
    let mut pair = pair();
    pair.visitors().unwrap().begin().unwrap();
    pair.lab().cut("lb2").unwrap();
    std::thread::sleep(Duration::from_secs(1));
    pair.lab().restore("lb2").unwrap();
    pair.settle().unwrap();
    let visits = pair.visitors().unwrap().end().unwrap();
    assert_unharmed(&visits, "the link of lb2 is cut and restored");
    pair.visitors().unwrap().begin().unwrap();
    pair.node(1).unwrap().process().kill_family().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    pair.restart(1).unwrap();
    pair.settle().unwrap();
    let visits = pair.visitors().unwrap().end().unwrap();
    assert_unharmed(&visits, "lb2 is killed and returns");
}
