//! Blocking reading of HTTP messages, with a deadline, for the clients and backends of the soak.

use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};

use super::wire::Wire;
use crate::wire::{TOKEN_LEN, head_end};

/// A request of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) token: [u8; TOKEN_LEN],
    pub(super) response_bytes: usize,
    pub(super) request_bytes: usize,
    /// Whose connection it comes on, where a header of the PROXY protocol has said so.
    pub(super) told: Option<IpAddr>,
}

impl Wish {
    /// Returns its path.
    pub(super) fn path(&self) -> String {
        format!(
            "/r/{:08x}/{:08x}/{}",
            self.response_bytes,
            self.request_bytes,
            String::from_utf8_lossy(&self.token)
        )
    }

    /// Returns its method.
    pub(super) const fn method(&self) -> &'static str {
        if self.request_bytes > 0 {
            "POST"
        } else {
            "GET"
        }
    }
}

/// The reading half of a connection.
pub(super) struct Reader {
    stream: Wire,
    buf: Vec<u8>,
    /// What of `buf` was handed out.
    used: usize,
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its length.
    Length(usize),
    /// In chunks.
    Chunked,
    /// By the end of the connection.
    Close,
}

impl Reader {
    /// Reads from a connection; no read waits longer than this.
    pub(super) fn new(stream: Wire, patience: Duration) -> io::Result<Self> {
        stream.socket().set_read_timeout(Some(patience))?;
        stream.socket().set_write_timeout(Some(patience))?;
        stream.socket().set_nodelay(true)?;
        Ok(Self {
            stream,
            buf: Vec::new(),
            used: 0,
        })
    }

    /// Returns the connection, to write to it.
    pub(super) const fn stream(&mut self) -> &mut Wire {
        &mut self.stream
    }

    /// Returns whether nothing comes for so long.
    pub(super) fn is_silent_for(&self, ms: u16) -> bool {
        let mut waits = [PollFd::new(self.stream.socket().as_fd(), PollFlags::POLLIN)];
        self.rest().is_empty() && poll(&mut waits, ms).is_ok_and(|ready| ready == 0)
    }

    fn rest(&self) -> &[u8] {
        &self.buf[self.used..]
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.used == self.buf.len() {
            self.buf.clear();
            self.used = 0;
        }
        let mut more = [0; 16 << 10];
        let read = self.stream.read(&mut more)?;
        self.buf.extend_from_slice(&more[..read]);
        Ok(read)
    }

    /// Returns a head with its empty line; `None` where the connection ends before its first byte.
    pub(super) fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = head_end(self.rest()) {
                let head = self.rest()[..end].to_vec();
                self.used += end;
                return Ok(Some(head));
            }
            if self.rest().len() > HEAD_BYTES_MAX {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "an endless head",
                ));
            }
            if self.fill()? == 0 {
                return if self.rest().is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Hands the bytes of a body to `take` as they come, until the body ends or `take` says no.
    pub(super) fn body(
        &mut self,
        framing: Framing,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> io::Result<()> {
        match framing {
            Framing::Length(length) => self.part(length, &mut take),
            Framing::Close => loop {
                if self.rest().is_empty() && self.fill()? == 0 {
                    return Ok(());
                }
                let part = self.rest().len();
                self.part(part, &mut take)?;
            },
            Framing::Chunked => loop {
                let line = self.line()?;
                let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
                let size = std::str::from_utf8(size)
                    .ok()
                    .and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
                let size = size.ok_or_else(|| {
                    io::Error::new(io::ErrorKind::InvalidData, "not a chunk size")
                })?;
                if size == 0 {
                    while !self.line()?.is_empty() {}
                    return Ok(());
                }
                self.part(size, &mut take)?;
                if !self.line()?.is_empty() {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "no end of a chunk",
                    ));
                }
            },
        }
    }

    fn part(&mut self, mut left: usize, take: &mut impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        while left > 0 {
            if self.rest().is_empty() && self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let part = left.min(self.rest().len());
            if !take(&self.rest()[..part]) {
                return Err(io::Error::other("wrong bytes"));
            }
            self.used += part;
            left -= part;
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.rest().iter().position(|byte| *byte == b'\n') {
                let line = self.rest()[..end].trim_ascii_end().to_vec();
                self.used += end + 1;
                return Ok(line);
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Returns the values of a field.
pub(super) fn fields<'a>(head: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    head.split(|byte| *byte == b'\n')
        .skip(1)
        .filter_map(move |line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            line[..colon]
                .eq_ignore_ascii_case(name.as_bytes())
                .then(|| line[colon + 1..].trim_ascii())
        })
}

/// Returns how the body after a head is delimited; `otherwise` where it does not say.
pub(super) fn framing(head: &[u8], otherwise: Framing) -> Framing {
    if fields(head, "transfer-encoding").next().is_some() {
        return Framing::Chunked;
    }
    let length = fields(head, "content-length").next();
    let length = length.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    length.map_or(otherwise, Framing::Length)
}

/// Returns a body with its token at both ends.
pub(super) fn body(total: usize, token: &[u8; TOKEN_LEN]) -> Vec<u8> {
    let mut body = crate::wire::filler()[..total].to_vec();
    body[..TOKEN_LEN].copy_from_slice(token);
    body[total - TOKEN_LEN..].copy_from_slice(token);
    body
}

/// Returns a body in chunks of uneven sizes.
pub(super) fn chunked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 256);
    let mut rest = body;
    let mut size = 7;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = after;
        size = (size * 3).min(50_000);
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// How long bodies are, with a few bytes more.
pub(super) const SIZES: [usize; 6] = [64, 500, 4_000, 17_000, 70_000, 300_000];
/// The field by which backends are told who the client is that the proxy should name.
pub(super) const TOLD: &str = "x-told";
/// The field of an answer that ends with the connection of its backend: it may be short.
pub(super) const UNTIL: &str = "x-until";
/// The field of an answer that did not wait for the upload.
pub(super) const EARLY: &str = "x-early";
/// A client that waits longer for a byte has been forgotten.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 64 << 10;
