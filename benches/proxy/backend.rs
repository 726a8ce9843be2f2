//! The backend: one thread on epoll that answers what the path of a request asks for, and checks
//! every upload.

mod multiplexed;

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

use evenkeel::lab::LabError;
use evenkeel::lab::namespace::host::Host;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::measure::{Place, pin};
use crate::peers::Behind;
use crate::wire::{Ask, TOKEN_LEN, filler, head_end, is_body_at, parse_ask, token_text};

/// The running backend; it ends on drop.
pub(crate) struct Backend {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Requests that were none of ours, and uploads that were not what their request said.
    bad: AtomicU64,
}

impl Backend {
    /// Starts it on a host.
    pub(crate) fn start(
        host: &Host,
        address: SocketAddr,
        place: Place,
        speaks: Behind,
    ) -> Result<Self, LabError> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let listener = host.try_run("listen", move || TcpListener::bind(address))?;
        let thread = host.thread(THREAD, move || {
            pin(place);
            let served = match speaks {
                Behind::Http1 => serve(&listener, &seen),
                Behind::Http2 => multiplexed::serve(listener, &seen),
            };
            if let Err(error) = served {
                eprintln!("the backend ended: {error}");
            }
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Returns how many requests were wrong so far.
    pub(crate) fn bad(&self) -> u64 {
        self.shared.bad.load(Relaxed)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One connection of a proxy.
struct Conn {
    stream: TcpStream,
    /// What was read and is not yet a whole head.
    partial: Vec<u8>,
    /// The request whose body is being read, and how much of it has come.
    upload: Option<(Ask, usize)>,
    /// The body that is being written: its request, and how much has gone.
    answer: Option<(Ask, usize)>,
}

fn serve(listener: &TcpListener, shared: &Shared) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut conns: Vec<Option<Conn>> = Vec::new();
    let mut events = vec![EpollEvent::empty(); EVENTS];
    let mut scratch = vec![0; SCRATCH_BYTES];
    while !shared.stop.load(Relaxed) {
        let count = match epoll.wait(&mut events, STOP_POLL_MS) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for event in &events[..count] {
            if event.data() == LISTENER {
                accept(listener, &epoll, &mut conns)?;
                continue;
            }
            let index = event.data() as usize;
            let Some(conn) = conns.get_mut(index).and_then(Option::as_mut) else {
                continue;
            };
            let alive = conn.turn(&mut scratch, shared, event.events());
            if alive.unwrap_or(false) {
                let blocked = conn.answer.is_some();
                if blocked || event.events().contains(EpollFlags::EPOLLOUT) {
                    let out = if blocked {
                        EpollFlags::EPOLLOUT
                    } else {
                        EpollFlags::EPOLLIN
                    };
                    epoll.modify(&conn.stream, &mut EpollEvent::new(out, event.data()))?;
                }
            } else {
                conns[index] = None;
            }
        }
    }
    Ok(())
}

fn accept(listener: &TcpListener, epoll: &Epoll, conns: &mut Vec<Option<Conn>>) -> io::Result<()> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let index = conns
            .iter()
            .position(Option::is_none)
            .unwrap_or(conns.len());
        epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
        let conn = Conn {
            stream,
            partial: Vec::new(),
            upload: None,
            answer: None,
        };
        match conns.get_mut(index) {
            Some(free) => *free = Some(conn),
            None => conns.push(Some(conn)),
        }
    }
}

impl Conn {
    /// Does what can be done now; returns whether the connection lives on.
    fn turn(&mut self, scratch: &mut [u8], shared: &Shared, ready: EpollFlags) -> io::Result<bool> {
        if let Some((ask, sent)) = self.answer {
            if !ready.contains(EpollFlags::EPOLLOUT) && !ready.contains(EpollFlags::EPOLLIN) {
                return Ok(false);
            }
            self.write_body(ask, sent)?;
            if self.answer.is_some() {
                return Ok(true);
            }
        }
        let read = match self.stream.read(scratch) {
            Ok(0) => return Ok(false),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        if self.upload.is_none() && self.partial.is_empty() {
            return self.take(&scratch[..read], shared);
        }
        if self.upload.is_some() {
            return self.take(&scratch[..read], shared);
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(&scratch[..read]);
        self.take(&whole, shared)
    }

    fn take(&mut self, mut bytes: &[u8], shared: &Shared) -> io::Result<bool> {
        while !bytes.is_empty() {
            let (ask, got) = match self.upload {
                Some(upload) => upload,
                None => {
                    let Some(end) = head_end(bytes) else {
                        self.partial = bytes.to_vec();
                        return Ok(bytes.len() < HEAD_BYTES_MAX);
                    };
                    let Some(ask) = parse_ask(&bytes[..end]) else {
                        return self.refuse(shared);
                    };
                    bytes = &bytes[end..];
                    (ask, 0)
                }
            };
            let part = bytes.len().min(ask.request_bytes - got);
            if !is_body_at(
                &bytes[..part],
                got,
                ask.request_bytes,
                &token_text(ask.token),
            ) {
                return self.refuse(shared);
            }
            bytes = &bytes[part..];
            if got + part < ask.request_bytes {
                self.upload = Some((ask, got + part));
                return Ok(true);
            }
            self.upload = None;
            self.answer(ask)?;
            if self.answer.is_some() && !bytes.is_empty() {
                // Nobody pipelines to us.
                return self.refuse(shared);
            }
        }
        Ok(true)
    }

    fn refuse(&mut self, shared: &Shared) -> io::Result<bool> {
        shared.bad.fetch_add(1, Relaxed);
        self.stream.write_all(BAD_REQUEST)?;
        Ok(false)
    }

    /// Writes head and body in one call, where that takes all of it.
    fn answer(&mut self, ask: Ask) -> io::Result<()> {
        let total = ask.response_bytes;
        if total < 2 * TOKEN_LEN || total > filler().len() {
            return Err(io::Error::other("nobody asks for such a body"));
        }
        let token = token_text(ask.token);
        let mut head = [0; HEAD_ROOM];
        let mut rest = &mut head[..];
        write!(rest, "{OK}Content-Length: {total}\r\n\r\n")?;
        let unused = rest.len();
        let head = &head[..HEAD_ROOM - unused];
        let parts = [
            IoSlice::new(head),
            IoSlice::new(&token),
            IoSlice::new(&filler()[TOKEN_LEN..total - TOKEN_LEN]),
            IoSlice::new(&token),
        ];
        let written = self.stream.write_vectored(&parts)?;
        if written < head.len() {
            return Err(io::Error::other(
                "a head that does not fit into an empty socket",
            ));
        }
        let sent = written - head.len();
        self.answer = (sent < total).then_some((ask, sent));
        Ok(())
    }

    fn write_body(&mut self, ask: Ask, mut sent: usize) -> io::Result<()> {
        let (total, token) = (ask.response_bytes, token_text(ask.token));
        let tail = total - TOKEN_LEN;
        while sent < total {
            let result = if sent < TOKEN_LEN {
                self.stream.write(&token[sent..])
            } else if sent < tail {
                let parts = [IoSlice::new(&filler()[sent..tail]), IoSlice::new(&token)];
                self.stream.write_vectored(&parts)
            } else {
                self.stream.write(&token[sent - tail..])
            };
            match result {
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.answer = Some((ask, sent));
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.answer = None;
        Ok(())
    }
}

/// The name of its thread.
pub(crate) const THREAD: &str = "bench-backend";
const LISTENER: u64 = u64::MAX;
const EVENTS: usize = 256;
const SCRATCH_BYTES: usize = 256 << 10;
const STOP_POLL_MS: u16 = 100;
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEAD_ROOM: usize = 256;
const OK: &str = "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    Content-Type: application/octet-stream\r\n";
const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
