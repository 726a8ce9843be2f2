//! `evenkeel logs`: the access log as it is made, through a filter, until interrupted.
//!
//! The lines come from the proxy itself over a socket that the command lends it (`ipc::lent`), as
//! JSON whatever the format of the log is. What this reader is too slow for is not waited for by
//! anybody; how many lines that were is said.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use super::filter::{Client, Statuses};
use crate::cli::outcome::{EXIT_DONE, EXIT_FAILED, Output, print_error};
use crate::cli::status::{self, StatusError};
use crate::cli::watch::lending::{Refused, lend};
use crate::ipc::control::{Request, Status};
use crate::ipc::lent::{self, Aside};

/// Which lines are wanted: those that all of this is true of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// What was answered.
    pub(crate) statuses: Option<Statuses>,
    /// The least time that they took.
    pub(crate) slow: Option<Duration>,
    /// Where the client had come.
    pub(crate) listener: Option<String>,
    /// The pool that was to answer.
    pub(crate) pool: Option<String>,
    /// Who asked.
    pub(crate) client: Option<Client>,
}

/// Prints lines that pass; returns the exit code.
pub(crate) fn run(runtime_dir: &Path, filter: &Filter, output: Output) -> i32 {
    if let Err(error) = status::ask(runtime_dir).and_then(|status| require_known(&status, filter)) {
        print_error(&error);
        return EXIT_FAILED;
    }
    let mut followed = false;
    loop {
        match lend(runtime_dir, &Request::FollowLog) {
            Ok(socket) => {
                followed = true;
                match follow(&socket, filter, output) {
                    Ok(()) => {}
                    Err(Ended::Unread) => return EXIT_DONE,
                    Err(Ended::Refused(error)) => {
                        print_error(&error);
                        return EXIT_FAILED;
                    }
                }
            }
            // The daemon is restarted, or its proxy is: the next one is followed.
            Err(Refused::Away(_)) if followed => {}
            Err(Refused::Away(error) | Refused::Said(error)) => {
                print_error(&error);
                return EXIT_FAILED;
            }
        }
        thread::sleep(PAUSE);
    }
}

/// A name that is not there never has a line: that is better said than waited for.
fn require_known(status: &Status, filter: &Filter) -> Result<(), StatusError> {
    let listeners = status.listeners.iter().map(|it| it.name.as_str()).collect();
    let pools = status.pools.iter().map(|it| it.name.as_str()).collect();
    super::filter::require("listener", filter.listener.as_deref(), listeners)?;
    super::filter::require("pool", filter.pool.as_deref(), pools)
}

/// Why it does not go on.
enum Ended {
    /// Nobody reads what is printed.
    Unread,
    Refused(StatusError),
}

/// Prints what comes over a socket, to its end.
fn follow(socket: &OwnedFd, filter: &Filter, output: Output) -> Result<(), Ended> {
    let mut buf = vec![0; lent::MESSAGE_BYTES_MAX];
    loop {
        let message = match lent::receive(socket, &mut buf) {
            Ok([]) => return Ok(()),
            Ok(message) => message,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Ok(()),
        };
        let mut text = String::new();
        for line in String::from_utf8_lossy(message).lines() {
            match serde_json::from_str(line) {
                Ok(Aside::Refused(why)) => return Err(Ended::Refused(StatusError::Unchanged(why))),
                Ok(Aside::Dropped(lines)) => match output {
                    Output::Json => text.push_str(&format!("{line}\n")),
                    Output::Text => eprintln!("note: {lines} lines dropped: they come too fast"),
                },
                Ok(Aside::LeftOut(_) | Aside::Missing(_) | Aside::Whole) => {}
                Err(_) => text.extend(shown(line, filter, output)),
            }
        }
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|_| Ended::Unread)?;
    }
}

/// What is read of a line; evenkeel(8) has all fields.
#[derive(Debug, Deserialize)]
struct Entry<'a> {
    time: &'a str,
    client: IpAddr,
    listener: String,
    pool: Option<String>,
    backend: Option<String>,
    method: Option<String>,
    host: Option<String>,
    path: Option<String>,
    status: Option<u16>,
    response_bytes: u64,
    total_ms: Option<f64>,
    termination: Option<String>,
    error: Option<String>,
}

/// Returns a line as it is printed, if it is wanted.
fn shown(line: &str, filter: &Filter, output: Output) -> Option<String> {
    let entry: Entry<'_> = serde_json::from_str(line).ok()?;
    filter.wants(&entry).then(|| match output {
        Output::Json => format!("{line}\n"),
        Output::Text => entry.text(),
    })
}

impl Filter {
    fn wants(&self, entry: &Entry<'_>) -> bool {
        let Self {
            statuses,
            slow,
            listener,
            pool,
            client,
        } = self;
        let statuses = statuses.as_ref();
        let slow_ms = slow.map(|slow| slow.as_secs_f64() * 1000.0);
        statuses.is_none_or(|wanted| entry.status.is_some_and(|status| wanted.has(status)))
            && slow_ms.is_none_or(|least| entry.total_ms.is_some_and(|took| took >= least))
            && listener
                .as_ref()
                .is_none_or(|wanted| *wanted == entry.listener)
            && pool
                .as_ref()
                .is_none_or(|wanted| entry.pool.as_ref() == Some(wanted))
            && client.is_none_or(|wanted| wanted.has(entry.client))
    }
}

impl Entry<'_> {
    /// Returns it for people: when, who, what came of it, what was asked, and of whom.
    fn text(&self) -> String {
        let time = self
            .time
            .split_once('T')
            .map_or(self.time, |(_, time)| time);
        let status = self
            .status
            .map_or_else(|| "-".to_owned(), |status| status.to_string());
        let took = self
            .total_ms
            .map_or_else(|| "-".to_owned(), |ms| format!("{ms}ms"));
        let method = self.method.as_deref().unwrap_or("-");
        let host = self.host.as_deref().unwrap_or_default();
        let path = self.path.as_deref().unwrap_or_default();
        let asked = match (host, path) {
            ("", "") => "-".to_owned(),
            (host, path) => format!("{host}{path}"),
        };
        let mut text = format!(
            "{time} {} {status} {took} {}B {method} {asked} {}",
            self.client, self.response_bytes, self.listener
        );
        match (&self.pool, &self.backend) {
            (Some(pool), Some(backend)) => text.push_str(&format!(" -> {pool}/{backend}")),
            (Some(pool), None) => text.push_str(&format!(" -> {pool}/-")),
            (None, _) => {}
        }
        let ended = self.termination.as_deref().filter(|how| *how != "complete");
        for what in ended.into_iter().chain(self.error.as_deref()) {
            text.push_str(&format!(" [{what}]"));
        }
        // Whatever a client has sent, a terminal is not to obey it.
        text.retain(|c| !c.is_control());
        text.push('\n');
        text
    }
}

/// Before the next daemon, or its next proxy, is asked.
const PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"time":"2026-11-28T12:34:56.789Z","client":"192.0.2.7","client_port":4711,"via":null,"listener":"http","route":null,"pool":"api","backend":"b1","method":"GET","host":"www.example.org","path":"/a?\u001b","protocol":"HTTP/1.1","status":504,"request_bytes":80,"response_bytes":120,"total_ms":1501.5,"retries":0,"termination":"response_head_timeout","error":null}"#;

    fn passes(filter: Filter) -> bool {
        shown(LINE, &filter, Output::Text).is_some()
    }

    #[test]
    fn a_line_is_one_for_people_or_as_it_came() {
        let all = Filter::default();
        assert_eq!(
            shown(LINE, &all, Output::Text).as_deref(),
            Some(
                "12:34:56.789Z 192.0.2.7 504 1501.5ms 120B GET www.example.org/a? http -> api/b1 \
                 [response_head_timeout]\n"
            )
        );
        let json = shown(LINE, &all, Output::Json);
        assert_eq!(json, Some(format!("{LINE}\n")));
    }

    #[test]
    fn a_filter_wants_what_all_of_it_is_true_of() {
        let filter = |status: &str, slow_ms, listener: &str, client: &str| Filter {
            statuses: status.parse().ok(),
            slow: Some(Duration::from_millis(slow_ms)),
            listener: Some(listener.to_owned()),
            pool: Some("api".to_owned()),
            client: client.parse().ok(),
        };
        assert!(passes(filter("5xx", 1500, "http", "192.0.2.0/24")));
        assert!(!passes(filter("200-299", 1500, "http", "192.0.2.0/24")));
        assert!(!passes(filter("5xx", 1502, "http", "192.0.2.0/24")));
        assert!(!passes(filter("5xx", 1500, "https", "192.0.2.0/24")));
        assert!(!passes(filter("5xx", 1500, "http", "10.0.0.0/8")));
        let pool = Some("web".to_owned());
        assert!(!passes(Filter {
            pool,
            ..Filter::default()
        }));
    }
}
