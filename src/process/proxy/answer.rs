//! The answers the proxy gives itself: a status and one line that says why.
//!
//! Plain text, never stored by caches. The line names what failed, the pool and the backend, and
//! begins with one word that is the same every time, for people who search logs.

use std::sync::Arc;

use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::downstream::watch::Watch;
use super::message::{Answer, AnswerBody};

/// An answer of our own.
#[derive(Debug)]
pub(super) struct Own {
    /// Its status.
    pub(super) status: StatusCode,
    /// One word that never changes.
    pub(super) token: &'static str,
    /// The rest of the line.
    pub(super) why: String,
    /// What becomes of the client's connection.
    pub(super) then: Then,
}

/// What becomes of the client's connection after an answer of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is kept: the request was read to its end, or can be.
    Keep,
    /// It is closed: what follows on it cannot be trusted.
    Close,
}

impl Own {
    /// Returns the message to send.
    pub(super) fn into_answer(self, watch: Arc<Watch>) -> Answer {
        let body = format!("{}: {}\n", self.token, self.why);
        let mut answer = Response::new(AnswerBody::own(body, watch));
        *answer.status_mut() = self.status;
        let fields = answer.headers_mut();
        fields.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            let allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
            fields.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.then == Then::Close {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// Written as it is when a request does not come to its end in time.
pub(super) const REQUEST_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\n\
content-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\ncontent-length: 61\r\n\
connection: close\r\n\r\nrequest_timeout: the request did not come to its end in time\n";

/// Written as it is to a client that is one too many.
pub(super) const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
content-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\ncontent-length: 49\r\n\
connection: close\r\n\r\nconnections_exhausted: too many open connections\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_answers_state_their_length() {
        for answer in [REQUEST_TIMEOUT, TOO_MANY_CONNECTIONS] {
            let text = std::str::from_utf8(answer).expect("text");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
            let length = format!("content-length: {}\r\n", body.len());
            assert!(head.contains(&length), "{head:?} should say {length:?}");
        }
    }
}
