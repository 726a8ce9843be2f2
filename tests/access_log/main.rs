//! The access log of a proxy on loopback: what a line says of each way a request can end, and that
//! no sink, however full, slow or broken, holds a request up.
//!
//! The proxy runs in the test's own process and writes to pipes and sockets; `tests/control.rs` has
//! the daemon with a file, `tests/access_log_allocations.rs` counts what a logged request costs the
//! heap.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod common;
#[path = "../proxy_http/rig.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod rig;

mod elsewhere;
mod lines;
mod logged;
mod queue;
mod reload;
mod sinks;
