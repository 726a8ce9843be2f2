//! The process on its channel: a plain loop on `poll`, which beats and takes what it is passed; a
//! thread serves.
//!
//! It beats as long as that thread makes progress: a large page may take a moment, and nobody is
//! hurt by that.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc::{Sender, channel, error::TrySendError};

use super::serving::{self, Pulse, Told};
use crate::ipc::channel::{Channel, ChannelError, Received};
use crate::ipc::message::{FromAdmin, ToAdmin};

/// Why the process ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The channel broke.
    #[error("failed to talk to the supervisor")]
    Channel(#[from] ChannelError),
    /// The kernel does not wait for us.
    #[error("failed to wait")]
    Poll(#[source] Errno),
    /// The thread cannot be started.
    #[error("failed to start a thread")]
    Thread(#[source] std::io::Error),
    /// Whoever serves has ended.
    #[error("the thread that serves has ended")]
    Over,
}

/// Serves operators until the supervisor is gone.
///
/// # Errors
/// When the channel breaks, or the system refuses what it cannot do without.
pub fn run(channel_fd: OwnedFd) -> Result<(), RunError> {
    let channel_end = Channel::new(channel_fd);
    let pulse = Arc::new(Pulse::default());
    let (tells, told) = channel(TOLD_MAX);
    let of_thread = Arc::clone(&pulse);
    std::thread::Builder::new()
        .name("serve".into())
        .spawn(move || {
            if let Err(error) = serving::run(told, &of_thread) {
                tracing::error!(%error, "the admin listener does not serve");
            }
        })
        .map_err(RunError::Thread)?;
    let mut seen = (pulse.count(), Instant::now());
    loop {
        let now = Instant::now();
        if pulse.count() != seen.0 {
            seen = (pulse.count(), now);
        }
        if now.saturating_duration_since(seen.1) < STUCK {
            // Nobody waits for it.
            let _ = channel_end.send(&FromAdmin::Beat, &[]);
        }
        wait(&channel_end, BEAT)?;
        if !take_all(&channel_end, &tells)? {
            return Ok(());
        }
    }
}

/// Hands on what has come; returns false where the supervisor is gone.
fn take_all(channel_end: &Channel, tells: &Sender<Told>) -> Result<bool, RunError> {
    loop {
        let told = match channel_end.receive::<ToAdmin>() {
            Ok(Received::Message(ToAdmin::PassLines, lines)) => Told::Lines(lines),
            Ok(Received::Message(ToAdmin::Serve(settings), sockets)) => {
                Told::Serve(settings, sockets)
            }
            Ok(Received::Empty) => return Ok(true),
            Ok(Received::Closed) => return Ok(false),
            Err(error) if error.is_shortage() => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        match tells.try_send(told) {
            Ok(()) => {}
            // It was told more than it can bear, or is gone: another process begins anew.
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => return Err(RunError::Over),
        }
    }
}

fn wait(channel_end: &Channel, within: Duration) -> Result<(), RunError> {
    let mut ready = [PollFd::new(channel_end.as_fd(), PollFlags::POLLIN)];
    let within = PollTimeout::try_from(within.as_millis()).unwrap_or(PollTimeout::ZERO);
    match poll(&mut ready, within) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(RunError::Poll(errno)),
    }
}

/// As often as the supervisor counts silence.
const BEAT: Duration = Duration::from_millis(50);
/// A thread that does nothing for so long is stuck.
const STUCK: Duration = Duration::from_secs(5);
/// Reloads that come while the thread is busy.
const TOLD_MAX: usize = 64;
