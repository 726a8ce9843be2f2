//! The side of the backends: which one gets a request, which request waits for a slot, which
//! connections are kept, which backends are up.
//!
//! Read `backend`, `method`, `picker`, `queue`, `pool`, `local`, `slot`, then `connections`.

pub(super) mod backend;
pub(super) mod method;
pub(super) mod picker;
pub(super) mod queue;
pub(super) mod pool;
pub(super) mod local;
pub(super) mod slot;
pub(super) mod connections;
pub(super) mod connect;
pub(super) mod probe;
pub(super) mod checks;
