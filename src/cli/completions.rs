//! `evenkeel completions`: what a shell needs to complete the command line, from its definition.

use std::io::{self, Write};

use clap_complete::{generate, shells};

use super::arguments::{Shell, definition};
use super::outcome::{EXIT_DONE, EXIT_FAILED};

/// Prints the script for a shell; returns the exit code.
pub(super) fn run(shell: Shell) -> i32 {
    match io::stdout().write_all(&script(shell)) {
        Ok(()) => EXIT_DONE,
        Err(_) => EXIT_FAILED,
    }
}

fn script(shell: Shell) -> Vec<u8> {
    let (mut text, mut definition) = (Vec::new(), definition());
    match shell {
        Shell::Bash => generate(shells::Bash, &mut definition, "evenkeel", &mut text),
        Shell::Zsh => generate(shells::Zsh, &mut definition, "evenkeel", &mut text),
        Shell::Fish => generate(shells::Fish, &mut definition, "evenkeel", &mut text),
    }
    text
}
