//! Raw frames (RFC 9113 §4.1), for what `h2` does not send.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};

use crate::common::{PATIENCE, Wire};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const HAS_PRIORITY: u8 = 32;

/// A frame that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Returns the number at a place of its payload.
    pub(crate) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A client that says what it likes.
pub(crate) struct Raw(TcpStream);

impl Raw {
    /// Connects, and begins as it should.
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let mut raw = Self::plain(to);
        raw.send(PREFACE);
        raw.frame(SETTINGS, 0, 0, &[]);
        raw
    }

    /// Connects.
    pub(crate) fn plain(to: SocketAddr) -> Self {
        Self(Wire::connect(to).stream)
    }

    /// Accepts what has connected, as a backend that begins as it should.
    pub(crate) fn accepted(wire: &Wire) -> Self {
        let mut raw = Self(wire.stream.try_clone().unwrap());
        raw.0.read_exact(&mut [0; PREFACE.len()]).unwrap();
        raw.frame(SETTINGS, 0, 0, &[]);
        raw
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // It may be closed already, which is what is tested.
        let _ = std::io::Write::write_all(&mut self.0, bytes);
    }

    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send(&frame(kind, flags, stream, payload));
    }

    /// Asks with GET on a stream.
    pub(crate) fn get(&mut self, stream: u32, path: &str) {
        let fields = head("GET", path);
        self.frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields);
    }

    /// Begins a request whose body is to follow.
    pub(crate) fn post(&mut self, stream: u32, path: &str) {
        self.frame(HEADERS, END_HEADERS, stream, &head("POST", path));
    }

    /// Asks with a head as it is, and with nothing behind it.
    pub(crate) fn ask(&mut self, stream: u32, block: &[u8]) {
        self.frame(HEADERS, END_HEADERS | END_STREAM, stream, block);
    }

    /// Says settings, each a number and its value.
    pub(crate) fn settings(&mut self, settings: &[(u16, u32)]) {
        let setting = |&(name, value): &(u16, u32)| {
            let (name, value) = (name.to_be_bytes(), value.to_be_bytes());
            [&name[..], &value[..]].concat()
        };
        let payload: Vec<u8> = settings.iter().flat_map(setting).collect();
        self.frame(SETTINGS, 0, 0, &payload);
    }

    /// Says that so much more may be sent.
    pub(crate) fn room(&mut self, stream: u32, bytes: u32) {
        self.frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
    }

    /// Resets a stream: CANCEL.
    pub(crate) fn reset(&mut self, stream: u32) {
        self.frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    }

    /// Reads until a stream ends, as it should.
    pub(crate) fn answered(&mut self, stream: u32) {
        loop {
            let frame = self.next().expect("it is answered");
            let ends = matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0;
            if frame.stream == stream && ends {
                return;
            }
        }
    }

    /// Returns what comes up to the answer to a PING.
    pub(crate) fn up_to_now(&mut self) -> Vec<Frame> {
        self.frame(PING, 0, 0, b"up2  now");
        let mut frames = Vec::new();
        loop {
            let frame = self.next().expect("a PING is answered");
            if frame.kind == PING && frame.flags & ACK != 0 {
                assert_eq!((frame.stream, &frame.payload[..]), (0, &b"up2  now"[..]));
                return frames;
            }
            frames.push(frame);
        }
    }

    /// Returns whether the connection is over, once no frame has come.
    pub(crate) fn is_over(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    /// Returns the next frame; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; len as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..].try_into().unwrap()),
            payload,
        })
    }

    /// Returns the next frame of a kind, past all others; `None` at the end.
    pub(crate) fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            let is_ack = matches!(kind, SETTINGS | PING) && frame.flags & ACK != 0;
            if frame.kind == kind && !is_ack {
                return Some(frame);
            }
        }
    }
}

/// Returns a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = len[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Returns fields as HPACK has them without its tables (RFC 7541 §6.2.2).
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            number(text.len(), &mut block);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// RFC 7541 §5.1, with a prefix of seven bits.
fn number(mut number: usize, out: &mut Vec<u8>) {
    if let Ok(short @ 0..127) = u8::try_from(number) {
        out.push(short);
        return;
    }
    out.push(127);
    number -= 127;
    while number >= 128 {
        out.push(u8::try_from(number % 128).unwrap() | 128);
        number /= 128;
    }
    out.push(u8::try_from(number).unwrap());
}

/// Returns the head of a request.
pub(crate) fn head(method: &str, path: &str) -> Vec<u8> {
    fields(&[
        (":method", method),
        (":scheme", "http"),
        (":authority", "example.org"),
        (":path", path),
    ])
}

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
