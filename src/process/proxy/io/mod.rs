//! Bytes in and out of sockets, the buffers they are in, and when a connection is late.
//!
//! Knows nothing of requests. Read `stream`, `socket`, `tls`, `frames`, `buffers`, `deadline`.

pub(super) mod stream;
pub(super) mod socket;
pub(super) mod listening;
pub(super) mod tls;
pub(super) mod frames;
pub(super) mod pipes;
pub(super) mod buffers;
pub(super) mod deadline;
pub(super) mod recycle;
pub(super) mod budget;
pub(super) mod future_pool;
