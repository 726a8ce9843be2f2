//! The proxy process: HTTP from clients to backends, without a privilege and without a virtual
//! address of its own.
//!
//! A worker a core, each with its own runtime, listening sockets, upstream connections,
//! buffers and clock; a thread for the health checks, one for the access log; nothing shared but
//! counters, verdicts and rates, in atomics, and the `queue` of a pool whose backends are full.
//! The walk of a request: `downstream` reads its head (`logic::http1`) → `request` has `upstream`
//! find a backend (`logic::balance`) and a connection to it → `transfer` moves both messages
//! through `io` → `request` says what becomes of the connections.

mod counters;
mod shortage;
pub mod memory;
mod progress;
mod allocator;
mod io;
mod spool;
mod tls;
mod generation;
mod shared;
mod upstream;
mod transfer;
mod request;
mod downstream;
mod access;
mod deployment;
mod context;
mod worker;
mod serving;
pub mod run;

pub use serving::{Drained, Given, PassedSocket, Proxy, ProxyError};
pub use shared::Events;
