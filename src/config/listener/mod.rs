//! What is said of a listener, in parts: its routes, and how often clients may come.

pub(super) mod rates;
pub(super) mod routes;
