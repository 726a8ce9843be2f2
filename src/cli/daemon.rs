//! `evenkeel run`: the daemon in the foreground.

use std::path::PathBuf;

use super::outcome::{EXIT_DONE, refuse};
use crate::process::supervisor::{self, Options};
use crate::process::vrrp::host;

/// Runs the daemon until it is told to stop; returns the exit code.
pub(super) fn run(config: PathBuf, node: Option<String>, runtime_dir: PathBuf) -> i32 {
    match supervisor::run(&Options {
        config,
        node,
        runtime_dir,
        remove_leftovers: host::remove_leftovers,
    }) {
        Ok(()) => EXIT_DONE,
        Err(error) => refuse(&error),
    }
}
