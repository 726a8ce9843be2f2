//! The client's side of the proxy: a connection, what is known of its progress, and what an upgrade makes of it.

pub(super) mod watch;
pub(super) mod connection;
pub(super) mod tunnel;
