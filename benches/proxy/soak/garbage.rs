//! What the backend that answers garbage says: every kind bears a token, so that a client who gets
//! it can tell.

use super::message::{body, chunked};
use crate::wire::{TOKEN_LEN, token_text};

/// What the backend does after it has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It waits for the next request.
    Keep,
    /// It closes.
    Close,
    /// When nobody has asked for a moment, it writes an answer that belongs to nobody, and closes.
    SpeakUnasked,
}

/// Returns the bytes of a kind of garbage, and what follows.
pub(super) fn garbage(kind: usize, token: &[u8; TOKEN_LEN], total: usize) -> (Vec<u8>, Then) {
    let text = String::from_utf8_lossy(token).into_owned();
    let start = format!("HTTP/1.1 200 OK\r\nX-Token: {text}\r\n");
    let body = body(total, token);
    let with =
        |fields: &str, body: &[u8]| [start.as_bytes(), fields.as_bytes(), b"\r\n", body].concat();
    let length = format!("Content-Length: {total}\r\n");
    let right = with(&length, &body);
    match kind % KINDS {
        0 => (
            format!("\u{16}\u{3}garbage {text}\r\n\r\n").into_bytes(),
            Then::Close,
        ),
        1 => (
            with(&format!("{length}Content-Length: {}\r\n", total + 1), &body),
            Then::Close,
        ),
        2 => (
            with(&format!("{length}{CHUNKED}"), &chunked(&body)),
            Then::Close,
        ),
        3 => (with(&length, &body[..total / 2]), Then::Close),
        4 => ([right, nobodys(SURPLUS)].concat(), Then::Keep),
        5 => (with(CHUNKED, b"zz\r\nhello\r\n0\r\n\r\n"), Then::Close),
        6 => (start.into_bytes(), Then::Close),
        7 => (Vec::new(), Then::Close),
        8 => ([SWITCHING, &right].concat(), Then::Keep),
        9 => (
            with(&format!("X-Null: a\0b\r\n{length}"), &body),
            Then::Close,
        ),
        10 => (right, Then::SpeakUnasked),
        11 => ([INTERIM, &right].concat(), Then::Keep),
        12 => (
            with(
                &format!("X-Long: {}\r\n{length}", "x".repeat(200_000)),
                &body,
            ),
            Then::Close,
        ),
        _ => (
            with(&format!("Content-Length: +{total}\r\n"), &body),
            Then::Close,
        ),
    }
}

/// A whole answer with a token that no request has.
pub(super) fn nobodys(token: u64) -> Vec<u8> {
    let token = token_text(token);
    let head = format!(
        "HTTP/1.1 200 OK\r\nX-Token: {}\r\nContent-Length: 64\r\n\r\n",
        String::from_utf8_lossy(&token)
    );
    [head.as_bytes(), &body(64, &token)].concat()
}

/// The token of what is written in one piece with a right answer.
pub(super) const SURPLUS: u64 = u64::MAX;
/// The token of what is written while nobody asks.
pub(super) const UNASKED: u64 = u64::MAX - 1;
/// How many kinds there are.
pub(super) const KINDS: usize = 14;
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n";
const INTERIM: &[u8] =
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
