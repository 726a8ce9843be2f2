//! How a command ends and prints: exit codes, errors, text or JSON.

use std::io::Write as _;

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

/// Prints a text, or why there is none; returns the exit code.
pub(super) fn print_answer<E: std::error::Error + 'static>(text: Result<String, E>) -> i32 {
    match text {
        // A reader that has gone, as `head` does, wants no more.
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => EXIT_DONE,
            Err(_) => EXIT_FAILED,
        },
        Err(error) => {
            print_error(&error);
            EXIT_FAILED
        }
    }
}

/// Done.
pub const EXIT_DONE: i32 = 0;
/// Failed.
pub const EXIT_FAILED: i32 = 1;
/// Called wrongly.
pub const EXIT_USAGE: i32 = 2;
/// A bad configuration; EX_CONFIG of sysexits.h.
pub const EXIT_CONFIG: i32 = 78;
