//! Any bytes as a chunked body, cut anywhere, to the codec and to hyper: the same checks as the
//! property tests in `tests/http1_oracle`.

#![no_main]
#![expect(dead_code, reason = "each target checks one of three things")]

#[path = "../../tests/http1_oracle/chunked.rs"]
mod chunked;
#[path = "../../tests/http1_oracle/codec.rs"]
mod codec;
#[path = "../../tests/http1_oracle/invariants.rs"]
mod invariants;
#[path = "../../tests/http1_oracle/meaning.rs"]
mod meaning;
#[path = "../../tests/http1_oracle/oracle.rs"]
mod oracle;
#[path = "../../tests/http1_oracle/wire.rs"]
mod wire;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| invariants::fuzz_chunked(input));
