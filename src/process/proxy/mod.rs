//! The proxy process: HTTP from clients to backends, without a privilege and without a virtual
//! address of its own.
//!
//! A data thread a core, each with its own runtime, listening sockets, upstream connections, buffers
//! and clock; a thread for the health checks, one for the access log; nothing shared but counters and verdicts, in atomics.
//! The walk of a request: `downstream` reads its head (`logic::http1`) → `relay` picks a backend
//! (`logic::balance`) and a connection of `upstream` → `exchange` moves both messages, a `flow` each
//! way → `relay` says what becomes of the connections.

mod shared;
mod buffers;
mod pipes;
mod stream;
mod answer;
mod downstream;
mod record;
mod access;
mod relay;
mod exchange;
mod flow;
mod upstream;
mod worker;
mod checks;
mod serving;
pub mod run;

pub use serving::{Drained, Events, LentSocket, Proxy, ProxyError};
