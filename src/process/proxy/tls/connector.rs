//! The client's side of TLS, as a pool has it: whom backends must be, and what they are shown.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use thiserror::Error;

use crate::config::{BackendConfig, Origin, PoolConfig, PoolProtocol, PoolTls};
use crate::logic::tls::x509::Certificate;
use crate::model::{Chain, Der};
use crate::process::proxy::tls::acceptor::{HTTP2, PROVIDER, roots, versions};
use crate::process::proxy::tls::keys::certified;

/// Speaks TLS to the backends of a pool.
pub(in crate::process::proxy) struct Connector {
    tls: PoolTls,
    protocol: PoolProtocol,
    /// Tickets of one backend are of no use to another.
    backends: HashMap<SocketAddr, Secure>,
}

/// How TLS is spoken to a backend.
#[derive(Clone)]
pub(in crate::process::proxy) struct Secure {
    pub(in crate::process::proxy) config: Arc<ClientConfig>,
    /// Whom it must be.
    pub(in crate::process::proxy) name: ServerName<'static>,
}

impl Secure {
    /// Returns the same for a conversation in HTTP/2.
    pub(in crate::process::proxy) fn offering_http2(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Self {
            config: Arc::new(config),
            name: self.name.clone(),
        }
    }

    /// Returns whether somebody must sign for us.
    pub(in crate::process::proxy) fn needs_signature(&self) -> bool {
        self.config.client_auth_cert_resolver.has_certs()
    }
}

/// Why TLS cannot be spoken to a pool.
#[derive(Debug, Error)]
#[error("pool {pool}: {why}")]
pub(in crate::process::proxy) struct ConnectorError {
    pool: String,
    why: String,
}

impl Connector {
    /// Makes that of a pool; sessions with backends that were there `before` are resumed, as long
    /// as nothing but backends has changed.
    ///
    /// # Errors
    /// When an authority, a certificate or a name cannot be used.
    pub(in crate::process::proxy) fn new(
        pool: &PoolConfig,
        tls: &PoolTls,
        before: Option<&Self>,
    ) -> Result<Self, ConnectorError> {
        let failed = |why: String| ConnectorError {
            pool: pool.name.clone(),
            why,
        };
        let before = before.filter(|it| it.tls == *tls && it.protocol == pool.protocol);
        let mut config = client_config(tls).map_err(failed)?;
        config.alpn_protocols = match pool.protocol {
            PoolProtocol::Http1 => vec![b"http/1.1".to_vec()],
            PoolProtocol::Http2 => vec![HTTP2.to_vec()],
            PoolProtocol::Tcp => Vec::new(),
        };
        let backends = pool.backends.iter().map(|backend| {
            let old = before.and_then(|before| before.backends.get(&backend.address));
            let name = server_name(tls, backend).map_err(failed)?;
            let secure = match old.filter(|old| old.name == name) {
                Some(old) => old.clone(),
                None => {
                    let mut config = config.clone();
                    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
                    Secure {
                        config: Arc::new(config),
                        name,
                    }
                }
            };
            Ok((backend.address, secure))
        });
        Ok(Self {
            backends: backends.collect::<Result<_, _>>()?,
            tls: tls.clone(),
            protocol: pool.protocol,
        })
    }

    /// Returns how TLS is spoken to the backend at an address, which is one of the pool's.
    pub(in crate::process::proxy) fn to(&self, address: SocketAddr) -> Option<&Secure> {
        self.backends.get(&address)
    }

    /// Returns whether both want the same of backends.
    pub(in crate::process::proxy) fn is_like(&self, other: &Self) -> bool {
        self.tls == other.tls && self.protocol == other.protocol
    }
}

fn server_name(tls: &PoolTls, backend: &BackendConfig) -> Result<ServerName<'static>, String> {
    match &tls.server_name {
        Some(name) => {
            let known = ServerName::try_from(name.clone());
            known.map_err(|_| format!("`{name}` is no name of a server"))
        }
        None => match &backend.origin {
            Origin::Name(host) => {
                let host = host.strip_suffix('.').unwrap_or(host).to_owned();
                let known = ServerName::try_from(host.clone());
                known.map_err(|_| format!("`{host}` is no name of a server"))
            }
            Origin::Written | Origin::File => Ok(ServerName::from(backend.address.ip())),
        },
    }
}

fn client_config(tls: &PoolTls) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(versions(tls.minimum_version))
        .map_err(|error| Chain(&error).to_string())?;
    let believed = match tls.verify {
        true => Believed::Known(Known::new(&tls.found.roots)?),
        false => Believed::Anybody,
    };
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(believed));
    Ok(match &tls.found.chain {
        None => builder.with_no_client_auth(),
        Some(chain) => {
            let key = certified(chain).ok_or("keys of this kind cannot sign here")?;
            builder.with_client_cert_resolver(Arc::new(Own(key)))
        }
    })
}

/// The certificate that backends are shown that ask for one.
#[derive(Debug)]
struct Own(Arc<CertifiedKey>);

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Who is believed to be a backend.
#[derive(Debug)]
enum Believed {
    Known(Known),
    /// Whoever answers, as an operator has said.
    Anybody,
}

/// Those whom authorities have signed, and those who stand among the authorities themselves: what
/// `openssl req -x509` makes is its own, and webpki takes no authority for a server.
#[derive(Debug)]
struct Known {
    authorities: Arc<WebPkiServerVerifier>,
    ders: Vec<Der>,
}

impl Known {
    fn new(ders: &[Der]) -> Result<Self, String> {
        let roots = Arc::new(roots(ders)?);
        let builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&PROVIDER));
        Ok(Self {
            authorities: builder.build().map_err(|error| Chain(&error).to_string())?,
            ders: ders.to_vec(),
        })
    }

    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self
            .authorities
            .verify_server_cert(certificate, others, name, stapled, now);
        if verified.is_ok() || self.ders.iter().all(|der| *der.0 != **certificate) {
            return verified;
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        let parsed = Certificate::parse(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now_s < parsed.not_before {
            return Err(CertificateError::NotValidYet.into());
        }
        if now_s > parsed.not_after {
            return Err(CertificateError::Expired.into());
        }
        Ok(ServerCertVerified::assertion())
    }
}

impl ServerCertVerifier for Believed {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self {
            Self::Known(known) => known.verify(certificate, others, name, stapled, now),
            Self::Anybody => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &PROVIDER.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &PROVIDER.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Kept of one backend: rustls has eight tickets in each.
const SESSIONS_MAX: usize = 4;
