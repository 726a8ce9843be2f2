//! Which backend gets a request, when a backend is up, and when a request is tried elsewhere.
//!
//! Read `route` (which pool), `health` (rise and fall), then `pick` (who is next), `hash` (who is
//! next for a key) and `slow_start` (how much one is given that was away), `ejection` (who is taken
//! out for how it answers), `affinity` (whose backend is next for a session), then `queue` (who
//! waits where all are full), then `retry` (what follows a failure). `limits` says who is one
//! client, `rate` how often one may come.

pub mod affinity;
pub mod ejection;
pub mod fallback;
pub mod hash;
pub mod health;
pub mod limits;
pub mod pick;
pub mod queue;
pub mod rate;
pub mod retry;
pub mod route;
pub mod slow_start;

pub use pick::Balance;
