//! A visitor's connection: HTTP/1.1 as a client speaks it that looks at every byte.
//!
//! Each wait has a deadline: without a byte in either direction for so long, a request has failed.
//! It knows nothing of tokens or kinds.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::lab::probe::Failure;

/// An open connection and what has arrived on it unread.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
    arrived: Vec<u8>,
    patience: Duration,
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// The body's length; an answer without one is malformed here, as the lab's backends always say
    /// it.
    pub body_bytes: u64,
    /// Whether the connection can be used again.
    pub keeps: bool,
    /// `Sec-WebSocket-Accept`.
    pub accept: Option<String>,
}

impl Line {
    /// Connects; `patience` is how long it waits for anything.
    ///
    /// # Errors
    /// When the connection is refused, or not there in time.
    pub async fn open(target: SocketAddr, patience: Duration) -> Result<Self, Failure> {
        let stream = in_time(patience, TcpStream::connect(target)).await?;
        // Without it requests are only slower.
        let _ = stream.set_nodelay(true);
        Ok(Self {
            stream,
            arrived: Vec::new(),
            patience,
        })
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// When the connection breaks, or takes nothing in time.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        in_time(self.patience, self.stream.write_all(bytes)).await
    }

    /// Reads the head of a final answer, which may come so much later than patience allows.
    ///
    /// # Errors
    /// When it is malformed or too long, does not come in time, or the connection ends.
    pub async fn head(&mut self, delay: Duration) -> Result<Head, Failure> {
        loop {
            if let Some((head, len)) = parse(&self.arrived)? {
                self.arrived.drain(..len);
                if head.status >= 200 || head.status == SWITCHING_PROTOCOLS {
                    return Ok(head);
                }
                continue;
            }
            if self.arrived.len() > HEAD_BYTES_MAX {
                return Err(Failure::Malformed);
            }
            self.more(self.patience + delay).await?;
        }
    }

    /// Returns the next bytes of a body of which so many are to come; never none.
    ///
    /// # Errors
    /// When nothing comes in time, or the connection ends.
    pub async fn piece(&mut self, left: u64) -> Result<Vec<u8>, Failure> {
        if self.arrived.is_empty() {
            self.more(self.patience).await?;
        }
        let take = usize::try_from(left).unwrap_or(usize::MAX);
        let rest = self.arrived.split_off(take.min(self.arrived.len()));
        Ok(std::mem::replace(&mut self.arrived, rest))
    }

    /// Waits for more bytes and returns all that have arrived, to take from.
    ///
    /// # Errors
    /// When nothing comes in time, or the connection ends.
    pub async fn wait(&mut self) -> Result<&mut Vec<u8>, Failure> {
        self.more(self.patience).await?;
        Ok(&mut self.arrived)
    }

    /// Returns what has arrived unread.
    pub fn arrived(&mut self) -> &mut Vec<u8> {
        &mut self.arrived
    }

    /// Waits until the connection ends, for whatever reason, or something arrives that was not
    /// asked for.
    pub async fn broken(&mut self) -> Broken {
        if !self.arrived.is_empty() {
            return Broken::Unsolicited;
        }
        let mut byte = [0];
        match self.stream.read(&mut byte).await {
            Ok(0) | Err(_) => Broken::Closed,
            Ok(_) => Broken::Unsolicited,
        }
    }

    async fn more(&mut self, patience: Duration) -> Result<(), Failure> {
        match in_time(patience, self.stream.read_buf(&mut self.arrived)).await? {
            0 => Err(Failure::Reset),
            _ => Ok(()),
        }
    }
}

/// How an idle connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It was closed or reset.
    Closed,
    /// Something came that nobody asked for.
    Unsolicited,
}

async fn in_time<T>(
    patience: Duration,
    step: impl Future<Output = io::Result<T>>,
) -> Result<T, Failure> {
    match timeout(patience, step).await {
        Ok(outcome) => outcome.map_err(Failure::from),
        Err(_) => Err(Failure::Timeout),
    }
}

/// Parses a head; `None` while it is not whole. It is not our own codec's work, whose answers it is
/// to judge.
fn parse(arrived: &[u8]) -> Result<Option<(Head, usize)>, Failure> {
    let Some(end) = arrived.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&arrived[..end]).map_err(|_| Failure::Malformed)?;
    let mut lines = text.split("\r\n");
    let first = lines.next().and_then(|line| line.split_once(' '));
    let (version, rest) = first.ok_or(Failure::Malformed)?;
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(Failure::Malformed);
    }
    let status = rest.get(..3).and_then(|code| code.parse().ok());
    let status: u16 = status.ok_or(Failure::Malformed)?;
    let (mut closes, mut length, mut accept) = (version == "HTTP/1.0", None, None);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(Failure::Malformed)?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "connection" => closes |= value.eq_ignore_ascii_case("close"),
            "content-length" => length = Some(value.parse().map_err(|_| Failure::Malformed)?),
            "sec-websocket-accept" => accept = Some(value.to_owned()),
            _ => {}
        }
    }
    if length.is_none() && status == 200 {
        return Err(Failure::Malformed);
    }
    let head = Head {
        status,
        body_bytes: length.unwrap_or(0),
        keeps: !closes && (length.is_some() || status < 200),
        accept,
    };
    Ok(Some((head, end + 4)))
}

/// The status of an upgrade.
pub const SWITCHING_PROTOCOLS: u16 = 101;
const HEAD_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
mod tests {
    use super::*;

    #[test]
    fn head_says_length_and_whether_the_connection_stays() {
        let (head, len) = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .unwrap()
            .unwrap();
        assert_eq!((head.status, head.body_bytes, len), (200, 5, 38));
        assert!(head.keeps);
        for last in [
            &b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.0 503 Service Unavailable\r\n\r\n",
        ] {
            assert!(!parse(last).unwrap().unwrap().0.keeps);
        }
    }

    #[test]
    fn head_is_parsed_when_it_is_whole_and_well_formed() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\ncontent-len"), Ok(None));
        for wrong in [
            &b"HTTP/1.1 200 OK\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\n",
            b"hello\r\n\r\n",
        ] {
            assert_eq!(parse(wrong), Err(Failure::Malformed));
        }
    }
}
