//! Evenkeel: a VRRP router and the HTTP proxy behind its addresses, in one daemon.
//!
//! The modules below stand in reading order; each may use what stands above it, never what stands
//! below. After the invariants this page is `src/ARCHITECTURE.md`: the tree, and how an event goes
//! through the files.
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
#![doc = include_str!("ARCHITECTURE.md")]

pub mod model;
pub mod logic;
pub mod config;
pub mod ipc;
pub mod process;
pub mod lab;
pub mod cli;
