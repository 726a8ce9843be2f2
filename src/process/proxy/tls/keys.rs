//! Private keys, as rustls sees them: it does not know that they are in another process.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{OtherError, SignatureAlgorithm, SignatureScheme};

use crate::config::CertificateChain;
use crate::logic::tls::x509::Certificate;
use crate::model::KeyId;
use crate::process::proxy::io::tls::NoSignature;
use crate::process::proxy::tls::signing::{Unsigned, line};

/// A private key that is elsewhere.
#[derive(Debug)]
struct RemoteKey {
    id: KeyId,
    public: Vec<u8>,
    algorithm: SignatureAlgorithm,
    schemes: &'static [SignatureScheme],
}

/// How this is signed.
#[derive(Debug)]
struct RemoteSigner {
    id: KeyId,
    scheme: SignatureScheme,
}

impl SigningKey for RemoteKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let mut schemes = self.schemes.iter();
        let scheme = *schemes.find(|scheme| offered.contains(scheme))?;
        Some(Box::new(RemoteSigner {
            id: self.id,
            scheme,
        }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(&*self.public))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

impl Signer for RemoteSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signed = line().sign(self.id, self.scheme.into(), message);
        signed.map_err(|error| match error {
            Unsigned::Silent => rustls::Error::Other(OtherError(Arc::new(NoSignature))),
            Unsigned::Refused => rustls::Error::General(error.to_string()),
        })
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

/// Returns a certificate with the key that signs for it; `None` where the key is of a kind that
/// nobody here signs with.
pub(super) fn certified(chain: &CertificateChain) -> Option<Arc<CertifiedKey>> {
    let leaf = chain.certificates.first()?;
    let public = Certificate::parse(&leaf.0).ok()?.public_key.to_vec();
    let (algorithm, schemes) = kind_of(&public)?;
    let key = RemoteKey {
        id: chain.key,
        public,
        algorithm,
        schemes,
    };
    let certificates = chain.certificates.iter();
    let certificates = certificates.map(|der| CertificateDer::from(der.0.clone()));
    Some(Arc::new(CertifiedKey::new(
        certificates.collect(),
        Arc::new(key),
    )))
}

/// Returns how keys of a kind sign, the best first, by its SubjectPublicKeyInfo.
fn kind_of(public: &[u8]) -> Option<(SignatureAlgorithm, &'static [SignatureScheme])> {
    // The algorithm is near its beginning (RFC 5280 §4.1, RFC 8410 §3, RFC 5480 §2.1.1).
    let head = &public[..public.len().min(ALGORITHM_BYTES_MAX)];
    let mut kinds = KINDS.iter();
    kinds
        .find(|(oid, ..)| head.windows(oid.len()).any(|window| window == *oid))
        .map(|(_, algorithm, schemes)| (*algorithm, *schemes))
}

/// An object identifier, and what signs with the keys that it stands for.
type KindOfKey = (
    &'static [u8],
    SignatureAlgorithm,
    &'static [SignatureScheme],
);

const KINDS: [KindOfKey; 5] = [
    (
        // prime256v1
        &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
        SignatureAlgorithm::ECDSA,
        &[SignatureScheme::ECDSA_NISTP256_SHA256],
    ),
    (
        // secp384r1
        &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
        SignatureAlgorithm::ECDSA,
        &[SignatureScheme::ECDSA_NISTP384_SHA384],
    ),
    (
        // secp521r1
        &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23],
        SignatureAlgorithm::ECDSA,
        &[SignatureScheme::ECDSA_NISTP521_SHA512],
    ),
    (
        // Ed25519
        &[0x06, 0x03, 0x2b, 0x65, 0x70],
        SignatureAlgorithm::ED25519,
        &[SignatureScheme::ED25519],
    ),
    (
        // rsaEncryption
        &[
            0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
        ],
        SignatureAlgorithm::RSA,
        &[
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
        ],
    ),
];
const ALGORITHM_BYTES_MAX: usize = 32;
