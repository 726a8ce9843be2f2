//! The same backend for the same key.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::Relaxed;

use evenkeel::config::{BackendMode, Balance, HashOn};
use evenkeel::model::Network;

use super::ailing;
use crate::common::{Backend, Wire, refusing_address, wait_until};
use crate::rig::{Rig, Setup, http_check, setup};

/// Returns three backends that say their names.
fn three() -> [Backend; 3] {
    ["b0", "b1", "b2"].map(Backend::named)
}

/// Returns a proxy before them that hashes.
fn hashing(on: HashOn, backends: &[Backend; 3]) -> Setup {
    let addresses = [0, 1, 2].map(|index| backends[index].address);
    setup(&addresses).pool(|pool| pool.balance = Balance::Hash(on))
}

fn get(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// Returns who answers each of many paths, each from a connection of its own.
fn answers(rig: &Rig) -> BTreeMap<String, String> {
    let paths = (0..40).map(|n| format!("/item/{n}"));
    paths
        .map(|path| {
            let answer = rig.ask(&get(&path, ""));
            assert_eq!(answer.status(), 200);
            (path, answer.text())
        })
        .collect()
}

fn named<'a>(answers: impl IntoIterator<Item = &'a String>) -> BTreeSet<&'a str> {
    answers.into_iter().map(String::as_str).collect()
}

#[test]
fn keys_have_one_backend_on_every_node_and_thread_whatever_the_order() {
    let backends = three();
    let mut one = hashing(HashOn::Path, &backends);
    one.threads = 2;
    let one = one.start();
    let seen = answers(&one);
    assert_eq!(named(seen.values()).len(), 3, "all have some");
    assert_eq!(answers(&one), seen);
    let other = hashing(HashOn::Path, &backends).pool(|pool| pool.backends.reverse());
    assert_eq!(answers(&other.start()), seen);
}

#[test]
fn queries_are_no_part_of_the_path() {
    let backends = three();
    let rig = hashing(HashOn::Path, &backends).start();
    let asked = (0..10).map(|n| rig.ask(&get(&format!("/a?{n}"), "")).text());
    assert_eq!(named(&asked.collect::<Vec<_>>()).len(), 1);
}

#[test]
fn keys_move_only_from_a_drained_backend_and_back() {
    let backends = three();
    let rig = hashing(HashOn::Path, &backends).start();
    let before = answers(&rig);
    rig.reload(|config| config.pools[0].backends[1].mode = BackendMode::Drained);
    let during = answers(&rig);
    let mut found = BTreeSet::new();
    for (path, was) in &before {
        match was.as_str() {
            "b1" => found.insert(during[path].as_str()),
            other => {
                assert_eq!(during[path], other, "{path}");
                continue;
            }
        };
    }
    assert_eq!(found, ["b0", "b2"].into(), "both take some over");
    rig.reload(|_| {});
    assert_eq!(answers(&rig), before);
}

#[test]
fn keys_move_only_from_a_backend_that_is_down_and_back() {
    let (ill, status) = ailing("b0");
    let [_, one, two] = three();
    let backends = [ill, one, two];
    let rig = hashing(HashOn::Path, &backends)
        .check(http_check(), 1, 1)
        .start();
    let becomes = |state: &str| wait_until(state, || rig.pool().backends[0].state == state);
    wait_until("all are up", || {
        rig.pool().backends.iter().all(|b| b.state == "up")
    });
    let before = answers(&rig);
    status.store(500, Relaxed);
    becomes("down");
    let during = answers(&rig);
    for (path, was) in before.iter().filter(|(_, was)| *was != "b0") {
        assert_eq!(during[path], *was, "{path}");
    }
    assert_eq!(named(during.values()), ["b1", "b2"].into());
    status.store(200, Relaxed);
    becomes("up");
    assert_eq!(answers(&rig), before);
}

#[test]
fn fields_and_cookies_decide_and_a_request_without_goes_anywhere() {
    let backends = three();
    let header = HashOn::Header("X-User".to_owned());
    let cookie = HashOn::Cookie("session".to_owned());
    for (on, line) in [(header, "x-user: "), (cookie, "Cookie: a=b; session=")] {
        let rig = hashing(on, &backends).start();
        let ask = |line: &str| rig.ask(&get("/", line)).text();
        let with = |value: usize| ask(&format!("{line}{value}\r\n"));
        let seen: Vec<_> = (0..20).map(with).collect();
        assert_eq!(named(&seen).len(), 3, "{line:?}: {seen:?}");
        assert_eq!((0..20).map(with).collect::<Vec<_>>(), seen);
        for without in ["", line] {
            let lines = match without {
                "" => String::new(),
                line => format!("{line}\r\n"),
            };
            let seen: Vec<_> = (0..60).map(|_| ask(&lines)).collect();
            assert_eq!(named(&seen).len(), 3, "an empty one is none: {lines:?}");
        }
    }
}

#[test]
fn clients_are_hashed_by_their_own_address() {
    let backends = three();
    let rig = hashing(HashOn::SourceAddress, &backends)
        .listener(|listener| {
            listener.forwarding.trusted_proxies = vec![Network {
                address: Ipv4Addr::LOCALHOST.into(),
                prefix_len: 8,
            }];
        })
        .start();
    let from = |address: &str| {
        let line = format!("X-Forwarded-For: {address}\r\n");
        rig.ask(&get("/", &line)).text()
    };
    let seen: Vec<_> = (0..30).map(|n| from(&format!("192.0.2.{n}"))).collect();
    assert_eq!(named(&seen).len(), 3);
    let one: Vec<_> = (0..10).map(|n| from(&format!("2001:db8::{n}"))).collect();
    assert_eq!(named(&one).len(), 1, "one /64 is one client");
    let own: Vec<_> = (0..10).map(|_| rig.ask(&get("/", "")).text()).collect();
    assert_eq!(named(&own).len(), 1);
}

/// A backend without room passes a key on to the key's next; where all are full requests wait.
#[test]
fn full_backends_pass_keys_on() {
    let hold = || {
        Backend::scripted(|mut visit| {
            visit.request();
            visit.wire.rest();
        })
    };
    let backends = [hold(), hold(), hold()];
    let rig = hashing(HashOn::Path, &backends)
        .pool(|pool| {
            pool.backends
                .iter_mut()
                .for_each(|one| one.requests = Some(1))
        })
        .start();
    let mut stuck: Vec<Wire> = Vec::new();
    for asked in 1..=3 {
        let mut client = rig.client();
        client.send(get("/same", ""));
        stuck.push(client);
        wait_until("it has arrived", || {
            backends.iter().map(|b| b.requests().len()).sum::<usize>() == asked
        });
    }
    assert!(backends.iter().all(|backend| backend.requests().len() == 1));
    let mut client = rig.client();
    client.send(get("/same", ""));
    wait_until("it waits", || rig.pool().queued_requests == 1);
}

#[test]
fn a_retry_goes_to_the_next_of_the_key() {
    let (_held, refusing) = refusing_address();
    let (one, two) = (Backend::named("b1"), Backend::named("b2"));
    let on = Balance::Hash(HashOn::Path);
    let all = setup(&[refusing, one.address, two.address]);
    let rig = all.pool(|pool| pool.balance = on).start();
    let seen = answers(&rig);
    assert_eq!(named(seen.values()), ["b1", "b2"].into());
    assert!(rig.pool().retries_total > 0);
    assert_eq!(answers(&rig), seen, "whether it is tried or left out");
}

/// Weights by command and by reload: who keeps its place keeps nearly all of its keys, what is in
/// flight and its verdict.
#[test]
fn a_weight_changes_shares_and_little_else() {
    let backends = three();
    let rig = hashing(HashOn::Path, &backends).start();
    let before = answers(&rig);
    rig.reload(|config| config.pools[0].backends[0].weight = 4);
    let after = answers(&rig);
    for (path, now) in &after {
        let was = &before[path];
        assert!(
            now == was || now == "b0",
            "{path} has moved from {was} to {now}"
        );
    }
    let heavy = |of: &BTreeMap<String, String>| of.values().filter(|name| *name == "b0").count();
    assert!(heavy(&after) > heavy(&before), "{before:?} {after:?}");
    let pool = rig.pool();
    assert_eq!(
        pool.backends.iter().map(|b| b.requests_total).sum::<u64>(),
        80
    );
}
