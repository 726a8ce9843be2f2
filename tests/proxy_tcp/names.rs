//! Backends picked by the name that a client asks for in TLS, which is not ended.

use std::io::Read;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::config::{self, NodeName, PoolProtocol};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::common::{Backend, Wire, wait_until};
use crate::rig::Rig;

/// Says who it is, then what it hears.
fn named(name: &'static str) -> Backend {
    Backend::scripted(move |mut visit| {
        visit.wire.send(name);
        crate::echo(visit);
    })
}

/// Three pools with a backend each, and what leads to them.
struct Site {
    rig: Rig,
    _backends: [Backend; 3],
}

impl Site {
    fn new(routes: &str, keys: &str) -> Self {
        let backends = ["one", "two", "own"].map(named);
        let pools: String = ["one", "two", "own"]
            .iter()
            .zip(&backends)
            .map(|(name, backend)| {
                let address = backend.address;
                format!("  {name}: {{backends: {{b: \"{address}\"}}, health_check: none}}\n")
            })
            .collect();
        let yaml = format!(
            "listeners:\n  tls:\n    bind: [\"127.0.0.1:1\"]\n    mode: tcp\n    routes: \
             [{routes}]\n{keys}pools:\n{pools}"
        );
        let config = config::parse("t.yaml", &yaml, NodeName::Given("lb1")).unwrap();
        let rig = crate::rig::Setup {
            config,
            threads: 1,
            health: Vec::new(),
        };
        Self {
            rig: rig.start(),
            _backends: backends,
        }
    }

    /// Returns who answers a client that says this.
    fn answers(&self, said: &[u8]) -> String {
        let mut wire = self.rig.client();
        wire.send(said);
        answer(&mut wire, said)
    }
}

/// Returns who has answered, by its word before it says what it has heard.
fn answer(wire: &mut Wire, said: &[u8]) -> String {
    wire.stream.shutdown(Shutdown::Write).ok();
    let text = wire.rest();
    let name = text.len().saturating_sub(said.len());
    assert_eq!(&text[name..], &said[said.len() - (text.len() - name)..]);
    String::from_utf8(text[..name].to_vec()).unwrap()
}

/// Returns what a client of TLS begins with.
fn hello(name: &'static str) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

const ROUTES: &str = "{sni: one.example.org, pool: one}, {sni: \"*.two.example.org\", pool: two}, \
                      {sni: shut.example.org, deny: all}";

#[test]
fn the_first_route_of_a_name_is_taken_and_else_the_pool() {
    let site = Site::new(ROUTES, "    pool: own\n");
    for (name, hoped) in [
        ("one.example.org", "one"),
        ("ONE.Example.org", "one"),
        ("a.two.example.org", "two"),
        ("a.b.two.example.org", "two"),
        ("two.example.org", "own"),
        ("192.0.2.1", "own"),
    ] {
        assert_eq!(site.answers(&hello(name)), hoped, "{name}");
    }
    // Who speaks no TLS, or what nobody can read of it.
    for said in [
        &b"SSH-2.0-x\r\n"[..],
        b"\x16\x03\x01\0\x04\x02\0\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(site.answers(said), "own", "{said:?}");
    }
    let mut denied = site.rig.client();
    denied.send(hello("shut.example.org"));
    let error = denied.stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let status = site.rig.proxy.status();
    let requests = status.0[0].routes.iter().map(|it| it.requests_total);
    assert_eq!(requests.collect::<Vec<_>>(), [2, 2, 0]);
}

#[test]
fn names_may_come_cut_at_every_byte() {
    let site = Site::new(ROUTES, "");
    let said = hello("one.example.org");
    for cut in 1..said.len() {
        let mut wire = site.rig.client();
        wire.send(&said[..cut]);
        wire.send(&said[cut..]);
        assert_eq!(answer(&mut wire, &said), "one", "{cut}");
    }
    let mut wire = site.rig.client();
    for byte in &said {
        wire.send([*byte]);
    }
    assert_eq!(answer(&mut wire, &said), "one");
}

#[test]
fn a_name_is_not_waited_for_for_ever_and_no_route_is_the_end() {
    let site = Site::new(ROUTES, "    timeouts: {handshake: 300ms}\n");
    let began_at = Instant::now();
    let mut silent = site.rig.client();
    let mut halved = site.rig.client();
    halved.send(&hello("one.example.org")[..40]);
    assert!(silent.is_ended() && halved.is_ended());
    assert!(began_at.elapsed() >= Duration::from_millis(300));
    let mut unknown = site.rig.client();
    unknown.send(hello("three.example.org"));
    let error = unknown.stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    wait_until("all have gone", || {
        site.rig.proxy.status().0[0].connections == 0
    });
    assert_eq!(
        site.rig.proxy.status().0[0].requests_total,
        1,
        "one was whole"
    );
}

/// What has come can still be read, over and over: the end behind it counts.
#[test]
fn who_leaves_within_its_name_has_left() {
    let site = Site::new(ROUTES, "    timeouts: {handshake: 1h}\n");
    let said = hello("one.example.org");
    for _ in 0..10 {
        let mut wire = site.rig.client();
        wire.send(&said[..100]);
        wire.stream.shutdown(Shutdown::Write).unwrap();
        assert!(wire.is_ended());
    }
    let mut whole = site.rig.client();
    whole.send(&said);
    assert_eq!(answer(&mut whole, &said), "one");
    wait_until("all have gone", || {
        site.rig.proxy.status().0[0].connections == 0
    });
}

/// Who leads to pools with networks alone waits for no name.
#[test]
fn networks_pick_backends_of_those_who_speak_second() {
    let routes = "{client: 192.0.2.0/24, pool: one}, {client: 127.0.0.0/8, pool: two}";
    let site = Site::new(routes, "");
    let mut wire = site.rig.client();
    assert_eq!(wire.take(3), b"two");
    let config = config::parse(
        "t.yaml",
        "listeners: {a: {bind: [\"127.0.0.1:1\"], mode: tcp, pool: p}}\npools: {p: {backends: {b: \
         \"127.0.0.1:2\"}}}\n",
        NodeName::Given("lb1"),
    );
    assert_eq!(config.unwrap().pools[0].protocol, PoolProtocol::Tcp);
}
