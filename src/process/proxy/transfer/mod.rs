//! The messages of one attempt on their way: an exchange, and its two directions.
//!
//! Read `exchange`, then `flow`.

pub(super) mod exchange;
pub(super) mod pace;
mod buffered;
mod draining;
mod ends;
pub(super) mod flow;
pub(super) mod wire;
