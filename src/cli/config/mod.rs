//! `evenkeel config`: the configuration that runs, and what its keys mean.

pub(super) mod explain;
mod manual;
mod mdoc;
pub(super) mod show;
