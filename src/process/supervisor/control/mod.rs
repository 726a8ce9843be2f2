//! What operators may ask: the control socket, and the log of events that it answers from.

pub(super) mod socket;
pub(super) mod event_log;
