//! `evenkeel events`: every transition the daemon remembers, in order, and with `--follow` those to
//! come.

use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::cli::outcome::{EXIT_DONE, EXIT_FAILED, Output, print_error};
use crate::cli::status::{self, StatusError};
use crate::ipc::control::{Event, Request, Response};
use crate::ipc::log::Rfc3339;

/// Whether to go on after what has happened so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Print what is remembered.
    Now,
    /// `--follow`: go on until interrupted, also over a restart of the daemon.
    Interrupted,
}

/// Prints events, one a line; returns the exit code.
pub(crate) fn run(runtime_dir: &Path, output: Output, until: Until) -> i32 {
    let mut seen = 0;
    loop {
        match ask(runtime_dir, seen) {
            Ok(events) => {
                seen = events.last().map_or(seen, |event| event.epoch);
                if print(&events, output).is_err() {
                    // A reader that has gone, as `head` does, wants no more.
                    return EXIT_DONE;
                }
            }
            // Who follows waits for the next daemon; who begins to is told that there is none.
            Err(_) if until == Until::Interrupted && seen > 0 => {}
            Err(error) => {
                print_error(&error);
                return EXIT_FAILED;
            }
        }
        match until {
            Until::Now => return EXIT_DONE,
            Until::Interrupted => thread::sleep(PAUSE),
        }
    }
}

fn ask(runtime_dir: &Path, after: u64) -> Result<Vec<Event>, StatusError> {
    let request = Request::Events { after };
    status::ask_for(runtime_dir, &request, ANSWER_TIMEOUT, |answer| {
        let Response::Events(events) = answer else {
            return None;
        };
        Some(events)
    })
}

fn print(events: &[Event], output: Output) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for event in events {
        match output {
            Output::Json => writeln!(out, "{}", serde_json::to_string(event)?)?,
            Output::Text => writeln!(out, "{}", line(event))?,
        }
    }
    out.flush()
}

fn line(event: &Event) -> String {
    let at = std::time::UNIX_EPOCH + Duration::from_millis(event.at_ms);
    format!(
        "{} {} {} -> {}: {} (epoch {})",
        Rfc3339(at),
        event.router,
        event.from,
        event.to,
        event.cause,
        event.epoch
    )
}

/// From a question to its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two questions of who follows.
const PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, RouterName};

    #[test]
    fn an_event_is_one_line() {
        let event = Event {
            epoch: 7,
            at_ms: 951_782_400_000,
            router: RouterName {
                entry: "web".into(),
                family: Family::Ipv6,
            },
            from: "Backup".into(),
            to: "Active".into(),
            cause: "priority 0 from the Active".into(),
        };
        assert_eq!(
            line(&event),
            "2000-02-29T00:00:00.000Z web/ipv6 Backup -> Active: priority 0 from the Active (epoch 7)"
        );
    }
}
