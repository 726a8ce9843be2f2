//! The client's side of the proxy: a connection, and what is known of its progress.

pub(super) mod watch;
pub(super) mod connection;
pub(super) mod turns;
pub(super) mod places;
