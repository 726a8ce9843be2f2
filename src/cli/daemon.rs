//! `evenkeel run`: the daemon in the foreground.

use std::path::PathBuf;

use super::outcome::{EXIT_DONE, refuse};
use crate::process::supervisor::{self, Options};

/// Runs the daemon until it is told to stop; returns the exit code.
pub(super) fn run(config: PathBuf, node: Option<String>, runtime_dir: PathBuf) -> i32 {
    match supervisor::run(&Options {
        config,
        node,
        runtime_dir,
    }) {
        Ok(()) => EXIT_DONE,
        Err(error) => refuse(&error),
    }
}
