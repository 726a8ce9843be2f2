//! The side of the backends: who gets a request, who waits for a slot, which connections are kept.
//!
//! Read `picker`, `queue`, then `connections`.

pub(super) mod picker;
pub(super) mod queue;
pub(super) mod connections;
