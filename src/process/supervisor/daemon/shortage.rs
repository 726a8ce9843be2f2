//! What this machine or this process has run out of: said in the log once a minute, and in `status`
//! while it lasts.
//!
//! A shortage ends nothing. What could not be done is done later, by who wanted it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::process::role::Role;

/// What could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortage {
    /// A process could not be started.
    Start(Role),
    /// A message for a process has to wait.
    Send(Role),
    /// A message of a process was lost.
    Receive(Role),
    /// A process writes more into the log than it may.
    Log(Role),
    /// The access log could not be passed.
    AccessLog,
}

/// Those of late.
#[derive(Debug, Default)]
pub(super) struct Shortages {
    seen: Vec<Seen>,
}

#[derive(Debug)]
struct Seen {
    shortage: Shortage,
    why: String,
    last_at: Instant,
    logged_at: Instant,
    /// Since it was logged.
    times: u64,
}

impl Shortages {
    /// Notes one, and logs it if it was not logged within the last minute.
    pub(super) fn note(&mut self, now: Instant, shortage: Shortage, why: &impl ToString) {
        let why = why.to_string();
        match self.seen.iter_mut().find(|seen| seen.shortage == shortage) {
            Some(seen) => {
                seen.last_at = now;
                seen.times += 1;
                seen.why = why;
                if now.duration_since(seen.logged_at) < LOG_INTERVAL {
                    return;
                }
                tracing::warn!(cause = %shortage, error = seen.why, count = seen.times, "shortage goes on");
                seen.logged_at = now;
                seen.times = 0;
            }
            None => {
                tracing::warn!(cause = %shortage, error = why, "shortage");
                self.seen.push(Seen {
                    shortage,
                    why,
                    last_at: now,
                    logged_at: now,
                    times: 0,
                });
            }
        }
    }

    /// Returns those of the last minute, for people.
    pub(super) fn warnings(&self, now: Instant) -> impl Iterator<Item = String> {
        let late = move |seen: &&Seen| now.duration_since(seen.last_at) < SHOWN_FOR;
        let seen = self.seen.iter().filter(late);
        seen.map(|seen| format!("{}: {}", seen.shortage, seen.why))
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(role) => write!(f, "{} could not be started", role.profile().name),
            Self::Send(role) => write!(f, "a message for {} had to wait", role.profile().name),
            Self::Receive(role) => write!(f, "a message of {} was lost", role.profile().name),
            Self::Log(role) => write!(
                f,
                "{} logs more than it may, lines are dropped",
                role.profile().name
            ),
            Self::AccessLog => f.write_str("the access log could not be passed to the proxy"),
        }
    }
}

/// Between two lines about the same.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// How long it is shown after it was last seen.
const SHOWN_FOR: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortage_is_shown_for_a_minute_once_however_often_it_was_seen() {
        let start = Instant::now();
        let mut shortages = Shortages::default();
        for second in 0..30 {
            let now = start + Duration::from_secs(second);
            shortages.note(now, Shortage::Start(Role::Proxy), &"no memory");
        }
        assert_eq!(shortages.seen[0].times, 29, "logged once, counted since");
        let shown = |second| -> Vec<String> {
            let now = start + Duration::from_secs(second);
            shortages.warnings(now).collect()
        };
        assert_eq!(
            shown(30),
            ["evenkeel-proxy could not be started: no memory"]
        );
        assert_eq!(shown(88).len(), 1);
        assert_eq!(shown(90), [""; 0]);
    }
}
