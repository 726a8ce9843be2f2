//! Which backend gets a request, what happens where one fails, and who waits for one.

mod backup;
mod balance;
mod failures;
mod hash;
mod queue;
mod slow_start;
