//! What is opened here and passed to the proxy, which may open nothing: listening sockets, the sink
//! of the access log.

pub(super) mod listeners;
pub(super) mod access_log;
