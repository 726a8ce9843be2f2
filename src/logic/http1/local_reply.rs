//! The answers the proxy gives itself: a status and one line that says why.
//!
//! Plain text, never stored by caches. The line names what failed and begins with one word that is
//! the same every time, for people who search logs. Pure.

use super::date::DATE_BYTES;
use super::head::{Persistence, Version};
use super::response::{AskedMethod, write_persistence, write_status_line};
use crate::model::write_number;

/// A response that the proxy gives itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// Its status.
    pub status: u16,
    /// One word that never changes.
    pub token: &'static str,
    /// The rest of the line.
    pub why: String,
}

impl LocalReply {
    /// Appends the whole answer.
    pub fn write(
        &self,
        method: AskedMethod,
        version: Version,
        persistence: Persistence,
        date: &[u8; DATE_BYTES],
        out: &mut Vec<u8>,
    ) {
        write_status_line(out, self.status, reason(self.status));
        out.extend_from_slice(
            b"Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n",
        );
        if matches!(self.status, 200 | 405) {
            out.extend_from_slice(b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n");
        }
        out.extend_from_slice(b"Content-Length: ");
        // The token, a colon and a space, the reason, and the end of the line.
        let length = self.token.len() + 2 + self.why.len() + 1;
        write_number(out, u64::try_from(length).unwrap_or(u64::MAX));
        out.extend_from_slice(b"\r\nDate: ");
        out.extend_from_slice(date);
        out.extend_from_slice(b"\r\n");
        write_persistence(out, version, persistence);
        out.extend_from_slice(b"\r\n");
        if method == AskedMethod::Other {
            out.extend_from_slice(self.token.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(self.why.as_bytes());
            out.push(b'\n');
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// Leave to send the body (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn written(status: u16, method: AskedMethod) -> String {
        let answer = LocalReply {
            status,
            token: "word",
            why: "the reason".to_owned(),
        };
        let mut out = Vec::new();
        let date = super::super::date::http_date(0);
        let (version, persistence) = (Version::Http11, Persistence::Close);
        answer.write(method, version, persistence, &date, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn answers_state_their_length_and_their_reason() {
        let text = written(502, AskedMethod::Other);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert_eq!(body, "word: the reason\n");
        assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{head}");
        let length = format!("Content-Length: {}\r\n", body.len());
        assert!(head.contains(&length), "{head:?} should say {length:?}");
        assert!(head.ends_with("Connection: close"), "{head}");
    }

    #[test]
    fn answers_to_head_have_no_body() {
        assert!(written(502, AskedMethod::Head).ends_with("\r\n\r\n"));
        assert!(written(405, AskedMethod::Head).contains("\r\nAllow: GET, "));
        let options = written(200, AskedMethod::Other);
        assert!(options.starts_with("HTTP/1.1 200 OK\r\n"), "{options}");
        assert!(options.contains("\r\nAllow: GET, "), "RFC 9110 §9.3.7");
    }
}
