//! How a command ends and prints: exit codes, errors, text or JSON.

use crate::model::Chain;
use crate::process::supervisor::SupervisorError;

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tables, for people.
    Text,
    /// `--json`.
    Json,
}

/// Prints why the daemon cannot run, or a file is wrong; returns the exit code.
pub(super) fn refuse(error: &SupervisorError) -> i32 {
    print_error(error);
    if error.is_bad_config() {
        EXIT_CONFIG
    } else {
        EXIT_FAILED
    }
}

/// Prints an error and all its causes.
pub fn print_error(error: &(dyn std::error::Error + 'static)) {
    let text = Chain(error).to_string();
    let text = if text.starts_with("error") {
        text
    } else {
        format!("error: {text}")
    };
    eprintln!("{}", text.trim_end());
}

/// Done.
pub const EXIT_DONE: i32 = 0;
/// Failed.
pub const EXIT_FAILED: i32 = 1;
/// Called wrongly.
pub const EXIT_USAGE: i32 = 2;
/// A bad configuration; EX_CONFIG of sysexits.h.
pub const EXIT_CONFIG: i32 = 78;
