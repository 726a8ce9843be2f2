//! The private keys, by what they are known by.

use std::collections::BTreeMap;
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
pub(super) struct Keyring(Mutex<BTreeMap<KeyId, Kept>>);

struct Kept {
    key: Arc<dyn SigningKey>,
    /// When it was read, or last wanted.
    wanted_at: Instant,
    wanted: bool,
}

impl Keyring {
    pub(super) fn insert(&self, id: KeyId, key: Arc<dyn SigningKey>, now: Instant) {
        let kept = Kept {
            key,
            wanted_at: now,
            wanted: true,
        };
        self.keys().insert(id, kept);
    }

    /// Notes which are wanted. Others are kept for a while: a handshake may have begun with one,
    /// and one that was just read may be wanted next.
    pub(super) fn keep(&self, ids: &[KeyId], now: Instant) {
        for (id, kept) in &mut *self.keys() {
            let was_wanted = kept.wanted;
            kept.wanted = ids.contains(id);
            if kept.wanted || was_wanted {
                kept.wanted_at = kept.wanted_at.max(now);
            }
        }
    }

    /// Forgets those that nobody has wanted for long.
    pub(super) fn forget(&self, now: Instant) {
        let is_old = |kept: &Kept| now.saturating_duration_since(kept.wanted_at) >= FORGET_AFTER;
        self.keys().retain(|_, kept| kept.wanted || !is_old(kept));
    }

    /// Signs; `None` where the key is not here, or does not sign in this way.
    pub(super) fn sign(&self, question: &Question<'_>) -> Option<Vec<u8>> {
        let key = Arc::clone(&self.keys().get(&question.key)?.key);
        let signer = key.choose_scheme(&[SignatureScheme::from(question.scheme)])?;
        signer.sign(question.message).ok()
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<KeyId, Kept>> {
        // A thread that panicked here left it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handshakes with a key of before have ended by then.
const FORGET_AFTER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;

    fn has(keyring: &Keyring, id: KeyId) -> bool {
        let question = Question {
            id: 1,
            key: id,
            scheme: 0x0403,
            message: b"what",
        };
        keyring.sign(&question).is_some()
    }

    #[test]
    fn a_key_that_nobody_wants_is_forgotten_in_a_while_and_no_sooner() {
        let der = rcgen::KeyPair::generate().unwrap().serialize_der();
        let key = any_supported_type(&PrivatePkcs8KeyDer::from(der).into()).unwrap();
        let [one, other] = [1, 2].map(|number| KeyId([number; 32]));
        let keyring = Keyring::default();
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        keyring.insert(one, Arc::clone(&key), at(0));
        keyring.keep(&[one], at(0));
        // It was read, and what it was read for is not commanded yet.
        keyring.insert(other, key, at(50));
        keyring.keep(&[one], at(55));
        keyring.forget(at(100));
        assert!(has(&keyring, one) && has(&keyring, other));
        keyring.keep(&[other], at(110));
        keyring.forget(at(169));
        assert!(has(&keyring, one), "a handshake may have begun with it");
        keyring.forget(at(170));
        assert!(!has(&keyring, one) && has(&keyring, other));
    }
}
