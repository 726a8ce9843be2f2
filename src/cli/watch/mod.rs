//! What goes on in a running daemon, as it happens.

pub(super) mod connections;
pub(super) mod events;
pub(super) mod filter;
mod lending;
pub(super) mod logs;
pub(super) mod top;
