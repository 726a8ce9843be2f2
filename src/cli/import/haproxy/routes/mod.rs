//! From rules to routes: conditions, actions, and their order.

pub mod acl;
pub mod actions;
pub mod condition;
pub mod conjunct;
pub mod edits;
pub mod format;
pub mod rules;
