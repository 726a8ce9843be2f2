//! Connections of the soak, with TLS or without.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

/// A connection.
pub(super) enum Wire {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// Returns the socket below.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Secure(stream) => &stream.sock,
        }
    }

    /// Says that nothing more comes, and goes on reading.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if let Self::Secure(stream) = self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.socket().shutdown(Shutdown::Write)
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Secure(stream) => stream.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Secure(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Secure(stream) => stream.flush(),
        }
    }
}

/// Who signs the certificates that are rotated.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    roots: RootCertStore,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("it is right");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("it can be signed");
        let mut roots = RootCertStore::empty();
        roots
            .add(certificate.der().clone())
            .expect("it is an authority");
        Self {
            issuer: Issuer::new(params, key),
            roots,
        }
    }

    /// Returns a certificate that nobody has seen, and its key.
    pub(super) fn sign(&self) -> (String, String) {
        let key = KeyPair::generate().expect("a key can be made");
        let params = CertificateParams::new(vec![NAME.to_owned()]).expect("it is right");
        let certificate = params.signed_by(&key, &self.issuer);
        let certificate = certificate.expect("it can be signed");
        (certificate.pem(), key.serialize_pem())
    }

    /// Returns how a client shakes hands, who comes back with tickets.
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider speaks them")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(8);
        Arc::new(config)
    }
}

/// Shakes hands; returns whether it was resumed, too.
pub(super) fn secure(
    config: &Arc<ClientConfig>,
    mut socket: TcpStream,
    patience: Duration,
) -> io::Result<(Wire, bool)> {
    socket.set_read_timeout(Some(patience))?;
    let name = NAME.try_into().map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::clone(config), name);
    let mut connection = connection.map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    let is_resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    let stream = StreamOwned::new(connection, socket);
    Ok((Wire::Secure(Box::new(stream)), is_resumed))
}

const NAME: &str = "www.example.org";
