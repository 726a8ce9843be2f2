//! One request: its attempts, the reply that the proxy gives itself, and the record for the access
//! log.
//!
//! Read `attempts` first.

pub(super) mod attempts;
pub(super) mod record;
pub(super) mod answer;
