//! The side of the backends: which one gets a request, which request waits for a slot, which
//! connections are kept.
//!
//! Read `backend`, `picker`, `queue`, `slot`, then `connections`.

pub(super) mod backend;
pub(super) mod picker;
pub(super) mod queue;
pub(super) mod slot;
pub(super) mod connections;
pub(super) mod connect;
