//! The rules of HTTP/1 for an intermediary (RFC 9110, RFC 9112): which fields go on, which are refused.

pub mod fields;
