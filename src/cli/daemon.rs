//! `evenkeel run`: the daemon in the foreground.

use std::path::PathBuf;

use super::{EXIT_CONFIG, EXIT_DONE, EXIT_FAILED, print_error};
use crate::process::supervisor::{self, Options, SupervisorError};

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
            match error {
                SupervisorError::Config(_) => EXIT_CONFIG,
                SupervisorError::ReadConfig { .. }
                | SupervisorError::RuntimeDir { .. }
                | SupervisorError::AlreadyRunning(_)
                | SupervisorError::Listen { .. }
                | SupervisorError::Start { .. }
                | SupervisorError::Confine(_)
                | SupervisorError::Channel(_)
                | SupervisorError::System { .. } => EXIT_FAILED,
            }
        }
    }
}
