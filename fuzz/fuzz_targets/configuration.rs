//! Any bytes as a configuration, as far as they are text: the same checks as the property tests in
//! `tests/config_errors`. Give it `config/examples` as a second corpus and `configuration.dict` for
//! the words.

#![no_main]

#[path = "../../tests/config_errors/invariants.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| invariants::check_text(&String::from_utf8_lossy(input)));
