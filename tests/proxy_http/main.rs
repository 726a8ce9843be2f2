//! The proxy on loopback: raw bytes in, raw bytes out, against scripted backends.
//!
//! No privilege and no network but loopback. `rig` starts a proxy inside the test's own process;
//! the other modules are a topic each.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "../common/mod.rs"]
mod common;
mod rig;
mod relaying;
mod fields;
mod refusals;
mod upgrades;
mod failures;
mod full_house;
mod timeouts;
mod limits;
mod balance;
mod queue;
mod life;
mod drain;
mod endings;
mod held;
mod piped;
mod queues;
mod bounds;
