//! What clients send, rule by rule.

mod request_line;
mod fields;
mod hosts;
mod framing;
mod chunks;
mod limits;

use crate::bench::case::Case;
use crate::bench::ways::play;

/// Returns all tables by topic.
pub(crate) fn all() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("request line", request_line::cases()),
        ("fields", fields::cases()),
        ("hosts", hosts::cases()),
        ("framing", framing::cases()),
        ("chunks", chunks::cases()),
        ("limits", limits::cases()),
    ]
}

#[test]
fn request_lines_are_read_strictly() {
    play(&request_line::cases());
}

#[test]
fn fields_of_requests_are_read_strictly() {
    play(&fields::cases());
}

#[test]
fn every_request_has_one_host() {
    play(&hosts::cases());
}

#[test]
fn framing_of_requests_is_never_ambiguous() {
    play(&framing::cases());
}

#[test]
fn chunks_of_requests_are_read_strictly() {
    play(&chunks::cases());
}

#[test]
fn limits_of_heads_have_their_statuses() {
    play(&limits::cases());
}
