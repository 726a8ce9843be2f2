//! `evenkeel run`: the daemon in the foreground.

use std::path::PathBuf;

use super::{EXIT_CONFIG, EXIT_DONE, EXIT_FAILED, print_error};
use crate::process::supervisor::{self, Options};

/// Runs the daemon until it is told to stop; returns the exit code.
pub fn run(config: PathBuf, node: Option<String>, runtime_dir: PathBuf) -> i32 {
    match supervisor::run(&Options {
        config,
        node,
        runtime_dir,
    }) {
        Ok(()) => EXIT_DONE,
        Err(error) => {
            print_error(&error);
            if error.is_bad_config() {
                EXIT_CONFIG
            } else {
                EXIT_FAILED
            }
        }
    }
}
