//! Nodes that serve from what answers in the place of a pool: behind those whose pool is up, above
//! nobody else.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use evenkeel::ipc::control::Status;
use evenkeel::lab::pair::{Pair, Settings, VIRTUAL, configuration};
use evenkeel::lab::visitors::Crowd;

const INTERVAL: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_node_whose_fallback_answers_gives_way_to_one_whose_pool_is_up_and_serves_where_none_is() {
    let mut pair = Pair::start(Settings {
        binary: PathBuf::from(env!("CARGO_BIN_EXE_evenkeel")),
        interval: INTERVAL,
        crowd: Crowd::SMALL,
    })
    .unwrap();
    let web2 = "web2: \"10.77.0.12:80\"";
    let yaml = configuration(INTERVAL).replace(&format!(", {web2}"), "")
        + "    fallback: spare\n"
        + &format!(
            "  spare: {{backends: {{{web2}}}, health_check: {{tcp: {{}}, interval: 200ms}}}}\n"
        );
    for index in 0..2 {
        let node = pair.node(index).unwrap();
        node.reload(&yaml).unwrap();
        wait(&mut pair, index, "the new file", |status| {
            status.pools.len() == 2
        });
    }
    pair.settle().unwrap();
    assert_eq!(served_by(&pair), "web1");

    pair.lab().block("lb1", "web1").unwrap();
    wait(&mut pair, 0, "it gives way", |status| {
        stands(status, "Backup", 4)
    });
    wait(&mut pair, 1, "it takes over", |status| {
        stands(status, "Active", 100)
    });
    let reason = &pair.node(0).unwrap().status().unwrap().virtual_routers[0]
        .priority_reason
        .clone();
    assert!(
        reason.contains("pool spare answers in its place"),
        "{reason}"
    );
    assert_eq!(served_by(&pair), "web1");

    pair.lab().block("lb2", "web1").unwrap();
    wait(&mut pair, 0, "it is the better of two", |status| {
        stands(status, "Active", 4)
    });
    wait(&mut pair, 1, "it is the other", |status| {
        stands(status, "Backup", 3)
    });
    assert_eq!(served_by(&pair), "web2");

    // Nobody is left behind whom something answers: then any node serves what it has.
    pair.lab().block("lb1", "web2").unwrap();
    wait(&mut pair, 0, "it cannot serve", |status| {
        stands(status, "Backup", 2)
    });
    wait(&mut pair, 1, "it can", |status| stands(status, "Active", 3));
    assert_eq!(served_by(&pair), "web2");

    pair.lab().unblock("lb1", "web1").unwrap();
    wait(&mut pair, 0, "it is well", |status| {
        stands(status, "Active", 150)
    });
    assert_eq!(served_by(&pair), "web1");
}

fn wait(pair: &mut Pair, index: usize, what: &str, is_so: impl Fn(&Status) -> bool) {
    let node = pair.node(index).unwrap();
    node.wait_for(what, PATIENCE, is_so).unwrap();
}

fn stands(status: &Status, state: &str, priority: u8) -> bool {
    let routers = status.virtual_routers.iter();
    let mut routers = routers.filter(|router| router.name.entry == "web");
    routers.all(|router| router.state == state && router.effective_priority == priority)
}

/// Asks once; returns the host of the backend.
fn served_by(pair: &Pair) -> String {
    let client = Arc::clone(pair.lab().host("client").unwrap());
    let answer = client.run(|| {
        let to = SocketAddr::new(VIRTUAL, 80);
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    let answer = answer.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let mut words = answer.split_whitespace();
    let backend = words.find_map(|word| word.split_once("backend="));
    backend.unwrap().1.to_owned()
}
