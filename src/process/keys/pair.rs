//! A certificate and the key that it was made for, read from the text of two files, or of one that
//! has both.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::SignatureAlgorithm;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::SigningKey;
use thiserror::Error;

use crate::config::CertificateChain;
use crate::logic::tls::chain::{ChainError, ordered};
use crate::logic::tls::x509::Certificate;
use crate::model::{Der, KeyId};

/// A certificate, and what signs for it.
#[derive(Debug)]
pub struct Pair {
    /// With those above it.
    pub chain: CertificateChain,
    /// Its private key.
    pub key: Arc<dyn SigningKey>,
}

/// Why two files are no such pair.
#[derive(Debug, Error)]
pub enum PairError {
    /// The certificates.
    #[error("the certificates cannot be used")]
    Chain(#[from] ChainError),
    /// A text that is no PEM.
    #[error("the {0} is no PEM (RFC 7468): a line of it is damaged")]
    Pem(&'static str),
    /// No key.
    #[error("there is no private key in it")]
    NoKey,
    /// More than one.
    #[error("there are {0} private keys in it, and only one can be meant")]
    ManyKeys(usize),
    /// A key that wants a passphrase.
    #[error("the private key is encrypted, and nobody is there to type its passphrase")]
    Encrypted,
    /// A key that nobody here signs with.
    #[error("the private key is damaged, or of a kind that is not used")]
    Kind,
    /// A key that takes longer than anybody waits.
    #[error("an RSA key of more than 4096 bits signs for longer than a handshake may wait")]
    Slow,
    /// The key of another certificate.
    #[error("the private key is not that of the certificate `{0}`")]
    Unfit(String),
}

impl PairError {
    /// Returns how to mend it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Chain(_) => {
                "put the certificate of the server into it, and those that have signed it behind"
            }
            Self::Pem(_) => {
                "copy it again: `openssl x509 -in FILE -noout -text` shows what it says"
            }
            Self::NoKey => {
                "name the file with the key under `key`, or put the key behind the certificates"
            }
            Self::ManyKeys(_) => "leave the one that was made with the certificate",
            Self::Encrypted => "`openssl pkey -in OLD -out NEW` takes the passphrase off",
            Self::Kind => {
                "RSA of 2048 to 4096 bits, ECDSA with P-256, P-384 or P-521, and Ed25519 are used"
            }
            Self::Slow => {
                "have a certificate made for a key of ECDSA, which signs a hundred times as fast, \
                 or of RSA with 2048 to 4096 bits"
            }
            Self::Unfit(_) => {
                "they are made together: `openssl x509 -pubkey` of the one and `openssl pkey \
                 -pubout` of the other print the same where they fit"
            }
        }
    }
}

/// Reads a pair; `path` is what the chain is known by.
///
/// # Errors
/// When they are none.
pub fn read(path: &Path, certificates: &[u8], key: &[u8]) -> Result<Pair, PairError> {
    let chain = ordered(certificates_of(certificates)?)?;
    let leaf = chain.first().ok_or(ChainError::Empty)?;
    let leaf = Certificate::parse(&leaf.0);
    let leaf = leaf.map_err(|error| ChainError::Unreadable { number: 1, error })?;
    let key = key_of(key)?;
    let public = key.public_key().ok_or(PairError::Kind)?;
    if key.algorithm() == SignatureAlgorithm::RSA && public.len() > RSA_BYTES_MAX {
        return Err(PairError::Slow);
    }
    if *public != *leaf.public_key {
        return Err(PairError::Unfit(leaf.subject.to_string()));
    }
    Ok(Pair {
        chain: CertificateChain {
            path: path.to_owned(),
            key: id_of(leaf.public_key),
            names: leaf.dns_names.iter().map(ToString::to_string).collect(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            certificates: chain.clone(),
        },
        key,
    })
}

/// A SubjectPublicKeyInfo of RSA with 4096 bits has 550 bytes.
const RSA_BYTES_MAX: usize = 560;

/// Returns the certificates in a text.
///
/// # Errors
/// When it is no PEM.
pub fn certificates_of(text: &[u8]) -> Result<Vec<Der>, PairError> {
    let mut certificates = Vec::new();
    for section in sections(text) {
        match section {
            Ok((SectionKind::Certificate, der)) => certificates.push(Der(der)),
            Ok(_) => {}
            Err(()) => return Err(PairError::Pem("certificate")),
        }
    }
    Ok(certificates)
}

/// Returns what a key is known by.
pub fn id_of(public_key: &[u8]) -> KeyId {
    let mut id = KeyId([0; 32]);
    id.0.copy_from_slice(digest(&SHA256, public_key).as_ref());
    id
}

fn key_of(text: &[u8]) -> Result<Arc<dyn SigningKey>, PairError> {
    let says = |needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
    // First: with the headers of older programs (RFC 1421 §4.6.1.1) it is no PEM as others are.
    if says(b"ENCRYPTED") {
        return Err(PairError::Encrypted);
    }
    let mut keys: Vec<PrivateKeyDer<'static>> = Vec::new();
    for section in sections(text) {
        let (kind, der) = section.map_err(|()| PairError::Pem("private key"))?;
        if kind == SectionKind::PrivateKey {
            keys.push(PrivatePkcs8KeyDer::from(der).into());
        } else if kind == SectionKind::RsaPrivateKey {
            keys.push(PrivatePkcs1KeyDer::from(der).into());
        } else if kind == SectionKind::EcPrivateKey {
            keys.push(PrivateSec1KeyDer::from(der).into());
        }
    }
    match &keys[..] {
        [key] => any_supported_type(key).map_err(|_| PairError::Kind),
        // DSA's, for one.
        [] if says(b" PRIVATE KEY-----") => Err(PairError::Kind),
        [] => Err(PairError::NoKey),
        [..] => Err(PairError::ManyKeys(keys.len())),
    }
}

fn sections(text: &[u8]) -> impl Iterator<Item = Result<(SectionKind, Vec<u8>), ()>> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(text).map(|section| section.map_err(drop))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use rcgen::{
        BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P384_SHA384,
        PKCS_ED25519,
    };

    use super::*;
    use crate::model::Chain;

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(vec![format!("{name}.example.org")]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    fn complaint(certificates: &str, key: &str) -> String {
        let error = read(Path::new("/a"), certificates.as_bytes(), key.as_bytes()).unwrap_err();
        assert!(!error.help().is_empty());
        Chain(&error).to_string()
    }

    #[test]
    fn a_pair_is_read_from_two_files_or_one_in_any_order() {
        for kind in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &PKCS_ECDSA_P384_SHA384,
            &PKCS_ED25519,
        ] {
            let root_key = KeyPair::generate().unwrap();
            let mut root = params("root");
            root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let root_certificate = root.self_signed(&root_key).unwrap();
            let issuer = Issuer::new(root, root_key);
            let key = KeyPair::generate_for(kind).unwrap();
            let leaf = params("www").signed_by(&key, &issuer).unwrap();
            let (leaf_pem, root_pem) = (leaf.pem(), root_certificate.pem());
            let key_pem = key.serialize_pem();
            let reversed = format!("{root_pem}{leaf_pem}");
            let all = format!("{key_pem}text between\n{root_pem}{leaf_pem}");
            for (certificates, key) in [(&reversed, &key_pem), (&all, &all)] {
                let pair = read(Path::new("/a"), certificates.as_bytes(), key.as_bytes()).unwrap();
                let ders: Vec<&[u8]> = pair.chain.certificates.iter().map(|it| &*it.0).collect();
                assert_eq!(ders, [&**leaf.der(), &**root_certificate.der()]);
            }
        }
    }

    /// What openssl prints for these words; it reads and writes files in `directory`.
    fn openssl(directory: &Path, words: &str) -> String {
        let mut command = std::process::Command::new("openssl");
        command.args(words.split(' ')).current_dir(directory);
        let output = command.output().expect("openssl is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {words}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn keys_that_openssl_makes_are_read_in_every_form() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        for (words, head) in [
            ("genrsa -traditional 2048", "-----BEGIN RSA PRIVATE KEY"),
            ("genrsa 3072", "-----BEGIN PRIVATE KEY"),
            (
                "ecparam -genkey -noout -name prime256v1",
                "-----BEGIN EC PRIVATE KEY",
            ),
            (
                "ecparam -genkey -name secp384r1",
                "-----BEGIN EC PARAMETERS",
            ),
            ("genpkey -algorithm ED25519", "-----BEGIN PRIVATE KEY"),
        ] {
            let key = openssl(at, words);
            assert!(key.starts_with(head), "{words}: {key}");
            std::fs::write(at.join("key"), &key).unwrap();
            let request = "req -x509 -new -key key -subj /CN=www -days 1";
            let certificate = openssl(at, request);
            let pair = read(Path::new("/a"), certificate.as_bytes(), key.as_bytes());
            assert!(pair.is_ok(), "{words}: {}", pair.unwrap_err());
        }
    }

    #[test]
    fn keys_that_openssl_makes_and_nobody_can_use_are_refused_in_words() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let certificate = params("www")
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .pem();
        openssl(at, "dsaparam -out dsa 1024");
        let dsa = openssl(at, "gendsa dsa");
        std::fs::write(at.join("dsa.key"), &dsa).unwrap();
        let traditional = openssl(at, "pkey -traditional -in dsa.key");
        assert!(traditional.starts_with("-----BEGIN DSA"), "{traditional}");
        let pkcs8 = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -aes256 -pass pass:x";
        for (key, why) in [
            (openssl(at, pkcs8), "passphrase"),
            (
                openssl(at, "genrsa -traditional -aes256 -passout pass:x 2048"),
                "passphrase",
            ),
            (dsa, "of a kind that is not used"),
            (traditional, "of a kind that is not used"),
            (openssl(at, "genrsa 1024"), "of a kind that is not used"),
        ] {
            let complaint = complaint(&certificate, &key);
            assert!(complaint.contains(why), "{key}: {complaint}");
        }
    }

    #[test]
    fn what_is_no_pair_is_refused_in_words() {
        let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let certificate = params("www").self_signed(&one).unwrap().pem();
        let (key, other) = (one.serialize_pem(), other.serialize_pem());
        assert!(complaint(&certificate, &other).contains("not that of the certificate `CN=www"));
        assert!(complaint(&certificate, "").contains("no private key"));
        assert!(complaint(&certificate, &format!("{key}{other}")).contains("2 private keys"));
        assert!(complaint("", &key).contains("no certificate"));
        assert!(complaint(&certificate[..certificate.len() / 2], &key).contains("no PEM"));
        let damaged = key.replacen("M", "!", 2);
        assert!(complaint(&certificate, &damaged).contains("no PEM"));
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        assert!(complaint(&certificate, &encrypted).contains("passphrase"));
        let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(complaint(&certificate, nonsense).contains("damaged, or of a kind"));
    }
}
