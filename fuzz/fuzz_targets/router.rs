//! Any sequence of events on a virtual router: the same bytes, steps and invariants as the property
//! test in `tests/vrrp_rfc9568`.

#![no_main]

#[expect(dead_code, reason = "the clauses of RFC 9568 use the rest")]
#[path = "../../tests/vrrp_rfc9568/bench.rs"]
mod bench;
#[path = "../../tests/vrrp_rfc9568/steps.rs"]
mod steps;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| steps::live_through(input));
