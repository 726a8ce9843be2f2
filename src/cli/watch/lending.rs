//! Lends the proxy a socket, by way of the daemon, over which it answers itself.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use crate::cli::status::StatusError;
use crate::ipc::control::{self, Request, Response};
use crate::ipc::lent;

/// Why nothing comes.
#[derive(Debug)]
pub(super) enum Refused {
    /// No daemon or no proxy answers now; another one may.
    Away(StatusError),
    /// The daemon says why.
    Said(StatusError),
}

/// Asks for what comes over a socket, and returns that socket.
pub(super) fn lend(runtime_dir: &Path, request: &Request) -> Result<OwnedFd, Refused> {
    let away = |source| {
        Refused::Away(StatusError::Ask {
            path: runtime_dir.join(control::SOCKET),
            source,
        })
    };
    let (kept, lent) = lent::pair().map_err(away)?;
    let answer = control::ask_with(runtime_dir, request, Some(lent.as_fd()), ANSWER_TIMEOUT);
    match answer.map_err(away)? {
        Response::OverSocket => Ok(kept),
        Response::Refused(refusal) => Err(Refused::Said(StatusError::Unchanged(refusal.text))),
        Response::Error(why) => Err(Refused::Away(StatusError::Unchanged(why))),
        Response::Status(_)
        | Response::Configuration(_)
        | Response::Events(_)
        | Response::Changed(_) => {
            let why = "it answered something else".to_owned();
            Err(Refused::Said(StatusError::Refused(why)))
        }
    }
}

/// From the question to the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
