//! Connections that are carried as bytes: clients, and the backend that says what it hears, which
//! either side may end half, or by a reset.
//!
//! A client says first how many bytes will come and of which seed; the backend says how it will
//! end, and after how many. So each knows what must be there at the end, and what end it must be.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

use super::backends::{IDLE, Manner};
use super::message::PATIENCE;
use super::site::{Pool, Ways};
use super::wire::Wire;
use super::{Notes, Tally, WRONG};

/// How a backend ends a connection, once it has said a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// When its client has ended, and has heard all.
    Last,
    /// Its own half, and listens on.
    Half,
    Reset,
}

const ENDINGS: [Ending; 3] = [Ending::Last, Ending::Half, Ending::Reset];

/// Has bytes carried until the soak is over.
pub(super) fn live(ways: Ways, tally: &Arc<Tally>) {
    let mut client = Client {
        ways,
        notes: Notes::new("bytes", tally),
        chance: fastrand::Rng::new(),
    };
    while !client.notes.is_over() {
        if let Err(error) = client.connection() {
            // Where a backend has left before it said a word, there is nothing to carry.
            client.notes.failed(&error);
            client
                .notes
                .note(&format!("cut before a word ({:?})", error.kind()));
        }
    }
}

struct Client {
    ways: Ways,
    notes: Notes,
    chance: fastrand::Rng,
}

/// What both sides know of a connection.
struct Plan {
    bytes: Vec<u8>,
    ending: Ending,
    /// After how many bytes the backend ends.
    limit: usize,
}

impl Plan {
    /// Returns how many bytes are said back, of so many.
    fn due(&self, said: usize) -> usize {
        match self.ending {
            Ending::Last => said,
            Ending::Half | Ending::Reset => said.min(self.limit),
        }
    }

    fn is_reset(&self) -> bool {
        self.ending == Ending::Reset && self.limit <= self.bytes.len()
    }
}

impl Client {
    fn connection(&mut self) -> io::Result<()> {
        let door = self
            .ways
            .pick(&mut self.chance, |door| door.pool == Pool::Echo);
        let mut wire = self
            .ways
            .open(door, &mut self.chance, &mut self.notes)?
            .wire;
        wire.socket().set_read_timeout(Some(PATIENCE))?;
        wire.socket().set_write_timeout(Some(PATIENCE))?;
        let most = [1, 500, 17_000, 300_000, 2 << 20][self.chance.usize(..5)];
        let (total, seed) = (self.chance.u32(..=most), self.chance.u64(..));
        wire.write_all(&[&total.to_be_bytes()[..], &seed.to_be_bytes()].concat())?;
        let mut greeting = [0; GREETING_LEN];
        wire.read_exact(&mut greeting)?;
        let [ending, limit @ ..] = greeting;
        let Some(&ending) = ENDINGS.get(usize::from(ending)) else {
            self.notes.wrong("greeting", &greeting);
            return Ok(());
        };
        let plan = Plan {
            bytes: noise(seed, total as usize),
            ending,
            limit: u32::from_be_bytes(limit) as usize,
        };
        let mut got = 0;
        let ended = self.converse(&mut wire, &plan, &mut got);
        self.judge(&plan, got, ended);
        Ok(())
    }

    /// Says everything and hears what is due; returns whether it came to an end at all.
    fn converse(&mut self, wire: &mut Wire, plan: &Plan, got: &mut usize) -> io::Result<bool> {
        let resets_at = match self.chance.u8(..6) {
            0 => self.chance.usize(..=plan.bytes.len()),
            _ => usize::MAX,
        };
        let mut said = 0;
        while said < plan.bytes.len() {
            let part = self.chance.usize(1..PART).min(plan.bytes.len() - said);
            wire.write_all(&plan.bytes[said..said + part])?;
            said += part;
            let due = plan.due(said);
            if said > resets_at {
                // Something is on its way, or nothing.
                std::thread::sleep(Duration::from_micros(self.chance.u64(..500)));
                SockRef::from(wire.socket()).set_linger(Some(Duration::ZERO))?;
                return Ok(false);
            }
            while *got < due {
                if self.hear(wire, plan, got)? == 0 {
                    return Ok(true);
                }
            }
        }
        wire.end()?;
        while self.hear(wire, plan, got)? > 0 {}
        Ok(true)
    }

    fn hear(&self, wire: &mut Wire, plan: &Plan, got: &mut usize) -> io::Result<usize> {
        let mut heard = [0; 64 << 10];
        let read = wire.read(&mut heard)?;
        let is_right = plan.bytes[*got..].starts_with(&heard[..read]);
        *got += read;
        if !is_right {
            self.notes
                .wrong("bytes that were never said", &heard[..read.min(100)]);
            return Err(io::Error::other("wrong bytes"));
        }
        Ok(read)
    }

    fn judge(&self, plan: &Plan, got: usize, ended: io::Result<bool>) {
        let total = plan.bytes.len();
        let state = format!(
            "{:?} after {} of {total}, got {got}",
            plan.ending, plan.limit
        );
        match ended {
            Ok(false) => self.notes.note("aborted by reset"),
            Ok(true) if plan.is_reset() => {
                self.notes
                    .wrong("end of what the backend has reset", state.as_bytes());
            }
            Ok(true) if got == plan.due(total) => self.notes.note("answered"),
            Ok(true) => self.notes.wrong("end before the end", state.as_bytes()),
            Err(error) if is_silence(&error) => {
                self.notes
                    .wrong("wait: not a byte for seconds", state.as_bytes());
            }
            Err(error) if plan.is_reset() => {
                self.notes
                    .note(&format!("answered by a reset ({:?})", error.kind()));
            }
            Err(error) => {
                let seen = format!("{state}: {error}");
                self.notes
                    .wrong("reset of what the backend has not", seen.as_bytes());
            }
        }
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// The backend's side of a connection.
pub(super) fn echo(_: Manner, mut stream: TcpStream, tally: &Tally) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    let mut hello = [0; HELLO_LEN];
    stream.read_exact(&mut hello)?;
    let [a, b, c, d, seed @ ..] = hello;
    let total = u32::from_be_bytes([a, b, c, d]) as usize;
    let mut chance = fastrand::Rng::new();
    let ending = chance.usize(..ENDINGS.len());
    let limit = chance.u32(1..=u32::try_from(total + total / 4).unwrap_or(0).max(1));
    let plan = Plan {
        bytes: noise(u64::from_be_bytes(seed), total),
        ending: ENDINGS[ending],
        limit: limit as usize,
    };
    let mut greeting = [0; GREETING_LEN];
    greeting[0] = u8::try_from(ending).unwrap_or(0);
    greeting[1..].copy_from_slice(&limit.to_be_bytes());
    stream.write_all(&greeting)?;
    let mut heard = vec![0; 64 << 10];
    let (mut got, mut said) = (0, 0);
    loop {
        let read = match stream.read(&mut heard) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => {
                tally.count(&format!(
                    "resets of a client at a backend ({:?})",
                    error.kind()
                ));
                return Err(error);
            }
        };
        if !plan.bytes[got..].starts_with(&heard[..read]) {
            tally.count(&format!("{WRONG} bytes at a backend of TCP"));
            return Ok(());
        }
        got += read;
        let due = plan.due(got);
        stream.write_all(&plan.bytes[said..due])?;
        let ends_now = said < plan.limit && due == plan.limit;
        said = due;
        match plan.ending {
            Ending::Reset if ends_now => {
                return SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            Ending::Half if ends_now => stream.shutdown(std::net::Shutdown::Write)?,
            Ending::Last | Ending::Half | Ending::Reset => {}
        }
    }
    if got < total {
        tally.count(&format!(
            "{WRONG} end at a backend of TCP, of what was reset"
        ));
    }
    Ok(())
}

/// Returns the bytes of a seed: none look like those of another.
fn noise(seed: u64, total: usize) -> Vec<u8> {
    let mut bytes = vec![0; total];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

const HELLO_LEN: usize = 12;
const GREETING_LEN: usize = 5;
/// So many bytes are said at once at most.
const PART: usize = 200_000;
