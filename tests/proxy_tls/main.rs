//! TLS on both sides of the real proxy, on loopback: handshakes, certificates by name, client
//! certificates, sessions resumed here and on another node, backends, and a process that signs late
//! or never. The peers are rustls' buffered side, which the proxy does not use; curl, openssl and
//! other peers are in `netns-tests/tls`.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the blocking client is for other targets")]
mod common;
#[path = "../proxy_http/rig.rs"]
#[expect(dead_code, reason = "only a proxy without health checks is needed")]
mod rig;
mod pki;
mod client;
mod handshakes;
mod sessions;
mod signing;
mod backends;
mod bytes;

use std::sync::Arc;

use evenkeel::config::{
    CertificateSource, ClientCertificates, DefaultCertificate, FoundTls, ListenerTls, Resumption,
    TlsVersion,
};
use evenkeel::ipc::message::{Secrets, TicketSecret};
use evenkeel::model::SecretBytes;
use evenkeel::process::proxy::Given;

use pki::{Authority, Identity, Signers};
use rig::{Rig, Setup};

/// Returns how a listener speaks TLS with these certificates.
fn tls(identities: &[&Identity]) -> ListenerTls {
    let chains = identities.iter().map(|identity| identity.chain());
    ListenerTls {
        certificates: vec![CertificateSource::Path("/test".into())],
        default: DefaultCertificate::First,
        minimum_version: TlsVersion::Tls12,
        client_certificates: None,
        resumption: Resumption::Tickets,
        found: Arc::new(FoundTls {
            chains: chains.collect(),
            client_roots: Vec::new(),
        }),
    }
}

/// The same, with certificates of clients.
fn mutual(identities: &[&Identity], authority: &Authority, required: bool) -> ListenerTls {
    let mut tls = tls(identities);
    tls.client_certificates = Some(ClientCertificates {
        ca: "/test/ca.pem".into(),
        required,
    });
    let mut found = (*tls.found).clone();
    found.client_roots.push(authority.root());
    tls.found = Arc::new(found);
    tls
}

/// Returns what is derived from a secret, so far as these tests go: of this hour and those around.
fn secrets(of: u8) -> Secrets {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let hour = since.as_secs() / 3600;
    let tickets = (hour - 2..=hour + 1).map(|hour| {
        // Of no other secret in another hour.
        let mut key = [of; 32];
        key[..8].copy_from_slice(&hour.to_be_bytes());
        TicketSecret {
            hour,
            key: SecretBytes(key),
        }
    });
    Secrets {
        tickets: tickets.collect(),
        affinity: Vec::new(),
        of_one_node: false,
    }
}

/// Starts a proxy whose keys these are.
fn start(setup: Setup, keys: &[&Identity]) -> (Rig, Signers) {
    let signers = Signers {
        keys: keys.iter().map(|key| (*key).clone()).collect(),
        ..Signers::default()
    };
    let given = Given::new(secrets(7), signers.lines(setup.threads), None);
    (setup.start_with(given), signers)
}
