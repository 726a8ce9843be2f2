//! The experiments, each a plan and a function that makes findings of it; the plans of the bench
//! are their defaults.

pub mod accuracy;
pub mod bogus;
pub mod churn;
pub mod frozen;
pub mod hostile;
pub mod load;
pub mod many;
pub mod partition;
pub mod slow;
