//! The proxy on loopback: raw bytes in, raw bytes out, against scripted backends.
//!
//! No privilege and no network but loopback. `rig` starts a proxy inside the test's own process;
//! the other modules are a topic each.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "../common/mod.rs"]
mod common;
mod rig;
mod queues;
mod messages;
mod answers;
mod connections;
mod pools;
mod rates;
mod life;
mod drain;
mod reload;
mod bounds;
mod routes;
