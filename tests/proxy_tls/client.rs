//! A client that speaks TLS, by rustls' buffered side, which the proxy does not use.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use crate::common::PATIENCE;
use crate::pki::{Authority, Identity};

/// How a client speaks TLS.
pub(crate) struct Visitor {
    config: Arc<ClientConfig>,
}

/// A handshake of which only the client's end is missing.
pub(crate) struct Half(ClientConnection, TcpStream);

/// A connection that has shaken hands.
pub(crate) struct Secure(pub(crate) StreamOwned<ClientConnection, TcpStream>);

impl Visitor {
    pub(crate) fn new(trusting: &Authority) -> Self {
        Self::with(trusting, rustls::ALL_VERSIONS, None)
    }

    pub(crate) fn with(
        trusting: &Authority,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&Identity>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(trusting.der.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(vec![identity.der.clone()], identity.private())
                .unwrap(),
        };
        config.resumption = Resumption::in_memory_sessions(16);
        Self {
            config: Arc::new(config),
        }
    }

    /// Returns one that offers a protocol (RFC 7301).
    pub(crate) fn offering(&self, protocol: &[u8]) -> Self {
        let mut config = (*self.config).clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        Self {
            config: Arc::new(config),
        }
    }

    /// Connects and shakes hands.
    pub(crate) fn connect(&self, to: SocketAddr, name: &str) -> std::io::Result<Secure> {
        self.begin(to, name)?.finish()
    }

    /// Connects, and shakes hands as far as the proxy has something to say.
    pub(crate) fn begin(&self, to: SocketAddr, name: &str) -> std::io::Result<Half> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        let mut socket = TcpStream::connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        connection.write_tls(&mut socket)?;
        while !connection.wants_write() {
            if connection.read_tls(&mut socket)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let processed = connection.process_new_packets();
            processed.map_err(std::io::Error::other)?;
        }
        Ok(Half(connection, socket))
    }

    /// Connects, asks and returns the whole answer.
    pub(crate) fn ask(&self, to: SocketAddr, name: &str, request: &str) -> std::io::Result<String> {
        let mut secure = self.connect(to, name)?;
        secure.ask(request)
    }
}

impl Half {
    pub(crate) fn finish(self) -> std::io::Result<Secure> {
        let Self(mut connection, mut socket) = self;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(Secure(StreamOwned::new(connection, socket)))
    }
}

impl Secure {
    /// Asks for something after which the connection is closed.
    pub(crate) fn ask(&mut self, request: &str) -> std::io::Result<String> {
        self.0.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Asks for something whose answer has a body of so many bytes.
    pub(crate) fn ask_and_keep(&mut self, request: &[u8], body: usize) -> (String, Vec<u8>) {
        self.0.write_all(request).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let mut answer = vec![0; body];
        self.0.read_exact(&mut answer).unwrap();
        (String::from_utf8(head).unwrap(), answer)
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.0.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

pub(crate) const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
pub(crate) const ASK_AND_KEEP: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
