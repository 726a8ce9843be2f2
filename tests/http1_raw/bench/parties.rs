//! The two ends that the proxy stands between, as sockets that never block.
//!
//! A [`Peer`] sends pieces, each only after the proxy has read the one before. A [`Visit`] is a
//! peer on the backend's side: it finds the requests in what it gets, by a reader of its own that
//! takes nothing but plain framing.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::hope::find;
use super::unread::Monitor;

/// One end of a connection with the proxy.
pub(crate) struct Peer {
    stream: Option<TcpStream>,
    ours: SocketAddrV4,
    proxys: SocketAddrV4,
    outbox: VecDeque<Out>,
    unread_since: Option<Instant>,
    pub got: Vec<u8>,
    pub end: Option<End>,
}

/// What is to be done next.
#[derive(Clone, Debug)]
pub(crate) enum Out {
    /// Sent at once.
    Send(Vec<u8>),
    /// Sent when the proxy has read all before it.
    SendApart(Vec<u8>),
    AwaitOwn(&'static str),
    AwaitOther(&'static str),
    Shut,
    Reset,
}

/// How the proxy has ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    InOrder,
    Reset,
}

/// What a peer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// For its socket, or for nothing.
    Socket,
    /// For the proxy to read.
    Reader,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).expect("it need not block");
        stream.set_nodelay(true).expect("nodelay can be set");
        let (ours, proxys) = (stream.local_addr(), stream.peer_addr());
        Self {
            stream: Some(stream),
            ours: v4(ours.expect("an address")),
            proxys: v4(proxys.expect("an address")),
            outbox: VecDeque::new(),
            unread_since: None,
            got: Vec::new(),
            end: None,
        }
    }

    pub(crate) fn queue(&mut self, outs: impl IntoIterator<Item = Out>) {
        self.outbox.extend(outs);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.outbox.is_empty()
    }

    pub(crate) fn stream(&self) -> Option<&TcpStream> {
        self.stream.as_ref()
    }

    /// Returns whether something waits for room in the socket.
    pub(crate) fn wants_room(&self) -> bool {
        matches!(self.outbox.front(), Some(Out::Send(_) | Out::SendApart(_)))
    }

    /// Does what can be done; `other` is what the other end has got.
    pub(crate) fn pump(&mut self, monitor: &Monitor, other: &[u8]) -> Waits {
        while let Some(out) = self.outbox.front() {
            match out {
                Out::Send(_) => {
                    if !self.write() {
                        return Waits::Socket;
                    }
                }
                Out::SendApart(_) => {
                    if self.is_unread(monitor) {
                        return Waits::Reader;
                    }
                    if !self.write() {
                        return Waits::Socket;
                    }
                }
                Out::AwaitOwn(text) if find(&self.got, text.as_bytes()).is_none() => {
                    return Waits::Socket;
                }
                Out::AwaitOther(text) if find(other, text.as_bytes()).is_none() => {
                    return Waits::Socket;
                }
                Out::AwaitOwn(_) | Out::AwaitOther(_) => {}
                Out::Shut => {
                    if let Some(stream) = &self.stream {
                        // Where it fails the proxy was quicker.
                        let _ = stream.shutdown(Shutdown::Write);
                    }
                }
                Out::Reset => {
                    self.reset();
                    return Waits::Socket;
                }
            }
            self.outbox.pop_front();
        }
        Waits::Socket
    }

    fn is_unread(&mut self, monitor: &Monitor) -> bool {
        if self.stream.is_none() || monitor.unread(self.proxys, self.ours) == 0 {
            self.unread_since = None;
            return false;
        }
        let since = *self.unread_since.get_or_insert_with(Instant::now);
        since.elapsed() < READER_PATIENCE
    }

    /// Returns whether the first of the outbox has been written to its end.
    fn write(&mut self) -> bool {
        let (Some(Out::Send(bytes) | Out::SendApart(bytes)), Some(stream)) =
            (self.outbox.front_mut(), &mut self.stream)
        else {
            return true;
        };
        while !bytes.is_empty() {
            match stream.write(bytes) {
                Ok(count) => drop(bytes.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // The rest need not wait for a reader.
                    let rest = std::mem::take(bytes);
                    self.outbox[0] = Out::Send(rest);
                    return false;
                }
                // The proxy has gone; reading says how.
                Err(_) => return true,
            }
        }
        true
    }

    /// Reads what has come; says whether anything has.
    pub(crate) fn read(&mut self) -> bool {
        let mut any = false;
        let mut buf = [0; 64 * 1024];
        while let (Some(stream), None) = (&mut self.stream, self.end) {
            match stream.read(&mut buf) {
                Ok(0) => self.end = Some(End::InOrder),
                Ok(len) => self.got.extend_from_slice(&buf[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.end = Some(End::Reset),
            }
            any = true;
        }
        any
    }

    /// Leaves no trace of the connection.
    pub(crate) fn reset(&mut self) {
        self.outbox.clear();
        if let Some(stream) = self.stream.take() {
            // Where it fails the connection has gone already.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// A connection that the proxy has opened.
pub(crate) struct Visit {
    pub peer: Peer,
    /// Where the request that is being read begins.
    at: usize,
    head: Head,
    /// Where it stopped being HTTP.
    tunnel: Option<usize>,
}

/// Whether the head of the request that is being read was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    Untold,
    Told,
}

/// What a visit has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Head,
    Request,
    /// A request that asks only whether the connection lives.
    Probe,
    Tunnelled(usize),
}

impl Visit {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            peer: Peer::new(stream),
            at: 0,
            head: Head::Untold,
            tunnel: None,
        }
    }

    pub(crate) fn begin_tunnel(&mut self) {
        self.tunnel = Some(self.at);
    }

    /// Returns the next thing that has come.
    pub(crate) fn find(&mut self) -> Option<Found> {
        if let Some(from) = self.tunnel {
            return Some(Found::Tunnelled(self.peer.got.len() - from));
        }
        let bytes = &self.peer.got[self.at..];
        let end = find(bytes, b"\r\n\r\n")? + 4;
        let found = if bytes.starts_with(b"GET /probe ") {
            Found::Probe
        } else {
            Found::Request
        };
        if self.head == Head::Untold && found == Found::Request {
            self.head = Head::Told;
            return Some(Found::Head);
        }
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let body = &bytes[end..];
        let length = if head.contains("\r\ntransfer-encoding: chunked\r\n") {
            chunked_len(body)?
        } else {
            let length = head
                .split("\r\n")
                .find_map(|l| l.strip_prefix("content-length:"));
            length.map_or(Some(0), |length| length.trim().parse().ok())?
        };
        if body.len() < length {
            return None;
        }
        self.at += end + length;
        self.head = Head::Untold;
        Some(found)
    }
}

/// Returns the length of a whole chunked body with plain sizes; its trailers end in an empty line.
fn chunked_len(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = find(&body[at..], b"\r\n")?;
        let size = std::str::from_utf8(&body[at..at + line]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            // From the end of this line on: it and the next may be all there is.
            return Some(at + line + find(&body[at + line..], b"\r\n\r\n")? + 4);
        }
        at += line + 2 + size + 2;
        if at > body.len() {
            return None;
        }
    }
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(four) => four,
        SocketAddr::V6(six) => panic!("{six} is not of IPv4"),
    }
}

/// How long the proxy may leave bytes unread; then the next are sent all the same.
const READER_PATIENCE: Duration = Duration::from_millis(500);
