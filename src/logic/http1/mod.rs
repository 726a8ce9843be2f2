//! The rules of HTTP/1 for an intermediary (RFC 9110, RFC 9112): which fields go on, which are
//! refused.
//!
//! Read `refusal` (what is never relayed), then `fields` (what is changed on the way), then
//! `framing` (what the parser does not tell).

pub mod refusal;
pub mod fields;
pub mod framing;
