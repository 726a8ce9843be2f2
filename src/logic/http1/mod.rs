//! The HTTP/1 codec: bytes in; heads, body framing and refusals out; heads out as runs of lines.
//!
//! Sans-IO and without allocation per message: the caller owns the bytes and the slots that heads
//! are parsed into, and the vector that heads are written to. It is built on `httparse`, and
//! stricter: what two parsers could read in two ways is refused, whatever RFC 9112 lets a recipient
//! repair. Read `refusal` for what is refused, `request` and `response` for what is made of the
//! rest, `body` and `chunked` for what follows the heads.
//!
//! Stricter than the RFCs, on purpose: a line ends in CRLF alone (RFC 9112 §2.2 allows a bare LF);
//! a request states one length once (§6.3 allows equal repeats); the only transfer coding is one
//! `chunked` (§6.1); a host has no sub-delimiters (RFC 3986 §3.2.2); a target has no `#`, `\` or
//! byte beyond ASCII; no space after a chunk's size (§7.1.1 allows bad whitespace).
//!
//! Less than the RFCs, on purpose: Via (RFC 9110 §7.6.3) is written only where it is asked for,
//! because backends answer otherwise to a request that has it.

pub mod refusal;
pub mod names;
pub mod head;
pub mod host;
pub mod request;
pub mod response;
pub mod chunked;
pub mod body;
pub mod forwarding;
pub mod local_reply;
pub mod rewrite;
pub mod crossing;
pub mod date;
