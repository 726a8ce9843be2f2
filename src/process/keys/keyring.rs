//! The private keys, by what they are known by, and how long they stay.
//!
//! The supervisor says which keys are wanted; the others stay for a while, because files are read
//! before the configuration that names them is taken up, and handshakes with a key of before go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::SignatureScheme;
use rustls::sign::SigningKey;

use crate::ipc::signing::Question;
use crate::model::KeyId;

/// Signs once, with a key that nobody knows: the first signature of a thread gathers entropy, which
/// takes longer than a handshake waits.
pub(super) fn warm_up() {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING);
    if let Ok(key) = key {
        let _ = key.sign(&SystemRandom::new(), b"evenkeel");
    }
}

/// All keys; shared by the thread that signs and the one that reads files.
#[derive(Default)]
pub(super) struct Keyring(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    keys: BTreeMap<KeyId, Kept>,
    wanted: BTreeSet<KeyId>,
    /// When a key was read last: many of them take a while, and are wanted together.
    read_at: Option<Instant>,
}

struct Kept {
    key: Arc<dyn SigningKey>,
    /// When it was read or last wanted.
    since: Instant,
}

impl Keyring {
    pub(super) fn insert(&self, id: KeyId, key: Arc<dyn SigningKey>, now: Instant) {
        let mut ring = self.ring();
        ring.keys.insert(id, Kept { key, since: now });
        ring.read_at = Some(now);
    }

    /// Wants these from now on; others stay for a while.
    pub(super) fn keep(&self, ids: Vec<KeyId>, now: Instant) {
        let mut ring = self.ring();
        let Ring { keys, wanted, .. } = &mut *ring;
        for id in &*wanted {
            if let Some(kept) = keys.get_mut(id) {
                kept.since = now;
            }
        }
        *wanted = ids.into_iter().collect();
    }

    /// Forgets those that nobody has wanted for long enough.
    pub(super) fn forget(&self, now: Instant) {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < KEPT_FOR;
        let mut ring = self.ring();
        if ring.read_at.is_some_and(is_recent) {
            return;
        }
        let Ring { keys, wanted, .. } = &mut *ring;
        keys.retain(|id, kept| wanted.contains(id) || is_recent(kept.since));
    }

    /// Signs; `None` where the key is not here, or does not sign in this way.
    pub(super) fn sign(&self, question: &Question<'_>) -> Option<Vec<u8>> {
        let kept = self.ring().keys.get(&question.key)?.key.clone();
        let signer = kept.choose_scheme(&[SignatureScheme::from(question.scheme)])?;
        signer.sign(question.message).ok()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A thread that panicked here left it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handshakes with a key of before have ended by then, and what was read has been taken up or
/// refused.
const KEPT_FOR: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    use super::*;

    fn key() -> Arc<dyn SigningKey> {
        let pair = rcgen::KeyPair::generate().unwrap();
        let der = PrivatePkcs8KeyDer::from(pair.serialize_der());
        any_supported_type(&PrivateKeyDer::from(der)).unwrap()
    }

    fn signs(keyring: &Keyring, id: u8) -> bool {
        let question = Question {
            id: 1,
            key: KeyId([id; 32]),
            scheme: SignatureScheme::ECDSA_NISTP256_SHA256.into(),
            until_ms: u64::MAX,
            message: b"what",
        };
        keyring.sign(&question).is_some()
    }

    /// A file that is read while another configuration is taken up must not lose its key by that.
    #[test]
    fn a_key_stays_while_it_is_wanted_and_for_a_minute_after_it_was_read_or_wanted() {
        let (start, keyring) = (Instant::now(), Keyring::default());
        let at = |second| start + Duration::from_secs(second);
        keyring.insert(KeyId([1; 32]), key(), at(0));
        keyring.keep(vec![KeyId([1; 32])], at(0));
        keyring.forget(at(1000));
        assert!(signs(&keyring, 1), "it is wanted");
        keyring.insert(KeyId([2; 32]), key(), at(1000));
        keyring.keep(vec![KeyId([1; 32])], at(1010));
        keyring.forget(at(1059));
        assert!(signs(&keyring, 2), "it was read a moment ago");
        keyring.keep(vec![KeyId([2; 32])], at(1059));
        keyring.forget(at(1118));
        assert!(signs(&keyring, 1), "handshakes with it may be under way");
        keyring.forget(at(1119));
        assert!(!signs(&keyring, 1));
        assert!(signs(&keyring, 2));
        keyring.insert(KeyId([3; 32]), key(), at(2000));
        keyring.forget(at(2060));
        assert!(!signs(&keyring, 3), "of a configuration that was refused");
        assert!(signs(&keyring, 2));
    }
}
