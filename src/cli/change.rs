//! `evenkeel reload`, `evenkeel backend` and `evenkeel router`: what changes while the daemon runs.
//!
//! The file of `reload --config` is opened here, with the rights of who asks, and its descriptor
//! goes to the daemon: nobody reads by the daemon what they may not read themselves.

pub(super) mod maintenance;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use super::outcome::{EXIT_CONFIG, EXIT_DONE, EXIT_FAILED, Output, print_error};
use super::status::StatusError;
use crate::ipc::control::{self, BackendChange, ChangeReport, Request, Response};
use crate::process::supervisor::open_config;

/// Whether a reload is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is.
    Change,
    /// `--dry-run`: it is only said what would change.
    DryRun,
}

/// Has the daemon follow its file, or another one; returns the exit code.
pub(super) fn reload(runtime_dir: &Path, config: Option<&Path>, mode: Mode, output: Output) -> i32 {
    let file = match config.map(open_config).transpose() {
        Ok(file) => file,
        Err(error) => {
            print_error(&error);
            return EXIT_FAILED;
        }
    };
    let request = Request::Reload {
        file: config.map(|path| path.display().to_string()),
        dry_run: mode == Mode::DryRun,
    };
    let descriptor = file.as_ref().map(AsFd::as_fd);
    let answer = control::ask_with(runtime_dir, &request, descriptor, ANSWER_TIMEOUT);
    tell(runtime_dir, answer, output)
}

/// Changes a backend; returns the exit code.
pub(super) fn backend(
    runtime_dir: &Path,
    (pool, backend): (String, String),
    change: BackendChange,
    output: Output,
) -> i32 {
    let request = Request::Backend {
        pool,
        backend,
        change,
    };
    ask(runtime_dir, &request, output)
}

/// Changes the base priority of an entry of `virtual_routers`, or takes that back; returns the exit
/// code.
pub(super) fn router(
    runtime_dir: &Path,
    entry: String,
    priority: Option<u8>,
    output: Output,
) -> i32 {
    ask(runtime_dir, &Request::Router { entry, priority }, output)
}

/// Reads what is to become of which backend: `POOL/NAME CHANGE`, or `add POOL NAME ADDRESS`.
///
/// # Errors
/// What is wrong with the words.
pub(super) fn backend_words(words: &[&str]) -> Result<((String, String), BackendChange), String> {
    if let ["add", pool, name, address] = *words {
        let change = BackendChange::Add(self::address(address)?);
        return Ok(((pool.to_owned(), name.to_owned()), change));
    }
    let [name, change @ ..] = words else {
        return Err("say which backend: POOL/NAME".into());
    };
    let (pool, name) = name
        .split_once('/')
        .ok_or_else(|| format!("say which backend: POOL/NAME, not {name:?}"))?;
    let change = match change {
        ["drain"] => BackendChange::Drain,
        ["maintain"] => BackendChange::Maintain,
        ["up"] => BackendChange::Up,
        ["remove"] => BackendChange::Remove,
        ["reset"] => BackendChange::Reset,
        ["weight", weight] => {
            let weight = weight.parse();
            BackendChange::Weight(weight.map_err(|_| "weight needs a number, 1 to 256")?)
        }
        ["add", address] => BackendChange::Add(self::address(address)?),
        _ => {
            return Err(
                "say what becomes of it: drain, maintain, up, weight N, add ADDRESS, remove or reset"
                    .into(),
            );
        }
    };
    Ok(((pool.to_owned(), name.to_owned()), change))
}

/// Reads the priority of which entry: `NAME priority N` or `NAME priority reset`.
///
/// # Errors
/// What is wrong with the words.
pub(super) fn router_words(words: &[&str]) -> Result<(String, Option<u8>), String> {
    match *words {
        [entry, "priority", "reset"] => Ok((entry.to_owned(), None)),
        [entry, "priority", number] => {
            let number = number.parse();
            let number = number.map_err(|_| "priority needs a number, 1 to 254, or reset")?;
            Ok((entry.to_owned(), Some(number)))
        }
        _ => Err("say NAME priority N, or NAME priority reset".into()),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not an address with a port, as 192.0.2.103:80"))
}

/// Asks for a change, and prints what has become of it; returns the exit code.
pub(super) fn ask(runtime_dir: &Path, request: &Request, output: Output) -> i32 {
    let answer = control::ask(runtime_dir, request, ANSWER_TIMEOUT);
    tell(runtime_dir, answer, output)
}

fn tell(runtime_dir: &Path, answer: io::Result<Response>, output: Output) -> i32 {
    let error = match answer {
        Ok(Response::Changed(report)) => return print(&report, output),
        Ok(Response::Refused(refusal)) => {
            print_error(&StatusError::Unchanged(refusal.text));
            return match refusal.bad_config {
                true => EXIT_CONFIG,
                false => EXIT_FAILED,
            };
        }
        Ok(
            Response::Status(_)
            | Response::Events(_)
            | Response::Configuration(_)
            | Response::OverSocket,
        ) => StatusError::Refused("it answered something else".into()),
        Ok(Response::Error(why)) => StatusError::Refused(why),
        Err(source) => StatusError::Ask {
            path: runtime_dir.join(control::SOCKET),
            source,
        },
    };
    print_error(&error);
    EXIT_FAILED
}

fn print(report: &ChangeReport, output: Output) -> i32 {
    let text = match output {
        Output::Json => serde_json::to_string_pretty(report).unwrap_or_default() + "\n",
        Output::Text => render(report),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => EXIT_DONE,
        // What was asked for is done, whoever reads.
        Err(_) => EXIT_DONE,
    }
}

fn render(report: &ChangeReport) -> String {
    let generation = report.generation;
    let mut lines = report.steps.clone();
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    if report.steps.is_empty() {
        lines.push("nothing changes".to_owned());
    }
    lines.push(match report.dry_run {
        true => format!("dry run: generation {generation} goes on"),
        false => format!("generation {generation} is in use"),
    });
    lines.join("\n") + "\n"
}

/// From a question to its answer: changes wait for each other.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<&str> {
        line.split_whitespace().collect()
    }

    #[test]
    fn the_words_of_a_backend_are_read() {
        let of = |pool: &str, name: &str| (pool.to_owned(), name.to_owned());
        let address = SocketAddr::from(([192, 0, 2, 3], 80));
        for (line, hoped) in [
            ("api/b1 drain", Ok((of("api", "b1"), BackendChange::Drain))),
            (
                "api/b1 weight 7",
                Ok((of("api", "b1"), BackendChange::Weight(7))),
            ),
            (
                "add api b3 192.0.2.3:80",
                Ok((of("api", "b3"), BackendChange::Add(address))),
            ),
            (
                "api/b3 add 192.0.2.3:80",
                Ok((of("api", "b3"), BackendChange::Add(address))),
            ),
            ("", Err("say which backend: POOL/NAME")),
            ("b1 drain", Err("say which backend: POOL/NAME, not \"b1\"")),
            ("api/b1 weight many", Err("weight needs a number, 1 to 256")),
            (
                "api/b1",
                Err(
                    "say what becomes of it: drain, maintain, up, weight N, add ADDRESS, remove or reset",
                ),
            ),
            (
                "api/b1 add here",
                Err("\"here\" is not an address with a port, as 192.0.2.103:80"),
            ),
        ] {
            assert_eq!(
                backend_words(&words(line)),
                hoped.map_err(str::to_owned),
                "{line}"
            );
        }
    }

    #[test]
    fn the_words_of_a_router_are_read() {
        let web = || "web".to_owned();
        for (line, hoped) in [
            ("web priority 90", Ok((web(), Some(90)))),
            ("web priority reset", Ok((web(), None))),
            (
                "web priority high",
                Err("priority needs a number, 1 to 254, or reset"),
            ),
            ("web", Err("say NAME priority N, or NAME priority reset")),
        ] {
            assert_eq!(
                router_words(&words(line)),
                hoped.map_err(str::to_owned),
                "{line}"
            );
        }
    }

    #[test]
    fn a_change_is_told_line_by_line() {
        let report = ChangeReport {
            generation: 7,
            dry_run: false,
            steps: vec!["router web: priority 150 to 120".into()],
            notes: vec!["pool api: backend b1: weight 3 by command holds".into()],
        };
        assert_eq!(
            render(&report),
            "router web: priority 150 to 120\nnote: pool api: backend b1: weight 3 by command \
             holds\ngeneration 7 is in use\n"
        );
        let nothing = ChangeReport {
            steps: Vec::new(),
            notes: Vec::new(),
            dry_run: true,
            ..report
        };
        assert_eq!(
            render(&nothing),
            "nothing changes\ndry run: generation 7 goes on\n"
        );
    }
}
