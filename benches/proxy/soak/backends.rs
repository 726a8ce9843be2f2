//! The backends of the soak: one steady, one that dies and returns, one that answers garbage every
//! other time.

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

use super::garbage::{KINDS, Then, UNASKED, garbage, nobodys};
use super::message::{Framing, Reader, body, chunked, fields, framing};
use super::wire::Wire;
use super::{SPOKEN, Tally, WRONG};
use crate::wire::{Ask, TOKEN_LEN, is_body_at, parse_ask, token_text};

/// How a backend behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Steady,
    Dying,
    Garbage,
}

/// All three; they end on drop.
pub(super) struct Backends {
    ends: Arc<Ends>,
    threads: Vec<JoinHandle<()>>,
}

/// The connections that are open, to end them, and whether no more may come.
#[derive(Default)]
struct Ends {
    over: std::sync::atomic::AtomicBool,
    open: Mutex<HashMap<u64, (Manner, TcpStream)>>,
}

impl Ends {
    fn is_over(&self) -> bool {
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
        for (manner, port) in [Manner::Steady, Manner::Dying, Manner::Garbage]
            .into_iter()
            .zip(PORTS)
        {
            let (ends, tally) = (Arc::clone(&ends), Arc::clone(tally));
            threads.push(host.thread("soak-backend", move || {
                if let Err(error) = live(manner, port, &ends, &tally) {
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

/// Accepts; the dying one is gone for a second every four.
fn live(manner: Manner, port: u16, ends: &Arc<Ends>, tally: &Arc<Tally>) -> io::Result<()> {
    let mut serial = u64::from(port) << 32;
    while !ends.is_over() {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
        listener.set_nonblocking(true)?;
        let dies_at = Instant::now() + ALIVE;
        while !ends.is_over() && (manner != Manner::Dying || Instant::now() < dies_at) {
            let mut waits = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut waits, POLL_MS);
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false)?;
                serial += 1;
                attend(manner, stream, serial, ends, tally)?;
            }
        }
        drop(listener);
        if manner == Manner::Dying && !ends.is_over() {
            tally.count("deaths of a backend");
            ends.cut(|of| of == Manner::Dying);
            std::thread::sleep(DEAD);
        }
    }
    Ok(())
}

fn attend(
    manner: Manner,
    stream: TcpStream,
    serial: u64,
    ends: &Arc<Ends>,
    tally: &Arc<Tally>,
) -> io::Result<()> {
    ends.open().insert(serial, (manner, stream.try_clone()?));
    let (ends, tally) = (Arc::clone(ends), Arc::clone(tally));
    Builder::new().name("soak-conn".into()).spawn(move || {
        // A connection that a proxy ends, or that is cut here, ends with an error; both are meant.
        let _ = converse(manner, stream, &tally);
        if let Some((_, stream)) = ends.open().remove(&serial) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    })?;
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
        upload(&mut reader, &head, ask, tally)?;
        let token = token_text(ask.token);
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
        2 => (format!("{start}Connection: close\r\n\r\n"), body, false),
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
/// How long the dying one lives, and how long it is dead.
const ALIVE: Duration = Duration::from_secs(3);
const DEAD: Duration = Duration::from_secs(1);
const POLL_MS: u16 = 50;
const GARBAGE_MAX: usize = 20_000;
/// A connection that was silent for so long is an idle one in most cases.
const UNASKED_AFTER_MS: u16 = 5;
/// A proxy may leave a connection idle for so long.
const IDLE: Duration = Duration::from_secs(120);
