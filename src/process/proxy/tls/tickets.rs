//! Session tickets that every node of the group understands: sealed with keys that follow from the
//! group's secret and the hour, so that no node has to tell another.
//!
//! The process `keys` derives what is of an hour; here follows what is of a listener and of its
//! rule for client certificates, since a ticket of another would go round that. A ticket is good
//! for the same name of a server alone, which rustls sees to. TLS 1.3 only: with TLS 1.2 a ticket
//! gives away what was said before, once its key is known (RFC 9325 §4.4).

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use rustls::server::ProducesTickets;

use crate::config::ListenerTls;
use crate::ipc::control::unix_s;
use crate::ipc::message::{Secrets, TicketSecret};
use crate::process::proxy::io::tls::{holds_until, note_holds_until};

/// What is derived from the group's secret, as it is now.
#[derive(Debug, Default)]
pub(in crate::process::proxy) struct SharedSecrets {
    current: RwLock<Arc<Secrets>>,
    /// How often the keys of affinity have changed.
    affinity_version: AtomicU64,
}

impl SharedSecrets {
    /// Replaces it.
    pub(in crate::process::proxy) fn set(&self, secrets: Secrets) {
        // A thread that panicked here left it whole.
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let is_other = current.affinity != secrets.affinity;
        *current = Arc::new(secrets);
        if is_other {
            self.affinity_version.fetch_add(1, Release);
        }
    }

    /// Returns a number that is another one after the keys of affinity have changed; 0 before there
    /// are any.
    pub(in crate::process::proxy) fn affinity_version(&self) -> u64 {
        self.affinity_version.load(Acquire)
    }

    /// Returns it.
    pub(in crate::process::proxy) fn get(&self) -> Arc<Secrets> {
        // The same.
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }
}

/// Seals and opens the tickets of one listener.
pub(super) struct Ticketer {
    secrets: Arc<SharedSecrets>,
    /// What its tickets are good for.
    scope: Vec<u8>,
    derived: Mutex<Derived>,
}

/// The keys of one listener, of all hours.
#[derive(Default)]
struct Derived {
    from: Option<Arc<Secrets>>,
    keys: Vec<Arc<TicketKey>>,
}

struct TicketKey {
    hour: u64,
    /// What tells that a ticket is sealed with it.
    name: [u8; NAME_BYTES],
    key: RandomizedNonceKey,
}

impl Ticketer {
    /// Returns that of a listener.
    pub(super) fn new(secrets: &Arc<SharedSecrets>, listener: &str, tls: &ListenerTls) -> Self {
        Self {
            secrets: Arc::clone(secrets),
            scope: scope(listener, tls),
            derived: Mutex::default(),
        }
    }

    /// Returns its keys, derived anew where the secrets have changed.
    fn keys(&self) -> Vec<Arc<TicketKey>> {
        let secrets = self.secrets.get();
        // A thread that panicked here left the keys whole.
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |from: &Arc<Secrets>| Arc::ptr_eq(from, &secrets);
        if !derived.from.as_ref().is_some_and(is_same) {
            let keys = secrets.tickets.iter().filter_map(|of_hour| {
                TicketKey::derive(&of_hour.key.0, of_hour.hour, &self.scope).map(Arc::new)
            });
            derived.keys = keys.collect();
            derived.from = Some(Arc::clone(&secrets));
        }
        derived.keys.clone()
    }

    fn seal(&self, plain: &[u8], hour: u64, holds_until: i64) -> Option<Vec<u8>> {
        if !is_of_tls13(plain) {
            return None;
        }
        let keys = self.keys();
        let key = keys.iter().find(|key| key.hour == hour)?;
        // Before what rustls says of it, until when the client's certificate holds.
        let mut sealed = holds_until.to_be_bytes().to_vec();
        sealed.extend_from_slice(plain);
        let nonce = key
            .key
            .seal_in_place_append_tag(Aad::from(key.name), &mut sealed)
            .ok()?;
        let mut ticket = Vec::with_capacity(NAME_BYTES + 12 + sealed.len());
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(nonce.as_ref());
        ticket.append(&mut sealed);
        Some(ticket)
    }

    /// Returns what is in it, and until when the client's certificate holds.
    fn open(&self, ticket: &[u8], hour: u64) -> Option<(Vec<u8>, i64)> {
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<12>()?;
        let keys = self.keys();
        let mut keys = keys.iter();
        let key = keys.find(|key| key.name == *name)?;
        // Clocks of two nodes may differ by some seconds.
        if key.hour > hour + 1 || key.hour + TicketSecret::HOURS_BEFORE < hour {
            return None;
        }
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key
            .key
            .open_in_place(nonce, Aad::from(*name), &mut plain)
            .ok()?;
        let (holds_until, session) = opened.split_first_chunk()?;
        Some((session.to_vec(), i64::from_be_bytes(*holds_until)))
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECONDS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, TicketSecret::hour_now(), holds_until())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (session, holds_until) = self.open(ticket, TicketSecret::hour_now())?;
        // A session does not outlive the certificate that it began with.
        if unix_s(SystemTime::now()) > holds_until {
            return None;
        }
        note_holds_until(holds_until);
        Some(session)
    }
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticketer(..)")
    }
}

impl TicketKey {
    fn derive(secret: &[u8; 32], hour: u64, scope: &[u8]) -> Option<Self> {
        let of_hour = Prk::new_less_safe(HKDF_SHA256, secret);
        let mut name = [0; NAME_BYTES];
        let mut key = [0; 32];
        for (what, into) in [(&b"name"[..], &mut name[..]), (b"key", &mut key)] {
            let len = Len(into.len());
            of_hour.expand(&[what, scope], len).ok()?.fill(into).ok()?;
        }
        Some(Self {
            hour,
            name,
            key: RandomizedNonceKey::new(&AES_256_GCM, &key).ok()?,
        })
    }
}

/// So many bytes of key.
struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// Returns what a ticket is good for: the listener, and what it asks of clients.
fn scope(listener: &str, tls: &ListenerTls) -> Vec<u8> {
    let mut scope = Vec::new();
    let mut add = |part: &[u8]| {
        scope.extend_from_slice(&(part.len() as u64).to_be_bytes());
        scope.extend_from_slice(part);
    };
    add(listener.as_bytes());
    if let Some(clients) = &tls.client_certificates {
        add(&[u8::from(clients.required)]);
        for root in &tls.found.client_roots {
            add(&root.0);
        }
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &scope);
    digest.as_ref().to_vec()
}

/// Returns whether a session is one of TLS 1.3: rustls writes the name of the server before, where
/// there is one, with its length.
fn is_of_tls13(plain: &[u8]) -> bool {
    let rest = match plain {
        [0, rest @ ..] => rest,
        [1, len, rest @ ..] => rest.get(usize::from(*len)..).unwrap_or_default(),
        _ => &[],
    };
    rest.starts_with(&[0x03, 0x04])
}

const NAME_BYTES: usize = 16;
/// What is said of a ticket: the rest of its hour may be short.
const LIFETIME_SECONDS: u32 = TicketSecret::HOURS_BEFORE as u32 * 3600;
