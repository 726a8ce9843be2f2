//! The private keys, by what they are known by.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
pub(super) struct Keyring(Mutex<BTreeMap<KeyId, Arc<dyn SigningKey>>>);

impl Keyring {
    pub(super) fn insert(&self, id: KeyId, key: Arc<dyn SigningKey>) {
        self.keys().insert(id, key);
    }

    /// Forgets all others.
    pub(super) fn keep(&self, ids: &[KeyId]) {
        self.keys().retain(|id, _| ids.contains(id));
    }

    /// Signs; `None` where the key is not here, or does not sign in this way.
    pub(super) fn sign(&self, question: &Question<'_>) -> Option<Vec<u8>> {
        let key = self.keys().get(&question.key).cloned()?;
        let signer = key.choose_scheme(&[SignatureScheme::from(question.scheme)])?;
        signer.sign(question.message).ok()
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<KeyId, Arc<dyn SigningKey>>> {
        // A thread that panicked here left it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
