//! One HTTP request from a host of the lab, with JSON both ways: to chromedriver and Prometheus.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use evenkeel::lab::namespace::host::Host;
use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    /// Returns its body as JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Asks from a host; `None` where nothing answers there.
pub(super) fn ask(host: &Host, at: SocketAddr, request: &Request<'_>) -> Option<Answer> {
    let stream = host.run(move || TcpStream::connect_timeout(&at, CONNECT_TIMEOUT));
    let stream = stream.unwrap().ok()?;
    exchange(stream, at, request).ok()
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'r> {
    pub(super) method: &'r str,
    pub(super) path: &'r str,
    pub(super) fields: &'r str,
    pub(super) body: &'r str,
}

impl<'r> Request<'r> {
    pub(super) const fn get(path: &'r str) -> Self {
        Self {
            method: "GET",
            path,
            fields: "",
            body: "",
        }
    }
}

fn exchange(
    mut stream: TcpStream,
    at: SocketAddr,
    request: &Request<'_>,
) -> std::io::Result<Answer> {
    let Request {
        method,
        path,
        fields,
        body,
    } = request;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {at}\r\n{fields}Content-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    read(stream)
}

/// Reads an answer; chromedriver keeps the connection open whatever it is told.
fn read(mut stream: TcpStream) -> std::io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut part = vec![0; 64 * 1024];
    loop {
        if let Some(answer) = whole(&bytes) {
            return Ok(answer);
        }
        match stream.read(&mut part)? {
            0 => {
                return whole_at_end(&bytes)
                    .ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into());
            }
            len => bytes.extend_from_slice(&part[..len]),
        }
    }
}

/// Returns the answer where its length is told and all of it has come.
fn whole(bytes: &[u8]) -> Option<Answer> {
    let (head, body) = split(bytes)?;
    let len: usize = field(&head, "content-length")?.parse().ok()?;
    (body.len() >= len).then(|| answer(&head, &body[..len]))
}

/// Returns the answer of a connection that has ended; its body may be in chunks.
fn whole_at_end(bytes: &[u8]) -> Option<Answer> {
    let (head, mut body) = split(bytes)?;
    if field(&head, "transfer-encoding").is_none() {
        return Some(answer(&head, body));
    }
    let mut all = Vec::new();
    loop {
        let end = body.windows(2).position(|it| it == b"\r\n")?;
        let len = usize::from_str_radix(std::str::from_utf8(&body[..end]).ok()?, 16).ok()?;
        if len == 0 {
            return Some(answer(&head, &all));
        }
        all.extend_from_slice(body.get(end + 2..end + 2 + len)?);
        body = body.get(end + 2 + len + 2..)?;
    }
}

fn split(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    Some((head, &bytes[end + 4..]))
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let found = fields.find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim())
}

fn answer(head: &str, body: &[u8]) -> Answer {
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    Answer {
        status: status.unwrap_or(0),
        body: String::from_utf8_lossy(body).into_owned(),
    }
}

/// Returns what a text in base 64 says.
pub(super) fn from_base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u8> = text.bytes().filter_map(digit).collect();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    for group in digits.chunks(4) {
        let value = group
            .iter()
            .fold(0_u32, |all, it| all << 6 | u32::from(*it));
        let value = value << (6 * (4 - group.len()));
        bytes.extend_from_slice(&value.to_be_bytes()[1..group.len()]);
    }
    bytes
}

#[test]
fn base64_of_every_length_is_read() {
    for (text, hoped) in [("TWFu", "Man"), ("TWE=", "Ma"), ("TQ==", "M"), ("", "")] {
        assert_eq!(from_base64(text), hoped.as_bytes(), "{text}");
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// More than a script in a browser may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(130);
