//! How a command ends and prints: exit codes, errors, text or JSON.

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

/// Prints an error and all its causes, once.
pub fn print_error(error: &dyn std::error::Error) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
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
