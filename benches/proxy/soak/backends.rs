//! The backends of the soak: of HTTP/1.1 one that is steady, one that dies and returns, one that
//! answers garbage every other time; of HTTP/2 the first two (`multiplexed`); of TCP two
//! (`carried`).

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use evenkeel::lab::LabError;
use evenkeel::lab::namespace::host::Host;
use nix::poll::{PollFd, PollFlags, poll};

use super::carried::echo as echo_bytes;
use super::garbage::{KINDS, Then, UNASKED, garbage, nobodys};
use super::message::{Framing, Reader, TOLD, UNTIL, body, chunked, fields, framing};
use super::wire::Wire;
use super::{SPOKEN, Tally, WRONG, multiplexed, upgrades};
use crate::wire::{Ask, TOKEN_LEN, is_body_at, parse_ask, token_text};

/// How a backend behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Steady,
    /// It is gone for a second every four, and so are its connections.
    Dying,
    /// Nobody is let in for a second every four; who is in stays.
    Leaving,
    Garbage,
}

/// All of them; they end on drop.
pub(super) struct Backends {
    ends: Arc<Ends>,
    threads: Vec<JoinHandle<()>>,
}

/// The connections that are open, to end them, and whether no more may come.
#[derive(Default)]
pub(super) struct Ends {
    over: std::sync::atomic::AtomicBool,
    open: Mutex<HashMap<u64, (Manner, TcpStream)>>,
}

impl Ends {
    /// Returns whether no more connections may come.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<u64, (Manner, TcpStream)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self, which: impl Fn(Manner) -> bool) {
        for (_, stream) in self.open().values().filter(|(manner, _)| which(*manner)) {
            // One that has ended already is no error.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Backends {
    /// Starts them on a host.
    pub(super) fn start(host: &Host, tally: &Arc<Tally>) -> Result<Self, LabError> {
        let ends = Arc::new(Ends::default());
        let mut threads = Vec::new();
        let http = [Manner::Steady, Manner::Dying, Manner::Garbage];
        let http = http.into_iter().zip(PORTS).map(|one| (one, Speaks::Http1));
        let streams = [Manner::Steady, Manner::Dying].into_iter();
        let streams = streams.zip(STREAM_PORTS).map(|one| (one, Speaks::Http2));
        let echo = [Manner::Steady, Manner::Leaving].into_iter();
        let echo = echo.zip(ECHO_PORTS).map(|one| (one, Speaks::Tcp));
        for ((manner, port), speaks) in http.chain(streams).chain(echo) {
            let (ends, tally) = (Arc::clone(&ends), Arc::clone(tally));
            threads.push(host.thread("soak-backend", move || {
                let lived = match speaks {
                    Speaks::Http1 => live(manner, port, converse, &ends, &tally),
                    Speaks::Http2 => multiplexed::live(manner, port, &ends, &tally),
                    Speaks::Tcp => live(manner, port, echo_bytes, &ends, &tally),
                };
                if let Err(error) = lived {
                    tally.count(&format!("{WRONG} {manner:?} backend ended: {error}"));
                }
            })?);
        }
        Ok(Self { ends, threads })
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        self.ends
            .over
            .store(true, std::sync::atomic::Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.ends.cut(|_| true);
    }
}

#[derive(Clone, Copy)]
enum Speaks {
    Http1,
    Http2,
    Tcp,
}

type Converse = fn(Manner, TcpStream, &Tally) -> io::Result<()>;

impl Manner {
    /// Returns whether it comes and goes.
    pub(super) const fn comes_and_goes(self) -> bool {
        match self {
            Self::Dying | Self::Leaving => true,
            Self::Steady | Self::Garbage => false,
        }
    }
}

/// Accepts, and converses with each in a thread.
fn live(
    manner: Manner,
    port: u16,
    converse: Converse,
    ends: &Arc<Ends>,
    tally: &Arc<Tally>,
) -> io::Result<()> {
    let mut serial = u64::from(port) << 32;
    while !ends.is_over() {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
        listener.set_nonblocking(true)?;
        let dies_at = Instant::now() + ALIVE;
        while !ends.is_over() && (!manner.comes_and_goes() || Instant::now() < dies_at) {
            let mut waits = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut waits, POLL_MS);
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false)?;
                serial += 1;
                ends.open().insert(serial, (manner, stream.try_clone()?));
                let (ends, tally) = (Arc::clone(ends), Arc::clone(tally));
                Builder::new().name("soak-conn".into()).spawn(move || {
                    // A connection that a proxy ends, or that is cut here, ends with an error;
                    // both are meant.
                    let _ = converse(manner, stream, &tally);
                    ends.open().remove(&serial);
                })?;
            }
        }
        drop(listener);
        if manner.comes_and_goes() && !ends.is_over() {
            tally.count(&format!(
                "deaths of a backend ({manner:?}, HTTP/1.1 or TCP)"
            ));
            ends.cut(|of| of == Manner::Dying);
            std::thread::sleep(DEAD);
        }
    }
    Ok(())
}

fn converse(manner: Manner, stream: TcpStream, tally: &Tally) -> io::Result<()> {
    let mut reader = Reader::new(Wire::Plain(stream), IDLE)?;
    let mut chance = fastrand::Rng::new();
    while let Some(head) = reader.head()? {
        let Some(ask) = parse_ask(&head) else {
            let first = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
            tally.count(&format!(
                "{WRONG} request at a backend: {}",
                String::from_utf8_lossy(first)
            ));
            return Ok(());
        };
        if !is_told(&head) {
            tally.count(&format!("{WRONG} client that a backend was told of"));
        }
        upload(&mut reader, &head, ask, tally)?;
        let token = token_text(ask.token);
        if fields(&head, "upgrade").next().is_some() {
            return upgrades::echo(&mut reader, &head, &token);
        }
        // Small enough to be in the proxy's socket in one piece, so that it can see all of it at
        // once.
        if manner == Manner::Garbage && ask.response_bytes < GARBAGE_MAX && chance.bool() {
            let (bytes, then) = garbage(chance.usize(..KINDS), &token, ask.response_bytes);
            reader.stream().write_all(&bytes)?;
            match then {
                Then::Keep => continue,
                Then::Close => return Ok(()),
                Then::SpeakUnasked => {
                    if reader.is_silent_for(UNASKED_AFTER_MS) {
                        tally.count(SPOKEN);
                        return reader.stream().write_all(&nobodys(UNASKED));
                    }
                    continue;
                }
            }
        }
        if !answer(&mut reader, ask, &token, chance.u8(..8))? {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns whether the proxy names the client of a PROXY header, where one was sent.
fn is_told(head: &[u8]) -> bool {
    let named: Vec<&[u8]> = fields(head, "x-forwarded-for").collect();
    fields(head, TOLD).all(|told| named == [told])
}

/// Reads an upload, which must be its request's from the first byte to the last.
fn upload(reader: &mut Reader, head: &[u8], ask: Ask, tally: &Tally) -> io::Result<()> {
    let (mut got, mut right) = (0, true);
    let token = token_text(ask.token);
    let framing = framing(head, Framing::Length(0));
    let read = reader.body(framing, |bytes| {
        right &= is_body_at(bytes, got, ask.request_bytes, &token);
        got += bytes.len();
        right
    });
    let whole = read.is_ok() && got == ask.request_bytes;
    if !right || (read.is_ok() && !whole) || fields(head, "x-token").next().is_some() {
        tally.count(&format!("{WRONG} upload at a backend, {framing:?}"));
        return Err(io::Error::other("wrong upload"));
    }
    read
}

/// Answers; returns whether the connection goes on.
fn answer(reader: &mut Reader, ask: Ask, token: &[u8; TOKEN_LEN], style: u8) -> io::Result<bool> {
    let body = body(ask.response_bytes, token);
    let start = format!(
        "HTTP/1.1 200 OK\r\nX-Token: {}\r\n",
        String::from_utf8_lossy(token)
    );
    let (head, body, goes_on) = match style {
        0 | 1 => (
            format!("{start}Transfer-Encoding: chunked\r\n\r\n"),
            chunked(&body),
            true,
        ),
        2 => (
            format!("{start}{UNTIL}: close\r\nConnection: close\r\n\r\n"),
            body,
            false,
        ),
        _ => (
            format!("{start}Content-Length: {}\r\n\r\n", body.len()),
            body,
            true,
        ),
    };
    reader
        .stream()
        .write_all(&[head.as_bytes(), &body].concat())?;
    Ok(goes_on)
}

/// Where they listen.
pub(super) const PORTS: [u16; 3] = [9_001, 9_002, 9_003];
/// Where those of HTTP/2 do.
pub(super) const STREAM_PORTS: [u16; 2] = [9_011, 9_012];
/// Where those of TCP do.
pub(super) const ECHO_PORTS: [u16; 2] = [9_021, 9_022];
/// How long one that comes and goes lives, and how long it is dead.
pub(super) const ALIVE: Duration = Duration::from_secs(3);
pub(super) const DEAD: Duration = Duration::from_secs(1);
const POLL_MS: u16 = 50;
const GARBAGE_MAX: usize = 20_000;
/// A connection that was silent for so long is an idle one in most cases.
const UNASKED_AFTER_MS: u16 = 5;
/// A proxy may leave a connection idle for so long.
pub(super) const IDLE: Duration = Duration::from_secs(120);
