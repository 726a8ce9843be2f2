//! One request: its attempts, the reply that the proxy gives itself, and the record for the access
//! log.
//!
//! Read `context`, then `attempts`.

mod detour;
pub(super) mod moments;
pub(super) mod context;
mod announcing;
pub(super) mod attempts;
pub(super) mod local;
pub(super) mod record;
pub(super) mod answer;
