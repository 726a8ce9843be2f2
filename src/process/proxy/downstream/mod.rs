//! The client's side of the proxy: listeners, a connection, and what is known of its progress.
//!
//! Read `listener`, `local`, then `connection`; `rules` and `routing` say what a route changes,
//! `rates` and `clients` how often clients may come.

pub(super) mod clients;
pub(super) mod rates;
pub(super) mod rules;
pub(super) mod pages;
pub(super) mod listener;
pub(super) mod eviction;
pub(super) mod local;
pub(super) mod slot;
pub(super) mod client;
pub(super) mod routing;
pub(super) mod connection;
