//! How numbers, dates, addresses and errors are written.

mod calendar;
mod chain;
mod decimal;

pub use calendar::date_of_day;
pub use chain::Chain;
pub use decimal::{write_address, write_digits, write_number};
