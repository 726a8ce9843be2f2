//! Evenkeel: a VRRP router and the HTTP proxy behind its addresses, in one daemon.
//!
//! A folder under `process` is a process; `logic` is pure; processes meet only in `ipc`. Each module may use what
//! stands above it in this list, never what stands below.
//!
//! # Invariants
//!
//! - Logic never reads a clock, a file, a socket or chance.
//! - Nothing a client or a backend sends is parsed with a capability held.
//! - A virtual router that cannot apply its addresses is not Active.
//! - A configuration is applied whole or not at all.
//! - Every queue has a bound and a policy when full; every wait has a deadline.
//! - Losing the supervisor means giving the addresses up.
//! - No virtual address outlives its daemon by more than its lease.

pub mod model;
pub mod logic;
pub mod config;
pub mod ipc;
pub mod process;
pub mod lab;
pub mod cli;
