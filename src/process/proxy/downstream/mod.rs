//! The client's side of the proxy: listeners, a connection, and what is known of its progress.
//!
//! Read `listener`, `local`, then `connection`.

pub(super) mod pages;
pub(super) mod listener;
pub(super) mod eviction;
pub(super) mod local;
pub(super) mod slot;
pub(super) mod client;
pub(super) mod connection;
