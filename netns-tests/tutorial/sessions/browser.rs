//! A browser: a TLS connection that is kept, sessions of TLS that are resumed, cookies.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use super::journal::{Lost, Page, Visit};
use crate::clients::https::site::NAME;

type Connection = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// One that keeps its connection as long as it lasts.
pub(super) struct Browser {
    door: SocketAddr,
    config: Arc<ClientConfig>,
    connection: Option<Connection>,
    cookies: BTreeMap<String, String>,
}

/// An answer as it came.
struct Answer {
    status: u16,
    body: String,
}

/// How the end of a body is known.
enum Length {
    Unknown,
    Known(usize),
    Chunked,
}

impl Browser {
    /// Returns one that trusts this authority.
    pub(super) fn new(door: SocketAddr, authority: &str) -> Self {
        let der = CertificateDer::from_pem_slice(authority.as_bytes()).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(der).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider speaks them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            door,
            config: Arc::new(config),
            connection: None,
            cookies: BTreeMap::new(),
        }
    }

    /// Asks once.
    pub(super) fn ask(&mut self, visit: &mut Visit) -> Result<Page, Lost> {
        let kept = self.connection.take();
        let was_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self
                .connect(visit)
                .map_err(|error| Lost::NotConnected(error.to_string()))?,
        };
        if let Err(error) = self.send(&mut connection, visit.posts) {
            return Err(match was_kept && is_end(&error) {
                true => Lost::Quietly,
                false => Lost::Failed(error.to_string()),
            });
        }
        let answer = self
            .receive(&mut connection)
            .map_err(|error| Lost::Failed(error.to_string()))?;
        self.connection = Some(connection);
        let Answer { status, body } = answer;
        if status >= 500 {
            return Err(Lost::Failed(format!("{status} {body}")));
        }
        let page = Page::parse(body.trim_end()).filter(|page| {
            status == 200 && self.cookies.get(SESSION_COOKIE) == Some(&page.session)
        });
        page.ok_or_else(|| Lost::Wrong(format!("{status} {body}, {:?}", self.cookies)))
    }

    /// Connects and shakes hands.
    fn connect(&self, visit: &mut Visit) -> io::Result<Connection> {
        let name = NAME.try_into().map_err(io::Error::other)?;
        let mut socket = TcpStream::connect_timeout(&self.door, CONNECT_MAX)?;
        socket.set_read_timeout(Some(SILENCE_MAX))?;
        socket.set_write_timeout(Some(SILENCE_MAX))?;
        let config = Arc::clone(&self.config);
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        let is_resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
        visit.resumed.push(is_resumed);
        Ok(BufReader::new(StreamOwned::new(tls, socket)))
    }

    /// Sends a request, and waits for the first byte of its answer.
    fn send(&self, connection: &mut Connection, posts: bool) -> io::Result<()> {
        let method = match posts {
            true => "POST /counter HTTP/1.1\r\nContent-Length: 0",
            false => "GET /counter HTTP/1.1",
        };
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookies = match &*cookies {
            [] => String::new(),
            some => format!("Cookie: {}\r\n", some.join("; ")),
        };
        let request = format!("{method}\r\nHost: {NAME}\r\n{cookies}\r\n");
        let stream = connection.get_mut();
        stream.write_all(request.as_bytes())?;
        stream.flush()?;
        match connection.fill_buf()? {
            [] => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Reads an answer to its end, and takes its cookies.
    fn receive(&mut self, connection: &mut Connection) -> io::Result<Answer> {
        let broken = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_owned());
        let status = line(connection)?
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| broken("no status line"))?;
        let mut length = Length::Unknown;
        loop {
            let line = line(connection)?;
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            match &*name.to_ascii_lowercase() {
                "content-length" => {
                    length = Length::Known(value.parse().map_err(|_| broken(value))?);
                }
                "transfer-encoding" => length = Length::Chunked,
                "set-cookie" => {
                    let pair = value.split(';').next().unwrap_or_default();
                    let (name, value) = pair.split_once('=').ok_or_else(|| broken(pair))?;
                    self.cookies.insert(name.to_owned(), value.to_owned());
                }
                _ => {}
            }
        }
        let body = match length {
            Length::Unknown => return Err(broken("no length")),
            Length::Known(length) => piece(connection, length)?,
            Length::Chunked => chunks(connection)?,
        };
        let body = String::from_utf8(body).map_err(|_| broken("a body that is no text"))?;
        Ok(Answer { status, body })
    }
}

/// Reads a body in chunks to its end.
fn chunks(connection: &mut Connection) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(&line(connection)?, 16).map_err(io::Error::other)?;
        let chunk = piece(connection, size)?;
        body.extend(chunk);
        // The end of a chunk, or that of the body: Apache sends no trailers here.
        if !line(connection)?.is_empty() || body.len() > BODY_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

fn piece(connection: &mut Connection, length: usize) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; length.min(BODY_BYTES_MAX)];
    connection.read_exact(&mut piece)?;
    Ok(piece)
}

/// Reads a line, without its end.
fn line(connection: &mut Connection) -> io::Result<String> {
    let mut line = String::new();
    connection.take(LINE_BYTES_MAX).read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// Whether an error says that the connection has ended, not that nothing comes.
fn is_end(error: &io::Error) -> bool {
    let ends = [
        ErrorKind::UnexpectedEof,
        ErrorKind::ConnectionReset,
        ErrorKind::ConnectionAborted,
        ErrorKind::BrokenPipe,
    ];
    ends.contains(&error.kind())
}

/// The application's.
pub(super) const SESSION_COOKIE: &str = "PHPSESSID";
/// Shorter than a second, after which the kernel asks again: the node may be another by then.
const CONNECT_MAX: Duration = Duration::from_millis(500);
/// What a busy machine may need for an answer.
const SILENCE_MAX: Duration = Duration::from_secs(4);
const LINE_BYTES_MAX: u64 = 8 << 10;
const BODY_BYTES_MAX: usize = 64 << 10;
