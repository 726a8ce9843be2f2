//! The clients of the soak: each has a habit, and looks at every answer it gets.

use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::message::{
    EARLY, Framing, PATIENCE, Reader, SIZES, TOLD, Wish, body, chunked, fields, framing,
};
use super::site::{Pool, Ways};
use super::{Notes, Tally};
use crate::wire::{is_body_at, token_text};

/// What a client does over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// Many requests on one connection.
    KeepAlive,
    /// One request on each connection.
    NewConnections,
    /// Several requests in one write.
    Pipelining,
    /// Uploads, with a length and in chunks.
    Uploads,
    /// Uploads that end half-way.
    AbortedUploads,
    /// Downloads that nobody reads to their end.
    AbortedDownloads,
}

impl Habit {
    /// Who is there, and how many of them.
    pub(super) const CROWD: [(Self, usize); 6] = [
        (Self::KeepAlive, 6),
        (Self::NewConnections, 3),
        (Self::Pipelining, 3),
        (Self::Uploads, 3),
        (Self::AbortedUploads, 3),
        (Self::AbortedDownloads, 3),
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::NewConnections => "new connections",
            Self::Pipelining => "pipelining",
            Self::Uploads => "uploads",
            Self::AbortedUploads => "aborted uploads",
            Self::AbortedDownloads => "aborted downloads",
        }
    }
}

/// Lives by a habit until the soak is over.
pub(super) fn live(habit: Habit, ways: Ways, tally: &Arc<Tally>) {
    let mut client = Client {
        habit,
        ways,
        notes: Notes::new(habit.name(), tally),
        chance: fastrand::Rng::new(),
        told: None,
    };
    while !client.notes.is_over() {
        if let Err(error) = client.connection() {
            client.notes.note(&format!("cut ({:?})", error.kind()));
        }
    }
}

struct Client {
    habit: Habit,
    ways: Ways,
    notes: Notes,
    chance: fastrand::Rng,
    /// Who the client of this connection is.
    told: Option<IpAddr>,
}

impl Client {
    /// Lives one connection.
    fn connection(&mut self) -> io::Result<()> {
        let door = self
            .ways
            .pick(&mut self.chance, |door| door.pool != Pool::Echo)
            .filter(|_| self.chance.u8(..8) > 0);
        let entry = self.ways.open(door, &mut self.chance, &mut self.notes)?;
        self.told = entry.told;
        let mut reader = Reader::new(entry.wire, PATIENCE)?;
        for _ in 0..self.requests() {
            if self.notes.is_over() {
                break;
            }
            let goes_on = match self.habit {
                Habit::KeepAlive | Habit::NewConnections | Habit::Uploads => {
                    self.exchange(&mut reader, 1)?
                }
                Habit::Pipelining => {
                    let count = self.chance.usize(2..10);
                    self.exchange(&mut reader, count)?
                }
                Habit::AbortedUploads => return self.abort_upload(reader),
                Habit::AbortedDownloads => return self.abort_download(reader),
            };
            if !goes_on {
                break;
            }
            std::thread::sleep(Duration::from_micros(self.chance.u64(0..3_000)));
        }
        Ok(())
    }

    fn requests(&mut self) -> usize {
        match self.habit {
            Habit::KeepAlive | Habit::Uploads => self.chance.usize(1..200),
            Habit::Pipelining => self.chance.usize(1..20),
            Habit::NewConnections | Habit::AbortedUploads | Habit::AbortedDownloads => 1,
        }
    }

    fn wish(&mut self) -> Wish {
        let sizes = SIZES;
        let (response, request) = match self.habit {
            Habit::KeepAlive | Habit::NewConnections => (sizes[self.chance.usize(..6)], 0),
            Habit::Pipelining => (sizes[self.chance.usize(..4)], 0),
            Habit::Uploads => (64, sizes[self.chance.usize(..6)]),
            Habit::AbortedUploads => (64, sizes[self.chance.usize(2..6)]),
            Habit::AbortedDownloads => (2 << 20, 0),
        };
        Wish {
            token: token_text(self.chance.u64(..)),
            response_bytes: response + self.chance.usize(..50),
            request_bytes: if request == 0 {
                0
            } else {
                request + self.chance.usize(..50)
            },
            told: self.told,
        }
    }

    /// Writes so many requests at once, and reads as many answers; returns whether the connection
    /// can be used again.
    fn exchange(&mut self, reader: &mut Reader, count: usize) -> io::Result<bool> {
        let wishes: Vec<Wish> = (0..count).map(|_| self.wish()).collect();
        let mut bytes = Vec::new();
        for wish in &wishes {
            let framing = if self.chance.bool() {
                Framing::Chunked
            } else {
                Framing::Length(wish.request_bytes)
            };
            bytes.extend(request(wish, framing));
        }
        // An early answer (502) may have come: what counts is what can be read.
        let written = reader.stream().write_all(&bytes);
        for wish in &wishes {
            if !self.answer(reader, wish)? {
                return Ok(false);
            }
        }
        written.map(|()| true)
    }

    /// Reads an answer and looks at it; returns whether another may follow.
    fn answer(&self, reader: &mut Reader, wish: &Wish) -> io::Result<bool> {
        let head = loop {
            let Some(head) = reader
                .head()
                .inspect_err(|error| self.notes.failed(error))?
            else {
                self.notes.note("cut before the answer");
                return Ok(false);
            };
            // Interim responses.
            if head.get(9) != Some(&b'1') || head.starts_with(b"HTTP/1.1 101") {
                break head;
            }
        };
        if !self.is_ours(&head, wish) {
            return Ok(false);
        }
        if !is_sound(&head) {
            self.notes.wrong("garbage in the head of an answer", &head);
            return Ok(false);
        }
        let closes = fields(&head, "connection").any(|value| value.eq_ignore_ascii_case(b"close"));
        let framing = framing(&head, Framing::Close);
        let goes_on = !closes && framing != Framing::Close;
        let status = String::from_utf8_lossy(head.get(9..12).unwrap_or_default()).into_owned();
        if status == "200" && fields(&head, "x-token").count() == 1 {
            self.body(reader, wish, framing)?;
            return Ok(goes_on);
        }
        if !["408", "500", "502", "503", "504"].contains(&status.as_str()) {
            self.notes.wrong("status or token", &head);
            return Ok(false);
        }
        self.notes.note(&format!("error {status}"));
        reader.body(framing, |_| true)?;
        Ok(goes_on)
    }

    fn body(&self, reader: &mut Reader, wish: &Wish, framing: Framing) -> io::Result<()> {
        let total = wish.response_bytes;
        let (mut got, mut stranger) = (0, Vec::new());
        let read = reader.body(framing, |bytes| {
            let is_right_at = |at: usize| is_body_at(&bytes[at..=at], got + at, total, &wish.token);
            if !is_body_at(bytes, got, total, &wish.token) {
                let first = (0..bytes.len()).find(|at| !is_right_at(*at)).unwrap_or(0);
                got += first;
                stranger = bytes[first..].to_vec();
                return false;
            }
            got += bytes.len();
            true
        });
        if !stranger.is_empty() {
            let place = format!("{framing:?}, from byte {got} of {total}: ");
            self.notes
                .wrong("bytes in a body", &[place.as_bytes(), &stranger].concat());
            return read;
        }
        match read {
            Ok(()) if got == total => self.notes.note("answered"),
            Ok(()) if framing == Framing::Close => self.notes.note("cut, delimited by close"),
            Ok(()) => self.notes.wrong(
                "length",
                format!("{framing:?}, {got} of {total}").as_bytes(),
            ),
            Err(error) => {
                self.notes.failed(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    fn is_ours(&self, head: &[u8], wish: &Wish) -> bool {
        self.notes.is_ours(fields(head, "x-token"), wish, head)
    }

    fn abort_upload(&mut self, mut reader: Reader) -> io::Result<()> {
        let wish = self.wish();
        let framing = if self.chance.bool() {
            Framing::Chunked
        } else {
            Framing::Length(wish.request_bytes)
        };
        let bytes = request(&wish, framing);
        // Never the whole: the last chunk alone is 5 bytes.
        let part = self.chance.usize(..bytes.len() - 6);
        reader.stream().write_all(&bytes[..part])?;
        std::thread::sleep(Duration::from_micros(self.chance.u64(0..5_000)));
        if self.chance.bool() {
            reader.stream().end()?;
            while let Some(head) = reader
                .head()
                .inspect_err(|error| self.notes.failed(error))?
            {
                let is_early = fields(&head, EARLY).next().is_some();
                let is_success = head.starts_with(b"HTTP/1.1 2") && !is_early;
                if self.is_ours(&head, &wish) && is_success {
                    self.notes
                        .wrong("success of an upload that was not complete", &head);
                }
                reader.body(super::message::framing(&head, Framing::Close), |_| true)?;
            }
            self.notes.note("aborted by half-close");
        } else {
            socket2::SockRef::from(reader.stream().socket()).set_linger(Some(Duration::ZERO))?;
            self.notes.note("aborted by reset");
        }
        Ok(())
    }

    fn abort_download(&mut self, mut reader: Reader) -> io::Result<()> {
        let wish = self.wish();
        reader
            .stream()
            .write_all(&request(&wish, Framing::Length(0)))?;
        let Some(head) = reader
            .head()
            .inspect_err(|error| self.notes.failed(error))?
        else {
            self.notes.note("cut before the answer");
            return Ok(());
        };
        if self.is_ours(&head, &wish) {
            // Not every byte is read, and the connection is dropped: the kernel answers what
            // follows with a reset.
            std::thread::sleep(Duration::from_millis(self.chance.u64(0..20)));
            self.notes.note("aborted");
        }
        Ok(())
    }
}

/// Whether a head has one framing at most, a length of digits, and no NUL.
fn is_sound(head: &[u8]) -> bool {
    let lengths: Vec<&[u8]> = fields(head, "content-length").collect();
    let digits = lengths
        .iter()
        .all(|length| length.iter().all(u8::is_ascii_digit));
    let framings = lengths.len() + fields(head, "transfer-encoding").count();
    digits && framings <= 1 && !head.contains(&0)
}

fn request(wish: &Wish, framing: Framing) -> Vec<u8> {
    let told = wish.told.map(|client| format!("{TOLD}: {client}\r\n"));
    let mut bytes = format!(
        "{} {} HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: soak\r\n{}",
        wish.method(),
        wish.path(),
        told.unwrap_or_default()
    )
    .into_bytes();
    if wish.request_bytes == 0 {
        bytes.extend_from_slice(b"\r\n");
        return bytes;
    }
    let body = body(wish.request_bytes, &wish.token);
    match framing {
        Framing::Chunked => {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            bytes.extend(chunked(&body));
        }
        Framing::Length(_) | Framing::Close => {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            bytes.extend(body);
        }
    }
    bytes
}
