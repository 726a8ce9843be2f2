//! The answers the proxy gives itself: a status and one line that says why, or a page.
//!
//! The line is plain text, never stored by caches. It names what failed and begins with one word
//! that is the same every time, for people who search logs. What an administrator has written takes
//! its place. Pure.

mod page;

use std::sync::Arc;

use super::date::DATE_BYTES;
use super::head::{Persistence, Version};
use super::response::{AskedMethod, write_persistence, write_status_line};
use crate::model::write_number;

pub use self::page::PageTemplate;

/// A response that the proxy gives itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// Its status.
    pub status: u16,
    /// One word that never changes.
    pub token: &'static str,
    /// The rest of the line.
    pub why: String,
    /// What is sent in the place of the line.
    pub page: Option<Page>,
    /// More lines of the head, each with its end.
    pub fields: Vec<u8>,
}

/// A text that an administrator has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its media type (RFC 9110 §8.3.1).
    pub content_type: Arc<str>,
    /// The text, which may be empty.
    pub body: Arc<[u8]>,
}

impl LocalReply {
    /// Returns an answer of one line.
    pub const fn line(status: u16, token: &'static str, why: String) -> Self {
        Self {
            status,
            token,
            why,
            page: None,
            fields: Vec::new(),
        }
    }

    /// Returns the bytes of its body.
    fn body_len(&self) -> usize {
        match &self.page {
            Some(page) => page.body.len(),
            // The token, a colon and a space, the reason, and the end of the line.
            None => self.token.len() + 2 + self.why.len() + 1,
        }
    }

    /// Appends the head.
    pub fn write_head(
        &self,
        version: Version,
        persistence: Persistence,
        date: &[u8; DATE_BYTES],
        out: &mut Vec<u8>,
    ) {
        write_status_line(out, self.status, reason(self.status));
        let content_type = match &self.page {
            Some(page) => &page.content_type,
            None => "text/plain; charset=utf-8",
        };
        // RFC 9110 §15.3.5, §15.4.5: no body, and nothing that speaks of one.
        let has_body = !matches!(self.status, 204 | 304);
        if has_body {
            out.extend_from_slice(b"Content-Type: ");
            out.extend_from_slice(content_type.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        // RFC 9110 §15.4.2: a permanent redirection is kept by default.
        if self.page.is_none() && !matches!(self.status, 300..=399) {
            out.extend_from_slice(b"Cache-Control: no-store\r\n");
        }
        if matches!(
            self.token,
            "options_end" | "connect_refused" | "trace_refused" | "trace_end"
        ) {
            out.extend_from_slice(b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n");
        }
        out.extend_from_slice(&self.fields);
        if has_body {
            out.extend_from_slice(b"Content-Length: ");
            write_number(out, u64::try_from(self.body_len()).unwrap_or(u64::MAX));
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(date);
        out.extend_from_slice(b"\r\n");
        write_persistence(out, version, persistence);
        out.extend_from_slice(b"\r\n");
    }

    /// Appends the body, where there is one.
    pub fn write_body(&self, method: AskedMethod, out: &mut Vec<u8>) {
        if method == AskedMethod::Head || matches!(self.status, 204 | 304) {
            return;
        }
        if let Some(page) = &self.page {
            out.extend_from_slice(&page.body);
        } else {
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
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
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
        let token = match status {
            200 => "options_end",
            405 => "trace_refused",
            _ => "word",
        };
        written_as(
            &LocalReply::line(status, token, "the reason".to_owned()),
            method,
        )
    }

    fn written_as(answer: &LocalReply, method: AskedMethod) -> String {
        let mut out = Vec::new();
        let date = super::super::date::http_date(0);
        let (version, persistence) = (Version::Http11, Persistence::Close);
        answer.write_head(version, persistence, &date, &mut out);
        answer.write_body(method, &mut out);
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

    #[test]
    fn pages_take_the_place_of_the_line() {
        let page = |status, body: &str| LocalReply {
            page: Some(Page {
                content_type: "text/html".into(),
                body: body.as_bytes().into(),
            }),
            fields: b"Location: /x\r\n".to_vec(),
            ..LocalReply::line(status, "word", String::new())
        };
        let text = written_as(&page(302, "<p>"), AskedMethod::Other);
        assert!(text.ends_with("\r\n\r\n<p>"), "{text}");
        for line in [
            "Content-Type: text/html\r\n",
            "Location: /x\r\n",
            "Content-Length: 3\r\n",
        ] {
            assert!(text.contains(line), "{text:?} should have {line:?}");
        }
        assert!(!text.contains("Cache-Control"), "{text}");
        let text = written_as(&page(302, "<p>"), AskedMethod::Head);
        assert!(text.contains("Content-Length: 3\r\n") && text.ends_with("\r\n\r\n"));
        let text = written_as(&page(204, ""), AskedMethod::Other);
        assert!(!text.contains("Content-"), "RFC 9110 §8.6: {text}");
    }
}
