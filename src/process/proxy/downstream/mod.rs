//! The client's side of the proxy: a connection, and what is known of its progress.

pub(super) mod client;
pub(super) mod connection;
pub(super) mod eviction;
