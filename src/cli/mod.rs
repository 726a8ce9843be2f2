//! The commands, one file each, and what their words and flags are (`arguments`).
//!
//! [`run`] gets the arguments and returns the exit code: 0 done, 1 failed, 2 usage, 78 a bad
//! configuration.

mod arguments;
mod change;
pub mod check;
mod cleanup;
mod completions;
mod config;
mod daemon;
pub mod demo;
pub mod import;
mod outcome;
mod status;
mod watch;

use std::io::Write;

use arguments::{Command, ConfigCommand, LogsArguments};
use change::{Mode, maintenance};
use watch::connections;
use watch::events::{self, Until};
use watch::filter::Client;
use watch::logs::{self, Filter};
use watch::top;

use crate::ipc::control::ConnectionFilter;

pub use arguments::definition;
pub use config::explain::is_explained;
pub use outcome::{EXIT_CONFIG, EXIT_DONE, EXIT_FAILED, EXIT_USAGE, Output, print_error};

/// Runs the command that the arguments name (without the program's own) and returns the exit code.
pub fn run(arguments: &[String]) -> i32 {
    let mistake = match arguments::read(arguments) {
        Ok(command) => match obey(command) {
            Ok(code) => return code,
            Err(what) => format!("error: {what}"),
        },
        Err(asked) if !asked.use_stderr() => {
            // Help, or the version; a reader that has gone wants no more.
            let _ = asked.print();
            return EXIT_DONE;
        }
        Err(mistake) => mistake.render().to_string(),
    };
    let text = arguments::complaint(&definition(), arguments, &mistake);
    // There is nobody else to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
    EXIT_USAGE
}

/// Runs a command; returns the exit code, or what is wrong with its words.
fn obey(command: Command) -> Result<i32, String> {
    Ok(match command {
        Command::Run(asked) => daemon::run(
            asked.read.config,
            asked.read.node,
            asked.at.runtime_dir,
            asked.cache_dir,
        ),
        Command::Check(asked) => check::run(&asked.config, asked.node.as_deref()),
        Command::Status(asked) => status::run(asked.runtime_dir(), asked.output()),
        Command::Top(asked) => top::run(&asked.at.runtime_dir),
        Command::Events(asked) => {
            let until = match asked.follow {
                true => Until::Interrupted,
                false => Until::Now,
            };
            events::run(asked.asking.runtime_dir(), asked.asking.output(), until)
        }
        Command::Logs(asked) => follow_logs(asked),
        Command::Connections(asked) => {
            let wanted = ConnectionFilter {
                listener: asked.listener,
                client: asked.client.map(Client::network),
            };
            let asking = asked.asking;
            connections::run(asking.runtime_dir(), wanted, asking.output())
        }
        Command::Reload(asked) => {
            let mode = match asked.dry_run {
                true => Mode::DryRun,
                false => Mode::Change,
            };
            let (config, asking) = (asked.config.as_deref(), &asked.asking);
            change::reload(asking.runtime_dir(), config, mode, asking.output())
        }
        Command::Backend(asked) => {
            let (name, change) = change::backend_words(&asked.words())?;
            let asking = &asked.asking;
            change::backend(asking.runtime_dir(), name, change, asking.output())
        }
        Command::Router(asked) => {
            let (entry, priority) = change::router_words(&asked.words())?;
            let asking = &asked.asking;
            change::router(asking.runtime_dir(), entry, priority, asking.output())
        }
        Command::Maintenance(asked) => {
            let retry_after = asked.retry_after.as_deref();
            let (listener, change) = maintenance::words(&asked.words(), retry_after)?;
            let asking = &asked.asking;
            maintenance::run(asking.runtime_dir(), listener, change, asking.output())
        }
        Command::Config(ConfigCommand::Show(asked)) => {
            config::show::run(asked.runtime_dir(), asked.output())
        }
        Command::Config(ConfigCommand::Explain(asked)) => {
            config::explain::run(&asked.key, asked.output())
        }
        Command::Import(asked) => import::run(&asked.files, &asked.nodes),
        Command::Completions(asked) => completions::run(asked.shell),
        Command::Demo(asked) => demo::run(asked.output(), asked.visitors.unwrap_or(usize::MAX)),
        Command::Cleanup => cleanup::run(),
    })
}

fn follow_logs(asked: LogsArguments) -> i32 {
    let filter = Filter {
        statuses: asked.status,
        slow: asked.slow,
        listener: asked.listener,
        pool: asked.pool,
        client: asked.client,
    };
    logs::run(asked.asking.runtime_dir(), &filter, asked.asking.output())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// Returns what standard error has of a mistake.
    fn said(line: &str) -> String {
        let all = words(line);
        let what = match arguments::read(&all) {
            Ok(command) => format!("error: {}", obey(command).expect_err("a mistake")),
            Err(error) => error.render().to_string(),
        };
        arguments::complaint(&definition(), &all, &what)
    }

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
    }

    #[test]
    fn flags_have_defaults_take_values_both_ways_and_the_last_one_holds() {
        let Ok(Command::Run(asked)) = arguments::read(&words("run")) else {
            panic!("not run")
        };
        let (config, runtime_dir) = (&asked.read.config, &asked.at.runtime_dir);
        assert_eq!(config.to_str(), Some("/etc/evenkeel/evenkeel.yaml"));
        assert_eq!(runtime_dir.to_str(), Some("/run/evenkeel"));
        let line = "run --config b.yaml --config a.yaml --node=lb1";
        let Ok(Command::Run(asked)) = arguments::read(&words(line)) else {
            panic!("not run")
        };
        let (config, node) = (&asked.read.config, asked.read.node.as_deref());
        assert_eq!((config.to_str(), node), (Some("a.yaml"), Some("lb1")));
    }

    #[test]
    fn help_is_given_wherever_it_is_asked_for() {
        for line in [
            "--help",
            "-h",
            "help",
            "run --help",
            "status --json -h",
            "-V",
        ] {
            let error = arguments::read(&words(line)).expect_err("help");
            assert!(!error.use_stderr(), "{line}");
        }
    }

    #[test]
    fn mistakes_are_said_with_the_usage_of_their_command() {
        let lines = [
            "",
            "start",
            "statsu",
            "run --json",
            "run --config",
            "run --config=",
            "status --json=yes",
            "status --jsn",
            "demo --visitors many",
            "check extra",
            "cleanup --json",
            "backend",
            "backend b1 drain",
            "backend api/b1 weight many",
            "backend add api b3 here",
            "router web priority high",
            "maintenance http off --retry-after 10m",
            "completions tcsh",
        ];
        let text: Vec<String> = lines
            .iter()
            .map(|line| format!("$ evenkeel {line}\n{}", said(line)))
            .collect();
        insta::assert_snapshot!(text.join("\n"));
    }
}
