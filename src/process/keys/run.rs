//! The process on its channel: a plain loop on `poll`, which signs, and a thread that reads files.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::sysinfo::sysinfo;

use super::keyring::{self, Keyring};
use super::lines::Lines;
use super::reading;
use super::secrets::{Roots, hour_now};
use crate::ipc::channel::{Channel, ChannelError, Received, Sent};
use crate::ipc::message::{FromKeys, ToKeys};

/// Why the process ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The channel broke.
    #[error("failed to talk to the supervisor")]
    Channel(#[from] ChannelError),
    /// No thread could be had.
    #[error("failed to start a thread")]
    Thread(#[source] std::io::Error),
    /// The kernel does not wait for us.
    #[error("failed to wait")]
    Poll(#[source] Errno),
}

/// Signs until the supervisor is gone.
///
/// # Errors
/// When the channel breaks, or the system refuses what it cannot do without.
pub fn run(channel: OwnedFd) -> Result<(), RunError> {
    let mut keys = Keys {
        channel: Channel::new(channel),
        keyring: Arc::default(),
        lines: Lines::default(),
        roots: None,
        derived_for: None,
        beat_at: Instant::now(),
    };
    // What was written to swap space stays there.
    let swaps = sysinfo().is_ok_and(|machine| machine.swap_total() > 0);
    if !lock_memory() && swaps {
        let what = "keys may be written to swap space: its memory may not be locked \
                    (LimitMEMLOCK=infinity of the unit)";
        keys.say(&FromKeys::Lacking(vec![what.to_owned()]));
    }
    keyring::warm_up();
    while keys.turn()? {}
    Ok(())
}

/// Locks all memory, where there is no limit: with one, what is needed later might be refused.
fn lock_memory() -> bool {
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK);
    limit.is_ok_and(|(soft, _)| soft == RLIM_INFINITY)
        && mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE).is_ok()
}

struct Keys {
    channel: Channel,
    keyring: Arc<Keyring>,
    lines: Lines,
    roots: Option<Roots>,
    /// The hour that was told last.
    derived_for: Option<u64>,
    beat_at: Instant,
}

impl Keys {
    /// Does what there is to do; returns false where the supervisor is gone.
    fn turn(&mut self) -> Result<bool, RunError> {
        let now = Instant::now();
        if now >= self.beat_at {
            self.beat_at = now + BEAT;
            self.say(&FromKeys::Beat);
            self.derive();
            self.keyring.forget(now);
        }
        let ready = self.wait(self.beat_at.saturating_duration_since(now))?;
        self.lines.answer(&ready, &self.keyring, self.beat_at);
        loop {
            match self.channel.receive::<ToKeys>() {
                Ok(Received::Message(message, descriptors)) => self.obey(message, descriptors)?,
                Ok(Received::Empty) => return Ok(true),
                Ok(Received::Closed) => return Ok(false),
                Err(error) if error.is_shortage() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns which lines have something to say.
    fn wait(&self, within: Duration) -> Result<Vec<bool>, RunError> {
        let all = std::iter::once(self.channel.as_fd()).chain(self.lines.descriptors());
        let mut ready: Vec<PollFd<'_>> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let within = PollTimeout::try_from(within.as_millis() + 1).unwrap_or(PollTimeout::ZERO);
        match poll(&mut ready, within) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(RunError::Poll(errno)),
        }
        let lines = ready.iter().skip(1);
        Ok(lines.map(|line| line.any().unwrap_or(true)).collect())
    }

    fn obey(&mut self, message: ToKeys, descriptors: Vec<OwnedFd>) -> Result<(), RunError> {
        match message {
            ToKeys::PassReader => {
                let keyring = Arc::clone(&self.keyring);
                for line in descriptors {
                    let keyring = Arc::clone(&keyring);
                    std::thread::Builder::new()
                        .name("reading".into())
                        .spawn(move || reading::serve(line, keyring))
                        .map_err(RunError::Thread)?;
                }
            }
            ToKeys::PassLines => self.lines.add(descriptors),
            ToKeys::Secrets => {
                let texts: Result<Vec<_>, String> = descriptors
                    .into_iter()
                    .map(|file| reading::read(file.into()))
                    .collect();
                match texts.and_then(Roots::read) {
                    Ok(roots) => self.take_roots(roots),
                    Err(why) => self.say(&FromKeys::SecretsRefused(why)),
                }
            }
            ToKeys::NoSecrets => {
                if !self.roots.as_ref().is_some_and(Roots::are_own) {
                    self.take_roots(Roots::of_one_node());
                }
            }
            ToKeys::Keep(keys) => self.keyring.keep(&keys, Instant::now()),
        }
        Ok(())
    }

    fn take_roots(&mut self, roots: Roots) {
        if self.roots.as_ref() == Some(&roots) {
            return;
        }
        self.roots = Some(roots);
        self.derived_for = None;
        self.derive();
    }

    /// Tells what is derived, where the hour has changed.
    fn derive(&mut self) {
        let hour = hour_now();
        if let Some(roots) = &self.roots
            && self.derived_for != Some(hour)
        {
            let secrets = roots.derive(hour);
            // With the next beat, where there is no room.
            if let Ok(Sent::Queued) = self.channel.send(&FromKeys::Secrets(secrets), &[]) {
                self.derived_for = Some(hour);
            }
        }
    }

    /// Nobody waits: what has no room for now is a beat, or is asked for again.
    fn say(&self, message: &FromKeys) {
        let _ = self.channel.send(message, &[]);
    }
}

/// As often as the supervisor counts silence.
const BEAT: Duration = Duration::from_millis(50);
