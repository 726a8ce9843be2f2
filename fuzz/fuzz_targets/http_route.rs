//! Any bytes as a route and a request: the same checks as the corpus test in `tests/http1_oracle`.

#![no_main]

#[path = "../../tests/http1_oracle/routing.rs"]
mod routing;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| routing::fuzz_route(input));
