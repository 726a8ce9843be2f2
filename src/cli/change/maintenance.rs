//! `evenkeel maintenance`: a listener that answers 503 to all but those who are allowed, until that
//! is taken back; and whether it does.

use std::path::Path;

use crate::cli::outcome::{Output, print_answer};
use crate::cli::status::{self, StatusError};
use crate::config::check::duration;
use crate::ipc::control::{MaintenanceChange, OverrideStatus, Request, Status};

/// Reads what is to become of which listener: `NAME on`, `NAME off`, or `NAME` alone, which only
/// asks.
///
/// # Errors
/// What is wrong with the words, or with the time of `--retry-after`.
pub(crate) fn words(
    words: &[&str],
    retry_after: Option<&str>,
) -> Result<(String, Option<MaintenanceChange>), String> {
    let retry_after_s = retry_after.map(seconds).transpose()?;
    let (listener, change) = match *words {
        [listener] => (listener, None),
        [listener, "on"] => (listener, Some(MaintenanceChange::On { retry_after_s })),
        [listener, "off" | "reset"] => (listener, Some(MaintenanceChange::Off)),
        _ => return Err("say LISTENER on, LISTENER off, or LISTENER alone".into()),
    };
    match change {
        None | Some(MaintenanceChange::Off) if retry_after.is_some() => {
            Err("--retry-after goes with `on`".into())
        }
        None | Some(MaintenanceChange::Off | MaintenanceChange::On { .. }) => {
            Ok((listener.to_owned(), change))
        }
    }
}

/// Changes it, or says how it is; returns the exit code.
pub(crate) fn run(
    runtime_dir: &Path,
    listener: String,
    change: Option<MaintenanceChange>,
    output: Output,
) -> i32 {
    let Some(change) = change else {
        return show(runtime_dir, &listener, output);
    };
    super::ask(
        runtime_dir,
        &Request::Maintenance { listener, change },
        output,
    )
}

fn show(runtime_dir: &Path, listener: &str, output: Output) -> i32 {
    let shown = status::ask(runtime_dir).and_then(|status| render(&status, listener, output));
    print_answer(shown)
}

fn render(status: &Status, listener: &str, output: Output) -> Result<String, StatusError> {
    let subject = format!("listener {listener}");
    let overrides = status.overrides.iter();
    let said: Vec<&OverrideStatus> = overrides.filter(|one| one.subject == subject).collect();
    let mut names = status.listeners.iter().map(|it| it.name.as_str());
    if said.is_empty() && !names.any(|name| name == listener) {
        let names: Vec<&str> = status.listeners.iter().map(|it| it.name.as_str()).collect();
        return Err(StatusError::Unchanged(match names.join(", ") {
            none if none.is_empty() => "no listener is known: the proxy does not answer".into(),
            names => format!("there is no listener {listener}; there are: {names}"),
        }));
    }
    Ok(match (output, said.is_empty()) {
        (Output::Json, _) => serde_json::to_string_pretty(&said).unwrap_or_default() + "\n",
        (Output::Text, true) => format!("{subject}: serving\n"),
        (Output::Text, false) => said.into_iter().map(status::by_command).collect(),
    })
}

/// Returns a span of time in whole seconds, rounded up; its range is the daemon's matter.
fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || format!("--retry-after needs a duration, as 10m, not {text:?}");
    let time = duration(text).ok_or_else(wrong)?;
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    u32::try_from(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_maintenance_are_read() {
        let on = |retry_after_s| Some(MaintenanceChange::On { retry_after_s });
        let off = Some(MaintenanceChange::Off);
        for (line, retry_after, hoped) in [
            ("http", None, Ok(None)),
            ("http on", None, Ok(on(None))),
            ("http on", Some("10m"), Ok(on(Some(600)))),
            ("http on", Some("1.5s"), Ok(on(Some(2)))),
            ("http off", None, Ok(off)),
            ("http reset", None, Ok(off)),
            (
                "http on off",
                None,
                Err("say LISTENER on, LISTENER off, or LISTENER alone"),
            ),
            (
                "http maybe",
                None,
                Err("say LISTENER on, LISTENER off, or LISTENER alone"),
            ),
            ("http off", Some("10m"), Err("--retry-after goes with `on`")),
            ("http", Some("10m"), Err("--retry-after goes with `on`")),
            (
                "http on",
                Some("600"),
                Err("--retry-after needs a duration, as 10m, not \"600\""),
            ),
        ] {
            let all: Vec<&str> = line.split_whitespace().collect();
            let read = words(&all, retry_after).map(|(listener, change)| {
                assert_eq!(listener, "http");
                change
            });
            assert_eq!(read, hoped.map_err(str::to_owned), "{line}");
        }
    }
}
