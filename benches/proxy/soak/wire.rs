//! Connections of the soak, with TLS or without, for threads that wait and for a runtime.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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

impl Wire {
    /// Returns whether HTTP/2 was agreed upon, or cannot be.
    pub(super) fn is_for_http2(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Secure(stream) => stream.conn.alpn_protocol() == Some(b"h2"),
        }
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

/// A connection on a runtime. It is read also while what it has to send has no room: else both
/// sides could wait for each other.
pub(super) struct Registered {
    socket: tokio::net::TcpStream,
    session: Option<ClientConnection>,
}

impl Registered {
    /// Registers it with the runtime that runs here.
    pub(super) fn new(wire: Wire) -> io::Result<Self> {
        let (socket, session) = match wire {
            Wire::Plain(socket) => (socket, None),
            Wire::Secure(stream) => (stream.sock, Some(stream.conn)),
        };
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let socket = tokio::net::TcpStream::from_std(socket)?;
        Ok(Self { socket, session })
    }

    fn read_now(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(session) = &mut self.session else {
            return self.socket.try_read(into);
        };
        loop {
            match session.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            session.read_tls(&mut Now(&self.socket))?;
            let processed = session.process_new_packets();
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send_now()?;
        match &mut self.session {
            None => self.socket.try_write(bytes),
            Some(session) => session.writer().write(bytes),
        }
    }

    /// Sends what TLS has to.
    fn send_now(&mut self) -> io::Result<()> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        while session.wants_write() {
            session.write_tls(&mut Now(&self.socket))?;
        }
        Ok(())
    }

    fn poll_writing<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut Self) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            match write(self) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
            ready!(self.socket.poll_write_ready(cx))?;
        }
    }
}

/// A socket as it is now.
struct Now<'a>(&'a tokio::net::TcpStream);

impl Read for Now<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Registered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.read_now(into.initialize_unfilled()) {
                Ok(read) => {
                    into.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.socket.poll_read_ready(cx))?;
        }
    }
}

impl AsyncWrite for Registered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_writing(cx, |wire| wire.write_now(bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_writing(cx, Self::send_now)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(session) = &mut self.session {
            session.send_close_notify();
        }
        ready!(self.poll_writing(cx, Self::send_now))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
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
