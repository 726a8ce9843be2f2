//! Which route a request takes: the first of a listener's whose conditions all hold, and whose
//! networks let the client through or turn it away.
//!
//! Most routes are told apart by their host or the beginning of their path. [`Table`] has lists of
//! those that may be for a host and begin with the same segments, and looks at the conditions
//! themselves only of these, so that a hundred routes cost little more than one.
//! Pure.

mod asked;
mod beginnings;
mod conditions;
mod parameters;
mod table;

#[cfg(test)]
mod tests;

pub use asked::Asked;
pub use conditions::{
    Access, Conditions, FieldCondition, HostPattern, PathPattern, QueryCondition,
};
pub use table::{Found, Guard, Table};
