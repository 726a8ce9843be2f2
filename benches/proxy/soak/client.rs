//! The clients of the soak: each has a habit, and looks at every answer it gets.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use super::garbage::{SURPLUS, UNASKED};
use super::message::{Framing, Reader, body, chunked, fields, framing};
use super::wire::{Wire, secure};
use super::{TAKEN, Tally, WRONG};
use crate::wire::{TOKEN_LEN, is_body_at, token_text};

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

/// A request of a client.
struct Wish {
    token: [u8; TOKEN_LEN],
    response_bytes: usize,
    request_bytes: usize,
}

/// Where clients come, and every other time by TLS where that is spoken.
pub(super) struct Doors {
    pub(super) port: u16,
    pub(super) secure: Option<(u16, Arc<ClientConfig>)>,
}

/// Lives by a habit until the soak is over.
pub(super) fn live(habit: Habit, doors: Doors, tally: &Tally) {
    let mut client = Client {
        habit,
        doors,
        tally,
        chance: fastrand::Rng::new(),
    };
    while !tally.is_over() {
        if let Err(error) = client.connection() {
            client.note(&format!("cut ({})", kind(&error)));
        }
    }
}

fn kind(error: &io::Error) -> String {
    format!("{:?}", error.kind())
}

struct Client<'a> {
    habit: Habit,
    doors: Doors,
    tally: &'a Tally,
    chance: fastrand::Rng,
}

impl Client<'_> {
    fn note(&self, what: &str) {
        self.tally.count(&named(self.habit, what));
    }

    /// Counts what must never be, and shows the first few.
    fn wrong(&self, what: &str, head: &[u8]) {
        let what = named(self.habit, &format!("{WRONG} {what}"));
        if self.tally.count(&what) <= SHOWN {
            eprintln!(
                "{what}: {:.400}",
                format!("{:?}", String::from_utf8_lossy(head))
            );
        }
    }

    /// Returns whether an answer bears the token of its request, or counts whose it is.
    fn is_ours(&self, head: &[u8], wish: &Wish) -> bool {
        let stranger = fields(head, "x-token").find(|token| *token != wish.token);
        match stranger {
            None => true,
            Some(token) if token == token_text(SURPLUS) => {
                self.wrong(
                    "surplus bytes behind an answer, taken for the next one",
                    head,
                );
                false
            }
            // A request was on its way when the backend spoke: nobody can tell, unless it happens
            // often.
            Some(token) if token == token_text(UNASKED) => {
                self.tally.count(TAKEN);
                false
            }
            Some(_) => {
                self.wrong("answer of another request", head);
                false
            }
        }
    }

    /// Lives one connection.
    fn connection(&mut self) -> io::Result<()> {
        let host = Ipv4Addr::new(127, 0, 0, self.chance.u8(1..100));
        let door = self.doors.secure.clone().filter(|_| self.chance.bool());
        let port = door.as_ref().map_or(self.doors.port, |(port, _)| *port);
        let socket = TcpStream::connect_timeout(&(host, port).into(), PATIENCE)?;
        let stream = match door {
            None => Wire::Plain(socket),
            Some((_, config)) => self.secured(&config, socket)?,
        };
        let mut reader = Reader::new(stream, PATIENCE)?;
        for _ in 0..self.requests() {
            if self.tally.is_over() {
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

    /// Shakes hands; nothing that goes on excuses one that fails.
    fn secured(&self, config: &Arc<ClientConfig>, socket: TcpStream) -> io::Result<Wire> {
        match secure(config, socket, PATIENCE) {
            Ok((wire, is_resumed)) => {
                self.note(if is_resumed { "resumed" } else { "shook hands" });
                Ok(wire)
            }
            Err(error) => {
                self.wrong("handshake", error.to_string().as_bytes());
                Err(error)
            }
        }
    }

    fn requests(&mut self) -> usize {
        match self.habit {
            Habit::KeepAlive | Habit::Uploads => self.chance.usize(1..200),
            Habit::Pipelining => self.chance.usize(1..20),
            Habit::NewConnections | Habit::AbortedUploads | Habit::AbortedDownloads => 1,
        }
    }

    fn wish(&mut self) -> Wish {
        let sizes = [64, 500, 4_000, 17_000, 70_000, 300_000];
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
            let Some(head) = reader.head().inspect_err(|error| self.failed(error))? else {
                self.note("cut before the answer");
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
            self.wrong("garbage in the head of an answer", &head);
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
            self.wrong("status or token", &head);
            return Ok(false);
        }
        self.note(&format!("error {status}"));
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
            self.wrong("bytes in a body", &[place.as_bytes(), &stranger].concat());
            return read;
        }
        match read {
            Ok(()) if got == total => self.note("answered"),
            Ok(()) if framing == Framing::Close => self.note("cut, delimited by close"),
            Ok(()) => self.wrong(
                "length",
                format!("{framing:?}, {got} of {total}").as_bytes(),
            ),
            Err(error) => {
                self.failed(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Counts an error of reading that may not be.
    fn failed(&self, error: &io::Error) {
        if matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        ) {
            self.wrong("wait: not a byte for seconds", b"");
        }
        if error.kind() == io::ErrorKind::InvalidData {
            self.wrong("framing", error.to_string().as_bytes());
        }
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
            while let Some(head) = reader.head().inspect_err(|error| self.failed(error))? {
                if self.is_ours(&head, &wish) && head.starts_with(b"HTTP/1.1 2") {
                    self.wrong("success of an upload that was not complete", &head);
                }
                reader.body(super::message::framing(&head, Framing::Close), |_| true)?;
            }
            self.note("aborted by half-close");
        } else {
            socket2::SockRef::from(reader.stream().socket()).set_linger(Some(Duration::ZERO))?;
            self.note("aborted by reset");
        }
        Ok(())
    }

    fn abort_download(&mut self, mut reader: Reader) -> io::Result<()> {
        let wish = self.wish();
        reader
            .stream()
            .write_all(&request(&wish, Framing::Length(0)))?;
        let Some(head) = reader.head().inspect_err(|error| self.failed(error))? else {
            self.note("cut before the answer");
            return Ok(());
        };
        if self.is_ours(&head, &wish) {
            // Not every byte is read, and the connection is dropped: the kernel answers what
            // follows with a reset.
            std::thread::sleep(Duration::from_millis(self.chance.u64(0..20)));
            self.note("aborted");
        }
        Ok(())
    }
}

/// The first word sorts; the habit follows.
fn named(habit: Habit, what: &str) -> String {
    let (first, rest) = what.split_once(' ').unwrap_or((what, ""));
    format!("{first} {}: {rest}", habit.name())
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
    let token = String::from_utf8_lossy(&wish.token).into_owned();
    let method = if wish.request_bytes > 0 {
        "POST"
    } else {
        "GET"
    };
    let mut bytes = format!(
        "{method} /r/{:08x}/{:08x}/{token} HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: soak\r\n",
        wish.response_bytes, wish.request_bytes
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

/// A client that waits longer for a byte has been forgotten.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many of each kind of what must never be are shown.
const SHOWN: u64 = 2;
