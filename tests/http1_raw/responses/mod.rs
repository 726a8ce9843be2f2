//! What backends answer, rule by rule.

mod status_line;
mod fields;
mod framing;
mod bodies;
mod connection;
mod interim;

use crate::bench::case::Case;
use crate::bench::ways::play;

/// Returns all tables by topic.
pub(crate) fn all() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("status line", status_line::cases()),
        ("fields of responses", fields::cases()),
        ("framing of responses", framing::cases()),
        ("bodies", bodies::cases()),
        ("connection of responses", connection::cases()),
        ("interim responses", interim::cases()),
    ]
}

#[test]
fn status_lines_are_read_strictly() {
    play(&status_line::cases());
}

#[test]
fn fields_of_responses_are_read_strictly() {
    play(&fields::cases());
}

#[test]
fn framing_of_responses_is_never_ambiguous() {
    play(&framing::cases());
}

#[test]
fn bodies_of_responses_end_where_they_end() {
    play(&bodies::cases());
}

#[test]
fn fields_of_a_backends_connection_stay_on_it() {
    play(&connection::cases());
}

#[test]
fn interim_and_unasked_responses_are_judged() {
    play(&interim::cases());
}
