//! Programs that operators bring: notify programs, which are told of changes of state, and track
//! scripts, which say how the node is.
//!
//! A program runs as a user that owns nothing, without a capability or a descriptor of ours,
//! beneath a keeper that kills all it has started when it ends or its time is over (`keeper`), and
//! only if root alone can change it (`trust`). `run` has what both kinds share, `pool` what makes
//! many runs cheap; read `notify`, then `track`.

mod keeper;
mod trust;
mod run;
mod pool;
pub(super) mod notify;
pub(super) mod track;

use std::path::Path;

/// Says what is wrong with a program that is to be run, if anything is.
pub(super) fn objection(program: &Path) -> Option<String> {
    trust::trusted_path(program).err()
}
