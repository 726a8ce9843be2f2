//! Certificates of these tests, and a client that shakes hands.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Who signs all certificates.
pub(crate) struct Authority {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub(crate) struct Identity {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) key_der: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let der = params.self_signed(&key).unwrap().der().clone();
        Self {
            der,
            issuer: Issuer::new(params, key),
        }
    }

    /// Returns another certificate for the same name.
    pub(crate) fn sign(&self) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            der: certificate.der().clone(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            key_der: key.serialize_der(),
        }
    }

    /// Returns a client that believes it; it begins anew each time.
    pub(crate) fn visitor(&self, listen: SocketAddr) -> Visitor {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Visitor {
            config: Arc::new(config),
            listen,
        }
    }
}

impl Identity {
    /// Writes it into a directory, which is made.
    pub(crate) fn write(&self, directory: &Path) {
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join("chain.pem"), &self.certificate).unwrap();
        fs::write(directory.join("key.pem"), &self.key).unwrap();
    }
}

/// A client.
#[derive(Clone)]
pub(crate) struct Visitor {
    config: Arc<ClientConfig>,
    listen: SocketAddr,
}

impl Visitor {
    /// Shakes hands and asks for something; returns who has answered.
    pub(crate) fn visit(&self) -> io::Result<CertificateDer<'static>> {
        let name = ServerName::try_from(NAME).unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.config), name);
        let socket = TcpStream::connect(self.listen)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(connection.map_err(io::Error::other)?, socket);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 200") {
            return Err(io::Error::other(answer));
        }
        let shown = stream.conn.peer_certificates().unwrap_or_default();
        let leaf = shown.first().cloned();
        leaf.ok_or_else(|| io::Error::other("no certificate"))
    }
}

const NAME: &str = "www.example.org";
const PATIENCE: Duration = Duration::from_secs(10);
