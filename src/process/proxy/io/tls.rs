//! TLS over one socket, by rustls, driven without waiting.
//!
//! What comes is read into a buffer of the worker's and decrypted there; a connection holds only
//! what is no whole record yet, and what nobody has taken. What is written is encrypted into
//! another buffer of the worker's, and what the socket does not take of it is held. An idle
//! connection holds neither.

mod records;

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::{
    CertificateError, ClientConfig, HandshakeKind, OtherError, ProtocolVersion, ServerConfig,
};

use self::records::{Held, Out, Sinks, Step, say_end, seal, step};
use crate::process::proxy::io::socket::{Socket, Unread};

/// One side of a conversation in TLS.
pub(in crate::process::proxy) struct Session {
    connection: Connection,
    scratch: Rc<Scratch>,
    /// What has come and is no whole record yet.
    incoming: Vec<u8>,
    /// What has come for who reads, and was not taken: from there on.
    plain: Held,
    /// What the socket has not taken yet.
    outgoing: Held,
    end: Option<End>,
    has_begun: bool,
    /// What a client has said first, as long as nothing is answered: where nobody signs it is heard
    /// again.
    hello: Option<Vec<u8>>,
    /// Whom the client has asked for.
    server_name: Option<Box<str>>,
    /// Until when the client's certificate holds.
    holds_until: i64,
}

thread_local! {
    /// Whom the client has asked for whose certificate was chosen last: rustls says it there alone.
    static ASKED_FOR: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

thread_local! {
    /// Until when the certificate of the client holds whose session is dealt with now, in seconds
    /// since 1970-01-01 UTC: tickets are made and opened without a word on whose they are.
    static HOLDS_UNTIL: Cell<i64> = const { Cell::new(i64::MAX) };
}

/// Notes until when the certificate of a client holds.
pub(in crate::process::proxy) fn note_holds_until(seconds: i64) {
    HOLDS_UNTIL.set(seconds);
}

/// Returns until when the certificate of the client holds whose session is dealt with now.
pub(in crate::process::proxy) fn holds_until() -> i64 {
    HOLDS_UNTIL.get()
}

/// Notes whom the client asks for whose certificate is being chosen.
pub(in crate::process::proxy) fn note_asked_for(name: Option<&str>) {
    ASKED_FOR.set(name.map(Into::into));
}

/// Which side we are.
enum Connection {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

impl Connection {
    /// Does the next that is to be done with what has come; returns how much of it is done with.
    fn step(
        &mut self,
        incoming: &mut [u8],
        sinks: &mut Sinks<'_>,
    ) -> (usize, Result<Step, rustls::Error>) {
        match self {
            Self::Server(server) => step(server.process_tls_records(incoming), sinks),
            Self::Client(client) => step(client.process_tls_records(incoming), sinks),
        }
    }
}

/// Why nothing more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer has said so.
    Said,
    /// It has not: what it has sent may be less than it meant to send.
    Unsaid,
    /// What it has sent is no TLS.
    Failed,
}

/// The buffers of a worker, used within one step; none before TLS is spoken.
#[derive(Default)]
pub(in crate::process::proxy) struct Scratch {
    incoming: RefCell<Vec<u8>>,
    outgoing: RefCell<Vec<u8>>,
    gathered: RefCell<Vec<u8>>,
}

impl Scratch {
    /// Returns a buffer of so many bytes; what they are means nothing.
    fn buffer(of: &RefCell<Vec<u8>>, bytes: usize) -> RefMut<'_, Vec<u8>> {
        let mut buffer = of.borrow_mut();
        if buffer.is_empty() {
            buffer.resize(bytes, 0);
        }
        buffer
    }

    fn incoming(&self) -> RefMut<'_, Vec<u8>> {
        Self::buffer(&self.incoming, INCOMING_BYTES)
    }

    fn outgoing(&self) -> RefMut<'_, Vec<u8>> {
        Self::buffer(&self.outgoing, OUTGOING_BYTES)
    }
}

/// Why there was no handshake.
#[derive(Debug, thiserror::Error)]
pub(in crate::process::proxy) enum HandshakeError {
    /// The connection has ended or failed.
    #[error("the connection ended in the handshake")]
    Gone,
    /// One of both does not want to.
    #[error(transparent)]
    Tls(Disagreement),
    /// It is a request in plain HTTP.
    #[error("a request in plain HTTP came where TLS is spoken")]
    Plain,
    /// Nobody has signed in time, and nothing is answered: it may begin again.
    #[error("the process that signs does not answer")]
    Unsigned,
}

impl HandshakeError {
    pub(in crate::process::proxy) fn of(error: rustls::Error) -> Self {
        match is_unsigned(&error) {
            true => Self::Unsigned,
            false => Self::Tls(Disagreement(error)),
        }
    }
}

/// What both sides of a handshake do not agree about.
#[derive(Debug)]
pub(in crate::process::proxy) struct Disagreement(rustls::Error);

impl std::error::Error for Disagreement {}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) = &self.0
        else {
            return self.0.fmt(f);
        };
        // Where rustls names its own parts.
        match other.to_string().as_str() {
            "CaUsedAsEndEntity" => f.write_str(
                "invalid peer certificate: it is an authority's, and not itself among those that \
                 are believed",
            ),
            other => write!(f, "invalid peer certificate: {other}"),
        }
    }
}

/// What who signs says where it has had no answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the process that signs does not answer")]
pub(in crate::process::proxy) struct NoSignature;

fn is_unsigned(error: &rustls::Error) -> bool {
    if let rustls::Error::Other(OtherError(other)) = error {
        return other.is::<NoSignature>();
    }
    false
}

/// What was agreed upon.
#[derive(Clone, Copy, Debug)]
pub(in crate::process::proxy) struct Agreed<'a> {
    pub(in crate::process::proxy) version: &'static str,
    pub(in crate::process::proxy) cipher: &'static str,
    /// Whom the client has asked for.
    pub(in crate::process::proxy) server_name: Option<&'a str>,
    pub(in crate::process::proxy) resumed: bool,
    /// The certificate of the client.
    pub(in crate::process::proxy) certificate: Option<&'a CertificateDer<'static>>,
}

impl Session {
    /// Returns the server's side of one that begins.
    pub(in crate::process::proxy) fn server(
        config: &Arc<ServerConfig>,
        scratch: &Rc<Scratch>,
    ) -> Result<Self, rustls::Error> {
        let connection = UnbufferedServerConnection::new(Arc::clone(config))?;
        let mut session = Self::new(Connection::Server(connection), scratch);
        session.hello = Some(Vec::new());
        Ok(session)
    }

    /// Returns the client's side of one that begins.
    pub(in crate::process::proxy) fn client(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
        scratch: &Rc<Scratch>,
    ) -> Result<Self, rustls::Error> {
        let connection = UnbufferedClientConnection::new(Arc::clone(config), name)?;
        Ok(Self::new(Connection::Client(connection), scratch))
    }

    fn new(connection: Connection, scratch: &Rc<Scratch>) -> Self {
        Self {
            connection,
            scratch: Rc::clone(scratch),
            incoming: Vec::new(),
            plain: Held::default(),
            outgoing: Held::default(),
            end: None,
            has_begun: false,
            hello: None,
            server_name: None,
            holds_until: i64::MAX,
        }
    }

    /// Begins the server's side again with what the client has said, of which nothing is answered.
    ///
    /// # Errors
    /// When it cannot begin.
    pub(in crate::process::proxy) fn begin_again(
        &mut self,
        config: &Arc<ServerConfig>,
    ) -> Result<(), rustls::Error> {
        let hello = self.hello.take().unwrap_or_default();
        *self = Self::server(config, &self.scratch)?;
        self.has_begun = true;
        self.incoming.clone_from(&hello);
        self.hello = Some(hello);
        Ok(())
    }

    /// Returns what was agreed upon; `None` before the end of the handshake.
    pub(in crate::process::proxy) fn agreed(&self) -> Option<Agreed<'_>> {
        let common: &rustls::CommonState = match &self.connection {
            Connection::Server(server) => server,
            Connection::Client(client) => client,
        };
        Some(Agreed {
            version: if common.protocol_version()? == ProtocolVersion::TLSv1_3 {
                "TLSv1.3"
            } else {
                "TLSv1.2"
            },
            cipher: common.negotiated_cipher_suite()?.suite().as_str()?,
            server_name: self.server_name.as_deref(),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            certificate: common.peer_certificates().and_then(<[_]>::first),
        })
    }

    /// Returns what both agreed to speak (RFC 7301), where they have.
    pub(in crate::process::proxy) fn protocol(&self) -> Option<&[u8]> {
        match &self.connection {
            Connection::Server(server) => server.alpn_protocol(),
            Connection::Client(client) => client.alpn_protocol(),
        }
    }

    /// Returns whether anything has come of the handshake.
    pub(in crate::process::proxy) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Returns whether somebody may have to sign yet: what is answered is signed, but for a wish
    /// that the client begin differently (RFC 8446 §4.1.4).
    pub(in crate::process::proxy) fn is_to_be_signed(&self) -> bool {
        let Connection::Server(server) = &self.connection else {
            return true;
        };
        self.hello.is_some()
            || server.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest)
    }

    fn is_handshaking(&self) -> bool {
        match &self.connection {
            Connection::Server(server) => server.is_handshaking(),
            Connection::Client(client) => client.is_handshaking(),
        }
    }

    /// Goes on with the handshake. What is last sent of it may wait for what is written next.
    pub(super) fn poll_handshake(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), HandshakeError>> {
        // A client speaks first, and a server may have heard everything already.
        if matches!(self.connection, Connection::Client(_)) || !self.incoming.is_empty() {
            let stepped = self.step_held();
            stepped.map_err(|error| HandshakeError::of(self.fail(error, socket)))?;
        }
        if self.end.is_some() {
            return Poll::Ready(Err(HandshakeError::Gone));
        }
        while self.is_handshaking() {
            while self.has_unsent() {
                ready!(self.poll_send(socket, cx)).map_err(|_| HandshakeError::Gone)?;
            }
            match ready!(self.poll_come(socket, cx, &mut [])) {
                Ok(_) => {}
                Err(Came::Io(_)) => return Poll::Ready(Err(HandshakeError::Gone)),
                Err(Came::Plain) => return Poll::Ready(Err(HandshakeError::Plain)),
                Err(Came::Tls(error)) => return Poll::Ready(Err(HandshakeError::of(error))),
            }
            if self.is_handshaking() && self.end.is_some() {
                return Poll::Ready(Err(HandshakeError::Gone));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once; 0 is the end.
    pub(super) fn poll_read(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.plain.is_empty() {
            return Poll::Ready(Ok(self.plain.take(into)));
        }
        for _ in 0..READS_MAX {
            match self.end {
                None => {}
                Some(End::Said) => return Poll::Ready(Ok(0)),
                Some(End::Unsaid) => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Some(End::Failed) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            }
            match self.poll_come(socket, cx, into) {
                Poll::Ready(Ok(0)) => {}
                Poll::Ready(Ok(len)) => return Poll::Ready(Ok(len)),
                Poll::Ready(Err(came)) => return Poll::Ready(Err(came.into())),
                Poll::Pending => {
                    // The last of a handshake, and answers to what is asked in TLS itself.
                    if self.has_unsent()
                        && let Poll::Ready(Err(error)) = self.poll_send(socket, cx)
                    {
                        return Poll::Ready(Err(error));
                    }
                    return Poll::Pending;
                }
            }
        }
        // So much that says nothing: others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads from the socket once, and finds out what has come; ready with the bytes of it that
    /// are in `into`.
    fn poll_come(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<Result<usize, Came>> {
        let scratch = Rc::clone(&self.scratch);
        let mut buffer = scratch.incoming();
        let held = self.incoming.len();
        let room = into.len().clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        let Some(free) = buffer.get_mut(held..held + room) else {
            return Poll::Ready(Err(Came::Io(io::ErrorKind::InvalidData.into())));
        };
        let len = ready!(socket.poll_read(cx, free)).map_err(Came::Io)?;
        if len == 0 {
            self.end = Some(End::Unsaid);
            return Poll::Ready(Err(Came::Io(io::ErrorKind::UnexpectedEof.into())));
        }
        self.has_begun = true;
        if let Some(hello) = &mut self.hello {
            if hello.len() + len > HELLO_BYTES_MAX {
                let error = rustls::Error::General("a ClientHello that is too long".to_owned());
                return Poll::Ready(Err(Came::Tls(self.fail(error, socket))));
            }
            hello.extend_from_slice(&buffer[held..held + len]);
        }
        if held == 0 && self.is_handshaking() && is_plain_request(&buffer[..len]) {
            return Poll::Ready(Err(Came::Plain));
        }
        Poll::Ready(self.take(&mut buffer, len, into, socket))
    }

    /// Finds out what has come: `len` bytes, in the buffer behind those that are held.
    fn take(
        &mut self,
        buffer: &mut [u8],
        len: usize,
        into: &mut [u8],
        socket: &Socket,
    ) -> Result<usize, Came> {
        let held = self.incoming.len();
        buffer[..held].copy_from_slice(&self.incoming);
        let end = held + len;
        let (used, filled) = self.digest(&mut buffer[..end], into);
        self.incoming.clear();
        self.incoming.extend_from_slice(&buffer[used..end]);
        if self.incoming.is_empty() {
            self.incoming = Vec::new();
        }
        filled.map_err(|error| Came::Tls(self.fail(error, socket)))
    }

    /// Ends it and says so, unless it may begin again.
    fn fail(&mut self, error: rustls::Error, socket: &Socket) -> rustls::Error {
        if self.end != Some(End::Failed) && (self.hello.is_none() || !is_unsigned(&error)) {
            self.alert();
            self.end = Some(End::Failed);
            self.incoming = Vec::new();
            self.send_what_fits(socket);
        }
        error
    }

    /// Goes through what has come; returns how much of it is done with, and how much of `into` is
    /// filled.
    fn digest(
        &mut self,
        incoming: &mut [u8],
        into: &mut [u8],
    ) -> (usize, Result<usize, rustls::Error>) {
        let was_handshaking = self.is_handshaking();
        if was_handshaking {
            HOLDS_UNTIL.set(self.holds_until);
        }
        let mut sinks = Sinks {
            into,
            filled: 0,
            plain: &mut self.plain,
            outgoing: &mut self.outgoing,
        };
        let mut used = 0;
        let result = loop {
            let (discard, step) = self.connection.step(&mut incoming[used..], &mut sinks);
            used += discard;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Blocked) => break Ok(sinks.filled),
                Ok(Step::Ended) => {
                    self.end = Some(End::Said);
                    break Ok(sinks.filled);
                }
                Err(error) => break Err(error),
            }
        };
        // Whatever came of it: the next of this thread is somebody else.
        if was_handshaking {
            self.holds_until = HOLDS_UNTIL.get();
            if let Some(name) = ASKED_FOR.take() {
                self.server_name = Some(name);
            }
        }
        (used, result)
    }

    /// Has the peer told why the conversation has failed: an alert is the last that rustls has to
    /// say, behind what the handshake came to. Asked more it panics.
    fn alert(&mut self) {
        loop {
            let before = self.outgoing.bytes.len();
            let mut sinks = Sinks {
                into: &mut [],
                filled: 0,
                plain: &mut self.plain,
                outgoing: &mut self.outgoing,
            };
            let _ = self.connection.step(&mut self.incoming, &mut sinks);
            let record = self.outgoing.bytes.get(before..).unwrap_or_default();
            if record.is_empty() || records::is_alert(record) {
                return;
            }
        }
    }

    /// Does what is to be done without anything having come.
    fn step_held(&mut self) -> Result<(), rustls::Error> {
        if self.end == Some(End::Failed) {
            return Err(rustls::Error::General(
                "the conversation has failed".to_owned(),
            ));
        }
        let mut incoming = std::mem::take(&mut self.incoming);
        let (used, result) = self.digest(&mut incoming, &mut []);
        incoming.drain(..used);
        self.incoming = incoming;
        result.map(drop)
    }

    /// Writes once, at least a byte.
    pub(super) fn poll_write(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        while self.outgoing.len() > COALESCED_BYTES_MAX {
            ready!(self.poll_send(socket, cx))?;
        }
        let scratch = Rc::clone(&self.scratch);
        let mut buffer = scratch.outgoing();
        self.step_held().map_err(invalid)?;
        let mut out = Out::new(&mut buffer);
        out.append(self.outgoing.bytes())?;
        self.outgoing.clear();
        let taken = self.encrypt(slices, &mut out)?;
        let out = out.bytes();
        let sent = socket.poll_write(cx, &[IoSlice::new(out)]);
        let sent = match sent {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        self.outgoing.append(&out[sent..]);
        Poll::Ready(Ok(taken))
    }

    /// Encrypts as much as is sent at once; returns how much that is.
    fn encrypt(&mut self, slices: &[IoSlice<'_>], out: &mut Out<'_>) -> io::Result<usize> {
        let scratch = Rc::clone(&self.scratch);
        let mut gathered = scratch.gathered.borrow_mut();
        gathered.clear();
        let mut taken = 0;
        let mut slices = slices.iter().map(|slice| &**slice).peekable();
        while let Some(slice) = slices.next()
            && taken < WRITE_BYTES_MAX
        {
            let mut rest = &slice[..slice.len().min(WRITE_BYTES_MAX - taken)];
            taken += rest.len();
            let is_last = slices.peek().is_none() || taken == WRITE_BYTES_MAX;
            // What is small goes into one record with what is beside it.
            if !gathered.is_empty() || (rest.len() < RECORD_BYTES && !is_last) {
                let first;
                (first, rest) = rest.split_at(rest.len().min(RECORD_BYTES - gathered.len()));
                gathered.extend_from_slice(first);
            }
            if gathered.len() == RECORD_BYTES || is_last {
                self.encrypt_one(&gathered, out)?;
                gathered.clear();
            }
            if is_last || rest.len() >= RECORD_BYTES {
                self.encrypt_one(rest, out)?;
            } else {
                gathered.extend_from_slice(rest);
            }
        }
        Ok(taken)
    }

    /// Encrypts bytes that lie together.
    fn encrypt_one(&mut self, plain: &[u8], out: &mut Out<'_>) -> io::Result<()> {
        if plain.is_empty() {
            return Ok(());
        }
        if self.end == Some(End::Failed) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        loop {
            let Self {
                connection,
                incoming,
                ..
            } = self;
            let sealed = match connection {
                Connection::Server(server) => {
                    seal(server.process_tls_records(incoming), plain, out)
                }
                Connection::Client(client) => {
                    seal(client.process_tls_records(incoming), plain, out)
                }
            };
            if let Some(sealed) = sealed.map_err(invalid)? {
                return sealed;
            }
            // Something else comes first, and what is said of it is sent first.
            self.step_held().map_err(invalid)?;
            out.append(self.outgoing.bytes())?;
            self.outgoing.clear();
        }
    }

    pub(super) const fn has_unsent(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Sends some of what waits for the socket; ready with its bytes.
    pub(super) fn poll_send(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.outgoing.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.hello = None;
        let sent = ready!(socket.poll_write(cx, &[IoSlice::new(self.outgoing.bytes())]))?;
        self.outgoing.consume(sent);
        Poll::Ready(Ok(sent))
    }

    /// Sends what the socket takes at once.
    fn send_what_fits(&mut self, socket: &Socket) {
        if !self.outgoing.is_empty()
            && let Ok(sent) = socket.write_now(self.outgoing.bytes())
        {
            self.outgoing.consume(sent);
        }
    }

    /// Writes what fits at once: few bytes to a connection on which nothing is waiting.
    pub(super) fn try_write(&mut self, socket: &Socket, bytes: &[u8]) {
        let scratch = Rc::clone(&self.scratch);
        let mut buffer = scratch.outgoing();
        let mut out = Out::new(&mut buffer);
        if self.encrypt_one(bytes, &mut out).is_ok() {
            self.outgoing.append(out.bytes());
            self.send_what_fits(socket);
        }
    }

    /// Says that nothing more comes from us (RFC 8446 §6.1).
    pub(super) fn say_end(&mut self, socket: &Socket) {
        if self.step_held().is_err() || self.is_handshaking() {
            return;
        }
        let mut out = [0; ALERT_BYTES_MAX];
        let incoming = &mut self.incoming;
        let len = match &mut self.connection {
            Connection::Server(server) => say_end(server.process_tls_records(incoming), &mut out),
            Connection::Client(client) => say_end(client.process_tls_records(incoming), &mut out),
        };
        self.outgoing.append(&out[..len]);
        self.send_what_fits(socket);
    }

    /// Returns what has come on a connection that should be quiet; `read` reads without waiting.
    pub(super) fn unread(
        &mut self,
        socket: &Socket,
        read: fn(&Socket, &mut [u8]) -> io::Result<usize>,
    ) -> Unread {
        let scratch = Rc::clone(&self.scratch);
        let mut buffer = scratch.incoming();
        loop {
            if !self.plain.is_empty() {
                return Unread::Bytes;
            }
            match self.end {
                None => {}
                Some(End::Said | End::Unsaid) => return Unread::End,
                Some(End::Failed) => return Unread::Failure,
            }
            let held = self.incoming.len();
            let Some(free) = buffer.get_mut(held..held + READ_BYTES_MIN) else {
                return Unread::Failure;
            };
            match read(socket, free) {
                Ok(len @ 1..) => {
                    if self.take(&mut buffer, len, &mut [], socket).is_err() {
                        return Unread::Failure;
                    }
                }
                result => return Unread::of(result),
            }
        }
    }
}

/// Why nothing could be read.
enum Came {
    Io(io::Error),
    Tls(rustls::Error),
    Plain,
}

impl From<Came> for io::Error {
    fn from(came: Came) -> Self {
        match came {
            Came::Io(error) => error,
            Came::Tls(error) => invalid(error),
            Came::Plain => io::ErrorKind::InvalidData.into(),
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Returns whether this is what a browser sends that was told `http://` (RFC 9112 §3): records of
/// TLS begin with a control character.
fn is_plain_request(bytes: &[u8]) -> bool {
    bytes.len() >= 3 && bytes[..3].iter().all(u8::is_ascii_alphabetic)
}

/// The content of a record (RFC 8446 §5.1).
const RECORD_BYTES: usize = 16 * 1024;
/// Encrypted at once.
const WRITE_BYTES_MAX: usize = 4 * RECORD_BYTES;
/// What waits for the socket goes out with what is written next, where it is no more.
const COALESCED_BYTES_MAX: usize = 8 * 1024;
const OUTGOING_BYTES: usize = WRITE_BYTES_MAX + 2 * COALESCED_BYTES_MAX;
/// Read at once: a record at least.
const READ_BYTES_MIN: usize = RECORD_BYTES + 2 * 1024;
const READ_BYTES_MAX: usize = 64 * 1024;
/// What a client may say before it is answered: ten times as much as is usual.
const HELLO_BYTES_MAX: usize = 24 * 1024;
/// Beside what is read, the longest message of a handshake.
const INCOMING_BYTES: usize = READ_BYTES_MAX + 80 * 1024;
/// Reads in a row that bring nothing for who reads.
const READS_MAX: u32 = 16;
/// An alert, encrypted.
const ALERT_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests;
