//! The experiments, each a plan and a function that makes findings of it; the plans of the bench
//! are their defaults.

pub(crate) mod accuracy;
pub(crate) mod bogus;
pub(crate) mod churn;
pub(crate) mod frozen;
pub(crate) mod hostile;
pub(crate) mod load;
pub(crate) mod many;
pub(crate) mod partition;
pub(crate) mod slow;
