//! Stub.
pub mod host;
