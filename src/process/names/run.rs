//! The process on its channel: a plain loop on `poll`, which beats and takes questions; threads
//! wait for the resolver.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::files::Files;
use super::line::Line;
use crate::ipc::channel::{Channel, ChannelError, Received};
use crate::ipc::message::{FromNames, ToNames};
use crate::process::role::AllowedPath;

/// Why the process ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The channel broke.
    #[error("failed to talk to the supervisor")]
    Channel(#[from] ChannelError),
    /// The kernel does not wait for us.
    #[error("failed to wait")]
    Poll(#[source] Errno),
}

/// Looks names up until the supervisor is gone; says when one of the files it may read was
/// replaced.
///
/// # Errors
/// When the channel breaks, or the system refuses what it cannot do without.
pub fn run(channel: OwnedFd, allowed_paths: &[AllowedPath]) -> Result<(), RunError> {
    let now = Instant::now();
    let mut names = Names {
        channel: Channel::new(channel),
        lines: Vec::new(),
        files: Files::new(allowed_paths, SystemTime::now()),
        beat_at: now,
        look_at: now + LOOK_INTERVAL,
    };
    while names.turn()? {}
    Ok(())
}

struct Names {
    channel: Channel,
    lines: Vec<Line>,
    files: Files,
    beat_at: Instant,
    look_at: Instant,
}

impl Names {
    /// Does what there is to do; returns false where the supervisor is gone.
    fn turn(&mut self) -> Result<bool, RunError> {
        let now = Instant::now();
        if now >= self.beat_at {
            self.beat_at = now + BEAT;
            // Nobody waits for it.
            let _ = self.channel.send(&FromNames::Beat, &[]);
        }
        if now >= self.look_at {
            self.look_at = now + LOOK_INTERVAL;
            if let Some(path) = self.files.replaced() {
                let replaced = FromNames::Replaced(path.to_owned());
                // It is said again with the next look.
                let _ = self.channel.send(&replaced, &[]);
            }
        }
        self.wait(self.beat_at.saturating_duration_since(now))?;
        self.lines.retain(Line::take_questions);
        loop {
            match self.channel.receive::<ToNames>() {
                Ok(Received::Message(ToNames::PassLines, lines)) => {
                    self.lines.extend(lines.into_iter().map(Line::new));
                }
                Ok(Received::Empty) => return Ok(true),
                Ok(Received::Closed) => return Ok(false),
                Err(error) if error.is_shortage() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait(&self, within: Duration) -> Result<(), RunError> {
        let lines = self.lines.iter().map(Line::descriptor);
        let all = std::iter::once(self.channel.as_fd()).chain(lines);
        let mut ready: Vec<PollFd<'_>> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let within = PollTimeout::try_from(within.as_millis() + 1).unwrap_or(PollTimeout::ZERO);
        match poll(&mut ready, within) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(RunError::Poll(errno)),
        }
    }
}

/// As often as the supervisor counts silence.
const BEAT: Duration = Duration::from_millis(50);
/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
