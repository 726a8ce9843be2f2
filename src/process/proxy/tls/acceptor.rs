//! The server's side of TLS, as a listener has it: which certificate a client gets, and what it
//! must show.

use std::sync::{Arc, LazyLock};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
};
use thiserror::Error;

use crate::config::{DefaultCertificate, ListenerTls, Resumption, TlsVersion};
use crate::logic::tls::server_name::ServerNames;
use crate::logic::tls::x509::Certificate;
use crate::model::{Chain, Der};
use crate::process::proxy::io::tls::{note_asked_for, note_holds_until};
use crate::process::proxy::tls::keys::certified;
use crate::process::proxy::tls::tickets::{SharedSecrets, Ticketer};

/// Accepts TLS for a listener.
pub(in crate::process::proxy) struct Acceptor {
    tls: ListenerTls,
    offers: Offers,
    pub(in crate::process::proxy) config: Arc<ServerConfig>,
}

/// Why a listener cannot speak TLS.
#[derive(Debug, Error)]
#[error("listener {listener}: {why}")]
pub(in crate::process::proxy) struct AcceptorError {
    listener: String,
    why: String,
}

/// The cryptography that both sides use.
pub(super) static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

impl Acceptor {
    /// Makes that of a listener.
    ///
    /// # Errors
    /// When one of its certificates or authorities cannot be used.
    pub(in crate::process::proxy) fn new(
        listener: &str,
        tls: &ListenerTls,
        offers: Offers,
        secrets: &Arc<SharedSecrets>,
    ) -> Result<Self, AcceptorError> {
        let failed = |why: String| AcceptorError {
            listener: listener.to_owned(),
            why,
        };
        let certificates = Certificates::new(tls).map_err(failed)?;
        let verifier = verifier(tls).map_err(failed)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_protocol_versions(versions(tls.minimum_version))
            .map_err(|error| failed(Chain(&error).to_string()))?;
        let mut config = builder
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(certificates));
        // A client of HTTP/1.0 may name it, and nothing else (curl's --http1.0).
        let offered: &[&[u8]] = match offers {
            Offers::Nothing => &[],
            Offers::Http1 => &[b"http/1.1", b"http/1.0"],
            Offers::Http2 => &[HTTP2, b"http/1.1", b"http/1.0"],
        };
        config.alpn_protocols = offered.iter().map(|it| it.to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match tls.resumption {
            Resumption::Tickets => {
                config.ticketer = Arc::new(Ticketer::new(secrets, listener, tls));
            }
            Resumption::Never => config.send_tls13_tickets = 0,
        }
        Ok(Self {
            tls: tls.clone(),
            offers,
            config: Arc::new(config),
        })
    }

    /// Returns what is asked of clients: whether they must show something, and who signs it.
    fn clients(&self) -> Option<(bool, &[Der])> {
        let rule = self.tls.client_certificates.as_ref()?;
        Some((rule.required, &self.tls.found.client_roots))
    }

    /// Returns whether this is what it would be.
    pub(in crate::process::proxy) fn is_of(&self, tls: &ListenerTls, offers: Offers) -> bool {
        self.tls == *tls && self.offers == offers
    }
}

/// What clients are offered in the handshake (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Offers {
    /// What is spoken is not known.
    Nothing,
    Http1,
    /// HTTP/2 before HTTP/1.
    Http2,
}

/// The name of HTTP/2 there (RFC 9113 §3.2).
pub(in crate::process::proxy) const HTTP2: &[u8] = b"h2";

/// Returns whether a connection that began under one may go on under the other: by TLS or without,
/// and with the same certificates of clients.
#[inline]
pub(in crate::process::proxy) fn are_alike(
    one: Option<&Arc<Acceptor>>,
    other: Option<&Arc<Acceptor>>,
) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one.clients() == other.clients(),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

pub(super) fn versions(minimum: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match minimum {
        TlsVersion::Tls12 => BOTH,
        TlsVersion::Tls13 => NEWEST,
    }
}

static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];

/// Returns the authorities that are believed.
pub(super) fn roots(ders: &[Der]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for der in ders {
        let added = roots.add(CertificateDer::from(&*der.0).into_owned());
        added.map_err(|error| format!("an authority cannot be used: {}", Chain(&error)))?;
    }
    Ok(roots)
}

fn verifier(tls: &ListenerTls) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let Some(clients) = &tls.client_certificates else {
        return Ok(Arc::new(NoClientAuth {}));
    };
    let roots = Arc::new(roots(&tls.found.client_roots)?);
    let subjects = roots.subjects().into_iter();
    let hint_bytes: usize = subjects.map(|subject| subject.as_ref().len() + 2).sum();
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&PROVIDER));
    let builder = match hint_bytes <= HINT_BYTES_MAX {
        true => builder,
        false => builder.clear_root_hint_subjects(),
    };
    let builder = match clients.required {
        true => builder,
        false => builder.allow_unauthenticated(),
    };
    let verifier = builder.build().map_err(|error| Chain(&error).to_string())?;
    Ok(Arc::new(Clients(verifier)))
}

/// Verifies the certificates of clients, and notes until when they hold.
#[derive(Debug)]
struct Clients(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.0.verify_client_cert(certificate, others, now)?;
        let parsed = Certificate::parse(certificate).map_err(|_| CertificateError::BadEncoding)?;
        note_holds_until(parsed.not_after);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Whom clients are told to choose from (RFC 8446 §4.2.4): a longer list some do not take, and none
/// has room for more than 64 KiB.
const HINT_BYTES_MAX: usize = 16 * 1024;

/// The certificates of a listener.
#[derive(Debug)]
struct Certificates {
    keys: Vec<Arc<CertifiedKey>>,
    names: ServerNames,
    /// For clients that ask for nobody, or for somebody else.
    default: Option<usize>,
}

impl Certificates {
    fn new(tls: &ListenerTls) -> Result<Self, String> {
        let mut keys = Vec::new();
        let mut names = Vec::new();
        for chain in &tls.found.chains {
            let path = chain.path.display();
            names.push(chain.names.clone());
            let key = certified(chain);
            keys.push(key.ok_or_else(|| format!("{path}: keys of this kind cannot sign here"))?);
        }
        let names = ServerNames::new(&names);
        let default = match &tls.default {
            DefaultCertificate::First => (!keys.is_empty()).then_some(0),
            DefaultCertificate::Name(name) => names.find(name),
            DefaultCertificate::Refuse => None,
        };
        Ok(Self {
            keys,
            names,
            default,
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = client_hello.server_name();
        note_asked_for(name);
        let found = name.and_then(|name| self.names.find(name));
        let key = self.keys.get(found.or(self.default)?)?;
        Some(Arc::clone(key))
    }
}
