//! Certificates and keys of these tests, and a thread that signs as the process `keys` does.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use evenkeel::config::CertificateChain;
use evenkeel::ipc::signing::{Answer, Outcome, PACKET_BYTES_MAX, Question};
use evenkeel::model::{Der, KeyId};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PublicKeyData, SanType,
};
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;

/// Who signs certificates.
pub(crate) struct Authority {
    pub(crate) der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) der: CertificateDer<'static>,
    key: Arc<dyn SigningKey>,
    id: KeyId,
    names: Vec<String>,
    pkcs8: Vec<u8>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Returns a certificate for these names and addresses.
    pub(crate) fn sign(&self, common_name: &str, names: &[&str]) -> Identity {
        self.sign_with(common_name, names, |_| {})
    }

    /// The same, for a certificate that is special.
    pub(crate) fn sign_with(
        &self,
        common_name: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::new(certificate.der().clone(), &key, names)
    }

    pub(crate) fn root(&self) -> Der {
        Der(self.der.to_vec())
    }
}

impl Identity {
    fn new(der: CertificateDer<'static>, key: &KeyPair, names: &[&str]) -> Self {
        let pkcs8 = key.serialize_der();
        let signing = any_supported_type(&PrivatePkcs8KeyDer::from(pkcs8.clone()).into());
        let public = key.subject_public_key_info();
        Self {
            der,
            key: signing.unwrap(),
            id: KeyId(digest(&SHA256, &public).as_ref().try_into().unwrap()),
            names: names.iter().map(ToString::to_string).collect(),
            pkcs8,
        }
    }

    /// Returns what the supervisor finds of it.
    pub(crate) fn chain(&self) -> CertificateChain {
        CertificateChain {
            path: PathBuf::from("/test.pem"),
            key: self.id,
            names: self.names.clone(),
            not_before: 0,
            not_after: i64::MAX,
            certificates: vec![Der(self.der.to_vec())],
        }
    }

    pub(crate) fn private(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pkcs8.clone()).into()
    }
}

/// Threads that sign, one for each line.
#[derive(Clone, Default)]
pub(crate) struct Signers {
    pub(crate) keys: Vec<Identity>,
    /// Whether answers wait.
    pub(crate) silent: Arc<AtomicBool>,
}

impl Signers {
    /// Returns the proxy's ends of so many lines.
    pub(crate) fn lines(&self, count: u16) -> Vec<OwnedFd> {
        // One for each worker, and one for the health checks.
        (0..=count).map(|_| self.line()).collect()
    }

    fn line(&self) -> OwnedFd {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .unwrap();
        let signers = self.clone();
        std::thread::spawn(move || signers.serve(&ours));
        theirs
    }

    fn serve(&self, line: &OwnedFd) {
        let mut packet = vec![0; PACKET_BYTES_MAX];
        while let Ok(len @ 1..) = recv(line.as_raw_fd(), &mut packet, MsgFlags::empty()) {
            let question = Question::read(&packet[..len]).expect("it is a question");
            while self.silent.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let key = self.keys.iter().find(|key| key.id == question.key);
            let signer = key.and_then(|it| {
                it.key
                    .choose_scheme(&[SignatureScheme::from(question.scheme)])
            });
            let signature = signer.map(|signer| signer.sign(question.message).unwrap());
            let answer = Answer {
                id: question.id,
                outcome: signature
                    .as_deref()
                    .map_or(Outcome::Refused, Outcome::Signed),
            };
            let mut packet = Vec::new();
            answer.write(&mut packet);
            if send(line.as_raw_fd(), &packet, MsgFlags::MSG_NOSIGNAL).is_err() {
                return;
            }
        }
    }
}
