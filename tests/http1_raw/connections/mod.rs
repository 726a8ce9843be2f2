//! What happens on a client's connection: its options, uploads, upgrades, requests behind requests.

mod options;
mod uploads;
mod upgrades;
mod pipelining;
mod smuggling;

use crate::bench::case::Case;
use crate::bench::ways::play;

/// Returns all tables by topic.
pub(crate) fn all() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("options", options::cases()),
        ("uploads", uploads::cases()),
        ("upgrades", upgrades::cases()),
        ("pipelining", pipelining::cases()),
        ("smuggling", smuggling::cases()),
    ]
}

#[test]
fn fields_of_a_clients_connection_stay_on_it() {
    play(&options::cases());
}

#[test]
fn uploads_are_awaited_answered_early_and_broken_off() {
    play(&uploads::cases());
}

#[test]
fn only_websockets_stop_being_http() {
    play(&upgrades::cases());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    play(&pipelining::cases());
}

#[test]
fn nothing_is_smuggled() {
    play(&smuggling::cases());
}
