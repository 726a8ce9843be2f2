//! Arguments to role, exit code from result. Nothing else.

use evenkeel::process::role::Role;
use evenkeel::{cli, process};

fn main() {
    let arguments: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let (name, rest) = arguments
        .split_first()
        .map_or(("", &[][..]), |(name, rest)| (name, rest));
    let code = match Role::from_program_name(name) {
        Some(role) => process::run_child(role),
        None => cli::run(rest),
    };
    #[expect(clippy::disallowed_methods, reason = "this is main")]
    std::process::exit(code);
}
