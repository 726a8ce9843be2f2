//! How many clients are served, how long they may take, and what each may cost.

mod full_house;
pub(crate) mod held;
mod limits;
mod timeouts;
