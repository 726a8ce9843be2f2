//! Which backend gets a request, when a backend is up, and when a request is tried elsewhere.

pub mod health;
pub mod pick;
pub mod retry;

pub use pick::Balance;
