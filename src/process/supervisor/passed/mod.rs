//! What is opened here and passed to the proxy, which may open nothing: listening sockets, the sink
//! of the access log, the file for bodies of requests.

pub(super) mod listeners;
pub(super) mod access_log;
pub(super) mod spool;
