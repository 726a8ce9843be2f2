//! One connection of the load generator: opens, sends, reads, and compares every answer with what
//! was asked for.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{MsgFlags, recv};
use socket2::{Domain, Socket, Type};

use crate::load::Reuse;
use crate::wire::{TOKEN_LEN, Template, head_end, is_body_at, parse_head, token_text};

/// What can be wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// No connection could be had.
    Connect,
    /// The connection ended with an error, or before the answer began.
    Lost,
    /// The connection ended in the middle of an answer.
    Short,
    /// The answer was not HTTP, or had no length.
    Malformed,
    /// A status other than 200.
    Status(u16),
    /// A length that was not asked for.
    Length,
    /// A body that was not the one asked for.
    Body,
    /// Bytes that nobody had asked for.
    Unasked,
    /// An idle connection was closed by the proxy.
    IdleClosed,
    /// No answer for seconds.
    Stalled,
    /// A session that was to be resumed was not.
    NotResumed,
    /// The processes of the proxy were not the same at the end.
    Restarted,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There is more to come.
    Waits,
    /// The answer is complete, and the connection may send again.
    Answered {
        /// When the request was due.
        due_at: Instant,
    },
    /// The answer is complete, and the proxy has yet to close the connection.
    AnsweredThenOpen {
        /// When the request was due.
        due_at: Instant,
    },
    /// The connection is closed as agreed, or open without a request; the next request may be sent.
    Closed,
}

/// A connection and its request.
pub(crate) struct Conn {
    stream: Option<TcpStream>,
    generation: u32,
    phase: Phase,
    token: [u8; TOKEN_LEN],
    due_at: Instant,
    expected: usize,
    /// What could not be sent at once.
    unsent: Vec<u8>,
    partial: Vec<u8>,
    /// Requests of this connection so far: every 64th large body is compared as a whole.
    requests: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing is asked for.
    Idle,
    /// Opened for a request that is to follow.
    Opening,
    Head,
    Body {
        got: usize,
    },
    /// Answered; the proxy closes.
    Ending,
}

impl Conn {
    /// Makes one that is not open.
    pub(crate) fn closed() -> Self {
        Self {
            stream: None,
            generation: 0,
            phase: Phase::Idle,
            token: [0; TOKEN_LEN],
            due_at: Instant::now(),
            expected: 0,
            unsent: Vec::new(),
            partial: Vec::new(),
            requests: 0,
        }
    }

    /// Returns which of the sockets that had this place it is.
    pub(crate) const fn generation(&self) -> u32 {
        self.generation
    }

    /// Returns since when an answer is missing.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        let waits = matches!(self.phase, Phase::Head | Phase::Body { .. } | Phase::Ending);
        waits.then_some(self.due_at)
    }

    /// Closes it.
    pub(crate) fn close(&mut self) {
        self.stream = None;
        self.generation += 1;
        self.phase = Phase::Idle;
        self.unsent = Vec::new();
        self.partial = Vec::new();
    }

    /// Opens it, without a request.
    pub(crate) fn open(&mut self, epoll: &Epoll, index: usize, port: u16) -> Result<(), Failure> {
        self.close();
        self.phase = Phase::Opening;
        let stream = connect(index, self.generation, port).map_err(|_| Failure::Connect)?;
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT;
        epoll
            .add(&stream, EpollEvent::new(interest, self.data(index)))
            .map_err(|_| Failure::Connect)?;
        self.stream = Some(stream);
        Ok(())
    }

    fn data(&self, index: usize) -> u64 {
        u64::from(self.generation) << 32 | index as u64
    }

    /// Sends a request, or what of it can be sent; opens the connection where it is closed.
    pub(crate) fn send(
        &mut self,
        epoll: &Epoll,
        index: usize,
        port: u16,
        (template, token): (&mut Template, u64),
        due_at: Instant,
    ) -> Result<(), Failure> {
        self.expected = template.response_bytes();
        self.token = token_text(token);
        self.due_at = due_at;
        self.requests += 1;
        let bytes = template.with(token);
        let is_new = self.stream.is_none();
        if is_new {
            self.close();
            self.stream =
                Some(connect(index, self.generation, port).map_err(|_| Failure::Connect)?);
        }
        self.phase = Phase::Head;
        let data = self.data(index);
        let Some(stream) = &mut self.stream else {
            return Err(Failure::Connect);
        };
        let written = match stream.write(bytes) {
            Ok(written) => written,
            // Not connected yet, where it is new.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                ) =>
            {
                0
            }
            Err(_) => return Err(Failure::Lost),
        };
        self.unsent.extend_from_slice(&bytes[written..]);
        let mut interest = EpollFlags::EPOLLIN;
        interest.set(EpollFlags::EPOLLOUT, !self.unsent.is_empty());
        let mut event = EpollEvent::new(interest, data);
        let registered = if is_new {
            epoll.add(&*stream, event)
        } else if self.unsent.is_empty() {
            Ok(())
        } else {
            epoll.modify(&*stream, &mut event)
        };
        registered.map_err(|_| Failure::Connect)
    }

    /// Does what can be done now.
    pub(crate) fn turn(
        &mut self,
        epoll: &Epoll,
        data: u64,
        scratch: &mut [u8],
        reuse: Reuse,
    ) -> Result<Turn, Failure> {
        if self.phase == Phase::Opening {
            return self.opened(epoll, data);
        }
        if !self.unsent.is_empty() {
            self.send_rest(epoll, data)?;
        }
        let Some(stream) = &mut self.stream else {
            return Ok(Turn::Waits);
        };
        let skipped = self.expected >= SKIP_FROM && !self.requests.is_multiple_of(64);
        let got = match (self.phase, skipped) {
            // The kernel throws the bytes away without copying them; the edges are compared all the
            // same.
            (Phase::Body { got }, true) if got >= TOKEN_LEN && got + TOKEN_LEN < self.expected => {
                let most = self.expected - TOKEN_LEN - got;
                let most = most.min(scratch.len());
                let skipped = recv(
                    stream.as_raw_fd(),
                    &mut scratch[..most],
                    MsgFlags::MSG_TRUNC,
                );
                return match skipped {
                    Ok(0) => Err(Failure::Short),
                    Ok(count) => {
                        self.phase = Phase::Body { got: got + count };
                        Ok(Turn::Waits)
                    }
                    Err(nix::Error::EAGAIN) => Ok(Turn::Waits),
                    Err(_) => Err(Failure::Short),
                };
            }
            // The rest, or all of it.
            (
                Phase::Body { .. } | Phase::Head | Phase::Idle | Phase::Opening | Phase::Ending,
                _,
            ) => {
                let room = if skipped && self.phase == Phase::Head {
                    FIRST_READ
                } else {
                    scratch.len()
                };
                stream.read(&mut scratch[..room])
            }
        };
        match got {
            Ok(0) => self.ended(),
            Ok(count) => self.take(&scratch[..count], reuse),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Turn::Waits),
            Err(_) => Err(if self.phase == Phase::Idle {
                Failure::IdleClosed
            } else {
                Failure::Lost
            }),
        }
    }

    fn opened(&mut self, epoll: &Epoll, data: u64) -> Result<Turn, Failure> {
        let Some(stream) = &self.stream else {
            return Ok(Turn::Waits);
        };
        if !matches!(stream.take_error(), Ok(None)) || stream.peer_addr().is_err() {
            return Err(Failure::Connect);
        }
        self.phase = Phase::Idle;
        epoll
            .modify(stream, &mut EpollEvent::new(EpollFlags::EPOLLIN, data))
            .map_err(|_| Failure::Connect)?;
        Ok(Turn::Closed)
    }

    fn send_rest(&mut self, epoll: &Epoll, data: u64) -> Result<(), Failure> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        match stream.write(&self.unsent) {
            Ok(written) => {
                self.unsent.drain(..written);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Failure::Lost),
        }
        if self.unsent.is_empty() {
            epoll
                .modify(&*stream, &mut EpollEvent::new(EpollFlags::EPOLLIN, data))
                .map_err(|_| Failure::Lost)?;
        }
        Ok(())
    }

    fn ended(&mut self) -> Result<Turn, Failure> {
        match self.phase {
            Phase::Ending => {
                self.close();
                Ok(Turn::Closed)
            }
            Phase::Idle | Phase::Opening => Err(Failure::IdleClosed),
            Phase::Head if self.partial.is_empty() => Err(Failure::Lost),
            Phase::Head | Phase::Body { .. } => Err(Failure::Short),
        }
    }

    fn take(&mut self, bytes: &[u8], reuse: Reuse) -> Result<Turn, Failure> {
        match self.phase {
            Phase::Idle | Phase::Opening | Phase::Ending => Err(Failure::Unasked),
            Phase::Body { got } => self.take_body(bytes, got, reuse),
            Phase::Head if self.partial.is_empty() => self.take_head(bytes, reuse),
            Phase::Head => {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(bytes);
                self.take_head(&whole, reuse)
            }
        }
    }

    fn take_head(&mut self, bytes: &[u8], reuse: Reuse) -> Result<Turn, Failure> {
        let Some(end) = head_end(bytes) else {
            if bytes.len() > HEAD_BYTES_MAX {
                return Err(Failure::Malformed);
            }
            self.partial = bytes.to_vec();
            return Ok(Turn::Waits);
        };
        let head = parse_head(&bytes[..end]).ok_or(Failure::Malformed)?;
        if head.status != 200 {
            return Err(Failure::Status(head.status));
        }
        match head.body_bytes {
            None => Err(Failure::Malformed),
            Some(length) if length != self.expected => Err(Failure::Length),
            Some(_) => self.take_body(&bytes[end..], 0, reuse),
        }
    }

    fn take_body(&mut self, bytes: &[u8], got: usize, reuse: Reuse) -> Result<Turn, Failure> {
        if got + bytes.len() > self.expected {
            return Err(Failure::Unasked);
        }
        if !is_body_at(bytes, got, self.expected, &self.token) {
            return Err(Failure::Body);
        }
        let got = got + bytes.len();
        if got < self.expected {
            self.phase = Phase::Body { got };
            return Ok(Turn::Waits);
        }
        if !self.unsent.is_empty() {
            // An answer of 200 before the whole upload was sent.
            return Err(Failure::Unasked);
        }
        let due_at = self.due_at;
        match reuse {
            Reuse::KeepAlive => {
                self.phase = Phase::Idle;
                Ok(Turn::Answered { due_at })
            }
            Reuse::Close => {
                self.phase = Phase::Ending;
                Ok(Turn::AnsweredThenOpen { due_at })
            }
        }
    }
}

/// Spreads connections over many loopback addresses, so that ports do not run out.
fn connect(index: usize, generation: u32, port: u16) -> io::Result<TcpStream> {
    let last = 1 + u8::try_from((index + generation as usize) % 100).unwrap_or(0);
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), port));
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

/// Bodies from here on are compared at their edges, and as a whole every 64th time.
const SKIP_FROM: usize = 256 << 10;
/// Enough for a head and the first token.
const FIRST_READ: usize = 4 << 10;
const HEAD_BYTES_MAX: usize = 64 << 10;
