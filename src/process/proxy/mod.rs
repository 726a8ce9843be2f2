//! The proxy process: HTTP from clients to backends, without a privilege and without a virtual
//! address of its own.
//!
//! A data thread a core, each with its own runtime, listening sockets, upstream connections and
//! clock; a thread for the health checks; nothing shared but counters and verdicts, in atomics. The
//! walk of a request: `downstream` → `relay` (with `logic::http1` and `logic::balance`) →
//! `upstream` → `body` back. The parts hand each other `message::ClientRequest` and
//! `message::Answer`, so that the codec can change under them.

mod shared;
mod message;
mod answer;
mod downstream;
mod relay;
mod upstream;
mod worker;
mod checks;
mod serving;
pub mod run;

pub use serving::{Drained, Events, LentSocket, Proxy, ProxyError};
