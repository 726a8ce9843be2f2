//! The proxy process: HTTP from clients to backends, without a privilege and without a virtual
//! address of its own.
//!
//! A data thread a core, each with its own runtime, listening sockets, upstream connections, buffers
//! and clock; a thread for the health checks, one for the access log; nothing shared but counters and verdicts, in atomics,
//! and the `queue` of a pool whose backends are full.
//! The walk of a request: `downstream` reads its head (`logic::http1`) → `relay` has the `picker` find a backend
//! (`logic::balance`) and takes a connection of `upstream` → `exchange` moves both messages, a `flow` each
//! way → `relay` says what becomes of the connections.

mod shortage;
mod deadline;
mod table;
pub mod memory;
mod recycle;
mod progress;
mod budget;
mod buffers;
mod allocator;
mod pipes;
mod stream;
mod answer;
mod downstream;
mod record;
mod access;
mod relay;
mod picker;
mod queue;
mod exchange;
mod flow;
mod upstream;
mod worker;
mod checks;
mod serving;
pub mod run;

pub use serving::{Drained, Events, PassedSocket, Proxy, ProxyError};
