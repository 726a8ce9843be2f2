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
use super::secrets::Roots;
use crate::ipc::channel::{Channel, ChannelError, Received, Sent};
use crate::ipc::message::{FromKeys, TicketSecret, ToKeys};

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
    let swaps = sysinfo().is_ok_and(|machine| machine.swap_total() > 0);
    if let Err(why) = lock_memory()
        && swaps
    {
        let what = format!("keys may be written to swap space: {why}");
        keys.say(&FromKeys::Lacking(vec![what]));
    }
    keyring::warm_up();
    while keys.turn()? {}
    Ok(())
}

/// Keeps all memory out of swap space: what was written there stays there.
fn lock_memory() -> Result<(), String> {
    let failed = |what: &str, errno: Errno| format!("{what}: {errno}");
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK);
    let (soft, _) = limit.map_err(|errno| failed("RLIMIT_MEMLOCK", errno))?;
    // Under a limit, memory that is asked for later would be refused.
    if soft != RLIM_INFINITY {
        return Err(format!("it may lock {soft} bytes only (LimitMEMLOCK)"));
    }
    let locked = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE);
    locked.map_err(|errno| failed("mlockall", errno))
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
            if let Some(count) = self.lines.late.take(now) {
                tracing::warn!(
                    count,
                    "questions came too late to be signed: keys of RSA cost much, those of ECDSA \
                     little"
                );
            }
            if let Some(count) = self.lines.refused.take(now) {
                tracing::warn!(
                    count,
                    "questions refused: no such key, or none of its ways to sign"
                );
            }
        }
        let ready = self.wait(self.beat_at.saturating_duration_since(now))?;
        let beat_at = self.beat_at;
        let has_time = || Instant::now() < beat_at;
        self.lines.answer(&ready, &self.keyring, has_time);
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

    /// Waits for something to do; returns which lines have something.
    fn wait(&self, within: Duration) -> Result<Vec<bool>, RunError> {
        let all = std::iter::once(self.channel.as_fd()).chain(self.lines.descriptors());
        let mut ready: Vec<PollFd<'_>> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let within = PollTimeout::try_from(within.as_millis() + 1).unwrap_or(PollTimeout::ZERO);
        match poll(&mut ready, within) {
            Ok(_) => {
                let lines = ready.iter().skip(1);
                Ok(lines.map(|line| line.any().unwrap_or(true)).collect())
            }
            Err(Errno::EINTR) => Ok(Vec::new()),
            Err(errno) => Err(RunError::Poll(errno)),
        }
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
                let files = descriptors
                    .into_iter()
                    .map(|file| reading::read(&file.into()));
                let texts: Result<Vec<_>, String> = files.collect();
                match texts.and_then(Roots::read) {
                    Ok(roots) => self.take_roots(roots),
                    Err(why) => {
                        self.say(&FromKeys::SecretsRefused(why));
                    }
                }
            }
            ToKeys::NoSecrets => {
                if !self.roots.as_ref().is_some_and(Roots::are_of_one_node) {
                    self.take_roots(Roots::of_one_node());
                }
            }
            ToKeys::Keep(keys) => self.keyring.keep(keys, Instant::now()),
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
        let hour = TicketSecret::hour_now();
        if let Some(roots) = &self.roots
            && self.derived_for != Some(hour)
        {
            let secrets = roots.derive(hour);
            if self.say(&FromKeys::Secrets(secrets)) {
                self.derived_for = Some(hour);
            }
        }
    }

    /// Nobody waits; returns whether there was room for it.
    fn say(&self, message: &FromKeys) -> bool {
        matches!(self.channel.send(message, &[]), Ok(Sent::Queued))
    }
}

/// As often as the supervisor counts silence.
const BEAT: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::io::Write;

    use super::*;
    use crate::ipc::channel;
    use crate::ipc::message::Secrets;

    fn keys() -> (Keys, Channel) {
        let (ours, theirs) = channel::pair().unwrap();
        let keys = Keys {
            channel: Channel::new(theirs),
            keyring: Arc::default(),
            lines: Lines::default(),
            roots: None,
            derived_for: None,
            beat_at: Instant::now(),
        };
        (keys, Channel::new(ours))
    }

    fn file(text: &str) -> OwnedFd {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.into()
    }

    /// Returns the affinity keys that it says, if it says some.
    fn said(supervisor: &Channel) -> Option<Secrets> {
        match supervisor.receive::<FromKeys>().unwrap() {
            Received::Message(FromKeys::Secrets(secrets), _) => Some(secrets),
            Received::Message(..) | Received::Empty | Received::Closed => None,
        }
    }

    #[test]
    fn another_secret_is_taken_up_the_same_says_nothing_and_none_is_the_nodes_own() {
        let (mut keys, supervisor) = keys();
        let mut told = |message, files| {
            keys.obey(message, files).unwrap();
            said(&supervisor)
        };
        let (one, other) = ("1".repeat(32), "2".repeat(32));
        let first = told(ToKeys::Secrets, vec![file(&one)]).unwrap();
        assert_eq!(told(ToKeys::Secrets, vec![file(&one)]), None);
        let second = told(ToKeys::Secrets, vec![file(&other)]).unwrap();
        assert_ne!(first.affinity, second.affinity);
        let own = told(ToKeys::NoSecrets, Vec::new()).unwrap();
        assert!(![first.affinity, second.affinity].contains(&own.affinity));
        assert_eq!(told(ToKeys::NoSecrets, Vec::new()), None, "it keeps it");
        assert_eq!(
            told(ToKeys::Secrets, Vec::new()),
            None,
            "the files were lost"
        );
    }

    /// What found no room is said with the next beat.
    #[test]
    fn secrets_that_found_no_room_are_said_later() {
        let (mut keys, supervisor) = keys();
        while keys.say(&FromKeys::Beat) {}
        keys.obey(ToKeys::NoSecrets, Vec::new()).unwrap();
        while let Received::Message(message, _) = supervisor.receive::<FromKeys>().unwrap() {
            assert_eq!(message, FromKeys::Beat);
        }
        keys.derive();
        assert!(said(&supervisor).is_some());
    }
}
