//! Certificates that are replaced over and over, in every order and half, under handshakes.
//!
//! `netns-tests/run certificates 60` replaces them for so many seconds, under 500 handshakes a
//! second, of the optimized program.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::site::{Authority, NAME, Site};

/// What visitors have seen.
#[derive(Default)]
struct Seen {
    done: AtomicUsize,
    over: AtomicBool,
    failed: Mutex<Vec<String>>,
    newest: Mutex<Newest>,
    /// Handshakes that began when the newest had been shown for a while, and were shown another.
    stale: AtomicUsize,
}

/// The certificate that is to be shown, and when it was first.
#[derive(Default)]
struct Newest {
    der: Vec<u8>,
    shown_at: Option<Instant>,
}

impl Seen {
    fn note(&self, began: Instant, shown: &[u8]) {
        self.done.fetch_add(1, SeqCst);
        let mut newest = self.newest.lock().expect("whole");
        if newest.der == shown {
            newest.shown_at.get_or_insert_with(Instant::now);
        } else if newest
            .shown_at
            .is_some_and(|at| began > at + TOGETHER_WITHIN)
        {
            self.stale.fetch_add(1, SeqCst);
        }
    }
}

#[test]
fn no_handshake_fails_while_certificates_are_replaced_in_every_way() {
    let seconds = std::env::var("EVENKEEL_CERTIFICATES_SECONDS").ok();
    let seconds: Option<u64> = seconds.map(|text| text.parse().expect("a number of seconds"));
    let (visitors, rounds) = match seconds {
        Some(seconds) => (VISITORS_MANY, usize::try_from(seconds).expect("a number")),
        None => (VISITORS, ROUNDS),
    };
    let site = Site::build(&["lb1"], "");
    let authority = Authority::new();
    let tls = site.scratch.path().join("tls");
    let seen = Arc::new(Seen::default());
    for _ in 0..visitors {
        let seen = Arc::clone(&seen);
        let roots = fs::read(site.file("ca.pem")).expect("a file");
        let own = authority.pem.clone().into_bytes();
        let client = site.lab.host("client").expect("a host");
        let config = config([&roots, &own]);
        client
            .thread("visitor", move || visit(&config, &seen))
            .expect("a thread");
    }
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let due = began + Duration::from_secs(1) * u32::try_from(round).expect("a number");
        if seconds.is_some() {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let (certificate, key) = authority.sign(&format!("www {round}"), &[NAME]);
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
        *seen.newest.lock().expect("whole") = Newest {
            der: der.to_vec(),
            shown_at: None,
        };
        replace(&tls, round, &certificate, &key);
        let took = site.wait(TAKEN_UP_WITHIN, |_| {
            seen.newest.lock().expect("whole").shown_at.is_some()
        });
        println!("round {round}: taken up after {} ms", took.as_millis());
        slowest = slowest.max(took);
    }
    let span = began.elapsed();
    seen.over.store(true, SeqCst);
    let failed = seen.failed.lock().expect("whole");
    assert_eq!(failed.len(), 0, "{failed:#?}\n{}", site.log(0));
    let done = seen.done.load(SeqCst);
    assert!(done > 500, "there were handshakes: {done}");
    let stale = seen.stale.load(SeqCst);
    println!(
        "{done} handshakes in {} s, {rounds} certificates, the slowest taken up after {} ms, \
         {stale} shown another later",
        span.as_secs(),
        slowest.as_millis()
    );
    assert_eq!(stale, 0, "all workers go on together");
}

/// Replaces the pair in the way of the round.
fn replace(tls: &Path, round: usize, certificate: &str, key: &str) {
    let write = |name: &str, text: &str| fs::write(tls.join(name), text).expect("a file");
    let pause = || std::thread::sleep(Duration::from_millis(300));
    match round % 7 {
        0 => {
            write("www.key", key);
            pause();
            write("www.crt", certificate);
        }
        1 => {
            write("www.crt", certificate);
            pause();
            write("www.key", key);
        }
        2 => {
            // Half of it, then nothing, then all.
            write("www.key", key);
            write("www.crt", &certificate[..certificate.len() / 2]);
            pause();
            write("www.crt", "");
            pause();
            write("www.crt", certificate);
        }
        3 => {
            for (name, text) in [("www.crt", certificate), ("www.key", key)] {
                let aside = tls.join(format!(".{name}.new"));
                fs::write(&aside, text).expect("a file");
                fs::rename(aside, tls.join(name)).expect("a file moves");
            }
        }
        4 => {
            // Where the disk is full: a key that ends in the middle, and again when there is room.
            write("www.crt", certificate);
            write("www.key", &key[..key.len() / 2]);
            pause();
            write("www.key", key);
        }
        5 => {
            // As a cluster mounts its secrets: a link that is swapped.
            let (new, link) = (tls.with_extension("data"), tls.with_extension("link"));
            let _ = fs::remove_dir_all(&new);
            fs::create_dir(&new).expect("a directory");
            fs::write(new.join("www.crt"), certificate).expect("a file");
            fs::write(new.join("www.key"), key).expect("a file");
            std::os::unix::fs::symlink(&new, &link).expect("a link");
            let old = tls.with_extension("old");
            let _ = fs::remove_dir_all(&old).or_else(|_| fs::remove_file(&old));
            fs::rename(tls, &old).expect("a directory moves");
            fs::rename(link, tls).expect("a link moves");
        }
        _ => {
            // The directory itself is another one.
            let (new, old) = (tls.with_extension("new"), tls.with_extension("old"));
            let _ = fs::remove_dir_all(&old).or_else(|_| fs::remove_file(&old));
            fs::create_dir(&new).expect("a directory");
            fs::write(new.join("www.crt"), certificate).expect("a file");
            fs::write(new.join("www.key"), key).expect("a file");
            fs::rename(tls, &old).expect("a directory moves");
            fs::rename(new, tls).expect("a directory moves");
        }
    }
}

fn config(roots: [&[u8]; 2]) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    for root in roots {
        let der = CertificateDer::from_pem_slice(root).expect("a certificate");
        store.add(der).expect("an authority");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider speaks them")
        .with_root_certificates(store)
        .with_no_client_auth();
    Arc::new(config)
}

fn visit(config: &Arc<ClientConfig>, seen: &Seen) {
    while !seen.over.load(SeqCst) {
        let began = Instant::now();
        match shake(config) {
            Ok(shown) => seen.note(began, &shown),
            Err(error) => seen.failed.lock().expect("whole").push(error.to_string()),
        }
        std::thread::sleep(EVERY.saturating_sub(began.elapsed()));
    }
}

/// Shakes hands; returns the certificate that was shown.
fn shake(config: &Arc<ClientConfig>) -> std::io::Result<Vec<u8>> {
    let name = NAME.try_into().map_err(std::io::Error::other)?;
    let mut config = (**config).clone();
    // Each with everything.
    config.resumption = rustls::client::Resumption::disabled();
    let mut connection =
        ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
    let mut socket = TcpStream::connect("192.0.2.100:443")?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    connection.send_close_notify();
    connection.complete_io(&mut socket)?;
    socket.flush()?;
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    Ok(shown.map(|it| it.to_vec()).unwrap_or_default())
}

const VISITORS: usize = 4;
/// Where it is to be 500 handshakes a second.
const VISITORS_MANY: usize = 5;
const ROUNDS: usize = 14;
/// How much later than the first worker others may go on.
const TOGETHER_WITHIN: Duration = Duration::from_millis(50);
/// Of each visitor.
const EVERY: Duration = Duration::from_millis(10);
/// A second as promised, and what a busy machine may add.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(4);
